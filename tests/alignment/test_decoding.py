"""Monotone repair and times from slot scores, against qwen-asr's numbers and an oracle of its own."""

import json
import random
import time

import numpy as np
import pytest
import torch
from conftest import GOLDENS

from transformers_qwen3_asr.alignment.decoding import (
    DECODINGS,
    decode_batch,
    decode_slots,
    repair_monotone,
    slot_logits,
)

GOLDEN = json.loads((GOLDENS / "repair.json").read_text())
SLOT = 9  # the slot token's id here


def oracle(values):
    """
    The repair from its description, in the plainest way: of all longest non-decreasing subsequences the one that ends
    first, each predecessor the first that fits; the others snapped (two at most) or interpolated; cut to whole
    numbers.
    """
    n = len(values)
    length = [0] * n  # of the longest subsequence that ends here
    for i in range(n):
        length[i] = 1 + max((length[j] for j in range(i) if values[j] <= values[i]), default=0)
    i = length.index(max(length))
    kept = [i]
    while length[i] > 1:
        i = next(j for j in range(i) if values[j] <= values[i] and length[j] == length[i] - 1)
        kept.insert(0, i)
    repaired = []
    for k in range(n):
        left = max((i for i in kept if i <= k), default=None)
        right = min((i for i in kept if i >= k), default=None)
        if left is None or right is None or left == right:
            repaired.append(values[right if left is None else left])
        elif right - left - 1 > 2:
            share = (values[right] - values[left]) / (right - left)
            repaired.append(values[left] + share * (k - left))
        else:
            repaired.append(values[left] if k - left <= right - k else values[right])
    return [int(value) for value in repaired]


def test_repair_equals_qwen_asr():
    for classes, expected in GOLDEN["cases"]:
        assert repair_monotone([value * GOLDEN["segment_time"] for value in classes]) == expected


@pytest.mark.parametrize("segment_time", [80, 20, 12.5])
def test_repair_equals_the_oracle(segment_time):
    rng = random.Random(1)
    for _ in range(1500):
        spread = rng.choice((1, 2, 3, 5, 10, 1000))
        values = [rng.randrange(spread) * segment_time for _ in range(rng.randint(1, 30))]
        if rng.random() < 0.3:
            values.sort(reverse=rng.random() < 0.3)
            for _ in range(rng.randint(0, 4)):
                values[rng.randrange(len(values))] = rng.randrange(spread) * segment_time
        assert repair_monotone(values) == oracle(values), values


def test_repair_is_monotone_and_leaves_rising_times_alone():
    rng = random.Random(2)
    for _ in range(300):
        values = [rng.randrange(500) for _ in range(rng.randint(1, 200))]
        repaired = repair_monotone(values)
        assert repaired == sorted(repaired)
        assert repair_monotone(sorted(values)) == sorted(values)
    assert repair_monotone([]) == []
    assert repair_monotone(np.array([3.0, 1.0, 2.0])) == [1, 1, 2]


@pytest.mark.parametrize("kind", ["falling", "rising", "equal", "random", "sawtooth"])
def test_repair_takes_n_log_n(kind):
    def seconds(n):
        rng = random.Random(3)
        values = {
            "falling": list(range(n, 0, -1)),
            "rising": list(range(n)),
            "equal": [7] * n,
            "random": [rng.randrange(n) for _ in range(n)],
            "sawtooth": [i % 1000 for i in range(n)],
        }[kind]
        start = time.process_time()
        repair_monotone(values)
        return time.process_time() - start

    # ten times as many; quadratic would be a hundred times as long
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.01)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_repair_refuses_what_is_no_time(bad):
    with pytest.raises(ValueError, match="value 1 is"):
        repair_monotone([1.0, bad, 2.0])


def planted(classes, bins, margin=4.0):
    logits = torch.zeros(len(bins), classes)
    logits[range(len(bins)), bins] = margin
    return logits


def test_planted_classes_become_seconds():
    for decoding in DECODINGS:
        times, scores = decode_slots(planted(50, [1, 3, 3, 10]), 2, 80, decoding=decoding)
        assert times.tolist() == [[0.08, 0.24], [0.24, 0.8]]
        near = float(torch.softmax(planted(50, [5]), -1)[0, 4:7].sum())
        assert scores == pytest.approx([near, near])


def near(logits, slot, place):
    """The probability that a slot's class is at most one from `place`."""
    return float(torch.softmax(logits, -1)[slot, place - 1 : place + 2].sum())


