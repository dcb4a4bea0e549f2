"""Medians over all paths against enumeration, and times that take them in."""

import itertools

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.posterior import posterior_medians, with_medians


def enumerated(probabilities, bins, least):
    """Each slot's distribution over all paths that keep the order, `(slots, bins)`; one path after the other."""
    slots = len(probabilities)
    found = np.zeros((slots, bins))
    for path in itertools.product(range(bins), repeat=slots):
        starts, ends = path[::2], path[1::2]
        if all(e - s >= n for s, e, n in zip(starts, ends, least)) and all(a <= b for a, b in zip(ends, starts[1:])):
            weight = np.prod([probabilities[s, c] for s, c in enumerate(path)])
            found[np.arange(slots), path] += weight
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(8))
def test_medians_are_those_of_all_paths(seed):
    random = np.random.default_rng(seed)
    words, bins = (2, 6) if seed % 2 else (1, 9)
    least = random.integers(1, 3, words)
    scores = torch.from_numpy(random.normal(0, 2, (2 * words, bins + 2))).log_softmax(-1)
    medians = posterior_medians(scores, bins, least)
    for got, shares in zip(medians, enumerated(scores.exp().numpy(), bins, least)):
        sums = np.cumsum(shares)
        k = int(np.searchsorted(sums, 0.5))
        # as much below as above, a class's share being spread over its width
        assert got == pytest.approx(k - 0.5 + (0.5 - sums[k] + shares[k]) / shares[k], abs=1e-6)
    assert (medians[1::2] - medians[::2] >= least - 1e-9).all()
    assert (np.diff(medians) >= -1e-9).all()


def test_words_that_do_not_fit_have_none():
    scores = torch.zeros(6, 10).log_softmax(-1)
    assert posterior_medians(scores, 4, np.array([1, 1, 1])) is not None
    assert posterior_medians(scores, 3, np.array([1, 1, 1])) is None
    assert posterior_medians(scores, 10, np.array([4, 4, 4])) is None


def test_impossible_classes_and_many_slots_stay_numbers():
    scores = torch.full((400, 500), -torch.inf)
    scores[torch.arange(400), torch.arange(400)] = 0.0
    medians = posterior_medians(scores, 500, np.ones(200, int))
    np.testing.assert_allclose(medians, np.arange(400), atol=0.5)


def test_times_far_from_the_path_become_medians():
    path = np.array([0.0, 200.0, 210.0, 900.0, 900.0, 1000.0])
    medians = np.array([1.0, 11.0, 30.0, 43.0, 45.0, 51.0])  # of 20 ms
    times = with_medians(path, medians, 20.0, 1010.0)
    # 600 is far from 210; 860 and 1020 are near 900 and 1000
    assert times.tolist() == [0, 200, 600, 900, 900, 1000]
    # an order that the choice broke is mended half way
    times = with_medians(path, np.array([1.0, 11.0, 47.0, 46.0, 48.0, 51.0]), 20.0, 1010.0)
    assert (np.diff(times) >= 0).all() and (times[1::2] - times[::2] >= 19.5).all()
    assert with_medians(path, medians + 40, 20.0, 1010.0).max() <= 1010


def peaked(words, share, classes=120, step=20):
    """Slots of words one behind the other, each sure of its class with `share` of the probability."""
    places = np.arange(2 * words) * step // 2 + 5
    scores = torch.full((2 * words, classes), (1 - share) / (classes - 1))
    scores[torch.arange(2 * words), torch.from_numpy(places)] = share
    return scores


def test_a_recording_in_doubt_is_read_from_all_paths():
    scores = peaked(5, 0.6)
    # the fifth slot's likeliest class holds less than what lies around another one
    scores[4] = 1e-6
    scores[4, 36], scores[4, 42:50] = 0.4, 0.075
    times = {}
    for lengths in (None, [4.0] * 5):
        times[lengths is None], found = decode_slots(scores.log(), 5, 20, lengths=lengths)
        assert 0.3 <= found.mean() < 0.7
    assert times[True][2, 0] == pytest.approx(36 * 0.02, abs=0.011)
    assert times[False][2, 0] == pytest.approx(44 * 0.02, abs=0.03)
    np.testing.assert_allclose(np.delete(times[False], 4), np.delete(times[True], 4), atol=1e-9)
    # of a recording that is sure, one such slot changes nothing
    sure = peaked(5, 0.97)
    sure[4] = scores[4]
    np.testing.assert_array_equal(*(decode_slots(sure.log(), 5, 20, lengths=n)[0] for n in (None, [4.0] * 5)))
