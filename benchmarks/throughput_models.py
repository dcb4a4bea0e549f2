"""The two models that benchmarks/throughput.py compares, with the same random weights, and what they need beside them.

Shapes are the published `Qwen3-ForcedAligner-0.6B`'s, from the package's own numbers; no file is read. The published
vocabulary is not among them: a stand-in of the same class gives a syllable a token, and the special tokens their
published ids, so that a word of one or two syllables costs as many tokens as an English word usually does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from transformers import Qwen2Tokenizer
from transformers.models.qwen3_asr import configuration_qwen3_asr as native_configuration
from transformers.models.qwen3_asr import feature_extraction_qwen3_asr as native_features
from transformers.models.qwen3_asr import modeling_qwen3_asr as native_modeling
from transformers.models.qwen3_asr import processing_qwen3_asr as native_processing

from transformers_qwen3_asr import (
    ForcedAlignmentPipeline,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)
from transformers_qwen3_asr.checkpoints.published import published_config, to_published_name
from transformers_qwen3_asr.processing.chat_templates import HF_ALIGNER

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # conversion/ is a tool beside the package

from conversion.configs import to_hf_config

NAME = "Qwen/Qwen3-ForcedAligner-0.6B"
RATE = 16000
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
AUDIO_TOKENS = {
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
    "audio_token": "<|audio_pad|>",
}
#: The published ids of the tokens that a prompt is made of.
TOKEN_IDS = {"<|endoftext|>": 151643, "<|im_end|>": 151645, "<|audio_start|>": 151669, "<|audio_end|>": 151670,
             "<|audio_pad|>": 151676, "<timestamp>": 151705}  # fmt: skip
#: What `--tiny` changes, for a run of seconds that tests the script and measures nothing.
TINY = {
    "audio": {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128,
              "output_dim": 64, "downsample_hidden_size": 16},
    "text": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2},
}  # fmt: skip


def config_arguments(tiny: bool = False) -> dict[str, Any]:
    """The published numbers as arguments of `Qwen3ASRConfig`; `tiny` makes layers few and narrow."""
    arguments = published_config(NAME)
    if tiny:
        arguments["thinker_config"]["audio_config"] |= TINY["audio"]
        arguments["thinker_config"]["text_config"] |= TINY["text"]
    return arguments


def tokenizer() -> Qwen2Tokenizer:
    """A stand-in for the published tokenizer; see the top of this file."""
    syllables = [c + v for c in CONSONANTS for v in VOWELS]
    vocabulary = {token: i for i, token in enumerate([*CONSONANTS, *VOWELS, *syllables])}
    stand_in = Qwen2Tokenizer(
        vocab={**vocabulary, **TOKEN_IDS},
        merges=[(c, v) for c in CONSONANTS for v in VOWELS],
        extra_special_tokens=AUDIO_TOKENS,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
    )
    stand_in.add_tokens(["<timestamp>"], special_tokens=True)
    wrong = {
        t: stand_in.convert_tokens_to_ids(t) for t, i in TOKEN_IDS.items() if stand_in.convert_tokens_to_ids(t) != i
    }
    if wrong:
        raise ValueError(f"the stand-in tokenizer does not have the published ids: {wrong}")
    return stand_in


def words(count: int, seed: int) -> str:
    """A text of `count` words of one or two syllables; a third of them have two."""
    random = np.random.default_rng(seed)
    letters = [
        "".join(random.choice(list(CONSONANTS)) + random.choice(list(VOWELS)) for _ in range(1 + (i % 3 == 2)))
        for i in range(count)
    ]
    return " ".join(letters)


def waveform(seconds: float, seed: int) -> np.ndarray:
    """Noise whose loudness rises and falls as syllables do, float32 at 16 kHz: what it says does not matter here."""
    random = np.random.default_rng(seed)
    samples = int(seconds * RATE)
    loudness = 0.55 + 0.45 * np.sin(np.arange(samples) * (2 * np.pi * 4 / RATE))
    return (0.1 * loudness * random.standard_normal(samples)).astype(np.float32)


@dataclass
class Pair:
    """Both models in evaluation mode, with processors of their own; the tensors of their weights are shared."""

    ours: Qwen3ASRForTokenClassification
    native: native_modeling.Qwen3ASRForTokenClassification
    processor: Qwen3ASRProcessor
    native_processor: native_processing.Qwen3ASRProcessor

    @property
    def pipeline(self) -> ForcedAlignmentPipeline:
        """Ours as users call it."""
        # random weights leave every word in doubt; the same passes as native's are compared
        return ForcedAlignmentPipeline(
            model=self.ours, processor=self.processor, device=self.ours.device, refine=False
        )


def make_pair(device: torch.device, dtype: torch.dtype, tiny: bool = False, attn: str = "sdpa", seed: int = 0) -> Pair:
    """Both models with random weights of the published shapes, or with `tiny` of smaller ones."""
    arguments = config_arguments(tiny)
    config = Qwen3ASRConfig(**arguments)
    hf = to_hf_config({**arguments, "architectures": ["Qwen3ASRForConditionalGeneration"]}, [151643, 151645])
    native_config = native_configuration.Qwen3ASRConfig(**hf)
    with init_empty_weights(include_buffers=False):
        ours = Qwen3ASRForTokenClassification._from_config(config, attn_implementation=attn)
        native = native_modeling.Qwen3ASRForTokenClassification._from_config(native_config, attn_implementation=attn)
    generator = torch.Generator(device).manual_seed(seed)
    weights = {}
    for name, parameter in ours.named_parameters():
        # so wide that every layer changes what comes out of the last: what is wrong anywhere is to be seen
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        tensor = torch.empty(parameter.shape, dtype=dtype, device=device).normal_(0, spread, generator=generator)
        weights[name] = tensor.add_(1) if "norm" in name and name.endswith("weight") else tensor
    ours.load_state_dict(weights, assign=True)
    # before its head transformers drops a tenth in training, which ours and qwen-asr's do not: not what is compared
    native.dropout.p = 0.0
    # the same tensors under the other layout's names
    native.load_state_dict({name: weights[to_published_name(name)] for name in native.state_dict()}, assign=True)
    token = tokenizer()
    return Pair(
        ours.to(device).eval(),
        native.to(device).eval(),
        Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), token),
        native_processing.Qwen3ASRProcessor(
            native_features.Qwen3ASRFeatureExtractor(), token, chat_template=HF_ALIGNER
        ),
    )
