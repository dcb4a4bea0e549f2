"""Options whose package is not installed: one line that says what to install, status 2, and nothing computed."""

import json
import sys

import pytest
from test_cli import ALIGNER, RECORDING

from transformers_qwen3_asr.cli import align, evaluate, serve
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.training import fine_tuning


@pytest.fixture
def fails(capsys, monkeypatch):
    """Runs a command that must not come to load anything; gives its one line."""
    monkeypatch.setattr(align, "load_aligner", None)
    monkeypatch.setattr(evaluate, "load_aligner", None)
    monkeypatch.setattr(fine_tuning, "load_base", None)

    def check(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert line.startswith(f"qwen3-asr {arguments[0]}: error: ")
        return line

    return check


@pytest.fixture
def rows(tmp_path):
    row = {"audio": str(RECORDING), "text": "one", "words": [{"text": "one", "start": 0.1, "end": 0.5}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    return tmp_path / "rows.jsonl"


def without(monkeypatch, *names):
    """As if these were not installed."""
    for name in names:
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_report_to(fails, monkeypatch, rows, tmp_path, name):
    monkeypatch.setattr("transformers.integrations.integration_utils.is_wandb_available", lambda: False)
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: False)
    # not even rows are read
    train = ["train", "--model", ALIGNER, "--train", tmp_path / "nowhere.jsonl", "--output", tmp_path / "out"]
    line = fails(*train, "--report-to", name)
    assert f"--report-to {name} needs a package (pip install {name})" in line
    assert "--report-to nonsense: nonsense is not supported" in fails(*train, "--report-to", "nonsense")
    assert not (tmp_path / "out").exists()


def test_lora(fails, monkeypatch, tmp_path):
    without(monkeypatch, "peft")
    train = ["train", "--model", ALIGNER, "--train", tmp_path / "nowhere.jsonl", "--output", tmp_path / "out"]
    assert "LoRA needs PEFT: pip install 'transformers-qwen3-asr[train]'" in fails(*train, "--lora", 4)


def test_plot(fails, monkeypatch, rows, tmp_path):
    without(monkeypatch, "matplotlib")
    line = fails("evaluate", "--model", "tiny-en", "--data", rows, "--plot", tmp_path / "a.png")
    assert "a plot needs matplotlib: pip install 'transformers-qwen3-asr[plot]'" in line


@pytest.mark.parametrize("package", ["fastapi", "prometheus_client", "python_multipart", "uvicorn"])
def test_serve(fails, monkeypatch, package):
    monkeypatch.setattr(serve, "load_aligner", None)
    for module in [name for name in sys.modules if name.startswith("transformers_qwen3_asr.serving")]:
        monkeypatch.delitem(sys.modules, module)  # which other tests have imported
    without(monkeypatch, package)
    line = fails("serve", "--model", "tiny-en")
    packages = "FastAPI, uvicorn, python-multipart and prometheus-client"
    assert f"serving needs {packages}: pip install 'transformers-qwen3-asr[serve]'" in line


@pytest.mark.parametrize(("language", "package"), [("Japanese", "nagisa"), ("ko", "soynlp")])
def test_word_splitters(fails, monkeypatch, tmp_path, language, package):
    from transformers_qwen3_asr.text import words

    words._korean_tokenizer.cache_clear()
    without(monkeypatch, package)
    line = fails("align", RECORDING, "--text", "one", "--language", language)
    extra = {"nagisa": "ja", "soynlp": "ko"}[package]
    assert f"need {package}: pip install transformers-qwen3-asr[{extra}]" in line


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(("name", "package"), [("a.TextGrid", "praatio"), ("a.vtt", "webvtt")])
def test_label_formats(fails, monkeypatch, tmp_path, command, name, package):
    without(monkeypatch, package)
    (tmp_path / name).write_text("anything")
    data = (
        ["--train", tmp_path / name, "--output", tmp_path / "out"]
        if command == "train"
        else ["--data", tmp_path / name]
    )
    line = fails(command, "--model", ALIGNER, *data)
    assert f"need {package.replace('webvtt', 'webvtt-py')}: pip install transformers-qwen3-asr[labels]" in line
