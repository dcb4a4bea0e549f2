"""What is stored where: the published and the -hf checkpoint layouts as small tables.

Three repositories are published in the nested ("published") layout, which is the native one here. Each has a twin
whose name ends in -hf, written for the classes inside transformers: the "flat" layout. The tables below are everything
that differs between the two; loading, saving and `conversion/` read them. Nothing here imports torch.
"""

from __future__ import annotations

import re
from typing import Any

#: (published prefix, -hf prefix) of tensor names; the first match wins, so longer prefixes stand before shorter ones.
#: The head is named apart: an aligner's is `score.` in the -hf layout, an ASR model's is `lm_head.`.
TENSOR_PREFIXES: tuple[tuple[str, str], ...] = (
    ("thinker.audio_tower.proj1.", "model.multi_modal_projector.linear_1."),
    ("thinker.audio_tower.proj2.", "model.multi_modal_projector.linear_2."),
    ("thinker.audio_tower.", "model.audio_tower."),
    ("thinker.model.", "model.language_model."),
)
PUBLISHED_HEAD = "thinker.lm_head."
HF_CLASSIFIER_HEAD = "score."
HF_GENERATION_HEAD = "lm_head."

#: Parts of a full Qwen3-Omni checkpoint that these models do not have and skip when a file carries them.
SKIPPED_PREFIXES = ("talker.", "code2wav.")

#: `key_mapping` for `from_pretrained`: -hf tensor names to published ones. No pattern matches a published name.
HF_KEY_MAPPING: dict[str, str] = {
    **{"^" + re.escape(hf): published for published, hf in TENSOR_PREFIXES},
    "^" + re.escape(HF_CLASSIFIER_HEAD): PUBLISHED_HEAD,
    "^" + re.escape(HF_GENERATION_HEAD): PUBLISHED_HEAD,
}

#: Names of the model types in published config.json files.
PUBLISHED_MODEL_TYPE = "qwen3_asr"
PUBLISHED_ALIGNER_THINKER_TYPE = "qwen3_forced_aligner"
PUBLISHED_TEXT_TYPE = "qwen3"
PUBLISHED_ARCHITECTURES = ["Qwen3ASRForConditionalGeneration"]
#: What `architectures` must say of an aligner for vLLM to serve it. Published aligners carry the name above, and need
#: an override there. Others do not look: qwen-asr goes by the thinker's `model_type`, Auto classes by the top one.
VLLM_ALIGNER_ARCHITECTURES = ["Qwen3ASRForcedAlignerForTokenClassification"]

#: Top-level fields of a -hf config that live in `thinker_config` in the published layout.
HF_THINKER_FIELDS = ("audio_config", "text_config", "audio_token_id", "initializer_range")
#: Fields of the -hf audio config that follow from others (a table of 13 positions, as many key heads as heads).
HF_DERIVED_AUDIO_FIELDS = ("max_position_embeddings", "num_key_value_heads")

#: What transformers' own classes take for a field that a -hf config leaves out; the published layout has others.
HF_AUDIO_DEFAULTS: dict[str, Any] = {
    "num_mel_bins": 128, "encoder_layers": 24, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "d_model": 1024,
    "n_window": 50, "output_dim": 3584, "n_window_infer": 800, "downsample_hidden_size": 480,
}  # fmt: skip
HF_TEXT_DEFAULTS: dict[str, Any] = {"max_position_embeddings": 32768, "rope_theta": 10000.0}
#: The same where there is no `text_config` at all.
HF_WHOLE_TEXT_DEFAULTS: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 65536, "tie_word_embeddings": True,
}  # fmt: skip
HF_TOKEN_DEFAULTS = {"audio_token_id": 151676, "timestamp_token_id": 151705}

#: Dimensions of the published models, by repository name: enough to make each of their tensors' shapes.
PUBLISHED_MODELS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen3-ForcedAligner-0.6B": {
        "audio": {"d_model": 1024, "encoder_layers": 24, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096,
                  "output_dim": 1024},
        "text": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
                 "num_key_value_heads": 8, "vocab_size": 152064, "max_position_embeddings": 8192,
                 "tie_word_embeddings": False},
        "classify_num": 5000, "timestamp_token_id": 151705, "timestamp_segment_time": 80,
    },
    "Qwen/Qwen3-ASR-0.6B": {
        "audio": {"d_model": 896, "encoder_layers": 18, "encoder_attention_heads": 14, "encoder_ffn_dim": 3584,
                  "output_dim": 1024},
        "text": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
                 "num_key_value_heads": 8, "vocab_size": 151936, "max_position_embeddings": 65536,
                 "tie_word_embeddings": True},
    },
    "Qwen/Qwen3-ASR-1.7B": {
        "audio": {"d_model": 1024, "encoder_layers": 24, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096,
                  "output_dim": 2048},
        "text": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
                 "num_key_value_heads": 8, "vocab_size": 151936, "max_position_embeddings": 65536,
                 "tie_word_embeddings": True},
    },
}  # fmt: skip
#: What the three published models have in common.
PUBLISHED_COMMON: dict[str, dict[str, Any]] = {
    "audio": {"n_window": 50, "n_window_infer": 800, "num_mel_bins": 128, "downsample_hidden_size": 480,
              "conv_chunksize": 500, "max_source_positions": 1500},
    "text": {"head_dim": 128, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 1000000,
             "rope_scaling": {"rope_type": "default", "type": "default", "interleaved": True,
                              "mrope_interleaved": True, "mrope_section": [24, 20, 20]}},
    "thinker": {"audio_start_token_id": 151669, "audio_end_token_id": 151670, "audio_token_id": 151676},
}  # fmt: skip


