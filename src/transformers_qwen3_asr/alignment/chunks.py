"""Words with times as chunks of a result: by word, character, sentence or line, with the transcript's own text."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..results import Chunk
from ..text.sentences import sentence_ends
from ..text.spans import Span, pieces, whole_text
from ..text.words import Word

#: What a chunk may be.
UNITS = ("word", "char", "sentence", "line")

# Parts of a character as readers count them, although Unicode calls them letters: half-width voice marks, Thai and Lao
# am, and the vowels and final consonants of Korean taken apart.
_TRAILING_LETTERS = "\uff9e\uff9f\u0e33\u0eb3"
_TRAILING_JAMO = (("\u1160", "\u11ff"), ("\ud7b0", "\ud7ff"))


def aligned_words(words: Sequence[str], times: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Words with times `(words, 2)` in seconds and scores `(words,)`, as `decode_forced_alignment` gives them."""
    return [
        {"text": word, "start_time": start, "end_time": end, "score": score}
        for word, (start, end), score in zip(words, times.tolist(), scores.tolist(), strict=True)
    ]


def make_chunks(
    text: str | Sequence[str],
    words: Sequence[Word],
    aligned: Sequence[Mapping[str, Any]],
    unit: str = "word",
    original_text: bool = False,
) -> list[Chunk]:
    """
    The chunks of a result.

    Args:
        text: the transcript, or its words.
        words: its words as `split_words` cuts them.
        aligned: for each word its "start_time" and "end_time" in seconds and its "score".
        unit: what a chunk is.
            "word": a word, with its own times and score.
            "char": a character, which is a letter or digit with its combining marks. Characters of one word have equal
            shares of its time (interpolated, to 0.1 ms) and its score; a Chinese character is a word by itself.
            "sentence" (see `sentence_ends`) and "line" (of the transcript, as by `str.splitlines`): from the start of
            its first word to the end of its last one, with the plain mean of its words' scores: a mean by duration
            would leave out the words of no length, which are the doubtful ones.
        original_text: gives chunks the transcript's own characters with what stands around them, so that the texts
            joined are the transcript (its words joined by single spaces, if it was given so). White space and closing
            punctuation go with the chunk before, opening punctuation with the one behind (see `spans.pieces`). Without
            it, a word or character is what the aligner was given ("wellknown"), and a sentence or line is the
            transcript's, without the white space around it.

    Returns: chunks in order, `whole_text(text)[char_start:char_end]` being what each came from; with `original_text`
    or by sentence or line it equals "text". A line without words has no chunk; with `original_text` its characters are
    in the one before, or, at the beginning, in the one behind. Marks between sentences always go so. A transcript
    without words has no chunks.

    Raises `ValueError` for an unknown unit or words that do not fit `aligned`.
    """
    check_choices(unit, original_text)
    if len(words) != len(aligned):
        raise ValueError(f"{len(words)} words do not fit the times of {len(aligned)}")
    timed = [(word["start_time"], word["end_time"], word["score"]) for word in aligned]
    whole = whole_text(text)
    if unit in ("sentence", "line"):
        return _segments(whole, words, timed, unit, original_text)
    if unit == "char":
        items = [item for word, times in zip(words, timed) for item in _characters(word, times)]
    else:
        items = [(word.text, (word.start, word.end), times) for word, times in zip(words, timed)]
    if not original_text:
        return [_chunk(own, span, times) for own, span, times in items]
    # words that were given in a list are cut where they were given
    around = pieces(text if unit == "word" else whole, [span for _, span, _ in items])
    return [_chunk(whole[slice(*span)], span, times) for span, (_, _, times) in zip(around, items, strict=True)]


def check_choices(return_timestamps: str = "word", original_text: bool = False) -> None:
    """Raises `ValueError` for a unit that is not known, or an `original_text` that is neither True nor False."""
    if return_timestamps not in UNITS:
        raise ValueError(f"return_timestamps={return_timestamps!r}: known are {', '.join(UNITS)}")
    if not isinstance(original_text, bool):
        raise ValueError(f"original_text={original_text!r}: True or False is expected")


def _chunk(text: str, span: Span, times: tuple[float, float, float]) -> Chunk:
    start, end, score = times
    return {"text": text, "timestamp": (start, end), "score": score, "char_start": span[0], "char_end": span[1]}


def _characters(word: Word, times: tuple[float, float, float]) -> Iterator[tuple[str, Span, tuple]]:
    """Each character of a word with the span it came from and its share of the time."""
    characters: list[str] = []
    spans: list[Span] = []
    for character, span in zip(word.text, word.origins, strict=True):
        # what one character of the transcript became ("㌔" in Japanese) stays together, too
        if characters and (_trails(character) or span == spans[-1]):
            characters[-1] += character
            spans[-1] = (spans[-1][0], span[1])
        else:
            characters.append(character)
            spans.append(span)
    start, end, score = times
    inner = (round(start + (end - start) * k / len(spans), 4) for k in range(1, len(spans)))
    bounds = [start, *(min(max(time, start), end) for time in inner), end]
    for character, span, begin, stop in zip(characters, spans, bounds[:-1], bounds[1:], strict=True):
        yield character, span, (begin, stop, score)


def _trails(character: str) -> bool:
    if unicodedata.category(character)[0] == "M" or character in _TRAILING_LETTERS:
        return True
    return any(low <= character <= high for low, high in _TRAILING_JAMO)


def _segments(
    whole: str, words: Sequence[Word], timed: Sequence[tuple], unit: str, original_text: bool
) -> list[Chunk]:
    starts = [word.start for word in words]
    if unit == "line":
        ends = list(accumulate(map(len, whole.splitlines(keepends=True))))
    else:
        ends = [*sentence_ends(whole), len(whole)]
    # a known word may hold a line break or an abbreviation's end, and is not torn
    ends = [end for end in ends if not _inside(end, words, starts)]
    segments: list[list[int]] = []  # first word, past the last, first character, past the last
    begin = first = 0
    for end in ends:
        last = bisect_left(starts, end)
        if last > first:
            segments.append([first, last, begin, end])
        elif unit == "sentence" or original_text:
            # marks alone are no sentence of their own
            if not segments:
                continue
            segments[-1][3] = end
        begin, first = end, last
    chunks = []
    for first, last, begin, end in segments:
        if not original_text:
            inner = whole[begin:end].strip()
            begin += whole[begin:end].index(inner)
            end = begin + len(inner)
        score = sum(score for _, _, score in timed[first:last]) / (last - first)
        chunks.append(_chunk(whole[begin:end], (begin, end), (timed[first][0], timed[last - 1][1], score)))
    return chunks


def _inside(place: int, words: Sequence[Word], starts: Sequence[int]) -> bool:
    before = bisect_left(starts, place) - 1
    return before >= 0 and words[before].end > place
