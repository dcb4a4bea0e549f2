"""transformers' own tests, of the version that is installed, out of its source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import transformers

ROOT = Path(__file__).resolve().parents[2]
#: Where they are kept; git ignores it, `make clean` removes it.
CACHE = ROOT / ".upstream"
#: Their folder is called `tests`, which too much else is called to be imported by that name.
PACKAGE = "transformers_tests"
#: Names a `tests` folder to take instead, that of a git checkout say, which holds more than the distribution does.
OVERRIDE = "TRANSFORMERS_TESTS"


def fetch(version: str = transformers.__version__) -> Path:
    """The folder that holds the package `transformers_tests`, downloaded by pip where it is not there yet.

    Raises `RuntimeError` where pip cannot download the source distribution, or it holds no tests.
    """
    given = os.environ.get(OVERRIDE)
    folder = CACHE / (f"given-{version}" if given else version)
    package = folder / PACKAGE
    if given:
        if not (Path(given) / "test_modeling_common.py").is_file():
            raise RuntimeError(f"{OVERRIDE}={given} is not the folder of transformers' tests")
        folder.mkdir(parents=True, exist_ok=True)
        package.unlink(missing_ok=True)
        package.symlink_to(Path(given).resolve(), target_is_directory=True)
    elif not package.is_dir():
        with tempfile.TemporaryDirectory() as download:
            _unpack(_download(version, Path(download)), package)
    return folder


def _download(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "transformers"]
    subprocess.run([*command, "--dest", str(folder), f"transformers=={version}"], check=False)
    archives = list(folder.glob("transformers-*.tar.gz"))
    if not archives:
        raise RuntimeError(f"pip cannot download the source distribution of transformers {version}")
    return archives[0]


def _unpack(archive: Path, package: Path) -> None:
    """The files of the archive's `tests/` as `package`, whole or not at all."""
    package.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=package.parent) as unpacked, tarfile.open(archive) as files:
        members = [member for member in files if Path(member.name).parts[1:2] == ("tests",)]
        files.extractall(unpacked, members, filter="data")
        found = list(Path(unpacked).glob("*/tests"))
        if not found:
            raise RuntimeError(f"{archive.name} holds no tests")
        (found[0] / "__init__.py").touch()  # left out of the distribution, and looked for by one of the tests
        found[0].rename(package)
