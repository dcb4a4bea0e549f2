"""`qwen3-asr align` and its files: names of any bytes, outputs that are inputs, full disks, ends before the end."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from conftest import ROOT
from test_cli import ALIGNER, RECORDING, fails, folder, run, words_of  # noqa: F401  fixtures

from transformers_qwen3_asr.cli import align, files
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.formats import writing as writers

POSIX = pytest.mark.skipif(os.name != "posix", reason="how POSIX has files")
SAME = [ALIGNER, "--device", "cpu", "--dtype", "float32"]


@pytest.fixture
def no_model(monkeypatch):
    """What is refused is refused before anything is loaded."""
    monkeypatch.setattr(align, "load_aligner", None)


def process(*arguments, before="", env=(), **options):
    """The command in a process of its own, after some code; bytes in and out."""
    code = f"import sys\n{before}\nfrom transformers_qwen3_asr.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **dict(env)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, "align", *arguments, "--model", *SAME]
    return subprocess.run(command, capture_output=True, env=environment, timeout=300, **options)


@POSIX
def test_names_and_words_of_any_bytes_in_any_locale(tmp_path):
    if sys.platform == "darwin":
        pytest.skip("names are UTF-8 there")
    names = [b"Stra\xc3\x9fe", b"caf\xe9"]
    for name in names:
        shutil.copy(RECORDING, os.fsencode(tmp_path) + b"/" + name + b".flac")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    call = [name + b".flac" for name in names] + [b"n\xc3\xb6.flac", b"a", "--output", b"aus\xe9/", "--show"]
    # the text as it was typed, whatever the locale takes it for
    for text in ("eine Straße", "zwei Straßen", "drei"):
        call += ["--text", text.encode()]
    done = process(*call, "--text", b"caf\xe9", env=plain, cwd=tmp_path)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    lines = done.stdout.decode("utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == ["# Straße.flac", r"# caf\xe9.flac"]
    words = [line.split()[-1] for line in lines if not line.startswith("#")]
    assert words == ["eine", "Straße", "zwei", "Straßen"]
    assert "2 of 4 recordings failed: nö.flac: no such file" in done.stderr.decode("utf-8").splitlines()[-1]
    for name, expected in zip(names, (words[:2], words[2:])):
        assert words_of(Path(os.fsdecode(os.fsencode(tmp_path) + b"/aus\xe9/" + name + b".json"))) == expected


def test_names_that_are_not_utf_8_in_a_locale_that_is(folder, capsys):  # noqa: F811
    name = os.fsdecode(b"caf\xe9")
    try:
        shutil.copy(RECORDING, folder / f"{name}.flac")
    except OSError:
        pytest.skip("names are UTF-8 here")
    recordings = [folder / "a.flac", folder / f"{name}.flac"]
    assert run(*recordings, "--text", "one", "--text", "two", "--output", folder / name) == 0
    assert words_of(folder / name / f"{name}.json") == ["two"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_text_can_be_printed(encoding, monkeypatch, tmp_path):
    from transformers_qwen3_asr.cli.common import readable_streams

    with (tmp_path / "out").open("w", encoding=encoding, errors="strict") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        readable_streams()
        print("ß 中 caf\udce9 Stra\udcc3\udc9fe \ud800", flush=True)
    written = (tmp_path / "out").read_bytes().decode("latin-1" if encoding == "latin-1" else "utf-8")
    expected = "ß 中 caf\\xe9 Straße \\ud800\n"
    assert written == (expected.replace("中", "\\u4e2d") if encoding == "latin-1" else expected)


@pytest.mark.parametrize("way", ["itself", "relative", "symbolic link", "hard link", "folder"])
@pytest.mark.parametrize("over", ["recording", "text", "other text", "model"])
def test_nothing_is_written_over_an_input(folder, fails, no_model, monkeypatch, way, over):  # noqa: F811
    """Neither the recording nor the text, nor another recording's, nor the model; by no name of the file."""
    monkeypatch.chdir(folder)
    shutil.copytree(ALIGNER, folder / "model")
    shutil.move(folder / "a.txt", folder / "text.json")
    shutil.copy(RECORDING, folder / "sound.json")
    target = {
        "recording": folder / "sound.json",
        "text": folder / "text.json",
        "other text": folder / "text.json",
        "model": folder / "model" / "config.json",
    }[over]
    before = target.read_bytes()
    output = target
    if way == "relative":
        output = Path("..") / folder.name / os.path.relpath(target)
    elif way == "symbolic link":
        output = folder / "link.json"
        output.symlink_to(target)
    elif way == "hard link":
        output = folder / "link.json"
        os.link(target, output)
    recordings = ["sound.json", "--text-file", "text.json"]
    if way == "folder":
        # results are named after recordings
        name = {"recording": "sound", "text": "text", "other text": "text", "model": "config"}[over]
        shutil.copy(RECORDING, folder / f"{name}.flac")
        recordings = [f"{name}.flac", "c.flac", "--text-file", "b.txt", "--text-file", "text.json"]
        if over == "recording":
            recordings = ["sound.json", "a.flac", "--text-file", "b.txt", "--text-file", "text.json"]
        output = target.parent
    monkeypatch.setattr("test_cli.ALIGNER", str(folder / "model"))
    line = fails(*recordings, "--output", output)
    what = {"recording": "recording", "model": "--model"}.get(over, "text")
    assert f"would be written over an input: {what} " in line
    assert target.read_bytes() == before


