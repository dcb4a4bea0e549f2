"""Files for users are there whole or not at all, and only `whole_files` writes them."""

import ast
import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transformers_qwen3_asr import whole_files
from transformers_qwen3_asr.evaluation import plots
from transformers_qwen3_asr.formats import write_json_lines
from transformers_qwen3_asr.formats.writing import SUFFIXES, write_alignment
from transformers_qwen3_asr.processing.processor_files import write_json
from transformers_qwen3_asr.training import run_record
from transformers_qwen3_asr.whole_files import write_whole

PACKAGE = Path(whole_files.__file__).parent
POSIX = pytest.mark.skipif(os.name != "posix", reason="how POSIX has files")
RESULT = {"text": "a", "chunks": [{"text": "a", "timestamp": (0.0, 1.0), "score": 1.0}]}


@pytest.fixture
def full_disk(monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


def test_what_is_written(tmp_path):
    path = write_whole(str(tmp_path / "new" / "folder" / "a.txt"), "Straße\n")
    assert path.read_bytes() == "Straße\n".encode() and write_whole(path, b"\xff").read_bytes() == b"\xff"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]
    long = write_whole(tmp_path / ("a" * 255), "a name may be as long as the system has it")
    assert long.is_file()


def test_lone_surrogates_are_escapes_as_json_has_them(tmp_path):
    content = {"name": "caf\udce9 \ud800"}
    path = write_whole(tmp_path / "a.json", json.dumps(content, ensure_ascii=False))
    assert json.loads(path.read_bytes()) == content


WRITERS = {
    **{suffix: (lambda path: write_alignment(RESULT, path), f"a{suffix}") for suffix in SUFFIXES},
    "json lines": (lambda path: write_json_lines([{"audio": "a.wav", "text": "b"}], path), "a.jsonl"),
    "record": (lambda path: run_record.write_record(path.parent, {"a": 1}), run_record.RECORD),
    "processor": (lambda path: write_json(path, {"a": 1}), "processor_config.json"),
    "plot": (lambda path: plots.plot_errors(None, path), "a.svg"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_what_was_there(kind, tmp_path, full_disk, monkeypatch):
    if kind == "plot":
        pytest.importorskip("matplotlib", reason="pictures need the extra [plot]")
        from matplotlib.figure import Figure

        monkeypatch.setattr(plots, "error_figure", lambda evaluation: Figure())
    if kind in (".textgrid", ".eaf"):
        library = "praatio" if kind == ".textgrid" else "pympi"
        pytest.importorskip(library, reason=f"{kind} needs the extra [labels]")
    write, name = WRITERS[kind]
    path = tmp_path / name
    for before in (None, "what was there before"):
        if before is not None:
            path.write_text(before)
        with pytest.raises(OSError) as caught:
            write(path)
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
        assert [file.read_text() for file in tmp_path.iterdir()] == ([] if before is None else [before])


@POSIX
def test_a_file_that_is_larger_than_may_be(tmp_path):
    import resource

    path = write_whole(tmp_path / "a", "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_whole(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@POSIX
@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_kill_leaves_what_was_there(tmp_path, when):
    path = write_whole(tmp_path / "a", "before")
    code = f"""
import os, pathlib, runpy, signal
die = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
write_whole = runpy.run_path({whole_files.__file__!r})["write_whole"]
if {when!r} == "fsync":
    os.fsync = die
else:
    pathlib.Path.replace = die
write_whole({str(path)!r}, "after" * 1000)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    assert path.read_text() == "before"


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", "b")
    assert list(tmp_path.iterdir()) == []


@POSIX
def test_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_whole(tmp_path / "a", "1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        assert stat.S_IMODE(write_whole(path, "2").stat().st_mode) == 0o604
    finally:
        os.umask(before)


@POSIX
def test_what_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "a", "1")
    path.chmod(0o444)
    access = os.access
    # as for everyone but root
    monkeypatch.setattr(os, "access", lambda name, mode: access(name, mode) and not (mode & os.W_OK and name == path))
    with pytest.raises(PermissionError) as caught:
        write_whole(path, "2")
    assert caught.value.filename == str(path) and path.read_text() == "1"


@POSIX
def test_links_stay_and_lead_to_the_new_content(tmp_path):
    (tmp_path / "there").mkdir()
    target = write_whole(tmp_path / "there" / "a", "1")
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    link.symlink_to(Path("there") / "a")
    dangling.symlink_to(Path("there") / "b")
    for path in (link, dangling):
        write_whole(path, "2")
        assert path.is_symlink() and path.read_text() == "2"
    assert target.read_text() == (tmp_path / "there" / "b").read_text() == "2"


@POSIX
def test_pipes_and_devices_are_written_into(tmp_path):
    pipe, heard = tmp_path / "a.json", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "through a pipe")
    reader.join(20)
    assert heard == ["through a pipe"] and stat.S_ISFIFO(pipe.stat().st_mode)
    assert write_whole(os.devnull, "x") == Path(os.devnull) and not Path(os.devnull).is_file()
    with (tmp_path / "out").open("w") as file:  # as by > out, where /dev/stdout is a file
        write_whole(f"/dev/fd/{file.fileno()}", "open already")
        assert os.fstat(file.fileno()).st_ino == (tmp_path / "out").stat().st_ino
    assert (tmp_path / "out").read_text() == "open already"


def test_a_folder_is_named(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        write_whole(tmp_path, "x")
    assert caught.value.filename == str(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file" / "a", "x")


def test_nothing_else_in_the_package_writes_files():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "whole_files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                if name == "open" and getattr(getattr(node.func, "value", None), "id", None) == "av":
                    continue  # a sound in memory
                modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                writes = name == "open" and any(mode in ("w", "wb", "x", "xb", "a", "ab") for mode in modes)
                assert not writes and name not in ("write_text", "write_bytes"), f"{path}, line {node.lineno}"
