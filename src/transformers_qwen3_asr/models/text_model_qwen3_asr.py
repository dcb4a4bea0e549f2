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

from ..checkpoints.int8 import project
from ..checkpoints.loading import StrictCheckpointMixin
from ..gpu import fused
from ..gpu.checked import untouched
from .cache_argument import CACHE_NAMES
from .configuration_qwen3_asr import Qwen3ASRTextConfig
from .packing import Packing, causal_attention
from .recomputation import keeping_inputs, may_recompute, recomputing


class _RootMeanSquare(torch.autograd.Function):
    """`states / sqrt(mean(states ** 2) + epsilon) * weight`, which keeps the states and one number a row."""

    @staticmethod
    def forward(ctx, states, weight, epsilon):
        wide = torch.promote_types(states.dtype, torch.float32)
        mean = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=wide).square_() / states.shape[-1]
        scale = mean.add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, scale)
        ctx.epsilon = epsilon
        return (states * scale).to(states.dtype) * weight

    @staticmethod
    def backward(ctx, gradient):
        states, weight, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # this will be differentiated, and so will what the scale was made of
            wide = states.to(scale.dtype)
            again = (wide * (wide.square().mean(-1, keepdim=True) + ctx.epsilon).rsqrt()).to(states.dtype) * weight
            sources = [source for source, needed in zip((states, weight), ctx.needs_input_grad) if needed]
            found = iter(torch.autograd.grad(again, sources, gradient, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:2]), None
        normed, gradient = states * scale, gradient.to(scale.dtype)
        for_weight = (gradient * normed).flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        gradient = gradient * weight
        along = torch.linalg.vecdot(gradient, normed).unsqueeze(-1) / states.shape[-1]
        return gradient.sub_(normed.mul_(along)).mul_(scale).to(states.dtype), for_weight, None


