"""The audio encoder: log-mel frames to one vector for every 80 ms or so.

Three strided convolutions run over chunks of `2 * n_window` frames, each chunk with positions of its own;
transformer layers then attend inside windows of `n_window_infer` frames. The layers are transformers' Qwen3-Omni
ones; what differs is that all windows of a batch go through one attention call, and that the dropouts act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import (
    Qwen3OmniMoeAudioAttention,
    Qwen3OmniMoeAudioEncoderLayer,
    SinusoidsPositionEmbedding,
    eager_attention_forward,
)
from transformers.utils import can_return_tuple
from transformers.utils.generic import is_flash_attention_requested

from ..checkpoints.int8 import project
from ..gpu import fused
from ..gpu.checked import untouched
from .configuration_qwen3_asr import Qwen3ASRAudioEncoderConfig, audio_token_lengths
from .packing import attend_in_runs
from .recomputation import keeping_inputs, may_recompute

#: Bytes that the largest layer of a batch of chunks may take on a CPU. With twice as many, some processes gave memory
#: back to the system and took it again at every step.
CPU_CONVOLUTION_BYTES = 2**24


#: Whether a forward pass is recorded for a CUDA graph, which like a compiled one may not look at values.
_RECORDED: ContextVar[bool] = ContextVar("_RECORDED", default=False)


@contextmanager
def fixed_shapes() -> Iterator[None]:
    """What is computed in here has shapes that no value decides, as while compiling."""
    token = _RECORDED.set(True)
    try:
        yield
    finally:
        _RECORDED.reset(token)


def _shapes_are_fixed() -> bool:
    return torch.compiler.is_compiling() or _RECORDED.get()


@dataclass
class AttentionWindows:
    """Where the attention windows lie in a packed sequence of encoder positions.

    Attributes:
        boundaries: `(windows + 1,)` int32, first position of each window and the end; `None` while compiling.
        longest: positions of the longest window.
        gather: `(windows, longest)` index of each window's positions in the packed sequence (0 where there is none).
        key_mask: `(windows, longest)`, true where there is a position; `None` when all windows are full.
        scatter: `(positions,)` index of each packed position in the flattened window grid.
        sizes: positions of each window; `None` while compiling.
    """

    boundaries: torch.Tensor | None
    longest: int
    gather: torch.Tensor | None
    key_mask: torch.Tensor | None
    scatter: torch.Tensor | None
    sizes: list[int] | None = None

    @classmethod
    def of_lengths(cls, lengths: list[int], window: int, device: torch.device) -> AttentionWindows:
        """Windows of `window` positions over clips of `lengths` positions packed one behind the other."""
        sizes = [min(window, n - start) for n in lengths for start in range(0, n, window)]
        longest = max(sizes)
        # one small table goes to the device; the rest is arithmetic there
        size = torch.tensor(sizes, device=device)
        ends = size.cumsum(0)
        boundaries = F.pad(ends, (1, 0)).to(torch.int32)
        if min(sizes) == longest:
            return cls(boundaries, longest, None, None, None, sizes)
        key_mask = torch.arange(longest, device=device) < size[:, None]
        gather = ((ends - size)[:, None] + torch.arange(longest, device=device)).where(key_mask, 0)
        return cls(boundaries, longest, gather, key_mask, key_mask.flatten().nonzero().squeeze(-1), sizes)

    @classmethod
    def of_padded(cls, lengths: torch.Tensor, positions: int, window: int) -> AttentionWindows:
        """The same for clips padded to `positions`, a multiple of `window`, in shapes that no value decides."""
        start = torch.arange(0, positions, window, device=lengths.device)
        left = (lengths[:, None] - start).flatten()
        key_mask = torch.arange(window, device=lengths.device) < left[:, None]
        key_mask[:, 0] = True  # a window of padding attends to itself: softmax over nothing is NaN
        return cls(None, window, None, key_mask, None)

    def to_windows(self, packed: torch.Tensor) -> torch.Tensor:
        """`(positions, heads, dim)` to `(windows, heads, longest, dim)`."""
        if self.gather is None:
            grid = packed.unflatten(0, (-1, self.longest))
        else:
            grid = packed[self.gather]
        return grid.transpose(1, 2)

    def to_packed(self, grid: torch.Tensor) -> torch.Tensor:
        """`(windows, longest, heads, dim)` to `(positions, heads, dim)`."""
        packed = grid.flatten(0, 1)
        return packed if self.scatter is None else packed[self.scatter]


@dataclass
class AudioEncoderOutput(BaseModelOutput):
    """`BaseModelOutput` with the states that the projection took, `(batch, positions, d_model)`."""

    unprojected: torch.Tensor | None = None


class Qwen3ASRAudioAttention(Qwen3OmniMoeAudioAttention):
    """Self-attention inside windows, all windows in one call."""

    joins = ("q_proj", "k_proj", "v_proj")

    def __init__(self, config: Qwen3ASRAudioEncoderConfig):
        super().__init__(config)
        self.attention_dropout = config.attention_dropout

    def forward(self, hidden_states: torch.Tensor, windows: AttentionWindows, **kwargs):
        """`(positions, d_model)` to the same and, where the backend gives them, weights `(windows, heads, q, k)`."""
        shape = (hidden_states.shape[0], self.num_heads, self.head_dim)
        projected = project(hidden_states, self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (states.view(shape) for states in projected)
        implementation = self.config._attn_implementation
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        options = {"scaling": self.scaling, "dropout": self.attention_dropout if self.training else 0.0}

        if is_flash_attention_requested(self.config):
            if windows.boundaries is None:
                raise ValueError("flash attention windows depend on the clips' lengths and cannot be compiled whole")
            output, weights = attend(
                self,
                *(states.transpose(0, 1).unsqueeze(0) for states in (query, key, value)),
                attention_mask=None,
                cu_seq_lens_q=windows.boundaries,
                cu_seq_lens_k=windows.boundaries,
                max_length_q=windows.longest,
                max_length_k=windows.longest,
                is_causal=False,
                **options,
                **kwargs,
            )
            output = output.squeeze(0)
        elif implementation == "sdpa" and query.device.type == "cpu" and windows.sizes:
            # one call for windows would compute the padding of each clip's last one

            def one(*grids):
                return attend(self, *grids, attention_mask=None, is_causal=False, **options, **kwargs)[0]

            states = [states.transpose(0, 1) for states in (query, key, value)]
            output, weights = attend_in_runs(one, states, windows.sizes), None
        else:
            mask = windows.key_mask
            if mask is not None:
                mask = mask[:, None, None, :]
                if implementation == "eager":
                    mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, torch.finfo(query.dtype).min)
                else:
                    mask = mask.expand(-1, -1, windows.longest, -1)
            grids = (windows.to_windows(states) for states in (query, key, value))
            output, weights = attend(self, *grids, attention_mask=mask, is_causal=False, **options, **kwargs)
            output = windows.to_packed(output)
        return self.out_proj(output.reshape(hidden_states.shape)), weights


class Qwen3ASRAudioEncoderLayer(Qwen3OmniMoeAudioEncoderLayer):
    """The library's pre-norm layer, with its dropouts."""

    def __init__(self, config: Qwen3ASRAudioEncoderConfig):
        super().__init__(config)
        self.self_attn = Qwen3ASRAudioAttention(config)

    def forward(self, hidden_states: torch.Tensor, windows: AttentionWindows, **kwargs):
        """`(positions, d_model)` to the same and the attention weights, or `None`."""
        lean = may_recompute(self)
        residual = hidden_states
        with keeping_inputs(lean, self.self_attn_layer_norm, hidden_states) as normed:
            hidden_states, weights = self.self_attn(normed, windows, **kwargs)
        hidden_states = residual + F.dropout(hidden_states, self.dropout, self.training)
        residual = hidden_states
        with keeping_inputs(lean, self.final_layer_norm, hidden_states) as normed:
            inner = self.fc1(normed)
        dropped = self.activation_dropout > 0 and self.training  # which cannot be drawn again
        with keeping_inputs(lean and not dropped, self.activation_fn, inner) as active:
            hidden_states = self.fc2(F.dropout(active, self.activation_dropout, self.training))
        hidden_states = residual + F.dropout(hidden_states, self.dropout, self.training)
        if hidden_states.dtype == torch.float16:  # as the library: half precision overflows in deep encoders
            limit = torch.finfo(hidden_states.dtype).max - 1000
            hidden_states = hidden_states.clamp(min=-limit, max=limit)
        return hidden_states, weights


