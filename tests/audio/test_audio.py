"""Recordings in every form that `load_audio` takes."""

import base64
import functools
import http.server
import io
import subprocess
import sys
import threading
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from conftest import ROOT
from readings import encoded

from transformers_qwen3_asr.audio import audio_list, load_audio, load_audios

RATE = 16000


def tone(rate=RATE, seconds=1.0, amplitude=0.5):
    """A tone that rises from 300 to 900 Hz within a second, so that a shift shows."""
    time = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * (300 + 300 * time) * time)).astype(np.float32)


def assert_tone(samples, seconds=1.0, amplitude=0.5, off=0.02, slack=0, measure=np.max):
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert abs(len(samples) - seconds * RATE) <= max(2, slack)
    inner = samples[1600:12800]  # away from what resampling and codecs do at the edges
    expected = tone(amplitude=amplitude)[1600:12800]
    assert measure(np.abs(inner - expected)) < off


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "tone.wav"
    path.write_bytes(encoded(tone()))
    return path


@pytest.fixture(scope="module")
def server(wav):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(wav.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_files_bytes_and_text_forms(wav, server):
    content = wav.read_bytes()
    text = base64.b64encode(content).decode()
    expected = load_audio(wav)
    assert_tone(expected)
    for source in (
        str(wav),
        content,
        bytearray(content),
        io.BytesIO(content),
        text,
        f"data:audio/wav;base64,{text}",
        "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        wav.as_uri(),
        f"{server}/tone.wav",
        {"path": str(wav), "bytes": None},
        {"path": "a name alone", "bytes": content},
    ):
        assert np.array_equal(load_audio(source), expected)
    with open(wav, "rb") as file:
        assert np.array_equal(load_audio(file), expected)


def test_sample_forms():
    samples = tone()
    decoder = SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(samples)[None], sample_rate=RATE)
    )
    for source in (
        samples,
        samples.astype(np.float64),
        samples.tolist(),
        torch.from_numpy(samples),
        (samples, RATE),
        (torch.from_numpy(samples), np.int64(RATE)),
        (samples.tolist(), RATE),
        (samples, torch.tensor(RATE)),
        (samples, np.array(RATE)),
        {"raw": samples, "sampling_rate": RATE},
        {"array": samples, "sampling_rate": RATE, "path": None},
        {"array": samples.tolist(), "sampling_rate": RATE},
        decoder,
    ):
        assert np.array_equal(load_audio(source), samples)


def test_samples_are_copied_unless_that_is_not_wanted():
    samples = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    assert not np.shares_memory(load_audio(samples), samples)
    assert np.shares_memory(load_audio(samples, copy=False), samples)
    assert not np.shares_memory(load_audio(3 * samples, copy=False), samples)
    samples.flags.writeable = False
    assert not np.shares_memory(load_audio(samples, copy=False), samples)


def test_rows_of_datasets(wav):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"audio": [str(wav)]}).cast_column("audio", datasets.Audio(decode=False))
    assert np.array_equal(load_audio(rows[0]["audio"]), load_audio(wav))
    assert len(load_audios(rows["audio"])) == 1


