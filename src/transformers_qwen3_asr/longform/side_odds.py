"""
Words beside a pause that may be said on its other side.

Long windows now and then have the first word behind a pause before it, or the last one before it behind it, with good
scores. What an aligner says to a few of the words in a few seconds of audio says more about it, and all the more so if
it is asked several times, with more and with fewer of the words around:

- *across*: the words and the audio of both sides. Where does the aligner put the word?
- *beside*: the words and the audio of one side, with the word and without it. On the side where it is said it scores
  well, and so does its neighbour with it; without it its neighbour takes its place and scores badly.

Each is worth so much log-odds, and the sum decides. What they are worth was fitted (logistic regression, rounded, the
same for both sides) on some 2,500 questions of recordings made of labelled clips with pauses, most of them in noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Seconds between words from which on they have a pause between them.
PAUSE = 1.0


@dataclass(frozen=True)
class Stage:
    """How many words on either side the aligner is asked with `across` pauses and `beside` them, and how likely it has
    to be after that, with all that was asked before, that a word is said on the other side, to go on."""

    across: tuple[tuple[int, int], ...]
    beside: tuple[int, ...]
    least: float


#: What is asked, and of fewer and fewer words; those left at the end are moved.
STAGES = (
    Stage(((5, 5), (3, 3)), (), -4.0),
    Stage((), (5,), -2.0),
    Stage(((8, 8), (3, 8), (8, 3), (5, 3), (3, 5), (2, 2), (12, 12)), (3, 8, 4, 6, 12), 1.5),
)
#: Words on either side of a pause with which it is asked about at most.
AROUND = 12
#: Seconds of the silence in it that are heard across a pause, at each end, and beside it; at most the half of it.
SILENT_ACROSS, SILENT_BESIDE = 0.6, 1.0
#: Seconds of a pause that are searched for its silence, at each of its ends; at most the half of it. There a word may
#: be that belongs there.
INTO = 3.0
#: Seconds that are heard of what is beyond the last of the words, at most.
BEYOND = 0.5
#: What the log-odds of the other side count for a word's start and for its end, of a question across the pause;
_START, _END = 0.2, 0.4
#: and those of scores beside it: of the word, of its neighbour with the word and without it.
_SCORES = np.array([0.7, 0.42, -0.55])
#: Scores and probabilities closer to 0 or 1 count as these.
_LEAST_SCORE, _LEAST = 1e-2, 1e-4


@dataclass(frozen=True)
class Pause:
    """
    A pause and what is around it.

    Attributes:
        words: around it, as many as are asked for.
        before: from when to when (seconds) what is before the pause is heard.
        behind: the same of what is behind it.
        whole: whether there is nothing between the two.
    """

    words: range
    before: tuple[float, float]
    behind: tuple[float, float]
    whole: bool


def pauses(times: np.ndarray, seconds: float, longest: float) -> dict[int, Pause]:
    """
    The pauses between words, by the first word behind each.

    Args:
        times: `(words, 2)` seconds.
        seconds: the recording's length.
        longest: seconds that are heard before a pause and behind it at most; where that is too little for a word, the
            pause is left out.
    """
    found = {}
    for word in (np.flatnonzero(times[1:, 0] - times[:-1, 1] > PAUSE) + 1).tolist():
        end, begin = float(times[word - 1, 1]), float(times[word, 0])
        into = min(INTO, (begin - end) / 2)
        first, stop = max(0, word - AROUND), min(len(times), word + AROUND)
        while first < word and end + into - since(times, first) > longest:
            first += 1
        while stop > word and until(times, stop, seconds) - begin + into > longest:
            stop -= 1
        if first < word < stop:
            before, behind = (since(times, first), end + into), (begin - into, until(times, stop, seconds))
            found[word] = Pause(range(first, stop), before, behind, into < INTO)
    return found


def since(times: np.ndarray, first: int) -> float:
    """From when on (seconds) audio has the words from `first` on, and none before."""
    edge = (times[first - 1, 1] + times[first, 0]) / 2 if first else 0.0
    return float(max(times[first, 0] - BEYOND, edge))


def until(times: np.ndarray, last: int, seconds: float) -> float:
    """Until when (seconds) audio has the words up to `last - 1`, and none behind."""
    edge = (times[last - 1, 1] + times[last, 0]) / 2 if last < len(times) else seconds
    return float(min(times[last - 1, 1] + BEYOND, edge))


def across_odds(before: np.ndarray, behind: np.ndarray) -> float:
    """Log-odds, as they count, that a word is said behind a pause, of what its start and its end have of their
    probability before it and behind it, each `(2,)`."""
    odds = np.log(behind + _LEAST) - np.log(before + _LEAST)
    return float(_START * odds[0] + _END * odds[1])


def beside_odds(
    before: tuple[Sequence[float], Sequence[float]], behind: tuple[Sequence[float], Sequence[float]]
) -> float:
    """
    Log-odds, as they count, that a word is said behind a pause.

    Args:
        before: the words' scores before the pause, with the word in question as their last, and without it.
        behind: the same behind it, with the word as their first.
    """
    there = _log_odds(*behind[0][:2], count=2) + _log_odds(*behind[1][:1], count=1)
    here = _log_odds(*before[0][:-3:-1], count=2) + _log_odds(*before[1][:-2:-1], count=1)
    return float(_SCORES @ (np.array(there) - np.array(here)))


def _log_odds(*scores: float, count: int) -> list[float]:
    """Of scores, and of those that are missing up to `count`, of which nothing is known."""
    known = np.clip(scores, _LEAST_SCORE, 1 - _LEAST_SCORE)
    return [*np.log(known / (1 - known)), *[0.0] * (count - len(scores))]
