"""Clips of a few words, cut out of the recording in examples/, and stand-ins for an aligner of a corpus."""

import io
import time
import wave
from functools import cache

import numpy as np
from conftest import ROOT

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.corpus.rows import row_of

RATE = 16000
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
WORDS = RECORDING.with_suffix(".txt").read_text(encoding="utf-8").replace(",", "").replace(".", "").split()
#: Where each word starts, and where the last one ends, as the bundled aligner has them (seconds).
TIMES = (
    *(0.25, 0.38, 0.66, 1.02, 1.57, 1.84, 2.25, 2.72, 2.90, 3.46, 3.99, 4.40),
    *(4.52, 4.81, 4.94, 5.49, 5.59, 5.77, 6.05, 6.17, 6.34, 6.63, 6.79),
)


@cache
def samples():
    return load_audio(RECORDING, RATE)


def clips(count, seed=0):
    """Rows `{"id", "audio", "text"}` of 0.5 to 2 s each, no two alike: two to six words, as WAV files in memory."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        first = int(random.integers(len(WORDS) - 2))
        last = min(first + int(random.integers(2, 7)), len(WORDS))
        clip = samples()[int(TIMES[first] * RATE) : int(TIMES[last] * RATE)] * random.uniform(0.3, 1.0)
        rows.append({"id": f"clip-{number:05d}", "audio": wav(clip), "text": " ".join(WORDS[first:last])})
    return rows


def wav(clip):
    """Samples from -1 to 1 as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes((np.clip(clip, -1, 1) * 32767).astype(np.int16).tobytes())
    return file.getvalue()


class FakeAligner:
    """
    What `align_corpus` asks of a `CorpusAligner`, in no time: rows whose text is "bad" fail; `seconds` a row, and what
    `each_row` does beside.
    """

    reads_ahead = False

    def __init__(self, seconds=0.0, each_row=None):
        self.seconds, self.each_row, self.rows = seconds, each_row, []

    def each(self, rows):
        for place, row in enumerate(map(row_of, rows)):
            self.rows.append(row.id)
            if self.each_row is not None:
                self.each_row(row)
            time.sleep(self.seconds)
            yield place, result(row)


def result(row):
    """A result as `CorpusAligner` gives it."""
    failed = row.error or ("it fails" if row.text == "bad" else None)
    word = {"text": "one", "start": 0.1, "end": 0.4, "score": 0.9, "char_start": 0, "char_end": 3}
    return {
        "id": row.id,
        "text": row.text,
        "language": None,
        "words": [] if failed else [word],
        "score": None if failed else 0.9,
        "fits": None if failed else True,
        "unfit": [],
        "untranscribed": [],
        "duration": 1.0,
        "seconds": 0.1,
        "error_kind": "alignment" if failed else None,
        "error": failed,
    }
