"""Recordings that mean harm: each is refused by name, or read; none ends the process, and none takes for ever.

What once died runs in a process of its own and what hung has a time limit, so that it fails here and does not end the
tests.
"""

import contextlib
import http.server
import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from transformers_qwen3_asr import audio
from transformers_qwen3_asr.audio import load_audio, sources
from transformers_qwen3_asr.audio.streams import AudioStream, NotReadTwice
from transformers_qwen3_asr.formats import audio_duration

RATE = 16000


def wav(samples, rate=RATE, channels=1, data_bytes=None):
    """`samples` (int16, interleaved) as the bytes of a WAV file, with whatever the header is to claim."""
    data = np.asarray(samples, "<i2").tobytes()
    size = len(data) if data_bytes is None else data_bytes
    header = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * 2 * channels % 2**32, 2 * channels % 2**16, 16)
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVEfmt " + header + b"data" + struct.pack(
        "<I", size
    ) + data  # fmt: skip


def refusal(source, seconds=60):
    """What `load_audio` says against a source; it fails where it says nothing within `seconds`."""
    errors = []

    def load():
        try:
            errors.append(f"loaded {len(load_audio(source))}")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(seconds)
    assert errors, f"{source} hangs"
    return errors[0]


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(-8000, 8000, count)


def in_a_process(code, *arguments, seconds=120):
    """Runs `code` and returns what it printed; a death or a hang fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-1000:]}"
    return done.stdout


LOAD = """
import sys
from transformers_qwen3_asr.audio import load_audio
for path in sys.argv[1:]:
    try:
        print(len(load_audio(path)))
    except ValueError as error:
        print(f"ValueError: {error}")
