"""
On which side of a silence words are said: what speaks against the side that they have, and another look across it.

Windows of a recording are long, and now and then one has the last word before a long silence behind it, or the first
one behind it before it; its scores need not show it. What shows it is sound beside the silence that is left without a
word, or a word that takes its time where little is to be heard.
"""

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

from .windows import Window

_MOST = 0.3  # seconds of sound without a word beside a silence that count; what is longer may be anything
_DYING = 0.4  # what a second of it counts before a silence, where speech dies away, to one behind it, where it sets in
_LOOSE = 0.05  # seconds that count, from which on they are suspicious
_DOUBTFUL = 0.0  # evidence below which a word beside a silence is: as much speaks against it as for it
_MISSING = 2  # words that have no place, at most, between two that have one, where the place may be across a silence
_AROUND = 6.0  # seconds on either side of a silence that are looked at
_LEAST = 1.5  # seconds on either side that are worth it


class Silences:
    """Where a recording is silent, as its windows tell it: `begins`, `middles` and `ends` in seconds, in order, none
    touching another."""

    def __init__(self):
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.middles: list[float] = []

    def add(self, silences: np.ndarray) -> None:
        """Takes in silences `(silences, 2)`; those that overlap become one."""
        pairs: list[tuple[float, float]] = []
        for begin, end in sorted([*zip(self.begins, self.ends), *map(tuple, silences.tolist())]):
            if pairs and begin <= pairs[-1][1]:
                begin, end = pairs[-1][0], max(end, pairs.pop()[1])
            pairs.append((begin, end))
        self._set(pairs)

    def pairs(self) -> np.ndarray:
        """All of them, `(silences, 2)` seconds."""
        return np.stack([self.begins, self.ends], 1) if self.begins else np.zeros((0, 2))

    def forget(self, time: float) -> None:
        """Lets go of silences that are over before `time`."""
        self._set([pair for pair in zip(self.begins, self.ends) if pair[1] >= time])

    def _set(self, pairs: Iterable[tuple[float, float]]) -> None:
        self.begins, self.ends = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self.middles = [sum(pair) / 2 for pair in pairs]

    def before(self, time: float) -> int:
        """How many silences lie before `time`, by their middles: the number of the stretch of sound that it is in."""
        return bisect_right(self.middles, time)

    def left_behind(self, end: float) -> float:
        """Seconds of sound, as they count, between a word's `end` and the next silence."""
        k = self.before(end)
        return _DYING * float(np.clip(self.begins[k] - end, 0.0, _MOST)) if k < len(self.begins) else 0.0

    def left_before(self, start: float) -> float:
        """Seconds of sound, as they count, between the last silence and a word's `start`."""
        k = self.before(start)
        return float(np.clip(start - self.ends[k - 1], 0.0, _MOST)) if k else 0.0

    def left_between(self, end: float, start: float) -> float:
        """Both, of two words with a silence between them; 0 of two without."""
        return self.left_behind(end) + self.left_before(start) if self.before(end) < self.before(start) else 0.0


def looks_across(
    times: np.ndarray, evidence: np.ndarray, offset: int, words: range, silences: Silences, seconds: float
) -> list[Window]:
    """
    Windows across the silences beside which words may stand on the wrong side.

    With a few seconds of the words on either side, and no others, a model is rarely wrong about it.

    Args:
        times: `(count, 2)` seconds of the words from `offset` on; NaN for words without a place.
        evidence: `(count,)`, theirs.
        offset: the first of them.
        words: those that a silence before is looked across for.
        silences: of the recording.
        seconds: that a window lasts at most.
    """
    windows = []
    placed = np.flatnonzero(np.isfinite(times[:, 0]))
    for before, word in zip(placed[:-1].tolist(), placed[1:].tolist()):
        end, start = float(times[before, 1]), float(times[word, 0])
        if (
            offset + word not in words
            or word - before - 1 > _MISSING
            or silences.before(end) == silences.before(start)
        ):
            continue
        doubtful = word - before > 1 or min(evidence[before], evidence[word]) < _DOUBTFUL
        if not doubtful and silences.left_between(end, start) < _LOOSE:
            continue
        begin, stop = silences.begins[silences.before(end)], silences.ends[silences.before(start) - 1]
        around = min(_AROUND, (seconds - (stop - begin)) / 2)
        if around >= _LEAST:
            first, last = before, word
            while first > 0 and times[first - 1, 0] > begin - around:
                first -= 1
            while last + 1 < len(times) and times[last + 1, 1] < stop + around:
                last += 1
            since, until = float(times[first, 0]), float(times[last, 1])
            windows.append(Window(since, min(until, since + seconds), offset + first, offset + last + 1))
    return windows
