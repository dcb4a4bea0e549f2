"""The command `qwen3-asr transcribe` on the small random recogniser and aligner of tests/goldens."""

import json

import pysubs2
import pytest
from conftest import ROOT, two_seconds
from transformers import pipeline

from transformers_qwen3_asr.cli.main import main

RECOGNISER, ALIGNER = (str(ROOT / "tests" / "goldens" / name) for name in ("asr", "aligner"))
OPTIONS = ["--model", RECOGNISER, "--device", "cpu", "--dtype", "float32", "--language", "English"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds, since a random recogniser says as much as it may."""
    return two_seconds(tmp_path_factory.mktemp("clips") / "clip.wav")


@pytest.fixture
def fails(capsys):
    def check(*arguments):
        try:
            status = main(["transcribe", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        *_, line = capsys.readouterr().err.splitlines()
        assert status == 2 and line.startswith("qwen3-asr transcribe: error: ")
        return line

    return check


def test_texts_words_and_files(clip, tmp_path, capsys):
    recognise = pipeline("automatic-speech-recognition", model=RECOGNISER, dtype="float32", device="cpu")
    heard = recognise(str(clip), language="English", context="Norland")
    assert main(["transcribe", str(clip), *OPTIONS, "--context", "Norland"]) == 0
    assert capsys.readouterr().out == " ".join(heard["text"].split()) + "\n"
    assert main(["transcribe", str(clip), *OPTIONS, "--context", "Norland", "--json-lines"]) == 0
    assert json.loads(capsys.readouterr().out) == {"audio": str(clip), **heard}
    out = tmp_path / "out"
    timed = ["--aligner", ALIGNER, "--output", str(out), "--format", "json", "--format", "srt"]
    assert main(["transcribe", str(clip), *OPTIONS, *timed]) == 0
    aligner = pipeline("forced-alignment", model=ALIGNER, dtype="float32", device="cpu")
    result = recognise(str(clip), language="English", return_timestamps="word", aligner=aligner)
    stored = json.loads((out / "clip.json").read_text(encoding="utf-8"))
    assert stored["text"] == result["text"] and stored["language"] == "English"
    assert [chunk["timestamp"] for chunk in stored["chunks"]] == [list(c["timestamp"]) for c in result["chunks"]]
    shown = [" ".join(chunk["text"].split()) for chunk in result["chunks"]]
    assert [event.plaintext for event in pysubs2.load(str(out / "clip.srt")).events] == shown
    before = (out / "clip.srt").stat().st_mtime_ns
    assert main(["transcribe", str(clip), *OPTIONS, *timed, "--skip-existing"]) == 0
    assert (out / "clip.srt").stat().st_mtime_ns == before
    assert "1 of 1 recordings are finished" in capsys.readouterr().err


def test_calls_that_make_no_sense(clip, tmp_path, fails):
    assert "--output needs --aligner" in fails(clip, "--output", tmp_path / "a.srt")
    assert "--unit needs --aligner" in fails(clip, "--unit", "line")
    assert "AUDIO" in fails()
    assert f"1 of 1 recordings failed: {tmp_path / 'none.wav'}: no such file" in fails(tmp_path / "none.wav")
    both = ["--device", "cpu", "--output", tmp_path / "a.srt"]
    line = fails(clip, "--model", RECOGNISER, "--aligner", RECOGNISER, *both)
    assert f"--aligner {RECOGNISER} is a speech recogniser, and gives no times" in line
    for aligner in (ALIGNER, "tiny-en"):
        line = fails(clip, "--model", aligner, "--device", "cpu")
        assert f"--model {aligner} is an aligner, which writes no text" in line and "--aligner" in line


def test_one_that_is_no_recording_does_not_stop_the_others(clip, tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    assert main(["transcribe", str(tmp_path / "bad.wav"), str(clip), *OPTIONS]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith(f"# {clip}\n") and "1 of 2 recordings failed: " in captured.err
    assert "bad.wav" in captured.err
