"""`qwen3-asr corpus-report`: what has become of a corpus that `align-dataset` aligned."""

import argparse
from pathlib import Path

from .common import InputError, complain, one_line, positive
from .files import check_folder, check_outputs


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "corpus-report",
        help="tell hours, failures, scores and the worst rows of an aligned corpus",
        description="Tell hours, failures, scores and the worst rows of what qwen3-asr align-dataset wrote.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder; align-dataset may be at work in it")
    parser.add_argument("--worst", type=positive, default=10, metavar="N", help="rows to list (default: 10)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw scores and failures (.png, .svg, .pdf, …)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the report, writes what was asked for. Returns 0, or 2 after one line on stderr."""
    try:
        _report(arguments)
    except BrokenPipeError:
        raise  # who read has gone: the command ends
    except OSError as error:
        return complain("corpus-report", f"{error.filename or arguments.out} cannot be written ({error.strerror})")
    except ValueError as error:  # InputError is one
        return complain("corpus-report", one_line(error))
    return 0


def _report(arguments: argparse.Namespace) -> None:
    outputs = [(f"--{name}", path) for name in ("html", "plot") if (path := getattr(arguments, name)) is not None]
    for option, path in outputs:
        check_folder(option, path.parent)
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder")
    check_outputs(outputs, [("OUT", arguments.out)])
    if arguments.html is not None and arguments.html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {arguments.html}: known are .html and .htm")

    from ..corpus import read_report
    from ..corpus.report_pictures import plot_report, write_report_page
    from ..pictures.figures import check_plot

    if arguments.plot is not None:
        try:
            check_plot(arguments.plot)
        except ValueError as error:
            raise InputError(f"--plot: {one_line(error)}") from error
    report = read_report(arguments.out, arguments.worst)
    print(report.table(), flush=True)
    if arguments.html is not None:
        write_report_page(report, arguments.html)
    if arguments.plot is not None:
        plot_report(report, arguments.plot)
