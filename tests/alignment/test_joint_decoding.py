"""The joint path against enumeration of all paths, times finer than a class, and what they keep to."""

import itertools

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment import joint_decoding
from transformers_qwen3_asr.alignment.confidence import probabilities_around
from transformers_qwen3_asr.alignment.decoding import DECODINGS, decode_batch, decode_slots
from transformers_qwen3_asr.alignment.joint_decoding import (
    classes_within,
    joint_bins,
    joint_times,
    normalised,
    shifted_rows,
)


def judged(scores, path):
    """What is maximised, in the order in which it counts: words without a length, classes of -inf, the sum."""
    path = list(path)
    assert all(a <= b for a, b in itertools.pairwise(path)) and path[0] >= 0 and path[-1] < scores.shape[1]
    taken = scores[range(len(path)), path]
    empty = sum(a == b for a, b in zip(path[::2], path[1::2]))
    return -empty, -int(np.isneginf(taken).sum()), float(taken[np.isfinite(taken)].sum())


def best_of_all(scores):
    """By looking at every path that never falls."""
    paths = itertools.combinations_with_replacement(range(scores.shape[1]), len(scores))
    return max(judged(scores, path) for path in paths)


def random_scores(random, kind, slots, classes):
    if kind == "ties":
        scores = random.integers(-2, 3, size=(slots, classes)).astype(np.float32)
    else:
        scores = (random.normal(size=(slots, classes)) * random.choice([0.1, 1, 10])).astype(np.float32)
    if kind == "ruled out":
        scores[random.random(scores.shape) < 0.5] = -np.inf
    return scores


@pytest.mark.parametrize("kind", ["random", "ties", "ruled out"])
def test_the_path_is_the_best_of_all(kind):
    random = np.random.default_rng(0)
    crowded = 0
    for _ in range(500):
        words = int(random.integers(1, 4))
        bins = int(random.integers(1, (8, 7, 5)[words - 1]))
        scores = random_scores(random, kind, 2 * words, bins + int(random.integers(0, 3)))
        inside = scores[:, :bins].astype(np.float64)
        expected = best_of_all(inside)
        path = joint_bins(torch.from_numpy(scores), bins)
        assert judged(inside, path)[:2] == expected[:2]
        assert judged(inside, path)[2] == pytest.approx(expected[2], abs=1e-9)
        crowded += bins <= words
        assert (expected[0] < 0) == (bins <= words)  # a length for each word wherever that is possible
    assert crowded > 50


def plain_path_sum(scores, bins):
    """The sum of the best path by dynamic programming over all slots and classes, one after the other."""
    best = np.full(bins, -np.inf)
    best[0] = 0.0
    for s, row in enumerate(scores[:, :bins].astype(np.float64)):
        best = np.maximum.accumulate(best)
        if s % 2:
            best = np.append(-np.inf, best[:-1])  # an end is one class after its start
        best = best + row
    return best.max()


@pytest.mark.parametrize("outliers", [0.0, 0.05, 0.3, None])
def test_longer_clips_against_a_plain_dynamic_programme(outliers, monkeypatch):
    random = np.random.default_rng(1)
    monkeypatch.setattr(joint_decoding, "NORMALISED", 2000)  # some rows at a time
    for _ in range(60):
        words = int(random.integers(1, 50))
        bins = words + int(random.integers(2, 150))
        scores = random.normal(size=(2 * words, bins + 5)).astype(np.float32)
        if outliers is not None:
            scores[range(2 * words), np.sort(random.integers(0, bins, 2 * words))] += 6
            wrong = np.flatnonzero(random.random(2 * words) < outliers)
            scores[wrong, random.integers(0, bins, len(wrong))] += 9
        path = joint_bins(torch.from_numpy(scores), bins)
        assert judged(scores.astype(np.float64), path)[2] == pytest.approx(plain_path_sum(scores, bins), abs=1e-9)


@pytest.mark.parametrize("classes", [12, 30])
def test_rows_from_where_their_words_may_begin(classes):
    """Where all have as many classes as the longest clip from there on, and where they do not."""
    scores = torch.arange(5.0 * classes).reshape(5, classes)
    rows, steps, room = np.array([4, 1, 3]), np.array([0, 2, 5]), np.array([10, 10, 7])
    expected = torch.full((3, 10), -torch.inf)
    for line, row, step, width in zip(expected, rows, steps, room):
        line[:width] = scores[row, step : step + width]
    assert shifted_rows(scores, rows, steps, room).equal(expected)
    assert shifted_rows(scores, rows[:2], steps[:2], room[:2]).equal(expected[:2])


def test_a_constant_added_to_a_row_and_other_dtypes_change_nothing():
    torch.manual_seed(2)
    logits = (4 * torch.randn(40, 90)).bfloat16().float()
    path = joint_bins(logits)
    assert np.array_equal(path, joint_bins(logits.bfloat16()))
    assert np.array_equal(path, joint_bins(logits.double()))
    assert np.array_equal(path, joint_bins(logits.log_softmax(-1).double()))
    strided = torch.stack([logits, logits], -1)[..., 0]
    assert not strided.is_contiguous() and np.array_equal(path, joint_bins(strided))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_scores_are_normalised_some_rows_at_a_time(dtype, monkeypatch):
    monkeypatch.setattr(joint_decoding, "NORMALISED", 200)  # two rows at a time, the last one alone
    torch.manual_seed(3)
    logits = (4 * torch.randn(7, 90)).to(dtype)
    logits[3, 5:60] = -torch.inf
    expected = logits.log_softmax(-1, dtype=torch.float32)
    assert normalised(logits).equal(expected) and normalised(logits, 91).equal(expected)
    found = normalised(logits, 53)
    assert found.equal(expected[:, :53])
    transposed = logits.T.contiguous().T
    assert not transposed.is_contiguous() and normalised(transposed, 53).equal(found)


