"""TSV and CSV with WhisperX's columns: start and end in whole milliseconds, text, and the speaker where known."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..labels.recordings import read_text
from ..labels.rows import Draft, Entry
from ..results import Cue
from .spoken import check_texts, speaker_of

_COLUMNS = ("start", "end", "text")


def read_tsv(path: Path) -> Iterator[Draft]:
    """The one row of a TSV file, in which nothing is quoted. Raises `ValueError`, naming file and line."""
    yield _draft(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def read_csv(path: Path) -> Iterator[Draft]:
    """The one row of a CSV file. Raises `ValueError`, naming file and line."""
    yield _draft(path)


def _draft(path: Path, **dialect) -> Draft:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True, **dialect)
    draft = Draft(str(path), [], name=path.stem, file=path)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in _COLUMNS if name not in head]:
            raise ValueError(f"{path}: line 1 has no column {', '.join(missing)}; start, end and text are expected")
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(head):
                raise ValueError(
                    f"{path}: line {reader.line_num} holds {len(fields)} fields, and the first {len(head)}"
                )
            row = dict(zip(head, fields))
            start, end = (_seconds(row[key], key, f"{path}: line {reader.line_num}") for key in ("start", "end"))
            text = " ".join(row["text"].split())
            if text:
                speaker = row.get("speaker", "").strip() or None
                draft.entries.append(Entry(text, start, end, f"line {reader.line_num}", speaker))
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num} cannot be read: {error}") from error
    return draft


def _seconds(text: str, key: str, place: str) -> float:
    """Of whole milliseconds; seconds would be taken for them, so that a point is an error."""
    try:
        return int(text) / 1000
    except ValueError:
        raise ValueError(f"{place}: {key} must be a whole number of milliseconds, not {text!r:.40}") from None


def write_tsv(cues: Iterable[Cue]) -> str:
    """A cue a line. Raises `ValueError`, naming the one that cannot be written."""
    return "".join("\t".join(map(str, fields)) + "\n" for fields in _rows(cues, "a TSV file"))


def write_csv(cues: Iterable[Cue]) -> str:
    """A cue a line. Raises `ValueError`, naming the one that cannot be written."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(_rows(cues, "a CSV file"))
    return file.getvalue()


def _rows(cues: Iterable[Cue], what: str) -> list[list]:
    cues = [cue for cue in cues if cue.text]
    check_texts(cues, what)
    rows = [[round(1000 * cue.start), round(1000 * cue.end), cue.text] for cue in cues]
    speakers = [speaker_of(cue) for cue in cues]
    if not any(speakers):
        return [list(_COLUMNS), *rows]
    return [[*_COLUMNS, "speaker"], *([*row, speaker] for row, speaker in zip(rows, speakers))]
