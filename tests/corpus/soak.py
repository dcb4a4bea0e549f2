"""
`make soak`: a corpus of clips and the bundled aligner, by the command, killed again and again with its process group.

    python tests/corpus/soak.py [--rows 5000] [--kills 20] [--processes 1] [--seed 0] [--folder FOLDER]

Each run gets SIGKILL at a random moment, some while they load and most while they align; then one is left to end.
Ends with status 1 where a row is lost, is there twice, or differs from what a run without kills gives.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from corpus_clips import clips

from transformers_qwen3_asr.corpus import CorpusAligner
from transformers_qwen3_asr.corpus.folder import read_shard, shards

_COMPARED = 50  # rows that are aligned once more by themselves
_SHARD_ROWS = 64
_OPTIONS = ["--model", "tiny-en", "--language", "en", "--shard-rows", str(_SHARD_ROWS), "--device", "cpu"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return soak(arguments, arguments.folder or Path(temporary))


def soak(arguments: argparse.Namespace, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(arguments.seed)
    rows = clips(arguments.rows)
    rows[7]["audio"], rows[11]["text"] = b"no recording", ""
    source, out = folder / "source.parquet", folder / "out"
    pq.write_table(pa.Table.from_pylist(rows), source, row_group_size=500)
    started = time.monotonic()
    kills = 0
    while True:
        run = start(source, out, arguments.processes)
        if kills < arguments.kills and not ends_before(run, out, arguments, dice):
            kill(run)
            kills += 1
            parts = len(list(out.rglob(".*.part")))
            print(f"kill {kills}: {len(ids(out)):,} rows are there, {parts} shards were being written", flush=True)
            continue
        status = run.wait()
        if status:
            print(f"a run ended with status {status}")
            return 1
        break
    found = ids(out)
    wanted = {row["id"] for row in rows}
    lost, twice = wanted - set(found), len(found) - len(set(found))
    differing = different(rows, out)
    print(f"{kills} kills, {time.monotonic() - started:.0f} s: {len(found):,} rows of {len(rows):,}")
    print(f"{len(lost)} lost, {twice} twice, {differing} of {_COMPARED} different from a run by itself")
    return int(bool(lost or twice or differing or kills < arguments.kills or list(out.rglob(".*.part"))))


def kill(run: subprocess.Popen) -> None:
    """SIGKILL to the process group, and to those of torchrun's workers, which have groups of their own."""
    workers = psutil.Process(run.pid).children(recursive=True)
    for group in {run.pid, *(worker.pid for worker in workers)}:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    run.wait()
    psutil.wait_procs(workers)


def ends_before(run: subprocess.Popen, out: Path, arguments: argparse.Namespace, dice: random.Random) -> bool:
    """
    Waits for a random moment: of five one in the first seconds, while the model loads; else in the middle of a shard
    behind up to so many rows that all kills find some to do. Whether the run ended before.
    """
    wait = dice.uniform(0, 5)
    if dice.random() > 0.2:
        before = len(shards(out))
        new = 1 + dice.uniform(0, 0.6) * arguments.rows / arguments.kills / _SHARD_ROWS
        while len(shards(out)) - before < new and run.poll() is None:
            time.sleep(0.02)
        wait = dice.uniform(0, 1.2)
    time.sleep(wait)
    return run.poll() is not None


def start(source: Path, out: Path, processes: int) -> subprocess.Popen:
    """The command, in a process group of its own."""
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", "0"]
    command = [*launch, "-m", "transformers_qwen3_asr", "align-dataset", str(source), str(out), *_OPTIONS]
    return subprocess.Popen(command, start_new_session=True)


def ids(out: Path) -> list[str]:
    return [id for shard in shards(out) for id in read_shard(shard, ["id"])["id"].to_pylist()]


def different(rows: list[dict], out: Path) -> int:
    """How many rows have other words or times than when they are aligned alone."""
    stored = {row["id"]: row for shard in shards(out) for row in read_shard(shard).to_pylist()}
    chosen = rows[:: max(len(rows) // _COMPARED, 1)][:_COMPARED]
    alone = CorpusAligner("tiny-en", language="en", device="cpu", batch_size=1)(chosen)
    return sum(not same(result, stored.get(result["id"])) for result in alone)


def same(one: dict, other: dict | None) -> bool:
    if other is None or one["error"] != other["error"] or len(one["words"]) != len(other["words"]):
        return False
    return all(
        a["text"] == b["text"] and abs(a["start"] - b["start"]) < 1e-3 for a, b in zip(one["words"], other["words"])
    )


if __name__ == "__main__":
    sys.exit(main())
