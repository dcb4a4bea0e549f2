"""The text model: transformers' Qwen3 layers, which also take packed batches and keep less for the backward pass.

What is added to a layer is added by subclass. A layer that is not given a `packing` does what the library's does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3.modeling_qwen3 import (
    Qwen3Attention,
    Qwen3DecoderLayer,
    Qwen3MLP,
    Qwen3Model,
    Qwen3RMSNorm,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from .configuration_qwen3_asr import Qwen3ASRTextConfig
from .loading import StrictCheckpointMixin
from .packing import Packing, causal_attention


class Qwen3ASRTextNorm(Qwen3RMSNorm):
    """Root mean square norm as one operation in training: the library's keeps float32 copies for the backward pass."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() or hidden_states.is_cuda:
            return F.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)
        return super().forward(hidden_states)


class _GatedSiLU(torch.autograd.Function):
    """`silu(gate) * up`, whose backward pass computes `silu(gate)` again instead of keeping it."""

    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, gradient):
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient * up, gate), F.silu(gate).mul_(gradient)


class Qwen3ASRTextMLP(Qwen3MLP):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.config.hidden_act != "silu" or torch.compiler.is_compiling():
            return super().forward(x)
        return self.down_proj(_GatedSiLU.apply(self.gate_proj(x), self.up_proj(x)))


class Qwen3ASRTextAttention(Qwen3Attention):
    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        packing: Packing | None = None,
        kept: torch.Tensor | None = None,
        **kwargs,
    ):
        """Packed rows `(1, tokens, hidden)` to the same, or to the `kept` ones of them; else as the library's."""
        if packing is None:
            return super().forward(hidden_states, position_embeddings, attention_mask, **kwargs)
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_norm(self.q_proj(hidden_states).view(shape)).transpose(1, 2)
        key = self.k_norm(self.k_proj(hidden_states).view(shape)).transpose(1, 2)
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        output = causal_attention(
            self,
            (query, key, value),
            packing,
            attend,
            scaling=self.scaling,
            dropout=self.attention_dropout if self.training else 0.0,
        ).flatten(1)
        return self.o_proj(output[None] if kept is None else output[None, kept]), None


class Qwen3ASRTextLayer(Qwen3DecoderLayer):
    def forward(self, hidden_states: torch.Tensor, packing: Packing | None = None, **kwargs) -> torch.Tensor:
        """As the library's; in the last layer of a packed batch with kept tokens, those alone come out of it."""
        attention = self.self_attn
        if packing is None or packing.kept is None or attention.layer_idx + 1 < attention.config.num_hidden_layers:
            return super().forward(hidden_states, **kwargs if packing is None else {**kwargs, "packing": packing})
        kept = packing.on("kept", hidden_states.device)
        attended, _ = attention(self.input_layernorm(hidden_states), packing=packing, kept=kept, **kwargs)
        hidden_states = hidden_states[:, kept] + attended
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


#: The library's classes and what stands in for them here.
_INSTEAD = {
    Qwen3DecoderLayer: Qwen3ASRTextLayer,
    Qwen3Attention: Qwen3ASRTextAttention,
    Qwen3MLP: Qwen3ASRTextMLP,
    Qwen3RMSNorm: Qwen3ASRTextNorm,
}


class Qwen3ASRTextModel(StrictCheckpointMixin, Qwen3Model):
    """The text model: transformers' Qwen3, which also takes packed batches."""

    config_class = Qwen3ASRTextConfig
    config: Qwen3ASRTextConfig
    _no_split_modules = ["Qwen3ASRTextLayer"]
    _skip_keys_device_placement = ["past_key_values", "packing"]

    def __init__(self, config: Qwen3ASRTextConfig):
        config.check()
        super().__init__(config)
        # The library's constructor cannot be told which layers to make. They have the same parameters, and to make
        # them again would take twice the memory for a moment.
        for module in self.modules():
            module.__class__ = _INSTEAD.get(type(module), type(module))

    def forward_packed(self, inputs_embeds: torch.Tensor, packing: Packing) -> torch.Tensor:
        """
        Packed embeddings `(tokens, hidden)` to last hidden states of all of them, or of `packing.kept`.

        Only where `packs` says so.
        """
        outputs = self(
            inputs_embeds=inputs_embeds[None],
            attention_mask={"full_attention": None},
            position_ids=packing.on("positions", inputs_embeds.device)[None],
            use_cache=False,
            packing=packing,
        )
        return outputs.last_hidden_state[0]

    @property
    def packs(self) -> bool:
        """Whether packed batches are served: a backend that is known, and not compiled."""
        implementation = self.config._attn_implementation or "eager"
        known = implementation in ("eager", "sdpa") or "flash" in implementation
        compiled = torch.compiler.is_compiling() or self._compiled_call_impl is not None
        return known and not compiled
