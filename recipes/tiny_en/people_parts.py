"""Training parts of people's speech on disk, and who says or checks the times of their words."""

import json
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import ForcedAlignmentPipeline
from transformers_qwen3_asr.checkpoints import resolve_model

CLIPS_A_PART = 100
#: Of texts that are all in capitals, one in so many stays so; the others are written small.
CAPITALS = 5


def aligner(name: str) -> ForcedAlignmentPipeline:
    """The aligner of that name, or in that folder."""
    folder = resolve_model(name)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return ForcedAlignmentPipeline(model=model, processor=AutoProcessor.from_pretrained(folder), device="cpu")


def capitals_or_not(name: str, text: str) -> str:
    """The text of the recording `name`, written small if it is all in capitals, but for one in `CAPITALS`."""
    return text.lower() if text.isupper() and zlib.crc32(name.encode()) % CAPITALS else text


def write_part(
    stem: Path, clips: list[tuple[str, str, np.ndarray, list[list], list[list]]], left_out: Counter
) -> None:
    """Write the part `stem`: each clip's speaker, text, features, words and phones; and what was `left_out`."""
    entries, blocks, first = [], [], 0
    for speaker, text, block, words, phones in clips:
        entry = {"engine": "people", "voice": speaker, "text": text, "first": first, "frames": len(block)}
        entries.append({**entry, "words": words, "phones": phones})
        blocks.append(block)
        first += len(block)
    np.save(stem.with_suffix(".npy"), np.concatenate(blocks) if blocks else np.zeros((0, 128), np.float16))
    stem.with_suffix(".counts").write_text(json.dumps(left_out))
    # The JSON is written last and in one step: a part without it is made again.
    partial = stem.with_suffix(".partial")
    partial.write_text(json.dumps(entries))
    partial.rename(stem.with_suffix(".json"))


def part_seconds(stem: Path) -> float:
    """Seconds of speech in a part that is there."""
    return sum(entry["frames"] for entry in json.loads(stem.with_suffix(".json").read_text())) / 100


def left_out_before(stem: Path) -> Counter:
    """How many recordings were left out of a part that is there, for what reason; parts of older runs do not say."""
    counts = stem.with_suffix(".counts")
    return Counter(json.loads(counts.read_text()) if counts.exists() else {})


def _make_missing(job: tuple[Path, list], make: Callable[[Path, list], Counter]) -> tuple[str, float, Counter]:
    """Make a part that is not there; returns its name, its seconds, and how many were left out for what reason."""
    stem, recordings = job
    torch.set_num_threads(1)
    there = stem.with_suffix(".json").exists()
    left_out = left_out_before(stem) if there else make(stem, recordings)
    return stem.name, part_seconds(stem), left_out


def make_parts(
    folder: Path, recordings: list, make: Callable[[Path, list], Counter], processes: int, left_out: Counter
) -> None:
    """Let `make` make every part that is not in `folder`, of recordings of all speakers, in so many processes.

    It is given the part's stem and its recordings, and returns how many were left out for what reason, which is added
    to `left_out` and printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(recordings))
    jobs = [
        (folder / f"people-{number:03d}", [recordings[i] for i in order[start : start + CLIPS_A_PART]])
        for number, start in enumerate(range(0, len(recordings), CLIPS_A_PART))
    ]
    seconds = 0.0
    with get_context("spawn").Pool(processes) as pool:
        for name, length, more in pool.imap(partial(_make_missing, make=make), jobs):
            left_out += more
            seconds += length
            print(f"{name}: {seconds / 3600:.2f} h so far, left out {dict(left_out)}", flush=True)
