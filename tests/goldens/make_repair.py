"""Write repair.json: how qwen-asr makes times monotone.

Run in an environment of its own with qwen-asr==0.0.6:

    python tests/goldens/make_repair.py

Inputs are random and adversarial sequences (seed 0) of class numbers; outputs are what `fix_timestamp` makes of them
at 80 ms a class.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

import numpy as np
from qwen_asr.inference.qwen3_forced_aligner import Qwen3ForceAlignProcessor

SEGMENT_TIME = 80.0


def sequences() -> list[list[int]]:
    rng = random.Random(0)
    fixed = [
        [0],
        [5, 4],
        [4, 4, 4],
        [9, 8, 7, 6, 5, 4],
        [1, 2, 3, 4],
        [10, 1, 2, 3],
        [1, 2, 3, 0],
        [1, 9, 2, 8, 3, 7, 4, 6],
        [3, 1, 2, 3, 1, 2, 3, 1, 2],
        [5, 5, 1, 1, 6, 6, 2, 2],
        [0, 100, 100, 100, 1],
        [0, 50, 40, 30, 7],
        [20, 30, 1, 2, 40],
        [1, 99, 98, 97, 96, 2, 3, 95, 4],
        [2, 1, 4, 3, 6, 5, 8, 7],
        [4999, 0, 4999, 0, 4999, 0],
    ]
    chosen = list(fixed)
    for _ in range(120):  # few values, so that many subsequences are longest
        chosen.append([rng.randrange(rng.choice((2, 3, 5, 9))) for _ in range(rng.randint(1, 14))])
    for _ in range(60):  # a rising line with outliers, which is what an aligner writes
        line = sorted(rng.randrange(300) for _ in range(rng.randint(2, 40)))
        for _ in range(rng.randint(1, len(line))):
            line[rng.randrange(len(line))] = rng.randrange(300)
        chosen.append(line)
    for _ in range(20):  # runs that fall, side by side
        line = []
        for _ in range(rng.randint(1, 6)):
            top = rng.randrange(60)
            line += range(top, max(-1, top - rng.randint(1, 8)), -1)
        chosen.append(line)
    return chosen


def main() -> None:
    processor = Qwen3ForceAlignProcessor()
    cases = [
        [values, processor.fix_timestamp(np.array(values, dtype=np.float32) * np.float32(SEGMENT_TIME))]
        for values in sequences()
    ]
    content = {
        "made_by": f"make_repair.py with qwen-asr {version('qwen-asr')}",
        "segment_time": SEGMENT_TIME,
        "cases": cases,
    }
    path = Path(__file__).with_name("repair.json")
    path.write_text(json.dumps(content) + "\n")
    print(f"{path.name}: {len(cases)} sequences, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
