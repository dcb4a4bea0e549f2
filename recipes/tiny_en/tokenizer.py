"""The bundled aligner's own tokenizer: a small byte-level BPE in Qwen2Tokenizer's files.

Words stand between special tokens in the aligner's prompt, so it is trained on words alone, without leading spaces.
"""

import json
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, Qwen2Tokenizer

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|audio_start|>",
    "<|audio_end|>",
    "<|audio_pad|>",
    "<timestamp>",
]


def train_tokenizer(words: Counter, folder: Path, size: int = 512) -> Qwen2Tokenizer:
    """Learn merges on `words` and write vocab.json, merges.txt, tokenizer.json and tokenizer_config.json to `folder`.

    Args:
        words: how often each word occurs; spelled as spoken and in lower case.
        size: entries before the special tokens, 256 bytes included.
    """
    learner = Tokenizer(models.BPE())
    # Qwen2Tokenizer's own division of a text comes first, so that no merge is learned that it would never use.
    learner.pre_tokenizer = Qwen2Tokenizer()._tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    learner.train_from_iterator((w for w, n in words.items() for _ in range(min(n, 200))), trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in learned["merges"]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(learned["vocab"], ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    first = len(learned["vocab"])
    added = {
        str(first + i): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for i, token in enumerate(SPECIAL)
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 8192,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
        "audio_token": "<|audio_pad|>",
        "extra_special_tokens": {
            "audio_bos_token": "<|audio_start|>",
            "audio_eos_token": "<|audio_end|>",
            "audio_token": "<|audio_pad|>",
        },
        "processor_class": "Qwen3ASRProcessor",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for i, token in enumerate(SPECIAL):
        if tokenizer.convert_tokens_to_ids(token) != first + i:
            raise ValueError(f"the saved tokenizer gives {token} the id {tokenizer.convert_tokens_to_ids(token)}")
    return tokenizer
