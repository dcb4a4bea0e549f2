"""One recording's words as writers are given them, wherever they come from: an alignment, or another file."""

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby, pairwise
from pathlib import Path

from ..labels.checking import is_time, time_problems
from ..labels.rows import Draft, Entry, join_texts
from ..results import AlignmentResult, Cue
from ..text.sentences import sentence_ends
from ..text.spans import whole_text
from .subtitles.layout import CueLimits, spelled, subtitle_cues

#: NUL ends a text or becomes another character for many readers, and no file in UTF-8 holds half of a surrogate pair.
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
#: It shows as nothing, and stands where a format would take a character for more than text.
JOINER = "\u2060"


@dataclass(frozen=True)
class Line:
    """Words that are shown together, as a sentence or a cue, spelled as they are in it, which may have line breaks.
    Times are seconds."""

    text: str
    start: float
    end: float
    words: tuple[Entry, ...] = ()
    speaker: str | None = None

    def pieces(self) -> list[tuple[str, Entry]]:
        """The text cut before each word but the first; of texts in which the words are not, the words with spaces."""
        places, end = [], 0
        for word in self.words:
            place = self.text.find(word.text, end)
            if place < 0:
                texts = [word.text for word in self.words]
                spaces = [" " * (len(join_texts(pair)) - len("".join(pair))) for pair in pairwise(texts)]
                return [(text + space, word) for text, space, word in zip(texts, [*spaces, ""], self.words)]
            places.append(place)
            end = place + len(word.text)
        starts = [0, *places[1:]]
        return [(self.text[i:j], word) for i, j, word in zip(starts, [*starts[1:], len(self.text)], self.words)]


@dataclass(frozen=True)
class Spoken:
    """
    Args:
        name: what the recording is called.
        result: its text and chunks, as `AlignmentResult`; chunks may have a "speaker", and no score.
        given: the lines of the file that it comes from, where that had some.
        audio: the recording's path or URL, where it is known.
        folder: where the file is going to be, from which paths are relative.
        shown: of each chunk its text with line breaks, for subtitles, or `None`.
    """

    name: str
    result: AlignmentResult
    given: tuple[Entry, ...] | None = None
    audio: str | os.PathLike | None = None
    folder: Path = Path()
    shown: Sequence[str | None] | None = None

    @cached_property
    def words(self) -> list[Entry]:
        """What has times: a word a chunk, or what the result was asked for; none for a chunk of white space."""
        return [word for word in map(_word, self.result["chunks"]) if word.text]

    @cached_property
    def cues(self) -> list[Entry]:
        """The same with the line breaks that cues have in them."""
        shown = self.shown or [None] * len(self.result["chunks"])
        cues = [(_word(chunk), text) for chunk, text in zip(self.result["chunks"], shown, strict=True)]
        return [
            cue if text is None else replace(cue, text="\n".join(" ".join(line.split()) for line in text.split("\n")))
            for cue, text in cues
            if cue.text
        ]

    def lines(self, sentences: bool = False, limits: CueLimits | None = None, breaks: bool = False) -> list[Line]:
        """The words in the lines of the file, else in sentences or in cues (`subtitle_cues`), which may have `breaks`.
        With `limits` in cues, whatever lines the file has."""
        if self.given is not None and limits is None:
            return list(_lines(self.given, self.words))
        words = [
            replace(_word(chunk), text=" ".join(text.split()))  # as the text spells it
            for chunk, text in zip(self.result["chunks"], spelled(self.result), strict=True)
        ]
        words = [word for word in words if word.text]
        if sentences:
            return list(_lines(_sentences(words, whole_text(self.result["text"])), words))
        return list(_lines(subtitle_cues(self.result, limits or CueLimits(), breaks), words, breaks))


def _sentences(words: Sequence[Entry], text: str) -> list[Cue]:
    """Sentences of a text that consists of the words, as it spells them; of another text, of the words."""
    if "".join(text.split()) != "".join("".join(word.text.split()) for word in words):
        text = " ".join(word.text for word in words)
    places = [place for place, character in enumerate(text) if not character.isspace()]
    ends = sentence_ends(text)
    sentences: list[tuple[int, list[Entry]]] = []
    count, number = 0, -1
    for word in words:
        if bisect_right(ends, places[count]) > number:
            number = bisect_right(ends, places[count])
            sentences.append((places[count], []))
        sentences[-1][1].append(word)
        count += _characters(word.text)
    bounds = [*(place for place, _ in sentences), len(text)]
    return [
        Cue(said[0].start, said[-1].end, text[start:end])
        for start, end, (_, said) in zip(bounds, bounds[1:], sentences)
    ]


def _word(chunk) -> Entry:
    start, end = chunk["timestamp"]
    text = " ".join(chunk["text"].split())
    return Entry(text, start, end, speaker=chunk.get("speaker"), score=chunk.get("score"))


