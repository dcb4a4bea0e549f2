"""`qwen3-asr transcribe`: recordings in, their texts out, and with an aligner the times of their words."""

import argparse
from contextlib import closing

from ..checkpoints.bundled import resolve_model
from .align import EXTENSIONS, Job, carried_out, hand_out, is_finished, obstacle, output_files
from .common import (
    DEFAULT_RECOGNISER,
    InputError,
    add_batch_options,
    add_device_options,
    load_aligner,
    load_recogniser,
    note,
    one_line,
)
from .files import check_outputs
from .parts import cues
from .parts.pictures import add_options, picture_paths

EPILOG = """\
output:  without --output, texts go to standard output. What --output, --html and --plot write has times, and
         so needs an --aligner; they are as those of qwen3-asr align.
errors:  a recording that cannot be transcribed does not stop the others; what failed is named in one line at
         the end, and the exit status is 2.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "transcribe",
        help="write down what is said, with the times of words",
        description="Write down what is said in recordings, with the times of words where there is an aligner.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="+",
        help="a file that PyAV decodes, a folder of them, a URL (http, https, ftp, file), or - for standard input",
    )
    parser.add_argument("--model", default=DEFAULT_RECOGNISER, help="hub name or folder (default: %(default)s)")
    parser.add_argument("--aligner", metavar="MODEL", help="gives words their times: hub name, folder, or tiny-en")
    parser.add_argument("--language", help="name or code, such as English or en (default: the model finds it out)")
    parser.add_argument("--context", help="text that the model reads before it listens, such as names")
    parser.add_argument("--output", metavar="FILE|FOLDER", help="where the words go (see below)")
    parser.add_argument(
        "--format", action="append", choices=EXTENSIONS, help="of files in a folder, once for each (default: json)"
    )
    parser.add_argument("--skip-existing", action="store_true", help="pass over recordings whose files are all there")
    cues.add_options(parser, None, "a word (default)")
    parser.add_argument(
        "--unit", choices=("word", "char", "sentence", "line"), default="word", help="what gets times (default: word)"
    )
    add_options(parser)
    parser.add_argument("--show", action="store_true", help="with --output, --html or --plot, print the words as well")
    parser.add_argument("--json-lines", action="store_true", help="print a line of JSON for each recording instead")
    add_device_options(parser)
    add_batch_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Transcribes what was asked for. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    return carried_out(arguments, plan, transcribe)


def plan(arguments: argparse.Namespace, failures: list[tuple[str, str]]) -> list[Job]:
    """Recordings with their output files, before anything slow happens. As `align.plan`, but for texts."""
    for option in ("output", "html", "plot"):
        if getattr(arguments, option) and not arguments.aligner:
            raise InputError(f"--{option} needs --aligner: what it writes has times")
    if arguments.unit != "word" and not arguments.aligner:
        raise InputError("--unit needs --aligner")
    outputs = output_files(arguments, [None] * len(arguments.audio))
    pictures = picture_paths(arguments)
    written = [("--output", path) for paths in outputs for path in paths]
    written += [(f"--{option}", path) for paths in pictures for option, path in paths.items()]
    models = [("--model", arguments.model), ("--aligner", arguments.aligner and resolve_model(arguments.aligner))]
    check_outputs(written, [*(("recording", audio) for audio in arguments.audio), *models])
    jobs, skipped = [], 0
    for audio, paths, drawn in zip(arguments.audio, outputs, pictures, strict=True):
        if is_finished(arguments, paths, drawn):
            skipped += 1
        elif reason := obstacle(audio, paths, drawn):
            failures.append((audio, reason))
        else:
            jobs.append(Job(audio, "", paths, drawn))
    if skipped:
        note("transcribe", f"{skipped} of {len(outputs)} recordings are finished, and skipped")
    return jobs


def transcribe(jobs: list[Job], arguments: argparse.Namespace, failures: list[tuple[str, str]]) -> None:
    """Runs the pipeline over all jobs and writes each result as soon as it is there."""
    pipe = _load(arguments)
    rows = ({"audio": job.audio, "language": arguments.language, "context": arguments.context} for job in jobs)
    batches = {"batch_size": arguments.batch_size, "batch_seconds": arguments.batch_seconds}
    with closing(pipe(rows, **batches, on_error="return")) as results:
        for job, result in zip(jobs, results, strict=True):
            if (error := result.pop("error")) is None:
                hand_out(job, result, arguments, failures)
            else:
                failures.append((job.audio, one_line(error)))


def _load(arguments: argparse.Namespace):
    """The pipeline. Raises `InputError`, naming the option, for what cannot be had."""
    timed = {}
    if arguments.aligner:
        aligner = load_aligner(arguments.aligner, arguments.dtype, arguments.device, option="--aligner")
        timed = {"aligner": aligner, "return_timestamps": arguments.unit}
    return load_recogniser(arguments.model, arguments.dtype, arguments.device, elsewhere="--aligner", **timed)
