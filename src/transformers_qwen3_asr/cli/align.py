"""`qwen3-asr align`: recordings and their texts in, words with times out."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..checkpoints.bundled import resolve_model
from .common import (
    DECODINGS,
    DEFAULT_MODEL,
    InputError,
    add_batch_options,
    add_device_options,
    complain,
    ended_in_order,
    failed,
    load_aligner,
    note,
    number,
    one_line,
)
from .files import check_folder, check_outputs, is_folder, is_url, names_of
from .parts import cues
from .parts.pictures import add_options, asked_for, draw, picture_paths, why_not
from .parts.summary import Aligned, table
from .parts.texts import is_subtitles, read_text, recordings_of, text_files

#: Of what is written, as `formats.writing` has them.
EXTENSIONS = ("json", "jsonl", "srt", "vtt", "ass", "TextGrid", "eaf", "ctm", "tsv", "csv", "aud")
EPILOG = """\
texts:   one --text or --text-file for each recording, in the same order. Without any, the text of
         speech.wav is read from speech.txt beside it, or speech.lab, .json, .srt, .vtt or .ass. Files are UTF-8
         text, .json with a "text", or subtitles, whose cues keep their words and get new times. - is standard
         input. A text without words gives an empty result.
length:  a recording may last hours; it is read as it is needed.
output:  FILE.json, .srt, .vtt, .ass, .TextGrid, .eaf, .ctm, .tsv, .csv, .aud or .jsonl for one
         recording; otherwise a folder, which gets one file a recording, named after it, in the
         --format. Without --output the words go to standard output. --html makes a page as well,
         or instead, which qwen3-asr view opens, and --plot a plot: a file, or for several recordings a folder.
         A file is written whole or not at all, and never over a recording, a text or the model.
errors:  a recording that cannot be aligned does not stop the others; what failed is named in one
         line at the end, and the exit status is 2.
