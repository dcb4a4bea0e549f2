"""Times that are there already: what `qwen3-asr align` wrote, or a label file of another aligner."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.table import READERS_BY_SUFFIX
from ..labels.checking import entries_of
from ..labels.recordings import Recordings
from ..labels.rows import Entry
from .rows import BadRows, Item


class Predictions:
    """
    Predicted words of recordings, found by the recording's path, its name, or the row's id.

    `read_predictions` makes one of files; `Predictions(rows)` of rows `{"audio", "words"}` or `{"id", "words"}`, where
    "words" are `{"text", "start", "end"}` or `{"text", "timestamp": (start, end)}`, in seconds.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], source: str = "the predictions"):
        self.source = source
        self.rows = list(rows)
        self._found: dict[tuple[str, str], list[int]] = {}
        for number, row in enumerate(self.rows):
            if not isinstance(row, Mapping):
                raise ValueError(f"row {number} of {source} is of type {type(row).__name__}; a dict is expected")
            for key in _keys(row.get("audio"), row.get("id"), row.get("name")):
                self._found.setdefault(key, []).append(number)

    def __len__(self) -> int:
        return len(self.rows)

    def times(self, items: Sequence[Item], bad: BadRows) -> Iterator[tuple[Item, list[Entry], np.ndarray | None]]:
        """Yields items with their predicted words (seconds); recordings are not read, so the samples are `None`."""
        for item in items:
            try:
                row = self._row_of(item)
                entries = entries_of(row.get("words"))
                if not entries:
                    raise ValueError(f"{self.source}: its prediction holds no words")
            except ValueError as error:
                bad.report(item.name, error)
            else:
                yield item, entries, None

    def _row_of(self, item: Item) -> Mapping[str, Any]:
        keys = _keys(item.audio, item.name, None)
        for key in keys:
            numbers = self._found.get(key, [])
            if len(numbers) == 1:
                return self.rows[numbers[0]]
            if numbers and key[0] != "path":  # one recording may have several rows, which their ids tell apart
                raise ValueError(f"{len(numbers)} predictions in {self.source} are called {key[1]!r}")
        called = next((value for kind, value in keys if kind == "name"), item.name)
        raise ValueError(f"{self.source} holds no prediction for it (looked for {called!r})")


def read_predictions(path: str | os.PathLike) -> Predictions:
    """
    Predictions from a file, or from all files of a folder that have one of the extensions below.

    Read are .json (what `qwen3-asr align` writes, and Whisper's relatives), .jsonl, .ndjson, .TextGrid, .ctm, .srt and
    .vtt, as by `formats`, but as they are: an aligner may be wrong about times, which is what evaluation is to
    find out. Hidden files of a folder (macOS leaves such beside copies) are passed over.

    Raises `ValueError`, naming the file, for one that cannot be read or holds nothing.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise ValueError(f"{path}: there is no such file or folder")
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in READERS_BY_SUFFIX and file.is_file() and not file.name.startswith(".")
        ]
    elif path.suffix.lower() in READERS_BY_SUFFIX:
        files = [path]
    else:
        raise ValueError(f"{path}: its extension is not one of {', '.join(READERS_BY_SUFFIX)}")
    rows = []
    recordings = Recordings()
    for draft in (draft for file in files for draft in READERS_BY_SUFFIX[file.suffix.lower()](file)):
        if errors := [*draft.errors, *([draft.lacks] if draft.lacks else [])]:
            raise ValueError(f"{draft.place}: {'; '.join(errors)}")
        audio = draft.audio
        if isinstance(audio, str):
            audio = recordings.named(audio, draft.file)
        # where a label file holds no id, its place in the file is the row's
        id = draft.place if draft.id is None else draft.id
        rows.append({"audio": audio, "id": id, "name": draft.name, "words": _words(draft.entries)})
    if not rows:
        raise ValueError(f"{path} holds no predictions")
    return Predictions(rows, str(path))


def _words(entries: Sequence[Entry] | None) -> list[dict[str, Any]]:
    return [{"text": entry.text, "start": entry.start, "end": entry.end} for entry in entries or ()]


def _keys(audio: Any, identity: Any, name: str | None) -> list[tuple[str, str]]:
    """What a row may be found by, the surest first."""
    if isinstance(audio, Mapping):  # of datasets: the path stays beside bytes and samples
        audio = audio.get("path")
    keys = []
    is_file = isinstance(audio, (str, os.PathLike)) and len(os.fspath(audio)) < 4096
    if is_file:
        keys.append(("path", os.path.realpath(audio)))
    if identity is not None:
        keys.append(("id", str(identity)))
    if name is not None or is_file:
        keys.append(("name", name if name is not None else Path(audio).stem))
    return keys
