"""
Encoded recordings as open files: paths, pipes, downloads and base64, none of which may take for ever.

The limits are constants of this module. Whoever reads from slower places, or wants less, sets them:
`audio.sources.DOWNLOAD_SECONDS = 60`.
"""

import base64
import binascii
import io
import os
import re
import select
import stat
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 30  # until the first byte of a download or a pipe, and of a pipe between two
LEAST_BYTES_PER_SECOND = 500  # on average after ANSWER_SECONDS; speech in any codec takes more
DOWNLOAD_SECONDS = 3600  # of a whole download
MOST_BYTES = 4 * 2**30  # of a download or a pipe
_SPOOL_BYTES = 64 * 2**20  # of a download are kept in memory, more on disk
_PART_BYTES = 2**16
_SHORTEST_BASE64 = 60  # letters of the header of a WAV file; shorter ones are names of files that are not there
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")


@contextmanager
def opened(source: Any, failed: str = "cannot be decoded") -> Iterator[tuple[Any, str]]:
    """
    An encoded recording as an open file that PyAV can read, and how to call it in a message. What was opened here
    lives until the context is left.

    A pipe (FIFO) is read as it is written, once. Raises `ValueError`, naming the source, for what is not there, is no
    file (it then `failed`), or takes longer or is larger than the limits above allow.
    """
    if isinstance(source, io.TextIOBase):
        raise ValueError(f"the file {getattr(source, 'name', '')!r} was opened as text; 'rb' opens it as bytes")
    if hasattr(source, "read"):
        yield source, f"the file {getattr(source, 'name', type(source).__name__)!r}"
        return
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), f"the audio given as {len(source)} bytes"
        return

    text = os.fsdecode(source)
    # base64 and addresses may be of any length, paths may not
    name = repr(text if len(text) <= 120 or isinstance(source, os.PathLike) else text[:80] + "…")
    if text.startswith("data:"):
        file = io.BytesIO(_base64_bytes(text, name))
    elif text.startswith("file://"):
        file = _opened_path(_path_of(text, name), name, failed)
    elif _URL.match(text):
        file = _downloaded(text, name)
    elif isinstance(source, os.PathLike) or _exists(text):
        file = _opened_path(text, name, failed)
    else:
        try:
            if len(text) < _SHORTEST_BASE64:
                raise ValueError
            file = io.BytesIO(_base64_bytes(text, name))
        except ValueError:
            raise ValueError(f"{name} is no existing file, no URL and no base64") from None
    with file:
        yield file, name


def _exists(text: str) -> bool:
    try:
        os.stat(text)
    except (OSError, ValueError):  # base64 is longer than a file name may be
        return False
    return True


def _opened_path(path: str, name: str, failed: str) -> io.RawIOBase | io.BufferedReader:
    # opened here, not by FFmpeg, which takes some names for addresses of its own ("pipe:0", "concat:a|b")
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError("it is a folder")
        if stat.S_ISFIFO(mode):
            return _Pipe(path, name)
        if not stat.S_ISREG(mode):
            raise ValueError("it is a device or a socket, not a file")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ValueError(f"{name} {failed}: {reason}") from error


def _path_of(url: str, name: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{name} cannot be read: it names a file of another machine, {parts.netloc!r}")
    return urllib.request.url2pathname(parts.path)


def _base64_bytes(text: str, name: str) -> bytes:
    if text.startswith("data:"):
        header, found, text = text.partition(",")
        if not found or not header.endswith(";base64"):
            raise ValueError(f"{name} is a data: URL without ';base64,'")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name} is not valid base64: {error}") from error


class _Progress:
    """How much has come, and whether that is too slow or too much."""

    def __init__(self, name: str, whole_seconds: float | None = None):
        self.name, self.whole_seconds = name, whole_seconds
        self.started = time.monotonic()
        self.bytes = 0

    def check(self) -> None:
        """Raises `ValueError`, naming the source and the limit."""
        seconds = time.monotonic() - self.started
        if self.bytes > MOST_BYTES:
            raise ValueError(f"{self.name} cannot be read: it holds more than the {MOST_BYTES} bytes that are allowed")
        if self.whole_seconds is not None and seconds > self.whole_seconds:
            raise ValueError(f"{self.name} cannot be read: it takes longer than the {self.whole_seconds} s allowed")
        if seconds <= ANSWER_SECONDS:
            return
        if not self.bytes:
            raise ValueError(f"{self.name} cannot be read: nothing came within {ANSWER_SECONDS} s")
        if self.bytes < LEAST_BYTES_PER_SECOND * (seconds - ANSWER_SECONDS):
            raise ValueError(
                f"{self.name} cannot be read: it is too slow, with {self.bytes} bytes in {seconds:.0f} s; at least "
                f"{LEAST_BYTES_PER_SECOND} a second are expected after the first {ANSWER_SECONDS} s"
            )


def _downloaded(url: str, name: str) -> Any:
    """
    A URL as a temporary file. Copied first: containers such as m4a keep their index at the end, and not every server
    can seek.

    In a thread, since a server that sends a byte now and then keeps every call of urllib waiting, in its headers too,
    and only from outside is the time seen. One that was given up ends with its connection.
    """
    file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115, the caller closes it
    progress = _Progress(name, DOWNLOAD_SECONDS)
    ended, given_up = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def copy() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "transformers-qwen3-asr"})
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
                stated = getattr(response, "length", None)
                # read1 gives what is there: read would wait for all of a part
                while not given_up.is_set() and (part := response.read1(_PART_BYTES)):
                    file.write(part)
                    progress.bytes += len(part)
                    progress.check()
            if stated and progress.bytes < stated:
                raise ValueError(f"it ended after {progress.bytes} of {stated} bytes")
        except BaseException as error:  # raised where it was asked for
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=copy, daemon=True, name="download").start()
    try:
        while not ended.wait(0.5):
            progress.check()
        if errors:
            raise errors[0]
        progress.check()
    except (OSError, ValueError, HTTPException) as error:
        file.close()
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
    finally:
        given_up.set()
    file.seek(0)
    return file


class _Pipe(io.RawIOBase):
    """A FIFO, of which a read waits for its writer, but not for ever."""

    def __init__(self, path: str, name: str):
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else opening waits for a writer
        self._name, self._progress = name, _Progress(name)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        waited_from = time.monotonic()
        while True:
            self._progress.check()
            if time.monotonic() - waited_from > ANSWER_SECONDS:
                raise ValueError(f"{self._name} cannot be read: nothing more came within {ANSWER_SECONDS} s")
            if not select.select([self._descriptor], [], [], 0.5)[0]:
                continue
            try:
                part = os.read(self._descriptor, min(len(buffer), _PART_BYTES))
            except BlockingIOError:
                continue
            if not part and not self._progress.bytes:  # nobody has written yet
                time.sleep(0.05)
                continue
            self._progress.bytes += len(part)
            buffer[: len(part)] = part
            return len(part)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
