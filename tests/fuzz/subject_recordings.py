"""Recordings: files of many formats with broken bytes, headers that lie, arrays of all types and shapes."""

import base64
import io
import struct
from fractions import Fraction

SHARE = 30
SECONDS = 30
FORMATS = {
    "wav": ("wav", "pcm_s16le"),
    "float.wav": ("wav", "pcm_f32le"),
    "adpcm.wav": ("wav", "adpcm_ms"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "webm": ("webm", "libopus"),
    "ogg": ("ogg", "libopus"),
    "mka": ("matroska", "flac"),
    "aiff": ("aiff", "pcm_s16be"),
    "au": ("au", "pcm_mulaw"),
    "caf": ("caf", "pcm_s24le"),
}
LAYOUTS = ("mono", "stereo", "5.1")
RATES = (8000, 16000, 22050, 44100, 48000)
EDGES = (0, 1, 7, 8, 9, 16, 64, 65, 255, 999, 1000, 2**15, 2**16 - 1, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "U3", "O", "M8[s]", "S2")


def prepare():
    import torch  # noqa: F401

    import transformers_qwen3_asr.audio.streams
    import transformers_qwen3_asr.formats  # noqa: F401


def make(random, folder):
    kind = random.choice(("file", "file", "file", "header", "header", "array", "garbage"))
    if kind == "array":
        return _array(random)
    name = "recording.bin"
    if kind == "file":
        form = random.choice(list(FORMATS))
        name = f"recording.{form.rpartition('.')[2]}"
        data = _broken(random, _encoded(random, *FORMATS[form]))
    elif kind == "header":
        data = _header(random)
    else:
        heads = (
            b"",
            b"RIFF\0\0\0\0WAVE",
            b"fLaC",
            b"ID3\4",
            b"OggS",
            b"\x1aE\xdf\xa3",
            b"#EXTM3U\n",
            b"\0\0\0\x20ftyp",
        )
        data = random.choice(heads) + random.randbytes(random.choice((0, 1, 10, 1000, 50_000)))
    (folder / name).write_bytes(data)
    form = random.choice(("path", "path", "bytes", "file", "base64"))
    begin = base64.b64encode(data).decode()[:40]
    names = [name, f"the audio given as {len(data)} bytes", "BytesIO"] + (["''", begin] if form == "base64" else [])
    return {"kind": "file", "name": name, "form": form, "names": names}


def _encoded(random, container, codec):
    import av
    import numpy as np

    layout, rate = random.choice(LAYOUTS), random.choice(RATES)
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    if codec in ("libmp3lame", "adpcm_ms") and channels > 2:
        layout, channels = "stereo", 2
    if codec == "libopus":
        rate = 48000
    samples = np.random.default_rng(random.randrange(2**32)).normal(0, 0.1, (channels, rate // random.choice((1, 4))))
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _broken(random, data):
    data = bytearray(data)
    for _ in range(random.choice((0, 0, 1, 1, 2, 20))):
        # headers matter most
        at = random.randrange(min(len(data), random.choice((64, 512, len(data), len(data))))) if data else 0
        how = random.randrange(6)
        if how == 0:
            data[at : at + 1] = random.randbytes(1)
        elif how == 1:
            data[at : at + 4] = struct.pack(random.choice("<>") + "I", random.choice(EDGES))
        elif how == 2:
            del data[at : at + random.choice((1, 4, 100))]
        elif how == 3:
            data[at:at] = random.randbytes(random.choice((1, 4, 100)))
        elif how == 4:
            del data[len(data) - random.randrange(len(data) + 1) :]
        else:
            data[at:at] = data[at : at + random.choice((4, 100, 5000))]
    return bytes(data)


def _header(random):
    """A WAV file whose header holds numbers at the edges."""
    channels, bits = random.choice((1, 2, *EDGES)) % 2**16, random.choice((8, 16, 24, 32, 64, *EDGES)) % 2**16
    rate, tag = (
        random.choice((16000, *EDGES)),
        random.choice((1, 1, 3, 6, 7, 0x11, 0x55, 0xFFFE, random.randrange(2**16))),
    )
    data = random.randbytes(random.choice((0, 1, 100, 20_000)))
    align = random.choice((channels * bits // 8, *EDGES)) % 2**16
    size = random.choice((len(data), len(data), *EDGES))
    form = struct.pack("<HHIIHH", tag, channels, rate, random.choice((rate * align, *EDGES)) % 2**32, align, bits)
    chunk = b"fmt " + struct.pack("<I", len(form)) + form
    return b"RIFF" + struct.pack("<I", 36) + b"WAVE" + chunk + b"data" + struct.pack("<I", size) + data


def _array(random):
    return {
        "kind": "array",
        "shape": [random.choice((0, 1, 2, 3, 40, 200)) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))],
        "dtype": random.choice(DTYPES),
        "spread": random.choice((0.0, 1.0, 1e3, 1e30, float("inf"), float("nan"))),
        "as": random.choice(("array", "tensor", "list", "dict")),
        "rate": random.choice(
            (*[None] * 9, *[8000, 16000, 44100.0] * 4, True, "16000", float("nan"), -1, 1e30, *EDGES)
        ),
        "seed": random.randrange(2**32),
        # a list that is one text is taken for a file's name
        "names": [
            *("the samples (", "audio given as", "the recording is empty", "its position", "its rate"),
            "is no existing file",
        ],
    }


def run(case, folder):
    import numpy as np

    from transformers_qwen3_asr.audio import load_audio
    from transformers_qwen3_asr.audio.streams import AudioStream
    from transformers_qwen3_asr.formats import audio_duration

    if case["kind"] == "array":
        samples = load_audio(_samples(case))
    else:
        path = folder / case["name"]
        data = path.read_bytes()
        text = base64.b64encode(data).decode()
        source = {"path": path, "bytes": data, "file": io.BytesIO(data), "base64": text}[case["form"]]
        samples = load_audio(source)
        with AudioStream(path) as stream:
            assert np.abs(stream.read(0, 100) - samples[:100]).max() < 1e-6 or np.abs(samples).max() > 0.999
            assert len(stream.read(0, 10**9)) == len(samples)
        assert audio_duration(path) >= 0
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1 + 1e-6


def _samples(case):
    import numpy as np
    import torch

    with np.errstate(all="ignore"):
        random = np.random.default_rng(case["seed"])
        values = np.asarray(random.normal(0, 1, case["shape"]) * case["spread"])
        values = (values if case["dtype"] != "M8[s]" else np.nan_to_num(values).astype("i8")).astype(case["dtype"])
    samples = values
    if case["as"] == "list":
        samples = values.tolist()
    elif case["as"] == "tensor" and values.dtype.kind in "fiub":
        samples = torch.from_numpy(values.copy())
    elif case["as"] == "dict":
        return {"array": samples, "sampling_rate": case["rate"]}
    return samples if case["rate"] is None else (samples, case["rate"])
