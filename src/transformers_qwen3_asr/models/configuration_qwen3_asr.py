"""Configurations of the Qwen3-ASR family, in the nested layout of the published checkpoints.

    Qwen3ASRConfig                      model_type qwen3_asr; the aligner's time classes
      thinker_config: Qwen3ASRThinkerConfig
        audio_config: Qwen3ASRAudioEncoderConfig
        text_config:  Qwen3ASRTextConfig

The flat -hf layout is accepted on load. What is written is always the published layout with the published spellings
(`rope_theta` and `rope_scaling`, the thinker's `model_type`), because qwen-asr and vLLM read those.
"""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import Qwen3Config
from transformers.configuration_utils import PreTrainedConfig

from ..checkpoints import published
from .configuration_base import (
    CheckedFields,
    FamilyConfig,
    as_config,
    nested_implementation,
    same_settings,
    without_generic,
)
from .configuration_checks import (
    AUDIO_FIELDS,
    FILE_FIELDS,
    GENERIC_FIELDS,
    TEXT_FIELDS,
    THINKER_FIELDS,
    TOP_FIELDS,
    check_agreement,
    check_fields,
    require,
    value_errors,
)
from .rope_validation import MROPE_KEYS, mrope_section, validate_rope_parameters


def audio_token_lengths(frames, n_window: int = 50):
    """Audio tokens (encoder positions) that mel frames become.

    Three convolutions of stride 2 run over chunks of `2 * n_window` frames, so that every full chunk gives the same
    count (13 for the published 100 frames) and the rest what is left of it.

    Args:
        frames: `int` or integer tensor, number of mel frames (10 ms each).
        n_window: half a chunk, in mel frames.

    Returns:
        The same kind and shape as `frames`; 0 stays 0.
    """

    def convolved(n):  # kernel 3, stride 2, padding 1, three times; -1 // 2 + 1 is 0, so that nothing stays nothing
        for _ in range(3):
            n = (n - 1) // 2 + 1
        return n

    chunk = 2 * n_window
    return (frames // chunk) * convolved(chunk) + convolved(frames % chunk)


class Qwen3ASRAudioEncoderConfig(FamilyConfig):
    r"""
    Configuration of [`Qwen3ASRAudioEncoder`].

    Args:
        num_mel_bins (`int`, defaults to 128): mel bands of the input features.
        encoder_layers (`int`, defaults to 32): transformer layers (`num_hidden_layers` is the same field).
        encoder_attention_heads (`int`, defaults to 20): attention heads a layer; must divide `d_model`.
        encoder_ffn_dim (`int`, defaults to 5120): width of the feed-forward layers.
        d_model (`int`, defaults to 1280): width of the encoder; even.
        dropout (`float`, defaults to 0): dropout after the embedding, attention and feed-forward layers, in training.
        attention_dropout (`float`, defaults to 0): dropout of attention probabilities, in training.
        activation_function (`str`, defaults to `"gelu"`): activation of the feed-forward layers and the projector.
        activation_dropout (`float`, defaults to 0): dropout after the feed-forward activation, in training.
        scale_embedding (`bool`, defaults to `False`): must be `False`; no implementation of the family scales.
        initializer_range (`float`, defaults to 0.02): standard deviation of new weights.
        max_source_positions (`int`, defaults to 1500): most positions of the sinusoid table, that is of one chunk.
        n_window (`int`, defaults to 100): half a chunk of the convolutions, in mel frames of 10 ms.
        output_dim (`int`, defaults to 3584): width of the output, the text model's width.
        n_window_infer (`int`, defaults to 400): mel frames of an attention window; a multiple of `2 * n_window`.
        conv_chunksize (`int`, defaults to 500): most chunks that go through the convolutions at once.
        downsample_hidden_size (`int`, defaults to 480): channels of the convolutions.

    Raises `ValueError` for a combination that cannot be built, naming the field.
    """

    model_type = "qwen3_asr_audio_encoder"
    __eq__ = same_settings
    base_config_key = "audio_config"
    attribute_map = {
        "num_hidden_layers": "encoder_layers",
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "intermediate_size": "encoder_ffn_dim",
    }
    field_kinds = AUDIO_FIELDS
    known_model_types = ("qwen3_asr_encoder",)

    num_mel_bins: int = 128
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    d_model: int = 1280
    dropout: float | int = 0
    attention_dropout: float | int = 0
    activation_function: str = "gelu"
    activation_dropout: float | int = 0
    scale_embedding: bool = False
    initializer_range: float = 0.02
    max_source_positions: int = 1500
    n_window: int = 100
    output_dim: int = 3584
    n_window_infer: int = 400
    conv_chunksize: int = 500
    downsample_hidden_size: int = 480

    def __post_init__(self, **kwargs):
        check_fields(kwargs, FILE_FIELDS, self.part_name)
        # a v4 generic (an encoder has no word embeddings), and what follows from other fields
        for key in ("tie_word_embeddings", *published.HF_DERIVED_AUDIO_FIELDS):
            kwargs.pop(key, None)
        for alias, field in self.attribute_map.items():
            said = kwargs.get(alias)
            # The published files say the number of layers twice, and qwen-asr, which wrote them, keeps to the first.
            if said is None or (alias == "num_hidden_layers" and self.encoder_layers != type(self).encoder_layers):
                continue
            if getattr(self, field) == getattr(type(self), field):
                setattr(self, field, said)
            check_agreement(said, getattr(self, field), f"{self.part_name}: {alias}", field)
        super().__post_init__(**{key: value for key, value in kwargs.items() if key not in self.attribute_map})
        self.check()

    def check(self) -> None:
        """Raise `ValueError` naming the field for values that no encoder can be built from."""
        self.check_fields()
        require(
            self.d_model % self.encoder_attention_heads == 0,
            f"encoder_attention_heads ({self.encoder_attention_heads}) must divide d_model ({self.d_model})",
        )
        require(self.d_model % 2 == 0, f"d_model ({self.d_model}) must be even for the sinusoid positions")
        require(
            self.n_window_infer % (2 * self.n_window) == 0,
            f"n_window_infer ({self.n_window_infer}) must be a multiple of 2 * n_window ({2 * self.n_window})",
        )
        require(
            self.positions_per_chunk <= self.max_source_positions,
            f"a chunk of 2 * n_window ({2 * self.n_window}) frames has {self.positions_per_chunk} positions, above "
            f"max_source_positions ({self.max_source_positions})",
        )

    @property
    def positions_per_chunk(self) -> int:
        """Encoder positions of a full chunk."""
        return audio_token_lengths(2 * self.n_window, self.n_window)

    @property
    def positions_per_window(self) -> int:
        """Encoder positions of a full attention window."""
        return self.positions_per_chunk * (self.n_window_infer // (2 * self.n_window))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "num_hidden_layers": self.encoder_layers}


@value_errors
@strict
class Qwen3ASRTextConfig(CheckedFields, Qwen3Config):
    r"""
    Configuration of [`Qwen3ASRTextModel`], a Qwen3 decoder with full attention in every layer.

    Args:
        vocab_size (`int`, defaults to 151936): entries of the vocabulary.
        hidden_size (`int`, defaults to 4096): width of the model.
        intermediate_size (`int`, defaults to 22016): width of the MLP.
        num_hidden_layers (`int`, defaults to 32): layers.
        num_attention_heads (`int`, defaults to 32): query heads.
        num_key_value_heads (`int`, defaults to 32): key and value heads; must divide `num_attention_heads`.
        head_dim (`int`, defaults to 128): width of a head; even. `None` means `hidden_size // num_attention_heads`.
        hidden_act (`str`, defaults to `"silu"`): activation of the MLP.
        max_position_embeddings (`int`, defaults to 128000): longest sequence the model is made for.
        initializer_range (`float`, defaults to 0.02): standard deviation of new weights.
        rms_norm_eps (`float`, defaults to 1e-6): epsilon of the norms.
        use_cache (`bool`, defaults to `True`): whether generation keeps keys and values.
        tie_word_embeddings (`bool`, defaults to `False`): whether a generation head shares the embedding's weights.
        rope_theta (`float`, defaults to 5000000.0): base of the rotary embedding.
        rope_scaling (`dict`, *optional*): scaling of the rotary embedding: `rope_type` (or `type`), one of default,
            linear, dynamic, yarn, longrope, llama3, and that type's keys (see `rope_validation.ROPE_KEYS`). v5's
            `rope_parameters` is understood as well and is the form kept in memory.
        attention_bias (`bool`, defaults to `False`): biases in the attention projections.
        attention_dropout (`float`, defaults to 0.0): dropout of attention probabilities, in training.

    Raises `ValueError` for a combination that cannot be built, naming the field.
    """

    model_type = "qwen3_asr_text"
    __eq__ = same_settings
    base_config_key = "text_config"
    default_theta = 5_000_000.0
    ignore_keys_at_rope_validation = set(MROPE_KEYS)
    field_kinds = TEXT_FIELDS
    known_model_types = (published.PUBLISHED_TEXT_TYPE,)

    hidden_size: int = 4096
    head_dim: int | None = 128
    max_position_embeddings: int = 128000

    def __post_init__(self, **kwargs):
        kwargs = without_generic(kwargs)
        kwargs.pop("type", None)
        if self.use_sliding_window or any(kind != "full_attention" for kind in self.layer_types or ()):
            raise ValueError(
                "text_config: use_sliding_window and sliding layer_types are not supported: the family attends fully"
            )
        self.layer_types = None  # follows num_hidden_layers
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            check_fields(
                vars(self), {key: TEXT_FIELDS[key] for key in ("hidden_size", "num_attention_heads")}, self.part_name
            )
            require(
                self.hidden_size % self.num_attention_heads == 0,
                f"num_attention_heads ({self.num_attention_heads}) must divide hidden_size ({self.hidden_size}) when "
                "head_dim is not given",
            )
            self.head_dim = self.hidden_size // self.num_attention_heads
        self.check_given(kwargs)  # before transformers makes a list as long as there are layers
        self.id2label = {}
        self.rope_parameters = self._standard_rope(
            kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", None), self.rope_parameters
        )
        super().__post_init__(**kwargs)
        self.id2label = self.label2id = None
        self.check()

    def _standard_rope(self, scaling: dict | None, theta: float | None, parameters: dict | None) -> dict[str, Any]:
        """One dictionary out of the old spellings (`type`, `rope_theta` beside `rope_scaling`) and the new one."""
        for name, value in (("rope_scaling", scaling), ("rope_parameters", parameters)):
            require(
                value is None or isinstance(value, dict), f"text_config: {name} must be a dictionary, got {value!r}"
            )
        rope = {**(parameters or {}), **(scaling or {})}
        for key, value in (parameters or {}).items():
            check_agreement(value, rope[key], f"text_config: rope_parameters' {key}", "rope_scaling's")
        old_type = rope.pop("type", None)
        rope.setdefault("rope_type", old_type or "default")
        if old_type is not None and old_type != rope["rope_type"]:
            raise ValueError(f"rope_scaling says type {old_type!r} and rope_type {rope['rope_type']!r}")
        if rope.get("rope_theta") is None:
            rope["rope_theta"] = self.default_theta if theta is None else theta
        elif theta is not None and theta != rope["rope_theta"]:
            raise ValueError(
                f"text_config: rope_theta is given twice: {theta}, and {rope['rope_theta']} in rope_parameters or "
                "rope_scaling"
            )
        if rope["rope_type"] in ("yarn", "longrope") and rope.get("original_max_position_embeddings") is None:
            rope["original_max_position_embeddings"] = self.max_position_embeddings  # as transformers fills it in
        return {key: value for key, value in rope.items() if value is not None}

    def validate_rope(self) -> None:
        parameters = getattr(self, "rope_parameters", None)
        if parameters:
            validate_rope_parameters(
                parameters,
                head_dim=self.head_dim,
                max_position_embeddings=self.max_position_embeddings,
                where="text_config: rope_scaling (rope_parameters)",
            )

    def check(self) -> None:
        """Raise `ValueError` naming the field for values that no text model can be built from."""
        self.check_fields()
        require(
            self.num_attention_heads % self.num_key_value_heads == 0,
            f"num_key_value_heads ({self.num_key_value_heads}) must divide num_attention_heads "
            f"({self.num_attention_heads})",
        )
        require(self.head_dim % 2 == 0, f"head_dim ({self.head_dim}) must be even for rotary embeddings")
        require(
            self.pad_token_id is None or 0 <= self.pad_token_id < self.vocab_size,
            f"text_config: pad_token_id ({self.pad_token_id}) is outside the vocabulary (vocab_size "
            f"{self.vocab_size})",
        )
        self.validate_rope()

    @property
    def rope_theta(self) -> float:
        """Base of the rotary embedding."""
        parameters = self.__dict__.get("rope_parameters")
        return parameters["rope_theta"] if parameters else self.default_theta

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        for key in ("id2label", "label2id", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types",
                    "rope_parameters", "ignore_keys_at_rope_validation"):  # fmt: skip
            output.pop(key, None)
        # The published spelling, mRoPE keys included: qwen-asr reads nothing else and crashes on a null rope_scaling.
        scaling = dict(self.rope_parameters)
        output["rope_theta"] = scaling.pop("rope_theta")
        scaling.setdefault("mrope_section", mrope_section(self.head_dim))
        scaling.setdefault("interleaved", True)
        scaling.setdefault("mrope_interleaved", True)
        scaling["type"] = scaling["rope_type"]
        output["rope_scaling"] = scaling
        return without_generic(output)

    def to_diff_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.to_dict().items() if key != "_name_or_path"}


class Qwen3ASRThinkerConfig(FamilyConfig):
    r"""
    Configuration of [`Qwen3ASRThinkerModel`]: the audio encoder and the text model behind it.

    Args:
        audio_config (`dict` or [`Qwen3ASRAudioEncoderConfig`], *optional*): the audio encoder.
        text_config (`dict` or [`Qwen3ASRTextConfig`], *optional*): the text model.
        audio_token_id (`int`, defaults to 151646): the token that audio takes the place of (151676 when published).
        audio_start_token_id (`int`, defaults to 151647): the token before audio (151669 when published).
        user_token_id (`int`, defaults to 872): the token of the user's turn.
        initializer_range (`float`, defaults to 0.02): standard deviation of a new head's weights.
        classify_num (`int`, *optional*): classes of an aligner's classifier; `None` for ASR models.

    Raises `ValueError` when the encoder's `output_dim` is not the text model's `hidden_size`.
    """

    model_type = "qwen3_asr_thinker"
    __eq__ = same_settings
    base_config_key = "thinker_config"
    sub_configs = {"audio_config": Qwen3ASRAudioEncoderConfig, "text_config": Qwen3ASRTextConfig}
    field_kinds = THINKER_FIELDS
    known_model_types = (published.PUBLISHED_MODEL_TYPE, published.PUBLISHED_ALIGNER_THINKER_TYPE)

    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    audio_token_id: int = 151646
    audio_start_token_id: int = 151647
    user_token_id: int = 872
    initializer_range: float = 0.02
    classify_num: int | None = None

    def __post_init__(self, **kwargs):
        self.audio_config = as_config(self.audio_config, Qwen3ASRAudioEncoderConfig, "audio_config")
        self.text_config = as_config(self.text_config, Qwen3ASRTextConfig, "text_config")
        super().__post_init__(**kwargs)
        # the documented default widths (3584, 4096) do not fit each other, and a default config must exist and be read
        # back; models check again
        widths = self.audio_config.output_dim, self.text_config.hidden_size
        if widths != (Qwen3ASRAudioEncoderConfig.output_dim, Qwen3ASRTextConfig.hidden_size):
            self.check()

    def check(self) -> None:
        """Raise `ValueError` naming the field for values that no model can be built from; the parts check theirs."""
        self.check_fields()
        require(
            self.audio_config.output_dim == self.text_config.hidden_size,
            f"thinker_config: audio_config's output_dim ({self.audio_config.output_dim}) must be text_config's "
            f"hidden_size ({self.text_config.hidden_size})",
        )
        vocabulary = self.text_config.vocab_size
        require(
            self.audio_token_id < vocabulary or self.audio_token_id == type(self).audio_token_id,
            f"thinker_config: audio_token_id ({self.audio_token_id}) is outside the vocabulary (vocab_size "
            f"{vocabulary})",
        )

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Qwen3ASRTextConfig:
        """The text model's configuration, whichever end is asked for: there is one."""
        return self.text_config

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        for key in ("classify_num", "dtype"):
            if output.get(key) is None:
                output.pop(key, None)
        if output["user_token_id"] == Qwen3ASRThinkerConfig.user_token_id:  # not in the published files
            output.pop("user_token_id")
        return output


class Qwen3ASRConfig(FamilyConfig):
    r"""
    Configuration of [`Qwen3ASRForConditionalGeneration`] and [`Qwen3ASRForTokenClassification`].

    Args:
        thinker_config (`dict` or [`Qwen3ASRThinkerConfig`], *optional*): the model.
        support_languages (`list[str]`, *optional*): names of the languages it was trained on.
        timestamp_token_id (`int`, *optional*): the token of a slot; aligners only.
        timestamp_segment_time (`int`, *optional*): milliseconds of a class, so that class k means k times this;
            aligners only.
        max_align_seconds (`float`, *optional*): the longest recording, in seconds, that the model aligns in one piece;
            aligners only. Left out, it is `align_seconds` that tells.
        classify_num (`int`, *optional*): the thinker's `classify_num`, accepted here too; `num_labels` is the same.

    The flat -hf configuration (`audio_config` and `text_config` at the top) is accepted and becomes the nested one.
    Raises `ValueError` for values that no model can be built from, naming the field.
    """

    model_type = published.PUBLISHED_MODEL_TYPE
    __eq__ = same_settings
    sub_configs = {"thinker_config": Qwen3ASRThinkerConfig}
    field_kinds = TOP_FIELDS
    known_model_types = (Qwen3ASRThinkerConfig.model_type,)  # a thinker saved by itself is read as a model's

    thinker_config: dict | PreTrainedConfig | None = None
    support_languages: list[str] | None = None
    timestamp_token_id: int | None = None
    timestamp_segment_time: int | float | None = None
    max_align_seconds: int | float | None = None

    def __init__(self, **kwargs: Any):
        check_fields(kwargs, {**GENERIC_FIELDS, **FILE_FIELDS, **TOP_FIELDS}, self.part_name)
        for part in ("audio_config", "text_config"):
            require(
                kwargs.get(part) is None or "thinker_config" not in kwargs,
                f"config: {part} stands beside thinker_config: it belongs inside (the published layout), or "
                "thinker_config does not belong here (the -hf layout)",
            )
        if published.is_hf_config(kwargs):
            kwargs = published.nest_hf_config(kwargs)
        for field in ("thinker_config", "support_languages", "timestamp_token_id", "timestamp_segment_time",
                      "max_align_seconds"):  # fmt: skip
            setattr(self, field, kwargs.pop(field, None))
        for field in ("transformers_version", "dtype", "architectures", "output_hidden_states", "return_dict",
                      "chunk_size_feed_forward", "is_encoder_decoder", "problem_type"):  # fmt: skip
            setattr(self, field, kwargs.pop(field, getattr(type(self), field)))
        self.__post_init__(**kwargs)

    def __post_init__(self, **kwargs):
        labels = kwargs.pop("id2label", None)
        kwargs.pop("label2id", None)
        num_labels, classify_num = kwargs.pop("num_labels", None), kwargs.pop("classify_num", None)
        if labels is not None:
            check_agreement(classify_num, len(labels), "config: classify_num", "the number of names in id2label")
            classify_num = len(labels)
        self.id2label = self.label2id = None
        thinker = self.thinker_config
        thinker_type = thinker.get("model_type") if isinstance(thinker, dict) else None
        self.thinker_config = as_config(thinker, Qwen3ASRThinkerConfig, "thinker_config")
        if thinker_type in (published.PUBLISHED_MODEL_TYPE, published.PUBLISHED_ALIGNER_THINKER_TYPE):
            self.thinker_config.model_type = thinker_type  # qwen-asr and vLLM choose the head by it
        if classify_num is not None:
            check_agreement(
                self.thinker_config.classify_num, classify_num, "thinker_config: classify_num", "the whole config's"
            )
        if num_labels is not None:  # transformers' own argument, for another number of classes than the file's
            classify_num = num_labels
        if classify_num is not None:
            self.thinker_config.classify_num = classify_num
        super().__post_init__(**kwargs)
        if self.dtype is None:
            self.dtype = self.thinker_config.dtype  # where the published files keep it
        # pipeline() tries the classes named here when a load fails, and transformers has a class of the published
        # name: it would answer with random weights. Written to files, not kept in memory.
        self.architectures = self.thinker_config.architectures = None
        if thinker_type == published.PUBLISHED_ALIGNER_THINKER_TYPE:
            require(
                self.classify_num is not None,
                "thinker_config: classify_num is missing, and model_type says that this is an aligner",
            )
        self._check_slots()

    def check(self) -> None:
        """Raise `ValueError` naming the field for values that no model can be built from."""
        self.check_fields()
        self.thinker_config.check()
        self._check_slots()

    def _check_slots(self) -> None:
        """The token of a slot is one of the text model's, and not the audio's."""
        token, vocabulary = self.timestamp_token_id, self.thinker_config.text_config.vocab_size
        if token is None:
            return
        require(
            token < vocabulary,
            f"config: timestamp_token_id ({token}) is outside the vocabulary (vocab_size {vocabulary})",
        )
        require(
            token != self.audio_token_id,
            f"config: timestamp_token_id ({token}) is also thinker_config's audio_token_id",
        )

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Qwen3ASRTextConfig:
        """The text model's configuration, reached through the thinker, whichever end is asked for: there is one."""
        return self.thinker_config.get_text_config(decoder=decoder, encoder=encoder)

    @property
    def _attn_implementation(self) -> str | None:
        return PreTrainedConfig._attn_implementation.fget(self)

    @_attn_implementation.setter
    def _attn_implementation(self, value: str | dict | None) -> None:
        PreTrainedConfig._attn_implementation.fset(self, nested_implementation(value))

    @property
    def classify_num(self) -> int | None:
        """Classes of the classifier; `None` for ASR models."""
        return self.thinker_config.classify_num

    @classify_num.setter
    def classify_num(self, value: int | None) -> None:
        self.thinker_config.classify_num = value

    @property
    def align_seconds(self) -> float | None:
        """
        Seconds of the longest recording that is aligned in one piece; `None` for ASR models.

        `max_align_seconds`, where the config has it. The published aligner's has not: it was trained on up to 300 s
        and is seen to lose the end of recordings from 270 s, so classes that reach 300 s give 180 s. Classes that
        reach less far were chosen for recordings as long as that.
        """
        if self.classify_num is None or not self.timestamp_segment_time:
            return None
        reach = self.classify_num * self.timestamp_segment_time / 1000
        if self.max_align_seconds is not None:
            return min(float(self.max_align_seconds), reach)
        return 180.0 if reach >= 300 else reach

    @property
    def audio_token_id(self) -> int:
        """The token that audio takes the place of; the thinker's."""
        return self.thinker_config.audio_token_id

    @audio_token_id.setter
    def audio_token_id(self, value: int) -> None:
        self.thinker_config.audio_token_id = value

    @property
    def initializer_range(self) -> float:
        """Standard deviation of a new head's weights; the thinker's."""
        return self.thinker_config.initializer_range

    @initializer_range.setter
    def initializer_range(self, value: float) -> None:
        self.thinker_config.initializer_range = value

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether a generation head shares the embedding's weights; the text model's."""
        return self.thinker_config.text_config.tie_word_embeddings

    @tie_word_embeddings.setter
    def tie_word_embeddings(self, value: bool) -> None:
        self.thinker_config.text_config.tie_word_embeddings = value

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        for key in ("support_languages", "timestamp_token_id", "timestamp_segment_time", "max_align_seconds"):
            if output.get(key) is None:
                output.pop(key, None)
        thinker = output["thinker_config"]
        aligner = thinker.get("classify_num") is not None
        thinker["model_type"] = published.PUBLISHED_ALIGNER_THINKER_TYPE if aligner else published.PUBLISHED_MODEL_TYPE
        thinker["text_config"]["model_type"] = published.PUBLISHED_TEXT_TYPE
        thinker["architectures"] = list(published.PUBLISHED_ARCHITECTURES)
        output["architectures"] = list(
            published.VLLM_ALIGNER_ARCHITECTURES if aligner else published.PUBLISHED_ARCHITECTURES
        )
        dtype = output.pop("dtype", None)
        if dtype is not None:
            thinker["dtype"] = dtype
        for part in ("audio_config", "text_config"):  # one dtype for the whole model, said once
            thinker[part].pop("dtype", None)
        return output


__all__ = [
    "Qwen3ASRAudioEncoderConfig",
    "Qwen3ASRConfig",
    "Qwen3ASRTextConfig",
    "Qwen3ASRThinkerConfig",
    "audio_token_lengths",
]
