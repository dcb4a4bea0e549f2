"""What each field of the family's configurations may hold, as tables, and the errors that name the field.

A config.json may come from anywhere. A text where a number belongs, a `NaN`, a width of a billion: each is refused
here, before anything is built from it. What fields say about each other is checked beside them, in
`configuration_qwen3_asr`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers.activations import ACT2FN


@dataclass(frozen=True)
class Kind:
    """What a field may hold: a test of its value, and the same in words."""

    holds: Callable[[Any], bool]
    wanted: str

    def __or__(self, other: None) -> Kind:
        """This kind or `None`."""
        return Kind(lambda value: value is None or self.holds(value), f"{self.wanted} or null")


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """A finite number; `True` is none."""
    return (isinstance(value, float) and math.isfinite(value)) or is_whole(value)


def _whole(least: int, most: int) -> Kind:
    return Kind(lambda value: is_whole(value) and least <= value <= most, f"a whole number from {least} to {most}")


def _number(least: float, most: float) -> Kind:
    return Kind(lambda value: is_number(value) and least <= value <= most, f"a number from {least} to {most}")


_FLAG = Kind(lambda value: isinstance(value, bool), "true or false")
_OFF = Kind(lambda value: value is False, "false: true is not supported by any model of the family")
_PROBABILITY = Kind(lambda value: is_number(value) and 0 <= value < 1, "a number in [0, 1)")
_POSITIVE = Kind(lambda value: is_number(value) and 0 < value <= 1e7, "a number above 0, at most 1e7")
_NAMES = Kind(
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value), "a list of names"
)
_ACTIVATION = Kind(
    lambda value: isinstance(value, str) and value in ACT2FN,
    "the name of an activation that transformers knows, such as 'gelu', 'relu' or 'silu'",
)
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_DTYPE = Kind(  # transformers keeps a torch.dtype
    lambda value: type(value).__name__ in ("str", "dtype") and str(value).removeprefix("torch.") in _DTYPES,
    f"one of {', '.join(_DTYPES)}",
)
_LABELS = Kind(lambda value: isinstance(value, dict), "a dictionary of classes")
# The most that a field may say lies far above every model there is. It keeps a spoiled number from filling the memory.
_WIDTH, _COUNT, _LENGTH = _whole(1, 2**17), _whole(1, 2**10), _whole(1, 2**31 - 1)
_TOKEN = _whole(0, 2**31 - 1)

#: What transformers puts into every config and acts on.
GENERIC_FIELDS: dict[str, Kind] = {
    "architectures": _NAMES | None,
    "dtype": _DTYPE | None,
    "output_hidden_states": _FLAG | None,
    "return_dict": _FLAG | None,
    "is_encoder_decoder": _OFF,
    "id2label": _LABELS | None,
    "label2id": _LABELS | None,
}
AUDIO_FIELDS: dict[str, Kind] = {
    "num_mel_bins": _whole(1, 2**12),
    "encoder_layers": _COUNT,
    "encoder_attention_heads": _COUNT,
    "encoder_ffn_dim": _WIDTH,
    "d_model": _WIDTH,
    "dropout": _PROBABILITY,
    "attention_dropout": _PROBABILITY,
    "activation_function": _ACTIVATION,
    "activation_dropout": _PROBABILITY,
    "scale_embedding": _OFF,
    "initializer_range": _number(0, 100),
    "max_source_positions": _LENGTH,
    "n_window": _whole(1, 2**20),
    "output_dim": _WIDTH,
    "n_window_infer": _LENGTH,
    "conv_chunksize": _LENGTH,
    "downsample_hidden_size": _whole(1, 2**14),
}
TEXT_FIELDS: dict[str, Kind] = {
    "vocab_size": _whole(1, 2**24),
    "hidden_size": _WIDTH,
    "intermediate_size": _WIDTH,
    "num_hidden_layers": _COUNT,
    "num_attention_heads": _COUNT,
    "num_key_value_heads": _COUNT,
    "head_dim": _whole(1, 2**14),
    "hidden_act": _ACTIVATION,
    "max_position_embeddings": _LENGTH,
    "initializer_range": _number(0, 100),
    "rms_norm_eps": _number(0, 1),
    "use_cache": _FLAG,
    "tie_word_embeddings": _FLAG,
    "attention_bias": _FLAG,
    "attention_dropout": _PROBABILITY,
}
THINKER_FIELDS: dict[str, Kind] = {
    "audio_token_id": _TOKEN,
    "audio_start_token_id": _TOKEN,
    "user_token_id": _TOKEN,
    "initializer_range": _number(0, 100),
    "classify_num": _whole(2, 2**24) | None,
}
TOP_FIELDS: dict[str, Kind] = {
    "support_languages": _NAMES | None,
    "timestamp_token_id": _TOKEN | None,
    "timestamp_segment_time": _POSITIVE | None,
    "max_align_seconds": _number(1, 1e9) | None,
}
#: Settings of the feature extractor, in preprocessor_config.json.
EXTRACTOR_FIELDS: dict[str, Kind] = {
    "feature_size": _whole(1, 2**12),
    "sampling_rate": _whole(1, 2**20),
    "hop_length": _whole(1, 2**16),
    "chunk_length": _number(1, 1e6),
    "n_fft": _whole(2, 2**16),
    "padding_value": _number(-1, 1),
    "dither": _number(0, 1),
    "return_attention_mask": _FLAG,
    "n_window": _whole(1, 2**20),
    "min_length": _whole(0, 2**31 - 1),
}
#: Fields that stand in files only: older spellings, and what follows from other fields.
FILE_FIELDS: dict[str, Kind] = {
    "audio_end_token_id": _TOKEN | None,
    "num_hidden_layers": _COUNT,
    "num_labels": _whole(2, 2**24) | None,
    "output_attentions": _FLAG | None,
    "rope_theta": Kind(is_number, "a number") | None,
    "tie_word_embeddings": _FLAG,
    "token_classification_bias": _OFF,
    "torch_dtype": _DTYPE | None,
    "max_position_embeddings": _LENGTH,
    "num_key_value_heads": _COUNT,
}


def require(holds: bool, message: str) -> None:
    """Raise `ValueError(message)` unless `holds`."""
    if not holds:
        raise ValueError(message)


def check_fields(values: Mapping[str, Any], table: Mapping[str, Kind], where: str) -> None:
    """Raise `ValueError` naming the first of `values` that is not of its kind; what `table` lacks may be anything."""
    for name, kind in table.items():
        if name in values and not kind.holds(values[name]):
            raise ValueError(f"{where}: {name} must be {kind.wanted}, got {shown(values[name])}")


def check_agreement(found: Any, expected: Any, what: str, of: str) -> None:
    """Raise `ValueError` where something is said twice, and not the same; `None` says nothing."""
    require(
        found is None or found == expected,
        f"{what} is {shown(found)}, but {of} is {shown(expected)}: they must be the same",
    )


def check_model_type(found: Any, known: tuple[str, ...], where: str) -> None:
    """Raise `ValueError` for the configuration of another kind of model."""
    require(
        found is None or (isinstance(found, str) and found in known),
        f"{where}: model_type {shown(found)} is none of {', '.join(map(repr, known))}",
    )


def check_names(config_class: type, names: Iterable[str], where: str) -> None:
    """Raise `ValueError` for extra keys that would take the place of a method or of a value that is computed."""
    own = {field.name for field in fields(config_class)} | set(config_class.attribute_map)
    for name in sorted(names):
        found = getattr(config_class, name, None)
        settable = isinstance(found, property) and found.fset is not None
        if found is not None and name not in own and not settable:
            raise ValueError(f"{where}: {name} cannot be set: {config_class.__name__} has something of that name")


def shown(value: Any) -> str:
    """`repr`, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def _named(where: str):
    try:
        yield
    except StrictDataclassError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(f"{where}: {' '.join(lines)}") from error


def value_errors(config_class: type) -> type:
    """Class decorator: what transformers' own strict fields refuse is a `ValueError`, as everything else here is."""

    def translated(method):
        @functools.wraps(method)
        def call(self, *args, **kwargs):
            with _named(type(self).base_config_key or type(self).__name__):
                return method(self, *args, **kwargs)

        return call

    for name in ("__init__", "__setattr__", "validate"):
        method = translated(getattr(config_class, name))
        method.__is_defined_by_strict_decorator__ = True  # for `strict`, which refuses to replace anybody else's
        setattr(config_class, name, method)
    return config_class
