"""`qwen3-asr convert`: words or cues with times out of one format into another. It needs no model and no recording."""

import argparse
from pathlib import Path

from .common import complain, one_line
from .files import check_folder, check_outputs
from .parts import cues

#: As `formats` calls what it reads and writes, which is heavy.
FORMATS = ("jsonl", "textgrid", "ctm", "json", "whisper", "srt", "vtt", "ass", "eaf", "tsv", "csv", "audacity")
EPILOG = """\
formats: by the extension: .json (ours; read as well: Whisper's, WhisperX's, OpenAI's, MFA's), .jsonl,
         .TextGrid, .eaf (ELAN), .ctm, .srt, .vtt, .ass, .tsv, .csv, .aud (Audacity's labels).
         --to whisper writes Whisper's JSON; --from audacity and --to audacity take labels in .txt.
times:   words keep theirs, as exactly as the new format has them: .ass to 10 ms, others to 1 ms or less.
         What has no place in the new format (scores, speakers, lines of words) is left out.
output:  written whole or not at all, and never over an input.
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "convert",
        help="turn a file of words with times into another format",
        description="Turn a file of words or cues with times into another format.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="IN", type=Path, help="what is read")
    parser.add_argument("target", metavar="OUT", type=Path, help="what is written")
    parser.add_argument("--from", dest="source_format", choices=FORMATS, help="what IN is (default: by its extension)")
    parser.add_argument("--to", dest="format", choices=FORMATS, help="what OUT is to be (default: by its extension)")
    cues.add_options(parser, "words", "each word or cue of IN (default)")
    parser.add_argument("--tier", metavar="NAME", help="of a TextGrid or .eaf, where words are in another tier")
    parser.add_argument("--rttm", type=Path, metavar="FILE", help="who speaks when: gives each word its speaker")
    parser.add_argument("--recording", metavar="NAME", help="the one to take of several in IN; its name in --rttm")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Converts. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    from ..formats.writing import convert

    options = ("source_format", "format", "cues", "tier", "rttm", "recording")
    try:
        check_outputs([("OUT", arguments.target)], [("IN", arguments.source), ("--rttm", arguments.rttm)])
        check_folder("OUT", arguments.target.parent)
        limits = cues.limits_of(arguments)
        given = {name: getattr(arguments, name) for name in options}
        convert(arguments.source, arguments.target, **given, limits=limits)
    except OSError as error:
        return complain("convert", f"{error.filename or arguments.target} cannot be written ({error.strerror})")
    except (ValueError, ImportError) as error:
        return complain("convert", one_line(error))
    return 0
