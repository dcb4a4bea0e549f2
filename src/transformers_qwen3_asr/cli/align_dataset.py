"""`qwen3-asr align-dataset`: a corpus into a folder of Parquet files, in as many processes as there are GPUs."""

import argparse
import os
import sys
import time
from pathlib import Path

from .common import (
    DECODINGS,
    DEFAULT_MODEL,
    InputError,
    add_device_options,
    complain,
    ended_in_order,
    load_aligner,
    note,
    one_line,
    positive,
)
from .files import check_folder

#: As `corpus` has them, which is heavy.
FORMATS = ("parquet", "jsonl", "webdataset", "audiofolder", "hub")
_LOG_SECONDS = 30.0  # between two lines of progress, where no terminal is
_NAMED = 5  # of duplicate ids
_DAY = 24 * 3600
EPILOG = """\
source:   Parquet files, JSON lines, WebDataset's tar shards, or a folder of recordings with their texts
          (NAME.txt, NAME.lab) beside them: a file, a folder, or a pattern in quotes ("shards/*.tar");
          or a data set of the hub, which is streamed (--config, --split).
out:      OUT/rank-*/*.parquet, a row for each row of SOURCE, and OUT/manifest.json. A failed row has its
          error there. `qwen3-asr corpus-report OUT` tells about them.
resume:   killed at any moment, the same command goes on: no row is lost, none is there twice. What a kill
          costs is a shard's work, five minutes at most.
GPUs:     accelerate launch --num_processes N -m transformers_qwen3_asr align-dataset SOURCE OUT
          Processes, also of several machines, share rows by their ids and need OUT on a common disk.
          Any launcher that sets RANK and WORLD_SIZE does.
status:   0 when each row has its words or its error, 2 when something ended the run before.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "align-dataset",
        help="align a corpus into a folder of Parquet files; goes on after a kill",
        description="Align a corpus into a folder of Parquet files; goes on after a kill.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="what is aligned (see below)")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder, or one of an earlier run")
    parser.add_argument("--format", choices=FORMATS, help="what SOURCE is (default: by its files)")
    parser.add_argument("--config", help="of a data set of the hub")
    parser.add_argument("--split", default="train", help="of a data set of the hub (default: train)")
    parser.add_argument("--audio-column", metavar="NAME", help="default: audio, audio_filepath, file_name")
    parser.add_argument(
        "--text-column", metavar="NAME", help="default: text, txt, transcription, transcript, sentence"
    )
    parser.add_argument("--id-column", metavar="NAME", help="default: id, or else a hash of audio and text")
    parser.add_argument("--language", help="of rows that have none in their column language")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="hub name, folder, or tiny-en (default: %(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows of SOURCE")
    parser.add_argument("--retry-failed", action="store_true", help="align rows again that failed before")
    parser.add_argument(
        "--shard-rows", type=positive, metavar="N", help="rows sorted by length and written together (default: 512)"
    )
    parser.add_argument(
        "--decoding", choices=DECODINGS, default=DECODINGS[0], help="joint (default), or as qwen-asr does: argmax"
    )
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_const",
        const=False,
        help="do not hear doubtful words again in short windows: faster, and a little less exact",
    )
    parser.add_argument(
        "--max-align-seconds",
        type=float,
        metavar="S",
        help="longer recordings are aligned in windows of so many seconds (default: what the model's config says)",
    )
    add_device_options(parser, "the process's own GPU if there is one")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="recordings at once (default: 8)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Aligns what is not aligned yet. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    try:
        with ended_in_order():
            _align(arguments)
    except OSError as error:
        where = error.filename or arguments.out
        return complain("align-dataset", f"{where}: {error.strerror or error}; what was finished stays")
    except (ValueError, ImportError) as error:  # InputError is one
        return complain("align-dataset", one_line(error))
    return 0


def _align(arguments: argparse.Namespace) -> None:
    rank, processes, local_rank = processes_of(os.environ)
    check_folder("OUT", arguments.out)
    if os.path.isdir(arguments.source) and arguments.out.resolve().is_relative_to(Path(arguments.source).resolve()):
        raise InputError("OUT is in SOURCE, whose files would be read as rows")

    from ..corpus import CorpusAligner, CorpusFolder, align_corpus, open_source

    columns = {name: getattr(arguments, name) for name in ("audio_column", "text_column", "id_column")}
    shared = {"format": arguments.format, "split": arguments.split, "config": arguments.config, **columns}
    source = open_source(arguments.source, **shared)
    options = {name: getattr(arguments, name) for name in ("language", "decoding", "refine", "max_align_seconds")}
    asked = {"source": arguments.source, **shared, "model": arguments.model, "dtype": arguments.dtype, **options}
    progress = Progress(source.count, arguments.limit, rank, processes)
    with CorpusFolder(arguments.out, rank, processes) as folder:
        folder.begin(asked)
        pipe = load_aligner(arguments.model, arguments.dtype, arguments.device or own_gpu(local_rank, processes))
        aligner = CorpusAligner(pipe, batch_size=arguments.batch_size, **options)
        rows = {} if arguments.shard_rows is None else {"shard_rows": arguments.shard_rows}
        try:
            state = align_corpus(
                source,
                folder,
                aligner,
                limit=arguments.limit,
                retry_failed=arguments.retry_failed,
                tell=progress.tell,
                **rows,
            )
        finally:
            progress.close()
    if state.duplicates:
        named = ", ".join(state.named[:_NAMED])
        more = ", …" if state.duplicates > _NAMED else ""
        note("align-dataset", f"{state.duplicates} rows have an id that a row before them has ({named}{more})")
    if processes > 1:  # others may be at work
        print(progress.line(state), file=sys.stderr)
    else:
        from ..corpus import read_report

        print(read_report(arguments.out).table(), flush=True)


def processes_of(environment) -> tuple[int, int, int]:
    """
    Rank, number of processes, and rank on this machine, as `accelerate launch` and torchrun tell them; processes need
    not know more of each other. Raises `InputError` where they are no such numbers.
    """
    names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    given = {name: environment.get(name, default) for name, default in names.items()}
    try:
        rank, processes, local_rank = map(int, given.values())
        if not 0 <= rank < processes or local_rank < 0:
            raise ValueError
    except ValueError:
        told = ", ".join(f"{name}={value}" for name, value in given.items())
        raise InputError(f"the launcher's environment makes no sense: {told}") from None
    return rank, processes, local_rank


def own_gpu(local_rank: int, processes: int) -> str | None:
    """The GPU of one of several processes; `None` where the pipeline chooses."""
    if processes == 1:
        return None
    import torch

    return f"cuda:{local_rank}" if torch.cuda.is_available() else None


class Progress:
    """
    A bar where a person looks on, else a line now and then: rows, audio seconds a second, and the time that is left.

    Args:
        count: rows of the source, where that is known; `limit` of them at most, shared by `processes`.
    """

    def __init__(self, count: int | None, limit: int | None, rank: int, processes: int):
        from tqdm import tqdm

        known = [number for number in (count, limit if count is not None else None) if number is not None]
        self.total = min(known) / processes if known else None
        self.prefix = f"process {rank} of {processes}: " if processes > 1 else ""
        self.told = time.monotonic()
        terminal = sys.stderr.isatty()
        self.lines = not terminal
        total = None if self.total is None else round(self.total)
        self.bar = tqdm(total=total, unit="row", file=sys.stderr, disable=not terminal or rank > 0)

    def tell(self, state) -> None:
        """Takes a `corpus.Pass`."""
        self.bar.set_postfix_str(f"{_speed(state):.1f} audio s/s", refresh=False)
        self.bar.update(_done(state) - self.bar.n)
        if self.lines and time.monotonic() - self.told >= _LOG_SECONDS:
            self.told = time.monotonic()
            print(self.line(state), file=sys.stderr, flush=True)

    def line(self, state) -> str:
        """How far it is."""
        done, now = _done(state), state.aligned + state.failed
        of = "" if self.total is None else f" of {'about ' if self.prefix else ''}{self.total:,.0f}"
        parts = [f"{self.prefix}{done:,}{of} rows", f"{state.failed:,} failed"]
        parts.append(f"{state.audio_seconds / 3600:.2f} h at {_speed(state):.1f} audio s/s")
        if self.total is not None and now and done < self.total:
            left = state.seconds / now * (self.total - done)
            clock = time.strftime("%H:%M:%S", time.gmtime(left)) if left < _DAY else f"{left / _DAY:.1f} days"
            parts.append(f"{clock} left")
        return f"qwen3-asr align-dataset: {', '.join(parts)}"

    def close(self) -> None:
        """Leaves the bar as it is."""
        self.bar.close()


def _done(state) -> int:
    return state.before + state.aligned + state.failed + state.duplicates


def _speed(state) -> float:
    return state.audio_seconds / state.seconds if state.seconds else 0.0
