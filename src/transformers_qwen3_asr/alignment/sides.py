"""
Words beside a pause that may be said on its other side.

Long windows now and then have the first word behind a pause before it, or the last one before it behind it, with good
scores. Asked for the word with a few others of one side, in audio that ends or begins in the pause, an aligner knows
better: on the side where the word is not said it finds no place for it.
"""

from dataclasses import dataclass

import numpy as np

from .windows import Window

#: Seconds between words from which on they have a pause between them.
PAUSE = 1.0
#: Words that are heard with the one in question,
WITH = 5
#: and at most so many seconds of the pause,
INTO = 1.0
#: and of what is beyond the last of these words.
BEYOND = 0.5
#: A word is moved where its score on the other side is at least the first, on its own less than the second, and its
#: neighbour's there less than the third: a word that is said elsewhere spoils that, too, one that dies away does not.
FOUND, MISSED, SPOILT = 0.9, 0.4, 0.9
#: Seconds that such a window has at most.
_LONGEST = 10.0


@dataclass(frozen=True)
class Side:
    """
    A question about one word beside a pause.

    Attributes:
        word: its number.
        pause: the number of the first word behind the pause.
        later: whether the other side is behind the pause.
        other: a window on the other side of the pause, with the words there.
        own: one on the side where it was put.
    """

    word: int
    pause: int
    later: bool
    other: Window
    own: Window


def sides(times: np.ndarray, seconds: float, longest: float = _LONGEST) -> list[Side]:
    """
    The questions about all words beside pauses, two a pause.

    Args:
        times: `(words, 2)` seconds.
        seconds: the recording's length.
        longest: seconds that a window may have.
    """
    found = []
    for behind in (np.flatnonzero(times[1:, 0] - times[:-1, 1] > PAUSE) + 1).tolist():
        windows = {
            (word, later): _behind(times, seconds, behind, word) if later else _before(times, behind, word)
            for word in (behind - 1, behind)
            for later in (False, True)
        }
        for word, later in ((behind - 1, True), (behind, False)):
            side = Side(word, behind, later, windows[word, later], windows[word, not later])
            if all(0 < window.end - window.start <= min(longest, _LONGEST) for window in (side.other, side.own)):
                found.append(side)
    return found


def is_missed(side: Side, scores: np.ndarray) -> bool:
    """Whether the words' `scores` in the window on a word's own side say that it is not there."""
    place = side.word - side.own.first
    neighbour = place - 1 if side.later else place + 1
    alone = not 0 <= neighbour < len(scores)
    return bool(scores[place] < MISSED and (alone or scores[neighbour] < SPOILT))


def _before(times: np.ndarray, behind: int, word: int) -> Window:
    """The words before the pause that `behind` follows, and up to `word`."""
    end, begin = times[behind - 1, 1], times[behind, 0]
    first = max(0, behind - WITH)
    edge = (times[first - 1, 1] + times[first, 0]) / 2 if first else 0.0
    return Window(
        float(max(times[first, 0] - BEYOND, edge)), float(min(end + INTO, (end + begin) / 2)), first, word + 1
    )


def _behind(times: np.ndarray, seconds: float, behind: int, word: int) -> Window:
    """`word` and on, and the words behind the pause that `behind` follows."""
    end, begin = times[behind - 1, 1], times[behind, 0]
    last = min(len(times), behind + WITH)
    edge = (times[last - 1, 1] + times[last, 0]) / 2 if last < len(times) else seconds
    return Window(
        float(max(begin - INTO, (end + begin) / 2)), float(min(times[last - 1, 1] + BEYOND, edge)), word, last
    )
