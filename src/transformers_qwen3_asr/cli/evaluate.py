"""`qwen3-asr evaluate`: how far a model's times, or times made before, are from the labelled ones."""

import argparse
import errno
import json
import os
import sys
import warnings
from pathlib import Path

from ..checkpoints.bundled import resolve_model
from ..whole_files import write_whole
from .common import (
    DECODINGS,
    DTYPE_HELP,
    DTYPES,
    InputError,
    complain,
    ended_in_order,
    load_aligner,
    one_line,
    positive,
)
from .files import check_folder, check_outputs

_SHOWN = 10  # of the rows that are left out
EPILOG = """\
labels:       JSON lines {"audio", "text", "language", "words": [{"text", "start", "end"}, ...]} in
              seconds, or any other label file that `qwen3-asr train` takes, or a folder of them.
predictions:  what `qwen3-asr align` wrote (a .json file or a folder), or a label file; found by the
              recording's path or name, or by the row's id.
numbers:      AAS is the mean of |predicted - labelled| over all starts and ends, with its 95 % interval
              from drawing the clips anew 2000 times; then the median, the means of starts and of ends
              alone, the shares of starts and ends that are at most so far off or more than a second,
              and the share of predicted words that do not last.
no labels:    with --asr-model each word is cut out of the audio by its times and transcribed. The word
              error rate compares aligners; it is never 0, because a word by itself is heard worse than
              in its sentence. --data then needs audio and text only.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "evaluate",
        help="measure how far aligned times are from labelled ones",
        description="Measure how far aligned times are from labelled ones, per language and in all.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    times = parser.add_mutually_exclusive_group(required=True)
    times.add_argument("--model", help="the aligner to measure: hub name, folder, or tiny-en")
    times.add_argument("--predictions", metavar="FILE|FOLDER", help="times made before, instead of a model's")
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE", help="labels (see below)")
    parser.add_argument("--format", help="of --data, where the extension does not say it")
    parser.add_argument("--audio", metavar="FILE|FOLDER", help="recordings, where --data does not name them")
    parser.add_argument("--language", help="of rows that name none")
    parser.add_argument("--tier", help="of TextGrid files, where it is not words or NAME - words")
    parser.add_argument(
        "--share-times", action="store_true", help="divide the time of a label of several words: a guess"
    )
    parser.add_argument(
        "--asr-model", metavar="MODEL", help="measure without labels, by transcribing words (see below)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers, and a line for each recording")
    parser.add_argument("--plot", metavar="FILE", help="draw the distribution of the errors (.png, .svg, .pdf)")
    parser.add_argument(
        "--on-bad-row", choices=("fail", "skip"), default="fail", help="stop at a bad row (default) or leave it out"
    )
    parser.add_argument(
        "--decoding", choices=DECODINGS, help="of --model: joint (default), or argmax with the order repaired"
    )
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_const",
        const=False,
        help="of --model: do not hear doubtful words again in short windows",
    )
    parser.add_argument("--batch-size", type=positive, metavar="N", help="recordings at once (default: 8)")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: a GPU if there is one)")
    parser.add_argument("--dtype", choices=DTYPES, help=f"of the models: {DTYPE_HELP}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table, writes what was asked for. Returns 0, or 2 after one line on stderr."""
    try:
        _check(arguments)
        with ended_in_order():
            evaluation = _evaluate(arguments)
        print(evaluation.table(), flush=True)
        _tell_left_out(evaluation.left_out, arguments.json)
        _write(evaluation, arguments)
    except (ValueError, ImportError) as error:  # InputError is one, and all that evaluation refuses
        return complain("evaluate", one_line(error))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Everything that can be refused before labels are read and models loaded."""
    for option, given in (("--decoding", arguments.decoding), ("--no-refine", arguments.refine is not None)):
        if arguments.predictions and given:
            raise InputError(f"{option} is for a model's times, and --predictions are made")
    if arguments.predictions and not arguments.asr_model:
        for option in ("batch_size", "device", "dtype"):
            if getattr(arguments, option) is not None:
                raise InputError(f"--{option.replace('_', '-')} is for models, and --predictions needs none")
    if arguments.plot and arguments.asr_model:
        raise InputError("--plot draws errors against labels, and --asr-model measures without them")
    if arguments.plot:
        from ..evaluation.plots import check_plot

        try:
            check_plot(arguments.plot)
        except ValueError as error:
            raise InputError(f"--plot: {error}") from error
    for option, path in _outputs(arguments):
        check_folder(f"{option} {path} cannot be written", Path(path).parent)
        if Path(path).is_dir():
            raise InputError(f"{option} {path} cannot be written ({os.strerror(errno.EISDIR)})")
    models = [(f"--{name.replace('_', '-')}", getattr(arguments, name)) for name in ("model", "asr_model")]
    read = [
        *(("--data", path) for path in arguments.data),
        ("--audio", arguments.audio),
        ("--predictions", arguments.predictions),
        *((option, resolve_model(name)) for option, name in models if name),
    ]
    check_outputs(_outputs(arguments), read)


def _outputs(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    return [(f"--{name}", path) for name in ("json", "plot") if (path := getattr(arguments, name))]


def _evaluate(arguments: argparse.Namespace):
    """The [`Evaluation`] that was asked for."""
    from ..evaluation import evaluate_aligner, evaluate_by_transcription, evaluate_predictions, read_predictions

    rows = _read_rows(arguments)
    recordings = [row["audio"] for row in rows]
    check_outputs(_outputs(arguments), [("recording", audio) for audio in recordings if isinstance(audio, str)])
    common = {"on_bad_row": arguments.on_bad_row}
    batches = {"batch_size": arguments.batch_size or 8, "progress": True}
    predictions = read_predictions(arguments.predictions) if arguments.predictions else None
    ways = {"decoding": arguments.decoding or DECODINGS[0], "refine": arguments.refine}
    pipe = None
    if arguments.model:
        pipe = load_aligner(arguments.model, arguments.dtype or "auto", arguments.device)
    if arguments.asr_model:
        times = {"predictions": predictions}
        if pipe is not None:
            times = {"model": pipe.model, "processor": pipe.processor, **ways}
        return evaluate_by_transcription(rows, _load_transcriber(arguments, pipe), **times, **common, **batches)
    if pipe is None:
        return evaluate_predictions(predictions, rows, **common)
    return evaluate_aligner(pipe.model, pipe.processor, rows, **ways, **common, **batches)


def _read_rows(arguments: argparse.Namespace):
    from ..formats import read_labels

    with warnings.catch_warnings():
        # said at the end, with what is left out later
        warnings.filterwarnings("ignore", message=".* are left out", category=UserWarning)
        return read_labels(
            arguments.data,
            format=arguments.format,
            audio=arguments.audio,
            language=arguments.language,
            on_error={"fail": "raise", "skip": "skip"}[arguments.on_bad_row],
            require_words=not arguments.asr_model,
            share_times=arguments.share_times,
            tier=arguments.tier,
        )


def _load_transcriber(arguments: argparse.Namespace, pipe):
    import torch

    from ..evaluation import load_transcriber

    if pipe is not None:
        device = pipe.device
    else:
        on_gpu = torch.cuda.is_available() and arguments.dtype != "int8"
        device = arguments.device or ("cuda" if on_gpu else "cpu")
    try:
        return load_transcriber(arguments.asr_model, arguments.dtype or "auto", device)
    except (OSError, ValueError) as error:
        raise InputError(f"--asr-model {arguments.asr_model}: {one_line(error)}") from error
    # torch answers an unknown device with RuntimeError, a missing CUDA with AssertionError
    except (RuntimeError, AssertionError) as error:
        option = f"--device {arguments.device}" if arguments.device else f"--asr-model {arguments.asr_model}"
        raise InputError(f"{option}: {one_line(error)}") from error


def _tell_left_out(lines: list[str], json_file: str | None) -> None:
    for line in lines[:_SHOWN]:
        print(f"qwen3-asr evaluate: left out: {line}", file=sys.stderr)
    more = len(lines) - _SHOWN
    if more > 0:
        where = f"; all are in {json_file}" if json_file else ""
        print(f"qwen3-asr evaluate: left out: and {more} more{where}", file=sys.stderr)


def _write(evaluation, arguments: argparse.Namespace) -> None:
    if arguments.json:
        source = {name: getattr(arguments, name) for name in ("model", "predictions", "asr_model", "data")}
        content = {**{name: value for name, value in source.items() if value}, **evaluation.to_dict()}
        try:
            write_whole(arguments.json, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
        except OSError as error:
            raise InputError(f"--json {arguments.json} cannot be written ({error.strerror})") from error
    if arguments.plot:
        try:
            evaluation.plot(arguments.plot)
        except OSError as error:
            raise InputError(f"--plot {arguments.plot} cannot be written ({error.strerror})") from error
