"""How long words take at least, at the pace that a recording's surest words have."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

#: A word that the model is less sure of (`confidence.word_scores`)
_SURE = 0.8
#: is given at least this part of the time that its letters take in the words that the model is surest of.
_LEAST = 0.6
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


def least_lengths(bins: np.ndarray, scores: np.ndarray, lengths: Sequence[float], classes: int) -> np.ndarray:
    """
    How many classes each word has to last.

    Where the model is not sure, as in noise, its probabilities are spread over many classes, and the most probable
    ones press some words together and draw others out. The pace is the median of classes a letter over the surest half
    of the words. A word of which the model is sure is left alone, so that what is really spoken fast stays so.

    Args:
        bins: `(2 * words,)`, the classes found without this.
        scores: `(words,)`, their scores.
        lengths: `(words,)`, as `letters` gives them.
        classes: of the recording; together the words are not asked for more than half of them.

    Returns: int64 `(words,)`, at least 1 each.

    Raises `ValueError` where there are not as many lengths as words, or a length is not above 0.
    """
    spoken = np.asarray(lengths, dtype=np.float64)
    if spoken.shape != scores.shape or not (spoken > 0).all():
        raise ValueError(f"{len(scores)} words, but lengths {list(lengths)!r}: one above 0 is expected for each")
    surest = scores >= np.median(scores)
    pace = np.median((bins[1::2] - bins[::2])[surest] / spoken[surest])
    least = np.where(scores < _SURE, _LEAST * pace * spoken, 0.0)
    least *= min(1.0, classes / 2 / max(least.sum(), 1.0))
    return np.maximum(1, least.astype(np.int64))
