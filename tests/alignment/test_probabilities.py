"""Scores that have been through softmax give the same words and times as the logits that they were made of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transformers_qwen3_asr.alignment.decoding import DECODINGS, decode_batch, decode_slots
from transformers_qwen3_asr.alignment.probabilities import as_logits

SLOT = 9  # the slot token's id here


def speech(seed, words, classes=200, sharpness=8.0):
    """Logits of `words` with planted rising classes, a few slots wrong."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(2 * words, classes))
    scores[range(2 * words), np.sort(random.integers(0, classes, 2 * words))] += sharpness
    wrong = np.flatnonzero(random.random(2 * words) < 0.2)
    scores[wrong, random.integers(0, classes, len(wrong))] += sharpness + 4
    return torch.from_numpy(scores).float()


def assert_same(found, expected):
    times, scores = found
    assert times == pytest.approx(expected[0], abs=0.00101)  # a mean between two milliseconds may be rounded apart
    assert scores == pytest.approx(expected[1], abs=1e-3)


@given(
    seed=st.integers(0, 2**32 - 1),
    words=st.integers(1, 12),
    sharpness=st.sampled_from([3.0, 8.0, 60.0]),
    decoding=st.sampled_from(DECODINGS),
    paced=st.booleans(),
    said=st.sampled_from([None, True]),
)
@settings(max_examples=60, deadline=None)
def test_softmaxed_scores_give_the_times_of_their_logits(seed, words, sharpness, decoding, paced, said):
    logits = speech(seed, words, sharpness=sharpness)
    options = {"decoding": decoding, "duration": 17.0, "lengths": [4] * words if paced else None}
    expected = decode_slots(logits, words, 80, **options)
    assert_same(decode_slots(logits.softmax(-1), words, 80, **options, probabilities=said), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_probabilities_of_5000_classes_are_recognised_in_every_dtype(dtype):
    logits = speech(0, 20, classes=5000, sharpness=14.0)
    found = decode_slots(logits.softmax(-1).to(dtype), 20, 80)
    expected = decode_slots(logits, 20, 80)
    # half precision rounds what lies beside the best class
    assert found[0] == pytest.approx(expected[0], abs=0.00101 if dtype == torch.float64 else 0.005)


def test_read_as_logits_they_are_wrong():
    """What recognising them is for: no score says anything, and words beside wrong ones are elsewhere."""
    logits = speech(3, 40)
    right, sure = decode_slots(logits, 40, 80)
    wrong, unsure = decode_slots(logits.softmax(-1), 40, 80, probabilities=False)
    assert np.median(sure) > 0.5 and unsure.max() < 0.2
    assert np.abs(right - wrong).max() > 0.3


def test_a_batch_of_probabilities_in_either_form():
    input_ids = torch.full((2, 9), 1)
    input_ids[0, [2, 3, 5, 6]] = SLOT
    input_ids[1, [7, 8]] = SLOT
    logits = torch.randn(2, 9, 40) * 5
    slots = logits[input_ids == SLOT]
    expected = decode_batch(logits, input_ids, [2, 1], SLOT)
    for scores, ids in (
        (logits.softmax(-1), input_ids),
        (slots.softmax(-1), input_ids),
        (slots.softmax(-1), None),
        (slots, None),
    ):
        for one, other in zip(decode_batch(scores, ids, [2, 1], SLOT), expected, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("seed", range(50))
def test_logits_are_never_taken_for_probabilities(seed):
    logits = torch.randn(8, 30, generator=torch.Generator().manual_seed(seed)) * 3
    for scores in (logits, logits.abs(), logits.log_softmax(-1), logits.sigmoid(), torch.zeros(4, 30)):
        assert as_logits(scores, None) is scores


def test_what_cannot_be_is_named():
    input_ids = torch.tensor([[SLOT, SLOT, 0], [SLOT, SLOT, 0]])
    mixed = torch.randn(4, 7)
    mixed[:3] = mixed[:3].softmax(-1)
    mixed[3, 0] = -1.0
    with pytest.raises(ValueError, match=r"slot 1 of clip 1 are no probabilities.* those at slot 0 of clip 0 are"):
        decode_batch(mixed, input_ids, [1, 1], SLOT)
    assert len(decode_batch(mixed, input_ids, [1, 1], SLOT, probabilities=False)) == 2
    with pytest.raises(ValueError, match=r"slot 0 of the clip are no probabilities.* probabilities=True was given"):
        decode_slots(torch.full((2, 7), 1.0), 1, probabilities=True)
    with pytest.raises(ValueError, match=r"without input_ids \(4 slots, classes\) are expected.* 2 words"):
        decode_batch(mixed[:3], None, [1, 1], SLOT)
    scores = mixed[:2].clone()
    scores[0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        decode_slots(scores, 1)
