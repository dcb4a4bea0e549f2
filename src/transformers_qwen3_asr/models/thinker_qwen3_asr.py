"""The models below a head: what all share, the audio encoder, and the thinker, which gives audio to the text model.

Parameter names are the published ones: `audio_tower.*` and `model.*`, behind `thinker.` in a whole model.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import SinusoidsPositionEmbedding
from transformers.utils import can_return_tuple

from ..checkpoints.loading import StrictCheckpointMixin
from ..checkpoints.published import SKIPPED_PREFIXES
from .audio_encoder_qwen3_asr import AudioEncoderForward, build_encoder_modules
from .cache_argument import CACHE_NAMES, named_cache, one_cache
from .configuration_base import nested_implementation
from .configuration_qwen3_asr import (
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRThinkerConfig,
    audio_token_lengths,
)
from .graphed import encoded, packed_states
from .packing import Packing
from .text_model_qwen3_asr import Qwen3ASRTextModel

_SKIPPED_KEYS = ["^" + prefix.replace(".", r"\.") for prefix in SKIPPED_PREFIXES]


class Qwen3ASRPreTrainedModel(StrictCheckpointMixin, PreTrainedModel):
    """What every model of the family shares."""

    config_class = Qwen3ASRConfig
    config: Qwen3ASRConfig
    base_model_prefix = "thinker"
    main_input_name = "input_ids"
    input_modalities = ("audio", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["Qwen3ASRAudioEncoderLayer", "Qwen3ASRTextLayer"]
    _skip_keys_device_placement = [*CACHE_NAMES, "windows", "packing"]
    _keys_to_ignore_on_load_unexpected = _SKIPPED_KEYS
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, SinusoidsPositionEmbedding):  # not in checkpoints, and empty after a start on meta
            init.copy_(module.positional_embedding, module.compute_default_singular_positional_embedding())


class Qwen3ASRAudioEncoder(AudioEncoderForward, Qwen3ASRPreTrainedModel):
    """Windowed audio encoder with its projection to the text model's width."""

    config_class = Qwen3ASRAudioEncoderConfig
    config: Qwen3ASRAudioEncoderConfig
    base_model_prefix = "audio_tower"
    main_input_name = "input_features"
    input_modalities = "audio"

    def __init__(self, config: Qwen3ASRAudioEncoderConfig):
        super().__init__(config)
        config.check()
        build_encoder_modules(self, config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.conv2d1

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.conv2d1 = value


#: What [`Qwen3ASRThinkerModel.without_head`] gave, by the id of the model, which it keeps alive.
_SEEN: weakref.WeakValueDictionary[int, _WithoutHead] = weakref.WeakValueDictionary()


def one_mask(mask: torch.Tensor | None, alias: torch.Tensor | None) -> torch.Tensor | None:
    if mask is not None and alias is not None:
        raise ValueError("give input_features_mask or its alias feature_attention_mask, not both")
    return alias if mask is None else mask


class Qwen3ASRThinkerModel(Qwen3ASRPreTrainedModel):
    """Audio encoder and text model without a head.

    Built from a [`Qwen3ASRThinkerConfig`] or from a whole [`Qwen3ASRConfig`].
    """

    _keys_to_ignore_on_load_unexpected = [*_SKIPPED_KEYS, r"^(thinker\.)?lm_head\."]

    def __init__(self, config: Qwen3ASRConfig | Qwen3ASRThinkerConfig, head_size: int | None = None):
        super().__init__(config)
        thinker = getattr(config, "thinker_config", config)
        thinker.check()
        self.audio_token_id = thinker.audio_token_id
        self.audio_tower = Qwen3ASRAudioEncoder._from_config(thinker.audio_config)
        self.model = Qwen3ASRTextModel._from_config(thinker.text_config)
        if head_size is not None:
            # the published name of every head is thinker.lm_head; the model that owns this one calls it
            self.lm_head = nn.Linear(thinker.text_config.hidden_size, head_size, bias=False)
            self._keys_to_ignore_on_load_unexpected = _SKIPPED_KEYS
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.embed_tokens = value

    def without_head(self) -> Qwen3ASRThinkerModel:
        """This model seen without its head, if it has one: with the same parts, and what is set there is set here."""
        if "lm_head" not in self._modules:
            return self
        seen = _SEEN.get(id(self))
        if seen is None:
            seen = _SEEN[id(self)] = _WithoutHead.__new__(_WithoutHead)
        parts = {name: part for name, part in self._modules.items() if name != "lm_head"}
        seen.__dict__.update({**self.__dict__, "_modules": parts, "_whole": self})
        return seen

    def set_attn_implementation(self, attn_implementation: str | dict, *args: Any, **kwargs: Any) -> None:
        """
        See [`~transformers.PreTrainedModel.set_attn_implementation`]. A dictionary may name the parts as they are
        nested or flat: `{"audio_config": "eager", "text_config": "sdpa"}`.
        """
        wanted = nested_implementation(attn_implementation)
        if not isinstance(wanted, dict):
            wanted = {"": wanted, "thinker_config": dict.fromkeys(("", "audio_config", "text_config"), wanted)}
        below = wanted["thinker_config"]
        for name, part in (("audio_config", self.audio_tower), ("text_config", self.model)):
            if name in below:
                part.set_attn_implementation(below[name], *args, **kwargs)
        # the rest has no attention of its own, but tells what was asked for
        own = ((self.config, wanted.get("")), (getattr(self.config, "thinker_config", None), below.get("")))
        for config, implementation in own:
            if config is not None and implementation is not None:
                implementation = self.get_correct_attn_implementation(implementation)
                config._attn_implementation = {"": implementation}

    @can_return_tuple
    def get_audio_features(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Encoded audio of all clips, one behind the other.

        Args:
            input_features: `(clips, num_mel_bins, frames)` log-mel features.
            input_features_mask: `(clips, frames)`, 1 for frames and 0 for padding on the right.
            feature_attention_mask: another name of `input_features_mask`.

        Returns:
            `BaseModelOutputWithPooling`, as of transformers' own class: `pooler_output` of shape
            `(positions of all clips, hidden_size)` is what goes into the text model, `last_hidden_state` of shape
            `(positions of all clips, d_model)` what it was projected from.
        """
        mask = one_mask(input_features_mask, feature_attention_mask)
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name) is None and getattr(
                self.config, name
            ):  # the whole model's config speaks for its parts
                kwargs[name] = True
        outputs = self.audio_tower(input_features, mask, return_dict=True, **kwargs)
        valid = self._heard(outputs.last_hidden_state, mask)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.unprojected[valid],
            pooler_output=outputs.last_hidden_state[valid],
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _heard(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.BoolTensor:
        """`(clips, positions)`, true where a clip has a position."""
        if mask is None:
            return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        lengths = audio_token_lengths(mask.bool().sum(-1), self.audio_tower.config.n_window)
        return torch.arange(states.shape[1], device=states.device) < lengths.to(states.device)[:, None]

    def _embed(self, input_ids, input_features, input_features_mask, inputs_embeds=None) -> torch.Tensor:
        """Token embeddings with the audio tokens' places taken by encoded audio, `(batch, length, hidden)`."""
        if inputs_embeds is None:
            inputs_embeds = self.model.embed_tokens(input_ids)
        if input_features is None:
            return inputs_embeds
        if input_ids is not None:
            places = input_ids == self.audio_token_id
        else:
            token = torch.tensor([self.audio_token_id], device=inputs_embeds.device)
            places = (inputs_embeds == self.model.embed_tokens(token).to(inputs_embeds)).all(-1)
        audio = encoded(self.audio_tower, input_features, input_features_mask).last_hidden_state
        heard = self._heard(audio, input_features_mask).flatten()
        audio = audio.flatten(0, 1).to(inputs_embeds)
        if torch.compiler.is_compiling():  # no shape may depend on a value: what is no audio goes behind the rest
            audio = audio[(~heard).to(torch.uint8).argsort(stable=True).to(audio.device)]
        else:
            audio = audio[heard.to(audio.device)]
            counts = places.sum(-1)
            if int(counts.sum()) != len(audio):
                self._raise_audio_mismatch(counts, input_features, input_features_mask)
        return inputs_embeds.masked_scatter(places[..., None].to(inputs_embeds.device), audio)

    def _raise_audio_mismatch(self, counts, input_features, input_features_mask) -> None:
        frames = (
            torch.full((len(input_features),), input_features.shape[-1])
            if input_features_mask is None
            else input_features_mask.bool().sum(-1)
        )
        positions = audio_token_lengths(frames, self.audio_tower.config.n_window).tolist()
        counts = counts.tolist()
        if len(counts) == len(positions):
            row = next(i for i, (n, m) in enumerate(zip(counts, positions)) if n != m)
            raise ValueError(f"row {row} of the tokens has {counts[row]} audio tokens for {positions[row]} of audio")
        raise ValueError(f"the tokens have {sum(counts)} audio tokens for {sum(positions)} of audio")

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        positions_to_keep: torch.BoolTensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        r"""
        Args:
            input_ids (`(batch, length)`): tokens, with one `audio_token_id` for each encoder position of the audio.
            input_features (`(clips, num_mel_bins, frames)`, *optional*): log-mel features, in the order of the tokens.
            input_features_mask (`(clips, frames)`, *optional*): 1 for frames, 0 for padding on the right.
            attention_mask (`(batch, length)`, *optional*): 1 for tokens, 0 for padding on either side.
            position_ids (`(batch, length)`, *optional*): counted from the mask when left out.
            cache (*optional*): keys and values of what came before.
            inputs_embeds (`(batch, length, hidden_size)`, *optional*): instead of `input_ids`; audio that is given too
                takes the places of the audio token's embedding.
            use_cache: `False` lets padding be left out of the computation; its states are then zeros.
            feature_attention_mask: another name of `input_features_mask`.
            positions_to_keep (`(batch, length)` boolean, *optional*): positions whose last states are wanted.
            past_key_values: another name of `cache`, the one before transformers 5.24.

        Returns:
            `BaseModelOutputWithPast` with `last_hidden_state` of shape `(batch, length, hidden_size)`, or
            `(kept, hidden_size)` in row-major order of `positions_to_keep`.

        Raises:
            ValueError: audio tokens and audio do not match (the row is named), or an argument is given by two names.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        cache = one_cache(cache, past_key_values)
        mask = one_mask(input_features_mask, feature_attention_mask)
        inputs_embeds = self._embed(input_ids, input_features, mask, inputs_embeds)
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name) is None:
                kwargs[name] = getattr(self.config, name)
        # with positions given, transformers looks for sequences that the caller has packed: not ours to take apart
        if use_cache is False and cache is None and position_ids is None:
            if self._can_pack(attention_mask, kwargs):
                states = self._run_packed(inputs_embeds, attention_mask, positions_to_keep)
                return BaseModelOutputWithPast(last_hidden_state=states)
            attention_mask = _needed_mask(attention_mask)
        if position_ids is None and cache is None and attention_mask is not None and attention_mask.dim() == 2:
            # the same positions wherever the padding is
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        outputs = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **named_cache(cache),
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        if positions_to_keep is not None:
            outputs.last_hidden_state = outputs.last_hidden_state[positions_to_keep.to(outputs[0].device)]
        return outputs

    def _can_pack(self, attention_mask: torch.Tensor | None, options: dict) -> bool:
        """Whether the text model can be given this batch packed: states of inner layers are asked of padded ones."""
        plain = attention_mask is None or attention_mask.dim() == 2
        return plain and self.model.packs and all(value is None or value is False for value in options.values())

    def _run_packed(self, inputs_embeds, attention_mask, positions_to_keep) -> torch.Tensor:
        """Last hidden states as `forward` returns them, zeros at padding, from a batch without its padding."""
        shape = inputs_embeds.shape[:2]
        mask = torch.ones(shape, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        keep = positions_to_keep
        if keep is not None:
            # one copy to the host, which is where a batch is taken apart
            mask, keep = torch.stack((mask, keep.to(mask.device))).cpu()
        packing = Packing.of_mask(mask.cpu(), keep)
        device = inputs_embeds.device
        whole = len(packing.index) == mask.numel()
        packed = inputs_embeds.flatten(0, 1)
        if len(packing.index):
            packed = packed_states(self.model, packed if whole else packed[packing.on("index", device)], packing)
        else:
            packed = packed[:0]
        size, places = len(mask.flatten()), packing.index
        if keep is not None:
            # a padded position may be asked for; it gets zeros like all padding
            size = int(keep.sum())
            places = keep.flatten().cumsum(0)[packing.index[packing.kept]] - 1
        if len(packed) != size:
            packed = packed.new_zeros(size, packed.shape[-1]).index_copy(0, places.to(packed.device), packed)
        return packed if keep is not None else packed.unflatten(0, shape)


class _WithoutHead(Qwen3ASRThinkerModel):
    """A thinker seen without its head; only made by [`Qwen3ASRThinkerModel.without_head`]."""

    def __setattr__(self, name, value):
        setattr(self.__dict__["_whole"], name, value)
        super().__setattr__(name, value)


def _needed_mask(attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """`None` for a mask that hides nothing from a causal model: padding on the right only."""
    if attention_mask is None or attention_mask.dim() != 2 or torch.compiler.is_compiling():
        return attention_mask
    # ones that turn to zeros and never back
    return None if bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all()) else attention_mask
