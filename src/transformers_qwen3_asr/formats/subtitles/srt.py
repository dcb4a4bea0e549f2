"""SubRip (.srt), read and written by pysubs2."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...labels.recordings import read_text
from ...labels.rows import Draft
from ...results import Cue
from ..spoken import JOINER
from .cues import TaggedCue, draft_of_cues, without_times, write_cues

_ASS_TAG = re.compile(r"\{\\[^{}]*\}")
_BROKEN = re.compile(r"\d\s*-->|-->\s*\d")


def read_srt(path: Path) -> Iterator[Draft]:
    """The one row of a SubRip file, which pysubs2 reads. Raises `ValueError`, naming the file."""
    from pysubs2 import Pysubs2Error, SSAFile

    # the number of a next cue at the end, because pysubs2 takes a last line that is a number for that
    content = read_text(path).rstrip() + "\n\n0\n"
    try:
        events = SSAFile.from_string(content, format_="srt", keep_html_tags=True).events
    except (Pysubs2Error, ValueError) as error:
        raise ValueError(f"{path} cannot be read as SRT: {error}") from error
    cues = [
        TaggedCue(
            event.start / 1000, event.end / 1000, _ASS_TAG.sub("", event.text.replace(r"\N", "\n")), f"cue {number}"
        )
        for number, event in enumerate(events, 1)
    ]
    for cue in cues:
        if _BROKEN.search(cue.text):  # pysubs2 adds a cue that it cannot read to the text of the one before
            raise ValueError(f"{path}: the cue behind {cue.place} cannot be read: {cue.text!r:.120}")
    yield draft_of_cues(path, cues)


def write_srt(cues: Iterable[Cue]) -> str:
    """Cues as a SubRip file. Raises `ValueError`, naming the cue, where one cannot be written."""
    return write_cues(cues, "srt", 100, _rendered, keep_ssa_tags=True)


def _rendered(cue: Cue, backslash: str) -> str:
    # pysubs2 drops tags unless it is told to keep them, and knows its own line breaks nonetheless
    return without_times(cue.text.replace("\\", backslash), ":" + JOINER)
