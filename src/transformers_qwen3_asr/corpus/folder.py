"""The folder that a corpus is aligned into: shards of finished rows, what was asked for, and a lock meanwhile."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..whole_files import write_whole
from .rows import digest_of

VERSION = 1
MANIFEST = "manifest.json"
PASS = "pass.json"
_PASSAGES = pa.list_(
    pa.struct({"start": pa.float64(), "end": pa.float64(), "char_start": pa.int64(), "char_end": pa.int64()})
)
#: Of a shard, in the order of `CorpusAligner`'s results.
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "language": pa.string(),
        "duration": pa.float64(),
        "words": pa.list_(
            pa.struct(
                {
                    "text": pa.string(),
                    "start": pa.float64(),
                    "end": pa.float64(),
                    "score": pa.float64(),
                    "char_start": pa.int64(),
                    "char_end": pa.int64(),
                }
            )
        ),
        "score": pa.float64(),
        "fits": pa.bool_(),
        "unfit": _PASSAGES,
        "untranscribed": _PASSAGES,
        "seconds": pa.float64(),
        "error_kind": pa.string(),
        "error": pa.string(),
    }
)


class CorpusFolder:
    """
    OUT of `align_corpus`, used as a context manager: as long as it lasts, no other run can write into the folder.

        OUT/manifest.json                what was asked for; a run that goes on must ask for the same
        OUT/rank-00000/000000.parquet    finished rows, `SCHEMA`; a folder for each process
        OUT/rank-00000/pass.json         there when the process has gone through its source

    A shard is there whole or not at all, and a row stands in one shard. The lock is the system's (flock), so that it
    goes when its process does, however that ends. Processes of one run have a lock each: they share rows by their ids
    and never meet.

    Args:
        path: the folder; made if it is not there.
        rank, processes: which of how many processes this is.

    Raises `ValueError`: the folder holds something else, or another run uses it.
    """

    def __init__(self, path: str | os.PathLike, rank: int = 0, processes: int = 1):
        if not 0 <= rank < processes:
            raise ValueError(f"process {rank} of {processes}: the first is 0, the last is {processes - 1}")
        self.path, self.rank, self.processes = Path(path), rank, processes
        self.own = self.path / _rank_name(rank)
        self._lock: int | None = None
        self._asked: dict[str, Any] = {"version": VERSION}

    def __enter__(self) -> "CorpusFolder":
        self._check_folder()
        self.own.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.path / f".lock-{self.rank}-of-{self.processes}")
        try:
            self._check_alone()
            self.tidy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, asked: Mapping[str, Any]) -> None:
        """
        Says what is asked for (what JSON can hold). It is compared with what was, or stands in the manifest as soon as
        there is a shard, so that a command that cannot run leaves nothing that its correction would differ from.

        Raises `ValueError`, naming what differs, where a run that is to go on was begun in another way.
        """
        (self.own / PASS).unlink(missing_ok=True)
        self._asked = {"version": VERSION, **asked}
        if not (self.path / MANIFEST).exists():
            return
        then = read_manifest(self.path)
        differing = [
            f"{name} was {then.get(name)!r} and is {self._asked.get(name)!r}"
            for name in dict.fromkeys([*self._asked, *then])
            if then.get(name) != self._asked.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self.path} was begun differently: {'; '.join(differing)}. Ask for the same, or name another folder"
            )

    def finished(self, retry_failed: bool = False) -> set[bytes]:
        """
        The digests (`rows.digest_of`) of this process's rows that are finished.

        With `retry_failed` failed rows are taken out of the shards, so that they are as if they had never been there.
        Raises `ValueError`, naming the shard, where one cannot be read; and where rows failed in processes that shared
        them in another way, so that two would have to change a shard.
        """
        done = set()
        for path in shards(self.path):
            mine = self._is_mine(path)
            table = read_shard(path, ["id", "error"])
            failed = [error is not None for error in table["error"].to_pylist()]
            for id, bad in zip(table["id"].to_pylist(), failed):
                digest = digest_of(id)
                if retry_failed and bad:
                    if self.shares(digest) != mine:
                        raise ValueError(
                            f"{path} holds failed rows that another number of processes shared; retry them in one"
                        )
                elif self.shares(digest):
                    done.add(digest)
            if retry_failed and mine and any(failed):
                self._drop(path, failed)
        return done

    def shares(self, digest: bytes) -> bool:
        """Whether a row is this process's."""
        return int.from_bytes(digest[:8], "big") % self.processes == self.rank

    def write(self, results: Sequence[Mapping[str, Any]]) -> Path:
        """Writes results as a new shard, whole or not at all. Raises `OSError`, naming it, where it cannot."""
        self.note_manifest()
        numbers = [int(path.stem) for path in self.own.glob("*.parquet") if path.stem.isdecimal()]
        path = self.own / f"{max(numbers, default=-1) + 1:06d}.parquet"
        return write_shard(path, results)

    def end(self, content: Mapping[str, Any]) -> None:
        """Notes that this process has gone through its source."""
        self.note_manifest()
        write_whole(self.own / PASS, _json({"processes": self.processes, **content}))

    def note_manifest(self) -> None:
        """Writes what was asked for, where it is not written yet."""
        if not (self.path / MANIFEST).exists():
            write_whole(self.path / MANIFEST, _json(self._asked))

    def _check_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is no folder")
        if not self.path.exists() or (self.path / MANIFEST).is_file():
            return
        strange = [path.name for path in sorted(self.path.iterdir()) if not _is_ours(path)]
        if strange:
            raise ValueError(f"{self.path} holds {strange[0]!r} and no {MANIFEST}: name a new folder, or an empty one")

    def _check_alone(self) -> None:
        """Another number of processes would share rows differently, so that both could align the same."""
        for path in self.path.glob(".lock-*"):
            if not path.name.endswith(f"-of-{self.processes}"):
                os.close(_locked(path, shared=True))

    def tidy(self) -> None:
        """Removes what killed processes began to write."""
        folders = [self.own]
        if self.rank == 0:  # of ranks that there are no more
            folders += [path for path in self.path.glob("rank-*") if self._is_mine(path / "x")]
        for part in (part for folder in folders for part in folder.glob(".*.part")):
            part.unlink(missing_ok=True)

    def _is_mine(self, path: Path) -> bool:
        """Whether a shard is changed by this process: its own, and the first one's also those of processes no more."""
        rank = int(path.parent.name.removeprefix("rank-"))
        return rank == self.rank or (self.rank == 0 and rank >= self.processes)

    def _drop(self, path: Path, failed: list[bool]) -> None:
        table = read_shard(path).filter(pa.array([not bad for bad in failed]))
        if table.num_rows:
            write_whole(path, _parquet(table))
        else:
            path.unlink()


