"""What becomes of a row: a result, or an error that is raised or returned in its place."""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..alignment.chunks import make_chunks
from ..alignment.confidence import recording_fit
from ..alignment.untranscribed import untranscribed
from ..results import ROW_ERRORS, AlignmentResult, Passage
from ..text.checks import is_text
from .rows import named

#: What becomes of a row with an error: it is raised, or returned in the row's place.
ON_ERROR = ("raise", "return")


class Numbered(Dataset):
    """Rows of a list or dataset with their index before them; of one that cannot be had, the error is in its place."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        try:
            return index, self.rows[index]
        except ROW_ERRORS as error:
            return index, error


def numbered(rows: Iterable) -> Iterator[tuple[int | None, Any]]:
    """Any other rows likewise. An error ends them, so that it has no index."""
    try:
        yield from enumerate(rows)
    except Exception as error:
        yield None, error


def failure(row: Any, error: Exception) -> dict[str, Any]:
    """What a row with an error is until its turn comes: its text, as far as it has one, and the error."""
    text = row.get("text") if isinstance(row, Mapping) else None
    return {"text": text if is_text(text) else None, "error": _portable(error)}


def _portable(error: Exception) -> Exception:
    """An error that a worker process can hand over: for one that cannot be pickled the reader would wait forever."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        kind = next((kind for kind in ROW_ERRORS if isinstance(error, kind)), RuntimeError)
        return kind(f"{type(error).__name__}: {error}")
    return error


def error_result(item: Mapping[str, Any], on_error: str) -> AlignmentResult:
    """
    The result of an item with an "error": an empty one that says what was wrong.

    Raises that error instead if `on_error` is "raise"; a `ValueError` then names the item by its "index".
    """
    error, index = item["error"], item.get("index")
    if on_error == "raise":
        with named(index):
            raise error
    place = "" if index is None else f"item {index}: "
    return {
        "text": item["text"],
        "chunks": [],
        "score": 0.0,
        "fits": False,
        "unfit": [],
        "untranscribed": [],
        "heard": 0.0,
        "error": f"{place}{type(error).__name__}: {error}",
    }


def aligned_result(item: Mapping[str, Any], return_timestamps: str, original_text: bool) -> AlignmentResult:
    """The result of an item whose words are "aligned" (there are none in a text without words)."""
    text, words = item["text"], item["spans"]
    aligned = item.get("aligned", ())
    chunks = make_chunks(text, words, aligned, return_timestamps, original_text)
    times = np.array([(word["start_time"], word["end_time"]) for word in aligned]).reshape(-1, 2)
    more = untranscribed(item["levels"].decibels(), times)
    besides = sum(end - start for start, end, _ in more)
    fit = recording_fit([word["score"] for word in aligned], times, besides)
    unfit: list[Passage] = [
        {
            "timestamp": (aligned[first]["start_time"], aligned[last - 1]["end_time"]),
            "char_start": words[first].start,
            "char_end": words[last - 1].end,
        }
        for first, last in fit.unfit
    ]
    missing: list[Passage] = []
    for start, end, before in more:
        place = words[before - 1].end if before else 0
        missing.append({"timestamp": (start, end), "char_start": place, "char_end": place})
    return {
        "text": text,
        "chunks": chunks,
        "score": fit.score,
        "fits": fit.fits,
        "unfit": unfit,
        "untranscribed": missing,
        "heard": round(item.get("heard", 0.0), 3),
    }
