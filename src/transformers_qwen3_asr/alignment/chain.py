"""Of several alignments of the same words, the chain of words that gathers the most evidence and goes forward only."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CHANGE = 1.5  # evidence that going on in another alignment costs, with or without words between that have no place
_GAP, _PAUSE = 1.5, 1.0  # evidence that each stretch of audio without words costs that is longer than so many seconds
_FIRST = 0.5  # what a window's first word costs behind such a stretch: no word holds it away from the next
_SCORE = 0.2  # what a score counts beside the evidence, which does not rise above that of words that fit
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


def best_chain(places: Sequence[Placed], first: int, past: int, since: float) -> np.ndarray:
    """
    Which of `places` has each word `first` to `past - 1` in the chain with the most evidence, int `(past - first,)`;
    -1 for words that are not in it.

    In the chain no word begins before the one ahead of it has ended, nor before `since` (seconds), where the word
    before `first` ended. To go on in another of the places costs evidence, unless both have the word before at the
    same time. So does audio that is stepped over, wherever that is: of two chains that fit as well, the one with
    fewer gaps is the better.
    """
    frontier: list[tuple[float, float, tuple[int, int] | None]] = [(since, 0.0, None)]  # ends and values, which rise
    origins: dict[tuple[int, int], tuple[int, int] | None] = {}
    here: dict[int | None, tuple[float, float]] = {None: (since, 0.0)}  # place -> end and value of the word before
    best, tip = 0.0, None
    for word in range(first, past):
        before, here = here, {}
        for number, place in enumerate(places):
            if word not in place:
                continue
            start, end = place.times[word - place.first].tolist()
            value, origin = -np.inf, None
            k = bisect_right(frontier, start + _OVERLAP, key=lambda entry: entry[0]) - 1
            if k >= 0:
                behind, total, origin = frontier[k]
                value = total - _CHANGE - _gap(start - behind)
                if word == place.first and start - behind > _PAUSE:
                    value -= _FIRST
            if word - 1 in place:
                ahead = float(place.times[word - 1 - place.first, 1])
                for other, (behind, total) in before.items():
                    total -= _gap(start - behind)
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
            k = bisect_right(frontier, end, key=lambda entry: entry[0])
            if k and frontier[k - 1][1] >= value:
                continue
            stop = k
            while stop < len(frontier) and frontier[stop][1] <= value:
                stop += 1
            k -= bool(k and frontier[k - 1][0] == end)
            frontier[k:stop] = [(end, value, (word, number))]
    chain = np.full(past - first, -1)
    while tip is not None:
        chain[tip[0] - first] = tip[1]
        tip = origins[tip]
    return chain


def _gap(seconds: float) -> float:
    return _GAP if seconds > _PAUSE else 0.0
