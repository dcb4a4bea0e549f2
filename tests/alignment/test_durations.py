"""How long words are when spoken, and that none is given less time than it takes to say it."""

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.durations import letters, shortest_lengths


def test_letters():
    assert [letters(word) for word in ("it's", "Straße", "1809", "é", "e\u0301", "…")] == [3, 6, 4, 1, 1, 1]
    assert [letters(word) for word in ("你", "ひら", "カナ", "한국", "你ok")] == [3, 4, 4, 5, 5]


def test_twenty_milliseconds_a_letter_and_at_least_a_class():
    assert shortest_lengths([1.0, 3.0, 9.0, 2.5], 4, 20.0).tolist() == [1, 3, 9, 2]
    assert shortest_lengths([1.0, 3.0, 8.0, 9.0, 12.0], 5, 80.0).tolist() == [1, 1, 2, 2, 3]
    assert shortest_lengths(None, 3, 20.0).tolist() == [1, 1, 1]
    assert shortest_lengths([], 0, 20.0).tolist() == []


@pytest.mark.parametrize("lengths", [[5, 10, 8], [5, 10, 0, 15], [5, 10, float("nan"), 15], [5, 10, float("inf"), 1]])
def test_lengths_that_do_not_fit_are_named(lengths):
    with pytest.raises(ValueError, match=r"clip 7: 4 words, but lengths .*one above 0 is expected for each"):
        shortest_lengths(lengths, 4, 20.0, "clip 7")


def test_a_word_pressed_together_is_given_time():
    """Sure words of 10 classes, and between them one of which the model says little."""
    logits = torch.zeros(6, 120)
    for slot, place in enumerate((0, 10, None, None, 60, 70)):
        if place is not None:
            logits[slot, place] = 12
    logits[2, 20] = logits[3, 21] = 1.0
    pressed, _ = decode_slots(logits, 3, 20)
    assert pressed[1] == pytest.approx([0.4, 0.42], abs=0.011)
    given, _ = decode_slots(logits, 3, 20, lengths=[5, 8, 5])
    assert given[1, 1] - given[1, 0] >= 8 * 0.02 - 0.021  # times are read within half a class of the path
    assert np.array_equal(given[[0, 2]], pressed[[0, 2]])
    assert np.array_equal(
        decode_slots(logits, 3, 20, decoding="argmax", lengths=[5, 8, 5])[0][[0, 2]], pressed[[0, 2]]
    )


def test_where_there_is_no_room_words_last_a_class():
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    expected, _ = decode_slots(logits, 10, 20, duration=0.5)
    found, _ = decode_slots(logits, 10, 20, duration=0.5, lengths=[9.0] * 10)
    assert np.array_equal(found, expected)
    assert (found[:, 1] > found[:, 0]).all() and found.max() <= 0.5
