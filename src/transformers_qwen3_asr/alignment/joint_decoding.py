"""The most probable classes of all of a clip's slots together, under the order that words have."""

from collections.abc import Sequence

import numpy as np
import torch

#: How many scores a processor takes at once, so that they stay in its cache.
NORMALISED = 2**19


def joint_bins(
    logits: torch.Tensor,
    bins: int | None = None,
    lasting: np.ndarray | None = None,
    pauses: np.ndarray | None = None,
) -> np.ndarray:
    """
    The classes `b` of a clip's slots with the largest sum of scores under the words' order.

    Each word ends at least a class after it starts, or as many as `lasting` says, and no word starts before the one
    ahead of it has ended. Where the words do not fit into `bins` classes with that, they last a class; where they do
    not even then, as few as possible end in the class in which they start.

    With what the words up to a slot must have lasted taken off its class, the constraints say that the rest never
    falls. So this is a search for a path that never falls through rows that are shifted against each other, by
    dynamic programming (Viterbi 1967), in which the maximum over all earlier classes is a running one.

    A class of score -inf is taken only where there is no way without, and then as few times as possible.

    Args:
        logits: `(2 * words, classes)`, finite or -inf; a constant added to a row changes nothing.
        bins: how many of the classes, from the first, may be used; default: all.
        lasting: int `(words,)`, how many classes each word lasts at least, 1 or more.
        pauses: `(2, words)`, nats that a pause behind each word costs: for each class of it, and at most
            (`durations.pause_costs`). They count nothing where words have no room.

    Returns: int64 `(2 * words,)`.
    """
    logits = logits[:, :bins]
    slots, bins = logits.shape
    if bins - slots // 2 < 1:
        return _crowded(logits)
    steps = first_classes(with_room(lasting, slots // 2, bins))
    scores = (logits if logits.dtype == torch.float64 else logits.float()).cpu().numpy()
    path = _ordered_path(scores, steps, pauses)
    if np.isneginf(scores[np.arange(slots), path]).any():
        path = _ordered_path(_floored(logits).cpu().numpy(), steps, pauses)
    return path


def with_room(lasting: np.ndarray | None, words: int, bins: int) -> np.ndarray:
    """Classes that each word lasts at least, `(words,)`: `lasting`, or one where there is no room for that."""
    return lasting if lasting is not None and lasting.sum() < bins else np.ones(words, dtype=np.int64)


def first_classes(lasting: np.ndarray) -> np.ndarray:
    """What the words up to each slot must have lasted, int64 `(2 * words,)`, if each lasts `lasting` `(words,)`."""
    sums = np.append(0, np.cumsum(lasting))
    return np.stack([sums[:-1], sums[1:]], 1).ravel()


def with_favour(logits: torch.Tensor, favour: np.ndarray) -> torch.Tensor:
    """
    Scores to look for a path in: with what `voice_activity.VoiceActivity.favour` says of each class, `(classes,)`,
    added to those of ends and taken from those of starts. Other classes are left out.

    Args:
        logits: `(2 * words, classes)`.

    Returns: float32 (float64 for float64).
    """
    logits = logits[:, : len(favour)]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    added = torch.from_numpy(favour).to(logits)
    return (logits.unflatten(0, (-1, 2)) + torch.stack([-added, added])).flatten(0, 1)


def normalised(logits: torch.Tensor, kept: int | None = None) -> torch.Tensor:
    """
    The log-softmax of `logits` `(slots, classes)` at the first `kept` classes, float32 `(slots, kept)`.

    On a processor some rows are taken at a time: what is not kept is never written to memory.
    """
    if logits.device.type != "cpu":
        return logits.log_softmax(dim=-1, dtype=torch.float32)[:, :kept]
    classes = logits.shape[-1]
    size = min(len(logits), max(1, NORMALISED // classes))
    found = torch.empty(len(logits), min(classes, kept or classes), dtype=torch.float32)
    near_at_hand = torch.empty(size, classes, dtype=torch.float32)
    for part in (slice(a, a + size) for a in range(0, len(logits), size)):
        whole = near_at_hand[: len(found[part])]
        torch.log_softmax(logits[part], -1, dtype=torch.float32, out=whole)
        found[part] = whole[:, : found.shape[1]]
    return found


def classes_within(limit: float, segment_time: float, words: int) -> int | None:
    """How many classes there are up to `limit` milliseconds (the next beyond it too, if it is nearer, and if there is
    room for `words` words without it); `None` where there is no limit."""
    if limit == np.inf:
        return None
    return int(limit / segment_time + (0.5 if limit >= words * segment_time else 0.0)) + 1


def joint_times(near: np.ndarray, bins: np.ndarray, segment_time: float, limit: float = np.inf) -> np.ndarray:
    """
    Times finer than a class, read around the classes of `joint_bins`: the mean of the classes within `TOLERANCE`
    milliseconds (at least one on each side) by their probabilities, at most half a class away from the one chosen.

    Order is kept, and so is a class's length for each word: where the means contradict it, all are moved by as little
    as puts the time between the largest so far and the smallest to come (the middle of the two monotone bounds).

    Args:
        near: the probabilities around `bins`, `(2 * words, 2 * tolerance_radius(...) + 1)`, as `confidence.window`
            gives them.
        bins: `(2 * words,)`, as `joint_bins` gives them.
        segment_time: milliseconds a class.
        limit: milliseconds, a whole number, that no time exceeds.

    Returns: milliseconds, float64 `(2 * words,)`, whole numbers.
    """
    if (bins[1::2] == bins[::2]).any() or limit < len(bins) // 2 * segment_time:  # crowded: there is nothing to move
        return np.minimum(np.floor(bins * segment_time + 0.5), limit)
    radius = near.shape[-1] // 2
    total = near.sum(-1)
    offset = (near @ np.arange(-radius, radius + 1.0)) / np.where(total > 0, total, 1.0)
    return in_order(bins + offset.clip(-0.5, 0.5), segment_time, limit)


def in_order(places: np.ndarray, segment_time: float, limit: float, lengths: np.ndarray | None = None) -> np.ndarray:
    """Classes and parts of them `(2 * words,)` as whole milliseconds up to `limit`, moved by as little as gives them
    the order and each word a class's length, or `lengths` `(words,)` in classes: between the largest so far and the
    smallest to come."""
    lengths = np.ones(len(places) // 2) if lengths is None else lengths
    lasted = np.cumsum(lengths)
    steps = np.stack([lasted - lengths, lasted], 1).ravel()
    moved = places - steps
    moved = (np.maximum.accumulate(moved) + np.minimum.accumulate(moved[::-1])[::-1]) / 2
    moved = moved.clip(0, limit / segment_time - lengths.sum())
    return np.floor((moved + steps) * segment_time + 0.5)


def _ordered_path(scores: np.ndarray, steps: np.ndarray, pauses: np.ndarray | None) -> np.ndarray:
    """`joint_bins` where there is room for all words; the path may hold -inf."""
    slots, bins = scores.shape
    shifted = np.lib.stride_tricks.sliding_window_view(scores, bins - steps[-1], axis=1)
    return never_falling_at_once(shifted[np.arange(slots), steps], pauses) + steps


def in_step(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """
    The slots of all clips, first those that are first in their clip, then the second ones and so on, the longest clip
    always in front; and where the second of these steps, the third and so on begin.
    """
    order = np.argsort(begins - ends, kind="stable")
    begins, sizes = begins[order], (ends - begins)[order]
    active = np.searchsorted(-sizes, -np.arange(sizes[0]))  # clips that are longer than 0, 1, 2, ...
    rows = np.concatenate([begins[:n] + t for t, n in enumerate(active)])
    return rows, np.cumsum(active)[:-1].tolist()


def shifted_rows(logits: torch.Tensor, rows: np.ndarray, steps: np.ndarray, room: np.ndarray) -> torch.Tensor:
    """Of each of `rows` the scores of `room` classes from the class `steps` on, all int64 `(rows,)`, and -inf behind
    them up to the most room of all: `(rows, columns)`."""
    at, start, given = torch.from_numpy(np.stack([rows, steps, room])).to(logits.device, non_blocking=True)
    width, classes = int(room.max()), logits.shape[-1]
    if steps.max() + width <= classes:
        found = logits.unfold(-1, width, 1)[at, start]
    else:  # as many classes as the longest clip's are not left in every clip
        columns = start[:, None] + torch.arange(width, device=logits.device)
        found = logits[at[:, None], columns.clamp_(max=classes - 1)]
    if room.min() < width:
        found.masked_fill_(torch.arange(width, device=logits.device) >= given[:, None], -torch.inf)
    return found


def never_falling(steps: Sequence[torch.Tensor], pauses: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
    """
    The paths with the largest sum of scores that never go back, clip by clip.

    `steps` are `(clips, columns)` scores, a row for each clip that has so many, the longest clips in front: of all
    clips' first starts, then of their first ends, and so on. `pauses` are `(2, clips)` for each of them: what a pause
    behind an end costs, a column and at most. Returns the columns in the same order, int64 `(rows,)`.

    The best column before a start is the better one of two: of those nearby, whose cost rises with every column, and
    of all, for the highest cost. So each is a running maximum.
    """
    best = steps[0].double()
    columns = torch.arange(best.shape[-1], device=best.device)
    origins, ended = [], []
    for number, step in enumerate(steps[1:], start=1):
        if len(step) < len(best):
            # of the clips that have no further row
            ended.append((number, best[len(step) :].argmax(dim=-1, keepdim=True)))
            best = best[: len(step)]
        ends = best
        best, origin = ends.cummax(dim=-1)
        if pauses is not None and number % 2 == 0:
            each, most = pauses[number - 1][:, : len(step), None]
            nearby, near_origin = ends.add(each * columns).cummax(dim=-1)
            nearby -= each * columns
            best -= most
            origin = torch.where(nearby >= best, near_origin, origin)
            best = torch.maximum(nearby, best)
        origins.append(origin)
        best = best.add_(step)
    place = best.argmax(dim=-1, keepdim=True)
    path = [place]
    for number in range(len(origins), 0, -1):
        place = origins[number - 1].gather(-1, place)
        if ended and ended[-1][0] == number:
            place = torch.cat([place, ended.pop()[1]])
        path.append(place)
    return torch.cat(path[::-1])[:, 0]


def never_falling_at_once(rows: np.ndarray, pauses: np.ndarray | None = None) -> np.ndarray:
    """
    The same of one clip on a CPU, for `(rows, columns)` scores. A byte for each says whether the running maximum rose
    there. Going back, the last such place is where a maximum came from.
    """
    columns = rows.shape[1]
    flags = [bytearray(rows.size) for _ in range(1 if pauses is None else 3)]
    moved, *nearby = (np.frombuffer(one, dtype=bool).reshape(rows.shape) for one in flags)
    top, away, rise = np.zeros(columns), np.arange(columns, dtype=np.float64), np.empty(columns)
    size = max(1, NORMALISED // columns)
    for begin in range(0, len(rows), size):
        best = rows[begin : begin + size].astype(np.float64)
        tops = np.empty_like(best)
        for number, (row, out) in enumerate(zip(best, tops), start=begin):
            np.add(row, top, row)
            top = np.maximum.accumulate(row, 0, None, out)
            if nearby and number % 2:  # an end: what it is worth to the next start
                each, most = pauses[:, number // 2]
                np.multiply(away, each, rise)
                near = row + rise
                near_top = np.maximum.accumulate(near)
                np.equal(near, near_top, nearby[0][number])
                near_top -= rise
                far = top - most
                np.greater_equal(near_top, far, nearby[1][number])
                top = np.maximum(near_top, far)
        np.equal(best, tops, out=moved[begin : begin + size])
    found = [int(best[-1].argmax())]
    for s in reversed(range(len(rows) - 1)):
        is_near = nearby and s % 2 and nearby[1][s, found[-1]]
        first = s * columns
        found.append(flags[1 if is_near else 0].rfind(1, first, first + found[-1] + 1) - first)
    return np.array(found[::-1])


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
