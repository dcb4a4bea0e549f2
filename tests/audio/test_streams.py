"""Audio that is decoded as it is read."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from readings import RATE, encoded

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.streams import AudioStream


def tone(seconds, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (200 + 20 * time) * time)).astype(np.float32)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16000),
        ("wav", "pcm_s16le", 44100),
        ("flac", "flac", 48000),
        ("mp3", "libmp3lame", 44100),
        ("ipod", "aac", 44100),
        ("ogg", "libopus", 48000),
    ],
)
def test_what_is_read_of_a_stream_is_what_a_whole_decode_has_there(container, codec, rate):
    content = encoded(tone(20, rate), rate, container, codec)
    whole = load_audio(content)
    with AudioStream(content, RATE, kept_seconds=3) as stream:
        # forward, overlapping, far ahead, back within what is kept, back behind it, beyond the end and back again
        places = (
            (0, 2),
            (1.5, 4),
            (10, 12.3),
            (9.5, 11),
            (0.25, 1),
            (19, 25),
            (18, 19),
            (30, 31),
            (3, 3),
            (2, 5),
            (4, 9),
        )
        for start, stop in places:
            first, past = int(start * RATE), int(stop * RATE)
            assert np.array_equal(stream.read(first, past), whole[first:past])
        assert stream.samples == len(whole)


def test_every_source_streams_alike(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(tone(6)))
    whole = load_audio(path)
    with open(path, "rb") as file:
        for source in (path, str(path), path.as_uri(), path.read_bytes(), io.BytesIO(path.read_bytes()), file, whole):
            stream = AudioStream(source, RATE, kept_seconds=1)
            for first, past in ((0, 9000), (80000, 90000), (16000, 20000)):
                assert np.array_equal(stream.read(first, past), whole[first:past])
            if not hasattr(source, "read"):
                copy = pickle.loads(pickle.dumps(stream))
                assert np.array_equal(copy.read(100, 900), whole[100:900])
            stream.close()
            if isinstance(source, Path):
                assert np.array_equal(stream.read(100, 900), whole[100:900])
                stream.close()


def test_quiet_passages_of_a_stream_stay_quiet():
    """Samples above 1, as floats may be: each stretch by itself divided by its own peak would be as loud as any."""
    samples = np.concatenate([20000 * tone(2), 20 * tone(2), 20000 * tone(2)]).astype(np.float32)
    with AudioStream(encoded(samples, codec="pcm_f32le"), RATE) as stream:
        read = [stream.read(start * RATE, (start + 2) * RATE) for start in (0, 2, 4, 2)]
    np.testing.assert_allclose(np.concatenate(read[:3]), load_audio(samples), atol=1e-6)
    assert np.array_equal(read[1], read[3])


def test_streams_hold_what_they_are_told_to(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(tone(60)))
    stream = AudioStream(path, RATE, kept_seconds=4)
    most = 0
    for second in range(0, 60, 2):
        stream.read(second * RATE, (second + 2) * RATE)
        most = max(most, sum(len(part) for part in stream._parts))
    stream.close()
    assert most <= 6.5 * RATE


def test_streams_name_what_is_wrong(tmp_path):
    for source, message in (
        (b"nothing", "7 bytes cannot be decoded"),
        (tmp_path / "none.wav", "there is no such file"),
        (encoded(tone(1))[:44], "empty|cannot be decoded"),
        (np.zeros(0, np.float32), "the recording is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            AudioStream(source).read(0, 100)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    stream = AudioStream(Pipe(encoded(tone(20))), RATE, kept_seconds=1)
    assert len(stream.read(10 * RATE, 11 * RATE)) == RATE
    with pytest.raises(ValueError, match="cannot be read twice; give its path or its bytes"):
        stream.read(0, RATE)
