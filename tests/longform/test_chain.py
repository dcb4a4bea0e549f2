"""The chain of words through several windows, against every possible chain and in cases that are known."""

from itertools import product

import numpy as np
import pytest

from transformers_qwen3_asr.longform import chain
from transformers_qwen3_asr.longform.chain import Placed, best_chain
from transformers_qwen3_asr.longform.pauses import Silences


def placed(first, starts, evidence, length=0.3):
    starts = np.asarray(starts, float)
    times = np.stack([starts, starts + length], 1)
    return Placed(first, times, np.full(len(starts), 0.5), np.asarray(evidence, float))


def silent(*pairs):
    silences = Silences()
    silences.add(np.array(pairs, float).reshape(-1, 2))
    return silences


def value(places, choice, since, silences):
    """What a choice of a place (or -1) for each word is worth; -inf where it goes back."""
    total, end, before = 0.0, since, None
    for word, number in enumerate(choice):
        if number < 0:
            continue
        place = places[number]
        if word not in place:
            return -np.inf
        start, stop = place.times[word - place.first]
        goes_on = before is not None and before[0] == word - 1
        if before is None:
            goes_on = word == 0
        previous = None if before is None else before[1]
        ahead = place.times[word - 1 - place.first, 1] if word - 1 in place else np.inf
        free = goes_on and (number == previous or abs(ahead - end) < chain._SAME)
        if not free and start < end - 0.05:
            return -np.inf
        total += place.evidence[word - place.first] + chain._SCORE * 0.5 - (0.0 if free else chain._CHANGE)
        total -= chain._UNSAID * silences.left_between(end, start)
        end, before = max(start, stop), (word, number)
    return total


@pytest.mark.parametrize("silences", [silent(), silent((0.32, 0.48)), silent((0.22, 0.38), (0.62, 0.88))])
def test_against_every_chain(silences):
    random = np.random.default_rng(0)
    better = 0
    for _ in range(150):
        places = []
        for _ in range(3):
            first, count = random.integers(3), random.integers(3, 6)
            steps = random.choice([0.05, 0.15], count)  # never so long that a gap counts
            evidence = random.choice([-1.0, 0.0, 0.7, 1.0], count) * random.choice([1, 3])
            places.append(placed(first, 0.1 * random.integers(3) + np.cumsum(steps), evidence, 0.05))
        past = max(place.past for place in places)
        ranges = [[-1, *(k for k in range(3) if word in places[k])] for word in range(past)]
        best = max(value(places, choice, 0.0, silences) for choice in product(*ranges))
        found = best_chain(places, 0, past, 0.0, silences)
        assert value(places, found.tolist(), 0.0, silences) == pytest.approx(best)
        better += best > 0
    assert better > 100


def test_words_are_taken_from_the_window_where_they_fit():
    left = placed(0, np.arange(10) * 0.4, [1] * 6 + [-1] * 4)
    right = placed(4, 40 + np.arange(10) * 0.4, [-1] * 2 + [1] * 8)
    assert best_chain([left, right], 0, 14, 0.0).tolist() == [0] * 6 + [1] * 8


def test_windows_that_agree_are_one():
    """To go over from one to the other where both have the same times costs nothing, however little is won."""
    left = placed(0, np.arange(6) * 0.4, [1.0, 1.0, 0.9, 0.9, 0.9, 0.9])
    right = placed(2, np.arange(2, 8) * 0.4, [0.8, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert best_chain([left, right], 0, 8, 0.0).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_of_two_chains_the_one_with_fewer_gaps():
    """Three words fit as well before a long passage, seconds behind the others, as right behind it."""
    left = placed(0, [0.0, 0.4, 0.8, 1.2, 8.0, 8.4, 8.8], [1] * 7)
    right = placed(4, [30.0, 30.4, 30.8, 31.2, 31.6, 32.0], [0.9] * 3 + [1] * 3)
    assert best_chain([left, right], 0, 10, 0.0).tolist() == [0] * 4 + [1] * 6


def test_nothing_goes_back():
    places = [placed(0, [5.0, 5.4, 5.8, 6.2, 6.6], [1] * 5), placed(5, [1.0, 1.4, 1.8], [0.9] * 3)]
    assert best_chain(places, 0, 8, 0.0).tolist() == [0] * 5 + [-1] * 3
    assert best_chain(places, 0, 8, 7.0).tolist() == [-1] * 8
    assert best_chain([], 2, 5, 0.0).tolist() == [-1] * 3


def test_no_sound_beside_a_silence_is_left_without_a_word():
    """Two windows have a word on different sides of a silence; what the other side then lacks decides, and without a
    silence the scores do."""
    before = placed(0, [0.0, 0.3, 0.6, 5.3, 5.6], [1, 1, 0.8, 0.8, 1])
    behind = placed(0, [0.0, 0.3, 5.0, 5.3, 5.6], [1, 1, 0.8, 0.8, 1])
    for said, other, silences in (
        (before, behind, silent((0.9, 5.3))),
        (behind, before, silent((0.6, 5.0))),
    ):
        assert best_chain([said, other], 0, 5, 0.0, silences)[2] == 0
        assert best_chain([other, said], 0, 5, 0.0, silences)[2] == 1
