"""How many of a window's words are said in it, and how well each of them fits: one Viterbi path with a free end."""

from dataclasses import dataclass

import numpy as np

from ..alignment.confidence import tolerance_radius, word_scores
from ..alignment.voice_activity import VoiceActivity
from .constants import FITS, GUESS


@dataclass(frozen=True)
class WindowPath:
    """
    The path through a window: `places` `(count, 2)` of its first `count` words' starts and ends (numbers of its
    frames), `fit` and `scores` `(count,)`, and the run of words `first` to `past - 1` that fit best together, with
    its `evidence`: how much they fit better than `FITS`, in words that are certain.
    """

    count: int
    places: np.ndarray
    fit: np.ndarray
    scores: np.ndarray
    first: int
    past: int
    evidence: float


def window_path(
    probabilities: np.ndarray, voice: VoiceActivity, lasting: np.ndarray, segment_time: float, all_words: bool
) -> WindowPath:
    """
    The best path of as many words as are best, from the first on, or of all of them.

    A word is worth what its slots' probabilities are above a uniform guess, in nats, and what it covers of the
    speech.

    Args:
        probabilities: `(2 * words, frames)`.
        voice: what is heard in the window. Speech between the words of the best path without it counts as silence, as
            in `alignment.decoding`: it may belong to words that the text lacks.
        lasting: `(words,)`, frames that each word lasts at least.
        segment_time: milliseconds a frame.
        all_words: whether all of them are said.
    """
    gains = np.log(GUESS + (1 - GUESS) * probabilities * probabilities.shape[1])
    frames = probabilities.shape[1]
    _, places = _best(gains, np.zeros(frames), lasting, all_words)
    favour = voice.beside(places * segment_time / 1000).favour(frames, segment_time)
    count, places = _best(gains, favour, lasting, all_words)
    rows = np.arange(2 * count)
    fit = gains[rows, places.ravel()].reshape(-1, 2).sum(1) / (2 * np.log(max(2, frames)))
    radius = tolerance_radius(segment_time)
    around = places.reshape(-1, 1) + np.arange(-radius, radius + 1)
    inside = (around >= 0) & (around < frames)
    near = np.where(inside, probabilities[rows[:, None], around.clip(0, frames - 1)], 0.0)
    scores = word_scores(near.astype(np.float64)) if count else np.zeros(0)
    return WindowPath(count, places, fit, scores, *best_run(fit - FITS))


def best_run(values: np.ndarray) -> tuple[int, int, float]:
    """First and past the last of the run with the largest sum, and the sum; an empty one where none is above 0."""
    sums = np.append(0.0, np.cumsum(values))
    lowest = np.minimum.accumulate(sums)
    past = int((sums - lowest).argmax())
    first = int(sums[: past + 1].argmin())
    return first, past, float(sums[past] - sums[first])


def _best(gains: np.ndarray, favour: np.ndarray, lasting: np.ndarray, all_words: bool) -> tuple[int, np.ndarray]:
    """How many words, and their places `(count, 2)`: Viterbi, where the best earlier frame is a running maximum.
    `favour` `(frames,)` is what it is worth to cover all up to each frame."""
    words, frames = len(gains) // 2, gains.shape[1]
    every = np.arange(frames)
    before, totals, starts, ends = np.zeros(frames), [0.0], [], []
    for word in range(words):
        begun, begin = _running(before + gains[2 * word] - favour, every)
        short = min(int(lasting[word]), frames - 1)
        ended = np.full(frames, -np.inf)
        ended[short:] = begun[: frames - short] + gains[2 * word + 1, short:] + favour[short:]
        starts.append(np.concatenate([np.zeros(short, dtype=int), begin[: frames - short]]))
        before, end = _running(ended, every)
        ends.append(end)
        totals.append(before[-1])
    count = words if all_words else int(np.argmax(totals))
    places, at = np.zeros((count, 2), dtype=int), frames - 1
    for word in reversed(range(count)):
        places[word, 1] = ends[word][at]
        at = places[word, 0] = starts[word][places[word, 1]]
    return count, places


def _running(values: np.ndarray, every: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value up to each place, and where it is."""
    most = np.maximum.accumulate(values)
    return most, np.maximum.accumulate(np.where(values >= most, every, 0))
