"""`align --html` and `qwen3-asr view`: which files they write, what they open, and every complaint in one line."""

import json
import os
import re
import shutil
import webbrowser

import pytest
from test_cli import RECORDING, TEXT, fails, folder, run  # noqa: F401, fixtures
from test_missing_packages import without

from transformers_qwen3_asr.cli import align
from transformers_qwen3_asr.cli.main import main


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser was asked to open."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


@pytest.fixture
def refused(capsys, opened):
    """Runs a call of `view` that must fail; gives its one line."""

    def check(*arguments):
        capsys.readouterr()
        assert main(["view", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("qwen3-asr view: error: ") and not opened
        return line

    return check


def data_of(page):
    """What a page shows."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script id="data" type="application/json">(.*)</script>', text)[1])


def words_of(page):
    return [item[3].strip() for row in data_of(page)["rows"] for item in row["items"] if len(item) > 2]


def test_a_page_beside_and_instead_of_other_files(tmp_path, capsys):
    page = tmp_path / "new" / "speech.html"
    assert run(RECORDING, "--text", TEXT, "--html", page) == 0
    assert words_of(page) == TEXT.split() and "<title>sense_and_sensibility</title>" in page.read_text()
    assert capsys.readouterr().out == ""
    assert run(RECORDING, "--text", TEXT, "--html", tmp_path / "b.htm", "--output", tmp_path / "b.srt", "--show") == 0
    assert (tmp_path / "b.srt").exists() and words_of(tmp_path / "b.htm") == TEXT.split()
    assert len(capsys.readouterr().out.splitlines()) == len(TEXT.split())


def test_pages_of_several_recordings(folder, capsys):  # noqa: F811
    recordings = [folder / f"{name}.flac" for name in "abc"]
    assert run(*recordings, "--html", folder / "pages") == 0
    assert [words_of(folder / "pages" / f"{name}.html") for name in "ac"] == [["one", "two"], ["three"]]
    assert words_of(folder / "pages" / "b.html") == TEXT.split()


def test_plots(folder, capsys):  # noqa: F811
    pytest.importorskip("matplotlib", reason="plots need the extra [plot]")
    a, c = folder / "a.flac", folder / "c.flac"
    assert run(a, "--plot", folder / "a.svg", "--html", folder / "a.html") == 0
    assert "<svg" in (folder / "a.svg").read_text() and words_of(folder / "a.html") == ["one", "two"]
    assert run(a, c, "--plot", folder / "plots", "--output", folder / "out") == 0
    assert {path.name for path in (folder / "plots").iterdir()} == {"a.png", "c.png"}
    assert (folder / "plots" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_complaints_of_plots(folder, fails, monkeypatch):  # noqa: F811
    monkeypatch.setattr(align, "load_aligner", None)
    pytest.importorskip("matplotlib", reason="plots need the extra [plot]")
    assert "a plot's extension is one of" in fails(folder / "a.flac", "--plot", folder / "a.doc")
    without(monkeypatch, "matplotlib")
    line = fails(folder / "a.flac", "--plot", folder / "a.png")
    assert "--plot: a plot needs matplotlib: pip install 'transformers-qwen3-asr[plot]'" in line
    assert not (folder / "a.png").exists()


def test_complaints_of_align(folder, fails):  # noqa: F811
    a, b = folder / "a.flac", folder / "b.flac"
    assert "one file for 2 recordings" in fails(a, b, "--html", folder / "a.html")
    assert "--html" in (line := fails(a, "--html", folder / "a.png")) and ".html" in line
    shutil.copy(a, folder / "d.html")
    (folder / "d.txt").write_text("one")
    assert "would be written over an input: recording" in fails(folder / "d.html", "--html", folder / "d.html")
    assert "several recordings" in fails(a, a, "--html", folder / "pages")
    os.mkfifo(folder / "pipe")
    assert "is a pipe" in fails(folder / "pipe", "--text", "one", "--html", folder / "g.html")
    assert not (folder / "g.html").exists() and not (folder / "pages").exists()
    (folder / "a.html").mkdir()
    assert run(a, "--html", folder) == 2 and not list((folder / "a.html").iterdir())


def test_a_page_is_opened(tmp_path, opened, refused):
    page = tmp_path / "a b.html"
    page.write_text("")
    assert main(["view", str(page)]) == 0
    assert opened == [page.resolve().as_uri()] and page.read_text() == ""
    opened.clear()
    assert "--audio is for a file that is no page yet" in refused(page, "--audio", RECORDING)
    assert "there is no file" in refused(tmp_path / "c.html")


def test_a_result_becomes_a_page(tmp_path, opened, capsys):
    passages = {"unfit": [{"timestamp": [1.0, 2.5]}], "untranscribed": [{"timestamp": [3.0, 4.0]}], "fits": False}
    chunks = [{"text": word, "timestamp": [place + 1, place + 1.9]} for place, word in enumerate(("One", "two", "6"))]
    content = {"version": 1, "text": "One, two; 6!", "chunks": chunks, "score": 0.2, **passages}
    (tmp_path / "speech.json").write_text(json.dumps(content))
    shutil.copy(RECORDING, tmp_path / "speech.flac")
    assert main(["view", str(tmp_path / "speech.json")]) == 0
    assert opened == [(tmp_path / "speech.html").resolve().as_uri()]
    assert str(tmp_path / "speech.html") in capsys.readouterr().err
    data = data_of(tmp_path / "speech.html")
    assert data["rows"] == [
        {"items": [[1.0, 1.9, None, "One, ", 1], [2.0, 2.9, None, "two; ", 1], [3.0, 4.0], [3.0, 3.9, None, "6!", 0]]}
    ]
    assert (data["score"], data["fits"]) == (0.2, False)
    # once more, over the page of before
    assert main(["view", str(tmp_path / "speech.json")]) == 0 and len(opened) == 2


@pytest.mark.parametrize("suffix", ["srt", "vtt", "ass", "TextGrid", "eaf", "ctm", "tsv", "csv", "aud", "jsonl"])
def test_any_format_becomes_a_page(tmp_path, opened, suffix):
    if needed := {"TextGrid": "praatio", "eaf": "pympi", "vtt": "webvtt"}.get(suffix):
        pytest.importorskip(needed, reason=f".{suffix} needs the extra [labels]")
    assert run(RECORDING, "--text", TEXT, "--output", tmp_path / f"speech.{suffix}") == 0
    page = tmp_path / "pages" / "speech.html"
    assert main(["view", str(tmp_path / f"speech.{suffix}"), "--audio", str(RECORDING), "--output", str(page)]) == 0
    assert [word.strip(",.") for word in words_of(page)] == [word.strip(",.") for word in TEXT.split()]
    assert opened == [page.resolve().as_uri()]


def test_complaints_of_view(tmp_path, refused):
    cues = tmp_path / "speech.srt"
    cues.write_text("1\n00:00:00,100 --> 00:00:00,400\nSo\n")
    assert f"{cues}: there is no recording 'speech'" in (line := refused(cues)) and "say audio=" in line
    assert "no existing file" in refused(cues, "--audio", tmp_path / "none.wav")
    assert "cannot be decoded" in refused(cues, "--audio", cues)
    assert "would be written over an input: FILE" in refused(cues, "--audio", RECORDING, "--output", cues)
    assert "is no folder" in refused(cues, "--audio", RECORDING, "--output", cues / "a.html")
    (tmp_path / "speech.html").write_text("somebody's own")
    assert "no page of this command: say --output" in refused(cues, "--audio", RECORDING)
    assert (tmp_path / "speech.html").read_text() == "somebody's own"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unfit", [{"timestamp": [2, 1]}]),
        ("untranscribed", 3),
        ("untranscribed", [{}]),
        ("score", "high"),
        ("fits", 1),
    ],
)
def test_odd_passages_are_named(tmp_path, refused, key, value):
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({"version": 1, "chunks": [{"text": "a", "timestamp": [0, 1]}], key: value}))
    line = refused(odd, "--audio", RECORDING)
    assert str(odd) in line and repr(key) in line and not (tmp_path / "odd.html").exists()


def test_passages_are_read_of_json_by_any_name(tmp_path, opened):
    row = {"text": "a", "audio": str(RECORDING), "words": [{"text": "a", "start": 0, "end": 1}]}
    (tmp_path / "lines.json").write_text(f"{json.dumps(row)}\n\n")
    assert main(["view", str(tmp_path / "lines.json"), "--from", "jsonl"]) == 0
    result = {"version": 1, "text": "a", "chunks": [{"text": "a", "timestamp": [0, 1]}], "fits": False}
    (tmp_path / "result").write_text(json.dumps(result))
    assert main(["view", str(tmp_path / "result"), "--from", "json", "--audio", str(RECORDING)]) == 0
    assert [data_of(tmp_path / f"{name}.html")["fits"] for name in ("lines", "result")] == [True, False]


def test_one_of_several_and_no_browser(tmp_path, refused, monkeypatch):
    lines, page = tmp_path / "two.ctm", tmp_path / "two.html"
    lines.write_text("a 1 0.1 0.2 one\nb 1 0.1 0.2 two\n")
    assert "holds 2 recordings ('a', 'b')" in refused(lines, "--audio", RECORDING)
    assert "has no recording 'c'" in refused(lines, "--audio", RECORDING, "--recording", "c")
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    line = refused(lines, "--audio", RECORDING, "--recording", "b")
    assert f"there is no browser to open {page} with" in line and words_of(page) == ["two"]
