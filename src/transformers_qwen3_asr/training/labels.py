"""Word times as classes at the slots of the aligner's prompt."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..text.languages import aligner_language

IGNORED = -100


def check_kind(row: Any, place: int, of: str = "") -> None:
    """Raises `ValueError`, naming the row, where it is no mapping or its language is no name."""
    if not isinstance(row, Mapping):
        raise ValueError(f"{of}row {place} is of type {type(row).__name__}; a dict is expected")
    try:
        aligner_language(row.get("language"))
    except ValueError as error:
        name = f"row {place} (id {row['id']!r})" if row.get("id") is not None else f"row {place}"
        raise ValueError(f"{of}{name}: {error}") from error


def slot_classes(
    words: Sequence[Mapping[str, Any]],
    timestamp_segment_time: float,
    classify_num: int,
    duration: float | None = None,
    row: int | str = 0,
) -> list[int]:
    """
    The class at each slot of a clip: start and end of every word, in order, `2 * len(words)` numbers.

    A class is the time divided by `timestamp_segment_time`, rounded to the nearest whole number. Words may overlap, so
    that a word's end can have a higher class than the next one's start.

    Args:
        words: `{"text", "start", "end"}` each, seconds from the clip's beginning.
        timestamp_segment_time: milliseconds a class.
        classify_num: classes of the model; the last one is `classify_num - 1`.
        duration: seconds of the clip; `None` where it is not known. A time may lie half a class behind it, because
            annotations round too.
        row: how messages call the row.

    Raises `ValueError`, naming row and word, for times that are missing, not finite, outside the audio, or beyond the
    last class; and, naming both, for a word that starts before the one in front of it.
    """
    classes: list[int] = []
    before = None  # the word in front: its start, number and text
    for i, word in enumerate(words):
        name = f"row {row}, word {i} ({word.get('text')!r})"
        times = []
        for key in ("start", "end"):
            value = word.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name}: {key} must be a number of seconds, not {value!r}")
            times.append(float(value))
        start, end = times
        if start < 0:
            raise ValueError(f"{name} starts before the audio, at {start} s")
        if end < start:
            raise ValueError(f"{name} ends at {end} s, before its start at {start} s")
        if before is not None and start < before[0] - 1e-6:
            raise ValueError(
                f"{name} starts at {start} s, before the start of word {before[1]} ({before[2]!r}) in front of it, "
                f"{before[0]} s: words must be in order of time"
            )
        if duration is not None and end > duration + timestamp_segment_time / 2000:
            raise ValueError(f"{name} ends at {end} s, but the audio is {duration:.3f} s long")
        for time in times:
            # half a class upwards, so that the rounding does not depend on the class being even
            index = math.floor(time * 1000 / timestamp_segment_time + 0.5)
            if index >= classify_num:
                last = (classify_num - 1) * timestamp_segment_time / 1000
                raise ValueError(f"{name}: {time} s is beyond the last of {classify_num} classes, {last} s")
            classes.append(index)
        before = (start, i, word.get("text"))
    return classes
