"""Utterances as recordings on disk and rows of a label file."""

import wave
from pathlib import Path

import numpy as np
from features import to_16k
from speakers import Utterance


def write_wave(path: Path, samples: np.ndarray) -> None:
    """Write int16 samples at 16 kHz as WAV."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(samples.tobytes())


def labelled_recording(
    spoken: Utterance | None, path: Path, text: str, language: str, voice: str, seconds: tuple[float, float]
) -> dict | None:
    """
    Write an utterance to `path` (WAV, 16 kHz, 16 bit) and return its row, with "seconds", the length, besides.

    `None`, and no file, for no utterance or one that is not as long as the range `seconds` asks.
    """
    if spoken is None:  # the engine joined or split words, so that it has no exact times for them
        return None
    samples = to_16k(spoken.samples, spoken.rate)
    length = len(samples) / 16000
    if not seconds[0] <= length <= seconds[1]:
        return None
    write_wave(path, (samples.clip(-1, 1) * 32767).astype(np.int16))
    words = [{"text": word, "start": round(start, 4), "end": round(end, 4)} for word, start, end in spoken.words]
    row = {"audio": str(path), "text": text, "language": language, "voice": voice, "words": words}
    return {**row, "seconds": length}
