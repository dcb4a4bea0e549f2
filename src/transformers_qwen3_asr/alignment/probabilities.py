"""Scores that have been through softmax, as serving engines return them, and the logits that stand for the same."""

from collections.abc import Callable

import torch

# How far from 1 the sum of a slot's probabilities may be: they may have been sent in half precision.
_SUM_TOLERANCE = 0.02


def as_logits(
    scores: torch.Tensor, probabilities: bool | None, place: Callable[[int], str] = "slot {}".format
) -> torch.Tensor:
    """
    Scores `(slots, classes)` as logits: the logarithms of probabilities, float32, and logits as they are.

    Read as logits, probabilities say that all classes are about equally likely, and times come out far off.

    Args:
        scores: logits, or what softmax made of them.
        probabilities: `True` or `False` says which; `None` looks at the first slot: probabilities are none below 0 and
            sum to 1, which a classifier's logits practically never do.
        place: how messages call a slot, by its number.

    Raises `ValueError`, naming the slot, where the first slot (or the argument) says probabilities and another slot
    holds something else.
    """
    if probabilities is False or not len(scores) or (probabilities is None and not _sound(scores[:1]).all()):
        return scores
    if not (sound := _sound(scores)).all():
        said = "probabilities=True was given" if probabilities else f"those at {place(0)} are"
        raise ValueError(
            f"the scores at {place(int((~sound).nonzero()[0]))} are no probabilities (none below 0, and a sum of 1), "
            f"but {said}; probabilities=False takes all as logits"
        )
    # what softmax rounded to 0 is as improbable as anything that float32 can say
    return scores.float().clamp_min(torch.finfo(torch.float32).tiny).log()


def _sound(scores: torch.Tensor) -> torch.Tensor:
    """Which rows are probabilities, boolean `(slots,)`, on the processor; none with NaN is."""
    return ((scores >= 0).all(-1) & ((scores.sum(-1, dtype=torch.float32) - 1).abs() <= _SUM_TOLERANCE)).cpu()
