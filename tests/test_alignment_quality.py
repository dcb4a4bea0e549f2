"""The benchmark of times and scores: what it makes of labelled clips, and that it runs; nothing is timed here."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_clips import write_clips
from test_long_recordings import READINGS

from transformers_qwen3_asr.audio import load_audio

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def clips_module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("alignment_clips")


@pytest.fixture
def quality(clips_module):
    return importlib.import_module("alignment_quality")


def made_clips(module, count=40, words=12):
    random = np.random.default_rng(0)
    clips = []
    for number in range(count):
        times = np.arange(2 * words).reshape(-1, 2) * 100.0
        samples = random.normal(0, 0.1, 16000 * 3 + 160 * number).astype(np.float32)
        clips.append(module.LabelledClip(samples, [f"w{number}x{i}" for i in range(words)], "English", times))
    return clips


@pytest.mark.parametrize(("kinds", "sign"), [(("replace",), 0), (("delete",), -1), (("add",), 1)])
def test_changed_words(clips_module, kinds, sign):
    clips = made_clips(clips_module)
    changed = clips_module.with_changed_words(clips, 0.2, kinds, seed=1)
    differences = 0
    for clip, other in zip(clips, changed, strict=True):
        times = dict(zip(clip.words, clip.reference.tolist()))
        assert len(other.words) == len(other.reference)
        assert np.sign(len(other.words) - len(clip.words)) in (0, sign)
        right = [(word, row.tolist()) for word, row, said in zip(other.words, other.reference, other.right) if said]
        assert all(times[word] == row for word, row in right)  # those that are right keep their times
        kept = [word for word in clip.words if word in dict(right)]
        assert [word for word, _ in right] == kept
        differences += len(clip.words) - len(kept) + (len(other.words) - len(right) if sign == 1 else 0)
    assert 0.1 < differences / sum(len(clip.words) for clip in clips) < 0.3


def test_others_words_and_noise(clips_module):
    clips = made_clips(clips_module, 5)
    for clip, other in zip(clips, clips_module.with_others_words(clips), strict=True):
        assert other.words != clip.words and not other.right.any() and other.samples is clip.samples
    noisy = clips_module.with_noise(clips, 10.0)
    for clip, other in zip(clips, noisy, strict=True):
        scale = (other.samples @ clip.samples) / (clip.samples @ clip.samples)  # made quieter where it would clip
        ratio = np.mean(clip.samples**2) / np.mean((other.samples / scale - clip.samples) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.7)


def test_area_under_roc(quality):
    assert quality.area_under_roc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert quality.area_under_roc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    random = np.random.default_rng(2)
    right, wrong = random.integers(0, 9, 50) / 1.0, random.integers(0, 7, 30) / 1.0
    pairs = (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2
    assert quality.area_under_roc(right, wrong) == pytest.approx(pairs)


def test_merged_classes_keep_all_probability(quality, clips_module):
    (clip,) = made_clips(clips_module, 1)
    logits = torch.full((24, 100), -30.0)
    logits[:, 40] = 5.0  # 800 ms is class 10 of 80 ms
    logits[0, 40], logits[0, 42] = -30.0, 5.0  # 840 ms is half class 10, half class 11
    (merged,) = quality.coarser([clips_module.ScoredClip(clip, logits)], 4)
    probabilities = merged.logits.exp()
    assert probabilities[1:, 10] == pytest.approx(1, abs=1e-4)
    assert probabilities[0, 10:12] == pytest.approx([0.5, 0.5], abs=1e-4)


def test_refined_times_are_the_pipelines(clips_module, quality):
    model, processor = quality.load("tiny-en", "float32", "cpu")
    pipe = quality.ForcedAlignmentPipeline(model=model, processor=processor, device="cpu")
    clips = [(load_audio(file), text.split()[::-1]) for file, text in READINGS]  # doubtful words enough
    clips = [clips_module.LabelledClip(audio, words, "English", np.zeros((len(words), 2))) for audio, words in clips]
    refined, heard = clips_module.aligned(pipe, clips)
    assert heard > 2
    for clip, (times, scores) in zip(clips, refined, strict=True):
        chunks = pipe(clip.samples, text=clip.words)["chunks"]
        assert np.allclose(times, [chunk["timestamp"] for chunk in chunks], atol=2e-3)
        assert np.allclose(scores, [chunk["score"] for chunk in chunks], atol=1e-3)
    _, heard = clips_module.aligned(pipe, clips, refine=False)
    assert heard == pytest.approx(1, abs=0.02)


def test_passages_left_out(quality):
    passages = sys.modules["alignment_passages"]
    names = [f"w{i}" for i in range(12)]
    times = np.arange(12)[:, None] * 500.0 + [0, 450]
    quiet = np.random.default_rng(0).standard_normal(16000 * 6) * 1e-4
    loud = np.random.default_rng(1).standard_normal(16000 * 6) * 0.1
    said = (np.arange(16000 * 6) / 16 % 500) < 450
    clip = passages.LabelledClip((quiet + loud * said).astype(np.float32), names, None, times)
    short = passages.replace(clip, words=names[:9], reference=times[:9])
    changed, spans = passages.with_passages_left_out([clip, short] * 20)
    assert len(changed) == len(spans) == 20
    for one, (start, end, before) in zip(changed, spans, strict=True):
        gone = [name for name in names if name not in one.words]
        assert 2 <= len(gone) <= 6 and gone[0] == f"w{before}"
        assert (start, end) == (before * 0.5, (before + len(gone) - 1) * 0.5 + 0.45)
        assert np.array_equal(one.reference, times[[int(word[1:]) for word in one.words]])

    clips = [passages.ScoredClip(one, None) for one in changed]

    def decoded(score):
        return lambda scored, _: (scored.clip.reference / 1000, np.full(len(scored.clip.words), score))

    sure, unsure = (passages.passage_rows(clips, spans, 20, decoded(score)) for score in (1.0, 0.0))
    assert sum(int(row[1]) for row in sure) == 20
    assert all(row[2] == "100%" and row[4] == "0%" for row in sure)
    assert all(row[4] == row[5] == "100%" for row in unsure)
    assert passages.whole_row("x", [passages.ScoredClip(clip, None)], 20, decoded(1.0))[2] == "0.0%"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_it_prints_every_table(quality, tmp_path, monkeypatch, capsys):
    cost = sys.modules["alignment_cost"]
    monkeypatch.setattr(cost, "SLOTS", 60)
    monkeypatch.setattr(cost, "CLASSES", 400)
    monkeypatch.setattr(cost, "SECONDS", 24.0)
    labels = write_clips(tmp_path / "clips", 4)
    monkeypatch.setattr(sys, "argv", ["alignment_quality.py", "--data", str(labels), "--rows", "3", "--device", "cpu"])
    quality.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    for name in quality.DECODINGS:
        assert sum(line.split(" | ")[1] == name for line in lines) == 7
    assert sum(line.split(" | ")[1] == "joint, refined (default)" for line in lines) == 6  # 80 ms are no model's own
    for what in ("as they are", "noise, 10 dB", "5% deleted", "words", "recordings", "nothing", "of speech", "random"):
        assert any(line.startswith(f"| {what} | ") for line in lines)
