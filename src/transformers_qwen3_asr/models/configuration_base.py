"""What the family's configurations share: when fields are checked, and the generic v4 fields that are dropped."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, ClassVar

from transformers.configuration_utils import PreTrainedConfig

from ..json_files import read_json
from .configuration_checks import (
    FILE_FIELDS,
    GENERIC_FIELDS,
    Kind,
    check_fields,
    check_model_type,
    check_names,
    require,
    shown,
    value_errors,
)

# Fields that every transformers v4 config wrote, with the value that means nothing. They stand in the published files
# and are left out of ours.
_V4_GENERIC_DEFAULTS: dict[str, Any] = {
    "_name_or_path": "", "add_cross_attention": False, "architectures": None, "bad_words_ids": None,
    "begin_suppress_tokens": None, "bos_token_id": None, "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None, "decoder_start_token_id": None, "diversity_penalty": 0.0, "do_sample": False,
    "dtype": None, "early_stopping": False, "encoder_no_repeat_ngram_size": 0, "eos_token_id": None,
    "exponential_decay_length_penalty": None, "finetuning_task": None, "forced_bos_token_id": None,
    "forced_eos_token_id": None, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "is_decoder": False,
    "is_encoder_decoder": False, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "length_penalty": 1.0, "max_length": 20,
    "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1,
    "output_attentions": False, "output_hidden_states": False, "output_scores": False, "pad_token_id": None,
    "prefix": None, "problem_type": None, "pruned_heads": {}, "remove_invalid_values": False,
    "repetition_penalty": 1.0, "return_dict": True, "return_dict_in_generate": False, "sep_token_id": None,
    "suppress_tokens": None, "task_specific_params": None, "temperature": 1.0, "tf_legacy_loss": False,
    "tie_encoder_decoder": False, "tokenizer_class": None, "top_k": 50, "top_p": 1.0, "torchscript": False,
    "typical_p": 1.0, "use_bfloat16": False,
}  # fmt: skip


def without_generic(config: dict[str, Any]) -> dict[str, Any]:
    """`config` without the generic v4 fields that say nothing."""
    return {
        key: value
        for key, value in config.items()
        if not (key in _V4_GENERIC_DEFAULTS and value == _V4_GENERIC_DEFAULTS[key])
    }


def same_settings(config: PreTrainedConfig, other: Any) -> bool:
    """Whether two configs are of one class and hold the same; `==` of every config here. transformers' own also
    compares how they came about: the version that wrote a file, or a spelling of the same rotary embedding."""
    if type(config) is not type(other):
        return NotImplemented
    aside = ("transformers_version", "_name_or_path")
    mine, theirs = ({k: v for k, v in one.to_dict().items() if k not in aside} for one in (config, other))
    return mine == theirs


class CheckedFields:
    """A configuration whose fields are checked by a table: when it is made, and again when a model is made from it."""

    #: what each field may hold
    field_kinds: ClassVar[dict[str, Kind]] = {}
    #: names of this part's kind of model in the files of the family and of transformers
    known_model_types: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """See [`~transformers.PreTrainedConfig.get_config_dict`]; a file that is no JSON object is a `ValueError`."""
        path = Path(pretrained_model_name_or_path)
        if path.is_dir():
            path = path / kwargs.get("subfolder", "") / "config.json"
        if path.is_file() or path.is_symlink():
            read_json(path)
        return super().get_config_dict(pretrained_model_name_or_path, **kwargs)

    def check_given(self, others: dict[str, Any]) -> None:
        """Raise `ValueError` for a field, or another key of the file, that holds what it cannot."""
        where = self.part_name
        check_model_type(others.pop("model_type", None), (self.model_type, *self.known_model_types), where)
        self.check_fields()
        check_fields(others, FILE_FIELDS, where)
        check_names(type(self), others.keys() - FILE_FIELDS.keys(), where)

    def check_fields(self) -> None:
        """Raise `ValueError` for a field that holds what it cannot."""
        check_fields(vars(self), {**GENERIC_FIELDS, **self.field_kinds}, self.part_name)

    @property
    def part_name(self) -> str:
        """How errors call this configuration."""
        return self.base_config_key or "config"


@value_errors
class FamilyConfig(CheckedFields, PreTrainedConfig):
    """What the family's configs share: generic v4 fields are dropped, saved files hold every other field."""

    def __post_init__(self, **kwargs):
        kwargs = without_generic(kwargs)
        self.check_given(kwargs)
        # transformers fills in two label names where it finds none; classes here are times, counted by `classify_num`
        self.id2label = {}
        super().__post_init__(**kwargs)
        self.id2label = self.label2id = None

    def to_dict(self) -> dict[str, Any]:
        return without_generic({k: v for k, v in super().to_dict().items() if k not in ("id2label", "label2id")})

    def to_diff_dict(self) -> dict[str, Any]:
        # Written in full: readers of other versions have other defaults (qwen-asr's rope_theta is 5e6).
        return {key: value for key, value in self.to_dict().items() if key != "_name_or_path"}

    @property
    def num_labels(self) -> int | None:
        """Number of classes; `None` where there is no classifier."""
        return getattr(self, "classify_num", None)

    @num_labels.setter
    def num_labels(self, value: int | None) -> None:
        self.classify_num = value


def as_config(value: Any, config_class: type[PreTrainedConfig], field: str) -> PreTrainedConfig:
    """A part's configuration out of one, out of its dictionary (left as it is), or the default for `None`."""
    if isinstance(value, config_class):
        return value
    if value is None:
        return config_class()
    if isinstance(value, PreTrainedConfig):  # another class's config (a native one, say) with the same fields
        value = value.to_dict()
    require(isinstance(value, dict), f"{field} must be a dictionary or a {config_class.__name__}, got {shown(value)}")
    return config_class(**{key: item for key, item in copy.deepcopy(value).items() if key != "transformers_version"})


def nested_implementation(value: str | dict | None) -> str | dict | None:
    """
    `attn_implementation` of a whole model, with the parts' names where they are nested.

    Args:
        value: one name for all, or a dictionary of names by part. `audio_config` and `text_config` may stand in it by
            themselves or below `thinker_config`; the empty name is the part that the dictionary is of.

    Raises `ValueError` for another key, and for a part that stands in both places.
    """
    if not isinstance(value, dict):
        return value
    flat = {key: name for key, name in value.items() if key in ("audio_config", "text_config")}
    thinker = value.get("thinker_config")
    below = dict(thinker) if isinstance(thinker, dict) else {}
    if isinstance(thinker, str):
        below = dict.fromkeys(("", "audio_config", "text_config"), thinker)
    unknown = (value.keys() - {"", "thinker_config", *flat}) | (below.keys() - {"", "audio_config", "text_config"})
    require(not unknown, f"attn_implementation names no part of the model: {sorted(unknown)}")
    twice = flat.keys() & below.keys() if isinstance(thinker, dict) else set()
    require(not twice, f"attn_implementation names {sorted(twice)} by itself and below thinker_config")
    # the thinker's entry is always there: transformers gives a part without one its parent's, and that to all below it
    return {**{key: name for key, name in value.items() if key == ""}, "thinker_config": {**below, **flat}}