"""


@dataclass
class Job:
    """
    One recording to align: its name as given, its text, the files to write (none: standard output), of each option
    that asks for a picture the file, and of subtitles the text with the line breaks of cues.
    """

    audio: str
    text: str
    outputs: list[Path] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    broken: str | None = None


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "align",
        help="give the words of a known text their times in a recording",
        description="Give the words of a known text their start and end times in a recording.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="+",
        help="a file that PyAV decodes, a folder of them, a URL (http, https, ftp, file), or - for standard input",
    )
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument("--text", action="append", help="what is said; once for each recording")
    texts.add_argument("--text-file", action="append", metavar="FILE", help="its text (see below); once for each")
    parser.add_argument("--language", help="name or code, such as English or en; decides how words are split")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="hub name, folder, or tiny-en (default: %(default)s)")
    parser.add_argument("--output", metavar="FILE|FOLDER", help="where the result goes (see below)")
    parser.add_argument(
        "--format", action="append", choices=EXTENSIONS, help="of files in a folder, once for each (default: json)"
    )
    parser.add_argument("--skip-existing", action="store_true", help="pass over recordings whose files are all there")
    cues.add_options(parser, None, "a word (default)")
    parser.add_argument(
        "--unit",
        choices=("word", "char", "sentence", "line"),
        help="what gets times (default: word; line, which is a cue, where texts are subtitles)",
    )
    parser.add_argument("--original-text", action="store_true", help="with the text's own punctuation and white space")
    add_options(parser)
    parser.add_argument("--show", action="store_true", help="with --output, --html or --plot, print the words as well")
    parser.add_argument("--json-lines", action="store_true", help="print a line of JSON for each recording instead")
    parser.add_argument(
        "--decoding",
        choices=DECODINGS,
        default=DECODINGS[0],
        help="times of all words together (default), or each by itself and then repaired, as qwen-asr does",
    )
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_const",
        const=False,
        help="do not hear doubtful words again in short windows: faster, and a little less exact",
    )
    parser.add_argument(
        "--budget",
        type=number,
        metavar="N",
        help="hear at most about N times a recording's audio, where words are in doubt or lost (default: 6)",
    )
    parser.add_argument(
        "--max-align-seconds",
        type=float,
        metavar="S",
        help="longer recordings are aligned in windows, which are no longer than that (default: the model's)",
    )
    add_device_options(parser)
    add_batch_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Aligns what was asked for. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    return carried_out(arguments, plan, align)


def carried_out(arguments: argparse.Namespace, plan: Callable, work: Callable) -> int:
    """The exit status of a verb that plans jobs of recordings, and does them; both note failures."""
    failures: list[tuple[str, str]] = []
    try:
        arguments.audio = recordings_of(arguments.audio)
        jobs = plan(arguments, failures)
        if jobs:
            with ended_in_order():
                work(jobs, arguments, failures)
    except InputError as error:
        return complain(arguments.verb, str(error))
    return failed(arguments.verb, arguments.audio, failures)


def is_finished(arguments: argparse.Namespace, outputs: list[Path], pictures: dict[str, Path]) -> bool:
    """Whether a recording is to be skipped, since its files are all there."""
    return arguments.skip_existing and all(path.is_file() for path in (*outputs, *pictures.values()))


def obstacle(audio: str, outputs: list[Path], pictures: dict[str, Path]) -> str | None:
    """Why a recording cannot be read, or its files not be written, as far as that is seen before."""
    # a pipe is read like a file, once; what cannot be read at all is told when it is
    if not is_url(audio) and (not os.path.exists(audio) or os.path.isdir(audio)):
        return "is a folder without recordings" if os.path.isdir(audio) else "no such file"
    if folder := next((path for path in outputs if path.is_dir()), None):
        return f"{folder} cannot be written ({os.strerror(errno.EISDIR)})"
    return why_not(audio, pictures)


def plan(arguments: argparse.Namespace, failures: list[tuple[str, str]]) -> list[Job]:
    """
    Pairs recordings with texts and output files, before anything slow happens.

    Appends (recording, reason) to `failures` for each recording that is missing or has no readable text.
    Raises InputError where the call itself makes no sense.
    """
    from ..formats.writing import ANY_TEXT
    from ..text.languages import aligner_language
    from ..text.words import split_words

    files = text_files(arguments, arguments.audio)
    outputs = output_files(arguments, files)
    pictures = picture_paths(arguments)
    check_outputs(
        [
            *(("--output", output) for paths in outputs for output in paths),
            *((f"--{option}", path) for paths in pictures for option, path in paths.items()),
        ],
        [
            *(("recording", audio) for audio in arguments.audio),
            *(("text", file) for file in files),
            ("--model", resolve_model(arguments.model)),
        ],
    )
    jobs = []
    skipped = 0
    for index, (audio, file, paths, drawn) in enumerate(zip(arguments.audio, files, outputs, pictures, strict=True)):
        if is_finished(arguments, paths, drawn):
            skipped += 1
            continue
        if reason := obstacle(audio, paths, drawn):
            failures.append((audio, reason))
            continue
        try:
            # the bytes that were typed, whatever the locale takes them for
            text, broken = (os.fsencode(arguments.text[index]).decode(), None) if file is None else read_text(file)
        except UnicodeError:
            failures.append((audio, "its --text is not UTF-8"))
            continue
        except ValueError as error:
            failures.append((audio, f"its text {one_line(error)}"))
            continue
        except OSError as error:
            hint = "" if arguments.text_file else "no --text or --text-file, and "
            failures.append((audio, f"{hint}its text {file} cannot be read ({error.strerror})"))
            continue
        if "\0" in text and (unable := [path for path in paths if path.suffix.lower() not in ANY_TEXT]):
            failures.append((audio, f"its text holds NUL, which {unable[0].suffix} cannot have"))
            continue
        # from the left nothing is taken off, because offsets count from there
        jobs.append(Job(audio, text.rstrip(), paths, drawn, broken))
    if skipped:
        note("align", f"{skipped} of {len(outputs)} recordings are finished, and skipped")
    try:
        split_words("", aligner_language(arguments.language))
    except (ImportError, ValueError) as error:  # no such language, or its word splitter is missing
        failures.extend((job.audio, one_line(error)) for job in jobs)
        return []
    return jobs


def align(jobs: list[Job], arguments: argparse.Namespace, failures: list[tuple[str, str]]) -> None:
    """Runs the pipeline over all jobs and writes each result as soon as it is there."""
    from tqdm import tqdm

    from ..longform.long_recordings import window_limit
    from ..pipelines.each_row import align_each

    parameters = {
        "decoding": arguments.decoding,
        "refine": arguments.refine,
        "budget": arguments.budget,
        "batch_seconds": arguments.batch_seconds,
        "progress": True,
        "return_timestamps": arguments.unit,
        "original_text": arguments.original_text,
    }
    pipe = load_aligner(arguments.model, arguments.dtype, arguments.device, **parameters)
    try:
        pipe = partial(pipe, max_align_seconds=window_limit(arguments.max_align_seconds, pipe.model.config))
    except ValueError as error:
        raise InputError(one_line(error)) from error
    wordless, foreign, more, odd = [], [], [], []
    told: list[Aligned] = []

    def as_row(job: Job) -> dict:
        return {"audio": job.audio, "text": job.text, "language": arguments.language}

    outcomes = align_each(pipe, jobs, as_row, arguments.batch_size)
    # a bar where a person looks on; a log file gets the results and the errors only
    with closing(outcomes), tqdm(total=len(jobs), unit="recording", file=sys.stderr, disable=None) as bar:
        for outcome in outcomes:
            job, result = outcome.item, outcome.result
            if outcome.error is not None:
                failures.append((job.audio, one_line(outcome.error)))
            else:
                if not result["chunks"]:
                    wordless.append(job.audio)
                elif not result["fits"]:
                    foreign.append(f"{job.audio} (score {result['score']:.2f})")
                else:
                    if result["unfit"]:
                        odd.append(f"{job.audio} ({_stretches(result['unfit'])})")
                    if result["untranscribed"]:
                        more.append(f"{job.audio} ({_stretches(result['untranscribed'])})")
                told.append(Aligned.of(job.audio, result))
                hand_out(job, result, arguments, failures)
            bar.update()
    if len(arguments.audio) > 1 and sys.stderr.isatty():  # where a person looks on; others read the files
        print(table(told, failures), file=sys.stderr)
    if wordless:
        note("align", f"there are no words in the text of {', '.join(wordless)}")
    if foreign:
        note("align", f"the text may not be what is said in {', '.join(foreign)}")
    if odd:
        note("align", f"some words may not be what is said in {', '.join(odd)}")
    if more:
        note("align", f"something is heard that the text lacks in {', '.join(more)}")


def _stretches(passages: list[dict], told: int = 3) -> str:
    """The seconds of the first few."""
    times = [f"{start:.1f}-{end:.1f} s" for start, end in (passage["timestamp"] for passage in passages[:told])]
    return ", ".join(times) + (f" and {len(passages) - told} more" if len(passages) > told else "")


def hand_out(job: Job, result: dict, arguments: argparse.Namespace, failures: list[tuple[str, str]]) -> None:
    """Prints or writes a result, or both."""
    from ..formats.writing import write_alignment

    if arguments.show or not (job.outputs or job.pictures):
        try:
            if arguments.json_lines:
                _print(json.dumps({"audio": job.audio, **result}, ensure_ascii=False))
            elif "chunks" in result:
                _print_words(job.audio if len(arguments.audio) > 1 else None, result)
            else:
                name = f"# {one_line(job.audio)}\n" if len(arguments.audio) > 1 else ""
                _print(name + " ".join(result["text"].split()))
        except BrokenPipeError:
            raise  # who read has gone: the command ends
        except OSError as error:
            raise InputError(f"standard output cannot be written ({error.strerror})") from error
    for path in job.outputs:
        shown = None
        if job.broken is not None:
            shown = [job.broken[chunk["char_start"] : chunk["char_end"]].strip() for chunk in result["chunks"]]
        try:
            write_alignment(result, path, **_cues_of(path, arguments), audio=job.audio, shown=shown)
        except OSError as error:
            failures.append((job.audio, f"{path} cannot be written ({error.strerror})"))
        except ValueError as error:
            failures.append((job.audio, one_line(error)))
    failures += [(job.audio, reason) for reason in draw(result, job.audio, job.pictures)]


def _cues_of(path: Path, arguments: argparse.Namespace) -> dict:
    """`cues` and `limits` of a file. Of several formats, those that hold words alone go without cues."""
    from ..formats.table import BY_SUFFIX

    suffix = path.suffix.lower()
    if len(arguments.format or ()) > 1 and BY_SUFFIX[suffix].write_cues is None:
        return {"cues": "words", "limits": None}
    return {"cues": arguments.cues or "words", "limits": cues.limits_of(arguments)}


def output_files(arguments: argparse.Namespace, texts: list[Path | None]) -> list[list[Path]]:
    """The output files of each recording, none for standard output. Settles the unit, too."""
    from ..formats.table import BY_SUFFIX
    from ..formats.writing import SUFFIXES, format_to_write

    cues.limits_of(arguments)
    if arguments.unit is None:
        of_cues = [is_subtitles(text) for text in texts]
        if any(of_cues) and not all(of_cues):
            raise InputError(
                f"{texts[of_cues.index(True)]} is subtitles and {texts[of_cues.index(False)]} is not: align them in "
                "two calls, or say --unit"
            )
        arguments.unit = "line" if any(of_cues) else "word"
        arguments.original_text |= any(of_cues)  # or cues without words, such as notes of music, would be lost
    if arguments.output is None:
        for option in ("format", "cues", "show", "skip_existing"):
            if getattr(arguments, option) and not (option in ("show", "skip_existing") and asked_for(arguments)):
                raise InputError(f"--{option.replace('_', '-')} needs --output")
        return [[] for _ in arguments.audio]
    if arguments.json_lines and not arguments.show:
        raise InputError("--json-lines is what is printed: with --output it needs --show")
    output, formats = Path(arguments.output), arguments.format or ["json"]
    if in_folder := is_folder(arguments.output):
        names = names_of(arguments.audio)
        outputs = [[output / f"{name}.{format}" for format in dict.fromkeys(formats)] for name in names]
    else:
        suffix = output.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"--output {output}: unknown extension {suffix}; known are {', '.join(SUFFIXES)}, "
                "and a folder that is not there yet ends in /"
            )
        if len(arguments.audio) > 1:
            raise InputError(f"--output {output} is one file for {len(arguments.audio)} recordings; name a folder")
        for format in arguments.format or ():
            if format.lower() != suffix[1:]:
                raise InputError(f"--format {format} disagrees with --output {output}")
        outputs = [[output]]
    check_folder("--output", output if in_folder else output.parent)
    try:
        for path in outputs[0]:
            format_to_write(output, BY_SUFFIX[path.suffix.lower()].name, **_cues_of(path, arguments))
    except (ValueError, ImportError) as error:
        raise InputError(f"--output {one_line(error)}") from error
    if arguments.cues and arguments.unit != "word":
        raise InputError(f"--cues is for words; by --unit {arguments.unit} there is one cue for each")
    return outputs


def _print_words(name: str | None, result: dict) -> None:
    """A line a chunk: start and end in seconds, score, text. With a name, a line "# name" before them."""
    lines = [] if name is None else [f"# {one_line(name)}"]
    for chunk in result["chunks"]:
        start, end = chunk["timestamp"]
        lines.append(f"{start:9.3f} {end:9.3f}  {chunk['score']:5.3f}  {' '.join(chunk['text'].split())}")
    if lines:
        _print("\n".join(lines))


def _print(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)  # not across the bar, where both are on a terminal
    sys.stdout.flush()
