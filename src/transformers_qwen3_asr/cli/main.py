"""Entry point of the command `qwen3-asr`. Verbs import what is heavy only when they run."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from . import align, evaluate, merge, train

VERBS = (align, train, merge, evaluate)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, without the whole usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="qwen3-asr", description="Speech and its text: alignment with Qwen3-ASR models.")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Runs one command.

    Args:
        argv: the arguments after the program's name; the process's own if None.

    Returns:
        The exit status: 0, or 2 after bad input, which one line on stderr then names.
    """
    arguments = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _note
        return arguments.run(arguments)


def _note(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning without the line of code that it came from, which says nothing to who calls a command."""
    print(f"qwen3-asr: note: {' '.join(str(message).split())}", file=sys.stderr)
