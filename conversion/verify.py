"""Do a published folder and a -hf folder compute the same? A step of its own, because it loads the models whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.models.qwen3_asr import modeling_qwen3_asr as native

from transformers_qwen3_asr import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths


@dataclass(frozen=True)
class Comparison:
    """Largest difference of the two folders' logits on the same input, and the largest logit, both in float32."""

    difference: float
    largest: float
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"logits {list(self.shape)}: largest difference {self.difference:.2e}, largest logit {self.largest:.2f}"


def sample_inputs(config: Qwen3ASRConfig, seconds: float = 9.3, tokens: int = 24, seed: int = 0) -> dict:
    """Random features and ids with the structure of a prompt: audio between text, slots where the model has them.

    The native encoder takes whole chunks only, so the features are padded to one; `seconds` should exceed one
    attention window (8 s in the published models), so that a model without windows would show.
    """
    generator = torch.Generator().manual_seed(seed)
    audio = config.thinker_config.audio_config
    frames = int(seconds * 100)
    padded = -(-frames // (2 * audio.n_window)) * 2 * audio.n_window
    features = torch.randn(1, audio.num_mel_bins, padded, generator=generator)
    mask = (torch.arange(padded) < frames).long()[None]
    features = features * mask[:, None]
    special = {config.audio_token_id, config.timestamp_token_id}
    plain = torch.tensor([i for i in range(min(config.get_text_config().vocab_size, 1000)) if i not in special])
    text = plain[torch.randint(len(plain), (tokens,), generator=generator)]
    if config.timestamp_token_id is not None:
        text[2::3] = config.timestamp_token_id
    heard = torch.full((int(audio_token_lengths(frames, audio.n_window)),), config.audio_token_id)
    ids = torch.cat([text[:4], heard, text[4:]])[None]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "input_features": features,
        "input_features_mask": mask,
    }


@torch.no_grad()
def _logits(model_class, folder: Path, inputs: dict) -> torch.Tensor:
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model(**inputs).logits


def compare(published: str | Path, hf: str | Path) -> Comparison:
    """Logits of `published` through this package's class against those of `hf` through transformers' own class.

    The models are loaded one after the other, in float32 (about 4 bytes a parameter each).
    """
    config = Qwen3ASRConfig.from_pretrained(published)
    inputs = sample_inputs(config)
    if config.classify_num is not None:
        ours, theirs = Qwen3ASRForTokenClassification, native.Qwen3ASRForTokenClassification
    else:
        ours, theirs = Qwen3ASRForConditionalGeneration, native.Qwen3ASRForConditionalGeneration
    first = _logits(ours, Path(published), inputs)
    second = _logits(theirs, Path(hf), inputs)
    if first.shape != second.shape:
        raise ValueError(f"logits are {list(first.shape)} and {list(second.shape)}")
    return Comparison(float((first - second).abs().max()), float(first.abs().max()), tuple(first.shape))


def verify(published: str | Path, hf: str | Path, tolerance: float = 1e-3) -> Comparison:
    """`compare`, and `ValueError` with the numbers when the logits differ by more than `tolerance`."""
    comparison = compare(published, hf)
    if not comparison.difference <= tolerance:  # NaN fails too
        raise ValueError(f"{published} and {hf} do not compute the same: {comparison}")
    return comparison