def shards(path: str | os.PathLike) -> list[Path]:
    """The shards of a corpus folder, in order."""
    return sorted(Path(path).glob("rank-*/[0-9]*.parquet"))


def write_shard(path: str | os.PathLike, results: Sequence[Mapping[str, Any]]) -> Path:
    """Writes results as a shard, whole or not at all. Raises `OSError`, naming it, where it cannot."""
    rows = [{name: _storable(value) for name, value in result.items()} for result in results]
    return write_whole(Path(path), _parquet(pa.Table.from_pylist(rows, SCHEMA)))


def read_shard(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A shard, or some columns of it. Raises `ValueError`, naming it, where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read ({error}); without it, its rows are aligned again") from error


def read_manifest(path: str | os.PathLike) -> dict[str, Any]:
    """What a corpus was asked for. Raises `ValueError` where there is no manifest that can be read."""
    path = Path(path) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"{path} is no manifest of version {VERSION}")
    return content


def passes_of(path: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """What processes noted when they had gone through their source, each with its "rank"."""
    for file in sorted(Path(path).glob(f"rank-*/{PASS}")):
        with suppress(OSError, ValueError):
            yield {"rank": int(file.parent.name.removeprefix("rank-")), **json.loads(file.read_text("utf-8"))}


@contextmanager
def writing_for_a_run(path: str | os.PathLike) -> Iterator[None]:
    """
    Keeps other runs out of a corpus folder, as `CorpusFolder` does, in a process that is not the run's own and may
    outlive it. Any number of them may be at work.
    """
    for number in count():  # few files, and used again
        try:
            lock = _locked(Path(path) / f".lock-{number}-of-writers")
            break
        except ValueError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
    try:
        yield
    finally:
        os.close(lock)


def _rank_name(rank: int) -> str:
    return f"rank-{rank:05d}"


def _is_ours(path: Path) -> bool:
    return path.name.startswith((".lock-", "rank-")) or (path.name.startswith(".") and path.suffix == ".part")


def _locked(path: Path, shared: bool = False) -> int:
    """A file's lock, as an open descriptor; `shared` with others that share it. `ValueError` where it is taken."""
    import fcntl  # not on Windows

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ValueError(f"another run writes into {path.parent}") from error
        raise ValueError(f"{path.parent} lies where files cannot be locked ({error.strerror})") from error
    return descriptor


def _storable(value: Any) -> Any:
    """A text as UTF-8 can have it: a lone surrogate becomes an escape."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _json(content: Mapping[str, Any] | Iterable) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
