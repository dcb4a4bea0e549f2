"""The bundled aligner's shape: the published architecture, small."""

from transformers_qwen3_asr.models.configuration_qwen3_asr import Qwen3ASRConfig

SEGMENT_MILLISECONDS = 20
CLASSES = 1600  # 32 seconds
MAX_ALIGN_SECONDS = 16  # longer recordings are aligned in windows; the longest training clip that is not joined


def build_config(tokenizer) -> Qwen3ASRConfig:
    """Config of the aligner for `tokenizer` (its special tokens' ids and its size)."""
    token = tokenizer.convert_tokens_to_ids
    audio = {
        "num_mel_bins": 128,
        "d_model": 128,
        "encoder_layers": 6,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 512,
        "downsample_hidden_size": 24,
        "output_dim": 160,
        "n_window": 50,
        "n_window_infer": 800,
        "max_source_positions": 1500,
    }
    text = {
        "vocab_size": -(-len(tokenizer) // 8) * 8,
        "hidden_size": 160,
        "intermediate_size": 448,
        "num_hidden_layers": 5,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "rope_theta": 1e4,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": token("<|im_end|>"),
    }
    thinker = {
        "model_type": "qwen3_forced_aligner",
        "audio_config": audio,
        "text_config": text,
        "audio_token_id": token("<|audio_pad|>"),
        "audio_start_token_id": token("<|audio_start|>"),
        "audio_end_token_id": token("<|audio_end|>"),
        "classify_num": CLASSES,
    }
    return Qwen3ASRConfig(
        thinker_config=thinker,
        support_languages=["English"],
        timestamp_token_id=token("<timestamp>"),
        timestamp_segment_time=SEGMENT_MILLISECONDS,
        max_align_seconds=MAX_ALIGN_SECONDS,
    )
