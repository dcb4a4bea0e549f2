"""JSON lines, the format that training is documented with."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..labels.mappings import draft_of
from ..labels.recordings import is_path, read_lines
from ..labels.rows import Draft
from ..text.spans import whole_text
from ..whole_files import write_whole
from .spoken import Spoken


def read_json_lines(path: Path) -> Iterator[Draft]:
    """
    A row a line; a line that is not UTF-8, or no JSON object, is a row with an error. Empty lines are passed over.
    """
    for place, row, error in read_json_values(path):
        yield draft_of(row, place, path) if error is None else Draft(place, file=path, errors=[error])


def read_json_values(path: Path) -> Iterator[tuple[str, Any, str | None]]:
    """
    Of each line its place, "labels.jsonl:12", the value that it holds, and what is wrong with it or `None`. Empty
    lines are passed over. Raises `ValueError`, naming the file, where it cannot be read.
    """
    for number, line in enumerate(read_lines(path), 1):
        place = f"{path}:{number}"
        if isinstance(line, UnicodeDecodeError):
            yield place, None, f"it is not UTF-8: {line.reason} at byte {line.start} of the line"
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield place, None, f"it is no JSON: {error.msg} at character {error.pos}"
        except (ValueError, RecursionError) as error:
            yield place, None, f"it is no JSON that can be read: {unreadable(error)}"
        else:
            yield place, row, None


def unreadable(error: Exception) -> str:
    """What Python refuses in JSON that is none of its syntax: depth, and integers of over 4300 digits."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike) -> Path:
    """
    Writes rows as JSON lines, which `read_labels` reads again, and returns the path.

    A recording below the file's folder is written relative to it, so that the folder can be moved; another one with
    its absolute path. Keys without a value are left out, missing folders are made, an existing file is replaced
    whole or not at all.

    Raises:
        ValueError: a row is no mapping, its recording is no path (samples, bytes, a decoder), or a value is no JSON;
            the row is named, and nothing is written.
    """
    path = Path(path)
    return write_whole(path, "".join(_line(row, path.parent, f"row {number}") for number, row in enumerate(rows, 1)))


def write_json_line(spoken: Spoken) -> str:
    """The row of one recording; its recording is named where that is known."""
    row = {"id": spoken.name, "audio": spoken.audio, "text": whole_text(spoken.result["text"])}
    row["language"] = spoken.result.get("language")
    words = [
        {"text": word.text, "start": word.start, "end": word.end, "score": word.score, "speaker": word.speaker}
        for word in spoken.words
    ]
    row["words"] = [{key: value for key, value in word.items() if value is not None} for word in words]
    return _line(row, spoken.folder, f"the row of {spoken.name!r}")


def _line(row: Any, folder: Path, name: str) -> str:
    if not isinstance(row, Mapping):
        raise ValueError(f"{name} is of type {type(row).__name__}; a dict is expected")
    name += f" (id {row['id']!r})" if row.get("id") is not None else ""
    stored = {key: value for key, value in row.items() if value is not None}
    if "audio" in stored:
        stored["audio"] = _stored_audio(stored["audio"], folder, name)
    try:
        return json.dumps(stored, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be written as JSON: {error}") from error


def _stored_audio(audio: Any, folder: Path, name: str) -> str:
    if not isinstance(audio, (str, os.PathLike)) or (isinstance(audio, str) and len(audio) >= 4096):
        raise ValueError(f"{name}: its audio is of type {type(audio).__name__}; only a path or a URL can be written")
    if isinstance(audio, str) and not is_path(audio):
        return audio
    absolute = Path(os.path.abspath(audio))
    base = Path(os.path.abspath(folder))
    return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r}")