def peaks(places, classes=400, width=1.0, height=8.0):
    """Scores with a peak of a normal distribution's shape at each of `places`, which need not be whole."""
    distance = torch.arange(classes, dtype=torch.float64) - torch.tensor(places, dtype=torch.float64)[:, None]
    return (height - distance**2 / (2 * width**2)).float()


def test_one_word_far_off_moves_no_other():
    logits = peaks([10, 20, 300, 310, 30, 40, 41, 50])
    logits[2:4] = torch.maximum(logits[2:4], peaks([22, 28], height=5.0))
    times, _ = decode_slots(logits, 4, 80)
    assert times.tolist() == [[0.8, 1.6], [1.76, 2.24], [2.4, 3.2], [3.28, 4.0]]
    repaired, _ = decode_slots(logits, 4, 80, decoding="argmax")
    assert repaired[1].tolist() == [1.6, 2.4]  # snapped to its neighbours


@pytest.mark.parametrize("segment_time", [80, 20, 12.5])
def test_times_between_classes_are_found(segment_time):
    random = np.random.default_rng(3)
    places = np.sort(random.uniform(2, 390, 20))
    places = places[np.append(True, np.diff(places) > 1.2)]
    places = places[: len(places) // 2 * 2]
    logits = peaks(places.tolist())
    times, _ = decode_slots(logits, None, segment_time)
    fine = np.abs(times.ravel() * 1000 / segment_time - places)
    grid = np.abs(joint_bins(logits) - places)
    assert fine.mean() < grid.mean() / 2
    assert fine.max() <= 0.5 + 0.6 / segment_time


@pytest.mark.parametrize("segment_time", [80, 20, 12.5, 33])
def test_order_length_and_end_are_kept(segment_time):
    """Random scores, so that means contradict each other everywhere; recordings that end between classes."""
    random = np.random.default_rng(4)
    for _ in range(200):
        words = int(random.integers(1, 12))
        duration = float(random.uniform(0.001, 2.5 * words * segment_time / 1000))
        scores = torch.from_numpy(random.normal(size=(2 * words, 200)) * random.choice([0.1, 3])).float()
        times, values = decode_slots(scores, words, segment_time, duration=duration)
        assert times.shape == (words, 2) and (np.diff(times.ravel()) >= 0).all()
        assert times.min() >= 0 and times.max() <= duration
        assert np.array_equal(np.round(times, 3), times)
        assert ((values >= 0) & (values <= 1)).all()
        lengths = times[:, 1] - times[:, 0]
        if words * segment_time <= np.floor(duration * 1000):
            assert lengths.min() * 1000 >= segment_time - (0.001 if segment_time % 1 == 0 else 1)
        else:  # as few words as possible do not last
            room = int(np.floor(duration * 1000) / segment_time)
            assert (lengths == 0).sum() == words - room


def test_a_recording_of_no_length_and_scores_ruled_out_within_it():
    logits = peaks([100, 110, 120, 130])
    assert decode_slots(logits, 2, 80, duration=0.0)[0].tolist() == [[0, 0], [0, 0]]
    logits[:, :50] = -float("inf")
    times, scores = decode_slots(logits, 2, 80, duration=1.0)
    assert times.max() <= 1.0 and (times[:, 1] - times[:, 0] >= 0.08 - 1e-9).all()
    assert scores.max() < 0.01


def test_classes_within_a_recording():
    assert classes_within(np.inf, 80, 3) is None
    assert classes_within(799, 80, 3) == 11  # 800 ms is nearer than 720, and is cut to 799
    assert classes_within(830, 80, 3) == 11
    assert classes_within(799, 80, 10) == 10  # no room for ten words before 799 ms
    near = probabilities_around(peaks([9.4, 10.4]), np.array([9, 10]), 1)
    assert joint_times(near, np.array([9, 10]), 80, 799).tolist() == [719, 799]


def test_joint_decoding_in_batches_with_durations():
    torch.manual_seed(5)
    slot = 9
    input_ids = torch.full((2, 14), 1)
    input_ids[0, [2, 3, 5, 6]] = slot
    input_ids[1, [8, 9, 11, 12, 4, 5]] = slot
    logits = torch.randn(2, 14, 60)
    found = decode_batch(logits, input_ids, [2, 3], slot, 80, durations=[1.0, None])
    for i, (count, duration) in enumerate(((2, 1.0), (3, None))):
        alone = decode_slots(logits[i, input_ids[i] == slot], count, 80, duration=duration)
        assert np.array_equal(found[i][0], alone[0])
    assert found[0][0].max() <= 1.0
    with pytest.raises(ValueError, match="1 durations for 2 clips"):
        decode_batch(logits, input_ids, [2, 3], slot, 80, durations=[1.0])


def test_what_is_refused():
    for duration in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="clip 3: a duration"):
            decode_slots(torch.zeros(2, 5), 1, 80, "clip 3", duration=duration)
    with pytest.raises(ValueError, match="decoding='viterbi': known are joint, argmax"):
        decode_slots(torch.zeros(2, 5), 1, 80, decoding="viterbi")
    assert DECODINGS[0] == "joint"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_as_on_the_cpu():
    random = np.random.default_rng(6)
    for outliers in (0.02, 0.5):
        scores = torch.from_numpy(random.normal(size=(300, 1200))).float()
        scores[range(300), np.sort(random.integers(0, 1100, 300))] += 8
        wrong = np.flatnonzero(random.random(300) < outliers)
        scores[wrong, random.integers(0, 1100, len(wrong))] += 12
        assert np.array_equal(joint_bins(scores, 1150), joint_bins(scores.cuda(), 1150))
