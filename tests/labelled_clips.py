"""Labelled recordings for tests of training: pieces of the demo recording, with the bundled aligner's word times."""

import json
import wave
from functools import cache
from pathlib import Path

import numpy as np
from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.audio import load_audio

ROOT = Path(__file__).resolve().parents[1]
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
RATE = 16000


@cache
def demo_words():
    """The demo recording's samples, and its words with times in seconds."""
    align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), device="cpu")
    text = RECORDING.with_suffix(".txt").read_text(encoding="utf-8").strip()
    chunks = align(str(RECORDING), text=text, language="English")["chunks"]
    words = [{"text": c["text"], "start": c["timestamp"][0], "end": c["timestamp"][1]} for c in chunks]
    return load_audio(str(RECORDING)), words


def write_wave(path, samples):
    """Mono 16-bit samples at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes())


def write_clips(folder, count, words=3):
    """
    `count` clips of up to `words` words each, from all over the recording, and `labels.jsonl`; gives its path.

    Rows differ in length, so that batches are padded and differ in slots.
    """
    samples, spoken = demo_words()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(count):
        first = (i * words) % (len(spoken) - words)
        piece = spoken[first : first + 1 + i % words]
        begin = max(0.0, piece[0]["start"] - 0.1)
        end = min(len(samples) / RATE, piece[-1]["end"] + 0.1)
        write_wave(folder / f"{i:03}.wav", samples[int(begin * RATE) : int(end * RATE)])
        length = (int(end * RATE) - int(begin * RATE)) / RATE
        shifted = [
            {"text": w["text"], "start": round(w["start"] - begin, 3), "end": round(min(w["end"] - begin, length), 3)}
            for w in piece
        ]
        text = " ".join(w["text"] for w in piece)
        lines.append({"audio": f"{i:03}.wav", "text": text, "language": "English", "words": shifted})
    labels = folder / "labels.jsonl"
    labels.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return labels
