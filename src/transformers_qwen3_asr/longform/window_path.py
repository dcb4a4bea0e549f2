"""How many of a window's words are said in it, and how well each of them fits: the best path, with a free end."""

from dataclasses import dataclass

import numpy as np
import torch

from ..alignment.confidence import probabilities_around, tolerance_radius, word_scores
from ..alignment.joint_decoding import joint_bins, with_favour
from ..alignment.voice_activity import VoiceActivity
from .constants import FITS, GUESS


@dataclass(frozen=True)
class WindowPath:
    """
    The path through a window: `places` `(count, 2)` of its first `count` words' starts and ends (numbers of its
    frames), `fit` and `scores` `(count,)`, and the run of words `first` to `past - 1` that fit best together, with
    its `evidence`: the sum of `fit - FITS` over it, 0.55 for each word that is certain.
    """

    count: int
    places: np.ndarray
    fit: np.ndarray
    scores: np.ndarray
    first: int
    past: int
    evidence: float


def window_path(
    probabilities: np.ndarray, voice: VoiceActivity, lasting: np.ndarray, segment_time: float
) -> WindowPath:
    """
    The best path of as many words as are best, from the first on.

    A word is worth what its slots' probabilities are above a uniform guess, in nats, and what it covers of the
    speech. Words that are not said are worth nothing: there is room for them behind the window.

    Args:
        probabilities: `(2 * words, frames)`.
        voice: what is heard in the window. Speech between the words of the best path without it counts as silence, as
            in `alignment.decoding`: it may belong to words that the text lacks.
        lasting: `(words,)`, frames that each word lasts at least.
        segment_time: milliseconds a frame.
    """
    frames = probabilities.shape[1]
    gains = np.log(GUESS + (1 - GUESS) * probabilities * frames)
    scores = torch.from_numpy(np.pad(gains, ((0, 0), (0, int(lasting.sum()) + 1))))
    places = joint_bins(scores, None, lasting).reshape(-1, 2)
    favour = voice.beside(places * segment_time / 1000).favour(scores.shape[1], segment_time)
    places = joint_bins(with_favour(scores, favour), None, lasting).reshape(-1, 2)
    places = places[places[:, 1] < frames]
    count, bins = len(places), places.ravel()
    fit = gains[np.arange(2 * count), bins].reshape(-1, 2).sum(1) / (2 * np.log(max(2, frames)))
    logs = torch.from_numpy(probabilities[: 2 * count]).log()
    near = probabilities_around(logs, bins, tolerance_radius(segment_time))
    return WindowPath(count, places, fit, word_scores(near) if count else np.zeros(0), *best_run(fit - FITS))


def best_run(values: np.ndarray) -> tuple[int, int, float]:
    """First and past the last of the run with the largest sum, and the sum; an empty one where none is above 0."""
    sums = np.append(0.0, np.cumsum(values))
    lowest = np.minimum.accumulate(sums)
    past = int((sums - lowest).argmax())
    first = int(sums[: past + 1].argmin())
    return first, past, float(sums[past] - sums[first])