def build_encoder_modules(encoder: nn.Module, config: Qwen3ASRAudioEncoderConfig) -> None:
    """Give `encoder` its layers under their published names."""
    channels = config.downsample_hidden_size
    encoder.conv2d1 = nn.Conv2d(1, channels, 3, 2, padding=1)
    encoder.conv2d2 = nn.Conv2d(channels, channels, 3, 2, padding=1)
    encoder.conv2d3 = nn.Conv2d(channels, channels, 3, 2, padding=1)
    bands = config.num_mel_bins
    for _ in range(3):
        bands = (bands - 1) // 2 + 1
    encoder.conv_out = nn.Linear(channels * bands, config.d_model, bias=False)
    encoder.positional_embedding = SinusoidsPositionEmbedding(config.positions_per_chunk, config.d_model)
    encoder.layers = nn.ModuleList([Qwen3ASRAudioEncoderLayer(config) for _ in range(config.encoder_layers)])
    encoder.ln_post = nn.LayerNorm(config.d_model)
    encoder.proj1 = nn.Linear(config.d_model, config.d_model)
    encoder.act = ACT2FN[config.activation_function]
    encoder.proj2 = nn.Linear(config.d_model, config.output_dim)


def _channels_last(chunks: torch.Tensor) -> torch.Tensor:
    """`(chunks, mel, frames)` as images of one channel, `(chunks, 1, mel, frames)`, in channels-last strides."""
    chunks = chunks.contiguous()
    count, mel, frames = chunks.shape
    return chunks.as_strided((count, 1, mel, frames), (mel * frames, 1, frames, 1))