def test_score_is_of_the_classes_returned_not_of_the_predicted_ones():
    logits = planted(30, [2, 25, 4, 6])
    times, scores = decode_slots(logits, 2, 100, decoding="argmax")
    assert times.tolist() == [[0.2, 0.2], [0.4, 0.6]]  # 25 is snapped to its left neighbour
    # a fifth of the start, two of the end and two of the next start, or where there is none of the end again
    start, end, following, last = near(logits, 0, 2), near(logits, 1, 2), near(logits, 2, 4), near(logits, 3, 6)
    assert scores == pytest.approx([(start * end**2 * following**2) ** 0.2, (following * last**4) ** 0.2])
    assert end < 0.2 < following


def test_interpolated_times_are_whole_milliseconds_with_the_nearest_class():
    logits = planted(60, [10, 50, 40, 30, 11, 12])
    times, scores = decode_slots(logits, 3, 80, decoding="argmax")
    assert times.tolist() == [[0.8, 0.82], [0.84, 0.86], [0.88, 0.96]]
    # 840 and 860 ms are class 11
    score = (near(logits, 2, 11) * near(logits, 3, 11) ** 2 * near(logits, 4, 11) ** 2) ** 0.2
    assert scores[1] == pytest.approx(score)


def test_times_are_not_cut_at_the_recordings_end():
    # nothing here knows the recording: class 4999 is 400 s, as in qwen-asr
    assert decode_slots(planted(5000, [4998, 4999]), 1, 80, decoding="argmax")[0].tolist() == [[399.84, 399.92]]


def test_a_batch_is_its_clips_in_either_form_of_logits():
    torch.manual_seed(0)
    input_ids = torch.full((3, 12), 1)
    input_ids[0, [2, 3, 5, 6]] = SLOT
    input_ids[1, [8, 9]] = SLOT
    input_ids[2, [1, 2, 4, 5, 7, 8]] = SLOT
    logits = torch.randn(3, 12, 40)
    counts = [2, 1, 3]
    full = decode_batch(logits, input_ids, counts, SLOT, 80)
    packed = decode_batch(logits[input_ids == SLOT], input_ids, counts, SLOT, 80)
    for i, count in enumerate(counts):
        alone = decode_slots(logits[i, input_ids[i] == SLOT], count, 80)
        for other in (full[i], packed[i]):
            assert np.array_equal(other[0], alone[0])
            assert other[1] == pytest.approx(alone[1], rel=1e-6)
        assert alone[0].shape == (count, 2)


def test_bfloat16_logits_and_a_clip_without_words():
    logits = planted(40, [1, 2, 3, 4]).bfloat16()
    input_ids = torch.tensor([[SLOT, SLOT, 0], [SLOT, SLOT, 0]])
    first, empty = decode_batch(logits, input_ids, [1, 0], SLOT, 80)
    assert first[0].tolist() == [[0.08, 0.16]]
    assert empty[0].shape == (0, 2)
    assert empty[1].shape == (0,)


def test_what_does_not_fit_is_named():
    input_ids = torch.tensor([[SLOT, SLOT, 0, SLOT, SLOT], [SLOT, SLOT, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"clip 1 .*two for each of 2 words"):
        decode_batch(torch.zeros(2, 5, 7), input_ids, [2, 2], SLOT)
    with pytest.raises(ValueError, match="3 word lists for 2 clips"):
        decode_batch(torch.zeros(2, 5, 7), input_ids, [2, 1, 1], SLOT)
    with pytest.raises(ValueError, match="6 slots, classes"):
        slot_logits(torch.zeros(5, 7), input_ids, SLOT)
    with pytest.raises(ValueError, match="does not fit input_ids"):
        slot_logits(torch.zeros(2, 6, 7), input_ids, SLOT)
    with pytest.raises(ValueError, match="even number"):
        decode_slots(torch.zeros(3, 7))
    for value in (float("nan"), float("inf")):
        logits = torch.zeros(2, 5, 7)
        logits[1, 1, 3] = value
        with pytest.raises(ValueError, match="clip 1: the scores at slot 1 are not finite"):
            decode_batch(logits, input_ids, [2, 1], SLOT)
    masked = planted(7, [1, 2])
    masked[0, 5] = -float("inf")  # a class that is ruled out
    assert decode_slots(masked, 1)[0].tolist() == [[0.08, 0.16]]
