"""The checks that every row has to pass, whatever it was read from."""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from ..text.languages import aligner_language
from .matching import cleaned, entry_name, match_words, some
from .rows import Entry, join_texts, shown

#: Seconds that a label may lie behind the audio's end: half of the published aligner's 80 ms, because annotations
#: round and containers count priming samples.
END_TOLERANCE = 0.04
_TINY = 1e-6
#: What programs call how far a word can be believed: ours and WhisperX, Whisper, whisper-timestamped.
_SCORES = ("score", "probability", "confidence")


def check_row(row: Mapping[str, Any], duration: float | None = None) -> list[str]:
    """
    What is wrong with a row, as sentences that name the word; empty where it can be trained on.

    Checked are: the transcript holds a word; words are labelled; times are finite numbers, in order and inside the
    audio (an end may lie 40 ms behind it, because annotations round); transcript and words spell the same (cleaned as
    the aligner cleans them; case and apostrophes do not count); no label holds several of the aligner's words.

    Times are in order where no word starts before the one in front of it. Words may overlap, and one may end while the
    one in front of it still lasts: people share a sound between two words, and two speakers talk at once.

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
        speaker, score = word.get("speaker"), next((word[key] for key in _SCORES if key in word), None)
        entries.append(
            Entry(
                text,
                start,
                end,
                speaker=speaker if isinstance(speaker, str) and speaker.strip() else None,
                score=float(score) if is_time(score) else None,
            )
        )
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


def time_problems(entries: Sequence[Entry], duration: float | None, marks: bool = False) -> list[str]:
    """
    What is wrong with the labels' times; labels without letters need none but with `marks`. Missing times are one
    problem in all.
    """
    problems, missing = [], []
    before = None  # the label in front: its number and itself
    for i, entry in enumerate(entries):
        if not marks and not cleaned(entry.text):
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
        if before is not None and entry.start < before[1].start - _TINY:
            problems.append(
                f"{name} starts at {entry.start:g} s, before the start of {entry_name(*before)} in front of it, "
                f"{before[1].start:g} s: words must be in order of time"
            )
        if duration is not None and entry.end > duration + END_TOLERANCE + _TINY:
            problems.append(f"{name} ends at {entry.end:g} s, but the audio is {duration:.3f} s long")
        before = (i, entry)
    if missing:
        problems.insert(0, f"without times: {some(missing)}")
    return problems


def ended_with_audio(entries: Sequence[Entry], duration: float) -> tuple[list[Entry], list[str]]:
    """The labels with what lies up to 40 ms behind the audio's end put at it, and a note that says so."""
    entries = list(entries)
    moved, most = 0, 0.0
    for i, entry in enumerate(entries):
        if not (is_time(entry.start) and is_time(entry.end) and cleaned(entry.text)):
            continue
        if duration < entry.end <= duration + END_TOLERANCE + _TINY and entry.start <= entry.end:
            entries[i] = dataclasses.replace(entry, start=min(entry.start, duration), end=duration)
            moved, most = moved + 1, max(most, entry.end - duration)
    notes = [f"{moved} word ends moved back to the end of the audio, by {1000 * most:.0f} ms"] if moved else []
    return entries, notes
