"""The Qwen3-ASR family on transformers' layers: generation and token classification.

Parameter names are the published ones: `thinker.audio_tower.*`, `thinker.model.*`, `thinker.lm_head.weight`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutputWithPast, TokenClassifierOutput
from transformers.utils import can_return_tuple

from .cache_argument import cache_of, named_cache, one_cache
from .configuration_qwen3_asr import Qwen3ASRConfig
from .text_model_qwen3_asr import Qwen3ASRTextModel
from .thinker_qwen3_asr import Qwen3ASRAudioEncoder, Qwen3ASRPreTrainedModel, Qwen3ASRThinkerModel, one_mask


class _Qwen3ASRWithHead(Qwen3ASRPreTrainedModel):
    """A thinker whose head this model calls."""

    def __init__(self, config: Qwen3ASRConfig, head_size: int):
        config.check()
        super().__init__(config)
        self.thinker = Qwen3ASRThinkerModel(config, head_size=head_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.thinker.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.thinker.set_input_embeddings(value)

    @property
    def base_model(self) -> nn.Module:
        """The model below the head, without it: freezing this leaves the head to be trained."""
        thinker = self._modules.get("thinker")
        return self if thinker is None else thinker.without_head()

    def set_attn_implementation(self, attn_implementation: str | dict, *args: Any, **kwargs: Any) -> None:
        """See [`Qwen3ASRThinkerModel.set_attn_implementation`]."""
        self.thinker.set_attn_implementation(attn_implementation, *args, **kwargs)

    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """See [`Qwen3ASRThinkerModel.get_audio_features`]."""
        return self.thinker.get_audio_features(input_features, input_features_mask, **kwargs)


class Qwen3ASRForConditionalGeneration(_Qwen3ASRWithHead, GenerationMixin):
    """Speech recognition: writes the transcript of the audio in the prompt, token by token."""

    _tied_weights_keys = {"thinker.lm_head.weight": "thinker.model.embed_tokens.weight"}
    _tp_plan = {"thinker.lm_head": "colwise_gather_output"}

    def __init__(self, config: Qwen3ASRConfig):
        if config.classify_num is not None:
            raise ValueError(
                f"{config.name_or_path or 'the config'} is an aligner, which writes no text: its config has "
                "classify_num. It goes to AutoModelForTokenClassification or pipeline('forced-alignment')."
            )
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
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        feature_attention_mask: torch.Tensor | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        skip_logits: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        r"""
        Args:
            labels (`(batch, length)`, *optional*): the tokens themselves, -100 where no loss is wanted; each is
                predicted from the position before it.
            logits_to_keep (`int` or 1-D tensor of positions): the last so many positions' logits only; 0 for all. The
                loss is then over what these positions predict.
            num_items_in_batch: divides the summed loss instead of the number of labels (gradient accumulation).
            skip_logits: with `labels`, the loss alone, and `None` for the logits; `Trainer` says so in evaluation
                where it was told `use_liger_kernel`.

        The other arguments are [`Qwen3ASRThinkerModel`]'s. Logits are `(batch, kept length, vocab_size)`.

        Raises:
            ValueError: labels with `logits_to_keep=1`, since the last position predicts none; `skip_logits` without
                labels.
        """
        if skip_logits and labels is None:
            raise ValueError("skip_logits=True without labels leaves nothing to compute")
        if labels is not None and isinstance(logits_to_keep, int) and logits_to_keep == 1:
            raise ValueError("labels with logits_to_keep=1 have no loss: nothing follows the last position")
        outputs = self.thinker(
            input_ids=input_ids,
            input_features=input_features,
            input_features_mask=one_mask(input_features_mask, feature_attention_mask),
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=one_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        hidden, loss = outputs.last_hidden_state[:, kept], None
        if labels is not None:
            # what each position predicts, told before some of them are left out
            labels = F.pad(labels[:, 1:], (0, 1), value=-100).to(hidden.device)[:, kept].contiguous()
            if skip_logits:
                hidden, labels = hidden[labels != -100], labels[labels != -100]
        logits = self.thinker.lm_head(hidden)
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
                shift_labels=labels.to(logits.device),
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=None if skip_logits else logits,
            **named_cache(cache_of(outputs)),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    @functools.wraps(GenerationMixin.prepare_inputs_for_generation)  # whose parameters `generate` looks at
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
        config.check()
        missing = [
            name
            for name in ("classify_num", "timestamp_token_id", "timestamp_segment_time")
            if getattr(config, name) is None
        ]
        if missing:
            raise ValueError(
                f"{config.name_or_path or 'the config'} is no aligner: it has no {', '.join(missing)}. A speech "
                "recogniser goes to AutoModelForSpeechSeq2Seq or pipeline('automatic-speech-recognition'). To put a "
                "new classifier on it, pass them to from_pretrained with ignore_mismatched_sizes=True."
            )
        # a classifier is never tied, and readers of the saved config would tie by this field
        config.thinker_config.text_config.tie_word_embeddings = False
        super().__init__(config, config.classify_num)
        self.num_labels = config.classify_num

    @property
    def score(self) -> nn.Module:
        """The classifier, by the name that it has in transformers' own token classifiers and that PEFT looks for."""
        return self.thinker.lm_head

    def __setattr__(self, name, value):
        if name == "score":  # what is set in its place goes where it is; `nn.Module` would make a second part of it
            self.thinker.lm_head = value
        else:
            super().__setattr__(name, value)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """
        As [`torch.nn.Module.named_modules`]; where duplicates are asked for, as PEFT does, the name `score` is there.
        """
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if not remove_duplicate:
            # The name alone, which PEFT then looks up. With the classifier's weight below it, accelerate would find
            # that tied to itself.
            yield f"{prefix}.score".lstrip("."), nn.Identity()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        logits_to_keep: torch.BoolTensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        skip_logits: bool | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        r"""
        Positional arguments are in the order of transformers' own token classifiers.

        Args:
            labels (`(batch, length)`, *optional*): classes at the slots, -100 everywhere else.
            logits_to_keep (`(batch, length)` boolean, *optional*): positions whose logits are wanted; the others are
                not computed, and the loss is over labels at these positions.
            use_cache: `False` or `None`, as callers that pass it to every model do; nothing is generated here.
            num_items_in_batch: divides the summed loss instead of the number of labels (gradient accumulation).
            skip_logits: as of [`Qwen3ASRForConditionalGeneration`].

        The other arguments are [`Qwen3ASRThinkerModel`]'s.

        Returns:
            `TokenClassifierOutput` with `logits` of shape `(batch, length, classes)`, or `(kept, classes)` in
            row-major order of the mask; `loss` is the mean cross-entropy over the labelled positions, outputs and
            labels not shifted against each other.

        Raises:
            ValueError: a mask or labels of another shape, labels outside the classes, `use_cache=True`, `skip_logits`
                without labels.
        """
        shape = tuple((input_ids if input_ids is not None else inputs_embeds).shape[:2])
        for name, value in (("labels", labels), ("logits_to_keep", logits_to_keep)):
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"{name} must be of shape {shape} like the tokens, got {tuple(value.shape)}")
        if logits_to_keep is not None and logits_to_keep.dtype != torch.bool:
            raise ValueError(f"logits_to_keep must be a boolean mask, got {logits_to_keep.dtype}")
        if use_cache:
            raise ValueError("use_cache=True is not supported: nothing follows a classification, no cache is returned")
        if skip_logits:
            if labels is None:
                raise ValueError("skip_logits=True without labels leaves nothing to compute")
            labelled = labels != -100
            logits_to_keep = labelled if logits_to_keep is None else labelled & logits_to_keep.to(labels.device)
        outputs = self.thinker(
            input_ids=input_ids,
            input_features=input_features,
            input_features_mask=one_mask(input_features_mask, feature_attention_mask),
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=one_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            use_cache=False,
            positions_to_keep=logits_to_keep,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        if labels is not None and logits_to_keep is not None:
            labels = labels[logits_to_keep.to(labels.device)]
        logits = self.thinker.lm_head(hidden)
        loss = None if labels is None else self._loss(logits, labels.to(logits.device), num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss,
            logits=None if skip_logits else logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
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


__all__ = [
    "Qwen3ASRAudioEncoder",
    "Qwen3ASRForConditionalGeneration",
    "Qwen3ASRForTokenClassification",
    "Qwen3ASRPreTrainedModel",
    "Qwen3ASRTextModel",
    "Qwen3ASRThinkerModel",
]
