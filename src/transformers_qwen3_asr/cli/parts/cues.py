"""The options that say what cues of subtitles are like, of `align` and `convert`."""

import argparse

from ..common import InputError, positive

_LIMITS = ("max_line_length", "max_lines", "max_cue_seconds", "min_gap")


def add_options(parser: argparse.ArgumentParser, default: str | None, of_words: str) -> None:
    """--cues, and what limits them. `of_words` is what a cue is by default."""
    parser.add_argument(
        "--cues",
        choices=("words", "lines", "karaoke"),
        default=default,
        help=f"of subtitles and tables: {of_words}, lines of a subtitle's size, or such lines with their words' times "
        "inside (.vtt, .ass)",
    )
    cues = parser.add_argument_group("cues", "What --cues lines and karaoke show at once. Words are never parted.")
    cues.add_argument(
        "--max-line-length",
        type=positive,
        metavar="N",
        help="columns of a line; wide characters count two (default: 42, or 32 for Chinese, Japanese and Korean)",
    )
    cues.add_argument("--max-lines", type=positive, metavar="N", help="lines of a cue (default: 2)")
    cues.add_argument("--max-cue-seconds", type=float, metavar="S", help="how long a cue stays (default: 7)")
    cues.add_argument(
        "--min-gap", type=float, metavar="S", help="seconds between two cues (default: 0); of --cues lines alone"
    )


def limits_of(arguments: argparse.Namespace):
    """The `CueLimits` that were asked for, or `None`. Raises `InputError` for one that cannot be, or has no cues."""
    from ...formats.subtitles.layout import CueLimits

    given = {name: value for name in _LIMITS if (value := getattr(arguments, name)) is not None}
    if not given:
        return None
    option = "--" + next(iter(given)).replace("_", "-")
    if arguments.cues in (None, "words"):
        raise InputError(f"{option} needs --cues lines or karaoke")
    try:
        return CueLimits(**given)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error
