"""Write transcripts.json: how qwen-asr reads what the ASR models write.

Run in an environment of its own with qwen-asr==0.0.6:

    python tests/goldens/make_transcripts.py

Answers are the list below and random strings (seed 0) that repeat themselves around the threshold of 20.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

from qwen_asr.inference.utils import detect_and_fix_repetitions, parse_asr_output

ANSWERS = [
    "language English<asr_text>Hello there.",
    "language Chinese<asr_text>甚至出现交易几乎停滞的情况。",
    "language chinese<asr_text>好",
    "Language ENGLISH<asr_text> spaces ",
    "language English\n\n<asr_text>after a line",
    "\n language English \nsomething\n<asr_text>x",
    "language None<asr_text>",
    "language None<asr_text>still something",
    "language <asr_text>no name",
    "<asr_text>bare",
    "no tag at all ",
    "",
    "   ",
    "language English<asr_text>",
    "language English<asr_text>one<asr_text>two",
    "language Spanish<asr_text>" + "ja " * 30 + "fin",
]


def repeating() -> list[str]:
    rng = random.Random(0)
    texts = []
    for _ in range(60):
        text = ""
        for _ in range(rng.randint(1, 4)):
            piece = "".join(rng.choice("ab好 \n") for _ in range(rng.choice((1, 1, 2, 3, 7, 20, 21))))
            text += piece * rng.choice((1, 2, 18, 19, 20, 21, 22, 40))
            text += "".join(rng.choice("ab好c ") for _ in range(rng.choice((0, 1, 5, 40))))
        texts.append(text)
    texts += [ch * n + "x" * m for ch in "a " for n in (19, 20, 21) for m in (0, 1, 19, 20, 21)]
    return texts


def main() -> None:
    content = {
        "made_by": f"make_transcripts.py with qwen-asr {version('qwen-asr')}",
        "parsed": [[answer, *parse_asr_output(answer)] for answer in ANSWERS],
        "repaired": [[text, detect_and_fix_repetitions(text)] for text in repeating()],
    }
    path = Path(__file__).with_name("transcripts.json")
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
