"""README's Python runs as written, with small random checkpoints and the example recording in place of the names."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
REPLACED = {
    "Qwen/Qwen3-ForcedAligner-0.6B": ROOT / "tests" / "goldens" / "aligner",
    "Qwen/Qwen3-ASR-0.6B": ROOT / "tests" / "goldens" / "asr",
    "speech.wav": ROOT / "examples" / "sense_and_sensibility.flac",
}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_of_the_readme(number):
    code = BLOCKS[number].replace("max_new_tokens=256", "max_new_tokens=4")
    for name, path in REPLACED.items():
        code = code.replace(f'"{name}"', repr(str(path)))
    names = {}
    exec(compile(code, f"README.md, block {number + 1}", "exec"), names)
    if "result" in names:
        words = ["What", "is", "said", "word", "for", "word"]
        assert [chunk["text"] for chunk in names["result"]["chunks"]] == words
        assert [len(result["chunks"]) for result in names["results"]] == [6, 5]
    if "words" in names and "word_lists" in names:
        assert [word["text"] for word in names["words"][0]] == names["word_lists"][0]
    if "answer" in names:
        assert isinstance(names["text"], str)


def test_the_five_tasks_of_the_readme(tmp_path, monkeypatch):
    """As written, but with the small aligner, the example's recording under their names, and its text."""
    from transformers_qwen3_asr.cli.main import main

    section = README[README.index("Five tasks, a command each") : README.index("And more of what there is")]
    commands = re.findall(r"^    qwen3-asr (.*)$", section, re.MULTILINE)
    assert len(commands) == 5
    monkeypatch.chdir(tmp_path)
    recording = REPLACED["speech.wav"]
    (tmp_path / "recordings").mkdir()
    for name in ("lecture.mp3", "song.mp3", "speech.wav", "recordings/one.flac"):
        shutil.copy(recording, name)
        shutil.copy(recording.with_suffix(".txt"), Path(name).with_suffix(".txt"))
    text = recording.with_suffix(".txt").read_text(encoding="utf-8").split()
    Path("old.srt").write_text(f"1\n00:00:00,000 --> 00:00:09,000\n{' '.join(text)}\n", encoding="utf-8")
    for command in commands:
        assert main([*command.split(), "--model", "tiny-en", "--device", "cpu"]) == 0
    for made, content in {
        "lecture.srt": "-->",
        "grids/one.TextGrid": "IntervalTier",
        "new.srt": " ".join(text),
        "song.ass": "{\\k",
        "speech.html": "<html",
    }.items():
        assert content in Path(made).read_text(encoding="utf-8"), made


@pytest.mark.parametrize(
    "page",
    [
        *(
            "README.md",
            "docs/corpus.md",
            "docs/fine-tuning.md",
            "docs/formats.md",
            "docs/pictures.md",
            "docs/serving.md",
        ),
        "recipes/adapt_german/README.md",
    ],
)
def test_the_commands_of_a_page_are_understood(page):
    from transformers_qwen3_asr.cli.main import build_parser

    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^    qwen3-asr (.*)$", text, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        arguments = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
        build_parser().parse_args(arguments)  # exits where it does not understand


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/corpus.md",
        "docs/fine-tuning.md",
        "docs/formats.md",
        "docs/pictures.md",
        "docs/serving.md",
        "docs/vllm.md",
        "recipes/adapt_german/README.md",
    ],
)
def test_the_files_that_a_page_links_to_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), target


def test_the_python_of_the_page_on_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    pytest.importorskip("matplotlib", reason="plots need the extra [plot]")
    exec(code.replace('"speech.wav"', repr(str(REPLACED["speech.wav"]))), {})
    assert (tmp_path / "speech.html").exists() and (tmp_path / "speech.png").exists()


def test_screenshots_are_small():
    pictures = list((ROOT / "docs").glob("*.png"))
    assert pictures and all(picture.stat().st_size < 200_000 for picture in pictures)


def test_the_pages_name_files_and_folders_that_exist():
    text = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:examples|recipes|model_cards)/[^` ]*)`", text)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path
