"""`qwen3-asr align`: folders, texts of several kinds beside recordings, standard input, several formats, going on."""

import io
import json
import os
import shutil
import subprocess
import sys

import pysubs2
import pytest
from test_cli import ALIGNER, RECORDING, TEXT, WORDS, run, without_doubts

from transformers_qwen3_asr.cli.parts.summary import Aligned, table

SRT = """\
1
00:00:00,100 --> 00:00:00,400
And <i>Mister</i> John

2
00:00:00,500 --> 00:00:01,000
Dashwood
had then
"""


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "in"
    for name, text in (
        ("a.txt", "one two"),
        ("more/b.lab", "three"),
        ("more/c.json", json.dumps({"text": "four five"})),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        shutil.copy(RECORDING, (folder / name).with_suffix(".flac"))
    return folder


@pytest.fixture
def fails(capsys):
    def check(*arguments):
        assert run(*arguments) == 2
        (line,) = without_doubts(capsys.readouterr().err).splitlines()
        return line

    return check


def words_of(path):
    return [chunk["text"] for chunk in json.loads(path.read_text(encoding="utf-8"))["chunks"]]


def test_a_folder_with_texts_of_several_kinds(corpus, tmp_path):
    out = tmp_path / "out"
    assert run(corpus, "--output", out) == 0
    assert {path.name: words_of(path) for path in out.iterdir()} == {
        "a.json": ["one", "two"],
        "b.json": ["three"],
        "c.json": ["four", "five"],
    }


def test_folders_without_recordings_and_texts_that_are_none(corpus, tmp_path, fails):
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: is a folder without recordings" in fails(tmp_path / "empty")
    for content, wrong in (
        ("{", "is no JSON"),
        ('{"words": 1}', "is no JSON"),
        ('{"text": 5}', 'its "text" is no text'),
    ):
        (corpus / "more" / "c.json").write_text(content)
        line = fails(corpus / "more" / "c.flac")
        assert (
            line.startswith("qwen3-asr align: error: 1 of 1 recordings failed: ")
            and wrong in line
            and "c.json" in line
        )
    (corpus / "d.srt").write_text(SRT.replace("00:00:00,500", "00:00:00,300"))
    shutil.copy(RECORDING, corpus / "d.flac")
    assert "cue 2 ('Dashwood had then') begins at 0.3 s, before cue 1 has ended at 0.4 s" in fails(corpus / "d.flac")


def test_subtitles_keep_their_cues_and_get_new_times(tmp_path, fails):
    old, new = tmp_path / "old.srt", tmp_path / "new.srt"
    old.write_text(SRT)
    assert run(RECORDING, "--text-file", old, "--output", new) == 0
    events = pysubs2.load(str(new)).events
    assert [event.plaintext for event in events] == ["And Mister John", "Dashwood\nhad then"]
    assert run(RECORDING, "--text-file", old, "--unit", "word", "--output", tmp_path / "new.json") == 0
    assert words_of(tmp_path / "new.json") == "And Mister John Dashwood had then".split()
    stored = json.loads((tmp_path / "new.json").read_text())["chunks"]
    assert [event.start / 1000 for event in events] == [stored[0]["timestamp"][0], stored[3]["timestamp"][0]]
    for suffix in (".vtt", ".TextGrid"):  # one has line breaks, the other none
        assert run(RECORDING, "--text-file", old, "--output", tmp_path / f"new{suffix}") == 0
        found = (tmp_path / f"new{suffix}").read_text()
        assert ("Dashwood\nhad then" in found, "Dashwood had then" in found) == (suffix == ".vtt", suffix != ".vtt")
    song = tmp_path / "song.srt"
    song.write_text(SRT + "\n3\n00:00:02,000 --> 00:00:03,000\n♪\n")
    assert run(RECORDING, "--text-file", song, "--output", new) == 0
    assert [event.plaintext for event in pysubs2.load(str(new)).events][1:] == ["Dashwood\nhad then\n♪"]
    assert "would be written over an input" in fails(RECORDING, "--text-file", old, "--output", old)
    old.write_text(SRT.replace("0:00:00,500", "0:00:00,300"))
    line = fails(RECORDING, "--text-file", old, "--output", tmp_path / "no.srt")
    assert f"its text {old}: cue 2 (" in line and "begins at 0.3 s, before cue 1 has ended at 0.4 s" in line
    other = tmp_path / "a.txt"
    other.write_text("one")
    line = fails(RECORDING, tmp_path / "a.flac", "--text-file", old, "--text-file", other)
    assert f"{old} is subtitles and {other} is not" in line


def test_several_formats_at_once(corpus, tmp_path, fails):
    out = tmp_path / "out"
    formats = ("--format", "srt", "--format", "json", "--format", "TextGrid")
    assert run(corpus / "a.flac", "--output", out, *formats, "--cues", "lines") == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.TextGrid", "a.json", "a.srt"]
    assert [event.plaintext for event in pysubs2.load(str(out / "a.srt")).events] == ["one two"]
    assert words_of(out / "a.json") == ["one", "two"]
    assert "--format json disagrees" in fails(corpus / "a.flac", "--output", tmp_path / "a.srt", *formats)


def test_finished_recordings_are_skipped(corpus, tmp_path, capsys, fails):
    out = tmp_path / "out"
    assert run(corpus / "a.flac", "--output", out) == 0
    before = (out / "a.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run(corpus, "--output", out, "--skip-existing") == 0
    assert "note: 1 of 3 recordings are finished, and skipped" in capsys.readouterr().err
    assert (out / "a.json").stat().st_mtime_ns == before and len(list(out.iterdir())) == 3
    # of several formats one may be missing
    assert run(corpus, "--output", out, "--skip-existing", "--format", "json", "--format", "ctm") == 0
    assert (out / "a.ctm").exists() and (out / "a.json").stat().st_mtime_ns > before
    assert "--skip-existing needs --output" in fails(corpus, "--skip-existing")


def test_lines_of_json(corpus, tmp_path, capsys, fails):
    assert run(corpus, "--json-lines") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["audio"] for row in rows] == [str(corpus / name) for name in ("a.flac", "more/b.flac", "more/c.flac")]
    assert [[chunk["text"] for chunk in row["chunks"]] for row in rows] == [
        ["one", "two"],
        ["three"],
        ["four", "five"],
    ]
    assert "--json-lines is what is printed" in fails(corpus, "--json-lines", "--output", tmp_path / "out")


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="standard input has no name here")
def test_standard_input():
    call = [
        sys.executable,
        "-m",
        "transformers_qwen3_asr",
        "align",
        "--model",
        ALIGNER,
        "--device",
        "cpu",
        "--json-lines",
    ]
    done = subprocess.run([*call, "-", "--text", TEXT], input=RECORDING.read_bytes(), capture_output=True)
    row = json.loads(done.stdout)
    assert row["audio"] == "/dev/stdin" and [chunk["text"] for chunk in row["chunks"]] == WORDS
    text = subprocess.run([*call, str(RECORDING), "--text-file", "-"], input=TEXT.encode(), capture_output=True)
    assert json.loads(text.stdout)["chunks"] == row["chunks"]
    twice = subprocess.run([*call, "-", "--text-file", "-"], input=b"", capture_output=True)
    assert twice.returncode == 2 and b"standard input is one recording or one text" in twice.stderr


def test_a_summary_where_a_person_looks_on(corpus, tmp_path, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    (corpus / "more" / "b.lab").unlink()
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    assert run(corpus, "--output", tmp_path / "out") == 2
    shown = screen.getvalue()
    assert "recording" in shown and f"{corpus / 'a.flac'}" in shown and "failed: no --text or --text-file" in shown
    assert "3 recordings" in shown


def test_the_summary():
    result = {
        "chunks": [{"score": 0.9}, {"score": 0.3}],
        "score": 0.61,
        "fits": True,
        "unfit": [],
        "untranscribed": [{"timestamp": (1.0, 2.5)}, {"timestamp": (4.0, 4.5)}],
    }
    assert table([Aligned.of("a.wav", result)], [("b.wav", "no such file")]).splitlines() == [
        "recording     words  doubtful  score",
        "a.wav             2         1   0.61  2.0 s that the text lacks",
        "b.wav                                 failed: no such file",
        "2 recordings      2         1",
    ]
    assert Aligned.of("c", {**result, "fits": False, "untranscribed": []}).odd == "the text may not be what is said"
