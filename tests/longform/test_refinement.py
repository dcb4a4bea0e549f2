"""Doubtful words that are heard again: which windows are asked for, what becomes of their answers."""

import io

import numpy as np
import pytest
import torch
from readings import RATE, READINGS, encoded, joined, times_of

from transformers_qwen3_asr.alignment import decoding
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.silences import without_long_silences
from transformers_qwen3_asr.evaluation.comparing import evaluate_aligner
from transformers_qwen3_asr.longform import refinement, refining
from transformers_qwen3_asr.longform.refinement import Hearing, doubtful_pieces, doubtful_windows, mixture, peaks
from transformers_qwen3_asr.longform.windows import Window


def evenly(count, each=0.5):
    """Times of `count` words of `each` seconds, with a tenth of a second between them."""
    starts = np.arange(count) * (each + 0.1)
    return np.stack([starts, starts + each], 1)


def spans(windows):
    return [(window.first, window.last) for window in windows]


def test_windows_lie_around_doubtful_words():
    times, scores = evenly(30), np.full(30, 0.9)
    assert doubtful_windows(times, scores, 18.0, 20) == []
    scores[[12, 15]] = 0.1  # two between them: one run
    windows = doubtful_windows(times, scores, 18.0, 20)
    assert spans(windows) == [(8, 20), *[(12, 20), (8, 16)] * 3]
    begin, end = (times[11, 1] + times[12, 0]) / 2, (times[15, 1] + times[16, 0]) / 2
    assert [window.start - begin for window in windows[1::2]] == pytest.approx(refinement.CUT, abs=0.02)
    assert [end - window.end for window in windows[2::2]] == pytest.approx(refinement.CUT)
    on_grid = np.array([window.start for window in windows]) / 0.02
    assert np.allclose(on_grid, on_grid.round())
    scores[15], scores[16] = 0.9, 0.1  # three between them: two runs
    assert {(8, 17), (12, 21)} <= set(spans(doubtful_windows(times, scores, 18.0, 20)))


def test_windows_of_short_and_hopeless_recordings():
    times = evenly(3)
    low = np.full(3, 0.1)
    # the whole is not heard twice, unless it was not heard as a whole
    assert all(window.end - window.start < 1.7 for window in doubtful_windows(times, low, 1.8, 20))
    assert (0, 3) in spans(doubtful_windows(times, low, 1.8, 20, whole=True))
    assert doubtful_windows(np.zeros((0, 2)), np.zeros(0), 1.0, 20) == []
    # more words than anybody says, and more audio than a look is worth
    assert doubtful_windows(np.zeros((500, 2)), np.zeros(500), 2.0, 20) == []
    assert doubtful_windows(evenly(200), np.full(200, 0.1), 120.0, 20) == []


def test_pieces_of_long_recordings():
    times, scores = evenly(300), np.full(300, 0.9)
    times[100:] += 5.0
    scores[[50, 60, 98, 102, 200]] = 0.1
    pieces = doubtful_pieces(times, scores, 190.0, 30.0)
    assert spans(pieces) == [(38, 73), (86, 100), (100, 115), (188, 213)]  # none over the pause
    assert pieces[1].end <= times[99, 1] + 0.5 and pieces[2].start >= times[100, 0] - 0.5
    shorter = doubtful_pieces(times, scores, 190.0, 16.0)
    assert spans(shorter)[:2] == [(38, 60), (60, 73)]  # too long together: one behind the other
    assert all(piece.end - piece.start <= 16 for piece in shorter)
    assert doubtful_pieces(np.zeros((0, 2)), np.zeros(0), 9.0, 30.0) == []


