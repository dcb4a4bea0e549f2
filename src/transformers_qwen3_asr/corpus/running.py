"""A corpus from its source into its folder, in one of any number of processes, killed at any moment and resumed."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from ..pipelines.batching import ahead
from .aligner import CorpusAligner
from .folder import CorpusFolder
from .rows import CorpusRow, digest_of
from .sources import Source

#: Rows that are sorted by length and written together: a batch is then of similar lengths, and a shard of such rows
#: is some megabytes.
SHARD_ROWS = 512
#: A shard is written after so many seconds, however few its rows are: what a kill can cost.
SHARD_SECONDS = 300.0
#: Bytes of recordings in memory above which rows do not wait for more.
_BUFFER_BYTES = 256 * 2**20
#: Duplicate ids that are named.
NAMED = 100


@dataclass
class Pass:
    """
    What one process made of a source.

    `rows` are its own, with `limit` among the first so many; of them `before` were finished by an earlier run,
    `aligned` and `failed` by this one. `duplicates` are rows whose id another one had before; `named` are the first of
    them. `audio_seconds` are those aligned in `seconds`.
    """

    rows: int = 0
    before: int = 0
    aligned: int = 0
    failed: int = 0
    duplicates: int = 0
    named: list[str] = field(default_factory=list)
    audio_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, result: dict[str, Any]) -> None:
        """Counts a result."""
        if result["error"] is None:
            self.aligned += 1
        else:
            self.failed += 1
        self.audio_seconds += result["duration"] or 0.0


def align_corpus(
    source: Iterable[CorpusRow],
    folder: CorpusFolder,
    aligner: CorpusAligner,
    *,
    limit: int | None = None,
    retry_failed: bool = False,
    shard_rows: int = SHARD_ROWS,
    tell: Callable[[Pass], None] | None = None,
) -> Pass:
    """
    Aligns this process's rows of a source that are not finished, and writes them shard by shard.

    The folder must have been entered and begun. Each id has one row in it: of rows with the same id the first counts,
    the others are named. What was finished stays, whatever ends the call; where an error or an interrupt does, also
    the rows that no shard has yet.

    Args:
        source: rows; the same ones in the same order in each process and each run.
        folder: see `CorpusFolder`; it says which rows are this process's.
        limit: of the source, only so many rows, all processes together.
        retry_failed: align rows once more that an earlier run has errors for.
        shard_rows: rows that are sorted by length, and written together.
        tell: called whenever a batch or a duplicate row is done.

    Raises `ValueError` for a shard that cannot be read, `OSError` for one that cannot be written.
    """
    state = Pass()
    done = folder.finished(retry_failed)
    started = time.monotonic()

    def told() -> None:
        state.seconds = time.monotonic() - started
        if tell is not None:
            tell(state)

    told()
    if isinstance(source, Source):
        source = source.only(lambda id: folder.shares(digest := digest_of(id)) and digest not in done)
    buffers = _buffers(_wanted(islice(source, limit), folder, done, state), shard_rows)
    with closing(ahead(buffers) if aligner.reads_ahead else buffers) as taken:
        for rows in taken:
            _align(rows, aligner, folder, state, told)
    told()
    folder.end({"limit": limit, **asdict(state)})
    return state


def _align(
    rows: list[CorpusRow], aligner: CorpusAligner, folder: CorpusFolder, state: Pass, told: Callable[[], None]
) -> None:
    """Aligns rows and writes them, all together where that does not take too long."""
    results: list[dict[str, Any]] = []
    written = time.monotonic()
    each = aligner.each(rows)
    try:
        with closing(each):
            for _, result in each:
                results.append(result)
                state.add(result)
                told()
                if time.monotonic() - written >= SHARD_SECONDS:
                    shard, results, written = results, [], time.monotonic()
                    folder.write(shard)
    except BaseException:
        if results:  # none of them is in a shard, also where an interrupt came while one was written
            folder.write(results)
        raise
    if results:
        folder.write(results)


def _wanted(source: Iterable[CorpusRow], folder: CorpusFolder, done: set[bytes], state: Pass) -> Iterator[CorpusRow]:
    """Rows to align: this process's, no duplicates, not finished."""
    seen: set[bytes] = set()
    for row in source:
        digest = digest_of(row.id)
        if not folder.shares(digest):
            continue
        state.rows += 1
        if digest in seen:
            state.duplicates += 1
            if len(state.named) < NAMED:
                state.named.append(row.id)
            continue
        seen.add(digest)
        if digest in done:
            state.before += 1
            continue
        yield row


def _buffers(rows: Iterable[CorpusRow], size: int) -> Iterator[list[CorpusRow]]:
    buffer: list[CorpusRow] = []
    held = 0
    for row in rows:
        buffer.append(row)
        held += _bytes_of(row.audio)
        if len(buffer) >= size or held >= _BUFFER_BYTES:
            yield buffer
            buffer, held = [], 0
    if buffer:
        yield buffer


def _bytes_of(audio: Any) -> int:
    """Bytes of a recording in memory; a list of numbers takes some 32 for each."""
    if isinstance(audio, dict):
        audio = next((audio[key] for key in ("bytes", "array", "raw") if audio.get(key) is not None), None)
    if isinstance(audio, tuple):
        audio = audio[0]
    if isinstance(audio, list):
        return 32 * len(audio)
    return getattr(audio, "nbytes", 0) if hasattr(audio, "nbytes") else len(audio) if isinstance(audio, bytes) else 0
