"""Long silences of a window: shortened before the model hears it, and put back into its times.

Aligners are trained on speech with pauses of a second or two; the times of words beside a pause of many seconds are
often seconds off. Only what is silent beyond doubt is taken out, judged by the window itself: nothing in it rises
above the floor of the window's noise, and that floor lies far below its speech. A window without such a contrast
(noise, music, a level that is the same throughout) stays as it is.
"""

from dataclasses import dataclass

import numpy as np

_FRAME = 0.02  # seconds whose level is measured
_RANGE = 60.0  # decibels below speech, beneath which everything is silence alike
_CONTRAST = 25.0  # decibels of speech above the floor, without which nothing is taken for silence
_ABOVE_FLOOR = 10.0  # decibels that silence may rise
_LONGEST = 2.0  # seconds of a silence that stays whole
_KEPT = 0.6  # seconds that stay of a longer one, at each of its ends


@dataclass(frozen=True)
class Shortened:
    """
    A window's `samples` without the inner parts of its long silences. `starts[i]` (seconds of what is left) is where
    stretch i begins, and `removed[i]` how many seconds are missing before it.
    """

    samples: np.ndarray
    starts: np.ndarray
    removed: np.ndarray

    def put_back(self, times: np.ndarray) -> np.ndarray:
        """
        Starts and ends `(words, 2)`, seconds of what is left, as seconds of the whole window.

        A word does not reach across a silence that was shortened: it is cut to the side where more of it is speech.
        """
        starts, ends = times[:, 0], times[:, 1]
        first = np.searchsorted(self.starts, starts, side="right") - 1
        last = np.searchsorted(self.starts, ends, side="right") - 1
        cut = self.starts[last]
        before = np.maximum(cut - _KEPT - starts, 0)
        behind = np.maximum(ends - cut - _KEPT, 0)
        silent = (before == 0) & (behind == 0)
        stays = (first < last) & np.where(silent, cut - starts >= ends - cut, before >= behind)
        moves = (first < last) & ~stays
        starts = np.where(moves, cut, starts)
        ends = np.where(stays, self.starts[np.minimum(first + 1, len(self.starts) - 1)], ends)
        return np.stack(
            [starts + self.removed[np.where(moves, last, first)], ends + self.removed[np.where(stays, first, last)]], 1
        )


def long_silences(samples: np.ndarray, rate: int) -> list[tuple[int, int]]:
    """Where `samples` `(samples,)` are silent for more than two seconds: first and past the last sample."""
    size = max(1, round(_FRAME * rate))
    count = len(samples) // size
    if count * _FRAME < _LONGEST:
        return []
    power = np.square(samples[: count * size].reshape(count, size), dtype=np.float32).mean(1)
    high = float(np.quantile(power, 0.95))
    if high <= 0:
        return []
    level = np.maximum(10 * np.log10(np.maximum(power / high, 1e-12)), -_RANGE)
    floor = float(np.quantile(level, 0.05))
    if floor > -_CONTRAST:
        return []
    edges = np.flatnonzero(np.diff(np.r_[False, level < floor + _ABOVE_FLOOR, False]))
    return [(int(a) * size, int(b) * size) for a, b in edges.reshape(-1, 2) if (b - a) * _FRAME > _LONGEST]


def without_long_silences(samples: np.ndarray, rate: int) -> Shortened:
    """`samples` `(samples,)` at `rate` hertz, of each silence of over two seconds only 0.6 s at either end."""
    kept = round(_KEPT * rate)
    parts, starts, removed = [], [0.0], [0.0]
    at = left = 0
    for first, past in long_silences(samples, rate):
        cut, on = first + kept, past - kept
        parts.append(samples[at:cut])
        left += cut - at
        starts.append(left / rate)
        removed.append((on - left) / rate)
        at = on
    parts.append(samples[at:])
    whole = samples if len(parts) == 1 else np.concatenate(parts)
    return Shortened(whole, np.array(starts), np.array(removed))
