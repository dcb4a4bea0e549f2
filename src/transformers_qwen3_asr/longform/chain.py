"""Of several alignments of the same words, the chain of words that gathers the most evidence and goes forward only."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .pauses import Silences

_CHANGE = 1.5  # evidence that going on in another alignment costs, with or without words between that have no place
_GAP, _PAUSE = 1.5, 1.0  # evidence that each stretch of audio without words costs that is longer than so many seconds
_FIRST = 0.5  # what a window's first word costs behind such a stretch: no word holds it away from the next
_SCORE = 0.2  # what a score counts beside the evidence, which does not rise above that of words that fit
_UNSAID = 5.0  # what a second of sound beside a silence costs that no word covers: twice the words that are said in it
_SAME = 0.1  # seconds by which the ends of a word differ at most that two alignments have at the same place
_OVERLAP = 0.05  # seconds that a word may begin before the one ahead of it ends


@dataclass(frozen=True)
class Placed:
    """Words from `first` on as one window has them: times `(words, 2)` in seconds, scores and evidence `(words,)`."""

    first: int
    times: np.ndarray
    scores: np.ndarray
    evidence: np.ndarray

    @property
    def past(self) -> int:
        return self.first + len(self.scores)

    def __contains__(self, word: int) -> bool:
        return self.first <= word < self.past


def best_chain(
    places: Sequence[Placed], first: int, past: int, since: float, silences: Silences | None = None
) -> np.ndarray:
    """
    Which of `places` has each word `first` to `past - 1` in the chain with the most evidence, int `(past - first,)`;
    -1 for words that are not in it.

    In the chain no word begins before the one ahead of it has ended, nor before `since` (seconds), where the word
    before `first` ended. To go on in another of the places costs evidence, unless both have the word before at the
    same time. So does audio that is stepped over, wherever that is: of two chains that fit as well, the one with
    fewer gaps is the better. And so does sound that is left without a word on either side of a silence that is
    stepped over: a word beside it then belongs to its other side.
    """
    silences = silences or Silences()
    reached = _Reached(silences)
    reached.add(since, 0.0, None)
    origins: dict[tuple[int, int], tuple[int, int] | None] = {}
    here: dict[int | None, tuple[float, float]] = {None: (since, 0.0)}  # place -> end and value of the word before
    best, tip = 0.0, None
    for word in range(first, past):
        before, here = here, {}
        for number, place in enumerate(places):
            if word not in place:
                continue
            start, end = place.times[word - place.first].tolist()
            behind, value, origin = reached.best(start)
            if value > -np.inf:
                value -= _CHANGE + _gap(start - behind)
                if word == place.first and start - behind > _PAUSE:
                    value -= _FIRST
            if word - 1 in place:
                ahead = float(place.times[word - 1 - place.first, 1])
                for other, (behind, total) in before.items():
                    total -= _gap(start - behind) + _UNSAID * silences.left_between(behind, start)
                    if total >= value and (other == number or abs(ahead - behind) < _SAME):
                        value, origin = total, None if other is None else (word - 1, other)
            if value == -np.inf:
                continue
            value += float(place.evidence[word - place.first] + _SCORE * place.scores[word - place.first])
            here[number] = max(start, end), value
            origins[word, number] = origin
            if value > best:
                best, tip = value, (word, number)
        for number, (end, value) in here.items():
            reached.add(end, value, (word, number))
    chain = np.full(past - first, -1)
    while tip is not None:
        chain[tip[0] - first] = tip[1]
        tip = origins[tip]
    return chain


#: Where a chain ends, what it is worth, and its last word and place.
_End = tuple[float, float, tuple[int, int] | None]


class _Reached:
    """The chains so far, to go on from any of them: those that end in a stretch of sound between two silences, and
    all, with what they leave of their stretch taken off."""

    def __init__(self, silences: Silences):
        self.silences = silences
        self.stretches: dict[int, list[_End]] = {}
        self.all: list[_End] = []

    def add(self, end: float, value: float, origin: tuple[int, int] | None) -> None:
        _rise(self.stretches.setdefault(self.silences.before(end), []), (end, value, origin))
        _rise(self.all, (end, value - _UNSAID * self.silences.left_behind(end), origin))

    def best(self, start: float) -> _End:
        """The best that ends before `start`, with what is left of the sound before it taken off."""
        stretch = self.silences.before(start)
        here = _last(self.stretches.get(stretch, []), start + _OVERLAP)
        if (over := self.silences.before(start + _OVERLAP)) > stretch:
            here = max(here, _last(self.stretches.get(over, []), start + _OVERLAP), key=lambda entry: entry[1])
        if not stretch:
            return here
        end, value, origin = _last(self.all, self.silences.middles[stretch - 1])
        value -= _UNSAID * self.silences.left_before(start)
        return here if here[1] >= value else (end, value, origin)


def _last(ends: list[_End], time: float) -> _End:
    """Of ends whose values rise, the last that is not behind `time`."""
    k = bisect_right(ends, time, key=lambda entry: entry[0])
    return ends[k - 1] if k else (time, -np.inf, None)


def _rise(ends: list[_End], new: _End) -> None:
    """Adds an end, unless one that is no later is worth as much; later ones that are worth no more go."""
    k = bisect_right(ends, new[0], key=lambda entry: entry[0])
    if k and ends[k - 1][1] >= new[1]:
        return
    stop = k
    while stop < len(ends) and ends[stop][1] <= new[1]:
        stop += 1
    k -= bool(k and ends[k - 1][0] == new[0])
    ends[k:stop] = [new]


def _gap(seconds: float) -> float:
    return _GAP if seconds > _PAUSE else 0.0