class AudioEncoderForward:
    """The forward pass; a mixin so that the model class shows only what a model class is expected to."""

    config: Qwen3ASRAudioEncoderConfig

    def _convolve(self, chunks: torch.Tensor, heard: torch.Tensor | None) -> torch.Tensor:
        """`(chunks, mel, frames)` to `(chunks, positions, d_model)`, position table added.

        Past the `heard` frames `(chunks,)`, where they are given, each convolution meets zeros, as at a chunk's end.
        """
        # Channels last: with one channel the strides alone say so, and the convolutions go on as they begin.
        hidden = _channels_last(chunks)
        lean = may_recompute(self)
        with ExitStack() as kept:
            for convolution in (self.conv2d1, self.conv2d2, self.conv2d3):
                inside = None
                if heard is not None:
                    heard = (heard - 1) // 2 + 1
                    inside = torch.arange((hidden.shape[-1] + 1) // 2, device=hidden.device) < heard[:, None]

                def masked(states, inside=inside):
                    return states if inside is None else states * inside[:, None, None].to(states.dtype)

                def active(states, masked=masked):
                    # elementwise work is faster on what looks contiguous
                    return masked(F.gelu(states.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))

                def whole(states, convolution=convolution, active=active):
                    return active(convolution(states))

                if lean and convolution.in_channels == 1:  # cheaper to compute again than its output is to keep
                    step, states = partial(checkpoint, whole, use_reentrant=False, preserve_rng_state=False), hidden
                elif not torch.is_grad_enabled() and untouched(convolution, nn.Conv2d):
                    step, states = masked, fused.convolve_and_activate(convolution, hidden)
                else:
                    step, states = active, convolution(hidden)
                kept.close()
                hidden = kept.enter_context(keeping_inputs(lean, step, states))
            hidden = self.conv_out(hidden.permute(0, 3, 1, 2).flatten(2))
        table = self.positional_embedding(hidden.shape[1])
        return hidden + table.to(hidden)

    def _chunks_at_once(self, chunks: torch.Tensor) -> int:
        """How many chunks go through the convolutions together."""
        if chunks.device.type != "cpu":
            return self.config.conv_chunksize
        # what fits a processor's cache, and is not given back to the system and taken from it again each time
        largest = self.config.downsample_hidden_size * chunks[0].numel() // 4 * chunks.element_size()
        return min(self.config.conv_chunksize, max(1, CPU_CONVOLUTION_BYTES // largest))

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> AudioEncoderOutput:
        r"""
        Args:
            input_features (`torch.Tensor` of shape `(batch, num_mel_bins, frames)`): log-mel features, padded on the
                right to any length.
            input_features_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*): 1 for frames, 0 for padding.
            output_hidden_states (`bool`, *optional*): also return the states before each layer and after the last,
                `(batch, positions, d_model)` each.
            output_attentions (`bool`, *optional*): also return each layer's weights, `(windows, heads, q, k)`; windows
                are those of all clips in order. Needs the eager implementation.

        Returns:
            `AudioEncoderOutput` with `last_hidden_state` of shape `(batch, positions, output_dim)` and `unprojected`
            `(batch, positions, d_model)`. A clip of n frames has `audio_token_lengths(n, n_window)` positions; zeros
            follow.

        Raises:
            ValueError: shapes that do not fit, a clip without frames, or features padded on the left.
        """
        config = self.config
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_attentions and config._attn_implementation != "eager":
            raise ValueError("output_attentions needs attn_implementation='eager'")
        lengths = self._frame_lengths(input_features, input_features_mask)
        batch, _, frames = input_features.shape
        if input_features_mask is not None:
            input_features = input_features * input_features_mask.bool()[:, None].to(input_features.dtype)
        positions = audio_token_lengths(frames, config.n_window)
        dtype = self.conv2d1.weight.dtype

        # Whole chunks; where shapes are fixed whole windows too, so that nothing's shape depends on a value.
        fixed = _shapes_are_fixed()
        chunk = 2 * config.n_window
        grain = config.n_window_infer if fixed else chunk
        input_features = F.pad(input_features.to(dtype), (0, -frames % grain))
        chunks = input_features.unflatten(-1, (-1, chunk)).transpose(1, 2)
        padded_positions = chunks.shape[1] * config.positions_per_chunk
        # qwen-asr pads a clip's last chunk unless it is the first: what is shorter than a chunk ends where it ends
        heard = None
        if fixed or bool((lengths < chunk).any()):
            heard = lengths.clamp(max=chunk)[:, None].expand(-1, chunks.shape[1]).flatten()
        chunks = chunks.flatten(0, 1)
        position_lengths = audio_token_lengths(lengths, config.n_window)
        valid = torch.arange(padded_positions, device=lengths.device) < position_lengths[:, None]

        if fixed:
            hidden = self._convolve(chunks, heard).flatten(0, 1)
            windows = AttentionWindows.of_padded(position_lengths, padded_positions, config.positions_per_window)
            packed_index = None
        else:
            present = valid.view(-1, config.positions_per_chunk)
            used = present.any(-1).nonzero().squeeze(-1)
            pieces = [
                self._convolve(chunks[index], None if heard is None else heard[index])
                for index in used.split(self._chunks_at_once(chunks))
            ]
            hidden = torch.cat(pieces)[present[used]]
            windows = AttentionWindows.of_lengths(
                position_lengths.tolist(), config.positions_per_window, input_features.device
            )
            packed_index = valid.flatten().nonzero().squeeze(-1)
        hidden = F.dropout(hidden, config.dropout, self.training)

        def unpack(states: torch.Tensor) -> torch.Tensor:
            if packed_index is None:
                states = states * valid.flatten()[:, None].to(states.dtype)
            else:
                empty = states.new_zeros(batch * padded_positions, states.shape[-1])
                states = empty.index_copy(0, packed_index, states)
            return states.unflatten(0, (batch, padded_positions))[:, :positions]

        all_states, all_weights = [], []

        def shown(states: torch.Tensor) -> torch.Tensor:
            """`states`, on the way that gradients take through what is shown of them."""
            if not output_hidden_states:
                return states
            all_states.append(unpack(states))
            padded = F.pad(all_states[-1], (0, 0, 0, padded_positions - positions)).flatten(0, 1)
            return padded if packed_index is None else padded[packed_index]

        hidden = shown(hidden)
        for layer in self.layers:
            hidden, weights = layer(hidden, windows, **kwargs)
            all_weights.append(weights)
            hidden = shown(hidden)
        hidden = self.ln_post(hidden)
        return AudioEncoderOutput(
            last_hidden_state=unpack(self.proj2(self.act(self.proj1(hidden)))),
            unprojected=unpack(hidden),
            hidden_states=tuple(all_states) if output_hidden_states else None,
            attentions=tuple(all_weights) if output_attentions else None,
        )

    def _frame_lengths(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Frames of each clip, `(batch,)`; everything about the inputs that can be wrong is found here."""
        if features.dim() != 3 or features.shape[1] != self.config.num_mel_bins:
            raise ValueError(
                f"input_features must be (batch, {self.config.num_mel_bins}, frames), got {tuple(features.shape)}"
            )
        batch, _, frames = features.shape
        if mask is None:
            return torch.full((batch,), frames, device=features.device)
        if mask.shape != (batch, frames):
            raise ValueError(
                f"input_features_mask must be {(batch, frames)} like the features, got {tuple(mask.shape)}"
            )
        lengths = mask.bool().sum(-1)
        if not _shapes_are_fixed():
            contiguous = (mask.bool() == (torch.arange(frames, device=mask.device) < lengths[:, None])).all(-1)
            wrong = (~contiguous | (lengths == 0)).nonzero().flatten().tolist()
            if wrong:
                raise ValueError(f"input_features_mask of clip {wrong[0]} must be ones, at least one, and then zeros")
        return lengths
