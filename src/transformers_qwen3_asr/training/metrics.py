"""How far aligned times are from the right ones, for `Trainer(compute_metrics=…, preprocess_logits_for_metrics=…)`."""

from collections.abc import Iterable

import numpy as np
import torch

from ..alignment.decoding import repair_monotone
from .labels import IGNORED


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

    `aas` is the accumulated average shift of the Qwen3-ASR report: the sum of all absolute differences divided by
    their number. `median` is theirs, `within_80ms` the share of at most 80 ms.
    """
    values = np.asarray(list(errors), dtype=np.float64)
    if len(values) == 0:
        raise ValueError("there are no times to compare")
    return {
        "aas": float(values.mean()),
        "median": float(np.median(values)),
        "within_80ms": float((values <= 80.0).mean()),
    }


class AlignmentMetrics:
    """
    Trainer's `compute_metrics`: milliseconds between predicted and labelled times, after the monotone repair.

    Labels are classes, so that a perfect model has 0 although its times are rounded to `timestamp_segment_time`.

    Args:
        timestamp_segment_time: milliseconds a class, as in the model's config.
    """

    def __init__(self, timestamp_segment_time: float):
        self.timestamp_segment_time = timestamp_segment_time

    def __call__(self, prediction) -> dict[str, float]:
        """`prediction` holds `predictions` and `label_ids`, both `(clips, length)` with -100 off the slots."""
        errors: list[float] = []
        for predicted, labels in zip(prediction.predictions, prediction.label_ids, strict=True):
            slots = labels != IGNORED
            repaired = repair_monotone(predicted[slots] * self.timestamp_segment_time)
            errors.extend(np.abs(np.array(repaired) - labels[slots] * self.timestamp_segment_time))
        return accumulated_average_shift(errors)
