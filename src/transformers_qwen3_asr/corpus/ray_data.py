"""A corpus by Ray Data: actors on a cluster align, and each writes what it has finished. Needs the extra `ray`."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .aligner import CorpusAligner
from .folder import CorpusFolder, write_shard, writing_for_a_run
from .rows import CorpusRow, digest_of, row_of
from .running import NAMED, SHARD_ROWS, Pass

if TYPE_CHECKING:
    from ray.data import Dataset

#: A `Pass` as a row: what an actor tells of a batch.
_PASS = pa.schema(
    {
        **dict.fromkeys(("rows", "before", "aligned", "failed", "duplicates"), pa.int64()),
        "named": pa.list_(pa.string()),
        **dict.fromkeys(("audio_seconds", "seconds"), pa.float64()),
    }
)


def ray_align(
    dataset: "Dataset",
    out: str | os.PathLike,
    model: str | os.PathLike,
    *,
    num_gpus: float = 1,
    concurrency: int | tuple[int, int] = 1,
    shard_rows: int = SHARD_ROWS,
    retry_failed: bool = False,
    **options: Any,
) -> Pass:
    """
    Aligns a Ray dataset into a folder like that of `align_corpus`: each id has one row in it. What has a result there
    is not aligned again, and what fails has its error there.

    Actors take `shard_rows` rows at a time, align them and write them as one shard, whole or not at all. Where an
    actor is killed, Ray starts another and gives it these rows again; it writes them under the same name. Of rows with
    one id, the first that an actor comes to counts. Recordings and words never go through the driver.

    Args:
        dataset: rows `{"audio", "text"}` and perhaps "language" and "id", as `CorpusAligner` takes them.
        out: the folder, on a disk that the driver and all actors see under this name.
        model: a name, a folder or a bundled model; each actor loads it.
        num_gpus: of an actor; 0 for processors alone.
        concurrency: how many actors, or the least and the most of them.
        shard_rows: rows that are sorted by length, and written together.
        retry_failed: align rows once more that an earlier run has errors for.
        options: of `CorpusAligner`.

    Returns what became of the rows, as `align_corpus` does.

    Raises `ValueError` for a dataset without audio or text and as `CorpusFolder` does, `ImportError` without Ray, what
    Ray raises where a shard cannot be written, and `RuntimeError` where Ray lost rows. What was finished stays.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy
    except ImportError as error:
        raise ImportError("this needs Ray: pip install 'transformers-qwen3-asr[ray]'") from error
    CorpusAligner(model, **options)  # what is wrong with these is told before any actor starts
    if isinstance(shard_rows, bool) or not isinstance(shard_rows, int) or shard_rows < 1:
        raise ValueError(f"shard_rows={shard_rows!r}: a whole number of at least 1 is expected")
    columns = dataset.columns()  # None where there are no rows
    if missing := {"audio", "text"}.difference(columns or ("audio", "text")):
        raise ValueError(f"the dataset has no column {sorted(missing)[0]!r}; it has {', '.join(columns)}")
    least, most = (concurrency, concurrency) if isinstance(concurrency, int) else concurrency
    state, started = Pass(), time.monotonic()
    with CorpusFolder(out) as folder:
        asked = {name: value for name, value in options.items() if name not in ("batch_size", "device")}
        folder.begin({"source": "ray", "model": os.fspath(model), **asked})
        claims = ray.remote(num_cpus=0)(Claims).remote(folder.finished(retry_failed))
        told = dataset.map_batches(
            ShardWriter,
            fn_constructor_args=(os.path.abspath(folder.own), os.fspath(model), options, claims),
            batch_size=shard_rows,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=least, max_size=most),
            num_gpus=num_gpus or None,
        )
        folder.note_manifest()  # shards are the actors'
        for batch in told.iter_rows():
            _add(state, batch)
        folder.tidy()  # after those that were killed
        if lost := ray.get(claims.unfinished.remote()):
            # such as after the death of a node, where what came before this gives other rows when it is done again
            raise RuntimeError(f"{lost} rows were an actor's that died, and Ray gave them to none: call this again")
        state.seconds = time.monotonic() - started
        folder.end({"limit": None, **asdict(state)})
    return state


class Claims:
    """An actor of the run: which rows have a result, and which batch the others belong to."""

    def __init__(self, finished: set[bytes]):
        self._of: dict[bytes, str | None] = dict.fromkeys(finished)
        self._open: set[bytes] = set()

    def claim(self, batch: str, digests: Sequence[bytes]) -> list[str]:
        """
        For each row of a batch "mine", "before" or "duplicate". The same batch may ask again, since an actor may have
        died between this and its end, and gets the same answer.
        """
        answers, asked = [], set()
        for digest in digests:
            if digest not in self._of:
                self._of[digest] = batch
                self._open.add(digest)
            owner = self._of[digest]
            repeated = digest in asked or owner not in (None, batch)
            answers.append("duplicate" if repeated else "before" if owner is None else "mine")
            asked.add(digest)
        return answers

    def finish(self, digests: Sequence[bytes]) -> None:
        """Notes rows that stand in a shard. They stay the batch's, whose answer to Ray may still be lost."""
        self._open.difference_update(digests)

    def unfinished(self) -> int:
        """Rows that belong to a batch which never wrote them."""
        return len(self._open)


class ShardWriter:
    """What an actor runs: a batch of rows in, their results in a shard, and what became of them out."""

    def __init__(self, folder: str, model: str, options: Mapping[str, Any], claims: Any):
        self.folder, self.claims = folder, claims
        self.aligner = CorpusAligner(model, **options)

    def __call__(self, batch: pa.Table) -> pa.Table:
        # it may outlive a driver that is killed, and its lock, for a moment
        with writing_for_a_run(os.path.dirname(self.folder)):
            state = self._align([row_of(row) for row in batch.to_pylist()])
        return pa.Table.from_pylist([asdict(state)], _PASS)

    def _align(self, rows: list[CorpusRow]) -> Pass:
        import ray

        digests = [digest_of(row.id) for row in rows]
        answers = ray.get(self.claims.claim.remote(_number(digests), digests))
        repeated = [row.id for row, answer in zip(rows, answers) if answer == "duplicate"]
        state = Pass(len(rows), before=answers.count("before"), duplicates=len(repeated), named=repeated[:NAMED])
        mine = [place for place, answer in enumerate(answers) if answer == "mine"]
        if mine:
            results = self.aligner([rows[place] for place in mine])
            own = [digests[place] for place in mine]
            # named by the rows in it: an earlier run may have written others of the same batch
            write_shard(os.path.join(self.folder, f"{_number(own)}.parquet"), results)
            ray.get(self.claims.finish.remote(own))
            for result in results:
                state.add(result)
        return state


def _number(digests: Sequence[bytes]) -> str:
    """A name for these rows, the same whenever they are given: a number, as shards' names are."""
    return f"{int.from_bytes(hashlib.sha256(b''.join(digests)).digest()[:8], 'big'):020d}"


def _add(state: Pass, batch: Mapping[str, Any]) -> None:
    """Adds what became of a batch."""
    for name, value in batch.items():
        setattr(state, name, getattr(state, name) + value)
    del state.named[NAMED:]
