"""What the readers give (`LabelRows`), and what they work with before it is checked (`Entry`, `Draft`)."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class LabelProblem(NamedTuple):
    """Something about one row: `row` says where it stands ("labels.jsonl:12"), `message` what it is."""

    row: str
    message: str

    def __str__(self) -> str:
        return f"{self.row}: {self.message}"


class LabelRows(list):
    """
    A list of checked rows, `{"id", "audio", "text", "language", "words": [{"text", "start", "end"}, …], "duration"}`.

    Times are seconds. "duration" is there where the recording was looked at.

    Attributes:
        problems (`list[LabelProblem]`): why rows were left out; a row may have several.
        notes (`list[LabelProblem]`): what was changed in rows that are in the list (entries of punctuation left out,
            entries joined into one word, ends moved back to the end of the audio), and that ids are repeated.
        skipped (`int`): how many rows were left out.
    """

    def __init__(self, rows: Iterable[dict] = ()):
        super().__init__(rows)
        self.problems: list[LabelProblem] = []
        self.notes: list[LabelProblem] = []
        self.skipped = 0

    def summary(self) -> str:
        """One line: rows, words, hours where they are known, rows left out, rows with notes."""
        words = sum(len(row["words"]) for row in self)
        parts = [f"{_count(len(self), 'row')} of {_count(words, 'word')}"]
        if self and all("duration" in row for row in self):
            parts[0] += f", {sum(row['duration'] for row in self) / 3600:.2f} h"
        if self.skipped:
            parts.append(f"{_count(self.skipped, 'row')} left out (first: {self.problems[0]})")
        if self.notes:
            noted = len({note.row for note in self.notes})
            parts.append(f"{_count(noted, 'row')} with notes (first: {self.notes[0]})")
        return "; ".join(parts)


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Entry:
    """
    A label as it stands in a file: its text, its times in seconds (anything, as long as it is not checked), and how
    messages call the place where it stands, for instance "line 7" ("" where the number of the word says it). Some
    files say who said it, how far it can be believed, and how its text is shown, with line breaks.
    """

    text: str
    start: Any
    end: Any
    place: str = ""
    speaker: str | None = None
    score: float | None = None
    shown: str | None = None


@dataclass
class Draft:
    """
    A row as a reader found it.

    Args:
        place: where it stands, "labels.jsonl:12" or "speech.TextGrid".
        entries: its labels in the file's order; `None` where the row has none.
        audio: the recording where the file names it. Else `name` is looked for.
        text: the transcript where the file holds it. Else it is looked for beside, where `name` is given.
        name: what the recording is called where the file does not name it: a stem or a file's name.
        file: the label file, from which paths are relative.
        errors: what the reader could not read.
        notes: what the reader left out.
        lines: the sentences, cues or segments that words stand in, where the file has both.
        lacks: what it lacks to be labels of words, although its lines have times.
    """

    place: str
    entries: list[Entry] | None = None
    audio: Any = None
    text: Any = None
    language: str | None = None
    id: Any = None
    name: str | None = None
    file: Path | None = None
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: list[Entry] | None = None
    lacks: str | None = None


def shown(value: Any) -> str:
    """`repr` for a message: at most 80 characters, and words for what Python refuses to spell out."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # an integer of over 4300 digits; lists in lists in lists …
        return f"something of type {type(value).__name__} that is too long to be shown"


def join_texts(texts: Sequence[str]) -> str:
    """
    Texts of labels as one transcript: single spaces between them, but none between wide characters (Chinese and
    Japanese, as they are written; not Korean) and none before closing punctuation that stands alone.
    """
    joined = ""
    for text in texts:
        text = text.strip()
        if not text:
            continue
        if joined and not (_is_wide(joined[-1]) and _is_wide(text[0])) and not _is_closing(text):
            joined += " "
        joined += text
    return joined


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and not unicodedata.name(character, "").startswith("HANGUL")


def _is_closing(text: str) -> bool:
    return all(unicodedata.category(character) in ("Po", "Pe", "Pf") for character in text)
