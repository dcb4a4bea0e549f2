"""Least lengths of words: how long words are when spoken, who is given a length, and that the path keeps it."""

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.joint_decoding import joint_bins
from transformers_qwen3_asr.alignment.pace import least_lengths, letters


def test_letters():
    assert [letters(word) for word in ("it's", "Straße", "1809", "é", "e\u0301", "…")] == [3, 6, 4, 1, 1, 1]
    assert [letters(word) for word in ("你", "ひら", "カナ", "한국", "你ok")] == [3, 4, 4, 5, 5]


def test_words_that_the_model_is_not_sure_of_get_the_pace_of_the_others():
    bins = np.array([0, 10, 10, 30, 30, 31, 31, 61])  # 2 classes a letter, but for the word of one class
    scores = np.array([0.9, 0.95, 0.2, 0.9])
    assert least_lengths(bins, scores, [5, 10, 8, 15], 1000).tolist() == [1, 1, 9, 1]  # 0.6 of 2 times 8
    assert least_lengths(bins, np.full(4, 0.9), [5, 10, 8, 15], 1000).tolist() == [1, 1, 1, 1]
    # all together not more than half of the recording
    unsure = least_lengths(bins, np.array([0.7, 0.7, 0.2, 0.7]), [5, 10, 8, 15], 40)
    assert 15 <= unsure.sum() <= 20 and unsure.min() >= 1
    for lengths in ([5, 10, 8], [5, 10, 0, 15]):
        with pytest.raises(ValueError, match="4 words, but lengths"):
            least_lengths(bins, scores, lengths, 100)


def plain_path_sum(scores, least):
    """The best sum by dynamic programming over all slots and classes, one after the other."""
    best = np.full(scores.shape[1], -np.inf)
    best[0] = 0.0
    for s, row in enumerate(scores.astype(np.float64)):
        best = np.maximum.accumulate(best)
        if s % 2:
            best = np.append(np.full(least[s // 2], -np.inf), best)[: len(best)]
        best = best + row
    return best.max()


def test_the_path_keeps_least_lengths_and_is_the_best_that_does():
    random = np.random.default_rng(0)
    for _ in range(150):
        words = int(random.integers(1, 30))
        least = random.integers(1, 8, words)
        bins = int(least.sum() + random.integers(1, 80))
        scores = random.normal(size=(2 * words, bins + 3)).astype(np.float32)
        if random.random() < 0.7:
            scores[range(2 * words), np.sort(random.integers(0, bins, 2 * words))] += 6
        path = joint_bins(torch.from_numpy(scores), bins, least)
        assert (path[1::2] - path[::2] >= least).all() and (path[2::2] >= path[1:-1:2]).all() and path[-1] < bins
        total = scores[range(2 * words), path].astype(np.float64).sum()
        assert total == pytest.approx(plain_path_sum(scores[:, :bins], least), abs=1e-9)
        # lengths that do not fit are not asked for
        assert np.array_equal(
            joint_bins(torch.from_numpy(scores), bins, least * 100), joint_bins(torch.from_numpy(scores), bins)
        )


def test_a_word_pressed_together_is_given_time():
    """Sure words of 10 classes; between them two words whose probabilities are flat, with a small peak far off."""
    logits = torch.zeros(10, 120)
    peaks = [0, 10, 10, 20, None, None, None, None, 60, 70]
    for slot, place in enumerate(peaks):
        if place is not None:
            logits[slot, place] = 12
    for slot, place in zip(range(4, 8), (20, 21, 21, 22)):
        logits[slot, place] = 1.0
    pressed, scores = decode_slots(logits, 5, 100)
    assert np.allclose(pressed[2:4], [[2.0, 2.1], [2.1, 2.2]], atol=0.06)
    assert scores[0] > 0.8 and scores[3] < 0.8
    given, _ = decode_slots(logits, 5, 100, lengths=[5] * 5)
    assert (given[2:4, 1] - given[2:4, 0] >= 0.6 - 1e-9).all()
    assert np.array_equal(given[[0, 1, 4]], pressed[[0, 1, 4]])
    assert np.array_equal(decode_slots(logits, 5, 100, decoding="argmax", lengths=[5] * 5)[0][:2], pressed[:2])
