"""The checks that every row has to pass, whatever it was read from."""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from ..alignment.languages import aligner_language
from .matching import cleaned, entry_name, match_words, some
from .rows import Entry, join_texts, shown

#: Seconds that a label may lie behind the audio's end: half of the published aligner's 80 ms, because annotations
#: round and containers count priming samples.
END_TOLERANCE = 0.04
#: Seconds that two neighbours may overlap by rounding: start and duration of a CTM are rounded to 10 ms each.
ROUNDING = 0.01
_TINY = 1e-6


def check_row(row: Mapping[str, Any], duration: float | None = None) -> list[str]:
    """
    What is wrong with a row, as sentences that name the word; empty where it can be trained on.

    Checked are: the transcript holds a word; words are labelled; times are finite numbers, in order, not overlapping
    and inside the audio (an end may lie 40 ms behind it, because annotations round); transcript and words spell the
    same (cleaned as the aligner cleans them; case and apostrophes do not count); no label holds several of the
    aligner's words.

    Args:
        row: as `read_labels` gives them; "text" and "language" may be missing.
        duration: seconds of the recording; `None` where it is not known.
    """
    try:
        entries = entries_of(row.get("words"))
        language = aligner_language(row.get("language"))
    except ValueError as error:
        return [str(error)]
    text = row.get("text")
    if text is None:
        text = join_texts([entry.text for entry in entries or []])
    if not isinstance(text, str):
        return [f"text must be a string, not {type(text).__name__}"]
    if not entries:
        return ["it holds no words with times"]
    problems = time_problems(entries, duration)
    return problems + match_words(entries, text, language).problems


def entries_of(words: Any) -> list[Entry] | None:
    """
    Labels from a row's "words": a list of `{"text" or "word", "start", "end"}` or of `{"text", "timestamp": (start,
    end)}`, or such lists in a dict, as older `datasets` keep them. `None` stays `None`.

    Raises `ValueError`, naming the word, for anything else.
    """
    if words is None:
        return None
    if isinstance(words, Mapping):
        columns = {key: _column(values) for key, values in words.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise ValueError(f"words holds columns of different lengths: { {k: len(v) for k, v in columns.items()} }")
        words = [dict(zip(columns, values)) for values in zip(*columns.values())]
    if isinstance(words, (str, bytes)) or not isinstance(words, Sequence):
        raise ValueError(f"words must be a list of {{'text', 'start', 'end'}}, not {type(words).__name__}")
    entries = []
    for i, word in enumerate(words):
        if not isinstance(word, Mapping):
            raise ValueError(f"word {i} must be a mapping with 'text', 'start' and 'end', not {shown(word)}")
        text = word.get("text", word.get("word"))
        if not isinstance(text, str):
            raise ValueError(f"word {i} has no text: it holds {shown(dict(word))}")
        start, end = word.get("start"), word.get("end")
        if "timestamp" in word:
            try:
                start, end = word["timestamp"]
            except (TypeError, ValueError):
                start = end = None
        entries.append(Entry(text, start, end))
    return entries


def _column(values: Any) -> list:
    """A column of labels; one label that stands alone, `{"text": "a", "start": 0.1, "end": 0.2}`, has none."""
    try:
        if not isinstance(values, (str, bytes, Mapping)):
            return list(values)
    except TypeError:
        pass  # a number
    raise ValueError(f"words must be a list of {{'text', 'start', 'end'}}, not one object that holds {shown(values)}")


def is_time(value: Any) -> bool:
    """Whether `value` is a finite number that a float can hold; numpy's count, booleans do not."""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def time_problems(entries: Sequence[Entry], duration: float | None) -> list[str]:
    """What is wrong with the labels' times; labels without letters need none. Missing times are one problem in all."""
    problems, missing = [], []
    before = None  # the label in front: its number and itself
    for i, entry in enumerate(entries):
        if not cleaned(entry.text):
            continue
        name = entry_name(i, entry)
        if entry.start is None and entry.end is None:
            missing.append(name)
            continue
        wrong = [key for key, value in (("start", entry.start), ("end", entry.end)) if not is_time(value)]
        for key in wrong:
            problems.append(f"{name}: its {key} must be a number of seconds, not {shown(getattr(entry, key))}")
        if wrong:
            continue
        if entry.start < 0:
            problems.append(f"{name} starts before the audio, at {entry.start:g} s")
        if entry.end < entry.start:
            problems.append(f"{name} ends at {entry.end:g} s, before its start at {entry.start:g} s")
        if before is not None:
            if entry.start < before[1].start - _TINY:
                problems.append(
                    f"{name} starts at {entry.start:g} s, before the start of {entry_name(*before)} in front of it, "
                    f"{before[1].start:g} s: words must be in order of time"
                )
            elif entry.start < before[1].end - _TINY and before[1].end >= before[1].start:
                problems.append(
                    f"{name} starts at {entry.start:g} s, before {entry_name(*before)} ends at {before[1].end:g} s: "
                    "words overlap"
                )
        if duration is not None and entry.end > duration + END_TOLERANCE + _TINY:
            problems.append(f"{name} ends at {entry.end:g} s, but the audio is {duration:.3f} s long")
        before = (i, entry)
    if missing:
        problems.insert(0, f"without times: {some(missing)}")
    return problems


def without_rounding(entries: Sequence[Entry], duration: float | None) -> tuple[list[Entry], list[str]]:
    """
    The labels with errors of rounding taken out, and notes that say so: a label that reaches up to 10 ms into the next
    one ends where that begins, and what lies up to 40 ms behind the audio's end lies at it.
    """
    entries = list(entries)
    notes = []
    moved, most = 0, 0.0
    timed = [i for i, e in enumerate(entries) if is_time(e.start) and is_time(e.end) and cleaned(e.text)]
    for i, following in itertools.pairwise(timed):
        start, end, next_start = entries[i].start, entries[i].end, entries[following].start
        if start <= next_start < end <= next_start + ROUNDING + _TINY:
            entries[i] = dataclasses.replace(entries[i], end=next_start)
            if end - next_start > _TINY:
                moved, most = moved + 1, max(most, end - next_start)
    if moved:
        notes.append(f"{moved} word ends moved back to the next word's start, by at most {1000 * most:.0f} ms")
    if duration is not None:
        moved, most = 0, 0.0
        for i in timed:
            start, end = entries[i].start, entries[i].end
            if duration < end <= duration + END_TOLERANCE + _TINY and start <= end:
                entries[i] = dataclasses.replace(entries[i], start=min(start, duration), end=duration)
                moved, most = moved + 1, max(most, end - duration)
        if moved:
            notes.append(f"{moved} word ends moved back to the end of the audio, by {1000 * most:.0f} ms")
    return entries, notes