class Qwen3ASRTextNorm(Qwen3RMSNorm):
    """Root mean square norm that keeps no float32 copies for the backward pass, as the library's does."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() or hidden_states.is_cuda:
            return self.at_once(hidden_states)
        return super().forward(hidden_states)

    def at_once(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if hidden_states.device.type == "cpu" and not torch.compiler.is_compiling():
            return _RootMeanSquare.apply(hidden_states, self.weight, self.variance_epsilon)
        # one kernel on a GPU; on a CPU a composite, and what it keeps is in float32
        return F.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


class _GatedSiLU(torch.autograd.Function):
    """`silu(gate) * up`, whose backward pass computes `silu(gate)` again instead of keeping it."""

    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, gradient):
        gate, up = ctx.saved_tensors
        if torch.is_grad_enabled():  # this will be differentiated, which PyTorch's backward cannot be
            sigmoid = gate.sigmoid()
            return gradient * up * sigmoid * (1 + gate * (1 - sigmoid)), gradient * gate * sigmoid
        return torch.ops.aten.silu_backward(gradient * up, gate), F.silu(gate).mul_(gradient)


class Qwen3ASRTextMLP(Qwen3MLP):
    joins = ("gate_proj", "up_proj")

    def forward(self, x: torch.Tensor, lean: bool = False) -> torch.Tensor:
        """`lean`: recompute for the backward pass (`recomputation`)."""
        if self.config.hidden_act != "silu" or torch.compiler.is_compiling():
            return super().forward(x)
        gate, up = project(x, self.gate_proj, self.up_proj)
        if not torch.is_grad_enabled():
            return self.down_proj(fused.gated(gate, up))
        product = _GatedSiLU.apply(gate, up)
        gate, up = gate.detach(), up.detach()
        with recomputing(lean, (product, lambda: F.silu(gate).mul_(up))):
            return self.down_proj(product)


class Qwen3ASRTextAttention(Qwen3Attention):
    joins = ("q_proj", "k_proj", "v_proj")

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        packing: Packing | None = None,
        kept: torch.Tensor | None = None,
        lean: bool = False,
        **kwargs,
    ):
        """Packed rows `(1, tokens, hidden)` to the same, or to the `kept` ones of them; else as the library's. `lean`:
        recompute for the backward pass (`recomputation`)."""
        if packing is None:
            return super().forward(hidden_states, position_embeddings, attention_mask, **kwargs)
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        projected = project(hidden_states, self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (states.view(shape) for states in projected)

        def again(norm: Qwen3ASRTextNorm, states: torch.Tensor) -> torch.Tensor:
            states = norm.at_once(states).transpose(1, 2)
            return apply_rotary_pos_emb(states, states[:, :0], *position_embeddings)[0]

        plain = query.detach(), key.detach()
        query, key = self._normed_and_rotated(query, key, position_embeddings)
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        pairs = (query, lambda: again(self.q_norm, plain[0])), (key, lambda: again(self.k_norm, plain[1]))
        with recomputing(lean, *pairs):
            output = causal_attention(
                self,
                (query, key, value.transpose(1, 2)),
                packing,
                attend,
                scaling=self.scaling,
                dropout=self.attention_dropout if self.training else 0.0,
            ).flatten(1)
        return self.o_proj(output[None] if kept is None else output[None, kept]), None

    def _normed_and_rotated(self, query: torch.Tensor, key: torch.Tensor, position_embeddings):
        """`(1, tokens, heads, dim)` to `(1, heads, tokens, dim)`, of both."""
        norms = self.q_norm, self.k_norm

        def plain():
            states = (norm(states).transpose(1, 2) for norm, states in zip(norms, (query, key)))
            return apply_rotary_pos_emb(*states, *position_embeddings)

        if not all(untouched(norm, Qwen3ASRTextNorm) for norm in norms):
            return plain()
        return fused.norms_and_rotary(query, key, norms, position_embeddings, plain)


def _is(kind: type, module: torch.nn.Module) -> bool:
    """Whether `module` does what its class says: nobody has put something else in its place, or in its `forward`'s, as
    liger-kernel, transformers' `use_kernels` and accelerate's hooks do."""
    forward = vars(module).get("forward")
    return isinstance(module, kind) and (forward is None or getattr(forward, "__func__", None) is kind.forward)


class Qwen3ASRTextLayer(Qwen3DecoderLayer):
    def forward(self, hidden_states: torch.Tensor, packing: Packing | None = None, **kwargs) -> torch.Tensor:
        """As the library's; in the last layer of a packed batch with kept tokens, those alone come out of it."""
        if packing is None:
            return super().forward(hidden_states, **kwargs)
        attention, kept = self.self_attn, None
        first, second = self.input_layernorm, self.post_attention_layernorm
        norms = first, second, attention.q_norm, attention.k_norm
        lean = may_recompute(self) and _is(Qwen3ASRTextMLP, self.mlp)
        lean = lean and all(_is(Qwen3ASRTextNorm, norm) for norm in norms)
        if packing.kept is not None and attention.layer_idx + 1 == attention.config.num_hidden_layers:
            kept = packing.on("kept", hidden_states.device)
        with keeping_inputs(lean, first, hidden_states, first.at_once if lean else None) as states:
            attended, _ = attention(states, packing=packing, kept=kept, lean=lean, **kwargs)
        hidden_states = hidden_states if kept is None else hidden_states[:, kept]
        if not torch.is_grad_enabled() and untouched(second, Qwen3ASRTextNorm):
            hidden_states, states = fused.add_and_norm(hidden_states, attended, second)
            return hidden_states + self.mlp(states)
        hidden_states = hidden_states + attended
        with keeping_inputs(lean, second, hidden_states, second.at_once if lean else None) as states:
            return hidden_states + (self.mlp(states, lean) if lean else self.mlp(states))


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
    _skip_keys_device_placement = [*CACHE_NAMES, "packing"]

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
            return_dict=True,
        )
        return outputs.last_hidden_state[0]

    @property
    def packs(self) -> bool:
        """Whether packed batches are served: a backend that is known, and not compiled."""
        implementation = self.config._attn_implementation or "eager"
        known = implementation in ("eager", "sdpa") or "flash" in implementation
        compiled = torch.compiler.is_compiling() or self._compiled_call_impl is not None
        return known and not compiled
