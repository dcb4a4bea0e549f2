"""A corpus's files as rows: which columns they have, and what becomes of what cannot be read."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..formats import read_json_values
from ..labels.recordings import AUDIO_SUFFIXES, Recordings
from ..labels.rows import shown
from .rows import CorpusRow, content_id, given_id

#: How columns are called here, and in NeMo's manifests, audio folders of `datasets`, WebDataset, data sets of the hub.
_AUDIO_COLUMNS = ("audio", "audio_filepath", "file_name")
_TEXT_COLUMNS = ("text", "txt", "transcription", "transcript", "sentence")
_PARQUET_ROWS = 64  # read at once: each may hold a recording
_PEEKED = 16  # rows that say which columns there are


@dataclass(frozen=True)
class Columns:
    """The names of a source's columns; `None` for those that are looked for under their usual names."""

    audio: str | None = None
    text: str | None = None
    id: str | None = None

    def found(self, names: Iterable[str], name: str) -> "Columns":
        """The same with the names that there are. Raises `ValueError`, naming what there is, where one is missing."""
        names = list(names)
        usual = {
            "audio": (*_AUDIO_COLUMNS, *(column for column in names if f".{column.lower()}" in AUDIO_SUFFIXES)),
            "text": _TEXT_COLUMNS,
        }
        chosen: dict[str, str | None] = {"id": self.id or ("id" if "id" in names else None)}
        for role, wanted in (("audio", self.audio), ("text", self.text)):
            given = (wanted,) if wanted is not None else usual[role]
            chosen[role] = next((column for column in given if column in names), None)
            if chosen[role] is None:
                raise ValueError(
                    f"{name} has no column {' or '.join(map(repr, given[:5]))}; it has {', '.join(names) or 'none'} "
                    f"(--{role}-column says which is the {role})"
                )
        if self.id is not None and self.id not in names:
            raise ValueError(f"{name} has no column {self.id!r}; it has {', '.join(names)}")
        return Columns(**chosen)

    def row(self, values: Mapping[str, Any], locate: Callable[[str], str], id: str | None = None) -> CorpusRow:
        """A row of the source as the corpus has it; `locate` finds a recording by its name there."""
        audio, text = values.get(self.audio), values.get(self.text)
        language = values.get("language")
        stated = given_id(values.get(self.id)) if self.id is not None else None
        try:
            row = CorpusRow(stated or id or content_id(audio, text), audio, text, language)
        except ValueError as error:
            return CorpusRow(content_id(None, text), None, text, language, error=f"its audio: {error}")
        if isinstance(audio, dict) and audio.get("bytes") is None and isinstance(audio.get("path"), str):
            audio = audio["path"]
        elif isinstance(audio, dict) and audio.get("bytes") is not None:
            audio = audio["bytes"]
        if isinstance(audio, str):
            audio = locate(audio)
        return replace(row, audio=audio)


class Choice:
    """Which rows somebody wants, by their ids: all, unless `wanted` is set. What others hold need not be read."""

    def __init__(self):
        self.wanted: Callable[[str], bool] = lambda id: True


def rows_of(items: Iterator[Any], columns: Columns, name: str, row: Callable[..., CorpusRow]) -> Iterator[CorpusRow]:
    """
    Rows of items, which are rows already (of what cannot be read) or `row`'s arguments behind the columns, the values
    last. What the first few have says how the columns are called.
    """
    head = list(islice(items, _PEEKED))
    values = [item[-1] for item in head if not isinstance(item, CorpusRow) and isinstance(item[-1], Mapping)]
    if head and not values:
        raise ValueError(next((item.error for item in head if isinstance(item, CorpusRow)), "it holds no rows"))
    chosen = columns.found(dict.fromkeys(chain.from_iterable(values)), name) if head else columns
    for item in chain(head, items):
        yield item if isinstance(item, CorpusRow) else row(chosen, *item)


def _items(files: list[Path], root: Path, read: Callable[[Path], Iterator[Any]]) -> Iterator[Any]:
    """What `read` gives of each file, behind the file; a row for what it cannot."""
    import pyarrow as pa

    for path in files:
        try:
            for item in read(path):
                yield item if isinstance(item, CorpusRow) else (path, *item)
        except (OSError, ValueError, EOFError, tarfile.TarError, pa.ArrowException) as error:
            named = str(error).startswith(str(path))
            message = str(error) if named else f"{path} cannot be read: {str(error) or type(error).__name__}"
            yield CorpusRow(f"file {path.relative_to(root)}", error=message)


