"""Batches without their padding: rows one behind the other, and attention that keeps them apart.

Linear layers and norms do not care where a row ends; attention alone has to know. What serves it best depends on the
device: a variable-length kernel where there is one that works, a call for each run of rows of one length on a CPU, and
rows padded on the right, for the attention alone, everywhere else.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from .block_attention import block_attention, serves


@dataclass(eq=False)
class Packing:
    """Where the tokens of a padded batch stand when they are packed.

    Attributes:
        lengths: tokens of each row that has any.
        index: `(tokens,)` place of each packed token in the flattened batch.
        positions: `(tokens,)` place of each token in its row, counted without padding.
        kept: `(kept,)` index of the packed tokens whose last states are wanted, or `None` for all.

    The tensors are on the host; `on(name, device)` gives their copies.
    """

    lengths: list[int]
    index: torch.Tensor
    positions: torch.Tensor
    kept: torch.Tensor | None = None
    _copies: dict[tuple[str, torch.device], torch.Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of_mask(cls, mask: torch.Tensor, keep: torch.Tensor | None = None) -> Packing:
        """Of a boolean mask `(batch, length)` on the host, true at tokens; `keep` marks tokens, in the same shape."""
        index = mask.flatten().nonzero().squeeze(-1)
        positions = (mask.long().cumsum(-1) - 1).flatten()[index]
        kept = None if keep is None else keep.flatten()[index].nonzero().squeeze(-1)
        return cls([n for n in mask.sum(-1).tolist() if n], index, positions, kept)

    def on(self, name: str, device: torch.device) -> torch.Tensor:
        """A tensor of this packing on `device`, copied there once."""
        key = (name, device)
        if key not in self._copies:
            make = getattr(self, f"_{name}", None)
            tensor = make() if callable(make) else getattr(self, name)
            self._copies[key] = tensor.to(device, non_blocking=True)
        return self._copies[key]

    def _boundaries(self) -> torch.Tensor:
        """`(rows + 1,)` int32: where each row begins, and the end."""
        return F.pad(torch.tensor(self.lengths).cumsum(0), (1, 0)).to(torch.int32)

    def _grid(self) -> torch.Tensor:
        """`(rows * longest,)` packed index of each place of rows padded on the right; 0 at padding."""
        length, columns = torch.tensor(self.lengths), torch.arange(max(self.lengths))
        start = length.cumsum(0) - length
        return (start[:, None] + columns).where(columns < length[:, None], 0).flatten()

    def _places(self) -> torch.Tensor:
        """`(tokens,)` where each packed token stands in that grid."""
        length, columns = torch.tensor(self.lengths), torch.arange(max(self.lengths))
        return (columns < length[:, None]).flatten().nonzero().squeeze(-1)


def runs(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Neighbours of one length, as (first position, rows, length)."""
    result, start = [], 0
    for length, group in itertools.groupby(lengths):
        rows = len(list(group))
        result.append((start, rows, length))
        start += rows * length
    return result


def attend_in_runs(attend: Callable, states: Sequence[torch.Tensor], lengths: Sequence[int]) -> torch.Tensor:
    """Attention inside each row of packed sequences, one call for neighbours of one length.

    Args:
        attend: from query, key and value `(rows, heads, length, dim)` to the output `(rows, length, heads, dim)`.
        states: query, key and value `(heads, positions, dim)`.
        lengths: positions of each row.

    Returns: `(positions, heads, dim)`.
    """
    outputs = []
    for start, rows, length in runs(lengths):
        stretch = slice(start, start + rows * length)
        grids = (state[:, stretch].unflatten(1, (rows, length)).transpose(0, 1) for state in states)
        outputs.append(attend(*grids).flatten(0, 1))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def causal_attention(module, states: Sequence[torch.Tensor], packing: Packing, attend: Callable, **options):
    """
    Causal attention inside each packed row, with the backend that the model was told to use.

    Args:
        module: the attention layer, which backends ask for its heads and for being causal.
        states: query `(1, heads, tokens, dim)`, key and value `(1, key heads, tokens, dim)`.
        attend: the backend's function, from transformers' table.
        options: `scaling`, `dropout` and what else the backend takes.

    Returns: `(tokens, heads, dim)`.
    """
    implementation = module.config._attn_implementation
    query, device = states[0], states[0].device
    if "flash" in implementation:
        edges, longest = packing.on("boundaries", device), max(packing.lengths)
        lengths = {"cu_seq_lens_q": edges, "cu_seq_lens_k": edges, "max_length_q": longest, "max_length_k": longest}
        return attend(module, *states, None, **lengths, **options)[0][0]
    if implementation == "eager":

        def one(q, k, v):
            mask = torch.full((q.shape[2],) * 2, torch.finfo(q.dtype).min, dtype=q.dtype, device=q.device).triu(1)
            return attend(module, q, k, v, mask[None, None], **options)[0]
    elif not options.get("dropout") and serves(query):

        def one(q, k, v):
            return block_attention(q, k, v, options["scaling"], causal=True)
    else:

        def one(q, k, v):
            return attend(module, q, k, v, None, **options)[0]

    states = [state[0] for state in states]
    if device.type == "cpu" or len(runs(packing.lengths)) == 1:
        return attend_in_runs(one, states, packing.lengths)
    if implementation == "sdpa" and not options.get("dropout") and has_variable_length(device, query.dtype):
        edges, longest = packing.on("boundaries", device), max(packing.lengths)
        return _variable_length(*states, edges, longest, options["scaling"])
    grid, rows = packing.on("grid", device), len(packing.lengths)
    grids = (state[:, grid].unflatten(1, (rows, -1)).transpose(0, 1) for state in states)
    return one(*grids).flatten(0, 1)[packing.on("places", device)]


def _variable_length(query, key, value, edges, longest: int, scaling: float) -> torch.Tensor:
    """PyTorch's kernel for packed rows: states `(heads, tokens, dim)` to `(tokens, heads, dim)`."""
    from torch.nn.attention import varlen

    known = inspect.signature(varlen.varlen_attn).parameters
    causal = {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}
    grouped = len(query) != len(key)
    if grouped and "enable_gqa" not in known:
        key, value = (state.repeat_interleave(len(query) // len(key), 0) for state in (key, value))
    elif grouped:
        causal["enable_gqa"] = True
    packed = [state.transpose(0, 1).contiguous() for state in (query, key, value)]
    return varlen.varlen_attn(*packed, edges, edges, longest, longest, scale=scaling, **causal)


@functools.cache
def has_variable_length(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether PyTorch's variable-length kernel runs here, forward and backward, and gives what it should.

    Tried once, on rows of three lengths: the function is young, and what it takes differs between versions.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    lengths, scaling = [5, 64, 130], 0.1
    with torch.enable_grad():
        states = [
            torch.randn(heads, sum(lengths), 64, device=device).to(dtype).requires_grad_() for heads in (4, 2, 2)
        ]

        def reference(q, k, v):
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
            return out.transpose(1, 2)

        want = attend_in_runs(reference, states, lengths)
        wanted = torch.autograd.grad(want.float().square().sum(), states)
        try:
            edges = Packing.of_mask(torch.arange(130) < torch.tensor(lengths)[:, None]).on("boundaries", device)
            got = _variable_length(*states, edges, max(lengths), scaling)
            gotten = torch.autograd.grad(got.float().square().sum(), states)
        except (AttributeError, ImportError, RuntimeError, TypeError, ValueError):
            return False
    pairs = zip((got, *gotten), (want, *wanted))
    return all(torch.allclose(a.float(), b.float(), atol=0.1, rtol=0.05) for a, b in pairs)
