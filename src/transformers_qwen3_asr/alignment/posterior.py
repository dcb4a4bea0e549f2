"""Where a clip's slots lie as far as the model knows: all paths that keep the words' order, not the best one alone."""

import numpy as np
import torch

from .confidence import word_scores
from .joint_decoding import classes_within, first_classes, in_order

#: Mean score of a recording's words between which the path is in doubt. Below nothing is known; above the path and
#: the medians are the same but for a few words.
DOUBTFUL = (0.3, 0.7)
#: Milliseconds by which a median has to differ from the path to be preferred; the path's own times are finer.
FAR = 100.0


def in_doubt(scores: np.ndarray) -> bool:
    """Whether a recording's words, with the scores `(words,)` on the path, are better read from all paths."""
    return DOUBTFUL[0] <= float(scores.mean()) < DOUBTFUL[1]


def settled(
    log_probabilities: torch.Tensor, milliseconds: np.ndarray, least: np.ndarray, segment_time: float, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Times and scores of a recording that is in doubt: medians where they are far from the path.

    Args:
        log_probabilities: `(2 * words, classes)`.
        milliseconds: `(2 * words,)`, of the path.
        least: int `(words,)`, classes that each word lasts.
        segment_time: milliseconds a class.
        limit: milliseconds, a whole number, that no time exceeds, or infinity.

    Returns: milliseconds, float64 `(2 * words,)`, and scores, float64 `(words,)`.
    """
    classes = log_probabilities.shape[-1]
    bins = min(classes_within(limit, segment_time, len(least)) or classes, classes)
    medians = posterior_medians(log_probabilities, bins, least)
    if medians is not None:
        milliseconds = with_medians(milliseconds, medians, segment_time, limit)
    nearest = np.floor(milliseconds / segment_time + 0.5).astype(np.int64).clip(0, classes - 1)
    return milliseconds, word_scores(log_probabilities, nearest, segment_time)


def posterior_medians(log_probabilities: torch.Tensor, bins: int, least: np.ndarray) -> np.ndarray | None:
    """
    The median of each slot's class over all paths under the constraints of `joint_decoding.joint_bins`, each path as
    probable as the product of its slots' probabilities (forward-backward, Baum et al. 1970).

    No other time has a smaller expected error. Medians keep the order and the least lengths that all paths keep.

    Args:
        log_probabilities: `(2 * words, classes)`.
        bins: how many of the classes, from the first, may be used.
        least: int `(words,)`, classes that each word lasts, at least 1.

    Returns: float64 `(2 * words,)`, classes and parts of them; `None` where the words do not fit into `bins`.
    """
    steps = first_classes(least)
    room = bins - int(steps[-1])
    if room < 1:
        return None
    # row s from class steps[s] on: there the constraints say that classes never fall
    places = torch.from_numpy(steps[:, None] + np.arange(room)).to(log_probabilities.device)
    rows = log_probabilities.gather(-1, places).double().cpu().numpy()
    # no class is impossible: a slot's probability may be 0 wherever its neighbours leave room for it
    rows = np.maximum(np.exp(rows - rows.max(-1, keepdims=True)), 1e-12)
    ahead = np.empty_like(rows)
    total = np.zeros(room)
    total[0] = 1.0
    for row, product in zip(rows, ahead):
        np.multiply(np.cumsum(total), row, out=product)
        product /= product.sum()
        total = product
    medians = np.empty(len(rows))
    behind = np.ones(room)
    for s in range(len(rows) - 1, -1, -1):
        sums = np.cumsum(ahead[s] * behind)
        half = sums[-1] / 2
        k = int(np.searchsorted(sums, half))
        below = sums[k - 1] if k else 0.0
        medians[s] = k + (half - below) / (sums[k] - below) - 0.5 + steps[s]
        behind = np.cumsum((behind * rows[s])[::-1])[::-1]
        behind /= behind[0]
    return medians


def with_medians(milliseconds: np.ndarray, medians: np.ndarray, segment_time: float, limit: float) -> np.ndarray:
    """
    Times of the path, with the medians where they are far from it.

    Order is kept, and so is a class's length for each word (`joint_decoding.in_order`).

    Args:
        milliseconds: `(2 * words,)`, of the path.
        medians: `(2 * words,)`, classes, as `posterior_medians` gives them.
        segment_time: milliseconds a class.
        limit: milliseconds that no time exceeds.

    Returns: whole milliseconds, float64 `(2 * words,)`.
    """
    far = np.abs(medians * segment_time - milliseconds) > FAR
    return in_order(np.where(far, medians, milliseconds / segment_time), segment_time, limit)