"""


def test_recordings_of_many_channels(tmp_path):
    """Planes of more than eight channels end the process where they are read as they lie."""
    counts = (1, 2, 6, 7, 8, 9, 16, 32, 64)
    paths = []
    for channels in counts:
        paths.append(tmp_path / f"{channels}.wav")
        paths[-1].write_bytes(wav(noise(RATE * channels, channels), channels=channels))
    assert in_a_process(LOAD, *paths).split() == [str(RATE)] * len(counts)
    for channels, path in zip(counts, paths):
        expected = noise(RATE * channels, channels).reshape(-1, channels).mean(axis=1) / 32768
        np.testing.assert_allclose(load_audio(path), expected, atol=1e-6)
    with pytest.raises(ValueError, match="cannot be decoded"):
        load_audio(wav(noise(6500), channels=65))


def test_sampling_rates_that_no_speech_has(tmp_path):
    """A second of such a recording may be hours of work."""
    rates = [0, 1, 2, 10, 100, 999, 1_000_001, 2**31 - 1, 2**32 - 1]
    for rate in rates:
        (tmp_path / f"{rate}.wav").write_bytes(wav(noise(200_000), rate=rate))
        with pytest.raises(ValueError, match="sampling rate"):
            load_audio((np.zeros(10), rate))
    lines = in_a_process(LOAD, *(tmp_path / f"{rate}.wav" for rate in rates)).splitlines()
    for rate, line in zip(rates, lines, strict=True):
        assert line.startswith("ValueError") and f"{rate}.wav" in line
        if 0 < rate < 2**31 - 1:
            assert f"its sampling rate is {rate} Hz; from 1000 to 1000000 are expected" in line


def test_headers_that_lie(tmp_path):
    whole = load_audio(io.BytesIO(wav(noise(RATE))))
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF, 10**9):  # up to 37 hours in one second
        assert np.array_equal(load_audio(wav(noise(RATE), data_bytes=claimed)), whole)
    for content, message in (
        (wav(noise(RATE), channels=0), "bytes cannot be decoded"),
        (wav([]), "empty|cannot be decoded"),
        (wav(noise(RATE), data_bytes=0)[:44], "empty|cannot be decoded"),
        (b"RIFF\xff\xff\xff\xffWAVE", "cannot be decoded"),
    ):
        with pytest.raises(ValueError, match=message):
            load_audio(content)


def test_what_swells_when_it_is_decoded(monkeypatch):
    """A small file may hold days of silence."""
    monkeypatch.setattr(audio, "MOST_SECONDS", 3)
    content = wav(noise(5 * RATE))
    with pytest.raises(ValueError, match=r"bytes cannot be decoded: it lasts longer than 0\.001 hours"):
        load_audio(content, max_seconds=3.6)
    assert len(load_audio(content, max_seconds=5)) == 5 * RATE
    with AudioStream(content) as stream:
        assert len(stream.read(0, 2 * RATE)) == 2 * RATE
        with pytest.raises(ValueError, match="it lasts longer than"):
            stream.read(2 * RATE, 5 * RATE)
    with pytest.raises(ValueError, match=r"the samples .* last longer than"):
        load_audio((np.zeros(50_000), 8000))


def test_no_other_file_is_opened(tmp_path):
    """A playlist would have FFmpeg open files and ask servers that nobody named."""
    (tmp_path / "a.wav").write_bytes(wav(noise(RATE)))
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.5)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/a.ts"
    for name, content in (
        ("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", f"ffconcat version 1.0\nfile '{tmp_path}/a.wav'\n"),
        ("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{tmp_path}/a.wav\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match="cannot be decoded"):
            load_audio(tmp_path / name)
    with pytest.raises(TimeoutError):
        listening.accept()
    listening.close()


def test_names_that_mean_something_to_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["pipe:0", "concat:a|b", "subfile,,start,0,end,9,,:x", "-", "%d.wav", "http:", os.fsdecode(b"caf\xe9.wav")]
    for name in names:
        (tmp_path / name).write_bytes(wav(noise(RATE)))
        assert len(load_audio(name)) == RATE
        assert audio_duration(tmp_path / name) == pytest.approx(1)


def test_tags_that_are_not_utf8():
    content = wav(noise(RATE))
    tag = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"caf\xe9"
    assert len(load_audio(content + tag)) == RATE
    assert len(load_audio(content[:36] + tag + content[36:])) == RATE


def test_devices_sockets_and_folders(tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in ("/dev/zero", "/dev/null", "/dev/urandom", tmp_path, tmp_path / "socket", "file:///dev/zero"):
        said = refusal(path)
        assert str(path) in said and ("it is a device or a socket" in said or "it is a folder" in said)
    for path in (tmp_path / "socket", tmp_path / "loop", "file://elsewhere/a.wav", "file:///no/such"):
        with pytest.raises(ValueError, match=r"socket|loop|elsewhere|no/such"):
            load_audio(path)
        with pytest.raises(ValueError, match=r"socket|loop|elsewhere|no/such"):
            audio_duration(path)
    listening.close()


def test_a_pipe_without_a_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ANSWER_SECONDS", 0.5)
    os.mkfifo(tmp_path / "pipe")
    for source in (str(tmp_path / "pipe"), tmp_path / "pipe", f"file://{tmp_path}/pipe"):
        assert "pipe' cannot be read: nothing came within 0.5 s" in refusal(source)


def written(path, parts, pause=0.0):
    """Writes `parts` into a FIFO in a thread."""

    def write():
        with contextlib.suppress(BrokenPipeError), open(path, "wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(pause)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_pipe_is_read_as_it_is_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = wav(noise(3 * RATE), data_bytes=0xFFFFFFFF)  # a program that writes into a pipe does not know the length
    parts = [content[i : i + 20_000] for i in range(0, len(content), 20_000)]
    expected = load_audio(content)
    for source in (tmp_path / "pipe", str(tmp_path / "pipe")):
        writer = written(tmp_path / "pipe", parts, pause=0.01)
        assert np.array_equal(load_audio(source), expected)
        writer.join(10)
    writer = written(tmp_path / "pipe", parts)
    with AudioStream(tmp_path / "pipe", kept_seconds=1) as stream:
        assert len(stream.read(2 * RATE, 3 * RATE)) == RATE
        with pytest.raises(NotReadTwice, match="pipe' cannot be read twice"):
            stream.read(0, RATE)
    writer.join(10)


def test_a_pipe_that_stops_or_drips(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    content = wav(noise(RATE))
    monkeypatch.setattr(sources, "ANSWER_SECONDS", 1)
    holding = os.open(tmp_path / "pipe", os.O_RDWR)  # a writer that never ends
    writer = written(tmp_path / "pipe", [content[:5000]])
    with pytest.raises(ValueError, match="pipe' cannot be read: nothing more came within 1 s"):
        load_audio(tmp_path / "pipe")
    writer.join(10)
    os.close(holding)
    written(tmp_path / "pipe", [content[i : i + 1] for i in range(1000)], pause=0.05)
    with pytest.raises(ValueError, match=r"pipe' cannot be read: it is too slow, with \d+ bytes in \d+ s"):
        load_audio(tmp_path / "pipe")


class Hostile(http.server.BaseHTTPRequestHandler):
    """Serves /right, and servers' bad manners by other names."""

    content = wav(noise(RATE))
    released = threading.Event()

    def log_message(self, *_):
        pass

    def _drip(self, data):
        for byte in data:
            if self.released.wait(0.1):
                return
            self.wfile.write(bytes([byte]))

    def _head(self, length=None, **headers):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", length)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_GET(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, self.path.strip("/").split("?")[0])()

    def right(self):
        self._head(len(self.content))
        self.wfile.write(self.content)

    def unsized(self):
        self._head()
        self.wfile.write(self.content)

    def silent(self):
        self.released.wait(60)

    def dripping(self):
        self._head(len(self.content))
        self._drip(self.content)

    def dripping_head(self):
        self._drip(b"HTTP/1.0 200 OK\r\nX-Long: " + b"x" * 5000)

    def dripping_chunk_size(self):
        self._head(Transfer_Encoding="chunked")
        self._drip(b"5;" + b"x" * 5000)

    def around(self):
        self.send_response(302)
        self.send_header("Location", "/around")
        self.end_headers()

    def onwards(self):
        count = int(self.path.partition("?")[2] or 0)
        self.send_response(302)
        self.send_header("Location", f"/onwards?{count + 1}")
        self.end_headers()

    def to_a_file(self):
        self.send_response(302)
        self.send_header("Location", "file:///etc/hostname")
        self.end_headers()

    def too_short(self):
        self._head(10 * len(self.content))
        self.wfile.write(self.content)

    def nonsense_length(self):
        self._head("a lot")
        self.wfile.write(self.content)

    def huge(self):
        self._head(2**50)
        while not self.released.is_set():
            self.wfile.write(bytes(2**16))

    def no_http(self):
        self.wfile.write(b"\x00\xff" * 100_000)


