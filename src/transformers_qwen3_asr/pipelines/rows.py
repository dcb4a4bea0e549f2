"""What a pipeline is given, as rows: one recording, lists of recordings, datasets."""

import numbers
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..audio.decoding import is_rated_pair
from ..text.checks import is_text


def is_recording(audio: Any) -> bool:
    """Whether `audio` is one recording (not a row, a list or a dataset)."""
    if isinstance(audio, (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, torch.Tensor)):
        return True
    if hasattr(audio, "read") or hasattr(audio, "get_all_samples") or is_rated_pair(audio):
        return True
    return isinstance(audio, Sequence) and len(audio) > 0 and isinstance(audio[0], numbers.Real)


def check_row(row: Any) -> None:
    """Raises `ValueError` unless `row` is a mapping with audio and a text, a string or a list of words."""
    if not isinstance(row, Mapping):
        raise ValueError(f"a row is a dict with 'audio' and 'text', not {type(row).__name__}")
    missing = [repr(key) for key in ("audio", "text") if row.get(key) is None]
    if missing:
        raise ValueError(
            f"no {' and no '.join(missing)}; given are {sorted(key for key in row if row[key] is not None)}"
        )
    audio, text = row["audio"], row["text"]
    first = audio[0] if isinstance(audio, list) and audio else None  # of samples, or of a list of channels
    if isinstance(first, (str, bytes, Mapping)) or hasattr(first, "get_all_samples"):
        raise ValueError(
            "'audio' is a list: a row has one recording (a slice of a dataset is columns, select() is rows)"
        )
    if not is_text(text):
        raise ValueError(f"'text' is a {type(text).__name__}; a string or a list of strings is expected")


@contextmanager
def named(index: int | None) -> Iterator[None]:
    """Puts the item's index, if it has one, before the message of a `ValueError` that is raised within."""
    try:
        yield
    except ValueError as error:
        if index is None:
            raise
        raise ValueError(f"item {index}: {error}") from error


def as_row(audio: Any, text: Any) -> Mapping:
    """One recording or row, and the text beside it, as a row."""
    if isinstance(audio, Mapping) and ("audio" in audio or "text" in audio):
        if text is None:
            return audio
        if audio.get("text") is not None:
            raise ValueError("a row with a 'text' and text= were both given")
        return {**audio, "text": text}
    return {"audio": audio, "text": text}


def as_rows(audio: Sequence, text: Any, language: Sequence | None) -> list[Mapping]:
    """A list of recordings or rows, with the lists of texts and languages beside it, as rows."""
    columns = {}
    for name, values in (("text", text), ("language", language)):
        if values is not None:
            if not hasattr(values, "__len__"):
                raise ValueError(f"{len(audio)} recordings, but {name} is a {type(values).__name__}, not a list")
            if isinstance(values, str) or len(values) != len(audio):
                count = "one string" if isinstance(values, str) else f"{len(values)} items"
                raise ValueError(f"{len(audio)} recordings, but {name} is {count}")
            columns[name] = values
    rows = []
    for index, item in enumerate(audio):
        with named(index):
            row = as_row(item, columns["text"][index] if "text" in columns else None)
        if "language" in columns:
            row = row if row.get("language") is not None else {**row, "language": columns["language"][index]}
        rows.append(row)
    return rows


def undecoded(rows: Iterable) -> Iterable:
    """A dataset of `datasets` with its Audio column left as bytes: its own decoding needs torchcodec, which needs CUDA
    libraries in some builds; ours decodes the same bytes."""
    if not isinstance(rows, Iterable) and not hasattr(rows, "__getitem__"):
        kind = "None" if rows is None else f"of type {type(rows).__name__}"
        raise ValueError(f"audio is {kind}: neither a recording nor rows of them")
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):  # whose items are its columns
        raise ValueError("audio is a DataFrame; its rows are given by .to_dict('records')")
    features = getattr(rows, "features", None)
    if features and hasattr(rows, "cast_column"):
        from datasets import Audio

        if isinstance(features.get("audio"), Audio):
            return rows.cast_column("audio", Audio(decode=False))
    elif hasattr(rows, "cast_column"):  # after map() a streamed dataset does not know its columns
        return _named_decoding(rows)
    return rows


def _named_decoding(rows: Iterable) -> Iterable:
    try:
        yield from rows
    except ImportError as error:
        raise ImportError(
            "the dataset decodes its recordings itself, which needs torchcodec; where it is cast before map(), by "
            f"cast_column('audio', Audio(decode=False)), they are decoded here ({error})"
        ) from error


def check_number(name: str, given: Any, meaning: str) -> None:
    """`ValueError` unless it is not given, or a finite number of at least 1."""
    number = isinstance(given, numbers.Real) and not isinstance(given, bool)
    if given is not None and not (number and 1 <= given < float("inf")):
        raise ValueError(f"{name}={given!r}: {meaning}, a number from 1 on, expected")


def whole_number(name: str, given: int | None, configured: int | None, default: int, least: int) -> int:
    """The number given, or else configured, or else the default; `ValueError` unless it is at least `least`."""
    value = next(number for number in (given, configured, default) if number is not None)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= value <= sys.maxsize:
        raise ValueError(f"{name}={value!r}: a whole number of at least {least} is expected")
    return int(value)
