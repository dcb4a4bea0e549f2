"""
A corpus that is killed again and again, in a process of its own: `killed_often.py FOLDER ROWS KILLS SEED`.

Each run is a forked child, which gets SIGKILL after a random time; one that is in time ends it, as does the last one.
Prints how many runs were killed. `soak.py` does the same to the command and a real aligner.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus_clips import FakeAligner

from transformers_qwen3_asr.corpus import CorpusFolder, CorpusRow, align_corpus

folder, rows, kills, seed = sys.argv[1], *map(int, sys.argv[2:])
source = [CorpusRow(f"row {number}", text="bad" if number % 50 == 7 else "one") for number in range(rows)]
dice = random.Random(seed)


def align():
    with CorpusFolder(folder) as out:
        out.begin({"source": "rows"})
        align_corpus(source, out, FakeAligner(0.0005), shard_rows=dice.randint(1, 20))


killed, ended = 0, False
while not ended:
    seed = dice.random()
    child = os.fork()
    if child == 0:
        dice.seed(seed)
        align()
        os._exit(0)
    if killed < kills:
        time.sleep(dice.uniform(0.005, 0.12))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status and not os.WIFSIGNALED(status):
        sys.exit(f"a run ended with status {status}")
    killed, ended = killed + bool(status), not status
print(killed)
