"""The most probable classes of all of a clip's slots together, under the order that words have."""

import numpy as np
import torch


def joint_bins(logits: torch.Tensor, bins: int | None = None) -> np.ndarray:
    """
    The classes `b` of a clip's slots with the largest sum of scores under the words' order.

    Each word ends at least one class after it starts, and no word starts before the one ahead of it has ended. Where
    so many words do not fit into `bins` classes, as few as possible end in the class in which they start.

    The constraints say that `b[s] - (s + 1) // 2` never falls, so this is a search for a path that never falls through
    scores whose rows are shifted against each other. Constraints are put in only where they are missed: the best
    class of each slot alone is the answer to the problem without any; neighbours that contradict each other are solved
    together, exactly, by dynamic programming (Viterbi 1967; the maximum over all earlier classes is a running one);
    and as soon as what was found keeps all constraints, it is the best of all that do. Blocks double as they grow, and
    where they would cost more than the clip as a whole, the clip is one block. The cost is one pass over the scores
    and at most two steps of a running maximum a slot, and only the rows of contradicting slots leave the device.

    A class of score -inf is taken only where there is no way without, and then as few times as possible.

    Args:
        logits: `(2 * words, classes)`, finite or -inf; a constant added to a row changes nothing.
        bins: how many of the classes, from the first, may be used; default: all.

    Returns: int64 `(2 * words,)`.
    """
    slots, classes = logits.shape
    bins = classes if bins is None else min(bins, classes)
    if bins - slots // 2 < 1:
        return _crowded(logits[:, :bins])
    path = _sheared_path(logits, bins)
    chosen = logits[torch.arange(slots), torch.from_numpy(path)]
    return _sheared_path(_floored(logits[:, :bins]), bins) if chosen.isneginf().any() else path


def _sheared_path(logits: torch.Tensor, bins: int) -> np.ndarray:
    """`joint_bins` where there is room for all words; the path may hold -inf."""
    slots, classes = logits.shape
    words = slots // 2
    # row s from class (s + 1) // 2 on, without a copy
    shape, strides = (words, 2, bins - words), (2 * classes + 1, classes + 1, 1)
    sheared = logits.contiguous().as_strided(shape, strides)
    path = sheared.argmax(dim=-1).reshape(-1).cpu().numpy()
    return _ordered(sheared, path.copy()) + (np.arange(slots) + 1) // 2


def _ordered(sheared: torch.Tensor, path: np.ndarray) -> np.ndarray:
    """From the best class of each slot alone, in `(words, 2, room)` shifted scores, to the best path of all."""
    slots = len(path)
    joined = np.zeros(slots - 1, dtype=bool)  # at [s], whether slots s and s + 1 are solved together
    solved = 0
    while (missed := np.flatnonzero(path[1:] < path[:-1])).size:
        begins = np.flatnonzero(np.r_[True, ~joined])
        ends = np.r_[begins[1:], slots]
        left = np.searchsorted(begins, missed, side="right") - 1  # the block that ends at each missed constraint
        grown = np.minimum(slots, ends[left + 1] - begins[left] - 2)
        touched = joined.copy()
        joined[missed] = True
        for place, more in zip(missed, grown):
            joined[max(0, place - more) : place + more + 1] = True
        begins = np.flatnonzero(np.r_[True, ~joined])
        ends = np.r_[begins[1:], slots]
        changed = np.flatnonzero(joined & ~touched)
        blocks = np.unique(np.searchsorted(begins, changed, side="right") - 1)
        solved += int((ends[blocks] - begins[blocks]).sum())
        if solved > slots:
            begins, ends, blocks = np.array([0]), np.array([slots]), np.array([0])
        rows = np.concatenate([np.arange(begins[b], ends[b]) for b in blocks])
        scores = sheared[torch.from_numpy(rows // 2), torch.from_numpy(rows % 2)].float().cpu()
        at = 0
        for b in blocks:
            size = ends[b] - begins[b]
            path[begins[b] : ends[b]] = _never_falling(scores[at : at + size])
            at += size
    return path


def _never_falling(scores: torch.Tensor) -> list[int]:
    """The path with the largest sum of `scores` `(rows, columns)` that never goes back, a column for each row."""
    best = scores[0].double()
    origins = []
    for row in scores[1:]:
        best, origin = best.cummax(0)
        origins.append(origin)
        best = best + row
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def _crowded(logits: torch.Tensor) -> np.ndarray:
    """
    `joint_bins` where words are at least as many as classes: each class but the last is where one word starts that
    ends in the next class, and the other words start and end in one.
    """
    scores = _floored(logits).cpu().numpy()
    starts, ends = scores[0::2], scores[1::2]
    words, bins = starts.shape
    best = np.full(bins, -np.inf)
    best[0] = 0.0
    moved = np.zeros((words, bins), dtype=bool)
    for w in range(words):
        before = best + starts[w]
        best = before + ends[w]
        moving = before[:-1] + ends[w, 1:]
        moved[w, 1:] = moving > best[1:]
        best[1:] = np.where(moved[w, 1:], moving, best[1:])
    path = np.zeros(2 * words, dtype=np.int64)
    place = bins - 1
    for w in reversed(range(words)):
        path[2 * w + 1] = place
        place -= moved[w, place]
        path[2 * w] = place
    return path


def _floored(logits: torch.Tensor) -> torch.Tensor:
    """-inf replaced by a score so low that one less of them outweighs everything else."""
    finite = logits[logits.isfinite()].double()
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    return logits.double().clamp(min=low - (high - low + 1) * len(logits))
