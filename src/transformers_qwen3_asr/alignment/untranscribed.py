"""Where a recording has sound as loud as its words, and the transcript has none: speech that was left out, mostly."""

from __future__ import annotations

import numpy as np

#: Seconds whose level is measured.
FRAME = 0.02
_BELOW_WORDS = 15.0  # most decibels that such sound is below the median of the words
_ABOVE_FLOOR = 10.0  # least decibels that it is above the recording's quietest twentieth
SHORTEST = 0.5  # least seconds that it lasts
_JOINED = 0.2  # seconds of a pause from which on it is two
_MARGIN = 0.04  # seconds beside a word that may still be the word
_SILENT = -120.0  # decibels of full scale that digital silence counts as


class Levels:
    """
    The level of a recording in frames of `FRAME` seconds, noted stretch by stretch as it is read.

    It keeps a number a frame: 720 kB for an hour.
    """

    def __init__(self, rate: int):
        self._size = round(FRAME * rate)
        self._levels = np.zeros(0, dtype=np.float32)

    def note(self, first: int, samples: np.ndarray) -> None:
        """Notes `samples` `(samples,)`, which begin at the recording's sample `first`. Those of frames that begin or
        end outside do not count; frames that are noted again stay the same."""
        frame = -(-first // self._size)
        skipped = frame * self._size - first
        count = (len(samples) - skipped) // self._size
        if count < 1:
            return
        frames = samples[skipped : skipped + count * self._size].reshape(count, self._size)
        power = np.einsum("fs,fs->f", frames, frames, dtype=np.float32, casting="same_kind") / self._size
        if frame + count > len(self._levels):
            grown = np.full(max(frame + count, 2 * len(self._levels)), np.nan, dtype=np.float32)
            grown[: len(self._levels)] = self._levels
            self._levels = grown
        self._levels[frame : frame + count] = 10 * np.log10(np.maximum(power, 10 ** (_SILENT / 10)))

    def forget(self, seconds: float) -> None:
        """Lets go of all behind so many seconds."""
        self._levels[round(seconds / FRAME) :] = np.nan

    def decibels(self) -> np.ndarray:
        """`(frames,)` float32, NaN where nothing was noted."""
        heard = np.flatnonzero(~np.isnan(self._levels))
        return self._levels[: heard[-1] + 1] if heard.size else self._levels[:0]


def untranscribed(decibels: np.ndarray, times: np.ndarray) -> list[tuple[float, float, int]]:
    """
    Stretches between words, before the first and behind the last one, with sound like that of the words: at most 15
    decibels softer than their median, 10 louder than the recording's floor, for half a second.

    Speech is not told from music or applause, and where noise is within 25 decibels of the words, soft speech is
    missed. What a word was drawn out over is not seen; such words have low scores.

    Args:
        decibels: `(frames,)` of `FRAME` seconds each, as `Levels` gives them.
        times: `(words, 2)` seconds, in order.

    Returns: start and end in seconds, and the number of words before, in order; nothing without words.
    """
    if not len(times) or not len(decibels):
        return []
    middles = (np.arange(len(decibels)) + 0.5) * FRAME
    starts, ends = np.asarray(times, dtype=np.float64).T
    before = np.searchsorted(starts, middles, side="right")  # words that have begun
    inside = (before > 0) & (middles < ends[before - 1])
    heard = ~np.isnan(decibels)
    if not (inside & heard).any():
        return []
    least = max(np.median(decibels[inside & heard]) - _BELOW_WORDS, np.quantile(decibels[heard], 0.05) + _ABOVE_FLOOR)
    beside = (before > 0) & (middles < ends[before - 1] + _MARGIN)
    beside |= middles > np.append(starts, np.inf)[before] - _MARGIN
    loud = np.flatnonzero(heard & ~beside & (np.nan_to_num(decibels, nan=_SILENT) > least))
    apart = (np.diff(loud) > _JOINED / FRAME) | (np.diff(before[loud]) > 0)
    return [
        (round(float(run[0] * FRAME), 3), round(float((run[-1] + 1) * FRAME), 3), int(before[run[0]]))
        for run in np.split(loud, np.flatnonzero(apart) + 1)
        if len(run) * FRAME >= SHORTEST
    ]
