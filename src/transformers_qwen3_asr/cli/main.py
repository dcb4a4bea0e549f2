"""Entry point of the command `qwen3-asr`. Verbs import what is heavy only when they run."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from . import align, align_dataset, convert, corpus_report, evaluate, merge, serve, train, transcribe, view
from .common import Terminated, complain, readable_streams

VERBS = (align, align_dataset, corpus_report, transcribe, serve, convert, view, train, merge, evaluate)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, without the whole usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class PrintCompletion(argparse.Action):
    """Prints what a shell needs to complete the command's arguments, and ends."""

    def __call__(self, parser, namespace, values, option_string=None) -> NoReturn:
        try:
            import shtab
        except ImportError:
            parser.error("--print-completion needs shtab: pip install transformers-qwen3-asr[completion]")
        print(shtab.complete(parser, values))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="qwen3-asr", description="Speech and its text: alignment with Qwen3-ASR models.")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        dest=argparse.SUPPRESS,  # or verbs would be given it
        default=argparse.SUPPRESS,
        choices=("bash", "zsh", "tcsh"),
        metavar="SHELL",
        help="print a script that completes arguments in bash, zsh or tcsh",
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="verb")
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Runs one command.

    Args:
        argv: the arguments after the program's name; the process's own if None.

    Returns:
        The exit status: 0, or 2 after bad input, which one line on stderr then names; 130 when interrupted, 143 when
        terminated, 141 when nobody reads the standard output any more. What was finished by then stays.
    """
    readable_streams()
    arguments = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            return arguments.run(arguments)
        except KeyboardInterrupt as end:
            terminated = isinstance(end, Terminated)
            complain(arguments.verb, f"{'terminated' if terminated else 'interrupted'}; what was finished stays")
            return 143 if terminated else 130
        except BrokenPipeError:
            # or Python complains once more when it flushes at its end
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


def _note(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning without the line of code that it came from, which says nothing to who calls a command."""
    print(f"qwen3-asr: note: {' '.join(str(message).split())}", file=sys.stderr)
