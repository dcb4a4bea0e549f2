"""Tiny models and inputs of the real shape, for tests that compare a model with itself or with an oracle."""

import torch

from transformers_qwen3_asr import Qwen3ASRConfig
from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths

AUDIO = 90  # token ids of the tiny vocabulary
TIMESTAMP = 91
PAD = 92


def tiny_config(*, classes: int | None = 50, audio: dict | None = None, text: dict | None = None, **top):
    """A config with few and narrow layers; windows of two seconds, so that short clips have several."""
    audio_config = {
        "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "output_dim": 32,
        "downsample_hidden_size": 8, "num_mel_bins": 32, "n_window": 50, "n_window_infer": 200, **(audio or {}),
    }  # fmt: skip
    text_config = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "max_position_embeddings": 4096,
        "rope_theta": 10000.0, "tie_word_embeddings": classes is None, **(text or {}),
    }  # fmt: skip
    thinker = {"audio_config": audio_config, "text_config": text_config, "audio_token_id": AUDIO}
    if classes is not None:
        thinker["classify_num"] = classes
        top = {"timestamp_token_id": TIMESTAMP, "timestamp_segment_time": 80, **top}
    return Qwen3ASRConfig(thinker_config=thinker, **top)


def widen(model):
    """Weights wide enough that a wrong mask or a wrong position shows in the outputs."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 2.0 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return model.eval()


def tiny_inputs(config, frames=(330, 120, 615), words=(4, 2, 7), side="right", seed=0):
    """A batch of random clips of `frames` mel frames, each with a prompt of `words` words and two slots a word."""
    generator = torch.Generator().manual_seed(seed)
    audio = config.thinker_config.audio_config
    rows = []
    for n, count in zip(frames, words):
        row = [1, *[AUDIO] * audio_token_lengths(n, audio.n_window), 2]
        for _ in range(count):
            row += [int(torch.randint(3, 80, (), generator=generator)), TIMESTAMP, TIMESTAMP]
        rows.append(torch.tensor(row))
    length = max(map(len, rows))
    input_ids = torch.full((len(rows), length), PAD)
    attention_mask = torch.zeros(len(rows), length, dtype=torch.long)
    features = torch.randn(len(rows), audio.num_mel_bins, max(frames), generator=generator)
    features_mask = torch.zeros(len(rows), max(frames), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(length - len(row), length)
        input_ids[i, place] = row
        attention_mask[i, place] = 1
        features_mask[i, : frames[i]] = 1
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "input_features": features,
        "input_features_mask": features_mask,
    }


def slots(inputs):
    """Boolean mask of the slots."""
    return inputs["input_ids"] == TIMESTAMP
