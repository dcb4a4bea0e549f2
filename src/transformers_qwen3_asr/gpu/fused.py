"""What lies between products, in one kernel each (`kernels`), for inference on a GPU; elsewhere as PyTorch does it.

Each of the four is compared with the plain way once for every device, dtype and width, and has a switch: `enabled`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .checked import Checked, for_inference

NORMS_AND_ROTARY = Checked("the kernel for norms and rotary embeddings")
ADD_AND_NORM = Checked("the kernel for sums and their norms")
GATED = Checked("the kernel for gated products")
BIAS_AND_GELU = Checked("the kernel for the convolutions' bias and GELU")
#: Types of device that Triton compiles for. Tests add the CPU, where its interpreter runs.
KINDS = {"cuda"}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def may_fuse(way: Checked, *tensors: torch.Tensor) -> bool:
    """Whether a kernel may be given `tensors`: for inference, on one GPU, in one dtype, their rows without gaps."""
    first = tensors[0]
    if not way.enabled or way.broken or first.device.type not in KINDS or not for_inference(first):
        return False
    kinds = {(tensor.dtype, tensor.device, tensor.stride(-1)) for tensor in tensors}
    plain = all(type(tensor) in (torch.Tensor, nn.Parameter) and tensor.numel() for tensor in tensors)
    return plain and first.dtype in DTYPES and kinds == {(first.dtype, first.device, 1)}


def norms_and_rotary(
    query: torch.Tensor,
    key: torch.Tensor,
    norms: tuple[nn.Module, nn.Module],
    table: tuple[torch.Tensor, torch.Tensor],
    plain: Callable[[], tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Queries and keys, each head normed and turned by its position.

    Args:
        query, key: `(1, tokens, heads, dim)`.
        norms: root mean square norms of queries and of keys, with `weight` `(dim,)` and `variance_epsilon`.
        table: cosines and sines `(1, tokens, dim)`.
        plain: gives the same without a kernel.

    Returns: `(1, heads, tokens, dim)` of both.
    """
    weights, (cos, sin), dim = [norm.weight for norm in norms], table, query.shape[-1]
    fits = cos.shape == sin.shape == (1, query.shape[1], dim) and cos.stride() == sin.stride() and dim % 2 == 0
    if not fits or not may_fuse(NORMS_AND_ROTARY, query, key, cos, sin, *weights):
        return plain()

    def fast():
        from .kernels import norms_and_rotary

        epsilons = [norm.variance_epsilon for norm in norms]
        with _on(query.device):
            both = norms_and_rotary(query[0], key[0], *weights, cos[0], sin[0], epsilons)
        return tuple(states[None].transpose(1, 2) for states in both)

    shape = query.shape[2], key.shape[2], dim
    return NORMS_AND_ROTARY.run((query.device, query.dtype, shape), fast, plain)


def add_and_norm(one: torch.Tensor, other: torch.Tensor, norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """
    A sum and its norm.

    Args:
        one, other: `(..., width)`.
        norm: a root mean square norm, with `weight` `(width,)` and `variance_epsilon`.

    Returns: `one + other` and `norm(one + other)`.
    """

    def plain():
        total = one + other
        return total, norm(total)

    if not may_fuse(ADD_AND_NORM, one, other, norm.weight) or one.shape != other.shape:
        return plain()

    def fast():
        from .kernels import add_and_norm

        with _on(one.device):
            both = add_and_norm(one.flatten(0, -2), other.flatten(0, -2), norm.weight, norm.variance_epsilon)
        return tuple(states.view(one.shape) for states in both)

    return ADD_AND_NORM.run((one.device, one.dtype, one.shape[-1]), fast, plain)


def gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up` of `(..., width)` each; without gradients."""

    def plain():
        return (F.silu(gate).mul_(up),)

    if not may_fuse(GATED, gate, up) or gate.shape != up.shape:
        return plain()[0]

    def fast():
        from .kernels import gated

        with _on(gate.device):
            return (gated(gate.flatten(0, -2), up.flatten(0, -2)).view(gate.shape),)

    return GATED.run((gate.device, gate.dtype, gate.shape[-1]), fast, plain)[0]


def convolve_and_activate(convolution: nn.Conv2d, states: torch.Tensor) -> torch.Tensor:
    """`gelu(convolution(states))` of `(images, channels, height, width)`, in channels-last strides."""
    weight, bias = convolution.weight, convolution.bias

    def plain():
        # elementwise work is faster on what looks contiguous
        return (F.gelu(convolution(states).permute(0, 2, 3, 1)),)

    def fast():
        from .kernels import bias_and_gelu_

        options = convolution.stride, convolution.padding, convolution.dilation, convolution.groups
        rows = F.conv2d(states, weight, None, *options).permute(0, 2, 3, 1).contiguous()
        with _on(states.device):
            bias_and_gelu_(rows.flatten(0, -2), bias)
        return (rows,)

    fits = bias is not None and states.dtype == weight.dtype and convolution.padding_mode == "zeros"
    if fits and states.numel() and may_fuse(BIAS_AND_GELU, bias):
        (rows,) = BIAS_AND_GELU.run((states.device, states.dtype, weight.shape), fast, plain)
    else:
        (rows,) = plain()
    return rows.permute(0, 3, 1, 2)


def _on(device: torch.device):
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
