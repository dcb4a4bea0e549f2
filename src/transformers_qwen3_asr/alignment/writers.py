"""Alignment results to files: JSON, and subtitles through pysubs2. Only the extension decides the format."""

import html
import json
from collections.abc import Iterable
from pathlib import Path

from ..whole_files import write_whole
from .results import AlignmentResult, Cue, line_cues, word_cues

CUES = {"words": word_cues, "lines": line_cues}
SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass")
SUFFIXES = (".json", *SUBTITLE_SUFFIXES)
#: Stands for one while pysubs2 writes; no text has it, as Unicode says that it is no character.
_BACKSLASH = "\ufdd0"


def write_alignment(result: AlignmentResult, path: str | Path, cues: str = "words") -> Path:
    """
    Writes one result as `path`'s extension says, and returns the path.

    Args:
        result: what the pipeline returns for one recording.
        path: ends in .json, .srt, .vtt or .ass; missing folders are made, an existing file is replaced.
        cues: for subtitles, ``"words"`` gives one cue a chunk: a word, or the sentence or line of the transcript that
            the result was asked for. ``"lines"`` groups chunks into lines of a subtitle's size (see `line_cues`). A
            JSON file always holds the chunks, so ``"lines"`` is refused there.

    Raises:
        ValueError: unknown extension or unknown `cues`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    if cues not in CUES:
        raise ValueError(f"cues={cues!r}: known are {', '.join(CUES)}")
    if suffix == ".json" and cues != "words":
        raise ValueError(f"{path}: cues={cues!r} is for subtitles; a JSON file holds the words")
    content = _json(result) if suffix == ".json" else _subtitles(CUES[cues](result), suffix)
    return write_whole(path, content)


def _json(result: AlignmentResult) -> str:
    return json.dumps(result, ensure_ascii=False, indent=2) + "\n"


def _subtitles(cues: Iterable[Cue], suffix: str) -> str:
    # imported here, so that the other formats do not wait for it
    from pysubs2 import SSAEvent, SSAFile

    events = []
    for cue in cues:
        start, end = round(cue.start * 1000), round(cue.end * 1000)
        if suffix == ".vtt":  # where a cue ends after it starts
            end = max(end, start + 1)
        event = SSAEvent(start=start, end=end)
        event.plaintext = _escaped(cue.text, suffix)
        events.append(event)
    file = SSAFile()
    file.events = events
    if suffix == ".ass":
        return file.to_string("ass")
    return file.to_string(suffix[1:], keep_ssa_tags=True).replace(_BACKSLASH, "\\")


def _escaped(text: str, suffix: str) -> str:
    """A cue's text such that pysubs2, and whoever reads the file, take it for what it is."""
    if suffix == ".ass":
        # a brace opens a style tag, and a backslash breaks the line before some letters: not before a word joiner
        return text.replace("\\", "\\\u2060").replace("{", r"\{")
    # pysubs2 drops tags from .srt unless it is told to keep them, and knows its own line breaks nonetheless
    text = text.replace("\\", _BACKSLASH)
    return html.escape(text, quote=False) if suffix == ".vtt" else text
