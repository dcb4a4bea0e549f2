"""A corpus's folder: each row is there once, whatever ended the runs before, however many processes there were."""

import errno
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from corpus_clips import FakeAligner

from transformers_qwen3_asr.corpus import CorpusFolder, CorpusRow, align_corpus, folder, read_report, running
from transformers_qwen3_asr.corpus.folder import SCHEMA, read_shard, shards

ROWS = [CorpusRow(f"row {number}", text="bad" if number % 10 == 3 else "one") for number in range(60)]
IDS = [row.id for row in ROWS]


def align(path, rows=ROWS, rank=0, processes=1, aligner=None, asked="rows", **options):
    """A run; returns what the aligner was given, and the pass."""
    aligner = aligner or FakeAligner()
    with CorpusFolder(path, rank, processes) as out:
        out.begin({"source": asked})
        state = align_corpus(rows, out, aligner, **{"shard_rows": 7, **options})
    return aligner.rows, state


def stored(path):
    return [row for shard in shards(path) for row in read_shard(shard).to_pylist()]


def ids(path):
    return [row["id"] for row in stored(path)]


def test_each_row_is_there_once(tmp_path):
    given, state = align(tmp_path / "new" / "out")
    assert given == IDS and sorted(ids(tmp_path / "new" / "out")) == sorted(IDS)
    assert (state.rows, state.aligned, state.failed, state.before, state.duplicates) == (60, 54, 6, 0, 0)
    names = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    assert names == {"manifest.json", "rank-00000", ".lock-0-of-1"}
    assert align(tmp_path / "new" / "out")[0] == []


def test_shards_are_what_others_read(tmp_path):
    align(tmp_path)
    from datasets import load_dataset

    files = str(tmp_path / "rank-*" / "*.parquet")
    table = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert table.column_names == SCHEMA.names and sorted(table["id"]) == sorted(IDS)
    assert table[0]["words"][0] == {
        **{"text": "one", "start": 0.1, "end": 0.4, "score": 0.9, "char_start": 0, "char_end": 3}
    }


def test_datatrove_reads_documents(tmp_path):
    """As docs/corpus.md has it; its workers share the files."""
    readers = pytest.importorskip("datatrove.pipeline.readers", reason="datatrove is not installed")
    for rank in range(2):
        align(tmp_path, rank=rank, processes=2)
    reader = readers.ParquetReader(str(tmp_path), glob_pattern="rank-*/*.parquet")
    documents = [document for rank in range(2) for document in reader.run(rank=rank, world_size=2)]
    assert sorted(document.id for document in documents) == sorted(IDS)
    by_id = {document.id: document for document in documents}
    assert (by_id["row 0"].text, by_id["row 0"].metadata["words"][0]["start"]) == ("one", 0.1)
    assert by_id["row 3"].metadata["error"] == "it fails"