def published_config(name: str) -> dict[str, Any]:
    """Arguments of `Qwen3ASRConfig` for a published model, from the numbers above (no file is read).

    Raises `ValueError` for a name that is not in `PUBLISHED_MODELS`.
    """
    if name not in PUBLISHED_MODELS:
        raise ValueError(f"{name!r} is not a published model; those are {', '.join(PUBLISHED_MODELS)}")
    numbers = PUBLISHED_MODELS[name]
    thinker = {
        **PUBLISHED_COMMON["thinker"],
        "audio_config": {**PUBLISHED_COMMON["audio"], **numbers["audio"]},
        "text_config": {**PUBLISHED_COMMON["text"], **numbers["text"]},
    }
    config = {"thinker_config": thinker}
    if "classify_num" in numbers:
        thinker["classify_num"] = numbers["classify_num"]
        config |= {key: numbers[key] for key in ("timestamp_token_id", "timestamp_segment_time")}
    return config


def to_published_name(name: str) -> str:
    """The published name of a tensor of the -hf layout. `ValueError` if the table has no entry for it."""
    for published, hf in (
        *TENSOR_PREFIXES,
        (PUBLISHED_HEAD, HF_CLASSIFIER_HEAD),
        (PUBLISHED_HEAD, HF_GENERATION_HEAD),
    ):
        if name.startswith(hf):
            return published + name[len(hf) :]
    raise ValueError(f"tensor {name!r} does not belong to the -hf layout")


def to_hf_name(name: str, *, aligner: bool) -> str:
    """The -hf name of a tensor of the published layout. `ValueError` if the table has no entry for it."""
    head = HF_CLASSIFIER_HEAD if aligner else HF_GENERATION_HEAD
    for published, hf in (*TENSOR_PREFIXES, (PUBLISHED_HEAD, head)):
        if name.startswith(published):
            return hf + name[len(published) :]
    raise ValueError(f"tensor {name!r} does not belong to the published layout")


def is_hf_config(config: dict[str, Any]) -> bool:
    """Whether a config.json's dictionary is of the flat -hf layout."""
    return "thinker_config" not in config and ("audio_config" in config or "text_config" in config)


def nest_hf_config(config: dict[str, Any]) -> dict[str, Any]:
    """A flat -hf config as the nested published one; the argument is left as it is.

    The -hf layout says "aligner" by its architecture, counts classes by listing label names, and gives every model a
    `timestamp_token_id`; the published layout has that token in aligners only.
    """
    config = dict(config)
    if config.pop("token_classification_bias", False):
        raise ValueError(
            "config: token_classification_bias=True is not supported: the published classifier has no bias"
        )
    thinker = {key: config.pop(key) for key in HF_THINKER_FIELDS if key in config}
    thinker.setdefault("audio_token_id", HF_TOKEN_DEFAULTS["audio_token_id"])
    audio, text = thinker.get("audio_config"), thinker.get("text_config")
    if audio is None or isinstance(audio, dict):
        thinker["audio_config"] = {"model_type": "qwen3_asr_audio_encoder", **HF_AUDIO_DEFAULTS, **(audio or {})}
    if text is None or isinstance(text, dict):
        text = dict(HF_WHOLE_TEXT_DEFAULTS if text is None else text)
        rope = (text.get(key) for key in ("rope_parameters", "rope_scaling"))
        told = any(isinstance(part, dict) and "rope_theta" in part for part in rope)
        defaults = {key: value for key, value in HF_TEXT_DEFAULTS.items() if not (told and key == "rope_theta")}
        thinker["text_config"] = {**defaults, **text}
    labels = config.pop("id2label", None)
    config.pop("label2id", None)
    architectures = config.pop("architectures", None) or []
    if "Qwen3ASRForTokenClassification" in architectures or (labels is not None and len(labels) > 2):
        count = config.pop("classify_num", None)
        if not labels and count is None:
            raise ValueError("config: id2label is missing or empty, and architectures says that this is an aligner")
        if labels and count not in (None, len(labels)):
            raise ValueError(f"config: classify_num is {count!r}, and id2label has {len(labels)} names")
        thinker["classify_num"] = len(labels) if labels else count
        config.setdefault("timestamp_token_id", HF_TOKEN_DEFAULTS["timestamp_token_id"])
    else:
        for key in ("timestamp_token_id", "timestamp_segment_time", "max_align_seconds"):
            config.pop(key, None)
    # generation defaults stand in generation_config.json of the published layout. The tie stays: the -hf classes heed
    # the field at the top alone, whatever their text config says. An aligner ties nothing.
    for key in ("eos_token_id", "pad_token_id", *(("tie_word_embeddings",) if "classify_num" in thinker else ())):
        config.pop(key, None)
    config["thinker_config"] = thinker
    return config
