"""Finer or coarser times: an aligner's classes changed to another length and number."""

import torch
from torch import nn


def interpolated_rows(weight: torch.Tensor, old_time: float, new_time: float, classes: int) -> torch.Tensor:
    """
    Classifier rows for classes of another length: the row of a time is read between the rows of its neighbours.

    Args:
        weight: `(old classes, width)`, row k for the time `k * old_time`.
        old_time, new_time: milliseconds a class.
        classes: how many rows to make. Times behind the last old class get its row.

    Returns: `(classes, width)`.
    """
    place = torch.arange(classes, device=weight.device, dtype=torch.float32) * (new_time / old_time)
    place = place.clamp(max=len(weight) - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=len(weight) - 1)
    share = (place - low)[:, None]
    rows = weight.float()
    return (rows[low] * (1 - share) + rows[high] * share).to(weight.dtype)


def change_bins(model, timestamp_segment_time: int, classify_num: int | None = None):
    """
    Gives an aligner classes of another length, before it is trained on: 20 or 40 ms instead of 80, for example.

    The new classifier says at first what the old one said: each row is interpolated on the time axis
    ([`interpolated_rows`]). What is finer than the old classes is then for the training to learn. Model and config are
    changed in place; a processor beside it needs `processor.timestamp_segment_time = timestamp_segment_time`.

    Args:
        model ([`Qwen3ASRForTokenClassification`]): the aligner.
        timestamp_segment_time (`int`): milliseconds a class, from now on.
        classify_num (`int`, *optional*): number of classes; default: as many as cover the time that the old ones did.

    Returns: the model.

    Raises `ValueError` for a length that is no positive whole number of milliseconds, and for fewer than two classes.
    """
    config = model.config
    old_time = config.timestamp_segment_time
    if isinstance(timestamp_segment_time, bool) or timestamp_segment_time != int(timestamp_segment_time):
        raise ValueError(f"timestamp_segment_time must be whole milliseconds, not {timestamp_segment_time!r}")
    timestamp_segment_time = int(timestamp_segment_time)
    if timestamp_segment_time < 1:
        raise ValueError(f"timestamp_segment_time must be positive, not {timestamp_segment_time}")
    if classify_num is None:
        classify_num = -(-config.classify_num * old_time // timestamp_segment_time)
    if isinstance(classify_num, bool) or classify_num != int(classify_num) or classify_num < 2:
        raise ValueError(f"classify_num must be a whole number of at least 2, not {classify_num!r}")
    classify_num = int(classify_num)
    old = model.thinker.lm_head
    if (timestamp_segment_time, classify_num) == (old_time, old.out_features):
        return model
    head = nn.Linear(old.in_features, classify_num, bias=False, dtype=old.weight.dtype, device=old.weight.device)
    with torch.no_grad():
        head.weight.copy_(interpolated_rows(old.weight, old_time, timestamp_segment_time, classify_num))
    head.weight.requires_grad_(old.weight.requires_grad)
    model.thinker.lm_head = head
    model.num_labels = config.classify_num = classify_num
    config.timestamp_segment_time = timestamp_segment_time
    return model
