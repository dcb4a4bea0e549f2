"""What subtitles share.

Read: a cue a word, words with times inside a cue, or Whisper's highlighted words. Written: by pysubs2, such that
every reader takes a cue's text for what it is; a cue a word or line, or lines with words' times inside (karaoke).
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...labels.rows import Draft, Entry, join_texts
from ...results import Cue
from ..spoken import JOINER, Line, speaker_of, unwritable

_STAMP = re.compile(r"<((?:\d+:)?\d{1,2}:\d{1,2}\.\d{1,3})>")
_TAG = re.compile(r"</?(?:c|b|i|u|s|v|lang|ruby|rt|font)(?:[.\s][^<>]*)?>", re.IGNORECASE)
#: What is said in a cue, not rolled up, has a time inside or is marked as ours and YouTube's words are.
_SAID = re.compile(rf"{_STAMP.pattern}|<c>")
_VOICE = re.compile(r"\s*<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_UNDERLINED = re.compile(r"<u>(.*?)</u>", re.IGNORECASE | re.DOTALL)
#: A time as subtitles have it, for any reader: two of them in a line are those of a cue.
_TIME = re.compile(r"\d{1,2}:\d{1,2}[:.,]\d{1,3}")
_COLON = re.compile(r"(?<=\d):(?=\d)")


@dataclass(frozen=True)
class TaggedCue:
    start: float
    end: float
    text: str  # with tags
    place: str

    @property
    def speaker(self) -> str | None:
        """Of WebVTT, where a cue is one speaker's."""
        found = _VOICE.match(self.text)
        return " ".join(html.unescape(found[1]).split()) or None if found else None

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.split("\n") if _plain(line)]


def draft_of_cues(path: Path, cues: list[TaggedCue]) -> Draft:
    draft = Draft(str(path), [], name=path.stem, file=path)
    if any(_STAMP.search(cue.text) for cue in cues):
        draft.lines = []
        draft.entries = list(_stamped(cues, draft.lines))
    elif any(_UNDERLINED.search(cue.text) for cue in cues):
        draft.entries, draft.text = _highlighted(cues)
    else:
        draft.entries = [replace(_entry(cue, _plain(cue.text)), shown=_shown(cue.text)) for cue in cues if cue.lines]
    return draft


def _entry(cue: TaggedCue, text: str) -> Entry:
    return Entry(text, cue.start, cue.end, cue.place, cue.speaker)


def _plain(text: str) -> str:
    """Text without tags and times, on one line."""
    return " ".join(html.unescape(_TAG.sub("", _STAMP.sub("", text))).split())


def _shown(text: str) -> str | None:
    """Text without tags and times, if it has line breaks."""
    lines = [line for line in map(_plain, text.split("\n")) if line]
    return "\n".join(lines) if len(lines) > 1 else None


def _stamped(cues: list[TaggedCue], said: list[Entry]) -> Iterator[Entry]:
    """
    Words with their start inside the cue, `Hello <00:00:01.200>world`: each ends where the next begins, the last with
    the cue. Lines that the cue before showed, too, are rolled up (as YouTube's captions are) and not said again; what
    a cue says is added to `said`.
    """
    shown: set[str] = set()
    for cue in cues:
        lines = [line for line in cue.lines if _SAID.search(line) or _plain(line) not in shown]
        shown = {_plain(line) for line in cue.lines}
        if lines:
            said.append(_entry(cue, _plain("\n".join(lines))))
        pieces = _STAMP.split("\n".join(lines))  # text, time, text, time, text
        times = [cue.start, *map(_seconds, pieces[1::2]), cue.end]
        for text, start, end in zip(pieces[::2], times[:-1], times[1:], strict=True):
            if _plain(text):
                yield Entry(_plain(text), start, end, cue.place, cue.speaker)


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = ["0", *stamp.split(":")][-3:]
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)


def _highlighted(cues: list[TaggedCue]) -> tuple[list[Entry], str]:
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


def write_cues(
    cues: Iterable[Cue | Entry | Line],
    format: str,
    hours: int,
    rendered: Callable[[Cue | Entry | Line, str], str],
    least: int = 0,
    **options,
) -> str:
    """
    Cues as the text of a file.

    Args:
        format: as pysubs2 calls it, with the `options` that it has there.
        hours: that pysubs2 writes: it would end later cues there.
        rendered: a cue, and the character that stands for a backslash, to what is written as its text.
        least: milliseconds that a cue lasts at least; 0 leaves it as it is.

    Raises `ValueError`, naming the cue, where one cannot be written.
    """
    # imported here, so that the other formats do not wait for it
    from pysubs2 import SSAEvent, SSAFile

    cues = [cue for cue in cues if cue.text]
    for number, cue in enumerate(cues, 1):
        if problem := _problem(cue, format, hours):
            raise ValueError(f"cue {number} ({cue.text!r:.60}) {problem}")
    # stands for a backslash while pysubs2 writes, which takes some for line breaks
    held = "".join(f"{cue.text}{speaker_of(cue)}" for cue in cues)
    backslash = next(chr(code) for code in range(0xE000, 0x110000) if chr(code) not in held)
    file = SSAFile()
    for number, cue in enumerate(cues, 1):
        start, end = round(cue.start * 1000), round(cue.end * 1000)
        if least:
            end = max(end, start + least)
        try:
            text = rendered(cue, backslash)
        except ValueError as error:
            raise ValueError(f"cue {number} ({cue.text!r:.60}): {error}") from error
        file.append(SSAEvent(start=start, end=end, text=text, name=speaker_of(cue)))
    return file.to_string(format, **options).replace(backslash, "\\")


def _problem(cue: Cue | Entry | Line, format: str, hours: int) -> str | None:
    """Why a cue cannot be written."""
    if found := unwritable(cue.text) or unwritable(speaker_of(cue)):
        return f"holds the character {found!r}, which subtitles cannot have"
    if format == "ass" and set(",{}\\") & set(speaker_of(cue)):
        return f"is said by {speaker_of(cue)!r}, but names in .ass have no commas, braces and backslashes"
    for time in (cue.start, cue.end):
        if not 0 <= time < 3600 * hours - 0.01:
            return f"has the time {time} s; .{format} holds times from 0 to {hours} hours"
    return None


def without_times(text: str, colon: str) -> str:
    """Text that holds several times as one that no reader takes for a cue's, `colon` standing for theirs."""
    if len(_TIME.findall(text)) > 1:
        text = _COLON.sub(colon, text).replace("-->", f"--{JOINER}>")
    return text
