"""One product in the place of several that take the same input.

The weights are laid one behind the other in one piece of memory, of which each parameter is a view. Names, state dicts
and files stay what they are, no byte is there twice, and nothing can get out of step: what changes a parameter changes
the one matrix. Where parameters have been moved apart (`model.to`), or a layer is another one (LoRA, quantised), the
products are the usual ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .checked import Checked, for_inference, hooked, untouched

#: `enabled = False` goes without.
JOINED = Checked("the joined product of projections")


def join_projections(model: nn.Module) -> int:
    """
    Lays the weights of `model`'s projections that take the same input one behind the other; returns how many groups.

    Which these are say the modules, by names in `joins`. The parameters stay the same objects, with the same values;
    their memory is another, so that a tensor made of one before (`detach()`, `state_dict()`) is no part of the
    model any more. So nothing is joined where somebody else owns the memory: weights that are views (DeepSpeed and
    FSDP make such), that are no plain tensors (sharded or quantised), or that lie in memory shared with other
    processes, and layers or models with hooks (offloading).
    """
    if any(map(hooked, model.modules())):
        return 0
    count = 0
    with torch.inference_mode(False), torch.no_grad():
        for module in model.modules():
            layers = [getattr(module, name, None) for name in getattr(module, "joins", ())]
            if layers and all(isinstance(layer, nn.Module) and untouched(layer, nn.Linear) for layer in layers):
                count += _lay_together(layers)
    return count


def one_product(x: torch.Tensor, *layers: nn.Module) -> tuple[torch.Tensor, ...] | None:
    """
    What several linear layers make of the same input, by one product where their weights lie together.

    Args:
        x: `(..., in)`.

    Returns: views `(..., out)` of one tensor, one for each layer; or `None`, where each has to be asked.
    """
    if not JOINED.enabled or not for_inference(x) or not all(untouched(layer, nn.Linear) for layer in layers):
        return None
    weight = _as_one([layer.weight for layer in layers])
    if weight is None or weight.dtype != x.dtype:
        return None
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = _as_one(biases) if biases else None
    if biases and (bias is None or len(bias) != len(weight)):
        return None
    sizes = [layer.out_features for layer in layers]
    return JOINED.run(
        (x.device, x.dtype, weight.shape),
        fast=lambda: F.linear(x, weight, bias).split(sizes, -1),
        plain=lambda: tuple(layer(x) for layer in layers),
    )


def _as_one(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Parameters that lie one behind the other, as one tensor of all their rows; `None` where they do not."""
    first = tensors[0]
    end = first.data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != end or not _alike(tensor, first) or not tensor.is_contiguous():
            return None
        end += tensor.nbytes
    if any(tensor.untyped_storage().data_ptr() != first.untyped_storage().data_ptr() for tensor in tensors):
        return None
    rows = sum(map(len, tensors))
    return first.detach().as_strided((rows, *first.shape[1:]), first.stride(), first.storage_offset())


def _alike(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    of_both = ((t.dtype, t.device, t.shape[1:]) for t in (tensor, other))
    return type(tensor) is nn.Parameter and len(set(of_both)) == 1


def _lay_together(layers: Sequence[nn.Linear]) -> bool:
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    groups = [weights] if all(bias is None for bias in biases) else [weights, biases]
    if any(parameter is None for group in groups for parameter in group):
        return False
    if all(_as_one(group) is not None for group in groups):
        return True
    if not all(_alike(parameter, group[0]) and _owns_memory(parameter) for group in groups for parameter in group):
        return False
    made = [torch.cat([parameter.data for parameter in group]) for group in groups]
    if made[0].is_cuda:  # so that what other streams read is there
        torch.cuda.synchronize(made[0].device)
    for group, joined in zip(groups, made):
        for parameter, part in zip(group, joined.split([len(parameter) for parameter in group])):
            parameter.data = part
    return True


def _owns_memory(parameter: nn.Parameter) -> bool:
    """Whether its memory is all its own."""
    if parameter.device.type == "meta" or not parameter.is_contiguous():
        return False
    shared = parameter.device.type == "cpu" and parameter.is_shared()
    return not shared and parameter.untyped_storage().nbytes() == parameter.nbytes
