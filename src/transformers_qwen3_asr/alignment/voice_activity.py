"""
Where a recording has sound as of speech, and what that is worth to a word's place.

An aligner says for each word where it begins and ends as if there were no others, and beside a pause it is now and
then wrong with good scores. The sound says more: a word is made of sound, and sound that no word takes is rare. So in
the search for the best path (`joint_decoding`) a word gains for each second of speech that it covers, and loses as
much for each second of silence. That is a sum from the recording's beginning up to the word's end, less the same sum
up to its start: a number for each class, added to the scores of ends and taken from those of starts.

Speech that the text leaves out must not be covered by the words beside it, since results tell of it
(`untranscribed`). So where the model's own path leaves half a second of speech and more between two words, all that is
between them counts as silence; less is about what a word takes that was put on the wrong side of a pause.
"""

from dataclasses import dataclass

import numpy as np

from .untranscribed import FRAME, SHORTEST, Levels

# Chosen on 96 clips of people's speech: alone, joined with pauses, over a telephone, in noise, with changed words. All
# are slack: a third more or less of any changed the mean error of all these by at most 2 %.
_WORTH = 7.0  # nats that a second of speech in a word is worth, and a second of silence costs
_SHARE = 0.25  # speech is above this share of the way from quiet to loud frames nearby
_NEARBY = 4.0  # seconds that are nearby
_STEADY = 3.0  # least decibels of speech above the quiet frames, which steady noise does not reach
_BELOW_LOUD = 35.0  # most decibels of speech below the loudest twentieth of all
_SHORTEST = 0.1  # seconds of quiet that are a silence; shorter ones belong to words


@dataclass(frozen=True)
class VoiceActivity:
    """
    What is heard in each frame of `FRAME` seconds.

    Attributes:
        speech: `(frames,)` bool, sound as of speech (music and noise are not told from it).
        silence: `(frames,)`, quiet that lasts, in frames: 1 or 0, and more where some were left out behind it. What is
            neither is a short lull.
    """

    speech: np.ndarray
    silence: np.ndarray

    def beside(self, times: np.ndarray) -> "VoiceActivity":
        """The same, but what is between words at `times` `(words, 2)` seconds, in order, is silence where so much
        speech is in it that it is reported as untranscribed."""
        middles = (np.arange(len(self.speech)) + 0.5) * FRAME
        before = np.searchsorted(times[:, 0], middles, side="right")  # words that have begun
        between = (before == 0) | (middles >= np.append(0.0, times[:, 1])[before])
        seconds = FRAME * np.bincount(before, between & self.speech, minlength=len(times) + 1)
        between &= (seconds >= SHORTEST)[before]
        return VoiceActivity(self.speech & ~between, np.maximum(self.silence, between))

    def of(self, classes: np.ndarray, segment_time: float) -> "VoiceActivity":
        """What is heard in some `classes`, numbers that rise, one behind the other. `segment_time` is milliseconds a
        class."""
        step = segment_time / (1000 * FRAME)
        at = np.arange(int(np.ceil(len(classes) * step - 1e-6)))
        place = (at / step + 1e-6).astype(int)
        frames = (classes[place] * step + at - place * step + 1e-6).astype(int).clip(0, len(self.speech) - 1)
        return VoiceActivity(self.speech[frames], self.silence[frames])

    def favour(self, classes: int, segment_time: float) -> np.ndarray:
        """What it is worth, in nats, to cover all from the beginning up to each class: float32 `(classes,)`.
        `segment_time` is milliseconds a class."""
        worth = _WORTH * FRAME * (self.speech.astype(np.float64) - self.silence)
        sums = np.append(0.0, worth.cumsum())
        seconds = np.arange(classes) * segment_time / 1000
        return np.interp(seconds, np.arange(len(sums)) * FRAME, sums).astype(np.float32)


def voice_activity(decibels: np.ndarray) -> VoiceActivity:
    """Speech and silence of a recording or a part of it, of its levels `(frames,)` as `Levels` notes them. Frames that
    were not noted (NaN) are neither."""
    known = ~np.isnan(decibels)
    if not known.any():
        return VoiceActivity(known, known)
    levels = np.where(known, decibels, decibels[known].min())
    quiet, loud = _nearby(levels, (0.1, 0.9))
    above = np.maximum(_SHARE * (loud - quiet), _STEADY)
    least = np.maximum(quiet + above, np.quantile(decibels[known], 0.95) - _BELOW_LOUD)
    speech = known & (levels > least)
    silence = np.zeros(len(levels), dtype=bool)
    edges = np.flatnonzero(np.diff(known & ~speech, prepend=False, append=False)).reshape(-1, 2)
    for first, past in edges[np.diff(edges)[:, 0] * FRAME > _SHORTEST - FRAME / 2]:
        silence[first:past] = True
    return VoiceActivity(speech, silence)


def heard_in(samples: np.ndarray, rate: int) -> VoiceActivity:
    """`voice_activity` of `samples` `(samples,)` at `rate` hertz."""
    levels = Levels(rate)
    levels.note(0, samples)
    return voice_activity(levels.decibels())


def _nearby(levels: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Quantiles of what is around each frame, `(shares, frames)`: taken twice a second, and on a line between."""
    size, step = min(len(levels), round(_NEARBY / FRAME)), round(0.5 / FRAME)
    middles = np.arange(0, len(levels) + step, step)
    firsts = (middles - size // 2).clip(0, len(levels) - size)
    around = np.sort(np.lib.stride_tricks.sliding_window_view(levels, size)[firsts])  # a tenth of np.quantile's time
    places = np.array(shares) * (size - 1)
    below, above = around[:, np.floor(places).astype(int)], around[:, np.ceil(places).astype(int)]
    found = below + (above - below) * (places % 1)
    return np.stack([np.interp(np.arange(len(levels)), middles, values) for values in found.T])
