"""Less kept for the backward pass: what is cheap to compute is computed again there.

Autograd keeps the inputs of every matrix product, although many of them are one elementwise step away from something
that it keeps as well: normed states from the states, the gated product from its factors, rotated queries from the
queries. While `recomputing` is entered, such a tensor is not kept. No matrix product is done twice, unlike with
gradient checkpointing, and no convolution but the first, whose input has one channel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import torch

_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


def may_recompute(layer: torch.nn.Module) -> bool:
    """
    Whether tensors of `layer` may be recomputed now: where a backward pass will come, and nobody else decides what is
    kept for it. Gradient checkpointing keeps nothing anyway, and what is kept here would only hold its memory.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    checkpointed = getattr(layer, "gradient_checkpointing", False) and layer.training
    return not checkpointed and (_top_hooks is None or _top_hooks(True) is None)


class _Recomputed:
    """One tensor that is not kept: made when it is first asked for, and let go when all that wanted it have had it."""

    def __init__(self, tensor: torch.Tensor, compute: Callable[[], torch.Tensor]):
        self.compute, self.dtype = compute, tensor.dtype
        self.wanted = self.left = 0
        self.value: torch.Tensor | None = None
        # the backward pass is outside of what the forward pass was in
        kind = tensor.device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        self.autocast = partial(torch.autocast, kind, dtype=dtype, enabled=enabled, cache_enabled=False)

    def get(self) -> torch.Tensor:
        if self.value is None:
            with torch.no_grad(), self.autocast():
                self.value, self.left = self.compute(), self.wanted
            if self.value.dtype != self.dtype:
                raise RuntimeError(f"what was {self.dtype} in the forward pass is {self.value.dtype} when recomputed")
        value, self.left = self.value, self.left - 1
        if self.left <= 0:
            self.value = None
        return value


def _memory(tensor: torch.Tensor) -> int | None:
    """Where the memory begins that `tensor` is a view of. `None` where there is none, or none of its own: quantised
    weights, for one, are tensors made of tensors."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return None
    return tensor.untyped_storage().data_ptr() or None


@contextlib.contextmanager
def recomputing(lean: bool, *pairs: tuple[torch.Tensor, Callable[[], torch.Tensor]]) -> Iterator[None]:
    """
    Where it is `lean`: of each `(tensor, compute)`, what autograd wants to keep of `tensor`, views included, is not
    kept; `compute` makes it again, with the same values in the same layout.
    """
    if not lean:
        yield
        return
    made = {_memory(tensor): _Recomputed(tensor, compute) for tensor, compute in pairs}
    made.pop(None, None)

    def pack(kept: torch.Tensor):
        source = made.get(_memory(kept))
        if source is None:
            return kept
        source.wanted += 1
        return source, kept.size(), kept.stride(), kept.storage_offset()

    def unpack(kept):
        if isinstance(kept, torch.Tensor):
            return kept
        source, *layout = kept
        return source.get().as_strided(*layout)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


@contextlib.contextmanager
def keeping_inputs(
    lean: bool, function: Callable, states: torch.Tensor, again: Callable | None = None
) -> Iterator[torch.Tensor]:
    """`function(states)`, which where it is `lean` is made from the states once more for the backward pass: by
    `again`, if the function itself does something else there."""
    result, states = function(states), states.detach()
    with recomputing(lean, (result, lambda: (again or function)(states))):
        yield result
