"""Recordings of any length, decoded as they are needed."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from .decoding import decoded_parts, divided, is_encoded, load_audio, peak_of, unwrapped
from .sources import opened


class NotReadTwice(ValueError):
    """Something behind what has been read is wanted from a source that only goes forward."""


class AudioStream:
    """
    A recording of which stretches are read, mostly forward.

    Files are decoded from their beginning as far as has been read, and what was decoded last is kept. Going back
    behind that decodes the file again from the beginning: only so are samples the same as those of a whole decode,
    whatever the codec. Samples that are in memory already (arrays, tensors) are cut.

    Args:
        source: what `load_audio` takes. A URL is copied to a temporary file once.
        sampling_rate: hertz of the samples that are read.
        kept_seconds: how much of the decoded audio is kept behind the furthest place.

    Raises `ValueError`, naming the source, here or while reading, as `load_audio` does. `close()`, or leaving the
    context, closes files. A pickled stream starts anew.
    """

    def __init__(self, source: Any, sampling_rate: int = 16000, kept_seconds: float = 60.0):
        source = unwrapped(source)
        self.source, self.sampling_rate, self.kept_seconds = source, sampling_rate, kept_seconds
        self._reset()
        if not is_encoded(source):
            self._parts.append(load_audio(source, sampling_rate))
            self._decoded = self.samples = len(self._parts[0])
            self._kept = self.samples
        else:
            # where an open file stands is where it begins
            self._origin = source.tell() if hasattr(source, "read") and _seekable(source) else None

    def _reset(self) -> None:
        self._files = ExitStack()
        self._file: Any = None
        self._name = ""
        self._peak = 1.0
        self._decoder: Iterator[np.ndarray] | None = None
        self._parts: deque[np.ndarray] = deque()
        self._first = self._decoded = 0  # sample at which the kept parts begin, and past the last decoded one
        self._kept = int(self.kept_seconds * self.sampling_rate)
        self.samples: int | None = None  # of the whole recording, once its end was met
        self._origin: int | None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """
        Samples `start` to `stop` (at `sampling_rate`) as float32, fewer at the recording's end, none behind it.

        Where the peak of what was read so far is above 1, it is divided by it: so quiet passages stay quiet, whatever
        else is read with them (`load_audio` divides by the peak of the whole recording).
        Raises `ValueError` for a recording that is empty, not finite or cannot be decoded.
        """
        if stop <= start:
            return np.zeros(0, np.float32)
        if start < self._first:
            self._rewind()
        while self._decoded < (stop if self.samples is None else min(stop, self.samples)):
            self._decode_on(start)
        if self.samples == 0:
            peak_of(np.zeros(0, np.float32), self._name)  # says so
        pieces, at = [], self._first
        for part in self._parts:
            if at < stop and at + len(part) > start:
                pieces.append(part[max(0, start - at) : stop - at])
            at += len(part)
        if not pieces:
            return np.zeros(0, np.float32)
        samples = np.concatenate(pieces)
        self._peak = max(self._peak, peak_of(samples, self._name))
        return divided(samples, self._peak)

    def _decode_on(self, start: int) -> None:
        if self._decoder is None:
            if self._file is None:
                self._file, self._name = self._files.enter_context(opened(self.source))
            self._decoder = decoded_parts(self._file, self._name, self.sampling_rate)
        part = next(self._decoder, None)
        if part is None:
            self.samples = self._decoded
            return
        self._parts.append(part)
        self._decoded += len(part)
        keep = min(start, self._decoded - self._kept)
        while self._parts and self._first + len(self._parts[0]) <= keep:
            self._first += len(self._parts.popleft())

    def _rewind(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        if self._file is not None and hasattr(self._file, "seek"):
            if not _seekable(self._file):
                raise NotReadTwice(f"{self._name} cannot be read twice; give its path or its bytes")
            self._file.seek(self._origin or 0)
        self._decoder = None
        self._parts.clear()
        self._first = self._decoded = 0

    def close(self) -> None:
        """Closes files; the stream can be read again, from the beginning, unless it was given an open file."""
        if self._decoder is not None:
            self._decoder.close()
        if is_encoded(self.source):
            self._files.close()
            origin = self._origin
            self._reset()
            self._origin = origin

    def __enter__(self) -> "AudioStream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "sampling_rate": self.sampling_rate, "kept_seconds": self.kept_seconds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)


def _seekable(file: Any) -> bool:
    return not hasattr(file, "seekable") or file.seekable()
