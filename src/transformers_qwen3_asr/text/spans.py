"""The transcript around its words: whole text, what belongs to which word, and opening marks."""

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

Span = tuple[int, int]

_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # those of str.splitlines
_OPENING_ALONE = "¿¡"
_TWO_SIDED = "\"'"  # the same character opens and closes


def whole_text(text: str | Sequence[str]) -> str:
    """The transcript that offsets count in: the text, or known words joined by single spaces."""
    return text if isinstance(text, str) else " ".join(text)


def opens(text: str, index: int) -> bool:
    """
    Whether the mark at `index` opens what follows it (a quote, a bracket, "¿"), rather than closing what is before.

    Unicode's categories do not say it: “ opens in English and Chinese and closes in German, » the other way round in
    Danish. So a quote opens where white space or another opening mark is before it and none behind, and closes in the
    opposite case. Between two spaces, as in French, and between two letters, as in Chinese, the category counts; a
    straight double quote between two letters opens if it is the first, third, … of its line.
    """
    mark = text[index]
    category = unicodedata.category(mark)
    if category == "Ps" or mark in _OPENING_ALONE:
        return True
    if category not in ("Pi", "Pf") and mark not in _TWO_SIDED:
        return False
    before = text[index - 1] if index else " "
    open_before = before.isspace() or unicodedata.category(before) in ("Ps", "Pi") or before in _OPENING_ALONE
    open_behind = index + 1 == len(text) or text[index + 1].isspace()
    if open_before != open_behind:
        return open_before
    if mark == '"' and not open_before:
        quotes, breaks = _places(text, '"'), _places(text, "\n")
        ahead = bisect_left(breaks, index)
        line = breaks[ahead - 1] if ahead else 0
        return (bisect_left(quotes, index) - bisect_left(quotes, line)) % 2 == 0
    return category == "Pi"


@lru_cache(maxsize=4)  # counted anew for each mark, a text of one line would take the square of its length
def _places(text: str, character: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(character), text)]


def pieces(text: str | Sequence[str], spans: Sequence[Span]) -> list[Span]:
    """
    The transcript cut into one piece for each word, with the punctuation and white space around it.

    Args:
        text: the transcript, or its words.
        spans: where the words stand in `whole_text(text)`, in order; one for each where words were given.

    Returns: spans that begin where the one before ends, from 0 to the transcript's end, so that the pieces joined are
    the transcript. Closing marks and white space go with the word before; opening marks, and what else is attached to
    a word's beginning ("$5", "#tag") or begins its line ("— Oui"), with the word behind. What is before the first word
    goes with it. Where words were given, each keeps what it was given with, and the space behind it. A character that
    became two words ("㍿" in Japanese) is the first one's, and the other's piece may be empty. Without words: no
    pieces.
    """
    if not spans:
        return []
    cuts = [0]
    if isinstance(text, str):
        for (_, end), (start, _) in itertools.pairwise(spans):
            cuts.append(max(cuts[-1], _cut(text, end, start) if end < start else end))
        length = len(text)
    else:
        for word in text:
            cuts.append(cuts[-1] + len(word) + 1)
        length = cuts.pop() - 1
    return list(zip(cuts, [*cuts[1:], length], strict=True))


def _cut(text: str, end: int, start: int) -> int:
    """Where, between a word's `end` and the next one's `start`, the next one's piece begins."""
    breaks = list(_LINE_BREAK.finditer(text, end, start))
    if breaks:
        cut = breaks[-1].end()
        while cut < start and text[cut].isspace():
            cut += 1
        return cut
    cut = start
    while cut > end and not text[cut - 1].isspace():
        cut -= 1
    if cut == end:  # no white space: Chinese, or letters of one word
        cut = start
        while cut > end and opens(text, cut - 1):
            cut -= 1
        return cut
    # French sets its quotes off: a « between two spaces opens the word behind them
    while True:
        mark = cut - 1
        while mark > end and text[mark].isspace():
            mark -= 1
        if mark < end or text[mark].isspace() or not text[mark - 1].isspace() or not opens(text, mark):
            return cut
        cut = mark


def columns(text: str) -> int:
    """How wide a text is: wide East Asian characters count two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
