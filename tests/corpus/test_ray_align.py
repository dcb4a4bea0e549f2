"""`ray_align` on a local Ray: an actor is killed, or the driver, and each row is there once."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT
from corpus_clips import RATE, clips, result

pytest.importorskip("ray", reason="Ray, of the extra [ray], is not installed")

import psutil
import pyarrow as pa
import ray

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.corpus import CorpusAligner, CorpusFolder, ray_align, ray_data, read_report
from transformers_qwen3_asr.corpus.folder import read_shard, shards
from transformers_qwen3_asr.corpus.ray_data import Claims, ShardWriter
from transformers_qwen3_asr.corpus.rows import row_of

ROWS = 48
OPTIONS = {"language": "en", "num_gpus": 0, "shard_rows": 4}


@pytest.fixture(scope="module")
def cluster():
    """Two processors on this machine. Actors find the package where this process does."""
    with pytest.MonkeyPatch.context() as environment:
        paths = filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])
        environment.setenv("PYTHONPATH", os.pathsep.join(paths))
        environment.setenv("RAY_worker_niceness", "0")  # 15 starves them beside other work
        environment.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20, num_gpus=0)
        yield
        ray.shutdown()


def stored(out):
    return [row for shard in shards(out) for row in read_shard(shard).to_pylist()]


def actors():
    """The processes that align: of this Ray, which is a child of this process."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any("MapWorker" in part for part in child.cmdline())]


@pytest.mark.slow
def test_an_actor_is_killed_and_each_row_is_there_once(cluster, tmp_path):
    rows = clips(ROWS)
    rows[5]["audio"], rows[9]["text"] = b"no recording", ""
    dataset = ray.data.from_items([*rows, dict(rows[3], text="of the same id")], override_num_blocks=13)
    out, killed = tmp_path / "out", []

    def kill():
        while not (len(shards(out)) >= 2 and (found := actors())):
            time.sleep(0.01)
        found[0].send_signal(signal.SIGKILL)
        killed.append((found[0], len(stored(out))))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    state = ray_align(dataset, out, "tiny-en", concurrency=2, **OPTIONS)
    [(process, before)] = killed
    assert 0 < before < ROWS and not process.is_running()
    assert (state.rows, state.aligned, state.failed) == (ROWS + 1, ROWS - 2, 2)
    assert (state.duplicates, state.named) == (1, [rows[3]["id"]])
    found = {row["id"]: row for row in stored(out)}
    assert sorted(row["id"] for row in stored(out)) == sorted(found) == sorted(row["id"] for row in rows)
    assert not list(tmp_path.rglob(".*.part")) and read_report(out).complete
    # as without Ray
    for expected in CorpusAligner("tiny-en", language="en", device="cpu")(rows[4:10]):
        same = found[expected["id"]]
        assert [word["text"] for word in same["words"]] == [word["text"] for word in expected["words"]]
        starts = [word["start"] for word in expected["words"]]
        assert [word["start"] for word in same["words"]] == pytest.approx(starts, abs=2e-3)
        assert (same["error_kind"], same["error"]) == (expected["error_kind"], expected["error"])

    # what is there stays and is not aligned again; what is new is, and what failed where that is asked for
    files = {path: path.stat().st_mtime_ns for path in shards(out)}
    kept = {path for path in files if not any(read_shard(path)["error"].is_valid().to_pylist())}
    rows[9]["text"] = "unless to"
    more = ray.data.from_items([*rows, *clips(ROWS + 2)[ROWS:]], override_num_blocks=1)
    state = ray_align(more, out, "tiny-en", retry_failed=True, **OPTIONS)
    assert (state.before, state.aligned, state.failed) == (ROWS - 2, 3, 1)
    assert len(kept) >= 10 and all(files[path] == path.stat().st_mtime_ns for path in kept)
    assert len({row["id"] for row in stored(out)}) == len(stored(out)) == ROWS + 2


DRIVER = """
import sys
import ray
from corpus_clips import clips
from transformers_qwen3_asr.corpus import ray_align

ray.init(address=sys.argv[1], log_to_driver=False)
dataset = ray.data.from_items(clips(int(sys.argv[3])), override_num_blocks=12)
ray_align(dataset, sys.argv[2], "tiny-en", language="en", num_gpus=0, shard_rows=4)
"""


