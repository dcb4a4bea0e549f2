"""How far an aligned word, and an alignment as a whole, can be believed."""

from dataclasses import dataclass

import numpy as np
import torch

#: Milliseconds around a time that count for it, and at least one class. 80 ms are a class of the published aligner; a
#: word that is so near to its label is taken to be in its place.
TOLERANCE = 80.0
#: What a word's start, its end and the next word's start count for in its score.
_WEIGHTS = (1.0, 2.0, 2.0)
#: Mean score of a recording's words from which on its text is taken to belong to it. Chosen on people's speech: one
#: right text of 96 is refused, and one foreign text of 94 is taken.
FITS = 0.55
#: Words from which on that says something whatever else is heard; fewer fit somewhere by chance.
FEW = 4
#: Words below this score speak against the text, those above for it,
_WORD_FITS = 0.6
#: and so much together, without as much to the contrary, make a passage that does not fit. Chosen on people's speech:
#: one right text of 96 has such a passage, and nine in ten runs of four wrong words are in one.
_UNFIT = 1.0


@dataclass(frozen=True)
class RecordingFit:
    """
    Whether a text belongs to a recording.

    Attributes:
        score: the mean of the words' scores, 0 to 1; 0 without words.
        fits: whether it reaches `FITS`, and that may not be by chance (see `recording_fit`).
        unfit: passages `(first word, word after the last)` that do not fit, in order.
    """

    score: float
    fits: bool
    unfit: list[tuple[int, int]]


def tolerance_radius(segment_time: float) -> int:
    """How many classes on each side of a time count for it."""
    return max(1, round(TOLERANCE / segment_time))


def word_scores(near: np.ndarray, last: np.ndarray | int = -1) -> np.ndarray:
    """
    A score between 0 and 1 for each word of a clip.

    The model's probability that a time is within `TOLERANCE` milliseconds of the class chosen is taken for the word's
    start, its end and the next word's start, and the score is their geometric mean with the weights 1, 2 and 2. A word
    that is not said gives itself away by where it ends and the next begins, which the model says after reading it;
    where it starts is mostly where the word before ended.

    Args:
        near: the probabilities around the classes chosen, `(2 * words, 2 * tolerance_radius(...) + 1)`, as
            `probabilities_around` gives them; also of several clips one behind the other.
        last: the last word of each clip.

    Returns: float64 `(words,)`.
    """
    start, end = near.sum(-1).clip(1e-9, 1.0).reshape(-1, 2).T
    following = np.append(start[1:], end[-1:])
    following[last] = end[last]
    return np.exp(np.average(np.log([start, end, following]), axis=0, weights=_WEIGHTS))


def probabilities_around(log_probabilities: torch.Tensor, bins: np.ndarray, radius: int) -> np.ndarray:
    """Probabilities of the classes around `bins`, float64 `(slots, 2 * radius + 1)`, 0 where there is no class."""
    classes = log_probabilities.shape[-1]
    places = bins[:, None] + np.arange(-radius, radius + 1)
    inside = torch.from_numpy(places.clip(0, classes - 1)).to(log_probabilities.device)
    found = log_probabilities.gather(-1, inside).exp().double().cpu().numpy()
    return np.where((places >= 0) & (places < classes), found, 0.0)


def recording_fit(scores: np.ndarray, times: np.ndarray, besides: float = 0.0) -> RecordingFit:
    """
    Whether a text belongs to a recording, and where it does not.

    A passage that does not fit is a run of words whose scores are below `_WORD_FITS` by `_UNFIT` or more in sum (the
    maximal sums of Ruzzo and Tompa 1999). A single word rarely is one; look at its own score.

    Args:
        scores: `(words,)`, as `word_scores` gives them.
        times: `(words, 2)` seconds. A word that does not last counts as one with the score 0.
        besides: seconds in which something else is heard than the words (`untranscribed.untranscribed`). One word or
            a few fit somewhere by chance: fewer than `FEW` do not make a text that belongs to a recording in which
            more is heard besides than they take.

    Raises `ValueError` where they do not fit each other.
    """
    scores, times = np.asarray(scores, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if scores.ndim != 1 or times.shape != (len(scores), 2):
        raise ValueError(f"scores of the shape {scores.shape} do not fit times of the shape {times.shape}")
    if len(scores) == 0:
        return RecordingFit(0.0, False, [])
    lasting = times[:, 1] - times[:, 0]
    scores = np.where(lasting > 0, scores, 0.0)
    mean = float(scores.mean())
    by_chance = len(scores) < FEW and besides > lasting.sum()
    return RecordingFit(mean, mean >= FITS and not by_chance, _runs(_WORD_FITS - scores, _UNFIT))


def _runs(values: np.ndarray, least: float) -> list[tuple[int, int]]:
    """All maximal runs of `values` with a sum of at least `least`: (first, past-last), in order."""
    # first, past-last, the sum before it and up to its end, and which of those before is the last that begins lower
    found: list[tuple[int, int, float, float, int]] = []
    total = 0.0
    for place, value in enumerate(values.tolist()):
        before, total = total, total + value
        if value <= 0:
            continue
        first, k = place, len(found) - 1
        while True:
            # those in between begin as high as the run that is passed, or higher
            while k >= 0 and found[k][2] >= before:
                k = found[k][4]
            if k < 0 or found[k][3] >= total:
                found.append((first, place + 1, before, total, k))
                break
            # joined with one that ends lower
            first, _, before, _, lower = found[k]
            del found[k:]
            k = lower
    return [(first, last) for first, last, before, after, _ in found if after - before >= least]
