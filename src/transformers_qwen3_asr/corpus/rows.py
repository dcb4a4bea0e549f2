"""A row of a corpus, and by what it is known again."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio.decoding import is_rated_pair
from ..labels.rows import shown


@dataclass(frozen=True)
class CorpusRow:
    """
    A recording with its text, as a source has it.

    Args:
        id: by which the row is known again when a run goes on.
        audio: in any form that `audio.load_audio` takes.
        text: what is said, a string or a list of words.
        language: name or code, or `None`.
        error: what the source could not read of it.
    """

    id: str
    audio: Any = None
    text: Any = None
    language: Any = None
    error: str | None = None


def row_of(row: Any) -> CorpusRow:
    """
    The row in a mapping with "audio", "text" and, if it has them, "id" and "language"; further keys are left alone.
    What is wrong with it is in its `error`.
    """
    if isinstance(row, CorpusRow):
        return row
    if not isinstance(row, Mapping):
        return CorpusRow(content_id(None, shown(row)), error=f"a row must be a mapping, not {type(row).__name__}")
    id, audio, text = row.get("id"), row.get("audio"), row.get("text")
    try:
        return CorpusRow(given_id(id) or content_id(audio, text), audio, text, row.get("language"))
    except ValueError as error:
        return CorpusRow(content_id(None, text), None, text, row.get("language"), error=f"its audio: {error}")


def given_id(value: Any) -> str | None:
    """An id that a row states, as a string; `None` where it states none."""
    if value is None or value == "":
        return None
    return str(value).encode("utf-8", "backslashreplace").decode()


def content_id(audio: Any, text: Any) -> str:
    """
    SHA-256 over a row's audio and text, in hexadecimal: the id of a row that states none.

    A recording in memory counts with its bytes or samples, a path or URL by its name, so that no file is read for it.
    Raises `ValueError` for what is no recording.
    """
    digest = hashlib.sha256()
    for part in (*_parts(audio), b"text", _text_bytes(text)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def digest_of(id: str) -> bytes:
    """16 bytes that stand for an id: by them rows are shared among processes, and sets of ids stay small."""
    return hashlib.sha256(id.encode("utf-8", "backslashreplace")).digest()[:16]


def _text_bytes(text: Any) -> bytes:
    return (text if isinstance(text, str) else json.dumps(text, default=shown)).encode("utf-8", "surrogatepass")


def _parts(audio: Any) -> tuple[bytes, ...]:
    if audio is None:
        return (b"none",)
    if isinstance(audio, (str, os.PathLike)):
        return (b"name", os.fsdecode(audio).encode("utf-8", "surrogatepass"))
    if isinstance(audio, (bytes, bytearray, memoryview)):
        return (b"bytes", bytes(audio))
    if isinstance(audio, Mapping):
        for key in ("bytes", "path"):
            if audio.get(key) is not None:
                return _parts(audio[key])
        for key in ("array", "raw"):
            if audio.get(key) is not None:
                return (*_parts(audio[key]), str(audio.get("sampling_rate", audio.get("sample_rate"))).encode())
        return (b"none",)
    if is_rated_pair(audio):
        return (*_parts(audio[0]), str(audio[1]).encode())
    if hasattr(audio, "get_all_samples"):
        decoded = audio.get_all_samples()
        return (*_parts(decoded.data), str(decoded.sample_rate).encode())
    samples = np.asarray(audio) if hasattr(audio, "__array__") or isinstance(audio, (list, tuple)) else np.array(None)
    if samples.dtype.kind not in "fiu":
        raise ValueError(f"no recording, but {shown(audio)}")
    return (b"samples", f"{samples.dtype.str} {samples.shape}".encode(), np.ascontiguousarray(samples).tobytes())
