"""`qwen3-asr convert`: formats by extension or by name, and every complaint in one line."""

import json

import pytest
from test_cli import RECORDING, run
from test_missing_packages import without

from transformers_qwen3_asr.cli import align
from transformers_qwen3_asr.cli.align import EXTENSIONS
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.formats.reading import read_spoken

SRT = "1\n00:00:00,100 --> 00:00:00,400\nSo\n\n2\n00:00:00,500 --> 00:00:01,000\nit\n"


@pytest.fixture
def cues(tmp_path):
    path = tmp_path / "speech.srt"
    path.write_text(SRT)
    return path


@pytest.fixture
def fails(capsys):
    """Runs a call that must fail; gives its one line."""

    def check(*arguments):
        assert main(["convert", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("qwen3-asr convert: error: ")
        return line

    return check


def test_by_extension_and_by_name(cues, tmp_path, capsys):
    assert main(["convert", str(cues), str(tmp_path / "new" / "a.tsv")]) == 0
    assert (tmp_path / "new" / "a.tsv").read_text() == "start\tend\ttext\n100\t400\tSo\n500\t1000\tit\n"
    labels = tmp_path / "labels.txt"
    assert main(["convert", str(cues), str(labels), "--to", "audacity"]) == 0
    assert labels.read_text() == "0.100000\t0.400000\tSo\n0.500000\t1.000000\tit\n"
    assert main(["convert", str(labels), str(tmp_path / "a.json"), "--from", "audacity", "--to", "whisper"]) == 0
    words = json.loads((tmp_path / "a.json").read_text())["word_segments"]
    assert words == [{"word": "So", "start": 0.1, "end": 0.4}, {"word": "it", "start": 0.5, "end": 1.0}]
    assert main(["convert", str(tmp_path / "a.json"), str(tmp_path / "a.ass"), "--cues", "karaoke"]) == 0
    assert r"{\k30}So {\k10}{\k50}it" in (tmp_path / "a.ass").read_text()
    assert capsys.readouterr() == ("", "")


def test_speakers(cues, tmp_path):
    (tmp_path / "a.rttm").write_text("SPEAKER talk 1 0 9 <NA> <NA> ann <NA> <NA>\n")
    call = ["convert", cues, tmp_path / "a.csv", "--rttm", tmp_path / "a.rttm", "--recording", "talk"]
    assert main([*map(str, call)]) == 0
    assert (tmp_path / "a.csv").read_text() == "start,end,text,speaker\n100,400,So,ann\n500,1000,it,ann\n"


def test_complaints_are_one_line(cues, tmp_path, fails):
    before = cues.read_bytes()
    assert "would be written over an input: IN" in fails(cues, cues)
    other = tmp_path / "a.rttm"
    other.write_text("")
    assert "would be written over an input: --rttm" in fails(cues, other, "--rttm", other, "--to", "csv")
    assert "there is no file" in fails(tmp_path / "none.srt", tmp_path / "a.csv")
    assert "unknown extension '.mp3'" in fails(cues, tmp_path / "a.mp3")
    assert "cannot be written (Is a directory)" in fails(cues, tmp_path, "--to", "csv")
    assert "is no folder" in fails(cues, cues / "a.csv")
    cues.write_text(SRT.replace("00:00:00,400", "00:00:00,600"))
    assert f"{cues}: cue 2 ('it') begins at 0.5 s, before cue 1 has ended at 0.6 s" in fails(cues, tmp_path / "a.csv")
    cues.write_bytes(before)
    assert not list(tmp_path.glob("a.csv"))


def test_unknown_names_are_told(cues, capsys):
    with pytest.raises(SystemExit):
        main(["convert", str(cues), "a.csv", "--to", "mp3"])
    assert "invalid choice: 'mp3'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "module", "name"), [("praatio", "praatio", "a.TextGrid"), ("pympi-ling", "pympi", "a.eaf")]
)
def test_missing_packages_are_named(package, module, name, cues, tmp_path, fails, monkeypatch):
    without(monkeypatch, module)
    assert f"files need {package}: pip install transformers-qwen3-asr[labels]" in fails(cues, tmp_path / name)
    (tmp_path / name).write_text("")
    assert f"files need {package}" in fails(tmp_path / name, tmp_path / "a.csv")


@pytest.mark.parametrize("extension", [*EXTENSIONS, "vtt karaoke", "ass karaoke"])
def test_align_writes_every_format(extension, tmp_path):
    extension, *cues = extension.split()
    if needed := {"TextGrid": "praatio", "eaf": "pympi", "vtt": "webvtt"}.get(extension):
        pytest.importorskip(needed, reason=f".{extension} needs the extra [labels]")
    call = [RECORDING, "--text", "one two", "--output", tmp_path / "out", "--format", extension]
    assert run(*call, *(["--cues", *cues] if cues else [])) == 0
    (path,) = (tmp_path / "out").iterdir()
    (spoken,) = read_spoken(path)
    assert [word.text for word in spoken.words] == ["one", "two"] and path.name == f"{RECORDING.stem}.{extension}"
    assert extension != "jsonl" or spoken.audio == str(RECORDING)


def test_align_is_told_of_missing_packages_before_it_computes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(align, "load_aligner", None)
    without(monkeypatch, "pympi")
    assert main(["align", str(RECORDING), "--text", "one", "--output", str(tmp_path / "a.eaf")]) == 2
    assert "--output ELAN files need pympi-ling" in capsys.readouterr().err
