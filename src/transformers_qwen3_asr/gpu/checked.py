"""How what is faster is compared with the plain way."""

from __future__ import annotations

import logging

import torch

#: How far results may be apart, as a share of their root mean square: two orders of the same sums, and in float32 the
#: convolutions' TF32.
APART = {torch.float32: 5e-3, torch.float16: 0.02, torch.bfloat16: 0.05}


def close(got: torch.Tensor, want: torch.Tensor) -> bool:
    """Whether two results are the same but for rounding in their dtype. What is not finite is never the same."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if not want.numel():
        return True
    wide = want.detach().float()
    apart = (got.detach().float() - wide).square().mean().sqrt()
    # a comparison with NaN is false
    return bool(apart <= APART.get(want.dtype, 0.0) * wide.square().mean().sqrt())


def step_aside(logger: logging.Logger, what: str, why: str) -> None:
    """The one warning of a piece that is not used any more."""
    logger.warning("%s %s on this machine; the plain way is used instead", what, why)
