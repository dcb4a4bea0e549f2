"""The benchmarks run and check what they say; nothing is timed here."""

import importlib
import importlib.util
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from labelled_clips import write_clips

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


def test_what_is_done_around_the_model(throughput, capsys):
    throughput.main(["--host", "--tiny", "--repeats", "1"])
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ") and not line.startswith("| case")]
    names = [case.name for case in throughput.TINY_HOST_CASES.values()]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == names
    for name in names:  # once, and without and with what is asked again
        assert len([line for line in printed.splitlines() if line.startswith(f"- {name}: ")]) == 3


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
    case = ["--device", "cpu", "--tiny", "--repeats", "1", "--case", "mixed"]
    throughput.main([*case, "--levers", "gate in one", "packing"])
    printed = capsys.readouterr().out
    assert [lever for lever in throughput.LEVERS if f"| {lever} | " in printed] == ["gate in one", "packing"]
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


@pytest.fixture
def joined(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("joined_recordings")


def spoken_clips(count=3, words=1):
    """Clips of 2 s, silent but for the words."""
    clips, random = importlib.import_module("alignment_clips"), np.random.default_rng(0)
    made = []
    for number in range(count):
        samples = np.zeros(32000, np.float32)
        samples[8000:16000] = 0.3 * random.normal(size=8000)  # the words are where it is loud
        times = 500 + np.arange(2 * words).reshape(-1, 2) * 500 / (2 * words - 1)
        made.append(clips.LabelledClip(samples, [f"word{number}x{i}" for i in range(words)], "English", times))
    return made


def test_long_recordings_are_what_they_say(joined, tmp_path):
    """Joined clips stand where the references say; what the text does not have, and words nobody says, are told."""
    long, clips = importlib.import_module("long_recordings"), importlib.import_module("alignment_clips")
    made = spoken_clips()
    recording = joined.make_long(made, tmp_path / "long.wav", 60, seed=1)
    samples = load_audio(recording.path)
    assert len(samples) / 16000 == pytest.approx(recording.seconds) and recording.seconds >= 60
    assert len(recording.words) == len(recording.reference) == len(recording.clips)
    assert all(word.endswith("x0.") for word in recording.words)  # a clip is a sentence
    loud = np.zeros(len(samples), bool)
    for start, end in recording.reference:
        loud[round(start * 16) : round(end * 16)] = True
    assert np.abs(samples[~loud]).max() < 0.01 < 0.2 < samples[loud].std()
    again = joined.make_long(made, tmp_path / "again.wav", 60, seed=1)
    assert again.words == recording.words and again.path.read_bytes() == recording.path.read_bytes()
    more = joined.make_long(made, tmp_path / "more.wav", 60, seed=1, untranscribed=0.9)
    assert len(more.words) < len(recording.words)
    assert len(set(more.words)) == 2  # the third clip may come without text
    changed = clips.with_changed_words(made, 1.0, ("add",))
    wrong = joined.make_long(changed, tmp_path / "wrong.wav", 60, seed=1)
    assert np.isnan(wrong.reference[1::2]).all() and np.isfinite(wrong.reference[::2]).all()
    figures = long.figures([np.nan_to_num(wrong.reference) + 40], [wrong.reference])
    assert figures["words"] == len(wrong.words) / 2 and figures["aas_ms"] == pytest.approx(40)
    late = np.nan_to_num(wrong.reference) + np.array([0, 1001.0])
    assert long.figures([late], [wrong.reference])["over_1s"] == 1.0  # of words, not of starts and ends


def test_clips_that_say_more_than_their_labels_or_what_others_say_are_not_joined(joined, capsys):
    """The words of the former would be said in a recording whose text is taken for right."""
    clips, random = importlib.import_module("alignment_clips"), np.random.default_rng(1)
    made = spoken_clips(4)
    for clip, (start, past) in zip(made, ((0.1, 0.2), (0.1, 0.4), (1.2, 1.3), (1.2, 1.55)), strict=True):
        said = slice(round(start * 16000), round(past * 16000))
        clip.samples[said] = 0.1 * random.normal(size=said.stop - said.start)
    assert [clip.words for clip in clips.joinable(made)] == [["word0x0"], ["word2x0"]]
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2 and "word1x0" in printed[0] and "says more" in printed[1]
    quiet = replace(made[3], samples=np.where(np.arange(32000) < 16800, 1, 0.1).astype(np.float32) * made[3].samples)
    assert len(clips.joinable([quiet])) == 1  # over 15 dB below the words: noise
    assert clips.joinable([made[0], replace(made[2], words=["Word0x0"]), made[2]]) == [made[0], made[2]]


@pytest.mark.parametrize("kind", ["silence", "noise", "music"])
def test_a_minute_more_in_the_middle(joined, kind, tmp_path):
    made = spoken_clips()
    case = joined.Case(inserted=kind)
    plain, more = (
        joined.make_case(case, made, tmp_path / f"{case.inserted}.wav", 60, 1) for case in (joined.Case(), case)
    )
    assert plain.seconds + 55 < more.seconds < plain.seconds + 75
    assert more.words[: len(plain.words) // 2 - 1] == plain.words[: len(plain.words) // 2 - 1]  # the same order
    gap = int(np.argmax(more.reference[1:, 0] - more.reference[:-1, 1]))
    start, end = more.reference[gap, 1] / 1000, more.reference[gap + 1, 0] / 1000
    assert 20 < start < 50 and end - start > 60
    samples = load_audio(more.path)
    middle = samples[int((start + 15) * 16000) : int((end - 15) * 16000)]
    assert (middle.std() > 0.02) == (kind != "silence")
    loud = np.concatenate([samples[round(a * 16) : round(b * 16)] for a, b in more.reference])
    assert loud.std() > 0.2


def test_words_missing_and_too_many(joined, tmp_path):
    made = spoken_clips(words=3)
    plain, less, more, backwards = (
        joined.make_case(case, made, tmp_path / "long.wav", 60, 1)
        for case in (joined.Case(), joined.Case(missing=8), joined.Case(extra=40), joined.Case(backwards=True))
    )
    count = len(plain.words)
    first = (count - 8) // 2
    assert less.words == plain.words[:first] + plain.words[first + 8 :]
    assert np.array_equal(less.reference, np.delete(plain.reference, slice(first, first + 8), axis=0))
    assert [word for clip in less.clips for word in clip.words] == less.words
    assert all(len(clip.words) == len(clip.reference) > 0 for clip in less.clips)
    said = np.isfinite(more.reference[:, 0])
    assert len(more.words) == count + 40 and said.sum() == count
    assert [word for word, right in zip(more.words, said, strict=True) if right] == plain.words
    assert not said[count // 2 : count // 2 + 40].any() and set(more.words) == set(plain.words)
    assert backwards.words == plain.words[::-1] and np.isnan(backwards.reference).all() and not backwards.clips


@pytest.mark.parametrize("said", [True, False])
def test_two_words_in_silence(joined, said, monkeypatch, tmp_path):
    monkeypatch.setattr(joined, "SILENCE", 20.0)
    case = joined.Case(silence=True, said=said)
    recording = joined.make_case(case, spoken_clips(words=3), tmp_path / "long.wav", 1)
    assert len(recording.words) == 2 and 20 <= recording.seconds < 22 and len(recording.clips) == said
    loud = np.flatnonzero(np.abs(load_audio(recording.path)) > 0.05) / 16
    if said:
        assert loud[0] == pytest.approx(recording.reference[0, 0], abs=5)
        assert loud[-1] == pytest.approx(recording.reference[1, 1] + 50, abs=5)
    else:
        assert not len(loud) and np.isnan(recording.reference).all()


def test_goals_of_long_recordings(joined):
    long = importlib.import_module("long_recordings")
    good = {"aas_ms": 23.0, "within_80ms": 0.97, "over_1s": 0.02, "heard": 1.4, "seconds": 360.0, "took": 4.0}
    found = {"long": {**good, "doubted": float("nan")}, "alone": {"aas_ms": 20.0}}
    assert long.missed(joined.CASES["right"], found) == []
    cells = ["right", "6.0", "0", "23.0", "97.0%", "2.00%", "–", "20.0", "1.15", "1.40", "4 s"]
    assert long.row("right", 0, found) == cells and len(cells) == len(long.HEADINGS)
    found["long"] |= {"aas_ms": 25.0, "over_1s": 0.021, "heard": 1.41}
    assert [goal.split(" ")[0] for goal in long.missed(joined.CASES["right"], found)] == ["1.25", "2.1%", "1.41"]
    assert long.missed(joined.CASES["8 words missing"], found) == ["2.1% of the words over 1 s off, not 2%"]
    nobody = {"long": {"heard": 3.5, "seconds": 360.0, "took": 4.0, "doubted": 0.9}, "alone": {}}
    assert long.missed(joined.CASES["another text"], nobody) == ["3.50 times the audio heard, not 3"]
    nobody["long"] |= {"heard": 3.0, "doubted": 0.4}
    assert long.missed(joined.CASES["random scores"], nobody) == [
        "40% of the words that nobody says are doubted, not 50%"
    ]
    assert long.row("another text", 1, nobody)[2:9] == ["1", "–", "–", "–", "40%", "–", "–"]


def test_long_recordings_print_their_table(joined, monkeypatch, capsys, tmp_path):
    long = importlib.import_module("long_recordings")
    arguments = ["--data", write_clips(tmp_path / "clips", 4), "--minutes", 0.6, "--pauses", 0.2, 1, "--batches"]
    arguments += ["--cases", "right", "random scores", "--budget", 2]
    monkeypatch.setattr(sys, "argv", ["long_recordings.py", *map(str, arguments)])
    long.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| case", "| ---", "| right", "| random scores"]
    assert float(rows[2][3]) >= 0 and rows[3][3] == "–"
    assert 1 <= float(rows[3][9]) <= 2
    assert lines[-1] == "0.6 min in batches of 8 windows or 1: times 0 ms apart at most"


def test_where_recordings_are_cut(joined, monkeypatch, capsys, tmp_path):
    cuts = importlib.import_module("transcription_cuts")
    words = np.array([[100.0, 300.0], [400.0, 800.0]])
    assert cuts.depths([0, 150, 350, 600, 900], words).tolist() == [-100, 50, -50, 200, -100]
    silent = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    silent[16000:24000] *= 1e-3
    for find in (cuts.pause, cuts.quietest, cuts.longest_silence):
        assert 16000 < find(silent, 16000) < 24000
    sound = np.sin(np.arange(48000)).astype(np.float32)
    added = cuts.under(silent, sound, 10) - silent
    assert np.square(silent[:16000]).mean() / np.square(added).mean() == pytest.approx(10, rel=0.1)

    arguments = ["--data", write_clips(tmp_path / "clips", 4), "--minutes", 0.5, "--seconds", 5]
    monkeypatch.setattr(sys, "argv", ["transcription_cuts.py", *map(str, arguments)])
    monkeypatch.setattr(cuts, "find_spec", lambda name: None)  # a detector's answers are not what is tested
    cuts.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    ways = ["ours", "qwen-asr", "voice activity"]
    assert [row[:3] for row in rows] == [[p, s, way] for p in cuts.PAUSES for s in cuts.SOUNDS for way in ways]
    assert all(int(row[3]) >= 4 for row in rows)
