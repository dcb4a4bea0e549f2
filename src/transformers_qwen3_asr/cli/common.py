"""What the verbs share: one-line errors, number arguments, and loading an aligner. Heavy imports are inside."""

import argparse
import codecs
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

DEFAULT_MODEL = "Qwen/Qwen3-ForcedAligner-0.6B"
DEFAULT_RECOGNISER = "Qwen/Qwen3-ASR-0.6B"
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
DTYPE_HELP = "auto (default: what is fastest there without loss), float32, bfloat16, float16, or int8 on a CPU"
DECODINGS = ("joint", "argmax")  # alignment.decoding's, which is heavy; the first is its default


class InputError(ValueError):
    """Something the caller can mend; its text is the one line that is shown."""


def positive(value: str) -> int:
    """An argument's `type`: a whole number of at least 1."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return number


def number(value: str) -> float:
    """An argument's `type`: a number from 1 on."""
    found = float(value)
    if not 1 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is not a number from 1 on")
    return found


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """--batch-size and --batch-seconds of a verb that goes through recordings."""
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="recordings at once (default: 1, or what --batch-seconds holds)",
    )
    parser.add_argument(
        "--batch-seconds",
        type=number,
        metavar="S",
        help="seconds of audio that share a forward pass, padding included (default: what the device has memory for)",
    )


def add_device_options(parser: argparse.ArgumentParser, default: str = "a GPU if there is one") -> None:
    """--device and --dtype of a verb that runs a model."""
    parser.add_argument("--device", help=f"such as cpu or cuda:0 (default: {default})")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help=DTYPE_HELP)


def one_line(error: Exception | str) -> str:
    """An error's text on one line, or its type's name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def failed(verb: str, recordings: list[str], failures: list[tuple[str, str]]) -> int:
    """The exit status: 0, or 2 after a line that names `failures` (recording, reason), in the recordings' order."""
    if not failures:
        return 0
    reasons = "; ".join(
        f"{name}: {reason}" for name, reason in sorted(failures, key=lambda failure: recordings.index(failure[0]))
    )
    return complain(verb, f"{len(failures)} of {len(recordings)} recordings failed: {reasons}")


def note(verb: str, message: str) -> None:
    """Says something on stderr that is no error, in one line."""
    print(f"qwen3-asr {verb}: note: {one_line(message)}", file=sys.stderr)


def readable_streams() -> None:
    """
    Lets standard output and error take any text: no word and no file's name ends a command.

    A locale that says ASCII (LC_ALL=C) says nothing, and output is UTF-8 then, as files are. What a stream cannot hold
    becomes an escape. Bytes of a name that the locale could not decode are shown as the UTF-8 that they mostly are.
    """
    codecs.register_error(_READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding="utf-8" if ascii_only else stream.encoding, errors=_READABLE)


_READABLE = "transformers_qwen3_asr.readable"


def _readable(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    with suppress(UnicodeEncodeError):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.encode(error.encoding, "backslashreplace"), error.end


class Terminated(KeyboardInterrupt):
    """Another process asked this one to end."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """
    While it lasts, SIGTERM is raised as `Terminated`, so that files and threads are closed. Not for what starts worker
    processes, which would take it over and are ended by that signal.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield  # signals are another's
        return

    def terminate(number, frame):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def complain(verb: str, message: str) -> int:
    """Says on stderr what was wrong, in the one line that a failing verb ends with. Returns the exit status 2."""
    print(f"qwen3-asr {verb}: error: {one_line(message)}", file=sys.stderr)
    return 2


def load_aligner(name: str, dtype: str = "auto", device: str | None = None, option: str = "--model", **parameters):
    """
    The forced-alignment pipeline of `--model` (or another `option`), in `--dtype` and on `--device`; `parameters` are
    its defaults. "auto" is the checkpoint's dtype, or float32 where the device does not multiply that.

    Raises `InputError`, naming the option, for a checkpoint or a device that cannot be had.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoProcessor, pipeline
    from transformers.utils import logging

    from ..checkpoints.bundled import resolve_model
    from ..checkpoints.dtypes import loading_options, settle_dtype
    from ..transcription.aligners import is_aligner

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    folder = resolve_model(name)
    if os.path.isfile(os.path.join(folder, "adapter_config.json")):
        raise InputError(f"{option} {name} holds adapters: join them with their model by qwen3-asr merge")
    try:
        if is_aligner(AutoConfig.from_pretrained(folder)) is False:
            raise InputError(
                f"{option} {name} is a speech recogniser, and gives no times: an aligner is needed, such as "
                f"{DEFAULT_MODEL}; qwen3-asr transcribe takes both"
            )
        # loaded here, since pipeline() answers a refused checkpoint with pages of tracebacks
        model = AutoModelForTokenClassification.from_pretrained(folder, **loading_options(dtype))
        processor = AutoProcessor.from_pretrained(folder)
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{option} {name}: {one_line(error)}") from error
    try:
        pipe = pipeline("forced-alignment", model=model, processor=processor, device=device, **parameters)
    # torch answers an unknown device with RuntimeError, a missing CUDA with AssertionError
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: {one_line(error)}") from error
    if dtype == "auto":
        settle_dtype(pipe.model, pipe.device)
    return pipe


def load_recogniser(
    name: str,
    dtype: str = "auto",
    device: str | None = None,
    option: str = "--model",
    elsewhere: str = "--model",
    **parameters,
):
    """
    The transcription pipeline of `--model` (or another `option`), in `--dtype` and on `--device`; `parameters` are its
    defaults. Raises `InputError`, naming the option, for a checkpoint or a device that cannot be had, and for an
    aligner, which belongs to the option `elsewhere`.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, pipeline

    from ..checkpoints.bundled import resolve_model
    from ..transcription.aligners import is_aligner

    asked = {} if dtype == "auto" else {"dtype": dtype}
    try:
        if is_aligner(AutoConfig.from_pretrained(resolve_model(name))):
            raise InputError(
                f"{option} {name} is an aligner, which writes no text: a speech recogniser is needed, such as "
                f"{DEFAULT_RECOGNISER}; an aligner goes to {elsewhere}"
            )
        return pipeline("automatic-speech-recognition", model=name, device=device, **asked, **parameters)
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"{option} {name}: {one_line(error)}") from error