def test_killed_at_any_moment_no_row_is_lost_and_none_twice(tmp_path):
    """And the lock dies with its process, or the next one would be refused."""
    script = Path(__file__).with_name("killed_often.py")
    command = [sys.executable, str(script), str(tmp_path / "out"), "600", "10", "5"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    found = ids(tmp_path / "out")
    assert len(found) == 600 and len(set(found)) == 600
    assert read_report(tmp_path / "out").complete
    assert not list((tmp_path / "out").rglob(".*.part"))


@pytest.mark.parametrize("moment", ["before the new name", "after the new name"])
def test_killed_while_a_shard_is_written(moment, tmp_path, monkeypatch):
    """As by SIGKILL: nothing is tidied up."""

    class Killed(BaseException):
        pass

    replace, unlink = Path.replace, Path.unlink

    def killed(self, target):
        if moment == "after the new name":
            replace(self, target)
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        raise Killed

    def fifth(row):
        if row.id == "row 30":
            monkeypatch.setattr(Path, "replace", killed)

    with pytest.raises(Killed):
        align(tmp_path, aligner=FakeAligner(each_row=fifth))
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert len(list(tmp_path.rglob(".*.part"))) == (moment == "before the new name")
    assert len(ids(tmp_path)) == (28 if moment == "before the new name" else 35)
    align(tmp_path)
    assert sorted(ids(tmp_path)) == sorted(IDS) and not list(tmp_path.rglob(".*.part"))


def test_sigkill_while_a_shard_is_written(tmp_path):
    script = Path(__file__).with_name("killed_in_write.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path), "60"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["part 1 2", "synced 1 2", "renamed 0 3"]
    for moment in ("part", "synced", "renamed"):
        assert sorted(ids(tmp_path / moment)) == sorted(IDS) and read_report(tmp_path / moment).complete
    assert not list(tmp_path.rglob(".*.part"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_what_is_done_is_written(error, tmp_path):
    def interrupt(row):
        if row.id == "row 18":
            raise error

    with pytest.raises(error):
        align(tmp_path, aligner=FakeAligner(each_row=interrupt))
    assert ids(tmp_path) == IDS[:18] and not read_report(tmp_path).complete
    assert align(tmp_path)[0] == IDS[18:] and sorted(ids(tmp_path)) == sorted(IDS)


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_while_a_shard_is_written(after, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SHARD_SECONDS", 0.0)
    write = CorpusFolder.write

    def interrupted(self, results):
        if results[-1]["id"] == "row 18":
            monkeypatch.setattr(CorpusFolder, "write", write)
            if after:
                write(self, results)
            raise KeyboardInterrupt
        return write(self, results)

    monkeypatch.setattr(CorpusFolder, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        align(tmp_path)
    assert ids(tmp_path) == IDS[: 18 + after]
    align(tmp_path)
    assert sorted(ids(tmp_path)) == sorted(IDS)


def test_a_slow_shard_is_written_before_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SHARD_SECONDS", 0.0)
    align(tmp_path, shard_rows=100)
    assert len(shards(tmp_path)) == 60


def test_recordings_in_memory_do_not_wait_for_a_shard_to_fill(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_BUFFER_BYTES", 1000)
    rows = [CorpusRow(str(number), audio={"bytes": b"x" * 400}, text="one") for number in range(10)]
    align(tmp_path, rows, shard_rows=100)
    assert [len(read_shard(path)) for path in shards(tmp_path)] == [3, 3, 3, 1]


def test_rows_are_read_ahead_where_another_device_aligns(tmp_path):
    aligner = FakeAligner()
    aligner.reads_ahead = True
    align(tmp_path, aligner=aligner)
    assert sorted(ids(tmp_path)) == sorted(IDS)


def test_a_full_disk_leaves_what_was_finished(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(row):
        if row.id == "row 20":
            monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(OSError, match=r"000002\.parquet") as caught:
        align(tmp_path, aligner=FakeAligner(each_row=full))
    assert caught.value.errno == errno.ENOSPC
    assert ids(tmp_path) == IDS[:14] and not list(tmp_path.rglob(".*.part"))
    monkeypatch.undo()
    assert align(tmp_path)[0] == IDS[14:]


def test_the_first_of_rows_with_the_same_id_counts(tmp_path):
    rows = [*ROWS[:20], CorpusRow("row 5", text="another"), CorpusRow("row 3", text="one"), *ROWS[20:]]
    for _ in range(2):  # also when it goes on
        _, state = align(tmp_path, rows)
        assert (state.duplicates, state.named) == (2, ["row 5", "row 3"])
        assert sorted(ids(tmp_path)) == sorted(IDS)
        assert {row["id"]: row["text"] for row in stored(tmp_path)}["row 5"] == "one"
    assert read_report(tmp_path).duplicates == 2


def test_failed_rows_are_tried_again_where_that_is_asked_for(tmp_path):
    align(tmp_path)
    bad = [row.id for row in ROWS if row.text == "bad"]
    good = [CorpusRow(row.id, text="one") for row in ROWS]
    assert align(tmp_path, good)[0] == []
    given, state = align(tmp_path, good, retry_failed=True)
    assert given == bad and (state.before, state.aligned, state.failed) == (54, 6, 0)
    assert sorted(ids(tmp_path)) == sorted(IDS) and all(row["error"] is None for row in stored(tmp_path))


def test_killed_while_failed_rows_are_tried_again(tmp_path):
    align(tmp_path)

    def killed(row):
        raise MemoryError  # an error that nobody expects

    with pytest.raises(MemoryError):
        align(tmp_path, retry_failed=True, aligner=FakeAligner(each_row=killed))
    assert len(ids(tmp_path)) == 54 and read_report(tmp_path).failed == 0
    align(tmp_path)
    assert sorted(ids(tmp_path)) == sorted(IDS)


def test_processes_share_rows_without_a_word(tmp_path):
    given = [align(tmp_path, rank=rank, processes=4)[0] for rank in (2, 0, 3, 1)]
    assert sorted(chain(*given)) == sorted(IDS) == sorted(ids(tmp_path)) and all(len(rows) > 5 for rows in given)
    assert read_report(tmp_path).complete
    assert {path.name for path in tmp_path.glob("rank-*")} == {f"rank-{rank:05d}" for rank in range(4)}


def test_processes_at_the_same_time_and_another_number_of_them(tmp_path):
    with CorpusFolder(tmp_path, 0, 2) as one, CorpusFolder(tmp_path, 1, 2) as two:
        for out in (one, two):
            out.begin({"source": "rows"})
        align_corpus(ROWS[:40], one, FakeAligner(), shard_rows=7)
        align_corpus(ROWS[:30], two, FakeAligner(), shard_rows=7)
    before = len(ids(tmp_path))
    given = [align(tmp_path, rank=rank, processes=3)[0] for rank in range(3)]
    assert sum(map(len, given)) == 60 - before and sorted(ids(tmp_path)) == sorted(IDS)


def test_failed_rows_that_others_shared_are_tried_again_in_one_process(tmp_path):
    for rank in range(2):
        align(tmp_path, rank=rank, processes=2)
    told = []
    for rank in range(3):
        try:
            align(tmp_path, rank=rank, processes=3, retry_failed=True)
        except ValueError as error:
            told.append(str(error))
    assert told and all("retry them in one" in message for message in told)
    good = [CorpusRow(row.id, text="one") for row in ROWS]
    assert len(align(tmp_path, good, retry_failed=True)[0]) == 6
    assert sorted(ids(tmp_path)) == sorted(IDS) and all(row["error"] is None for row in stored(tmp_path))


def test_a_limit_is_of_the_source_and_of_all_processes_together(tmp_path):
    for rank in range(2):
        align(tmp_path, rank=rank, processes=2, limit=25)
    assert sorted(ids(tmp_path)) == sorted(IDS[:25]) and not read_report(tmp_path).complete
    align(tmp_path, limit=40)
    assert sorted(ids(tmp_path)) == sorted(IDS[:40])
    align(tmp_path)
    assert sorted(ids(tmp_path)) == sorted(IDS)


@pytest.mark.parametrize(("first", "second"), [((0, 1), (0, 1)), ((1, 2), (1, 2)), ((1, 2), (0, 1)), ((0, 1), (1, 2))])
def test_two_runs_at_once_are_refused(first, second, tmp_path):
    with CorpusFolder(tmp_path, *first) as out:
        out.begin({})
        with pytest.raises(ValueError, match="another run writes into"), CorpusFolder(tmp_path, *second):
            pass
    with CorpusFolder(tmp_path, *second):
        pass


def test_a_run_that_was_begun_differently_is_named(tmp_path):
    align(tmp_path)
    with pytest.raises(ValueError, match="source was 'rows' and is 'others'"):
        align(tmp_path, asked="others")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("a")
    with pytest.raises(ValueError, match=r"holds 'thesis\.txt' and no manifest\.json"):
        align(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        align(tmp_path / "thesis.txt")
    with pytest.raises(ValueError, match="cannot be read"):
        read_report(tmp_path)


def test_what_was_spoiled_is_named(tmp_path):
    align(tmp_path)
    shard = shards(tmp_path)[2]
    content = shard.read_bytes()
    shard.write_bytes(content[:100])
    with pytest.raises(ValueError, match=r"000002\.parquet cannot be read .*aligned again"):
        align(tmp_path)
    shard.unlink()
    assert len(align(tmp_path)[0]) == 7 and sorted(ids(tmp_path)) == sorted(IDS)
    for content, message in (("{", "no JSON"), ("[]", "no manifest of version 1"), ('{"version": 2}', "version 1")):
        (tmp_path / folder.MANIFEST).write_text(content)
        with pytest.raises(ValueError, match=message):
            align(tmp_path)


def test_texts_that_no_file_can_hold_are_escapes(tmp_path):
    rows = [CorpusRow("caf\udce9", text="one \ud800"), CorpusRow("b", text="bad", error="\udce9")]
    for _ in range(2):
        align(tmp_path, rows)
        assert [(row["id"], row["text"]) for row in stored(tmp_path)] == [("caf\\udce9", "one \\ud800"), ("b", "bad")]


@pytest.mark.parametrize("share", [(2, 2), (-1, 1), (0, 0)])
def test_a_share_that_makes_no_sense(share, tmp_path):
    with pytest.raises(ValueError, match="process"):
        CorpusFolder(tmp_path, *share)
