"""The commands `qwen3-asr align-dataset` and `corpus-report` on the bundled aligner."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from corpus_clips import clips

from transformers_qwen3_asr.cli import align_dataset
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.corpus import SOURCE_FORMATS
from transformers_qwen3_asr.corpus.folder import read_shard, shards

ROWS = clips(30)


@pytest.fixture
def source(tmp_path):
    """A file of thirty rows, of which two have no audio and no text."""
    rows = [dict(row) for row in ROWS]
    rows[4]["audio"], rows[9]["text"] = b"no recording", "  "
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    return tmp_path / "x.parquet"


@pytest.fixture
def align(tmp_path, source, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        try:
            command = ["align-dataset", str(source), str(tmp_path / "out"), "--model", "tiny-en", "--device", "cpu"]
            return main([*command, "--language", "en", *map(str, arguments)])
        except SystemExit as exit:
            return exit.code

    return run


def stored(path):
    return [row for shard in shards(path) for row in read_shard(shard).to_pylist()]


def test_a_corpus_its_report_and_again(align, tmp_path, capsys):
    assert align("--shard-rows", 8) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "28 aligned, 2 failed (complete)" in captured.out
    rows = {row["id"]: row for row in stored(tmp_path / "out")}
    assert len(shards(tmp_path / "out")) == 4 and sorted(rows) == sorted(row["id"] for row in ROWS)
    assert {row["error_kind"] for row in rows.values()} == {None, "audio", "text"}
    for row in ROWS:
        if rows[row["id"]]["error"] is None:
            assert " ".join(word["text"] for word in rows[row["id"]]["words"]) == row["text"]
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path / "out")}
    assert align() == 0 and {path: path.stat().st_mtime_ns for path in shards(tmp_path / "out")} == before
    capsys.readouterr()
    assert main(["corpus-report", str(tmp_path / "out"), "--worst", "3"]) == 0
    out = capsys.readouterr().out
    assert "failed: audio     1" in out and "its text is empty" in out
    assert len(out.split("lowest scores\n")[1].splitlines()) == 3


def test_repaired_rows_are_tried_again(align, tmp_path, source, capsys):
    assert align("--limit", 12) == 0
    assert "10 aligned, 2 failed (not complete" in capsys.readouterr().out
    pq.write_table(pa.Table.from_pylist(ROWS), source)
    assert align("--retry-failed") == 0
    assert "30 aligned, 0 failed (complete)" in capsys.readouterr().out
    assert len(stored(tmp_path / "out")) == 30


def test_going_on_in_a_source_that_skips_what_is_finished(align, tmp_path, source, capsys):
    rows = clips(60)
    pq.write_table(pa.Table.from_pylist(rows), source, row_group_size=10)
    assert align("--limit", 35, "--shard-rows", 10) == 0
    assert align("--shard-rows", 10) == 0
    assert "60 aligned, 0 failed (complete)" in capsys.readouterr().out
    found = {row["id"]: row["text"] for row in stored(tmp_path / "out")}
    assert found == {row["id"]: row["text"] for row in rows} and len(stored(tmp_path / "out")) == 60


def test_duplicate_ids_are_named(align, source, capsys):
    pq.write_table(pa.Table.from_pylist([*ROWS[:3], ROWS[1]]), source)
    assert align() == 0
    captured = capsys.readouterr()
    assert "note: 1 rows have an id that a row before them has (clip-00001)" in captured.err
    assert "duplicate ids   1" in captured.out


def test_processes_that_a_launcher_started(align, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "10":
        monkeypatch.setenv("RANK", rank)
        assert align() == 0
        captured = capsys.readouterr()
        assert captured.err.startswith(f"qwen3-asr align-dataset: process {rank} of 2: ") and captured.out == ""
    assert sorted(row["id"] for row in stored(tmp_path / "out")) == sorted(row["id"] for row in ROWS)


def test_a_long_run_tells_how_far_it_is(align, monkeypatch, capsys):
    monkeypatch.setattr(align_dataset, "_LOG_SECONDS", 0.0)
    assert align("--batch-size", 2) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 10 and all("of 30 rows" in line and "audio s/s" in line for line in lines)
    assert any(line.endswith(" left") for line in lines)


REFUSED = {
    "model": (["--model", "nothing/there"], "--model nothing/there"),
    "column": (["--text-column", "words"], "no column 'words'; it has id, audio, text"),
    "format": (["--format", "audiofolder"], "holds nothing of the format audiofolder"),
    "limit": (["--limit", "0"], "argument --limit"),
    "seconds": (["--max-align-seconds", "-1"], "max_align_seconds=-1"),
    "language": (["--language", " "], "language"),
    "device": (["--device", "nowhere"], "--device nowhere"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_one_line(what, align, capsys):
    arguments, message = REFUSED[what]
    assert align(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("qwen3-asr align-dataset: error: ") and message in line
    assert align("--limit", 1) == 0  # nothing stays that the right command would differ from


def test_a_run_that_was_begun_differently_is_refused(align, capsys):
    assert align("--limit", 1) == 0
    capsys.readouterr()
    assert align("--decoding", "argmax") == 2
    assert "decoding was 'joint' and is 'argmax'" in capsys.readouterr().err


def test_a_folder_in_its_own_source_is_refused(tmp_path, capsys):
    assert main(["align-dataset", str(tmp_path), str(tmp_path / "out"), "--model", "tiny-en"]) == 2
    assert "OUT is in SOURCE" in capsys.readouterr().err


def test_a_full_disk_is_told(align, monkeypatch, capsys):
    from transformers_qwen3_asr import whole_files

    whole = whole_files._replace

    def full(path, data, found):
        if path.name == "000001.parquet":
            raise OSError(28, os.strerror(28))
        return whole(path, data, found)

    monkeypatch.setattr(whole_files, "_replace", full)
    assert align("--shard-rows", 10) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "000001.parquet" in line and "No space left on device; what was finished stays" in line


def test_a_report_of_nothing(tmp_path, capsys):
    assert main(["corpus-report", str(tmp_path)]) == 2
    assert "manifest.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("values", [("2", "2"), ("x", "1"), ("-1", "2")])
def test_a_launcher_that_makes_no_sense(values, align, monkeypatch, capsys):
    monkeypatch.setenv("RANK", values[0])
    monkeypatch.setenv("WORLD_SIZE", values[1])
    assert align() == 2
    assert f"RANK={values[0]}, WORLD_SIZE={values[1]}" in capsys.readouterr().err


def test_the_help_names_every_format():
    assert align_dataset.FORMATS == SOURCE_FORMATS


def test_asked_to_end_it_writes_what_is_done(tmp_path):
    """SIGTERM, as of a queue that wants its machine back; and a second run beside it is refused."""
    pq.write_table(pa.Table.from_pylist(clips(3000)), tmp_path / "x.parquet")
    command = [sys.executable, "-m", "transformers_qwen3_asr", "align-dataset", str(tmp_path / "x.parquet")]
    command += [str(tmp_path / "out"), "--model", "tiny-en", "--device", "cpu", "--shard-rows", "20"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not shards(tmp_path / "out") and run.poll() is None:
            time.sleep(0.05)
        assert main(command[3:]) == 2
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate()
    finally:
        run.kill()
    assert run.returncode == 143 and "terminated; what was finished stays" in err
    rows = stored(tmp_path / "out")
    assert len({row["id"] for row in rows}) == len(rows) >= 20
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["model"] == "tiny-en"


@pytest.mark.slow
def test_accelerate_launch(source, tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--main_process_port", "0"]
    command += ["--config_file", str(ROOT / "examples" / "accelerate" / "ddp.yaml")]
    command += ["-m", "transformers_qwen3_asr", "align-dataset"]
    command += [str(source), str(tmp_path / "out"), "--model", "tiny-en", "--device", "cpu"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 0, done.stderr
    assert sorted(row["id"] for row in stored(tmp_path / "out")) == sorted(row["id"] for row in ROWS)
    assert len(list((tmp_path / "out").glob("rank-*/pass.json"))) == 2
