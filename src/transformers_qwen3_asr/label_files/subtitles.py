"""SRT and WebVTT with word times: a cue a word, words with times inside a cue, or Whisper's highlighted words."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .recordings import read_text
from .rows import Draft, Entry, join_texts

_STAMP = re.compile(r"<((?:\d+:)?\d{1,2}:\d{1,2}\.\d{1,3})>")
_TAG = re.compile(r"</?(?:c|b|i|u|s|v|lang|ruby|rt|font)(?:[.\s][^<>]*)?>", re.IGNORECASE)
_ASS_TAG = re.compile(r"\{\\[^{}]*\}")
_BROKEN = re.compile(r"\d\s*-->|-->\s*\d")
_UNDERLINED = re.compile(r"<u>(.*?)</u>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class _Cue:
    start: float
    end: float
    text: str  # with tags
    place: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.split("\n") if _plain(line)]


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
        _Cue(event.start / 1000, event.end / 1000, _ASS_TAG.sub("", event.text.replace(r"\N", "\n")), f"cue {number}")
        for number, event in enumerate(events, 1)
    ]
    for cue in cues:
        if _BROKEN.search(cue.text):  # pysubs2 adds a cue that it cannot read to the text of the one before
            raise ValueError(f"{path}: the cue behind {cue.place} cannot be read: {cue.text!r:.120}")
    yield _draft(path, cues)


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
        _Cue(
            caption.start_time.in_milliseconds() / 1000,
            caption.end_time.in_milliseconds() / 1000,
            caption.raw_text,
            f"cue {number}",
        )
        for number, caption in enumerate(captions, 1)
    ]
    yield _draft(path, cues)


def _draft(path: Path, cues: list[_Cue]) -> Draft:
    draft = Draft(str(path), [], name=path.stem, file=path)
    if any(_STAMP.search(cue.text) for cue in cues):
        draft.entries = list(_stamped(cues))
    elif any(_UNDERLINED.search(cue.text) for cue in cues):
        draft.entries, draft.text = _highlighted(cues)
    else:
        draft.entries = [Entry(_plain(cue.text), cue.start, cue.end, cue.place) for cue in cues if _plain(cue.text)]
    return draft


def _plain(text: str) -> str:
    """Text without tags and times, on one line."""
    return " ".join(html.unescape(_TAG.sub("", _STAMP.sub("", text))).split())


def _stamped(cues: list[_Cue]) -> Iterator[Entry]:
    """
    Words with their start inside the cue, `Hello <00:00:01.200>world`: each ends where the next begins, the last with
    the cue. Lines that the cue before showed, too, are rolled up (as YouTube's captions are) and not said again.
    """
    shown: set[str] = set()
    for cue in cues:
        lines = [line for line in cue.lines if _STAMP.search(line) or _plain(line) not in shown]
        shown = {_plain(line) for line in cue.lines}
        pieces = _STAMP.split("\n".join(lines))  # text, time, text, time, text
        times = [cue.start, *map(_seconds, pieces[1::2]), cue.end]
        for text, start, end in zip(pieces[::2], times[:-1], times[1:], strict=True):
            if _plain(text):
                yield Entry(_plain(text), start, end, cue.place)


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = ["0", *stamp.split(":")][-3:]
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)


def _highlighted(cues: list[_Cue]) -> tuple[list[Entry], str]:
    """Whisper's `--highlight_words True`: a line is shown once for each word, which is underlined, and in pauses."""
    entries, lines = [], []
    marked = [bool(_UNDERLINED.search(cue.text)) for cue in cues]
    plain = [_plain(cue.text) for cue in cues]
    last_end = None  # of what was underlined in the line: where in its text
    for i, cue in enumerate(cues):
        if not plain[i]:
            continue
        underlined = _UNDERLINED.search(cue.text)
        place = len(_plain(cue.text[: underlined.start()])) if underlined else None
        around = [k for k in (i - 1, i + 1) if 0 <= k < len(cues) and marked[k] and plain[k] == plain[i]]
        pause = underlined is None and bool(around)
        # a line that is said twice begins with its first word again
        again = place is not None and last_end is not None and place < last_end
        if not lines or plain[i] != lines[-1] or again:
            lines.append(plain[i])
            last_end = None
        if underlined:
            last_end = place + 1
            entries.append(Entry(_plain(underlined.group(1)), cue.start, cue.end, cue.place))
        elif not pause:
            entries.append(Entry(plain[i], cue.start, cue.end, cue.place))
    return entries, join_texts(lines)