@pytest.mark.slow
def test_the_driver_is_killed_and_the_same_call_goes_on(cluster, tmp_path):
    out, address = tmp_path / "out", ray.get_runtime_context().gcs_address
    paths = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, address, str(out), str(ROWS)], env=environment)
    while len(shards(out)) < 3:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    dataset = ray.data.from_items(clips(ROWS), override_num_blocks=12)
    while True:
        try:
            state = ray_align(dataset, out, "tiny-en", **OPTIONS)
            break
        except ValueError as error:  # an actor may still be at work
            if "another run writes into" not in str(error):
                raise
            time.sleep(0.1)
    assert state.before >= 12 and state.aligned == ROWS - state.before > 0
    found = [row["id"] for row in stored(out)]
    assert sorted(found) == sorted(row["id"] for row in clips(ROWS))


def test_what_makes_no_sense_is_told_before_an_actor_starts(cluster, tmp_path):
    rows = ray.data.from_items([{"audio": "a.wav", "text": "one"}])
    out = tmp_path / "out"
    with pytest.raises(TypeError, match="speed"):
        ray_align(rows, out, "tiny-en", speed=3)
    with pytest.raises(ValueError, match="batch_size=0"):
        ray_align(rows, out, "tiny-en", batch_size=0)
    with pytest.raises(ValueError, match="no column 'text'; it has audio, sentence"):
        ray_align(ray.data.from_items([{"audio": "a.wav", "sentence": "one"}]), out, "tiny-en")
    with pytest.raises(ValueError, match="shard_rows=0: a whole number of at least 1"):
        ray_align(rows, out, "tiny-en", shard_rows=0)
    assert not out.exists()
    with CorpusFolder(out) as folder:
        folder.begin({"source": "ray", "model": "tiny-en", "language": "en"})
        folder.write([result(row_of({"id": "one", "text": "one"}))])
        with pytest.raises(ValueError, match="another run writes into"):
            ray_align(rows, out, "tiny-en", **OPTIONS)
    with pytest.raises(ValueError, match="was begun differently: language was 'en' and is 'de'"):
        ray_align(rows, out, "tiny-en", **{**OPTIONS, "language": "de"})
    assert len(stored(out)) == 1


def test_an_actor_that_outlives_its_driver_keeps_others_out(cluster, tmp_path, monkeypatch):
    """And recordings come out of Ray's tables as they went in."""
    samples = load_audio(clips(1)[0]["audio"], RATE)
    given = [clips(1)[0]["audio"], {"array": samples, "sampling_rate": RATE}, {"bytes": b"x", "path": None}, "a.wav"]
    seen = []

    class Aligner:
        def __init__(self, model, **options):
            pass

        def __call__(self, rows):
            with pytest.raises(ValueError, match="another run writes into"), CorpusFolder(tmp_path):
                pass
            seen.extend(rows)
            return [result(row) for row in rows]

    monkeypatch.setattr(ray_data, "CorpusAligner", Aligner)
    write = ShardWriter(str(tmp_path / "rank-00000"), "tiny-en", {}, ray.remote(num_cpus=0)(Claims).remote(set()))
    for number, audio in enumerate(given):
        dataset = ray.data.from_items([{"id": number, "audio": audio, "text": "one"}])
        [told] = write(next(iter(dataset.iter_batches(batch_format="pyarrow")))).to_pylist()
        assert (told["rows"], told["aligned"]) == (1, 1)
    dataset = ray.data.from_numpy([samples[None]]).map_batches(lambda batch: {"audio": batch["data"], "text": ["one"]})
    write(pa.table(next(iter(dataset.iter_batches(batch_format="pyarrow")))))
    assert [row.audio for row in seen[::2]][:2] == [given[0], given[2]] and seen[3].audio == "a.wav"
    assert [row.id for row in seen[:4]] == ["0", "1", "2", "3"]
    assert np.allclose(load_audio(seen[1].audio, RATE), samples) and np.allclose(seen[4].audio, samples)
    assert len(stored(tmp_path)) == 5
    with CorpusFolder(tmp_path):  # it is done
        pass


def test_claims():
    """Who asked first has a row; the same batch may ask again, and rows that it never wrote are known."""
    claims = Claims({b"a"})
    for _ in range(2):
        assert claims.claim("one", [b"a", b"b", b"c", b"b"]) == ["before", "mine", "mine", "duplicate"]
    assert claims.claim("two", [b"c", b"d", b"a", b"a"]) == ["duplicate", "mine", "before", "duplicate"]
    claims.finish([b"b", b"c"])
    assert claims.claim("one", [b"a", b"b", b"c", b"b"]) == ["before", "mine", "mine", "duplicate"]
    assert claims.unfinished() == 1
    claims.finish([b"d"])
    assert claims.unfinished() == 0
