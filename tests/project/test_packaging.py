"""What is installed, and what the Makefile does before it downloads anything."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "src" / "transformers_qwen3_asr"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, beside which lies what a careless build would sweep in."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(PACKAGE, tree / "src" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "examples", "recipes"):
        (tree / name).mkdir()
        (tree / name / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (path,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    stored = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file()
        and (path.suffix in (".py", ".html", ".css", ".js", ".typed") or "bundled" in path.parts)
        and "__pycache__" not in path.parts
    }
    assert stored == sources
    assert f"{PACKAGE.name}/py.typed" in stored  # so that type checkers read what is there


def test_the_wheel_carries_the_bundled_aligner(wheel):
    names = {Path(name).name for name in wheel.namelist() if "/bundled/tiny-en/" in name}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json"} <= names
    assert sum(info.file_size for info in wheel.infolist() if "/bundled/tiny-en/" in info.filename) <= 8 * 1024**2


def test_metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    assert (metadata["Name"], metadata["Version"]) == ("transformers-qwen3-asr", "0.1.0")
    assert metadata["License-Expression"] == "Apache-2.0" and metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {
        "train",
        "labels",
        "ja",
        "ko",
        "plot",
        "completion",
        "serve",
        "ray",
        "gpu",
        "dev",
    }
    always = [value for value in metadata.get_all("Requires-Dist") if "extra ==" not in value]
    assert {"transformers>=5.17", "torch>=2.11"} <= set(always)
    # these come with extras and are imported only when they are needed
    late = ("nagisa", "soynlp", "matplotlib", "peft", "praatio", "pympi", "webvtt", "pytest", "fastapi", "uvicorn")
    assert not any(value.startswith((*late, "liger", "ray")) for value in always)
    entry_points = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "qwen3-asr = transformers_qwen3_asr.cli.main:main" in entry_points
    assert name.replace("METADATA", "licenses/LICENSE") in wheel.namelist()


FAKE_PYTHON = """#!/bin/sh
# stands in for python and for the environment's python: notes its arguments, and answers --dry-run with $PLAN
echo "$@" >> "$LOG"
case "$*" in
  *"-m venv"*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python";;
  *--dry-run*) echo "$PLAN";;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder of its own with the interpreter above; gives the process and the noted commands."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "python"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)

    def run(*arguments, plan=""):
        log = tmp_path / "log"
        log.write_text("")
        environment = {**os.environ, "LOG": str(log), "PLAN": plan}
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TORCH", "PIP_TORCH_ARGS", "HAS_GPU"):
            environment.pop(name, None)
        command = ["make", f"PYTHON={fake}", *arguments]
        process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return process, log.read_text().splitlines()

    return run


def installs(log):
    return [line for line in log if "pip install" in line and "--dry-run" not in line and "--upgrade pip" not in line]


def test_make_refuses_cuda_packages_where_there_is_no_gpu(make):
    process, log = make("HAS_GPU=", ".venv/stamp", plan="Would install torch-2.13.0 nvidia-cudnn-cu13-9.1 triton-3.7")
    assert process.returncode != 0
    assert "PIP_TORCH_ARGS" in process.stderr and "no NVIDIA GPU" in process.stderr
    assert installs(log) == []


def test_make_installs_a_fixed_torch_first_where_there_is_no_gpu(make):
    process, log = make("HAS_GPU=", ".venv/stamp", plan="Would install torch-2.13.0+cpu sympy-1.14")
    assert process.returncode == 0, process.stderr
    first, second = installs(log)
    assert first.split()[-1] == "torch==2.13.0" and second.endswith("--editable .[dev]")


def test_make_takes_the_newest_torch_where_there_is_a_gpu(make):
    process, log = make("HAS_GPU=yes", ".venv/stamp", plan="Would install torch-2.13.0 nvidia-cudnn-cu13-9.1")
    assert process.returncode == 0, process.stderr
    assert installs(log)[0].split()[-1] == "torch>=2.11"


def test_make_passes_what_the_user_says_about_torch(make):
    process, log = make("HAS_GPU=", "TORCH=torch==2.12.1+cpu", "PIP_TORCH_ARGS=--pre", ".venv-min/stamp")
    assert process.returncode == 0, process.stderr
    first, second = installs(log)
    assert first.endswith("--pre torch==2.12.1+cpu")
    assert "transformers==5.17.0" in second  # the oldest version that setup.py allows


def test_the_environment_is_made_anew_only_when_setup_py_changes(make, tmp_path):
    assert make("HAS_GPU=", ".venv/stamp")[1]
    assert make("HAS_GPU=", ".venv/stamp")[1] == []
    stamp = (tmp_path / ".venv" / "stamp").stat().st_mtime
    os.utime(tmp_path / "setup.py", (stamp + 2, stamp + 2))
    assert make("HAS_GPU=", ".venv/stamp")[1]


def test_make_says_which_python_is_needed(make, tmp_path):
    process, _ = make("HAS_GPU=", "PYTHON=/nonexistent/python", ".venv/stamp")
    assert process.returncode != 0 and "3.11" in process.stderr and "PYTHON=" in process.stderr


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert "\nmake test\n" in script.read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme and "make test" in readme
