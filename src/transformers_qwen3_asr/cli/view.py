"""`qwen3-asr view`: opens a page of `align --html`, or makes one of any file of words with times and opens that."""

import argparse
from pathlib import Path

from .common import InputError, complain, note, one_line
from .convert import FORMATS
from .files import check_folder, check_outputs

EPILOG = """\
FILE.html is opened. Of anything else that convert reads, a page is made: with the words of FILE and
the sound of --audio, or of the recording that FILE names, or of the one beside it that is called the
same. It is kept as --output, or beside FILE as FILE.html, over nothing but such a page.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "view",
        help="look at words with times in a browser, and listen to them",
        description="Open a page that plays a recording and shows its words.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a page, or a file of words with times")
    parser.add_argument("--audio", metavar="AUDIO", help="the recording: a file that PyAV decodes, or a URL")
    parser.add_argument(
        "--output", type=Path, metavar="PAGE", help="what is written (default: FILE.html, beside FILE)"
    )
    parser.add_argument("--from", dest="format", choices=FORMATS, help="what FILE is (default: by its extension)")
    parser.add_argument("--tier", metavar="NAME", help="of a TextGrid or .eaf, where words are in another tier")
    parser.add_argument("--recording", metavar="NAME", help="the one to take of several in FILE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Opens a page. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    import webbrowser

    try:
        page = _page(arguments)
        if not webbrowser.open(page.resolve().as_uri()):
            raise InputError(f"there is no browser to open {page} with")
        note("view", f"{page} is open in a browser")
    except OSError as error:
        return complain("view", f"{error.filename or arguments.file} cannot be written ({error.strerror})")
    except (ValueError, ImportError) as error:
        return complain("view", one_line(error))
    return 0


def _page(arguments: argparse.Namespace) -> Path:
    """The page to open, made where FILE is none. Raises `ValueError` and `OSError` where there can be none."""
    file = arguments.file
    if not file.is_file():
        raise InputError(f"there is no file {str(file)!r}")
    if file.suffix.lower() in (".html", ".htm"):
        for option in ("audio", "output", "format", "tier", "recording"):
            if getattr(arguments, option) is not None:
                raise InputError(f"--{'from' if option == 'format' else option} is for a file that is no page yet")
        return file

    from ..pictures.page import is_page, write_spoken
    from ..pictures.reading import read_with_sound

    output = arguments.output or file.with_suffix(".html")
    check_outputs([("--output", output)], [("FILE", file), ("--audio", arguments.audio)])
    check_folder("--output", output.parent)
    if arguments.output is None and output.exists() and not is_page(output):
        raise InputError(f"{output} is there, and no page of this command: say --output")
    options = {name: getattr(arguments, name) for name in ("audio", "format", "tier", "recording")}
    return write_spoken(read_with_sound(file, output, **options), output)
