"""Rows to evaluate: their transcript cut into the aligner's words, and what becomes of the bad ones."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..labels.checking import check_row, entries_of, is_time
from ..labels.matching import entry_name, match_words
from ..labels.rows import Entry, join_texts
from ..text.languages import aligner_language

#: How rows are called that name no language.
UNKNOWN = "unknown"
ON_BAD_ROW = ("fail", "skip")


@dataclass
class BadRows:
    """
    What to do with a row that cannot be evaluated: `on_bad_row` "fail" stops at the first one with a `ValueError` that
    names it, "skip" keeps a line about it in `left_out`.
    """

    on_bad_row: str = "fail"
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.on_bad_row not in ON_BAD_ROW:
            raise ValueError(f"on_bad_row={self.on_bad_row!r}: known are {', '.join(ON_BAD_ROW)}")

    def report(self, name: str, reason: Any) -> None:
        message = f"{name}: {' '.join(str(reason).split())}"
        if self.on_bad_row == "fail":
            # a reason that is an error stays visible as the cause
            raise ValueError(message) from (reason if isinstance(reason, BaseException) else None)
        self.left_out.append(message)


@dataclass(kw_only=True)
class Item:
    """
    A row in the form that all of evaluation works with.

    `name` is its id, or "row 3" without one; `language` what it counts to in reports; `spoken` the language as the
    aligner knows it, or `None`; `labels` the labelled words, as in the transcript, with `(words, 2)` milliseconds in
    `reference`; both are `None` where no labels are needed.
    """

    place: int
    name: str
    audio: Any
    text: str
    language: str
    spoken: str | None
    duration: float | None = None
    labels: list[str] | None = None
    reference: np.ndarray | None = None

    def times(self, entries: Sequence[Entry]) -> tuple[list[str], np.ndarray]:
        """
        Words and times of a prediction, cut as the transcript's words are: texts, and float64 `(words, 2)` in seconds.

        Raises `ValueError`, naming the word, where the prediction spells something else than the transcript, holds a
        word that is several to the aligner, or a time that is no finite number.
        """
        matched = match_words(entries, self.text, self.spoken, "the row's transcript")
        if matched.problems:
            raise ValueError("; ".join(matched.problems))
        for number, word in enumerate(matched.words):
            wrong = [key for key in ("start", "end") if not is_time(word[key])]
            if wrong:
                name = entry_name(number, Entry(word["text"], None, None))
                raise ValueError(f"{name}: its {wrong[0]} must be a number of seconds, not {word[wrong[0]]!r}")
        return [word["text"] for word in matched.words], _array(matched.words)


def items(rows: Iterable[Mapping[str, Any]], bad: BadRows, labelled: bool = True) -> list[Item]:
    """
    The rows as items, checked. Rows that `read_labels` had left out are noted in `bad`, too.

    Args:
        rows: `{"id", "audio", "text", "language", "words"}`; "id", "text" and "language" may be missing, and "words"
            where `labelled` is `False`.
        bad: told of each row that is no mapping, has no audio, no words, or fails `formats.check_row`.
    """
    bad.left_out.extend(str(problem) for problem in getattr(rows, "problems", ()))
    found = []
    for place, row in enumerate(rows):
        name = f"row {place}"
        try:
            if not isinstance(row, Mapping):
                raise ValueError(f"a row is a dict with audio, text and words, not {type(row).__name__}")
            name = str(row["id"]) if row.get("id") is not None else name
            found.append(_item(place, name, row, labelled))
        except ValueError as error:
            bad.report(name, error)
    if not found:
        raise ValueError("there are no rows to evaluate" + "".join(f"; {line}" for line in bad.left_out[:10]))
    return found


def letters(word: str) -> str:
    """A word as it is compared with another: case and compatibility forms do not count."""
    return unicodedata.normalize("NFKC", word).casefold()


def _item(place: int, name: str, row: Mapping[str, Any], labelled: bool) -> Item:
    if row.get("audio") is None:
        raise ValueError("it has no audio")
    spoken = aligner_language(row.get("language"))
    row = {**row, "language": spoken}
    text = row.get("text")
    if labelled and (problems := check_row(row, row.get("duration"))):
        raise ValueError("; ".join(problems))
    entries = entries_of(row.get("words"))
    if text is None and entries:
        text = join_texts([entry.text for entry in entries])
    if not isinstance(text, str) or not text.strip():
        raise ValueError("its transcript is missing or empty")
    item = Item(
        place=place,
        name=name,
        audio=row["audio"],
        text=text,
        language=spoken or UNKNOWN,
        spoken=spoken,
        duration=row.get("duration"),
    )
    if labelled:
        item.labels, seconds = item.times(entries)
        item.reference = seconds * 1000
    return item


def _array(words: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([(word["start"], word["end"]) for word in words], dtype=np.float64).reshape(-1, 2)
