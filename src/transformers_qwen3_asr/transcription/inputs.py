"""What the pipeline is given, as rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..pipelines.outcomes import numbered
from ..results import ROW_ERRORS


def as_row(given: Any) -> Mapping[str, Any]:
    """A row as it is, and a recording by itself as one."""
    return given if isinstance(given, Mapping) and "audio" in given else {"audio": given}


def with_columns(audio: Sequence, columns: Mapping[str, Any]) -> list[Any]:
    """A list of recordings or rows, with the lists beside it, as rows."""
    rows = list(audio)
    for name, values in columns.items():
        if not isinstance(values, Sequence) or len(values) != len(rows):
            count = f"{len(values)} items" if hasattr(values, "__len__") else f"a {type(values).__name__}"
            raise ValueError(f"{len(rows)} recordings, but {name} is {count}")
        for index, value in enumerate(values):
            row = (
                rows[index] if isinstance(rows[index], Mapping) and "audio" in rows[index] else {"audio": rows[index]}
            )
            rows[index] = row if row.get(name) is not None else {**row, name: value}
    return rows


def items_of(rows: Any) -> Iterator[tuple[int | None, Any]]:
    """Rows with their indices; of one that cannot be had, the error."""
    if not (hasattr(rows, "__getitem__") and hasattr(rows, "__len__")):
        yield from numbered(rows)
        return
    for index in range(len(rows)):
        try:
            row = rows[index]
        except ROW_ERRORS as error:
            row = error
        yield index, row
