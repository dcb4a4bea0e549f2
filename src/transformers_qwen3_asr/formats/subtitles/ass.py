"""Advanced SubStation Alpha (.ass), written by pysubs2."""

from collections.abc import Iterable

from ...alignment.results import Cue
from .cues import JOINER, write_cues


def write_ass(cues: Iterable[Cue]) -> str:
    """Cues as an .ass file. Raises `ValueError`, naming the cue, where one cannot be written."""
    return write_cues(cues, "ass", 10, _escaped)


def _escaped(text: str, backslash: str) -> str:
    # a brace opens a style tag, and a backslash breaks the line before some letters: not before a word joiner
    return text.replace("\\", "\\" + JOINER).replace("{", r"\{")
