"""config.json in both layouts.

Published to -hf is a table here. The other direction is the package's own: `Qwen3ASRConfig` reads either layout and
writes the published one; what the -hf layout leaves out (languages, the ids around the audio) is added.
"""

from __future__ import annotations

from typing import Any

from transformers_qwen3_asr import Qwen3ASRConfig
from transformers_qwen3_asr.checkpoints.published import PUBLISHED_ARCHITECTURES, is_hf_config

AUDIO_FIELDS = ("activation_dropout", "activation_function", "attention_dropout", "conv_chunksize", "d_model",
                "downsample_hidden_size", "dropout", "encoder_attention_heads", "encoder_ffn_dim", "encoder_layers",
                "initializer_range", "n_window", "n_window_infer", "num_mel_bins", "output_dim",
                "scale_embedding")  # fmt: skip
TEXT_FIELDS = ("attention_bias", "attention_dropout", "head_dim", "hidden_act", "hidden_size", "initializer_range",
               "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers",
               "num_key_value_heads", "rms_norm_eps", "tie_word_embeddings", "use_cache", "vocab_size")  # fmt: skip
#: What a -hf text config says beside them, the same for every model of the family.
TEXT_CONSTANTS = {
    "model_type": "qwen3",
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "max_window_layers": 28,
    "sliding_window": None,
    "use_sliding_window": False,
}
MROPE_KEYS = ("interleaved", "mrope_interleaved", "mrope_section")
#: `timestamp_token_id` of a -hf ASR config, which has no such token: the default of the class inside transformers.
HF_TIMESTAMP_TOKEN = 151705
HF_SEGMENT_TIME = 80

#: Languages as the published configs list them; the -hf ones list none.
ALIGNER_LANGUAGES = ("Chinese", "Cantonese", "English", "German", "Spanish", "French", "Italian", "Portuguese",
                     "Russian", "Korean", "Japanese")  # fmt: skip
ASR_LANGUAGES = ("Chinese", "English", "Cantonese", "Arabic", "German", "French", "Spanish", "Portuguese",
                 "Indonesian", "Italian", "Korean", "Russian", "Thai", "Vietnamese", "Japanese", "Turkish", "Hindi",
                 "Malay", "Dutch", "Swedish", "Danish", "Finnish", "Polish", "Czech", "Filipino", "Persian", "Greek",
                 "Romanian", "Hungarian", "Macedonian")  # fmt: skip


def languages_of(aligner: bool) -> list[str]:
    """The published list for an aligner or an ASR model."""
    return list(ALIGNER_LANGUAGES if aligner else ASR_LANGUAGES)


def to_hf_config(raw: dict[str, Any], stop_ids: list[int]) -> dict[str, Any]:
    """A published config.json's dictionary as the -hf one.

    Args:
        raw: the published dictionary.
        stop_ids: ids that end an answer, `<|endoftext|>` and `<|im_end|>` in this order; the last one is what the -hf
            configs pad with.

    Raises `ValueError` for a config that is not of the published layout.
    """
    if is_hf_config(raw) or "thinker_config" not in raw:
        raise ValueError("config.json is not of the published layout: it has no thinker_config")
    config = Qwen3ASRConfig(**raw)
    thinker, audio, text = config.thinker_config, config.thinker_config.audio_config, config.get_text_config()
    aligner = config.classify_num is not None
    rope = {key: value for key, value in text.rope_parameters.items() if key not in MROPE_KEYS}
    output = {
        "architectures": ["Qwen3ASRForTokenClassification" if aligner else "Qwen3ASRForConditionalGeneration"],
        "audio_config": {
            **{field: getattr(audio, field) for field in AUDIO_FIELDS},
            "model_type": "qwen3_asr_encoder",
            "max_position_embeddings": audio.positions_per_chunk,
            "num_key_value_heads": audio.encoder_attention_heads,
        },
        "audio_token_id": thinker.audio_token_id,
        "dtype": config.to_dict()["thinker_config"].get("dtype", "float32"),
        "eos_token_id": list(stop_ids),
        "initializer_range": thinker.initializer_range,
        "model_type": "qwen3_asr",
        "pad_token_id": stop_ids[-1],
        "text_config": {
            **TEXT_CONSTANTS,
            **{field: getattr(text, field) for field in TEXT_FIELDS},
            "layer_types": ["full_attention"] * text.num_hidden_layers,
            "rope_parameters": rope,
        },
        "tie_word_embeddings": aligner or text.tie_word_embeddings,  # no matter that nothing in an aligner is tied
        "timestamp_token_id": config.timestamp_token_id if aligner else HF_TIMESTAMP_TOKEN,
        "token_classification_bias": False,
        "transformers_version": raw.get("transformers_version"),
    }
    if aligner:
        # the class count is told by the label names, all of them
        output["id2label"] = {i: f"LABEL_{i}" for i in range(config.classify_num)}
        output["label2id"] = {f"LABEL_{i}": i for i in range(config.classify_num)}
        output["timestamp_segment_time"] = config.timestamp_segment_time
        if config.max_align_seconds is not None:
            output["max_align_seconds"] = config.max_align_seconds  # not a field there, either
    if config.support_languages not in (None, languages_of(aligner)):
        output["support_languages"] = config.support_languages  # not a field there, but kept for the way back
    return output


def to_published_config(raw: dict[str, Any], token_ids: dict[str, int]) -> dict[str, Any]:
    """A -hf config.json's dictionary as the published one.

    Args:
        raw: the -hf dictionary.
        token_ids: id of every added token by its text, for the ids that only the published layout states.

    Raises `ValueError` for a config that is not of the -hf layout.
    """
    if not is_hf_config(raw):
        raise ValueError("config.json is not of the -hf layout: audio_config and text_config must stand at its top")
    config = Qwen3ASRConfig(**raw)
    if config.support_languages is None:
        config.support_languages = languages_of(config.classify_num is not None)
    output = config.to_dict()
    thinker = output["thinker_config"]
    thinker["audio_start_token_id"] = token_ids["<|audio_start|>"]
    thinker["audio_end_token_id"] = token_ids["<|audio_end|>"]
    output["architectures"] = list(PUBLISHED_ARCHITECTURES)  # the published file, not what the package saves for vLLM
    output["transformers_version"] = raw.get("transformers_version")
    return output
