"""Write the folder that ships: bfloat16 weights, config, tokenizer and preprocessor files."""

import shutil
from pathlib import Path

import torch

from transformers_qwen3_asr.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from transformers_qwen3_asr.modeling_qwen3_asr import Qwen3ASRForTokenClassification

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")


def export(trained: Path, tokenizer: Path, target: Path) -> None:
    """Write the aligner in `trained` with the tokenizer in `tokenizer` to `target`, in the published layout."""
    model = Qwen3ASRForTokenClassification.from_pretrained(trained, dtype=torch.bfloat16)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    Qwen3ASRFeatureExtractor().save_pretrained(target)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, target / name)
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size / 1e6:.2f} MB")
    if size > 8e6:
        raise ValueError(f"{target} takes {size} bytes; at most 8 MB are allowed")
