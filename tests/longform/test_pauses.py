"""Silences as windows tell them, and which of them are looked across once more."""

import numpy as np
import pytest

from transformers_qwen3_asr.longform.pauses import Silences, looks_across
from transformers_qwen3_asr.longform.windows import Window


def silent(*pairs):
    silences = Silences()
    silences.add(np.array(pairs, float).reshape(-1, 2))
    return silences


def words(count=40, gap=20, pause=5.0):
    """A word every 0.4 s, and a pause before the one at `gap`; with the pause."""
    starts = np.arange(count) * 0.4
    starts[gap:] += pause
    return np.stack([starts, starts + 0.4], 1), (gap * 0.4, gap * 0.4 + pause)


def test_silences_of_several_windows_become_one():
    silences = silent((1, 2), (5, 6))
    silences.add(np.array([(1.5, 3), (8, 9), (5.2, 5.8)]))
    assert list(zip(silences.begins, silences.ends)) == [(1, 3), (5, 6), (8, 9)]
    assert silences.middles == [2, 5.5, 8.5]
    silences.add(np.array([(2.5, 5.1)]))
    assert list(zip(silences.begins, silences.ends)) == [(1, 6), (8, 9)]
    silences.forget(7)
    assert silences.begins == [8]
    silences.add(np.zeros((0, 2)))
    assert silences.begins == [8]


def test_sound_that_is_left_beside_a_silence():
    silences = silent((2, 4), (7, 8))
    assert [silences.before(time) for time in (0, 2.5, 3.5, 5, 9)] == [0, 0, 1, 1, 2]
    assert silences.left_before(4.2) == pytest.approx(0.2)
    assert silences.left_behind(1.8) == pytest.approx(0.4 * 0.2)  # where it dies away it counts less
    assert silences.left_before(6.5) == pytest.approx(0.3) and silences.left_behind(5) == pytest.approx(0.4 * 0.3)
    assert silences.left_before(1) == 0 and silences.left_behind(9) == 0  # no silence is known there
    assert silences.left_before(3.9) == 0 and silences.left_behind(2.1) == 0
    assert silences.left_between(1.8, 4.2) == pytest.approx(0.28)
    assert silences.left_between(4.5, 6.5) == 0  # no silence lies between


def test_only_what_is_suspicious_is_looked_across():
    times, pause = words()
    evidence, silences, all_words = np.ones(40), silent(pause), range(1, 40)
    assert looks_across(times, evidence, 0, all_words, silences, 30) == []
    begin, end = pause
    (window,) = looks_across(times, evidence, 0, all_words, silent((begin, end - 0.2)), 30)
    assert window.first < 10 < 30 < window.last  # words on either side, and the audio that they have
    assert window.start == pytest.approx(times[window.first, 0])
    assert window.end == pytest.approx(times[window.last - 1, 1])
    assert begin - window.start == pytest.approx(6, abs=0.5) and window.end - end == pytest.approx(6, abs=0.5)
    late = silent((begin + 0.3, end))
    assert looks_across(times, evidence, 0, all_words, late, 30) == [window]
    # words on their own, and what other words are counted from
    evidence[20] = -0.9
    assert looks_across(times, evidence, 0, all_words, silences, 30) == [window]
    (shifted,) = looks_across(times, evidence, 100, range(101, 140), silences, 30)
    assert shifted == Window(window.start, window.end, 100 + window.first, 100 + window.last)
    assert looks_across(times, evidence, 0, range(21, 40), silences, 30) == []
    # in windows that are too short for it there is nothing to be seen
    assert looks_across(times, evidence, 0, all_words, silences, 7.5) == []
    (short,) = looks_across(times, evidence, 0, all_words, silences, 9)
    assert short.end - short.start <= 9


def test_words_without_a_place_beside_a_silence():
    times, pause = words()
    times[20] = np.nan
    (window,) = looks_across(times, np.ones(40), 0, range(1, 40), silent(pause), 30)
    assert window.first < 20 < window.last
    times[18:23] = np.nan  # too many: they are looked for elsewhere
    assert looks_across(times, np.ones(40), 0, range(1, 40), silent(pause), 30) == []
