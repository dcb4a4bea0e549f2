"""What an alignment is, once words have times: typed results, and their grouping into subtitle cues."""

import unicodedata
from dataclasses import dataclass
from typing import TypedDict


class WordChunk(TypedDict):
    """One aligned word: ``text``, ``timestamp`` (start, end) in seconds, ``score`` between 0 and 1."""

    text: str
    timestamp: tuple[float, float]
    score: float


class AlignmentResult(TypedDict):
    """One aligned recording: ``text`` as it was given (a string or a list of words) and its ``chunks`` in order."""

    text: str | list[str]
    chunks: list[WordChunk]


@dataclass(frozen=True)
class Cue:
    """A piece of text shown from ``start`` to ``end`` (seconds)."""

    start: float
    end: float
    text: str


def word_cues(result: AlignmentResult) -> list[Cue]:
    """One cue a word, with the word's own times."""
    return [Cue(*chunk["timestamp"], chunk["text"]) for chunk in result["chunks"]]


def line_cues(
    result: AlignmentResult, max_width: int = 42, max_seconds: float = 7.0, max_pause: float = 1.0
) -> list[Cue]:
    """
    Cues of a line each, with the punctuation of the original text.

    A line ends after a sentence, before a pause longer than `max_pause` seconds, and before the word that would make
    it wider than `max_width` columns (wide East Asian characters count two) or longer than `max_seconds`. 42 columns
    and 7 seconds are what broadcasters' subtitle guides commonly ask for. A single word may exceed them.
    """
    words = [chunk["text"] for chunk in result["chunks"]]
    pieces = _pieces(result["text"], words)
    lines: list[list[int]] = []
    for index, chunk in enumerate(result["chunks"]):
        start, end = chunk["timestamp"]
        if lines:
            first, last = lines[-1][0], lines[-1][-1]
            line_start = result["chunks"][first]["timestamp"][0]
            text = "".join(pieces[first : index + 1]).strip()
            if not (
                _ends_sentence(pieces[last])
                or start - result["chunks"][last]["timestamp"][1] > max_pause
                or _columns(text) > max_width
                or end - line_start > max_seconds
            ):
                lines[-1].append(index)
                continue
        lines.append([index])
    return [
        Cue(
            result["chunks"][line[0]]["timestamp"][0],
            result["chunks"][line[-1]]["timestamp"][1],
            " ".join("".join(pieces[line[0] : line[-1] + 1]).split()),
        )
        for line in lines
    ]


def _pieces(text: str | list[str], words: list[str]) -> list[str]:
    """
    The original text cut into one piece a word, each piece with the characters up to the next word's beginning.

    Splitting only leaves characters out, so the words' characters stand in the text in order, and the leftmost places
    where they stand are looked for. Where a splitter rewrote some (nagisa widens spaces), the words are used as they
    are.
    """
    plain = [word + " " for word in words]
    if not isinstance(text, str) or not words:
        return plain
    starts, ends, place = [], [], 0
    for word in words:
        for number, character in enumerate(word):
            place = text.find(character, place)
            if place < 0:
                return plain
            if number == 0:
                starts.append(place)
            place += 1
        ends.append(place)
    cuts = [0]
    for end, start in zip(ends[:-1], starts[1:], strict=True):
        # opening quotes and brackets belong to the word that follows them
        cut = start
        while cut > end and unicodedata.category(text[cut - 1]) in ("Ps", "Pi"):
            cut -= 1
        cuts.append(cut)
    return [text[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _ends_sentence(piece: str) -> bool:
    closing = piece.rstrip().rstrip("\"'”’»)]」』")
    return closing.endswith((".", "!", "?", "…", "。", "！", "？"))


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
