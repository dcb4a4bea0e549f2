"""
A corpus that gets SIGKILL while it writes its third shard, in a process of its own: `killed_in_write.py FOLDER ROWS`.

In FOLDER/part, FOLDER/synced and FOLDER/renamed a forked child is killed when half of the shard is on the disk, when
all of it is and it has no name yet, and when it has just got it. Prints a line for each: the moment, how many files
were being written and how many shards there were. Then each is run to its end. What waits are the system's calls,
replaced here, so that the package needs no hook.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus_clips import FakeAligner

from transformers_qwen3_asr.corpus import CorpusFolder, CorpusRow, align_corpus

source = [CorpusRow(f"row {number}", text="one") for number in range(int(sys.argv[2]))]
fsync, replace = os.fsync, Path.replace


def align(path):
    with CorpusFolder(path) as out:
        out.begin({"source": "rows"})
        align_corpus(source, out, FakeAligner(), shard_rows=7)


def slow(path, moment, told):
    """Lets the third shard stop at the moment, for longer than anybody waits."""

    def wait():
        if len(list(path.glob("rank-*/*.parquet"))) == 2 + (moment == "renamed"):
            os.write(told, b"now")
            time.sleep(600)

    def slow_fsync(descriptor):
        if moment == "part":
            size = os.fstat(descriptor).st_size
            content = os.pread(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY), size, 0)
            os.ftruncate(descriptor, size // 2)
            wait()
            os.pwrite(descriptor, content, 0)
        fsync(descriptor)
        if moment == "synced":
            wait()

    def slow_replace(self, target):
        replaced = replace(self, target)
        if moment == "renamed":
            wait()
        return replaced

    os.fsync, Path.replace = slow_fsync, slow_replace


for moment in ("part", "synced", "renamed"):
    path = Path(sys.argv[1]) / moment
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        slow(path, moment, told)
        align(path)
        os._exit(1)
    os.close(told)
    assert os.read(heard, 3) == b"now"
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    print(moment, len(list(path.rglob(".*.part"))), len(list(path.rglob("*.parquet"))), flush=True)
    align(path)
