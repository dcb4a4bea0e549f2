"""A recording as a page holds it: small, played by every browser, at the same times as before."""

import base64
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from ..audio.decoding import is_unrated
from ..audio.streams import AudioStream

_RATE = 48000  # hertz that Opus is decoded at, whatever went in
_MODEL_RATE = 16000  # of samples that do not say theirs
_BITS_PER_SECOND = 24000  # speech hardly gains from more; Firefox takes 32 MB as a URL, nearly two hours of it
_READ_SECONDS = 10
_PEAKS_PER_SECOND = 20
_MOST_PEAKS = 1200  # about as many as a screen has columns for them


@dataclass(frozen=True)
class Sound:
    """A recording as a `data:` URL, its length in seconds, and how loud it is (0 to 100) from beginning to end."""

    url: str
    seconds: float
    peaks: list[int]


def encoded(audio: Any) -> Sound:
    """
    A recording, in any form that `load_audio` takes, as one channel of Opus in WebM.

    Opus, because it is the smallest for speech and, unlike MP3 and AAC, states the encoder's delay such that all
    players leave it out. It is read piece by piece, so that it may last hours.

    Raises `ValueError`, naming the source, where it cannot be decoded.
    """
    file, peaks, position = io.BytesIO(), [], 0
    audio = (audio, _MODEL_RATE) if is_unrated(audio) else audio
    with AudioStream(audio, _RATE, kept_seconds=0) as stream, av.open(file, "w", format="webm") as container:
        track = container.add_stream("libopus", rate=_RATE, layout="mono")
        track.bit_rate = _BITS_PER_SECOND
        while len(samples := stream.read(position, position + _READ_SECONDS * _RATE)):
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = _RATE, position, Fraction(1, _RATE)
            container.mux(track.encode(frame))
            peaks += _peaks(samples, _RATE // _PEAKS_PER_SECOND)
            position += len(samples)
        container.mux(track.encode(None))
    loud = _peaks(np.array(peaks), -(-len(peaks) // _MOST_PEAKS))
    url = "data:audio/webm;base64," + base64.b64encode(file.getvalue()).decode()
    return Sound(url, position / _RATE, [round(100 * peak / (max(loud) or 1)) for peak in loud])


def _peaks(samples: np.ndarray, size: int) -> list[float]:
    """The largest of each `size` samples."""
    return [float(peak) for peak in np.maximum.reduceat(np.abs(samples), range(0, len(samples), size))]
