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


def test_limits_of_cues(tmp_path, fails):
    words = "one two three four five six".split()
    chunks = [{"text": word, "timestamp": (0.4 * i, 0.4 * i + 0.4)} for i, word in enumerate(words)]
    (tmp_path / "a.json").write_text(json.dumps({"text": " ".join(words), "chunks": chunks}))
    call = ["convert", str(tmp_path / "a.json"), str(tmp_path / "a.srt")]
    assert main([*call, "--cues", "lines", "--max-line-length", "13"]) == 0
    assert "one two three\nfour five six\n" in (tmp_path / "a.srt").read_text()
    limits = ["--max-line-length", "13", "--max-lines", "1", "--max-cue-seconds", "3", "--min-gap", "0.1"]
    assert main([*call, "--cues", "lines", *limits]) == 0
    assert (tmp_path / "a.srt").read_text().splitlines()[:3] == ["1", "00:00:00,000 --> 00:00:01,100", "one two three"]
    assert "--max-lines needs --cues lines or karaoke" in fails(*call[1:], "--max-lines", "1")
    assert "--min-gap: min_gap=-1.0: seconds from 0 on" in fails(*call[1:], "--cues", "lines", "--min-gap", "-1")
    assert "min_gap is for cues='lines'" in fails(call[1], tmp_path / "b.ass", "--cues", "karaoke", "--min-gap", "1")


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
