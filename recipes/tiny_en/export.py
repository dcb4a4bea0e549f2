"""Write the folder that ships: bfloat16 weights, config and the processor's files, in the published layout."""

from pathlib import Path

import torch
from architecture import MAX_ALIGN_SECONDS
from transformers import AutoTokenizer

from transformers_qwen3_asr import Qwen3ASRFeatureExtractor, Qwen3ASRForTokenClassification, Qwen3ASRProcessor

LICENSE_NOTE = """\
tiny-en, the aligner bundled with transformers_qwen3_asr: Apache License 2.0, like the package.

Trained from nothing by recipes/tiny_en, first on speech that eSpeak NG, Flite and Festival synthesized from the King
James Bible, the fortunes of Debian and a word list, then on recordings of people and their transcripts:

- LibriSpeech (V. Panayotov, G. Chen, D. Povey, S. Khudanpur), CC BY 4.0, www.openslr.org/12 and /31
- speechocean762 (J. Zhang and others), CC BY 4.0, www.openslr.org/101
- Common Voice (Mozilla and its contributors), CC0
- readings of LJ Speech's texts (public domain) that were published under the Apache License 2.0

No recording, and no part of another model, is in it. See model_cards/tiny-en.md.
"""


def export(trained: Path, tokenizer: Path, target: Path) -> None:
    """Write the aligner in `trained` with the tokenizer in `tokenizer` to `target`.

    Raises `ValueError` where the folder would be larger than the 8 MB that the package has for it.
    """
    model = Qwen3ASRForTokenClassification.from_pretrained(trained, dtype=torch.bfloat16)
    model.config.max_align_seconds = MAX_ALIGN_SECONDS  # asked of the export, since only alignment heeds it
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    processor = Qwen3ASRProcessor(
        Qwen3ASRFeatureExtractor(),
        AutoTokenizer.from_pretrained(tokenizer),
        timestamp_segment_time=model.config.timestamp_segment_time,
    )
    processor.save_pretrained(target)
    (target / "LICENSE-NOTE.txt").write_text(LICENSE_NOTE, encoding="utf-8")
    for path in target.iterdir():
        path.chmod(0o644)  # weights are written for their owner alone; a package is for everybody
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size / 1e6:.2f} MB")
    if size > 8e6:
        raise ValueError(f"{target} takes {size} bytes; at most 8 MB are allowed")