def _lines(lines: Sequence[Cue | Entry], words: Sequence[Entry], breaks: bool = False) -> Iterator[Line]:
    """
    Lines with their words, cut where the speaker changes. White space is single spaces, but for line `breaks` if they
    are kept.

    Where both spell the same, or at least the same letters, these are counted; else a word belongs to the line that
    its middle is in.
    """
    groups: list[list[Entry]] = [[] for _ in lines]
    for counted in (_characters, _letters):
        ends = list(accumulate(counted(line.text) for line in lines))
        alike = bool(lines) and ends[-1] == sum(counted(word.text) for word in words)
        if alike:
            break
    index = count = 0
    for word in words if lines else ():
        while index + 1 < len(lines) and (
            count >= ends[index] if alike else (word.start + word.end) / 2 >= lines[index + 1].start
        ):
            index += 1
        groups[index].append(word)
        count += counted(word.text)
    for line, group in zip(lines, groups, strict=True):
        text = "\n".join(" ".join(one.split()) for one in (line.text.split("\n") if breaks else [line.text]))
        speaker = getattr(line, "speaker", None)
        whole = Line(text, line.start, line.end, tuple(group), speaker or (group[0].speaker if group else None))
        turns = [(name, list(said)) for name, said in groupby(whole.pieces(), lambda piece: piece[1].speaker)]
        if len(turns) < 2:
            if text:
                yield whole
            continue
        for name, said in turns:
            part = "".join(piece for piece, _ in said).strip()
            spoken = tuple(word for _, word in said)
            yield Line(part, spoken[0].start, max(word.end for word in spoken), spoken, name)


def _characters(text: str) -> int:
    return len("".join(text.split()))


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def of_draft(draft: Draft, words: bool = True) -> Spoken:
    """
    What a reader has found. Its labels need not be words of the aligner, but need times; without `words`, only where
    the file has no lines.

    Raises `ValueError`, naming file and label.
    """
    given, entries = draft.lines, draft.entries or []
    problems = list(draft.errors)
    if given is not None and not entries:
        given, entries = None, given  # cues without words inside
    elif given is not None:
        problems += time_problems(given, None, marks=True)
    if not problems:
        problems = time_problems(entries, None, marks=True)
        if problems and given is not None and not words:
            entries, problems = [entry for entry in entries if is_time(entry.start) and is_time(entry.end)], []
    if not problems and not entries:
        problems = [draft.lacks or "it holds nothing with times"]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ValueError(f"{draft.place}: {problems[0]}{more}")
    chunks = []
    for entry in entries:
        chunk = {"text": entry.text.strip(), "timestamp": (float(entry.start), float(entry.end))}
        chunk |= {key: value for key in ("score", "speaker") if (value := getattr(entry, key)) is not None}
        chunks.append(chunk)
    text = draft.text.strip() if isinstance(draft.text, str) else ""
    result = {"text": text or join_texts([entry.text for entry in given or entries]), "chunks": chunks}
    if isinstance(draft.language, str):
        result["language"] = draft.language
    name = draft.name or (str(draft.id) if draft.id is not None else Path(draft.place).stem)
    shown = [entry.shown for entry in entries]
    return Spoken(
        name, result, None if given is None else tuple(given), draft.audio, shown=shown if any(shown) else None
    )


def in_sequence(words: Iterable[Entry | Line], per_second: int, what: str) -> list[tuple[int, int]]:
    """
    Times in whole units, such that each lasts a unit at least and none begins before the one in front has ended: what
    a tier and karaoke ask for. What lasts shorter makes those behind it wait.

    Raises `ValueError`, naming the word or line, where two are said at a time; `what` holds them one after another.
    """
    times, last, free = [], 0, 0
    for number, word in enumerate(words, 1):
        start, end = round(word.start * per_second), round(word.end * per_second)
        if start < last:
            kind = "line" if isinstance(word, Line) else "word"
            raise ValueError(
                f"{kind} {number} ({word.text!r:.60}) begins at {word.start:g} s, before the one in front of it has "
                f"ended: {what} has one at a time"
            )
        start = max(start, free)
        last, free = end, max(end, start + 1)
        times.append((start, free))
    return times


def with_times_inside(line: Line, per_second: int, what: str) -> tuple[Line, list[tuple[int, int]]]:
    """A line that lasts as long as its words, and their times in whole units, as of `in_sequence`."""
    times = in_sequence(line.words, per_second, what)
    start, end = round(line.start * per_second), round(line.end * per_second)
    if times:
        start, end = min(start, times[0][0]), max(end, times[-1][1])
    return replace(line, start=start / per_second, end=end / per_second), times


def speaker_of(word: Cue | Entry | Line) -> str:
    """On one line; empty where nobody is named."""
    return " ".join((getattr(word, "speaker", None) or "").split())


def unwritable(text: str) -> str | None:
    """The first character of a text that no file has but JSON."""
    found = _UNWRITABLE.search(text)
    return found[0] if found else None


def check_texts(words: Iterable[Entry | Line], kind: str, also: str = "") -> None:
    """Raises `ValueError`, naming the word, for characters that a file cannot have: NUL, lone surrogates, `also`."""
    for number, word in enumerate(words, 1):
        for text in (word.text, speaker_of(word)):
            found = unwritable(text) or next((character for character in text if character in also), None)
            if found:
                raise ValueError(
                    f"word {number} ({word.text!r:.60}) holds the character {found!r}, which {kind} cannot have"
                )
