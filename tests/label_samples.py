"""Label files for tests: a recording, rows, and short ways to write and to read them."""

import json
import wave

import numpy as np
import pytest

from transformers_qwen3_asr.formats import read_labels

SECONDS = 3.0


def recording(path, seconds=SECONDS, rate=8000):
    """A WAV file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).integers(-3000, 3000, round(seconds * rate), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def write(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding=encoding)
    return path


def labels(*words):
    """`("so", 0.1, 0.4)` as a row holds it."""
    return [{"text": text, "start": start, "end": end} for text, start, end in words]


def triples(row):
    return [(word["text"], word["start"], word["end"]) for word in row["words"]]


def row_of(*words, **more):
    return {"audio": "speech.wav", "words": labels(*words), **more}


def problems_of(source, **options):
    with pytest.warns(UserWarning, match="left out"):
        rows = read_labels(source, on_error="skip", **options)
    return rows, [str(problem) for problem in rows.problems]


GOOD = (("so", 0.1, 0.4), ("it", 0.5, 0.75), ("goes", 0.75, 1.25))


def text_grid(path, tiers, form="short_textgrid", seconds=SECONDS):
    """A TextGrid as praatio, which MFA writes with, saves it."""
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    grid = Textgrid(0, seconds)
    for name, entries in tiers.items():
        grid.addTier(IntervalTier(name, entries, 0, seconds))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(path), form, includeBlankSpaces=True)
    return path


MFA = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 3.0 
tiers? <exists> 
size = 2 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "words" 
        xmin = 0 
        xmax = 3.0 
        intervals: size = 6 
        intervals [1]:
            xmin = 0 
            xmax = 0.33 
            text = "" 
        intervals [2]:
            xmin = 0.33 
            xmax = 0.71 
            text = "don't" 
        intervals [3]:
            xmin = 0.71 
            xmax = 1.2 
            text = "say" 
        intervals [4]:
            xmin = 1.2 
            xmax = 1.5 
            text = "<eps>" 
        intervals [5]:
            xmin = 1.5 
            xmax = 1.98 
            text = "hello" 
        intervals [6]:
            xmin = 1.98 
            xmax = 3.0 
            text = "sil" 
    item [2]:
        class = "IntervalTier" 
        name = "phones" 
        xmin = 0 
        xmax = 3.0 
        intervals: size = 3 
        intervals [1]:
            xmin = 0 
            xmax = 0.33 
            text = "" 
        intervals [2]:
            xmin = 0.33 
            xmax = 1.98 
            text = "spn" 
        intervals [3]:
            xmin = 1.98 
            xmax = 3.0 
            text = "" 
'''  # fmt: skip  # noqa: W291

CTM = """;; made by hand
;; file channel start duration word confidence
speech 1 0.10 0.30 so 0.99
speech 1 0.50 0.26 it
other A 0.00 0.90 <eps> 1.00
speech 1 0.75 0.50 goes 1.00 ;; the end
other A 0.90 0.40 well 0.50 lex speaker
other B 1.40 0.20 yes
"""
