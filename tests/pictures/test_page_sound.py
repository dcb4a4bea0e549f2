"""The sound of a page: what a decoder of other hands reads out of it is what went in, at the same times."""

import base64
import io

import av
import numpy as np
import pytest
from conftest import ROOT

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.pictures.sound import encoded

RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"


def decoded(sound):
    """Samples at 48 kHz."""
    kind, data = sound.url.split(",")
    assert kind == "data:audio/webm;base64"
    with av.open(io.BytesIO(base64.b64decode(data))) as container:
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def test_speech_stays_where_it_was():
    expected, found = load_audio(RECORDING, 48000), decoded(encoded(RECORDING))
    size = min(len(expected), len(found))
    assert len(expected) <= len(found) < len(expected) + 0.02 * 48000
    spectra = np.fft.rfft(expected[:size], 2 * size), np.fft.rfft(found[:size], 2 * size)
    likeness = np.fft.irfft(spectra[0].conj() * spectra[1])
    lag = likeness.argmax()
    assert min(lag, 2 * size - lag) <= 48  # a millisecond
    assert likeness.max() > 0.9 * np.linalg.norm(expected) * np.linalg.norm(found)


@pytest.mark.parametrize("form", ["path", "text", "bytes", "array", "rated", "row", "stereo"])
def test_recordings_in_any_form(form):
    samples = load_audio(RECORDING)
    audio = {
        "path": RECORDING,
        "text": str(RECORDING),
        "bytes": RECORDING.read_bytes(),
        "array": samples,
        "rated": (samples[::2], 8000),
        "row": {"array": samples, "sampling_rate": 16000},
        "stereo": np.stack([samples, samples]),
    }[form]
    sound = encoded(audio)
    assert sound.seconds == pytest.approx(len(samples) / 16000, abs=0.001)
    assert len(decoded(sound)) / 48000 == pytest.approx(sound.seconds, abs=0.02)


def test_peaks_say_how_loud_it_is():
    samples = np.repeat([0.0, 0.2, 0.4, 0.1], 16000).astype(np.float32)
    peaks = encoded(samples).peaks
    assert len(peaks) == 4 * 20
    medians = np.array([np.median(part) for part in np.split(np.array(peaks), 4)])
    assert max(peaks) == 100 and medians / medians[2] == pytest.approx([0, 0.5, 1, 0.25], abs=0.03)
    assert len(encoded(np.zeros(16000 * 200, np.float32)).peaks) <= 1200


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.full(16000, np.nan, np.float32), "NaN"),
        (b"no sound", "cannot be decoded"),
        (ROOT / "none.wav", "no such file"),
    ],
)
def test_what_is_no_recording_is_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        encoded(audio)
