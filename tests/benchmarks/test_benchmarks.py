"""The benchmarks run and check what they say; nothing is timed here."""

import importlib
import importlib.util
import os
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.models.text_model_qwen3_asr import Qwen3ASRTextModel

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def throughput(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("throughput")


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_throughput_prints_every_case(throughput, capsys, dtype):
    throughput.main(["--device", "cpu", "--tiny", "--repeats", "1", "--dtype", dtype])
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ") and not line.startswith("| case")]
    names = [case.name for case in throughput.TINY_CASES.values()]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == names
    for name in names:
        assert f"- {name}: " in printed  # what was checked before timing


def test_int8_beside_float32(throughput, capsys):
    throughput.main(["--device", "cpu", "--tiny", "--repeats", "1", "--dtype", "int8"])
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ") and not line.startswith("| case")]
    assert len(rows) == 6  # two cases, and their layers alone
    assert "int8's logits" in printed


def test_int8_of_another_model_is_noticed(throughput):
    models, int8 = importlib.import_module("throughput_models"), importlib.import_module("throughput_int8")
    device = importlib.import_module("throughput_measuring").Device(torch.device("cpu"))
    pair = models.make_pair(device.device, torch.float32, tiny=True)
    quantised = int8.in_int8(pair.ours)
    quantised.thinker.model.layers[0].mlp.down_proj.scale.mul_(3)
    with pytest.raises(SystemExit, match="apart"):
        int8.InInt8(throughput.Aligning(pair, throughput.TINY_CASES["mixed"], device), quantised).check()


def test_a_large_product_is_not_waited_for(throughput, monkeypatch):
    """Where products are slow, as bfloat16's without instructions, they stay small; with --tiny they always do."""
    device = importlib.import_module("throughput_measuring").Device(torch.device("cpu"))
    sizes = []

    def timed(call):
        sizes.append(len(call()))
        return sizes[-1] ** 3 / 1e9, None  # a billion a second

    monkeypatch.setattr(device, "timed", timed)
    assert device.matmul_rate(torch.float32) == pytest.approx(2e9)
    assert max(sizes) <= 1024
    sizes.clear()
    device.matmul_rate(torch.float32, tiny=True)
    assert set(sizes) == {64}


def test_levers_can_be_taken_away(throughput, capsys):
    """Each one's place in the package is still there, and without it the same comes out."""
    before = [getattr(place, name) for settings in throughput.LEVERS.values() for place, name, _ in settings]
    with throughput.without(*throughput.LEVERS):
        assert Qwen3ASRTextModel.packs is False
    given = [word for lever in throughput.LEVERS for word in ("--without", lever)]
    throughput.main(["--device", "cpu", "--tiny", "--repeats", "1", "--case", "mixed", "--case", "training", *given])
    printed = capsys.readouterr().out
    assert all(f"Ours without {lever}." in printed for lever in throughput.LEVERS)
    throughput.main(["--device", "cpu", "--tiny", "--repeats", "1", "--case", "training", "--levers"])
    printed = capsys.readouterr().out
    assert all(f"| {lever} | " in printed for lever in throughput.LEVERS)
    after = [getattr(place, name) for settings in throughput.LEVERS.values() for place, name, _ in settings]
    assert after == before


INTERPRETER = os.environ.get("QWEN_ASR_PYTHON")


@pytest.mark.skipif(not INTERPRETER, reason="QWEN_ASR_PYTHON does not name an interpreter with qwen-asr==0.0.6")
def test_qwen_asr_is_the_third_column(throughput, capsys):
    arguments = ["--device", "cpu", "--tiny", "--repeats", "1", "--case", "mixed"]
    throughput.main([*arguments, "--qwen-asr-python", INTERPRETER])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mixed")]
    assert float(row.split(" | ")[3]) > 0
    throughput.main(arguments)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mixed")]
    assert row.split(" | ")[3] == "–"


@pytest.mark.skipif(importlib.util.find_spec("qwen_asr") is not None, reason="qwen-asr is installed here")
def test_an_interpreter_without_qwen_asr_is_named(throughput):
    with pytest.raises(RuntimeError, match="does not run qwen-asr"):
        throughput.main(["--device", "cpu", "--tiny", "--case", "single", "--qwen-asr-python", sys.executable])


def test_another_model_is_noticed(throughput):
    """The check before timing fails where one model's weights are others."""
    models = importlib.import_module("throughput_models")
    measuring = importlib.import_module("throughput_measuring")
    device = measuring.Device(torch.device("cpu"))
    for part in ("audio_tower.conv2d2", "model.layers.1.mlp.down_proj", "lm_head"):
        pair = models.make_pair(device.device, torch.float32, tiny=True)
        weight = pair.ours.thinker.get_submodule(part).weight
        weight.data = torch.randn(weight.shape)
        with pytest.raises(SystemExit, match="not the same model"):
            throughput.Aligning(pair, throughput.TINY_CASES["mixed"], device).check()
        with pytest.raises(SystemExit, match=r"norms [0-9.]+ apart; not the same model"):
            throughput.Training(pair, throughput.TINY_CASES["training"], device).check()


def test_arithmetic_of_the_published_shapes(throughput):
    """31 GFLOP for each second of audio at 2.5 words a second, counted apart: encoder 8, convolutions 4, text 19."""
    models = importlib.import_module("throughput_models")
    measuring = importlib.import_module("throughput_measuring")
    config = models.Qwen3ASRConfig(**models.config_arguments())
    tokens = 20 * 13 + 2 + 50 * 3 + 16  # audio, its two marks, words of one or two tokens with two slots each
    assert measuring.arithmetic(config, 20, tokens, 100) / 20 == pytest.approx(31e9, rel=0.05)


def test_an_unknown_case_is_named(throughput, capsys):
    with pytest.raises(SystemExit):
        throughput.main(["--device", "cpu", "--case", "nothing"])
    assert "nothing" in capsys.readouterr().err
    assert BENCHMARKS.as_posix() in sys.path


def test_long_recordings_are_what_they_say(monkeypatch, tmp_path):
    """Joined clips stand where the references say; what the text does not have, and words nobody says, are told."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    long, clips = importlib.import_module("long_recordings"), importlib.import_module("alignment_clips")
    random = np.random.default_rng(0)
    made = []
    for number in range(3):
        samples = np.zeros(32000, np.float32)
        samples[8000:16000] = 0.3 * random.normal(size=8000)  # the word is where it is loud
        made.append(clips.LabelledClip(samples, [f"word{number}"], "English", np.array([[500.0, 1000.0]])))
    recording = long.make_long(made, tmp_path / "long.wav", 60, seed=1)
    samples = load_audio(recording.path)
    assert len(samples) / 16000 == pytest.approx(recording.seconds) and recording.seconds >= 60
    assert len(recording.words) == len(recording.reference) == len(recording.clips)
    loud = np.zeros(len(samples), bool)
    for start, end in recording.reference:
        loud[round(start * 16) : round(end * 16)] = True
    assert np.abs(samples[~loud]).max() < 0.01 < 0.2 < samples[loud].std()
    again = long.make_long(made, tmp_path / "again.wav", 60, seed=1)
    assert again.words == recording.words and again.path.read_bytes() == recording.path.read_bytes()
    more = long.make_long(made, tmp_path / "more.wav", 60, seed=1, untranscribed=0.9)
    assert len(more.words) < len(recording.words)
    changed = clips.with_changed_words(made, 1.0, ("add",))
    wrong = long.make_long(changed, tmp_path / "wrong.wav", 60, seed=1)
    assert np.isnan(wrong.reference[1::2]).all() and np.isfinite(wrong.reference[::2]).all()
    figures = long.figures([np.nan_to_num(wrong.reference) + 40], [wrong.reference])
    assert figures["words"] == len(wrong.words) / 2 and figures["aas_ms"] == pytest.approx(40)