def test_a_recording_by_a_file_url_is_an_input(folder, fails, no_model):  # noqa: F811
    sound = folder / "sound.json"
    shutil.copy(RECORDING, sound)
    line = fails(sound.as_uri(), "--text", "one", "--output", sound)
    assert f"would be written over an input: recording {sound}" in line


def test_the_same_call_again_replaces_its_results(folder):  # noqa: F811
    for text in ("one", "two words"):
        assert run(folder / "a.flac", "--text", text, "--output", folder / "a.json") == 0
        assert run(folder / "a.flac", "--text", text, "--output", folder) == 0
        assert words_of(folder / "a.json") == text.split()


@pytest.mark.parametrize("second", ["again", "other folder", "case", "accent"])
def test_no_result_is_written_over_another(folder, fails, no_model, second):  # noqa: F811
    (folder / "more").mkdir()
    first = unicodedata.normalize("NFC", "é")
    name = {"again": first, "other folder": f"more/{first}", "case": first.upper()}.get(
        second, unicodedata.normalize("NFD", first)
    )
    recordings = [folder / f"{first}.flac", folder / f"{name}.flac"]
    for path in recordings:
        shutil.copy(RECORDING, path)
    line = fails(*recordings, "--text", "one", "--text", "two", "--output", folder / "out")
    assert "several recordings would be written to" in line and not (folder / "out").exists()


@POSIX
def test_a_recording_comes_through_a_pipe(folder, fails):  # noqa: F811
    os.mkfifo(folder / "pipe.flac")
    writer = threading.Thread(target=lambda: (folder / "pipe.flac").write_bytes(Path(RECORDING).read_bytes()))
    writer.start()
    for name in ("a", "pipe"):
        assert run(folder / f"{name}.flac", "--text", "one two", "--output", folder / f"{name}.json") == 0
    writer.join()
    assert (folder / "pipe.json").read_bytes() == (folder / "a.json").read_bytes()
    (folder / "d.flac").mkdir()
    assert "d.flac: is a folder" in fails(folder / "d.flac", "--text", "one")


def test_results_that_lead_to_one_file(folder, fails, no_model):  # noqa: F811
    (folder / "a.json").write_text("{}")
    (folder / "b.json").symlink_to(folder / "a.json")
    line = fails(folder / "a.flac", folder / "b.flac", "--output", folder)
    assert "are the same file" in line and (folder / "a.json").read_text() == "{}"


def test_a_recording_twice_on_standard_output(folder, capsys):  # noqa: F811
    assert run(folder / "a.flac", folder / "a.flac", "--text", "one", "--text", "two") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()][1::2] == ["one", "two"]


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("https://host/a%2Fb.wav?x=1#y", "a%2Fb"),
        ("https://host", "host"),
        ("https://host/", "host"),
        ("file:///", "recording"),
    ],
)
def test_names_of_urls(url, stem):
    assert files.name_of(url) == stem


def test_a_full_disk_costs_one_result(folder, fails, monkeypatch):  # noqa: F811
    (folder / "out").mkdir()
    (folder / "out" / "b.json").write_text("of yesterday")
    write, fsync = writers.write_whole, os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def writing(path, content):
        with monkeypatch.context() as patch:
            if path.name == "b.json":
                patch.setattr(os, "fsync", full)
            return write(path, content)

    monkeypatch.setattr(writers, "write_whole", writing)
    line = fails(*(folder / f"{name}.flac" for name in "abc"), "--output", folder / "out")
    assert (
        f"1 of 3 recordings failed: {folder / 'b.flac'}: {folder / 'out' / 'b.json'} cannot be written (No sp" in line
    )
    assert os.fsync is fsync
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.json", "b.json", "c.json"]
    assert (folder / "out" / "b.json").read_text() == "of yesterday"
    assert words_of(folder / "out" / "c.json") == ["three"]


