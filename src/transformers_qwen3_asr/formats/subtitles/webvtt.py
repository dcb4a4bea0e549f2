"""WebVTT (.vtt), read by webvtt-py and written by pysubs2."""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...alignment.results import Cue
from ...labels.recordings import read_text
from ...labels.rows import Draft
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
    except webvtt.errors.MalformedFileError as error:
        raise ValueError(f"{path} cannot be read as WebVTT: {error}") from error
    except webvtt.errors.MalformedCaptionError as error:
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
    return write_cues(cues, "vtt", 100, _escaped, least=1, keep_ssa_tags=True)


def _escaped(text: str, backslash: str) -> str:
    # pysubs2 drops tags unless it is told to keep them, and knows its own line breaks nonetheless
    text = html.escape(text.replace("\\", backslash), quote=False).replace("{", "&#123;")
    return without_times(text, "&#58;")
