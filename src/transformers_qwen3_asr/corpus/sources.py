"""Where a corpus comes from: Parquet, JSON lines, tar shards of WebDataset, folders of recordings, the hub."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ..labels.recordings import AUDIO_SUFFIXES, Recordings
from .reading import (
    Choice,
    Columns,
    count_json_lines,
    count_parquet,
    read_json_lines,
    read_parquet,
    read_tar_shards,
    rows_of,
)
from .rows import CorpusRow

SOURCE_FORMATS = ("parquet", "jsonl", "webdataset", "audiofolder", "hub")
_SUFFIXES = {".parquet": "parquet", ".jsonl": "jsonl", ".tar": "webdataset"}


class Source:
    """
    Rows of a corpus, `CorpusRow`s, to be iterated once; nothing of it is held in memory but what is asked for.

    What cannot be read of a row is the row's error; a file that cannot be read is a row of its own, with the file's
    name for its id.

    Attributes:
        format (`str`): of `SOURCE_FORMATS`.
        count (`int`, *optional*): how many rows there are, where that is known without reading all.
    """

    def __init__(self, format: str, rows: Iterable[CorpusRow], count: int | None, choice: Choice | None = None):
        self.format, self.count = format, count
        self._choice = choice
        rows = iter(rows)
        first = next(rows, None)  # now, so that a missing column is told before a model is loaded
        if first is None:
            raise ValueError("it holds no rows")
        self._rows = chain([first], rows)

    def __iter__(self) -> Iterator[CorpusRow]:
        return self._rows

    def only(self, wanted: Callable[[str], bool]) -> "Source":
        """
        The same source, which need not read the recordings of rows whose ids are not wanted: these may have an id
        alone. To be said before it is iterated.
        """
        if self._choice is not None:
            self._choice.wanted = wanted
        return self


def open_source(
    source: str | os.PathLike,
    *,
    format: str | None = None,
    split: str = "train",
    config: str | None = None,
    audio_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
) -> Source:
    """
    The rows of a corpus.

    Args:
        source: a file; a folder; a pattern of files ("shards/*.tar"); or a data set of the hub, "owner/name", which is
            streamed.
        format: of `SOURCE_FORMATS`; default: by the files' extensions.
        split, config: of a data set of the hub.
        audio_column, text_column, id_column: default: what they are usually called (see docs/corpus.md). Rows without
            an id have a hash of audio and text (`rows.content_id`), recordings of a folder their path, those of tar
            shards the shard's name and their key.

    Raises `ValueError`, naming the source, where there is nothing, several formats, no rows or a column is missing.
    """
    name = os.fspath(source)
    columns = Columns(audio_column, text_column, id_column)
    if format not in (None, *SOURCE_FORMATS):
        raise ValueError(f"format={format!r}: known are {', '.join(SOURCE_FORMATS)}")
    try:
        if format == "hub" or (format is None and not os.path.exists(name) and not glob.has_magic(name)):
            return _hub(name, config, split, columns)
        if (config, split) != (None, "train"):
            raise ValueError("it is no data set of the hub, which alone has a configuration and splits")
        files, format, root = _files(name, format)
        if format == "audiofolder":
            if (audio_column, text_column, id_column) != (None, None, None):
                raise ValueError("it is a folder of recordings, which has no columns")
            return Source(format, _audio_folder(files, root), len(files))
        reader, count = _READERS[format]
        choice = Choice()
        return Source(format, reader(files, root, columns, choice), count(files), choice)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error


def _files(name: str, format: str | None) -> tuple[list[Path], str, Path]:
    """The files of a source, their format, and the folder that their names are relative to."""
    if os.path.isdir(name):
        root = Path(name)
        found = [path for path in sorted(root.rglob("*")) if _is_visible(path, root) and path.is_file()]
    else:
        found = [Path(path) for path in sorted(glob.glob(name, recursive=True))] if glob.has_magic(name) else []
        found = [path for path in found if path.is_file()] or ([Path(name)] if os.path.isfile(name) else [])
        root = Path(os.path.commonpath([path.parent for path in found])) if found else Path()
    if not found:
        raise ValueError("there is no such file" if not os.path.isdir(name) else "the folder is empty")
    kinds: dict[str, list[Path]] = {}
    for path in found:
        suffix = path.suffix.lower()
        kind = "audiofolder" if suffix in AUDIO_SUFFIXES else _SUFFIXES.get(suffix)
        if kind is not None:
            kinds.setdefault(kind, []).append(path)
    if format is None:
        if os.path.isdir(name) and len(kinds) > 1:
            held = ", ".join(f"{len(files)} of {kind}" for kind, files in kinds.items())
            raise ValueError(f"the folder holds several formats ({held}): say --format")
        format = next(iter(kinds), None)
        if format is None:
            known = ", ".join((*_SUFFIXES, "recordings"))
            raise ValueError(f"it holds nothing of a format that is known ({known})")
    files = kinds.get(format, [])
    if not files and len(found) == 1 and format != "audiofolder":
        files = found  # whatever its extension
    if not files:
        raise ValueError(f"it holds nothing of the format {format}")
    return files, format, root


def _is_visible(path: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


def _audio_folder(files: list[Path], root: Path) -> Iterator[CorpusRow]:
    recordings = Recordings()
    for path in files:
        id = path.relative_to(root).as_posix()
        try:
            found = recordings.transcript(path.stem, path, str(path))
        except ValueError as error:
            yield CorpusRow(id, str(path), error=str(error))
        else:
            yield CorpusRow(id, str(path), None if found is None else found[0])


def _hub(name: str, config: str | None, split: str, columns: Columns) -> Source:
    from datasets import Audio, load_dataset

    try:
        rows = load_dataset(name, config, split=split, streaming=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"there is no such file, and no such data set can be had: {' '.join(str(error).split())}"
        ) from error
    features = rows.features or {}
    for column, feature in features.items():
        if isinstance(feature, Audio):  # decoded here: datasets needs torchcodec
            rows = rows.cast_column(column, Audio(decode=False))
    splits = getattr(rows.info, "splits", None) or {}
    count = splits[split].num_examples if split in splits else None
    found = rows_of(((values,) for values in rows), columns, name, lambda chosen, values: chosen.row(values, str))
    return Source("hub", found, count or None)


_READERS: dict[str, tuple[Callable[..., Iterator[CorpusRow]], Callable[[list[Path]], int | None]]] = {
    "parquet": (read_parquet, count_parquet),
    "jsonl": (read_json_lines, count_json_lines),
    "webdataset": (read_tar_shards, lambda files: None),
}
