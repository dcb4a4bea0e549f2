"""What an alignment is, once words have times: typed results, and their grouping into subtitle cues."""

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import NotRequired, TypedDict

from ..text.sentences import sentence_ends
from ..text.spans import Span, pieces, whole_text


class Chunk(TypedDict):
    """
    One piece of the text: ``text``, ``timestamp`` (start, end) in seconds, ``score`` between 0 and 1, and the offsets
    of its first character and past its last one in the transcript. See `chunks.make_chunks`.
    """

    text: str
    timestamp: tuple[float, float]
    score: float
    char_start: int
    char_end: int


class Passage(TypedDict):
    """
    A part of the text: where it stands in the transcript, as for a chunk, and where it was put (seconds). Where no
    text is, `char_start` and `char_end` are the same: past the last character of the word before.
    """

    timestamp: tuple[float, float]
    char_start: int
    char_end: int


class AlignmentResult(TypedDict):
    """
    One aligned recording: ``text`` as it was given (a string or a list of words) and its ``chunks`` in order. Where a
    list was given, offsets count in its words joined by single spaces.

    ``score`` (0 to 1) and ``fits`` say whether the text belongs to the recording, ``unfit`` where it does not:
    passages of words that are not said there, or stand where others are said. See `confidence.recording_fit`.
    ``untranscribed`` are stretches where something is heard and the text has no words: speech that it leaves out, or
    music or applause. See `untranscribed.untranscribed`.

    ``heard`` is how many seconds of audio the model was given for it: the recording's once, and more where words were
    asked for again.

    ``error`` is there where errors are returned (`on_error="return"`): what was wrong with the row, or `None`.
    """

    text: str | list[str]
    chunks: list[Chunk]
    score: float
    fits: bool
    unfit: list[Passage]
    untranscribed: list[Passage]
    heard: float
    error: NotRequired[str | None]


#: What is a row's own error: its recording, text or language, or a package that its language needs. Anything else (no
#: memory, a programming error) is nobody's, and ends the whole call.
ROW_ERRORS = (ValueError, OSError, ImportError)


@dataclass(frozen=True)
class Cue:
    """A piece of text shown from ``start`` to ``end`` (seconds)."""

    start: float
    end: float
    text: str


def word_cues(result: AlignmentResult) -> list[Cue]:
    """One cue a chunk (a word, or what the result was asked for), with its own times and no white space around it."""
    cues = [Cue(*chunk["timestamp"], " ".join(chunk["text"].split())) for chunk in result["chunks"]]
    return [cue for cue in cues if cue.text]


def line_cues(
    result: AlignmentResult, max_width: int = 42, max_seconds: float = 7.0, max_pause: float = 1.0
) -> list[Cue]:
    """
    Cues of a line each, with the punctuation of the original text.

    A line ends after a sentence (`sentence_ends`), before a pause longer than `max_pause` seconds, and before the word
    that would make it wider than `max_width` columns (wide East Asian characters count two) or longer than
    `max_seconds`. 42 columns and 7 seconds are what broadcasters' subtitle guides commonly ask for. A single word may
    exceed them.
    """
    chunks = result["chunks"]
    whole, spans = _placed(result)
    texts = [whole[slice(*span)] for span in pieces(whole, spans)]
    ends = sentence_ends(whole)
    lines: list[list[int]] = []
    for index, chunk in enumerate(chunks):
        start, end = chunk["timestamp"]
        if lines:
            first, last = lines[-1][0], lines[-1][-1]
            text = "".join(texts[first : index + 1]).strip()
            if not (
                bisect_right(ends, spans[last][0]) < bisect_right(ends, spans[index][0])
                or start - chunks[last]["timestamp"][1] > max_pause
                or columns(text) > max_width
                or end - chunks[first]["timestamp"][0] > max_seconds
            ):
                lines[-1].append(index)
                continue
        lines.append([index])
    return [
        Cue(
            chunks[line[0]]["timestamp"][0],
            chunks[line[-1]]["timestamp"][1],
            " ".join("".join(texts[line[0] : line[-1] + 1]).split()),
        )
        for line in lines
    ]


def _placed(result: AlignmentResult) -> tuple[str, list[Span]]:
    """
    The text, and where its chunks stand in it. In a result of other hands, without offsets, the leftmost places are
    looked for; where its chunks are not in the text in this order, the text is the chunks joined by spaces.
    """
    chunks, whole = result["chunks"], whole_text(result["text"])
    if all("char_start" in chunk for chunk in chunks):
        return whole, [(chunk["char_start"], chunk["char_end"]) for chunk in chunks]
    spans, end = [], 0
    for chunk in chunks:
        places = []
        for character in chunk["text"]:
            places.append(whole.find(character, end))
            if places[-1] < 0:
                texts = [chunk["text"] for chunk in chunks]
                starts = accumulate((len(text) + 1 for text in texts), initial=0)
                return " ".join(texts), [(start, start + len(text)) for start, text in zip(starts, texts)]
            end = places[-1] + 1
        spans.append((places[0] if places else end, end))
    return whole, spans


def columns(text: str) -> int:
    """How wide a text is: wide East Asian characters count two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
