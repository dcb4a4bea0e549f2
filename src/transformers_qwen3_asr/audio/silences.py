"""Silences of a window: long ones are shortened before the model hears it, and no word begins or ends in one.

Aligners are trained on speech with pauses of a second or two; the times of words beside a pause of many seconds are
often seconds off, and words beside a pause of any length now and then last until its other end. Only what is silent
beyond doubt counts, judged by the window itself: nothing in it rises above the floor of the window's noise, and that
floor lies far below its speech; and right before and after it what is nearly as quiet, where words have been put that
are said on the other side. A window without such a contrast (noise, music, a level that is the same throughout) stays
as it is.
"""

from dataclasses import dataclass

import numpy as np

_FRAME = 0.02  # seconds whose level is measured
_RANGE = 60.0  # decibels below speech, beneath which everything is silence alike
_CONTRAST = 25.0  # decibels of speech above the floor, without which nothing is taken for silence
_ABOVE_FLOOR = 10.0  # decibels that silence may rise
_QUIET = 0.7  # of the decibels down to the floor: what is beside a silence and below that belongs to it,
_BESIDE = 25  # for so many frames at most: a voice dying away in a room, or a recording's own noise where it was cut
_SHORTEST = 0.5  # seconds of quiet that are a silence
_LONGEST = 2.0  # seconds of a silence that stays whole
_KEPT = 0.6  # seconds that stay of a longer one, at each of its ends


@dataclass(frozen=True)
class Shortened:
    """
    A window's `samples` without the inner parts of its long silences. `starts[i]` (seconds of what is left) is where
    stretch i begins, and `removed[i]` how many seconds are missing before it. `silences` `(silences, 2)` are all that
    are left, in seconds of what is left.
    """

    samples: np.ndarray
    starts: np.ndarray
    removed: np.ndarray
    silences: np.ndarray

    def silent(self, times: np.ndarray) -> np.ndarray:
        """Whether seconds of what is left, `(n,)`, lie in a silence."""
        return ((times[:, None] > self.silences[:, 0]) & (times[:, None] < self.silences[:, 1])).any(1)

    def whole_silences(self) -> np.ndarray:
        """The silences `(silences, 2)` in seconds of the whole window."""
        return self.whole(self.silences)

    def whole(self, times: np.ndarray) -> np.ndarray:
        """Seconds of what is left, in any shape, as seconds of the whole window."""
        return times + self.removed[np.searchsorted(self.starts, times, side="right") - 1]

    def left(self, times: np.ndarray) -> np.ndarray:
        """Seconds of the whole window, in any shape, as seconds of what is left; of what is removed, its place."""
        begins = self.starts + self.removed
        stretch = np.maximum(np.searchsorted(begins, times, side="right") - 1, 0)
        ends = np.append(self.starts[1:], np.inf)
        return np.minimum(times - self.removed[stretch], ends[stretch])

    def put_back(self, times: np.ndarray) -> np.ndarray:
        """
        Starts and ends `(words, 2)`, seconds of what is left, as seconds of the whole window.

        A word does not reach across a silence: it is cut to the side where more of it is speech.
        """
        starts, ends = times.T
        for begin, end in self.silences:
            across = (starts < begin + _FRAME) & (ends > end - _FRAME)
            early = across & (begin - starts >= ends - end)
            late = across & ~early
            starts = np.where(late, np.maximum(starts, np.minimum(end, ends - _FRAME)), starts)
            ends = np.where(early, np.minimum(ends, np.maximum(begin, starts + _FRAME)), ends)
        times = np.stack([starts, ends], 1)
        first, last = np.searchsorted(self.starts, times.T, side="right") - 1
        cut = self.starts[last]
        before = np.maximum(cut - _KEPT - starts, 0)
        behind = np.maximum(ends - cut - _KEPT, 0)
        silent = (before == 0) & (behind == 0)
        stays = (first < last) & np.where(silent, cut - starts >= ends - cut, before >= behind)
        moves = (first < last) & ~stays
        starts = np.where(moves, cut, starts) + self.removed[np.where(moves, last, first)]
        ends = np.where(stays, self.starts[np.minimum(first + 1, len(self.starts) - 1)], ends)
        return np.stack([starts, ends + self.removed[np.where(stays, first, last)]], 1)


def silences_of(samples: np.ndarray, rate: int) -> list[tuple[int, int]]:
    """Where `samples` `(samples,)` are silent for half a second and more: first and past the last sample."""
    size = max(1, round(_FRAME * rate))
    count = len(samples) // size
    if count * _FRAME < _SHORTEST:
        return []
    power = np.square(samples[: count * size].reshape(count, size), dtype=np.float32).mean(1)
    high = float(np.quantile(power, 0.95))
    if high <= 0:
        return []
    level = np.maximum(10 * np.log10(np.maximum(power / high, 1e-12)), -_RANGE)
    floor = float(np.quantile(level, 0.05))
    if floor > -_CONTRAST:
        return []
    silences = _runs(level < floor + _ABOVE_FLOOR)
    silences = silences[(silences[:, 1] - silences[:, 0]) * _FRAME >= _SHORTEST]
    quiet = _runs(level < max(floor + _ABOVE_FLOOR, _QUIET * floor))
    around = quiet[np.searchsorted(quiet[:, 0], silences[:, 0], side="right") - 1]
    wide = np.stack(
        [np.maximum(around[:, 0], silences[:, 0] - _BESIDE), np.minimum(around[:, 1], silences[:, 1] + _BESIDE)], 1
    )
    still = np.zeros(len(level), dtype=bool)
    for first, past in wide:
        still[first:past] = True
    return [(int(a) * size, int(b) * size) for a, b in _runs(still)]


def _runs(where: np.ndarray) -> np.ndarray:
    """First and past the last of each run that is true, `(runs, 2)`."""
    return np.flatnonzero(np.diff(np.r_[False, where, False])).reshape(-1, 2)


def without_long_silences(samples: np.ndarray, rate: int) -> Shortened:
    """`samples` `(samples,)` at `rate` hertz, of each silence of over two seconds only 0.6 s at either end."""
    kept = round(_KEPT * rate)
    parts, starts, removed, silences = [], [0.0], [0.0], []
    at = left = 0
    for first, past in silences_of(samples, rate):
        silences.append((first - at + left, past - at + left))
        if past - first <= _LONGEST * rate:
            continue
        cut, on = first + kept, past - kept
        parts.append(samples[at:cut])
        left += cut - at
        silences[-1] = (left - kept, left + kept)
        starts.append(left / rate)
        removed.append((on - left) / rate)
        at = on
    parts.append(samples[at:])
    whole = samples if len(parts) == 1 else np.concatenate(parts)
    return Shortened(whole, np.array(starts), np.array(removed), np.array(silences, float).reshape(-1, 2) / rate)
