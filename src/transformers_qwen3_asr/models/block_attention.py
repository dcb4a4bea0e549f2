"""Attention on a CPU in bfloat16, by matrix products of blocks.

PyTorch's own CPU kernel multiplies bfloat16 at the speed of float32 where the processor has bfloat16 products but no
tiles (AVX512_BF16 without AMX). Here the products are oneDNN's. Scores stay in float32, as in PyTorch's kernel, and
only the blocks that a causal mask leaves are computed. Backward computes the scores again instead of keeping them.
"""

from __future__ import annotations

import functools

import torch
from torch.autograd.function import once_differentiable

#: Queries a block: large enough for a matrix product, small enough to skip most of what a causal mask hides.
BLOCK = 64
#: Threads on which these products were measured to be faster than PyTorch's kernel: by 1.5 to 1.8 times on two.
MOST_THREADS = 2


@functools.cache
def _products_without_tiles() -> bool:
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return None not in known and known[0]() and not known[1]()


def serves(query: torch.Tensor) -> bool:
    """Whether this is the faster way for `query`, on this processor.

    On few threads alone, as far as was measured: they meet after every small product, where PyTorch's kernel shares
    out whole heads.
    """
    suited = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.get_num_threads() <= MOST_THREADS
    return suited and _products_without_tiles()


def block_attention(query, key, value, scaling: float, causal: bool) -> torch.Tensor:
    """
    `softmax(query key^T * scaling) value`, with fewer key heads than query heads where they are shared.

    Args:
        query: `(rows, heads, length, dim)`.
        key, value: `(rows, key heads, length, dim)`; `heads` is a multiple of `key heads`.
        causal: hide from each query the keys behind it.

    Returns: `(rows, length, heads, dim)`.
    """
    return _BlockAttention.apply(query, key, value, scaling, causal)


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, scaling, causal):
        ctx.save_for_backward(query, key, value)
        ctx.scaling, ctx.causal = scaling, causal
        rows, heads, length, dim = query.shape
        output = query.new_empty(rows, length, heads, dim)
        folded, grouped = _Folded(query, key, scaling, causal), value.reshape(-1, length, dim)
        for start, end, reach in folded.blocks():
            weights = folded.weights(start, end, reach).to(query.dtype)
            folded.put(output, torch.bmm(weights, grouped[:, :reach]), start, end)
        return output

    @staticmethod
    @once_differentiable  # as PyTorch's own kernel is
    def backward(ctx, gradient):
        query, key, value = ctx.saved_tensors
        rows, heads, length, dim = query.shape
        folded, grouped = _Folded(query, key, ctx.scaling, ctx.causal), value.reshape(-1, length, dim)
        keys, gradient = key.reshape(-1, length, dim), gradient.transpose(1, 2)
        for_query = query.new_empty(rows, length, heads, dim)
        # sums over blocks, so in float32
        for_key, for_value = (torch.zeros_like(grouped, dtype=torch.float32) for _ in range(2))
        for start, end, reach in folded.blocks():
            weights = folded.weights(start, end, reach)
            block, queries = folded.take(gradient, start, end), folded.take(query, start, end)
            for_value[:, :reach] += torch.bmm(weights.to(query.dtype).transpose(1, 2), block)
            for_weights = torch.bmm(block, grouped[:, :reach].transpose(1, 2))
            for_scores = torch._softmax_backward_data(for_weights.float(), weights, -1, torch.float32)
            for_scores = for_scores.mul_(ctx.scaling).to(query.dtype)
            folded.put(for_query, torch.bmm(for_scores, keys[:, :reach]), start, end)
            for_key[:, :reach] += torch.bmm(for_scores.transpose(1, 2), queries)
        for_key, for_value = (sums.to(query.dtype).view_as(key) for sums in (for_key, for_value))
        return for_query.transpose(1, 2), for_key, for_value, None, None


class _Folded:
    """Queries of all heads that share a key head as one matrix, block by block."""

    def __init__(self, query: torch.Tensor, key: torch.Tensor, scaling: float, causal: bool):
        self.query, self.scaling, self.causal = query, scaling, causal
        self.shared = key.shape[0] * key.shape[1]
        self.length, self.dim = query.shape[2:]
        self.keys = key.transpose(2, 3).reshape(self.shared, self.dim, self.length).float()
        self.hidden = query.new_full((BLOCK, BLOCK), float("-inf"), dtype=torch.float32).triu_(1)

    def blocks(self):
        """(first query, past-last query, past-last key) of each block."""
        for start in range(0, self.length, BLOCK):
            end = min(start + BLOCK, self.length)
            yield start, end, end if self.causal else self.length

    def take(self, states: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """`(rows, heads, length, dim)` to a block's `(shared, heads a key head * queries, dim)`."""
        return states[:, :, start:end].reshape(self.shared, -1, self.dim)

    def put(self, output: torch.Tensor, block: torch.Tensor, start: int, end: int) -> None:
        """The way back, into `output` `(rows, length, heads, dim)`."""
        output[:, start:end] = block.view(len(output), -1, end - start, self.dim).transpose(1, 2)

    def weights(self, start: int, end: int, reach: int) -> torch.Tensor:
        """Softmax weights of a block, `(shared, heads a key head * queries, reach)` float32."""
        queries = self.take(self.query, start, end).float() * self.scaling
        scores = torch.bmm(queries, self.keys[:, :, :reach])
        if self.causal:
            size = end - start
            scores.view(self.shared, -1, size, reach)[..., start:].add_(self.hidden[:size, :size])
        return scores.softmax(-1)
