"""Advanced SubStation Alpha (.ass), read and written by pysubs2; karaoke has its words' times in `\\k` tags."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ...labels.recordings import read_text
from ...labels.rows import Draft, Entry
from ...results import Cue
from ..spoken import JOINER, Line, with_times_inside
from .cues import write_cues

_TAGS = re.compile(r"(?<!\\)\{([^{}]*)\}")
_KARAOKE = re.compile(r"\\(?:k[fo]?|K)(\d+(?:\.\d+)?)")
_BREAK = re.compile(r"\\[Nn]")


def read_ass(path: Path) -> Iterator[Draft]:
    """
    The one row of an .ass file: a label a cue, or, where there are `\\k` tags, one for each of those before text.
    Cues come in order of time, which files need not have. Raises `ValueError`, naming the file.
    """
    from pysubs2 import Pysubs2Error, SSAFile

    content = read_text(path)
    try:
        file = SSAFile.from_string(content, format_="ass")
    except (Pysubs2Error, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as ASS: {error}") from error
    if "[events]" not in content.lower():
        raise ValueError(f"{path} cannot be read as ASS: it has no section [Events]")
    # pysubs2 passes over a line of which it can make nothing
    held = [line for line in content.splitlines() if line.lstrip().startswith("Dialogue:")]
    events = [(number, event) for number, event in enumerate(file.events, 1) if not event.is_comment]
    if len(events) != len(held):
        raise ValueError(f"{path} is damaged: of {len(held)} lines of dialogue {len(events)} can be read")
    events.sort(key=lambda numbered: numbered[1].start)
    karaoke = any(_KARAOKE.search(tags) for _, event in events for tags in _TAGS.findall(event.text))
    draft = Draft(str(path), [], name=path.stem, file=path, lines=[] if karaoke else None)
    for number, event in events:
        lines = [line for line in map(_plain, _BREAK.split(event.text)) if line]
        if not lines:
            continue
        cue = Entry(" ".join(lines), event.start / 1000, event.end / 1000, f"cue {number}", event.name.strip() or None)
        if karaoke:
            draft.lines.append(cue)
            draft.entries += _syllables(event, cue)
        else:
            draft.entries.append(replace(cue, shown="\n".join(lines) if len(lines) > 1 else None))
    yield draft


def _plain(text: str) -> str:
    text = _BREAK.sub(" ", _TAGS.sub("", text)).replace("\\h", " ").replace("\\{", "{").replace("\\}", "}")
    return " ".join(text.replace("\\" + JOINER, "\\").split())


def _syllables(event, cue: Entry) -> Iterator[Entry]:
    """What stands behind each tag with a duration in hundredths of a second; without text it is a pause."""
    start, end, lasts = event.start, event.start, event.end - event.start
    pieces = _TAGS.split(event.text)  # text, tags, text, tags, text
    for tags, text in zip(["", *pieces[1::2]], pieces[::2]):
        for length in _KARAOKE.findall(tags):
            start, end = end, end + round(10 * float(length))
            lasts = end - start
        if _plain(text):
            yield replace(cue, text=_plain(text), start=start / 1000, end=(start + lasts) / 1000)


def write_ass(cues: Iterable[Cue]) -> str:
    """Cues as an .ass file. Raises `ValueError`, naming the cue, where one cannot be written."""
    return write_cues(cues, "ass", 10, lambda cue, backslash: _escaped(cue.text, backslash))


def write_ass_karaoke(lines: Iterable[Line]) -> str:
    """A cue a line, in which its duration stands before each word, `{\\k25}`, and each pause. Times are to 10 ms."""
    return write_cues((_timed(line)[0] for line in lines), "ass", 10, _with_durations)


def _timed(line: Line) -> tuple[Line, list[tuple[int, int]]]:
    return with_times_inside(line, 100, "karaoke")


def _with_durations(line: Line, backslash: str) -> str:
    line, times = _timed(line)
    written, last = "", round(line.start * 100)
    for (piece, _), (start, end) in zip(line.pieces(), times, strict=True):
        if start > last:
            written += f"{{\\k{start - last}}}"
        written += f"{{\\k{end - start}}}{_escaped(piece, backslash)}"
        last = end
    return written or _escaped(line.text, backslash)


def _escaped(text: str, backslash: str) -> str:
    # a brace opens a style tag, and a backslash breaks the line before some letters: not before a word joiner
    return text.replace("\\", "\\" + JOINER).replace("{", r"\{").replace("\n", r"\N")
