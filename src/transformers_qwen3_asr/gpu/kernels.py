"""Kernels in Triton for what the models do between their products. Imported where they are used, by `fused`.

Each program reads its values once, computes in float32 and rounds once. Nothing is tuned or chosen at run time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

#: Values of a row that one program takes of a gated product.
BLOCK = 1024
#: Rows that one program gives a bias.
ROWS = 8


@triton.jit
def _norm_and_rotate(source, target, weight, cos, sin, heads, stride, half, epsilon,
                     HEADS: tl.constexpr, HALF: tl.constexpr):  # fmt: skip
    """The heads of one token, `stride` apart in `source`; `target` has no gaps."""
    head, place = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    inside = place < half
    here = (head < heads) & inside
    left = tl.load(source + head * stride + place, mask=here, other=0.0).to(tl.float32)
    right = tl.load(source + head * stride + half + place, mask=here, other=0.0).to(tl.float32)
    mean = (tl.sum(left * left, axis=1) + tl.sum(right * right, axis=1)) / (2 * half)
    scale = (1.0 / tl.sqrt(mean + epsilon))[:, None]
    left *= scale * tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
    right *= scale * tl.load(weight + half + place, mask=inside, other=0.0).to(tl.float32)
    cos_left = tl.load(cos + place, mask=inside, other=0.0).to(tl.float32)
    cos_right = tl.load(cos + half + place, mask=inside, other=0.0).to(tl.float32)
    sin_left = tl.load(sin + place, mask=inside, other=0.0).to(tl.float32)
    sin_right = tl.load(sin + half + place, mask=inside, other=0.0).to(tl.float32)
    target += head * 2 * half + place
    kind = target.dtype.element_ty
    tl.store(target, (left * cos_left - right * sin_left).to(kind), mask=here)
    tl.store(target + half, (right * cos_right + left * sin_right).to(kind), mask=here)


@triton.jit
def _norms_and_rotary(query, key, query_out, key_out, query_weight, key_weight, cos, sin,
                      query_row, key_row, query_stride, key_stride, table_row, query_heads, key_heads, half,
                      query_epsilon, key_epsilon,
                      QUERY_HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, HALF: tl.constexpr):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    cos += token * table_row
    sin += token * table_row
    _norm_and_rotate(query + token * query_row, query_out + token * query_heads * 2 * half, query_weight, cos, sin,
                     query_heads, query_stride, half, query_epsilon, QUERY_HEADS, HALF)  # fmt: skip
    _norm_and_rotate(key + token * key_row, key_out + token * key_heads * 2 * half, key_weight, cos, sin,
                     key_heads, key_stride, half, key_epsilon, KEY_HEADS, HALF)  # fmt: skip


@triton.jit
def _add_and_norm(one, other, weight, total, normed, one_row, other_row, width, epsilon, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, WIDTH)
    inside = place < width
    states = tl.load(one + row * one_row + place, mask=inside, other=0.0).to(tl.float32)
    states += tl.load(other + row * other_row + place, mask=inside, other=0.0).to(tl.float32)
    kind = total.dtype.element_ty
    states = states.to(kind)  # as it is kept, so it is normed
    tl.store(total + row * width + place, states, mask=inside)
    states = states.to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(states * states, axis=0) / width + epsilon)
    states *= scale * tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row * width + place, states.to(kind), mask=inside)


@triton.jit
def _gated(gate, up, product, gate_row, up_row, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < width
    gates = tl.load(gate + row * gate_row + place, mask=inside, other=0.0).to(tl.float32)
    ups = tl.load(up + row * up_row + place, mask=inside, other=0.0).to(tl.float32)
    states = gates / (1.0 + tl.exp(-gates)) * ups
    tl.store(product + row * width + place, states.to(product.dtype.element_ty), mask=inside)


@triton.jit
def _bias_and_gelu(states, bias, rows, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    place = tl.arange(0, WIDTH)[None, :]
    inside = (row < rows) & (place < width)
    at = states + row * width + place
    values = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    values += tl.load(bias + place, mask=place < width, other=0.0).to(tl.float32)
    values *= 0.5 + 0.5 * tl.erf(values * 0.7071067811865476)
    tl.store(at, values.to(states.dtype.element_ty), mask=inside)


def _to_two(size: int) -> int:
    """The next power of two, as blocks have to be."""
    return max(1, 1 << (size - 1).bit_length())


def norms_and_rotary(query, key, query_weight, key_weight, cos, sin, epsilons) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Root mean square norm of each head, and its rotary embedding.

    Args:
        query, key: `(tokens, heads, dim)`, with any strides but between a head's values.
        query_weight, key_weight: `(dim,)`.
        cos, sin: `(tokens, dim)`, with the same strides.
        epsilons: of the norm of queries, and of keys.

    Returns: query and key in the same shapes, without gaps.
    """
    (tokens, heads, dim), key_heads = query.shape, key.shape[1]
    query_out, key_out = (states.new_empty(states.shape) for states in (query, key))
    _norms_and_rotary[(tokens,)](
        query, key, query_out, key_out, query_weight, key_weight, cos, sin,
        query.stride(0), key.stride(0), query.stride(1), key.stride(1), cos.stride(0), heads, key_heads, dim // 2,
        *epsilons, QUERY_HEADS=_to_two(heads), KEY_HEADS=_to_two(key_heads), HALF=_to_two(dim // 2),
    )  # fmt: skip
    return query_out, key_out


def add_and_norm(one, other, weight, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`(rows, width)` twice, and a weight `(width,)`, to their sum and its root mean square norm."""
    rows, width = one.shape
    total, normed = (one.new_empty(rows, width) for _ in range(2))
    _add_and_norm[(rows,)](
        one, other, weight, total, normed, one.stride(0), other.stride(0), width, epsilon, WIDTH=_to_two(width)
    )
    return total, normed


def gated(gate, up) -> torch.Tensor:
    """`silu(gate) * up` of `(rows, width)` each."""
    rows, width = gate.shape
    product = gate.new_empty(rows, width)
    grid = rows, triton.cdiv(width, BLOCK)
    _gated[grid](gate, up, product, gate.stride(0), up.stride(0), width, BLOCK=BLOCK)
    return product


def bias_and_gelu_(states, bias) -> torch.Tensor:
    """`gelu(states + bias)` in the place of `states` `(rows, width)`, which have no gaps; the bias is `(width,)`."""
    rows, width = states.shape
    _bias_and_gelu[(triton.cdiv(rows, ROWS),)](states, bias, rows, width, ROWS=ROWS, WIDTH=_to_two(width))
    return states
