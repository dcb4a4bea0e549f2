"""Old names of modules: they are found for one version, and say the new name."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import transformers_qwen3_asr
from transformers_qwen3_asr.moved import MOVED

PACKAGE = transformers_qwen3_asr.__name__
SOURCE = Path(transformers_qwen3_asr.__file__).parents[1]


@pytest.fixture
def forgotten():
    """Old names as if they had not been asked for."""
    for old in MOVED:
        sys.modules.pop(f"{PACKAGE}.{old}", None)
        vars(transformers_qwen3_asr).pop(old, None)


@pytest.mark.parametrize("old", MOVED)
def test_the_old_name_is_the_new_module(forgotten, old):
    new = f"{PACKAGE}.{MOVED[old]}"
    with pytest.warns(FutureWarning, match=f"{PACKAGE}.{old} is {new} now"):
        module = importlib.import_module(f"{PACKAGE}.{old}")
    assert module is importlib.import_module(new)


def test_limits_that_are_set_by_the_old_name_count(forgotten, monkeypatch):
    with pytest.warns(FutureWarning, match="audio.sources"):
        old = transformers_qwen3_asr.audio_sources
    monkeypatch.setattr(old, "MOST_BYTES", 5)
    from transformers_qwen3_asr.audio import sources

    assert sources.MOST_BYTES == 5


def test_pickles_of_before_are_read(forgotten):
    old = f"c{PACKAGE}.configuration_qwen3_asr\nQwen3ASRConfig\n.".encode()
    with pytest.warns(FutureWarning, match="models.configuration_qwen3_asr"):
        assert pickle.loads(old) is transformers_qwen3_asr.Qwen3ASRConfig


def test_what_is_left_of_an_old_folder_is_not_found(forgotten, monkeypatch, tmp_path):
    """Git leaves a folder in which Python has put __pycache__."""
    (tmp_path / "label_files" / "__pycache__").mkdir(parents=True)
    monkeypatch.setattr(transformers_qwen3_asr, "__path__", [*transformers_qwen3_asr.__path__, str(tmp_path)])
    with pytest.warns(FutureWarning, match=f"{PACKAGE}.formats"):
        assert importlib.import_module(f"{PACKAGE}.label_files").read_labels


def test_no_other_name_is_found(forgotten):
    assert not hasattr(transformers_qwen3_asr, "audio_source")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{PACKAGE}.audio_source")


def test_importing_the_package_warns_of_nothing():
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import {PACKAGE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "FutureWarning" not in done.stderr, done.stderr[-2000:]