def test_no_decoder_of_others_is_needed():
    """transformers itself may import one that is there: so they are taken away, and files are decoded still."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torchcodec', 'librosa', 'soundfile', 'torchaudio']));"
        "from transformers_qwen3_asr.audio import load_audio; print(len(load_audio(sys.argv[1])))"
    )
    file = ROOT / "examples" / "sense_and_sensibility.flac"
    result = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "113600"


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16000),
        ("wav", "pcm_u8", 16000),
        ("wav", "pcm_f32le", 44100),
        ("flac", "flac", 16000),
        ("mp3", "libmp3lame", 16000),
        ("mp3", "libmp3lame", 44100),
        ("ipod", "aac", 44100),  # m4a
        ("mp4", "aac", 48000),
        ("webm", "libopus", 48000),
        ("ogg", "libopus", 48000),
    ],
)
def test_containers(container, codec, rate):
    samples = load_audio(encoded(tone(rate), rate, container, codec))
    if codec.startswith(("pcm", "flac")):
        assert_tone(samples)
    else:  # whole blocks, with artefacts here and there; a shift by a millisecond would be off by 0.3 in the middle
        assert_tone(samples, off=0.03, slack=2500, measure=np.median)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_any_rate_from_files_and_from_arrays(rate):
    assert_tone(load_audio((tone(rate), rate)), off=1e-3)
    assert_tone(load_audio(encoded(tone(rate), rate)), off=1e-3)
    with_rate = load_audio((tone(rate), rate), sampling_rate=8000)
    assert abs(len(with_rate) - 8000) <= 2


def test_channels_are_averaged():
    left, right = tone(amplitude=0.6), tone(amplitude=0.2)
    both = np.stack([left, right])
    for source in (
        both,
        both.T,
        (both, RATE),
        torch.from_numpy(both),
        encoded(both),
        encoded(both, codec="pcm_f32le"),
    ):
        assert_tone(load_audio(source), amplitude=0.4, off=1e-3)
    six = np.stack([tone(amplitude=0.1 * k) for k in range(6)])
    assert_tone(load_audio(six), amplitude=0.25, off=1e-3)
    assert_tone(load_audio(encoded(six)), amplitude=0.25, off=1e-3)
    stereo_at_44100 = np.stack([tone(44100, amplitude=0.6), tone(44100, amplitude=0.2)])
    assert_tone(load_audio((stereo_at_44100, 44100)), amplitude=0.4, off=1e-3)


def test_integers_are_scaled_by_their_type():
    samples = tone()
    assert_tone(load_audio((samples * 32768).astype(np.int16)), off=1e-4)
    assert_tone(load_audio((samples * 2.0**31).astype(np.int32)), off=1e-6)
    assert_tone(load_audio((samples * 128 + 128).astype(np.uint8)), off=0.01)
    assert_tone(load_audio(torch.from_numpy((samples * 32768).astype(np.int16))), off=1e-4)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, list, torch.tensor])
def test_integers_of_64_bits_are_any_whole_numbers(kind):
    """Scaled by their type they would be silence."""
    whole = np.abs(32768 * tone()).astype(np.int64)
    samples = load_audio(kind(whole.tolist()) if kind in (list, torch.tensor) else whole.astype(kind))
    np.testing.assert_allclose(samples, whole / whole.max(), atol=1e-6)


def test_a_peak_above_one_is_brought_back():
    assert np.abs(load_audio(tone(amplitude=4.0))).max() == pytest.approx(1.0)
    assert np.array_equal(load_audio(tone(amplitude=0.9)), tone(amplitude=0.9))


def test_what_cannot_be_loaded_is_named(tmp_path, server):
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"not audio at all")
    silent_movie = io.BytesIO()
    with av.open(silent_movie, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        output.mux(stream.encode(None))
    nan = tone()
    nan[5] = np.nan
    for source, message in (
        ("no/such/file.wav", "'no/such/file.wav' is no existing file"),
        (tmp_path / "none.wav", r"none\.wav' cannot be decoded: there is no such file"),
        (noise, r"noise\.wav' cannot be decoded"),
        (b"nothing", "7 bytes cannot be decoded"),
        (base64.b64encode(b"nothing here" * 5).decode(), "cannot be decoded"),
        ("clips/one", "'clips/one' is no existing file"),  # letters of base64, too few for a recording
        ("", "'' is no existing file"),
        (str(tmp_path), "is a folder"),
        (io.StringIO("text"), "opened as text"),
        ((16000, tone()), r"\(samples, rate\) is expected"),
        ("data:audio/wav,abc", "without ';base64,'"),
        ("data:audio/wav;base64,???", "not valid base64"),
        (f"{server}/none.wav", r"none\.wav' cannot be read"),
        ("nosuchscheme://x/y.wav", "cannot be read"),
        (silent_movie.getvalue(), "it holds no audio"),
        (np.zeros(0, np.float32), "the recording is empty"),
        (encoded(tone())[:44], "empty|cannot be decoded"),
        (nan, "NaN"),
        (np.full(5, np.inf), "infinite"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.array(["a"]), "not numbers"),
        ([[1.0], [1.0, 2.0]], "no array"),
        ((tone()[:1], 10**6), "the recording is empty"),
        ((tone(), 0), "sampling rate 0"),
        ((tone(), 16000.5), r"sampling rate 16000\.5"),
        ((tone(), float("inf")), "sampling rate inf"),
        ((tone(), 2**31), "sampling rate 2147483648"),
        ((tone(), True), "sampling rate True"),
        ({"array": tone(), "sampling_rate": "16000"}, "needs samples and a number: ndarray, '16000'"),
        (np.zeros((2, 0)), "the recording is empty"),
        ({"array": tone()}, "needs 'sampling_rate'"),
        ({"path": None, "bytes": None}, r"this one has \['bytes', 'path'\]"),
        (None, "not numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            load_audio(source)


def test_lists_of_recordings():
    one, two = tone(), tone(seconds=0.5)
    loaded = load_audios([one, (two, 8000)])
    assert np.array_equal(loaded[0], one)
    assert abs(len(loaded[1]) - 16000) <= 2
    for single in (one, one.tolist(), (one, RATE), np.stack([one, one]), "a/path"):
        assert len(audio_list(single)) == 1
    assert len(audio_list((one, two))) == 2
    assert len(audio_list([one.tolist(), two.tolist()])) == 2
    with pytest.raises(ValueError, match=r"audio 1: .*empty"):
        load_audios([one, np.zeros(0)])
    with pytest.raises(ValueError, match="empty list"):
        audio_list([])