@pytest.fixture(scope="module")
def hostile():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Hostile.released.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("right", "loaded 16000"),
        ("unsized", "loaded 16000"),
        ("nonsense_length", "loaded 16000"),
        ("silent", "nothing came within 1 s|timed out"),
        ("dripping", r"it is too slow, with \d+ bytes in \d+ s; at least 500 a second"),
        ("dripping_head", "nothing came within 1 s"),
        ("dripping_chunk_size", "nothing came within 1 s"),
        ("around", "redirect"),
        ("onwards", "redirect"),
        ("to_a_file", "cannot be read"),
        ("too_short", r"it ended after \d+ of \d+ bytes|IncompleteRead"),
        ("huge", "more than the 1000000 bytes"),
        ("no_http", "BadStatusLine|LineTooLong|cannot be read"),
    ],
)
def test_servers_with_bad_manners(hostile, monkeypatch, path, message):
    monkeypatch.setattr(sources, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(sources, "MOST_BYTES", 1_000_000)
    said = refusal(f"{hostile}/{path}")
    assert re.search(message, said), said
    assert said == "loaded 16000" or f"{hostile}/{path}' cannot be read" in said


def test_a_download_has_a_limit_in_all(hostile, monkeypatch):
    monkeypatch.setattr(sources, "LEAST_BYTES_PER_SECOND", 0)
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 1.5)
    assert "dripping' cannot be read: it takes longer than the 1.5 s allowed" in refusal(f"{hostile}/dripping")


def test_long_recordings_are_still_streamed():
    """A limit for what means harm is none for books: of a recording of 20 minutes its end is read."""
    assert audio.MOST_SECONDS >= 24 * 3600
    seconds = 20 * 60
    with AudioStream(wav(np.zeros(seconds * 4000), rate=4000), kept_seconds=10) as stream:
        samples = stream.read((seconds - 1) * RATE, (seconds + 1) * RATE)
    assert len(samples) == pytest.approx(RATE, abs=100)
