"""Stand-ins for what transformers' tests import and their source distribution leaves out.

setuptools puts `tests/test_*.py` into it and none of the folders beside them. What is a mixin there is an empty class
here, and its tests are then not run: `missing` says which, and the run prints it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
import unittest
from pathlib import Path

from fetching import PACKAGE, ROOT

RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"


def _local_recording(url: str) -> str:
    """Instead of transformers' downloads: our one recording for every sound."""
    return str(RECORDING) if url.endswith((".mp3", ".wav", ".flac")) else url


def _not_distributed(*args, **kwargs):
    raise unittest.SkipTest("a helper of this test is not in transformers' source distribution")


#: module -> what the tests take from it
_CONTENT = {
    f"{PACKAGE}.exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    f"{PACKAGE}.generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    f"{PACKAGE}.utils.test_configuration_utils": {
        # names and values that are not the defaults, as ConfigTester wants them
        "config_common_kwargs": {
            "return_dict": False,
            "output_hidden_states": True,
            "output_attentions": True,
            "dtype": "float16",
        }
    },
    f"{PACKAGE}.distributed_testing_utils": {"run_distributed": _not_distributed},
    "fetch_hub_objects_for_ci": {"url_to_local_path": _local_recording},
}


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a folder above it
        return False


def _package(name: str) -> None:
    """An empty package of that name, unless there is one."""
    if name and name not in sys.modules and not _there(name):
        module = types.ModuleType(name)
        module.__path__ = []
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        sys.modules[name] = module


def install(folder: Path) -> list[str]:
    """Make `transformers_tests` in `folder` importable. Returns the modules that stand-ins were made for."""
    sys.path.insert(0, str(folder))
    # transformers' tests look for this one beside their folder, in `utils`
    sys.path.append(str((folder / PACKAGE).resolve().parent / "utils"))
    missing = [name for name in _CONTENT if not _there(name)]
    for name in missing:
        _package(name.rpartition(".")[0])
        module = types.ModuleType(name)
        vars(module).update(_CONTENT[name])
        sys.modules[name] = module
    return missing