def test_a_mixture_is_the_mean_of_probabilities():
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(8, 50, generator=generator)
    scores = np.array([0.9, 0.2, 0.3, 0.8])
    window = Window(0.2, 0.8, 1, 3)
    heard = torch.randn(4, 60, generator=generator)  # more classes than its 0.6 s have
    mixed = mixture(whole, scores, [Hearing(window, heard, np.array([0.7, 0.5]))], 20).softmax(-1)
    assert torch.equal(mixed[[0, 1, 6, 7]], whole[[0, 1, 6, 7]].softmax(-1))

    def sureness(*values):
        return np.exp(2 * np.mean(np.log(np.array(values) + 1e-3)))

    weights = {
        1: (sureness(0.9, 0.2, 0.3), sureness(0.7, 0.7, 0.5)),
        2: (sureness(0.2, 0.3, 0.8), sureness(0.7, 0.5, 0.5)),
    }
    for slot in range(2, 6):
        own, other = weights[slot // 2]
        expected = own * whole[slot].softmax(-1)
        expected[10:41] += other * heard[slot - 2, :31].softmax(-1)
        assert torch.allclose(mixed[slot], expected / (own + other), atol=1e-6)


def test_peaks_have_their_words_scores():
    times, scores = np.array([[0.5, 0.9], [1.0, 1.25]]), np.array([0.9, 0.3])
    for segment_time in (20, 80):
        probabilities = peaks(times, scores, 2.0, segment_time).exp().numpy()
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
        classes = np.arange(probabilities.shape[1]) * segment_time
        for slot, time in enumerate(1000 * times.ravel()):
            near = probabilities[slot][np.abs(classes - time) <= 120].sum()
            assert near == pytest.approx(scores[slot // 2], abs=0.12)
            assert abs(classes[probabilities[slot].argmax()] - time) <= segment_time / 2


def test_what_is_left_of_silences_and_back():
    sound = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    quiet = np.random.default_rng(1).standard_normal(5 * RATE).astype(np.float32) * 1e-4
    heard = without_long_silences(np.concatenate([sound, quiet, sound, quiet, sound]), RATE)
    assert len(heard.samples) < 8 * RATE
    times = np.array([[0.2, 0.9], [6.1, 6.8], [12.3, 12.9]])
    assert heard.left(times).max() < len(heard.samples) / RATE
    assert np.allclose(heard.put_back(heard.left(times)), times)
    assert (np.diff(heard.left(np.linspace(0, 13, 500))) >= 0).all()


def errors(pipe, samples, words, expected, **keywords):
    """Of every two words in a row that are missing: seconds that the times of the others are off, on average."""
    found = []
    for missing in range(len(words) - 2):
        kept = [i for i in range(len(words)) if i not in (missing, missing + 1)]
        result = pipe(samples, text=[words[i] for i in kept], **keywords)
        found.append(np.abs(times_of(result) - expected[kept]).mean())
    return np.array(found)


def test_words_beside_missing_ones_are_found(pipe):
    """Of real speech; where the others are is known from the whole text."""
    plain, refined = [], []
    for path, text in READINGS:
        samples, words = load_audio(path), text.split()
        expected = times_of(pipe(samples, text=words, refine=False))
        plain.append(errors(pipe, samples, words, expected, refine=False))
        refined.append(errors(pipe, samples, words, expected))
    plain, refined = np.concatenate(plain), np.concatenate(refined)
    assert refined.mean() < 0.85 * plain.mean()
    assert (refined < plain - 0.02).sum() > 2 * (refined > plain + 0.02).sum()


def test_long_recordings_are_refined_too(pipe, readings):
    samples, words, expected = joined(readings, 60)
    kept = [i for i in range(len(words)) if i % 9 != 4]
    text = [words[i] for i in kept]
    off = {}
    for refine in (False, True):
        result = pipe(samples, text=text, refine=refine)
        times = times_of(result)
        assert (np.diff(times.ravel()) >= 0).all() and times.max() <= len(samples) / RATE
        assert (times[:, 1] - times[:, 0]).min() > 0
        off[refine] = np.abs(times - expected[kept]).mean()
    assert off[True] < off[False]


def test_all_at_once_is_the_same(pipe, monkeypatch):
    """As on a GPU, where mixtures of all recordings are decoded together."""
    rows = [{"audio": load_audio(path), "text": text.split()[::2]} for path, text in READINGS]
    expected = pipe(rows, batch_size=2)
    monkeypatch.setattr(decoding, "_in_few_calls", lambda logits: True)
    for result, alone in zip(pipe(rows, batch_size=2), expected, strict=True):
        assert np.allclose(times_of(result), times_of(alone), atol=2e-3)
        assert result["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_sure_recordings_are_not_heard_again(pipe, readings, monkeypatch):
    asked = []
    monkeypatch.setattr(refining, "doubtful_windows", lambda *given: asked.append(given) or [])
    samples, words, _ = readings[0]
    assert pipe(samples, text=words) == pipe(samples, text=words, refine=False)
    assert len(asked) == 1


def test_options(pipe, readings):
    samples, words, _ = readings[0]
    with pytest.raises(ValueError, match="refine=True goes with decoding='joint', not with 'argmax'"):
        pipe(samples, text=words, decoding="argmax", refine=True)
    with pytest.raises(ValueError, match="refine='no': True or False"):
        pipe(samples, text=words, refine="no")
    half = words[::2]
    plain = pipe(samples, text=half, refine=False)
    assert pipe(samples, text=half) == pipe(samples, text=half, refine=True) != plain
    argmax = pipe(samples, text=half, decoding="argmax")
    assert argmax == pipe(samples, text=half, decoding="argmax", refine=False)
    row = {
        "audio": samples,
        "text": " ".join(half),
        "words": [
            {"text": word, "start": float(start), "end": float(end)}
            for word, (start, end) in zip(half, times_of(plain), strict=True)
        ],
    }
    figures = [
        evaluate_aligner(pipe.model, pipe.processor, [row], refine=refine).metrics["aas_ms"]
        for refine in (False, None)
    ]
    assert figures[0] < 1 < figures[1]


def test_what_can_be_read_once_keeps_its_times(pipe, readings):
    samples, words, _ = joined(readings, 200)
    data, rows = encoded(samples), [{"audio": readings[0][0], "text": readings[0][1]}]
    once = {"audio": io.BufferedReader(OnlyForward(data)), "text": words}
    expected = pipe({**once, "audio": data}, max_align_seconds=10, refine=False)
    with pytest.warns(UserWarning, match="cannot be read twice.*; doubtful words are not heard again"):
        found = pipe([*rows, once], max_align_seconds=10, batch_size=2)
    assert len(found) == 2
    assert np.abs(times_of(found[1]) - times_of(expected)).mean() < 0.01


class OnlyForward(io.RawIOBase):
    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def readinto(self, buffer):
        return self.data.readinto(buffer)
