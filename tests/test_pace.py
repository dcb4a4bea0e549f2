"""How long words are when spoken, how long they last at a recording's pace, and how much shorter they may be."""

import numpy as np
import pytest

from transformers_qwen3_asr.alignment.pace import letters, shares_of_short_words, usual_lengths


def test_letters():
    assert [letters(word) for word in ("it's", "Straße", "1809", "é", "e\u0301", "…")] == [3, 6, 4, 1, 1, 1]
    assert [letters(word) for word in ("你", "ひら", "カナ", "한국", "你ok")] == [3, 4, 4, 5, 5]


def test_the_pace_is_that_of_the_surest_half():
    bins = np.array([0, 10, 10, 30, 30, 31, 31, 61])  # 2 classes a letter, but for the word of one class
    scores = np.array([0.9, 0.95, 0.2, 0.9])
    assert usual_lengths(bins, scores, [5, 10, 8, 15]).tolist() == [10, 20, 16, 30]
    for lengths in ([5, 10, 8], [5, 10, 0, 15]):
        with pytest.raises(ValueError, match="4 words, but lengths"):
            usual_lengths(bins, scores, lengths)


def test_much_shorter_words_are_less_probable():
    shares = shares_of_short_words(20.0)  # full from 14 classes on
    assert len(shares) == 14 and shares[0] == 0
    assert shares[13] == pytest.approx((13 / 14) ** 8) and shares[12] == pytest.approx((12 / 14) ** 8)
    assert (shares[1:7] == 0.005).all() and (np.diff(shares) >= 0).all()
    # a word of less than a class lasts one all the same
    for usual in (0.01, 0.4, 1.0, 1.4):
        assert shares_of_short_words(usual).tolist() == [0]
    assert shares_of_short_words(1.5).tolist() == [0, pytest.approx((1 / 1.05) ** 8)]
