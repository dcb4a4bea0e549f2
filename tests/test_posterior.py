"""Medians over all paths against enumeration, which words they are taken for, and times that take them in."""

import itertools

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment import posterior
from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.pace import shares_of_short_words
from transformers_qwen3_asr.alignment.posterior import (
    _LEAST,
    MISLED,
    Stretch,
    doubtful_stretches,
    posterior_medians,
    settled,
)


def worth(length, usual):
    shares = shares_of_short_words(usual)
    return shares[length] if length < len(shares) else 1.0


def enumerated(probabilities, usual):
    """Each slot's distribution over all paths that keep the order, `(slots, columns)`; one path after the other."""
    slots, columns = probabilities.shape
    found = np.zeros((slots, columns))
    for path in itertools.product(range(columns), repeat=slots):
        starts, ends = path[::2], path[1::2]
        if all(e > s for s, e in zip(starts, ends)) and all(a <= b for a, b in zip(ends, starts[1:])):
            weight = np.prod([probabilities[s, c] for s, c in enumerate(path)])
            weight *= np.prod([worth(e - s, n) for s, e, n in zip(starts, ends, usual)])
            found[np.arange(slots), path] += weight
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(10))
def test_medians_are_those_of_all_paths(seed):
    random = np.random.default_rng(seed)
    words, columns = (2, 6) if seed % 2 else (1, 9)
    usual = random.uniform(0.5, 2 * columns, words)
    scores = torch.from_numpy(random.normal(0, 2, (2 * words, columns + 2))).log_softmax(-1)[:, :columns]
    (medians,) = posterior_medians([scores.numpy()], [usual], [columns + 5])
    usual = usual.clip(max=columns)  # no word is asked to be longer than there is room
    rows = scores.exp().numpy()
    for row in rows:  # what the best column and those beside it leave may lie anywhere
        best = row.argmax()
        row += (MISLED * (1 - row[max(0, best - 1) : best + 2].sum()) + _LEAST) / (columns + 5)
    for got, shares in zip(medians, enumerated(rows, usual)):
        sums = np.cumsum(shares)
        k = int(np.searchsorted(sums, 0.5))
        # as much below as above, a class's share being spread over its width
        assert got == pytest.approx(k - 0.5 + (0.5 - sums[k] + shares[k]) / shares[k], abs=1e-6)
    assert (np.diff(medians) >= -1e-9).all()


def test_stretches_together_as_each_alone(monkeypatch):
    monkeypatch.setattr(posterior, "AT_ONCE", 3000)
    random = np.random.default_rng(3)
    for _ in range(20):
        stretches = []
        for _ in range(int(random.integers(1, 12))):
            words = int(random.integers(1, 9))
            columns = int(words + random.integers(1, random.choice([8, 40, 300])))
            scores = random.normal(0, 4, (2 * words, columns + 3))
            scores = torch.from_numpy(scores).float().log_softmax(-1)[:, :columns].numpy()
            stretches.append((scores, random.uniform(0.3, 30, words), columns + int(random.integers(100))))
        together = posterior_medians(*zip(*stretches))
        for got, (scores, usual, classes) in zip(together, stretches):
            (alone,) = posterior_medians([scores], [usual], [classes])
            np.testing.assert_allclose(got, alone, atol=1e-6)
    assert posterior_medians([], [], []) == []


def test_words_that_do_not_fit_are_an_error():
    scores = torch.zeros(6, 10).log_softmax(-1).numpy()
    assert len(posterior_medians([scores[:, :4]], [np.ones(3)], [10])[0]) == 6
    with pytest.raises(ValueError, match="3 words do not fit into 3 classes"):
        posterior_medians([scores, scores[:, :3]], [np.ones(3)] * 2, [10] * 2)


def test_impossible_classes_and_many_slots_stay_numbers():
    scores = np.full((400, 500), -np.inf, dtype=np.float32)
    scores[np.arange(400), np.arange(400)] = 0.0
    for usual in (1.0, 400.0):
        (medians,) = posterior_medians([scores], [np.full(200, usual)], [500])
        assert np.isfinite(medians).all() and (np.diff(medians) >= -1e-9).all()
    np.testing.assert_allclose(posterior_medians([scores], [np.ones(200)], [500])[0], np.arange(400), atol=0.5)


def test_doubtful_words_are_looked_at_with_their_neighbours():
    bins, scores, usual = np.arange(20) * 5, np.full(10, 0.95), np.full(10, 100.0)
    assert doubtful_stretches(bins, scores, usual, 200) == []
    scores[[0, 4, 6]] = 0.5
    found = doubtful_stretches(bins, scores, usual, 200)
    assert found == [Stretch(slice(0, 2), slice(0, 21)), Stretch(slice(3, 8), slice(25, 81))]
    assert found[1].slots == slice(6, 16)
    scores[9] = 0.5
    assert doubtful_stretches(bins, scores, usual, 200)[-1] == Stretch(slice(3, 10), slice(25, 200))
    # they go no further from where they are than they last themselves
    assert doubtful_stretches(bins, scores, usual / 50, 200)[-1] == Stretch(slice(3, 10), slice(25, 95 + 14 + 1))
    # of a recording of which nothing is known, and of words that do not last, there is nothing to find out
    assert doubtful_stretches(bins, scores * 0.3, usual, 200) == []
    assert doubtful_stretches(np.repeat(bins[::2], 2), scores, usual, 200) == []
    assert doubtful_stretches(bins[:0], scores[:0], usual[:0], 200) == []


