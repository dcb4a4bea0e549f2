"""Words to cues that a person would want to read: which words are shown together, and on which lines."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ...results import AlignmentResult, Cue
from ...text.sentences import sentence_ends
from ...text.spans import Span, columns, pieces, whole_text

#: Columns of a line: 42 is what subtitle guides (Netflix, BBC) ask for Latin letters, 16 characters for wide ones.
LATIN, WIDE = 42, 32
#: Seconds of a pause that two cues never share, and of one that is a good place to part them.
PAUSE, SHORT_PAUSE = 1.0, 0.3
#: Marks behind which a clause ends.
_CLAUSE = frozenset(",;:)]–—…، ؛、，；：）」』”»".replace(" ", ""))
# What a cue costs, so that there are few; a break where neither clause nor pause ends; and room that is left empty.
_CUE, _BREAK, _EMPTY = 1.5, 1.0, 1.0


@dataclass(frozen=True)
class CueLimits:
    """
    What a cue may be. A single word may exceed any of it.

    Args:
        max_line_length: columns; wide East Asian characters count two. `None`: 32 where most letters are wide, else
            42.
        max_lines: of a cue.
        max_cue_seconds: from its first word's start to its last word's end.
        min_gap: seconds between two cues: where they are closer, the first one ends earlier, but keeps half of its
            time.

    Raises `ValueError`, naming the limit that is none.
    """

    max_line_length: int | None = None
    max_lines: int = 2
    max_cue_seconds: float = 7.0
    min_gap: float = 0.0

    def __post_init__(self):
        for name in ("max_line_length", "max_lines"):
            value = getattr(self, name)
            if not (value is None and name == "max_line_length") and (type(value) is not int or value < 1):
                raise ValueError(f"{name}={value!r}: a whole number from 1 on is expected")
        if not self.max_cue_seconds > 0:
            raise ValueError(f"max_cue_seconds={self.max_cue_seconds!r}: more than 0 is expected")
        if not 0 <= self.min_gap < math.inf:
            raise ValueError(f"min_gap={self.min_gap!r}: seconds from 0 on are expected")


def subtitle_cues(result: AlignmentResult, limits: CueLimits = CueLimits(), breaks: bool = True) -> list[Cue]:
    """
    Cues of one line or more (parted by line breaks) with the punctuation of the original text.

    A cue ends with its sentence (`sentence_ends`) and before a pause of more than a second. What is then still longer
    than `limits` is parted where it costs least: behind a clause or at a pause rather than elsewhere, in few cues,
    evenly filled. Lines are broken in the same way, or with `breaks=False` written as one. Words are never parted.
    """
    chunks, texts, ends = result["chunks"], spelled(result), _sentence_numbers(result)
    times = [chunk["timestamp"] for chunk in chunks]
    columns_of = [columns(" ".join(text.split())) for text in texts]
    spaces = [1 if text[-1:].isspace() else 0 for text in texts]
    clause = [text.rstrip()[-1:] in _CLAUSE for text in texts]
    length = limits.max_line_length or _usual_length("".join(texts))
    cues = []
    for first, past in _runs(ends, times):
        words = _Words(texts[first:past], columns_of[first:past], spaces[first:past], clause[first:past])
        for start, end in _parts(words, times[first:past], length, limits):
            lines = _lines(words, start, end, length) if breaks else [(start, end)]
            text = "\n".join(filter(None, (" ".join("".join(words.texts[i:j]).split()) for i, j in lines)))
            cues.append(Cue(times[first + start][0], times[first + end - 1][1], text))
    return _apart(cues, limits.min_gap)


def spelled(result: AlignmentResult) -> list[str]:
    """Each chunk as the text spells it, with the marks and white space around it."""
    whole, spans = _placed(result)
    return [whole[slice(*span)] for span in pieces(whole, spans)]


@dataclass(frozen=True)
class _Words:
    """Words that may share a cue: their texts, columns, columns of the space behind, and whether a clause ends."""

    texts: Sequence[str]
    columns: Sequence[int]
    spaces: Sequence[int]
    clause: Sequence[bool]


def _usual_length(text: str) -> int:
    letters = [character for character in text if character.isalnum()]
    return WIDE if 2 * sum(columns(letter) > 1 for letter in letters) > len(letters) else LATIN


def _sentence_numbers(result: AlignmentResult) -> list[int]:
    whole, spans = _placed(result)
    ends = sentence_ends(whole)
    return [bisect_right(ends, first) for first, _ in spans]


def _runs(sentences: Sequence[int], times: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """Words of one sentence without a long pause."""
    breaks = [
        word
        for word in range(1, len(times))
        if sentences[word] > sentences[word - 1] or times[word][0] - times[word - 1][1] > PAUSE
    ]
    return list(zip([0, *breaks], [*breaks, len(times)])) if times else []


def _parts(
    words: _Words, times: Sequence[tuple[float, float]], length: int, limits: CueLimits
) -> list[tuple[int, int]]:
    """The words of each cue: the way through the run that costs least."""
    count, room = len(times), length * limits.max_lines
    costs, origins = [0.0, *[math.inf] * count], [0] * (count + 1)
    for start in range(count):
        line, width, filled = 1, 0, 0
        for word in range(start, count):
            if width and width + words.columns[word] > length:
                line, width = line + 1, 0
            width += words.columns[word] + words.spaces[word]
            filled += words.columns[word] + words.spaces[word]
            if word > start and (line > limits.max_lines or times[word][1] - times[start][0] > limits.max_cue_seconds):
                break
            empty = max(0.0, 1 - filled / room)
            at_pause = word + 1 < count and times[word + 1][0] - times[word][1] >= SHORT_PAUSE
            natural = word + 1 == count or words.clause[word] or at_pause
            cost = costs[start] + _CUE + _EMPTY * empty**2 + (0 if natural else _BREAK)
            if cost < costs[word + 1]:
                costs[word + 1], origins[word + 1] = cost, start
    parts, end = [], count
    while end:
        parts.append((origins[end], end))
        end = origins[end]
    return parts[::-1]


def _lines(words: _Words, first: int, past: int, length: int) -> list[tuple[int, int]]:
    """The words of each line of a cue: as few lines as there can be, of which none is much shorter than the others."""
    # costs[lines][word]: of the words before, in so many lines
    costs, origins = [{first: 0.0}], [{}]
    while past not in costs[-1]:
        reached, origin = {}, {}
        for start, before in costs[-1].items():
            width = 0
            for word in range(start, past):
                if word > start and width + words.columns[word] > length:
                    break
                width += words.columns[word]
                empty = max(0.0, 1 - width / length)
                natural = word + 1 == past or words.clause[word]
                cost = before + _EMPTY * empty**2 + (0 if natural else _BREAK / 4)
                if cost < reached.get(word + 1, math.inf):
                    reached[word + 1], origin[word + 1] = cost, start
                width += words.spaces[word]
        costs.append(reached)
        origins.append(origin)
    lines, end = [], past
    for origin in reversed(origins[1:]):
        lines.append((origin[end], end))
        end = origin[end]
    return lines[::-1]


def _apart(cues: list[Cue], gap: float) -> list[Cue]:
    """With a gap before each next cue, for which the one before gives up to half of its time."""
    apart = []
    for cue, following in zip(cues, [*(cue.start for cue in cues[1:]), math.inf]):
        if gap and following - cue.end < gap:
            cue = Cue(cue.start, min(cue.end, max(following - gap, (cue.start + cue.end) / 2)), cue.text)
        apart.append(cue)
    return apart


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
