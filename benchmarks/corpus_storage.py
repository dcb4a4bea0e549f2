"""Bytes that a corpus's shards take for a word: 512 rows of 25 words, with times and scores as of an aligner.

    python benchmarks/corpus_storage.py

Texts are drawn from the words of this project's pages, the first of them most often (Zipf's law).
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np

from transformers_qwen3_asr.corpus import CorpusFolder
from transformers_qwen3_asr.corpus.folder import shards

ROWS, WORDS = 512, 25
ROOT = Path(__file__).resolve().parents[1]


def result(random: np.random.Generator, vocabulary: list[str]) -> dict:
    """A row as `CorpusAligner` gives it; rows of 25 words last some nine seconds."""
    chances = 1 / np.arange(1, len(vocabulary) + 1)
    words, text, end = [], "", 0.0
    for word in random.choice(vocabulary, WORDS, p=chances / chances.sum()).tolist():
        start = end + random.exponential(0.05)
        end = start + random.uniform(0.1, 0.5)
        text = f"{text} {word}" if text else word
        times = {"start": round(start, 3), "end": round(end, 3), "score": float(random.random())}
        words.append({"text": word, **times, "char_start": len(text) - len(word), "char_end": len(text)})
    known = {"id": random.bytes(32).hex(), "text": text, "language": "English", "duration": end, "words": words}
    judged = {"score": float(random.random()), "fits": True, "unfit": [], "untranscribed": []}
    return {**known, **judged, "seconds": float(random.random()), "error_kind": None, "error": None}


def main() -> None:
    random = np.random.default_rng(0)
    pages = " ".join(page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/*.md")))
    vocabulary = sorted(set(re.findall(r"[a-z]+", pages.lower())))
    random.shuffle(vocabulary)
    results = [result(random, vocabulary) for _ in range(ROWS)]
    with tempfile.TemporaryDirectory() as temporary, CorpusFolder(temporary) as folder:
        folder.write(results)
        size = sum(shard.stat().st_size for shard in shards(temporary))
    seconds = sum(row["duration"] for row in results)
    hour = size / seconds * 3600 / 1e6
    print(f"{size / ROWS / WORDS:.1f} bytes a word, {size / ROWS:.0f} a row, {hour:.2f} MB an hour of speech")


if __name__ == "__main__":
    main()
