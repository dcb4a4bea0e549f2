"""How long words take at the pace that a recording's surest words have."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

#: Words that last less than this part of their usual time are less probable,
_SHORT = 0.7
#: by this power of how much less it is,
_STEEP = 8.0
#: down to this: a word may also be one that is not said.
_ANY = 0.005
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


def usual_lengths(
    bins: np.ndarray, scores: np.ndarray, lengths: Sequence[float], name: str = "the clip"
) -> np.ndarray:
    """
    How many classes each word lasts at the pace of its recording: the median of classes a letter over the half of the
    words that the model is surest of.

    Args:
        bins: `(2 * words,)`, the classes found without this.
        scores: `(words,)`, their scores.
        lengths: `(words,)`, as `letters` gives them.
        name: how messages call the clip.

    Returns: float64 `(words,)`, above 0 where the words last.

    Raises `ValueError` where there are not as many lengths as words, or a length is not finite and above 0.
    """
    spoken = np.asarray(lengths, dtype=np.float64)
    if spoken.shape != scores.shape or not ((spoken > 0) & np.isfinite(spoken)).all():
        raise ValueError(
            f"{name}: {len(scores)} words, but lengths {list(lengths)!r}: one above 0 is expected for each"
        )
    surest = scores >= np.median(scores)
    return np.median((bins[1::2] - bins[::2])[surest] / spoken[surest]) * spoken


@lru_cache(maxsize=2**8)  # at one pace there are hardly more lengths than words have letters
def shares_of_short_words(usual: float) -> np.ndarray:
    """
    How probable it is that a word lasts 0, 1, 2, ... classes, against all longer times; as many as are less probable.

    Words are drawn out, and pauses follow them, but hardly ever is one spoken much faster than the others of its
    recording. A model that does not know allows that all the same, and presses words together in noise, or beside one
    that is not said. A word that does not last at all has no share.

    Args:
        usual: classes that the word lasts at its recording's pace, above 0.

    Returns: float64 `(classes,)`, for lengths from 0 on; not to be written to.
    """
    full = _SHORT * usual
    shares = np.maximum((np.arange(max(1, int(np.ceil(full)))) / full) ** _STEEP, _ANY)
    shares[0] = 0.0
    shares.flags.writeable = False
    return shares
