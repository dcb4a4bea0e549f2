"""Write the folder that ships: bfloat16 weights, config and the processor's files, in the published layout."""

from pathlib import Path

import torch
from architecture import MAX_ALIGN_SECONDS
from transformers import AutoTokenizer

from transformers_qwen3_asr import Qwen3ASRFeatureExtractor, Qwen3ASRForTokenClassification, Qwen3ASRProcessor

LICENSE_NOTE = """\
tiny-en, the aligner bundled with transformers_qwen3_asr: Apache License 2.0, like the package.

Trained from nothing by recipes/tiny_en, first on speech that eSpeak NG, Flite and Festival synthesized from the King
James Bible, the fortunes of Debian and a word list.

{people}

No recording, and no part of another model, is in it. See model_cards/tiny-en.md.
"""
NOT_NAMED = "Recordings of people that it may have been trained on, too, were not named when it was exported."


def license_note(people_note: str | None) -> str:
    """What the folder's LICENSE-NOTE.txt says."""
    return LICENSE_NOTE.format(people=people_note.strip() if people_note else NOT_NAMED)


def export(trained: Path, tokenizer: Path, target: Path, people_note: str | None = None) -> None:
    """Write the aligner in `trained` with the tokenizer in `tokenizer` to `target`; `people_note` is what its note
    says of the recordings of people that it was trained on.

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
    (target / "LICENSE-NOTE.txt").write_text(license_note(people_note), encoding="utf-8")
    for path in target.iterdir():
        path.chmod(0o644)  # weights are written for their owner alone; a package is for everybody
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size / 1e6:.2f} MB")
    if size > 8e6:
        raise ValueError(f"{target} takes {size} bytes; at most 8 MB are allowed")
