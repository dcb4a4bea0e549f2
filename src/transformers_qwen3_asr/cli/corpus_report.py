"""`qwen3-asr corpus-report`: what has become of a corpus that `align-dataset` aligned."""

import argparse
from pathlib import Path

from .common import complain, one_line, positive


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "corpus-report",
        help="tell hours, failures, scores and the worst rows of an aligned corpus",
        description="Tell hours, failures, scores and the worst rows of what qwen3-asr align-dataset wrote.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder; align-dataset may be at work in it")
    parser.add_argument("--worst", type=positive, default=10, metavar="N", help="rows to list (default: 10)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the report. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    from ..corpus import read_report

    try:
        print(read_report(arguments.out, arguments.worst).table(), flush=True)
    except ValueError as error:
        return complain("corpus-report", one_line(error))
    return 0
