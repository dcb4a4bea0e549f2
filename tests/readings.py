"""Recordings for tests: readings with their words, one by one and joined, and samples as the bytes of a file."""

import io
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from conftest import GOLDENS, ROOT

from transformers_qwen3_asr.audio import load_audio

RATE = 16000
READINGS = [
    (
        ROOT / "examples" / "sense_and_sensibility.flac",
        "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do "
        "for them",
    ),
    (
        GOLDENS / "clips" / "sense_0890.flac",
        "unless to be rather cold hearted and rather selfish is to be ill disposed",
    ),
]
#: Debian's package pocketsphinx-testdata has three more of the same reader; without it these two come more often.
MORE = Path("/usr/share/pocketsphinx/test/data/librivox")


def loaded(pipe):
    """(samples, words, times by themselves) of each, as the fixture `readings` gives them."""
    found = list(READINGS)
    if MORE.is_dir():
        lines = (MORE / "transcription").read_text(encoding="utf-8").splitlines()
        pairs = [re.fullmatch(r"<s> (.*) </s> \((.*)\)", line).groups() for line in lines]
        found = [(MORE / f"{name}.wav", text) for text, name in pairs]
    loaded = []
    for path, text in found:
        samples = load_audio(path)
        result = pipe(samples, text=text)
        loaded.append((samples, text.split(), times_of(result)))
    return loaded


def times_of(result):
    return np.array([chunk["timestamp"] for chunk in result["chunks"]]).reshape(-1, 2)


def joined(readings, seconds, seed=0, pauses=(0.3, 4.0), first=0.0):
    """Readings one behind the other: samples, words, the times that each reading has by itself."""
    random = np.random.default_rng(seed)
    parts, words, times, at = [np.zeros(int(first * RATE))], [], [], first
    while at < seconds:
        for place in random.permutation(len(readings)):
            samples, said, alone = readings[place]
            pause = np.zeros(int(random.uniform(*pauses) * RATE))
            parts += [samples, pause]
            words += said
            times.append(alone + at)
            at += (len(samples) + len(pause)) / RATE
    samples = np.concatenate(parts)
    return (samples + random.normal(0, 1e-4, len(samples))).astype(np.float32), words, np.concatenate(times)


def encoded(channels, rate=RATE, container="wav", codec="pcm_s16le", layout=None):
    """`channels` `(channels, samples)` as the bytes of a file."""
    channels = np.atleast_2d(channels)
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()
