"""WebVTT (.vtt), read by webvtt-py and written by pysubs2."""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...labels.recordings import read_text
from ...labels.rows import Draft
from ...results import Cue
from ..spoken import Line, speaker_of, with_times_inside
from .cues import TaggedCue, draft_of_cues, without_times, write_cues


def read_vtt(path: Path) -> Iterator[Draft]:
    """
    The one row of a WebVTT file. webvtt-py reads it, because pysubs2 takes times inside a cue's text for cues.

    Raises:
        ValueError: the file cannot be read; what is wrong is named.
        ImportError: webvtt-py is missing.
    """
    try:
        import webvtt
    except ImportError as error:
        raise ImportError("WebVTT files need webvtt-py: pip install transformers-qwen3-asr[labels]") from error
    content = read_text(path)
    for block in re.split(r"\n{2,}", content.replace("\r\n", "\n").strip())[1:]:
        # webvtt-py passes over what is no cue, such as the beginning of one at which a file was cut
        if "-->" not in block and not block.startswith(("NOTE", "STYLE", "REGION")):
            raise ValueError(f"{path} cannot be read as WebVTT: {block!r:.120} has no line of times")
    try:
        captions = webvtt.from_string(content, strict=True).captions
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        raise ValueError(f"{path} cannot be read as WebVTT: {error}") from error
    cues = [
        TaggedCue(
            caption.start_time.in_milliseconds() / 1000,
            caption.end_time.in_milliseconds() / 1000,
            caption.raw_text,
            f"cue {number}",
        )
        for number, caption in enumerate(captions, 1)
    ]
    yield draft_of_cues(path, cues)


def write_vtt(cues: Iterable[Cue]) -> str:
    """Cues as a WebVTT file, where one ends after it starts. Raises `ValueError`, naming what cannot be written."""
    return write_cues(cues, "vtt", 100, _rendered, least=1, keep_ssa_tags=True)


def write_vtt_karaoke(lines: Iterable[Line]) -> str:
    """
    A cue a line, with the times of its words inside, `one<00:00:01.200> <00:00:01.400>two`: where a word ends, and
    where the next begins if that is later.
    """
    return write_cues((_timed(line)[0] for line in lines), "vtt", 100, _with_times, least=1, keep_ssa_tags=True)


def _timed(line: Line) -> tuple[Line, list[tuple[int, int]]]:
    return with_times_inside(line, 1000, "a cue with times inside")


def _with_times(line: Line, backslash: str) -> str:
    line, times = _timed(line)
    written, last = "", round(line.start * 1000)
    for (piece, _), (start, end) in zip(line.pieces(), times, strict=True):
        word = piece.rstrip()
        begun = _stamp(start) if start > last else ""
        ended = _stamp(end) if end < round(line.end * 1000) else ""
        written += begun + _escaped(word, backslash) + ended + piece[len(word) :]
        last = end
    if "<" not in written:
        # or a line that is said twice looks like one that is rolled up
        written = f"<c>{written or _escaped(line.text, backslash)}</c>"
    return _voice(line) + written


def _rendered(cue: Cue, backslash: str) -> str:
    return _voice(cue) + _escaped(cue.text, backslash)


def _stamp(milliseconds: int) -> str:
    minutes, rest = divmod(milliseconds, 60000)
    return f"<{minutes // 60:02}:{minutes % 60:02}:{rest / 1000:06.3f}>"


def _voice(cue: Cue) -> str:
    return f"<v {html.escape(speaker_of(cue), quote=False)}>" if speaker_of(cue) else ""


def _escaped(text: str, backslash: str) -> str:
    # pysubs2 drops tags unless it is told to keep them, and knows its own line breaks nonetheless
    text = html.escape(text.replace("\\", backslash), quote=False).replace("{", "&#123;")
    return without_times(text, "&#58;")