def test_times_far_from_the_path_become_medians():
    path = np.array([0.0, 200.0, 210.0, 420.0, 900.0, 1000.0])
    stretch = Stretch(slice(1, 2), slice(10, 46))  # 200 to 900 ms
    # 600 is far from 210, and 860 from 420
    times = settled(path.copy(), [stretch], [np.array([20.0, 33.0])], 20.0, 1010.0)
    assert times.tolist() == [0, 200, 600, 860, 900, 1000]
    # 460 is near 420, but before 600: an order that the choice broke is mended half way
    times = settled(path.copy(), [stretch], [np.array([20.0, 13.0])], 20.0, 1010.0)
    assert times.tolist() == [0, 200, 500, 520, 900, 1000]
    assert settled(path.copy(), [], [], 20.0, 990.0).max() <= 990


def peaked(words, share, classes=120, step=20):
    """Slots of words one behind the other, each sure of its class with `share` of the probability."""
    places = np.arange(2 * words) * step // 2 + 5
    scores = torch.full((2 * words, classes), (1 - share) / (classes - 1))
    scores[torch.arange(2 * words), torch.from_numpy(places)] = share
    return scores


def test_a_doubtful_word_is_read_from_all_paths():
    scores = peaked(5, 0.97)
    # the fifth slot's likeliest class holds less than what lies around another one
    scores[4] = 1e-6
    scores[4, 36], scores[4, 42:50] = 0.4, 0.075
    times = {}
    for lengths in (None, [4.0] * 5):
        times[lengths is None], found = decode_slots(scores.log(), 5, 20, lengths=lengths)
        assert found[1] < 0.8 and found[[0, 3, 4]].min() > 0.8
    assert times[True][2, 0] == pytest.approx(36 * 0.02, abs=0.011)
    assert 42 * 0.02 <= times[False][2, 0] <= 45 * 0.02  # where half of it lies on either side
    np.testing.assert_allclose(np.delete(times[False], 4), np.delete(times[True], 4), atol=1e-9)


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
    assert (given[2:4, 1] - given[2:4, 0] >= 0.7).all()
    assert np.array_equal(given[[0, 1, 4]], pressed[[0, 1, 4]])
    assert np.array_equal(decode_slots(logits, 5, 100, decoding="argmax", lengths=[5] * 5)[0][:2], pressed[:2])


def test_many_words_that_are_not_said_spoil_nothing():
    """A text of which only the first half is said: a long stretch in which everything is open."""
    said, more, gap = 300, 300, 5
    logits = 0.5 * torch.randn(2 * (said + more), said * 2 * gap + 900, generator=torch.Generator().manual_seed(0))
    places = torch.arange(2 * said)
    logits[places, places * gap] += 14
    times, scores = decode_slots(logits, said + more, 80, lengths=[5.0] * (said + more))
    assert np.isfinite(times).all() and (np.diff(times.ravel()) >= 0).all() and ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(times[: said - 1].ravel(), places[:-2] * gap * 0.08, atol=0.02)
    bins, doubts = np.arange(200) * 5, np.full(100, 0.5)
    doubts[[37, 70]] = 0.6
    parts = doubtful_stretches(bins, doubts, np.full(100, 5.0), 1000)
    assert [(part.words.start, part.words.stop) for part in parts] == [(0, 37), (38, 70), (71, 100)]


def test_what_no_number_can_hold_keeps_the_path():
    path = np.array([0.0, 200.0, 210.0, 420.0, 900.0, 1000.0])
    stretch = Stretch(slice(1, 2), slice(10, 46))
    np.testing.assert_array_equal(settled(path.copy(), [stretch], [np.array([20.0, np.nan])], 20.0, 1010.0), path)


def test_doubt_does_not_put_words_into_silences():
    logits = torch.full((12, 300), -8.0)
    places = np.array([5, 25, 30, 50, 55, 75, 80, 98, 202, 220, 225, 245])
    logits[np.arange(12), places] = 4.0
    logits[7, 98] = -6.0  # a word's end before the silence, of which the model is not sure
    logits[:, 100:200] = -torch.inf
    path, scores = decode_slots(logits, 6, 20)
    assert scores[3] < 0.8
    times, _ = decode_slots(logits, 6, 20, lengths=[5.0] * 6)
    assert ((times < 2.0) | (times > 4.0)).all()
    np.testing.assert_allclose(times, path, atol=0.1)