def read_parquet(files: list[Path], root: Path, columns: Columns, choice: Choice) -> Iterator[CorpusRow]:
    """
    Rows of Parquet files, of which only the columns that are needed are read; and of row groups that state the ids of
    their rows and hold none that is wanted, the ids alone.
    """
    import pyarrow.parquet as pq

    recordings = Recordings()
    chosen: Columns | None = None

    def read(path: Path) -> Iterator[Any]:
        nonlocal chosen
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            chosen = chosen or columns.found(names, str(path))
            asked = [name for name in (chosen.audio, chosen.text, chosen.id, "language") if name in names]
            for group in range(file.num_row_groups):
                if chosen.id in names:
                    ids = file.read_row_group(group, [chosen.id])[chosen.id].to_pylist()
                    if not any(given_id(id) is None or choice.wanted(given_id(id)) for id in ids):
                        yield from (({chosen.id: id},) for id in ids)
                        continue
                for batch in file.iter_batches(_PARQUET_ROWS, [group], list(dict.fromkeys(asked))):
                    yield from ((values,) for values in batch.to_pylist())

    def row(chosen: Columns, path: Path, values: Mapping[str, Any]) -> CorpusRow:
        return chosen.row(values, lambda name: recordings.named(name, path))

    return rows_of(_items(files, root, read), columns, str(root), row)


def count_parquet(files: list[Path]) -> int | None:
    """How many rows there are, or `None` where that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return sum(pq.read_metadata(path).num_rows for path in files)
    except (OSError, pa.ArrowException):
        return None


def read_json_lines(files: list[Path], root: Path, columns: Columns, choice: Choice) -> Iterator[CorpusRow]:
    """Rows of JSON lines; a line that is none is a row with an error."""
    recordings = Recordings()

    def read(path: Path) -> Iterator[Any]:
        for place, values, error in read_json_values(path):
            if error is None and not isinstance(values, Mapping):
                error = f"a line must be a JSON object, not {shown(values)}"
            line = f"line {path.relative_to(root)}{place.removeprefix(str(path))}"
            yield (values,) if error is None else CorpusRow(line, error=error)

    def row(chosen: Columns, path: Path, values: Mapping[str, Any]) -> CorpusRow:
        return chosen.row(values, lambda name: recordings.named(name, path))

    return rows_of(_items(files, root, read), columns, str(root), row)


def count_json_lines(files: list[Path]) -> int | None:
    """How many rows there are, or `None` where that cannot be read."""
    try:
        count = 0
        for path in files:
            with path.open("rb") as file:
                count += sum(1 for line in file if line.strip())
        return count
    except OSError:
        return None


def read_tar_shards(files: list[Path], root: Path, columns: Columns, choice: Choice) -> Iterator[CorpusRow]:
    """Rows of WebDataset's tar files: neighbouring files whose names are alike up to the first dot."""

    def row(chosen: Columns, path: Path, key: str, values: Mapping[str, Any]) -> CorpusRow:
        shard = path.relative_to(root).with_suffix("").as_posix()
        return chosen.row(values, lambda name: name, id=f"{shard}/{key}")

    return rows_of(_items(files, root, _samples), columns, str(root), row)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The samples of a tar shard: what their files' names are up to the first dot, and their files by extension. Texts
    are decoded, and what a .json holds stands beside them.
    """
    key, values = None, {}
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            folder, _, base = member.name.rpartition("/")
            stem, dot, extension = base.partition(".")
            if not member.isfile() or not stem or not dot:
                continue
            this = f"{folder.removeprefix('./')}/{stem}".lstrip("/")
            if key is not None and this != key:
                yield key, values
                values = {}
            key = this
            values.update(_member(extension.lower(), archive.extractfile(member) or io.BytesIO()))
    if key is not None:
        yield key, values


def _member(extension: str, file: Any) -> dict[str, Any]:
    content = file.read()
    if extension in ("txt", "text", "lab", "transcript"):
        try:
            return {extension: " ".join(content.decode("utf-8-sig").split())}
        except UnicodeDecodeError:
            return {extension: content}  # a text that is none, which the aligner refuses
    if extension == "json":
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return {extension: content}
        return dict(found) if isinstance(found, dict) else {extension: found}
    return {extension: content}