def test_what_was_finished_stays_when_interrupted(folder, capsys, monkeypatch):  # noqa: F811
    write = writers.write_alignment

    def writing(result, path, cues, **more):
        if path.name == "b.json":
            raise KeyboardInterrupt
        return write(result, path, cues, **more)

    monkeypatch.setattr(writers, "write_alignment", writing)
    assert run(*(folder / f"{name}.flac" for name in "abc"), "--output", folder / "out") == 130
    assert capsys.readouterr().err == "qwen3-asr align: error: interrupted; what was finished stays\n"
    assert [path.name for path in (folder / "out").iterdir()] == ["a.json"]


@POSIX
def test_what_was_finished_stays_when_terminated(folder):  # noqa: F811
    before = f"""
import os, signal
from transformers_qwen3_asr.formats import writing as writers
write, fsync = writers.write_alignment, os.fsync
def writing(result, path, cues, **more):
    if path.name == "b.json":
        os.fsync = lambda descriptor: os.kill(os.getpid(), {int(signal.SIGTERM)})
    return write(result, path, cues, **more)
writers.write_alignment = writing
"""
    recordings = [str(folder / f"{name}.flac") for name in "abc"]
    done = process(*recordings, "--output", str(folder / "out"), before=before)
    assert done.returncode == 143 and b"Traceback" not in done.stderr
    assert done.stderr.decode().splitlines()[-1] == "qwen3-asr align: error: terminated; what was finished stays"
    assert [path.name for path in (folder / "out").iterdir()] == ["a.json"]
    assert json.loads((folder / "out" / "a.json").read_text())["text"] == "one two"


@pytest.mark.parametrize(
    ("error", "status"), [(BrokenPipeError(errno.EPIPE, "Broken pipe"), 141), (OSError(errno.ENOSPC, "No space"), 2)]
)
def test_a_standard_output_that_takes_no_more(folder, capsys, monkeypatch, error, status):  # noqa: F811
    def printing(name, result):
        raise error

    monkeypatch.setattr(align, "_print_words", printing)
    assert run(folder / "a.flac") == status
    said = "" if status == 141 else "qwen3-asr align: error: standard output cannot be written (No space)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize("over", ["data", "data in a folder", "recording", "predictions", "model", "each other"])
def test_evaluate_writes_over_no_input_either(tmp_path, capsys, monkeypatch, option, over):
    from transformers_qwen3_asr.cli import evaluate
    from transformers_qwen3_asr.evaluation import plots

    monkeypatch.setattr(plots, "check_plot", lambda path: None)
    monkeypatch.setattr(evaluate, "load_aligner", None)
    monkeypatch.setattr("transformers_qwen3_asr.evaluation.read_predictions", None)
    shutil.copy(RECORDING, tmp_path / "a.flac")
    row = {"audio": "a.flac", "text": "one", "words": [{"text": "one", "start": 0.1, "end": 0.5}]}
    data = tmp_path / "data" / "rows.jsonl"
    data.parent.mkdir()
    data.write_text(json.dumps({**row, "audio": str(tmp_path / "a.flac")}))
    predictions = tmp_path / "times.json"
    predictions.write_text("{}")
    model = tmp_path / "model"
    shutil.copytree(ALIGNER, model)
    output = {
        "recording": tmp_path / "a.flac",
        "predictions": predictions,
        "model": model / "config.json",
        "each other": tmp_path / "new",
    }.get(over, data)
    times = ["--predictions", predictions] if over == "predictions" else ["--model", model]
    arguments = ["--data", data.parent if over == "data in a folder" else data, *times, option, output]
    if over == "each other":
        arguments += ["--plot" if option == "--json" else "--json", output]
    before = output.read_bytes() if output.exists() else None
    assert main(["evaluate", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "are the same file" in line if over == "each other" else "would be written over an input: " in line
    assert before is None or output.read_bytes() == before


def test_outputs_that_are_no_files_are_everyones():
    files.check_outputs([("--json", os.devnull), ("--plot", os.devnull)], [("--data", os.devnull)])


def test_the_command_refuses_nul_before_it_computes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(align, "load_aligner", None)
    assert run(RECORDING, "--text", "o\0n\0e", "--output", tmp_path / "a.srt") == 2
    assert "its text holds NUL, which .srt cannot have" in capsys.readouterr().err


@pytest.mark.parametrize("mark", [b"", b"\xff\xfe"])
def test_a_text_in_utf16_is_named(mark, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(align, "load_aligner", None)
    (tmp_path / "a.txt").write_bytes(mark + b"o\0n\0e\0")
    assert run(RECORDING, "--text-file", tmp_path / "a.txt", "--output", tmp_path / "a.json") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"its text {tmp_path / 'a.txt'} " in line and "UTF-16" in line
