"""The Qwen3-ASR family on transformers' layers: encoder, text model, thinker, generation and token classification.

Parameter names are the published ones: `thinker.audio_tower.*`, `thinker.model.*`, `thinker.lm_head.weight`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast, TokenClassifierOutput
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import SinusoidsPositionEmbedding
from transformers.utils import can_return_tuple

from .audio_encoder_qwen3_asr import AudioEncoderForward, build_encoder_modules
from .checkpoints import SKIPPED_PREFIXES
from .configuration_qwen3_asr import (
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRThinkerConfig,
    audio_token_lengths,
)
from .loading import StrictCheckpointMixin
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
    _skip_keys_device_placement = ["past_key_values", "windows", "packing"]
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


def _one_mask(mask: torch.Tensor | None, alias: torch.Tensor | None) -> torch.Tensor | None:
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

    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """Encoded audio of all clips, one behind the other.

        Args:
            input_features: `(clips, num_mel_bins, frames)` log-mel features.
            input_features_mask: `(clips, frames)`, 1 for frames and 0 for padding on the right.

        Returns:
            `(positions of all clips, hidden_size)`.
        """
        features = self.audio_tower(input_features, input_features_mask, **kwargs).last_hidden_state
        if input_features_mask is None:
            return features.flatten(0, 1)
        lengths = audio_token_lengths(input_features_mask.bool().sum(-1), self.audio_tower.config.n_window)
        valid = torch.arange(features.shape[1], device=features.device) < lengths.to(features.device)[:, None]
        return features[valid]

    def _embed(self, input_ids, input_features, input_features_mask) -> torch.Tensor:
        """Token embeddings with the audio tokens' places taken by encoded audio, `(batch, length, hidden)`."""
        inputs_embeds = self.model.embed_tokens(input_ids)
        if input_features is None:
            return inputs_embeds
        audio = self.get_audio_features(input_features, input_features_mask).to(inputs_embeds)
        places = input_ids == self.audio_token_id
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
            raise ValueError(f"row {row} of input_ids has {counts[row]} audio tokens for {positions[row]} of audio")
        raise ValueError(f"input_ids have {sum(counts)} audio tokens for {sum(positions)} of audio")

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        positions_to_keep: torch.BoolTensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        r"""
        Args:
            input_ids (`(batch, length)`): tokens, with one `audio_token_id` for each encoder position of the audio.
            input_features (`(clips, num_mel_bins, frames)`, *optional*): log-mel features, in the order of the tokens.
            input_features_mask (`(clips, frames)`, *optional*): 1 for frames, 0 for padding on the right.
            attention_mask (`(batch, length)`, *optional*): 1 for tokens, 0 for padding on either side.
            position_ids (`(batch, length)`, *optional*): counted from the mask when left out.
            inputs_embeds (`(batch, length, hidden_size)`, *optional*): instead of `input_ids` and audio.
            use_cache: `False` lets padding be left out of the computation; its states are then zeros.
            feature_attention_mask: another name of `input_features_mask`.
            positions_to_keep (`(batch, length)` boolean, *optional*): positions whose last states are wanted.

        Returns:
            `BaseModelOutputWithPast` with `last_hidden_state` of shape `(batch, length, hidden_size)`, or
            `(kept, hidden_size)` in row-major order of `positions_to_keep`.

        Raises:
            ValueError: audio tokens and audio do not match; the row is named.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        mask = _one_mask(input_features_mask, feature_attention_mask)
        if inputs_embeds is None:
            inputs_embeds = self._embed(input_ids, input_features, mask)
        elif input_features is not None:
            raise ValueError("input_features need input_ids, whose audio tokens say where the audio goes")
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name) is None:
                kwargs[name] = getattr(self.config, name)
        # with positions given, transformers looks for sequences that the caller has packed: not ours to take apart
        if use_cache is False and past_key_values is None and position_ids is None:
            if self._can_pack(attention_mask, kwargs):
                states = self._run_packed(inputs_embeds, attention_mask, positions_to_keep)
                return BaseModelOutputWithPast(last_hidden_state=states)
            attention_mask = _needed_mask(attention_mask)
        if (
            position_ids is None
            and past_key_values is None
            and attention_mask is not None
            and attention_mask.dim() == 2
        ):
            # the same positions wherever the padding is
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        outputs = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
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
            packed = self.model.forward_packed(packed if whole else packed[packing.on("index", device)], packing)
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


class _Qwen3ASRWithHead(Qwen3ASRPreTrainedModel):
    """A thinker whose head this model calls."""

    def __init__(self, config: Qwen3ASRConfig, head_size: int):
        super().__init__(config)
        self.thinker = Qwen3ASRThinkerModel(config, head_size=head_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.thinker.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.thinker.set_input_embeddings(value)

    def get_audio_features(self, input_features, input_features_mask=None, **kwargs) -> torch.Tensor:
        """See [`Qwen3ASRThinkerModel.get_audio_features`]."""
        return self.thinker.get_audio_features(input_features, input_features_mask, **kwargs)


class Qwen3ASRForConditionalGeneration(_Qwen3ASRWithHead, GenerationMixin):
    """Speech recognition: writes the transcript of the audio in the prompt, token by token."""

    _tied_weights_keys = {"thinker.lm_head.weight": "thinker.model.embed_tokens.weight"}

    def __init__(self, config: Qwen3ASRConfig):
        super().__init__(config, config.thinker_config.text_config.vocab_size)

    def get_output_embeddings(self) -> nn.Module:
        return self.thinker.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.thinker.lm_head = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        feature_attention_mask: torch.Tensor | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        r"""
        Args:
            labels (`(batch, length)`, *optional*): the tokens themselves, -100 where no loss is wanted; each is
                predicted from the position before it.
            logits_to_keep (`int` or 1-D tensor of positions): the last so many positions' logits only; 0 for all.
            num_items_in_batch: divides the summed loss instead of the number of labels (gradient accumulation).

        The other arguments are [`Qwen3ASRThinkerModel`]'s. Logits are `(batch, kept length, vocab_size)`.
        """
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("labels need the logits of all positions: leave logits_to_keep at 0")
        outputs = self.thinker(
            input_ids=input_ids,
            input_features=input_features,
            input_features_mask=_one_mask(input_features_mask, feature_attention_mask),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.thinker.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def prepare_inputs_for_generation(self, *args, is_first_iteration: bool = False, **kwargs):
        # audio enters with the prompt; later steps have its keys and values in the cache
        names = ("input_features", "input_features_mask", "feature_attention_mask")
        audio = {name: kwargs.pop(name, None) for name in names}
        inputs = super().prepare_inputs_for_generation(*args, is_first_iteration=is_first_iteration, **kwargs)
        if is_first_iteration or not inputs.get("use_cache", False):
            inputs.update({name: value for name, value in audio.items() if value is not None})
        return inputs


class Qwen3ASRForTokenClassification(_Qwen3ASRWithHead):
    """Forced alignment: classifies, at each `<timestamp>` slot, when the word before it began or ended.

    Class k means `k * config.timestamp_segment_time` milliseconds. The head has no bias, the model's dtype, and shares
    its weights with nothing.
    """

    _replaceable_parameters = frozenset({"thinker.lm_head.weight"})

    def __init__(self, config: Qwen3ASRConfig):
        missing = [
            name
            for name in ("classify_num", "timestamp_token_id", "timestamp_segment_time")
            if getattr(config, name) is None
        ]
        if missing:
            raise ValueError(
                f"a token classifier needs {', '.join(missing)} in its config: this is not an aligner's. To put a new "
                "classifier on it, pass them to from_pretrained with ignore_mismatched_sizes=True."
            )
        # a classifier is never tied, and readers of the saved config would tie by this field
        config.thinker_config.text_config.tie_word_embeddings = False
        super().__init__(config, config.classify_num)
        self.num_labels = config.classify_num

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: torch.BoolTensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        r"""
        Args:
            labels (`(batch, length)`, *optional*): classes at the slots, -100 everywhere else.
            logits_to_keep (`(batch, length)` boolean, *optional*): positions whose logits are wanted; the others are
                not computed, and the loss is over labels at these positions.
            use_cache: `False` or `None`, as callers that pass it to every model do; nothing is generated here.
            num_items_in_batch: divides the summed loss instead of the number of labels (gradient accumulation).

        The other arguments are [`Qwen3ASRThinkerModel`]'s.

        Returns:
            `TokenClassifierOutput` with `logits` of shape `(batch, length, classes)`, or `(kept, classes)` in
            row-major order of the mask; `loss` is the mean cross-entropy over the labelled positions, outputs and
            labels not shifted against each other.

        Raises:
            ValueError: a mask or labels of another shape, labels outside the classes, `use_cache=True`.
        """
        shape = tuple((input_ids if input_ids is not None else inputs_embeds).shape[:2])
        for name, value in (("labels", labels), ("logits_to_keep", logits_to_keep)):
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"{name} must be of shape {shape} like the tokens, got {tuple(value.shape)}")
        if logits_to_keep is not None and logits_to_keep.dtype != torch.bool:
            raise ValueError(f"logits_to_keep must be a boolean mask, got {logits_to_keep.dtype}")
        if use_cache:
            raise ValueError("use_cache=True is not supported: nothing follows a classification, no cache is returned")
        outputs = self.thinker(
            input_ids=input_ids,
            input_features=input_features,
            input_features_mask=_one_mask(input_features_mask, feature_attention_mask),
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            positions_to_keep=logits_to_keep,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        if labels is not None and logits_to_keep is not None:
            labels = labels[logits_to_keep.to(labels.device)]
        logits = self.thinker.lm_head(hidden)
        loss = None if labels is None else self._loss(logits, labels.to(logits.device), num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch) -> torch.Tensor:
        """Summed cross-entropy at the labelled positions over their number, or over `num_items_in_batch`."""
        labelled = labels != -100
        logits, labels = logits[labelled].float(), labels[labelled]
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_labels:
            raise ValueError(
                f"labels must be classes from 0 to {self.num_labels - 1} or -100, got {int(labels.min())} to "
                f"{int(labels.max())}"
            )
        count = labels.numel() if num_items_in_batch is None else num_items_in_batch
        if torch.is_tensor(count):
            count = count.to(logits.device)
        total = F.cross_entropy(logits, labels, reduction="sum")
        return total / max(count, 1) if isinstance(count, int) else total / count.clamp(min=1)


def _needed_mask(attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """`None` for a mask that hides nothing from a causal model: padding on the right only."""
    if attention_mask is None or attention_mask.dim() != 2 or torch.compiler.is_compiling():
        return attention_mask
    # ones that turn to zeros and never back
    return None if bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all()) else attention_mask


__all__ = [
    "Qwen3ASRAudioEncoder",
    "Qwen3ASRForConditionalGeneration",
    "Qwen3ASRForTokenClassification",
    "Qwen3ASRPreTrainedModel",
    "Qwen3ASRTextModel",
    "Qwen3ASRThinkerModel",
]
