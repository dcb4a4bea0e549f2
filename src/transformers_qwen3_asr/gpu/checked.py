"""How what is faster is compared with the plain way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import nn

logger = logging.getLogger(__name__)

#: How far results may be apart, as a share of their root mean square: two orders of the same sums, and in float32 the
#: convolutions' TF32.
APART = {torch.float32: 5e-3, torch.float16: 0.02, torch.bfloat16: 0.05}
#: Rows that are compared at once.
ROWS_AT_ONCE = 2**14


def close(got: torch.Tensor, want: torch.Tensor, each_row: bool = False) -> bool:
    """Whether two results, or all their rows, are the same but for rounding in their dtype. What is not finite never
    is."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if not want.numel():
        return True
    wide, along = want.detach().float(), -1 if each_row else None
    apart = (got.detach().float() - wide).square().mean(along).sqrt()
    # a comparison with NaN is false
    return bool((apart <= APART.get(want.dtype, 0.0) * wide.square().mean(along).sqrt()).all())


def step_aside(logger: logging.Logger, what: str, why: str) -> None:
    """The one warning of a piece that is not used any more."""
    logger.warning("%s %s on this machine; the plain way is used instead", what, why)


def in_few_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


class Checked:
    """A faster way, which is compared with the plain one before its results are used.

    Args:
        name: what a warning calls it.

    Attributes:
        enabled: `False` goes without.
        broken: whether it failed or differed, after which it is not tried again.
    """

    def __init__(self, name: str):
        self.name = name
        self.enabled, self.broken = True, False
        self._good: set[Hashable] = set()
        WAYS.append(self)

    def run(
        self, key: Hashable, fast: Callable[[], Sequence[torch.Tensor]], plain: Callable[[], Sequence[torch.Tensor]]
    ) -> Sequence[torch.Tensor]:
        """
        What `plain()` gives, by `fast()` where that has been seen to give the same.

        Args:
            key: what may make a difference between one call and another: the device, the dtype, widths.
            fast, plain: from nothing to tensors; neither writes to what the other reads.
        """
        if not self.enabled or self.broken:
            return plain()
        if key in self._good:
            return fast()
        want = plain()
        # while a graph is recorded nothing can be looked at; and what is not finite tells nothing
        recorded = want[0].is_cuda and torch.cuda.is_current_stream_capturing()
        if recorded or not all(bool(tensor.isfinite().all()) for tensor in want):
            return want
        try:
            got = fast()
            pairs = zip(_in_parts(got), _in_parts(want), strict=True)
            differs = not all(close(a, b, each_row=True) for a, b in pairs)
        except torch.OutOfMemoryError:  # both at once; not its fault
            return want
        except Exception as error:  # a compiler may raise anything
            self._give_up(f"failed ({in_few_words(error)})")
            return want
        if differs:
            self._give_up("gave something else than the plain way")
        else:
            self._good.add(key)
        return want

    def _give_up(self, why: str) -> None:
        self.broken = True
        step_aside(logger, self.name, why)


def _in_parts(tensors: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Rows of all tensors, so few at once that comparing them takes little memory."""
    for tensor in tensors:
        yield from tensor.flatten(0, -2).split(ROWS_AT_ONCE)


#: All that are checked this way, as they are made.
WAYS: list[Checked] = []


def ways() -> tuple[bool, ...]:
    """Which of them are in use: what is computed, to the last bit, depends on it."""
    return tuple(way.enabled and not way.broken for way in WAYS)


def for_inference(states: torch.Tensor) -> bool:
    """Whether `states` are computed for themselves: no gradient, no autocast, and nobody compiles."""
    kind = states.device.type
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled(kind))


def hooked(module: nn.Module) -> bool:
    """Whether something was hooked to `module`'s forward pass, or put in its place."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def untouched(module: nn.Module, kind: type) -> bool:
    """Whether `module` is a `kind`, no subclass, and does what its class says."""
    return type(module) is kind and not hooked(module)
