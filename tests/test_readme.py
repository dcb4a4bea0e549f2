"""README's Python runs as written, with small random checkpoints and the example recording in place of the names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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


def test_the_commands_of_the_readme_are_understood():
    from transformers_qwen3_asr.cli.main import build_parser

    lines = re.findall(r"^    qwen3-asr (.*)$", README, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        arguments = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
        assert build_parser().parse_args(arguments).audio


def test_the_files_that_the_readme_links_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
