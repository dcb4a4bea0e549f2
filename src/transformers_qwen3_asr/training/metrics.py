"""How far aligned times are from the right ones, for `Trainer(compute_metrics=…, preprocess_logits_for_metrics=…)`."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ..alignment.decoding import repair_monotone
from .labels import IGNORED

_WITHIN_MILLISECONDS = (20, 50, 80, 100)
_F1_MILLISECONDS = 20
_ROUNDING = 1e-6  # milliseconds: seconds times 1000 are not exact, and 0.08 s apart is within 80 ms


def slot_predictions(logits, labels: torch.Tensor) -> torch.Tensor:
    """
    Trainer's `preprocess_logits_for_metrics`: the best class at each slot, so that no logits are gathered.

    Args:
        logits: `(batch, length, classes)`, or `(slots, classes)` as `logits_to_keep` gives them; or a tuple that
            begins with one.
        labels: `(batch, length)`, -100 off the slots.

    Returns: `(batch, length)` classes, -100 off the slots.
    """
    if isinstance(logits, (tuple, list)):
        logits = logits[0]
    slots = labels != IGNORED
    best = logits.argmax(-1)
    if logits.ndim == 3:
        best = best[slots]
    elif len(best) != int(slots.sum()):
        raise ValueError(f"there are logits of {len(best)} slots for {int(slots.sum())} labels")
    return torch.full_like(labels, IGNORED).masked_scatter(slots, best.to(labels.dtype))


def accumulated_average_shift(errors: Iterable[float]) -> dict[str, float]:
    """
    Summary of absolute differences in milliseconds, over starts and ends alike.

    `aas_ms` is the accumulated average shift of the Qwen3-ASR report: the sum of all absolute differences divided by
    their number. `median_ms` is theirs, `within_80ms` the share of at most 80 ms. Raises `ValueError` where there are
    none.
    """
    values = np.asarray(list(errors), dtype=np.float64)
    if len(values) == 0:
        raise ValueError("there are no times to compare")
    return {
        "aas_ms": float(values.mean()),
        "median_ms": float(np.median(values)),
        "within_80ms": float((values <= 80.0 + _ROUNDING).mean()),
    }


def alignment_metrics(predicted: Sequence, reference: Sequence) -> dict[str, float]:
    """
    How far the times of aligned clips are from the right ones.

    Args:
        predicted: for each clip `(words, 2)` starts and ends in milliseconds.
        reference: the same for the right times, word for word.

    Returns: a dict of

    - `clips` and `words`: how many were compared;
    - `aas_ms`: the accumulated average shift of the Qwen3-ASR report, the mean of |predicted - reference| over all
      starts and ends; `median_ms`: the median of the same;
    - `within_20ms`, `within_50ms`, `within_80ms`, `within_100ms`: the share (0 to 1) of starts and ends that are at
      most so far off; `over_1s`: the share that is more than 1000 ms off;
    - `zero_length`: the share of predicted words that do not last (they end no later than they start);
    - `on_neighbour`: the share of predicted words whose middle is outside the reference word, so on a neighbour or in
      a pause;
    - `f1_20ms`: `boundary_f1` at 20 ms;
    - `aas_start_ms`, `aas_end_ms`, `median_start_ms`, `median_end_ms`: mean and median of the starts alone and of the
      ends alone.

    Raises `ValueError`, naming the clip, for numbers of clips or words that differ, other shapes, and times that are
    not finite; and where there is no word at all.
    """
    if len(predicted) != len(reference):
        raise ValueError(f"there are predictions for {len(predicted)} clips and references for {len(reference)}")
    pairs = [
        (_times(p, "predicted", i), _times(r, "reference", i)) for i, (p, r) in enumerate(zip(predicted, reference))
    ]
    for i, (found, right) in enumerate(pairs):
        if len(found) != len(right):
            raise ValueError(f"clip {i}: {len(found)} predicted words for {len(right)} reference words")
    if not any(len(found) for found, _ in pairs):
        raise ValueError("there are no times to compare")
    found, right = (np.concatenate(side) for side in zip(*pairs))
    errors = np.abs(found - right)
    figures: dict[str, float] = {"clips": len(pairs), "words": len(found)}
    figures |= {"aas_ms": float(errors.mean()), "median_ms": float(np.median(errors))}
    for limit in _WITHIN_MILLISECONDS:
        figures[f"within_{limit}ms"] = float((errors <= limit + _ROUNDING).mean())
    figures["over_1s"] = float((errors > 1000.0 + _ROUNDING).mean())
    figures["zero_length"] = float((found[:, 1] <= found[:, 0]).mean())
    middle = found.mean(1)
    outside = (middle < right[:, 0] - _ROUNDING) | (middle > right[:, 1] + _ROUNDING)
    figures["on_neighbour"] = float(outside.mean())
    figures[f"f1_{_F1_MILLISECONDS}ms"] = boundary_f1([p for p, _ in pairs], [r for _, r in pairs], _F1_MILLISECONDS)
    for name, statistic in (("aas", np.mean), ("median", np.median)):
        for column, side in enumerate(("start", "end")):
            figures[f"{name}_{side}_ms"] = float(statistic(errors[:, column]))
    return figures


def boundary_f1(predicted: Sequence[np.ndarray], reference: Sequence[np.ndarray], tolerance: float) -> float:
    """
    F1 of the boundaries between words, as FA-Bench counts it (https://github.com/olewave/fa-bench).

    A clip's boundaries are the starts of all its words but the first, each time once. They are compared by time alone:
    a predicted and a reference boundary at most `tolerance` milliseconds apart are a hit, each is used for one hit at
    most, and the closest pairs are taken first (Strgar and Harwath 2022 call it strict). Hits and boundaries of all
    clips are added up; F1 is 2 * hits / (predicted + reference boundaries), which is the harmonic mean of precision
    and recall.

    `predicted` and `reference` are as in `alignment_metrics`. Returns 0 where there is no boundary.
    """
    hits = boundaries = 0
    for found, right in zip(predicted, reference, strict=True):
        found, right = (np.unique(np.round(times[1:, 0], 6)) for times in (found, right))
        boundaries += len(found) + len(right)
        first = np.searchsorted(right, found - tolerance - _ROUNDING)
        past = np.searchsorted(right, found + tolerance + _ROUNDING, side="right")
        near = sorted((abs(found[i] - right[k]), i, k) for i in range(len(found)) for k in range(first[i], past[i]))
        used_found, used_right = set(), set()
        for _, i, k in near:
            if i not in used_found and k not in used_right:
                used_found.add(i)
                used_right.add(k)
        hits += len(used_found)
    return 2 * hits / boundaries if boundaries else 0.0


def _times(values, what: str, clip: int) -> np.ndarray:
    """A clip's times as float64 `(words, 2)`."""
    times = np.asarray(values, dtype=np.float64)
    if times.size == 0:
        return times.reshape(0, 2)
    if times.ndim != 2 or times.shape[1] != 2:
        raise ValueError(f"clip {clip}: {what} times have the shape {times.shape}; (words, 2) is expected")
    if not np.isfinite(times).all():
        raise ValueError(f"clip {clip}: {what} times are not all finite")
    return times


class AlignmentMetrics:
    """
    Trainer's `compute_metrics`: `alignment_metrics` of a model's classes, after decoding's monotone repair.

    So these are the figures of `decoding="argmax"`, because no scores are gathered; `evaluate_aligner` decodes jointly
    unless told otherwise. Labels are classes, so that a perfect model has 0 although its times are rounded to
    `timestamp_segment_time`.

    Args:
        timestamp_segment_time: milliseconds a class, as in the model's config.
    """

    def __init__(self, timestamp_segment_time: float):
        if not timestamp_segment_time > 0:
            raise ValueError(f"timestamp_segment_time must be above 0 milliseconds, not {timestamp_segment_time!r}")
        self.timestamp_segment_time = timestamp_segment_time

    def __call__(self, prediction) -> dict[str, float]:
        """
        `prediction` holds `predictions` and `label_ids`, both `(clips, length)` with -100 off the slots, two slots a
        word.
        """
        predicted, reference = [], []
        for i, (classes, labels) in enumerate(zip(prediction.predictions, prediction.label_ids, strict=True)):
            slots = labels != IGNORED
            if slots.sum() % 2:
                raise ValueError(f"clip {i} has labels at {slots.sum()} slots: each word has two")
            repaired = repair_monotone(classes[slots] * self.timestamp_segment_time)
            predicted.append(np.array(repaired, dtype=np.float64).reshape(-1, 2))
            # whole milliseconds, as decoded times are
            reference.append(np.trunc(labels[slots] * self.timestamp_segment_time).reshape(-1, 2))
        return alignment_metrics(predicted, reference)
