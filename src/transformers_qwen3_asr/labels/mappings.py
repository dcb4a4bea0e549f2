"""Rows from mappings, as a JSON line holds one; and from memory: a `datasets.Dataset`, or any iterable of mappings."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..audio.decoding import load_audio
from .checking import entries_of
from .rows import Draft, join_texts, shown

_RATE = 16000


def draft_of(row: Any, place: str, file: Path | None = None, name: str | None = None) -> Draft:
    """A row from a mapping with the keys audio, text, words (or chunks), language and id; what is wrong is noted."""
    if not isinstance(row, Mapping):
        return Draft(place, file=file, errors=[f"a row must be an object with 'audio' and 'words', not {shown(row)}"])
    draft = Draft(place, audio=row.get("audio"), text=row.get("text"), id=row.get("id"), file=file, name=name)
    draft.language = row.get("language")
    # "chunks" is how our pipeline and transformers' speech recognition call words with times
    words = row.get("words") if row.get("words") is not None else row.get("chunks")
    try:
        draft.entries = entries_of(words)
    except ValueError as error:
        draft.errors.append(str(error))
    if isinstance(draft.text, list) and all(isinstance(word, str) for word in draft.text):
        # words that were given as a list: the same words stand in the chunks, unless these are characters or sentences
        draft.text = join_texts(draft.text) if len(draft.entries or draft.text) != len(draft.text) else None
    return draft


class StoredRecording:
    """
    A recording that stays in its dataset until it is loaded, so that a list of rows holds none in memory.

    `load_audio` takes it. It is pickled with the dataset, which is a file, for workers of a `DataLoader`.

    Args:
        dataset (`datasets.Dataset`): with the column "audio", not decoded.
        index (`int`): the row.
    """

    def __init__(self, dataset, index: int):
        self.dataset = dataset
        self.index = index

    @property
    def value(self) -> Any:
        """What the dataset holds, `{"bytes", "path"}`."""
        return self.dataset[self.index]["audio"]

    def get_all_samples(self) -> SimpleNamespace:
        """Samples at 16 kHz as torchcodec's decoders give them: `data` `(samples,)` and `sample_rate`."""
        return SimpleNamespace(data=load_audio(self.value, _RATE), sample_rate=_RATE)

    def __repr__(self) -> str:
        return f"StoredRecording(row {self.index})"


def is_dataset(source: Any) -> bool:
    """Whether `source` is a `datasets.Dataset` or one that streams, without importing datasets."""
    return hasattr(source, "cast_column") and hasattr(source, "column_names")


def read_rows(source: Iterable[Mapping[str, Any]]) -> Iterator[Draft]:
    """A row for each mapping, called "row 0" and so on, or by its "id"."""
    recordings = None
    if is_dataset(source):
        source, recordings = _without_decoding(source)
    for number, row in enumerate(source):
        draft = draft_of(row, f"row {number}")
        if recordings is not None and not draft.errors:
            value = recordings[number]["audio"]
            inside = value is not None and value.get("bytes") is not None
            draft.audio = StoredRecording(recordings, number) if inside else value
        yield draft


def _without_decoding(dataset) -> tuple[Any, Any]:
    """The dataset with encoded recordings, and the dataset to take them from where they need not be in the rows."""
    from datasets import Audio, Dataset

    if isinstance(dataset, Dataset):
        dataset = dataset.with_format(None)
    if not isinstance((dataset.features or {}).get("audio"), Audio):
        return dataset, None
    dataset = dataset.cast_column("audio", Audio(decode=False))
    if not isinstance(dataset, Dataset):
        return dataset, None  # what streams passes by once
    return dataset.remove_columns("audio"), dataset.select_columns("audio")
