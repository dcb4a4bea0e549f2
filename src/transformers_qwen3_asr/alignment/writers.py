"""Alignment results to files: JSON, and subtitles through pysubs2. Only the extension decides the format."""

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ..whole_files import write_whole
from .results import AlignmentResult, Cue, line_cues, word_cues

CUES = {"words": word_cues, "lines": line_cues}
SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass")
SUFFIXES = (".json", *SUBTITLE_SUFFIXES)
#: Hours that pysubs2 writes: it would end later cues there.
_HOURS = {".srt": 100, ".vtt": 100, ".ass": 10}
#: NUL ends a text or becomes another character for many readers, and no file in UTF-8 holds half of a surrogate pair.
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
#: A time as subtitles have it, for any reader: two of them in a line are those of a cue.
_TIME = re.compile(r"\d{1,2}:\d{1,2}[:.,]\d{1,3}")
_COLON = re.compile(r"(?<=\d):(?=\d)")
#: It shows as nothing, and stands where a format would take a character for more than text.
_JOINER = "\u2060"


def write_alignment(result: AlignmentResult, path: str | Path, cues: str = "words") -> Path:
    """
    Writes one result as `path`'s extension says, and returns the path.

    Args:
        result: what the pipeline returns for one recording.
        path: ends in .json, .srt, .vtt or .ass; missing folders are made, and an existing file is
            replaced by the whole of the new one or, where that fails, stays (`whole_files.write_whole`).
        cues: for subtitles, ``"words"`` gives one cue a chunk: a word, or the sentence or line of the transcript that
            the result was asked for. ``"lines"`` groups chunks into lines of a subtitle's size (see `line_cues`). A
            JSON file always holds the chunks, so ``"lines"`` is refused there.

    White space in a cue is single spaces. A backslash in .ass, and colons and `-->` where one cue of .srt holds
    several times, get a word joiner (U+2060); .vtt has character references. .srt cannot say that `<i>` is no tag.

    Raises:
        ValueError: unknown extension or unknown `cues`; a cue that cannot be written, which is named: NUL or a lone
            surrogate in its text, or a time that is no number, below 0, or beyond what .ass (10 hours), .srt and .vtt
            (100 hours) hold. No file is written or changed then.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    if cues not in CUES:
        raise ValueError(f"cues={cues!r}: known are {', '.join(CUES)}")
    if suffix == ".json" and cues != "words":
        raise ValueError(f"{path}: cues={cues!r} is for subtitles; a JSON file holds the words")
    try:
        content = _json(result) if suffix == ".json" else _subtitles(CUES[cues](result), suffix)
    except ValueError as error:
        raise ValueError(f"{path} cannot be written: {error}") from error
    return write_whole(path, content)


def _json(result: AlignmentResult) -> str:
    return json.dumps(result, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _subtitles(cues: Iterable[Cue], suffix: str) -> str:
    # imported here, so that the other formats do not wait for it
    from pysubs2 import SSAEvent, SSAFile

    cues = [cue for cue in cues if cue.text]
    for number, cue in enumerate(cues, 1):
        if problem := _problem(cue, suffix):
            raise ValueError(f"cue {number} ({cue.text!r:.60}) {problem}")
    # stands for a backslash while pysubs2 writes, which takes some for line breaks
    backslash = next(chr(code) for code in range(0xE000, 0x110000) if not any(chr(code) in cue.text for cue in cues))
    file = SSAFile()
    for cue in cues:
        start, end = round(cue.start * 1000), round(cue.end * 1000)
        if suffix == ".vtt":  # where a cue ends after it starts
            end = max(end, start + 1)
        file.append(SSAEvent(start=start, end=end, text=_escaped(cue.text, suffix, backslash)))
    if suffix == ".ass":
        return file.to_string("ass")
    return file.to_string(suffix[1:], keep_ssa_tags=True).replace(backslash, "\\")


def _problem(cue: Cue, suffix: str) -> str | None:
    """Why a cue cannot be written."""
    if found := _UNWRITABLE.search(cue.text):
        return f"holds the character {found[0]!r}, which subtitles cannot have"
    for time in (cue.start, cue.end):
        if not 0 <= time < 3600 * _HOURS[suffix] - 0.01:
            return f"has the time {time} s; {suffix} holds times from 0 to {_HOURS[suffix]} hours"
    return None


def _escaped(text: str, suffix: str, backslash: str) -> str:
    """A cue's text such that pysubs2, and whoever reads the file, take it for what it is."""
    if suffix == ".ass":
        # a brace opens a style tag, and a backslash breaks the line before some letters: not before a word joiner
        return text.replace("\\", "\\" + _JOINER).replace("{", r"\{")
    # pysubs2 drops tags unless it is told to keep them, and knows its own line breaks nonetheless
    text = text.replace("\\", backslash)
    if suffix == ".vtt":
        text = html.escape(text, quote=False).replace("{", "&#123;")
    if len(_TIME.findall(text)) > 1:
        text = _COLON.sub("&#58;" if suffix == ".vtt" else ":" + _JOINER, text).replace("-->", f"--{_JOINER}>")
    return text
