"""docs/coming-from.md: each command and each piece of Python of ours runs as written, with small models."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import GOLDENS, ROOT, two_seconds

from transformers_qwen3_asr.cli.main import main

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"`qwen3-asr (.+?)`", PAGE)))
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
RECOGNISER = str(GOLDENS / "asr")
TEXT = "And Mister John"
WHISPER = """{"segments": [{"start": 0.1, "end": 1.4, "text": " And Mister John", "words": [
{"word": " And", "start": 0.1, "end": 0.4, "KEY": 0.9}, {"word": " Mister", "start": 0.4, "end": 0.9, "KEY": 0.9},
{"word": " John", "start": 0.9, "end": 1.4, "KEY": 0.9}]}], "language": "en"}"""
MFA = """File type = "ooTextFile"\nObject class = "TextGrid"\n
0\n2\n<exists>\n1\n"IntervalTier"\n"words"\n0\n2\n3\n0\n0.1\n""\n0.1\n0.4\n"and"\n0.4\n2\n""\n"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds, since a random recogniser says as much as it may."""
    return two_seconds(tmp_path_factory.mktemp("clip") / "talk.wav")


@pytest.fixture
def desk(tmp_path, monkeypatch, clip):
    """A folder with what the page names."""
    monkeypatch.chdir(tmp_path)
    for name in ("talk.wav", "talk.mp3", "corpus/one.wav", "corpus/two.wav"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, name)
        Path(name).with_suffix(".txt").write_text(TEXT)
    Path("old.srt").write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{TEXT}\n")
    Path("whisper.json").write_text(WHISPER.replace("KEY", "probability"))
    Path("whisperx.json").write_text(WHISPER.replace("KEY", "score"))
    Path("mfa.TextGrid").write_text(MFA)
    Path("words.rttm").write_text("SPEAKER words 1 0 2 <NA> <NA> Ann <NA> <NA>\n")
    assert main(["convert", "whisperx.json", "words.json"]) == 0
    return tmp_path


def as_run(command):
    """A command's arguments, with small models in place of the published ones."""
    verb, *arguments = shlex.split(command.replace("Qwen/Qwen3-ForcedAligner-0.6B", "tiny-en"))
    if verb == "transcribe":
        arguments += ["--model", RECOGNISER]
    elif verb in ("align", "align-dataset"):
        arguments += ["--model", "tiny-en"]
    if verb == "train":
        return [verb, *arguments, "--max-steps", "1", "--use-cpu"]
    return [verb, *arguments, *([] if verb == "convert" else ["--device", "cpu"])]


def output_of(arguments):
    """The file or folder that a command writes, or `None`."""
    if arguments[0] == "convert":
        return Path(arguments[2])
    if arguments[0] == "align-dataset":
        return Path(arguments[2])
    return Path(arguments[arguments.index("--output") + 1]) if "--output" in arguments else None


def test_the_page_has_commands_of_every_verb():
    assert len(COMMANDS) >= 18
    verbs = {command.split()[0] for command in COMMANDS}
    assert verbs == {"align", "align-dataset", "convert", "evaluate", "train", "transcribe"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs(command, desk, capsys):
    for library in ("praatio", "pympi"):
        pytest.importorskip(library, reason="TextGrid and ELAN need the extra [labels]")
    arguments = as_run(command)
    if "grids" in arguments and output_of(arguments) != Path("grids"):
        assert main(as_run("align corpus --output grids --format TextGrid")) == 0
    assert main(arguments) == 0, capsys.readouterr().err
    written = output_of(arguments)
    if written is None:
        assert capsys.readouterr().out.strip()
    else:
        assert any(written.iterdir()) if written.is_dir() else written.stat().st_size
    if arguments[0] == "align" and written is not None and written.is_dir():
        assert {path.stem for path in written.iterdir()} == {"one", "two"}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_of_the_page(number, clip):
    code = BLOCKS[number]
    for name, path in {
        "Qwen/Qwen3-ForcedAligner-0.6B": GOLDENS / "aligner",
        "Qwen/Qwen3-ASR-0.6B": GOLDENS / "asr",
        "speech.wav": clip,
    }.items():
        code = code.replace(f'"{name}"', repr(str(path)))
    names = {}
    exec(compile(code, f"coming-from.md, block {number + 1}", "exec"), names)
    if "heard" in names:
        assert [chunk["text"] for chunk in names["result"]["chunks"]] == ["What", "is", "said"]
        assert set(names["heard"]) >= {"text", "language", "chunks"}


def test_links_of_the_page():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
