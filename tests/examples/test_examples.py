"""Each script of examples/ with cells runs from beginning to end, on the bundled aligner, and makes what it says."""

import sys
from pathlib import Path

import pysubs2
import pytest
from conftest import GOLDENS, ROOT

EXAMPLES = ROOT / "examples"
WORDS = (EXAMPLES / "sense_and_sensibility.txt").read_text(encoding="utf-8").split()
#: Script -> what it prints, and the files that it makes below build/examples/ with what is in them.
SCRIPTS = {
    "subtitles": ("Mister John Dashwood", {"lecture.srt": "how much there might", "phone.vtt": "WEBVTT"}),
    "textgrid_for_a_lab": ("words", {"grids/first.TextGrid": "IntervalTier", "grids/second.TextGrid": "IntervalTier"}),
    "retime_subtitles": ("5.00 -> ", {"new.srt": "to consider, how much"}),
    "karaoke": ("{\\k", {"song.ass": "{\\k", "song.vtt": "Mister<00:00:00"}),
    "doubtful_words": ("may not be said: with great care", {"doubts.html": "<html"}),
    "transcription": ("", {"heard.srt": "-->", "heard.json": '"chunks"'}),
    "fine_tuning": ("1 recordings, 22 words", {"fine-tuning/my-aligner/config.json": "qwen3_asr"}),
    "corpus": ("2 aligned, 1 failed", {"aligned/manifest.json": "corpus"}),
}


def code_of(name):
    code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    return code.replace("Qwen/Qwen3-ASR-0.6B", str(GOLDENS / "asr"))


def test_every_script_with_cells_is_run():
    with_cells = {path.stem for path in EXAMPLES.glob("*.py") if "\n# %%" in path.read_text(encoding="utf-8")}
    assert with_cells == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_what_it_says(name, tmp_path, monkeypatch, capsys):
    if name == "textgrid_for_a_lab":
        pytest.importorskip("praatio", reason="TextGrid needs the extra [labels]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    Path("examples").symlink_to(EXAMPLES)
    code = code_of(name)
    cells = code.split("\n# %%")
    assert len(cells) >= 4 and all(cell.split("\n", 1)[0].strip() for cell in cells[1:])  # each says what it is
    if name == "transcription":  # a random recogniser says as much as it may
        code = code.replace('aligner="tiny-en")', 'aligner="tiny-en", generate_kwargs={"max_new_tokens": 150})')
    exec(compile(code, f"examples/{name}.py", "exec"), {"__name__": "__main__"})
    said, files = SCRIPTS[name]
    assert said in capsys.readouterr().out
    for made, content in files.items():
        assert content in (Path("build/examples") / made).read_text(encoding="utf-8"), made


def test_new_times_are_those_of_the_words(tmp_path, monkeypatch):
    """The cues stay, and come when they are said."""
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(EXAMPLES)
    exec(compile(code_of("retime_subtitles"), "retime_subtitles.py", "exec"), {"__name__": "__main__"})
    old, new = (pysubs2.load(f"build/examples/{name}.srt") for name in ("old", "new"))
    assert " ".join(cue.plaintext for cue in new).split() == WORDS
    assert [cue.plaintext for cue in old] == [cue.plaintext for cue in new]
    assert [cue.start / 1000 for cue in new] == pytest.approx([0.26, 2.72, 4.94], abs=0.05)
