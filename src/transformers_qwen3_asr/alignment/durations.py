"""How long words last at least, and what pauses between them cost."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

#: Milliseconds that a word lasts at least for each of its letters: of 794 words of people's speech 1.4 % are shorter.
_LETTER = 20.0
#: Milliseconds that a letter takes in fluent speech.
SPOKEN = 75.0
#: Nats that a pause between two words costs, and from how many seconds on; a shorter one costs as much less. Chosen on
#: 96 clips of people's speech, which need a cost of short pauses. With 4 nats, from 0.2 s on, their mean error as they
#: are, in noise, with words changed or left out differs by 2 % at most. Hesitations need a low limit.
_PAUSE, _LONG_PAUSE = 2.0, 0.1
#: Letters of the Latin alphabet that a character is worth, as the names of such characters begin in Unicode.
_WORTH = {"CJK ": 3.0, "IDEOGRAPHIC ": 3.0, "HANGUL SYLLABLE": 2.5, "HIRAGANA ": 2.0, "KATAKANA ": 2.0}


def letters(word: str) -> float:
    """How many letters of an alphabet a word is as long as when it is spoken, roughly; at least 1."""
    if word.isascii() and word.isalnum():  # most words of a batch, of which there may be ten thousand
        return float(len(word))
    return max(1.0, sum(map(_worth, word)))


@lru_cache(maxsize=2**14)  # names are slow to look up, and texts go on with the characters they began with
def _worth(character: str) -> float:
    if not character.isalnum():
        return 0.0
    name = unicodedata.name(character, "")
    return next((worth for beginning, worth in _WORTH.items() if name.startswith(beginning)), 1.0)


def shortest_lengths(
    lengths: Sequence[float] | None, words: int, segment_time: float, name: str = "the clip"
) -> np.ndarray:
    """
    How many classes each word lasts at least: `_LETTER` for each letter, rounded down, but 1 or more.

    Args:
        lengths: of each word, as `letters` gives them; `None` where they are not known.
        words: how many there are.
        segment_time: milliseconds a class.
        name: how messages call the clip.

    Returns: int64 `(words,)`.

    Raises `ValueError` where there are not as many lengths as words, or a length is not finite and above 0.
    """
    if lengths is None:
        return np.ones(words, dtype=np.int64)
    spoken = np.asarray(lengths, dtype=np.float64)
    if spoken.shape != (words,) or not ((spoken > 0) & np.isfinite(spoken)).all():
        raise ValueError(f"{name}: {words} words, but lengths {list(lengths)!r}: one above 0 is expected for each")
    return np.maximum(1, (spoken * (_LETTER / segment_time) + 1e-9).astype(np.int64))


def pause_costs(words: int, segment_time: float, breaks: Sequence[int] | None, name: str = "the clip") -> np.ndarray:
    """
    Nats that a pause behind each word costs in the search for the best path, float64 `(2, words)`: a class of
    `segment_time` milliseconds, and at most. Nothing where people may pause (`text.sentences.breaks_behind`).

    People go on speaking: most words begin where the one before them ends, and of two places for a word the likelier
    one is beside its neighbours. However long a pause is, there is but one.

    Raises `ValueError`, naming the clip, where there are not as many breaks as words.
    """
    expected = np.zeros(words, dtype=bool) if breaks is None else np.asarray(breaks, dtype=bool)
    if expected.shape != (words,):
        raise ValueError(f"{name}: {words} words, but {len(expected)} breaks: one is expected for each")
    return np.outer((_PAUSE * segment_time / (1000 * _LONG_PAUSE), _PAUSE), ~expected)
