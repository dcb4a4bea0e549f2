"""
Doubtful words are heard again, in short windows.

Where the text lacks a word, or has one that is not said, an aligner often goes on one word too early or too late,
and says so by its scores. Asked once more for the words around such a place, in audio that begins a little later or
ends a little earlier, it often finds them: then what is missing is not in the way. A word's time is read from all
windows that heard it, each by how sure it is of the word, so that windows that were cut in the wrong place hardly
count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..alignment.joint_decoding import classes_within
from .windows import Window

#: Score below which a word is heard again.
DOUBTFUL = 0.4
#: Surer words that doubtful ones may have between them to be heard together,
BETWEEN = 2
#: and so many before and behind them are heard with them.
AROUND = 4
#: Words before and behind them that are looked at, but not heard, with those of a long recording.
ASIDE = 12
#: Seconds by which windows begin later, or end earlier, than the doubtful words do: about a short word, a long one
#: and two.
CUT = (0.3, 0.7, 1.2)
#: Seconds of audio that a window has at least and at most.
SHORTEST, LONGEST = 0.3, 30.0
#: Seconds of the doubtful words' own audio that is left of them in a window.
_LEFT = 0.2
#: Milliseconds by which times that were found before are uncertain.
WIDTH = 15.0
#: Words a second beyond which nothing can be heard.
FASTEST = 15.0
#: Seconds of a pause over which no piece of a long recording reaches.
PAUSE = 2.0
#: A score of 0 is taken for this, so that a window may find what no other did.
_LEAST = 1e-3


@dataclass(frozen=True)
class Hearing:
    """
    What a window gave.

    Attributes:
        window: its audio, in seconds of the recording, and its words.
        logits: `(2 * words, classes)`, of its words on its own classes.
        scores: `(words,)`, as `decoding.decode_slots` gives them for it.
    """

    window: Window
    logits: torch.Tensor
    scores: np.ndarray


def doubtful_windows(
    times: np.ndarray, scores: np.ndarray, seconds: float, segment_time: float, whole: bool = False
) -> list[Window]:
    """
    The windows in which doubtful words of a recording are heard again, none if there are none.

    For each run of words below `DOUBTFUL`: the run with its neighbours; the run and what follows it, beginning later
    by each of `CUT`; what goes before and the run, ending earlier by as much. All windows together have six
    times the recording's audio if everything is in doubt, and ten times or more if every fourth long word is.

    Args:
        times: `(words, 2)` seconds.
        scores: `(words,)`.
        seconds: the recording's length.
        segment_time: milliseconds a class; windows begin where classes do.
        whole: whether a window may be all of the recording, which the model has mostly heard already.

    Returns: in the order of the runs.
    """
    words, edges, found = len(scores), _edges(times, seconds), []
    for first, past in _runs(np.flatnonzero(scores < DOUBTFUL)):
        before, behind = max(0, first - AROUND), min(words, past + AROUND)
        begin, end = edges[first], edges[past]
        asked = []
        if whole or (before, behind) != (0, words):
            asked.append((edges[before], edges[behind], before, behind))
        for cut in CUT:
            if begin + cut < end - _LEFT:
                asked.append((begin + cut, edges[behind], first, behind))
                asked.append((edges[before], end - cut, before, past))
        windows = [Window(_on_grid(start, segment_time), stop, *span) for start, stop, *span in asked]
        found += [window for window in windows if _can_be_heard(window, LONGEST)]
    return found


def doubtful_pieces(times: np.ndarray, scores: np.ndarray, seconds: float, longest: float) -> list[Window]:
    """
    The pieces of a long recording in which words are doubtful, with their neighbours. None reaches over a pause of
    more than `PAUSE` seconds: on which side of it a word is has been found out by other means, and in it speech may be
    that the text lacks. Pieces that share words are one, as far as that is no longer than `longest` seconds; otherwise
    the later one begins where the earlier ends. What is longer is left out.

    `longest` is in seconds; other arguments and what is returned are as for `doubtful_windows`.
    """
    edges = _edges(times, seconds)
    starts = np.maximum(edges[:-1], times[:, 0] - PAUSE / 4)
    ends = np.minimum(edges[1:], times[:, 1] + PAUSE / 4)
    behind_pauses = np.flatnonzero(times[1:, 0] - times[:-1, 1] > PAUSE) + 1
    spans: list[list[int]] = []
    for begin, stop in zip([0, *behind_pauses.tolist()], [*behind_pauses.tolist(), len(scores)]):
        for first, past in _runs(begin + np.flatnonzero(scores[begin:stop] < DOUBTFUL)):
            before, behind = max(begin, first - ASIDE), min(stop, past + ASIDE)
            if spans and before < spans[-1][1]:
                if ends[behind - 1] - starts[spans[-1][0]] <= longest:
                    spans[-1][1] = behind
                    continue
                before = spans[-1][1] = min(spans[-1][1], first)
            spans.append([before, behind])
    pieces = [Window(float(starts[first]), float(ends[past - 1]), first, past) for first, past in spans]
    return [piece for piece in pieces if _can_be_heard(piece, longest)]


def peaks(times: np.ndarray, scores: np.ndarray, seconds: float, segment_time: float) -> torch.Tensor:
    """
    What is known of words that were found before, where the model's own scores are not kept: each time with its word's
    score, and everything else alike.

    Args:
        times: `(words, 2)` seconds from the beginning of what is looked at.
        scores: `(words,)`.
        seconds: how long that is.
        segment_time: milliseconds a class.

    Returns: float32 `(2 * words, classes)`, log-probabilities.
    """
    classes = np.arange(classes_within(1000 * seconds, segment_time, len(scores))) * segment_time
    near = np.exp(-np.abs(classes - 1000 * times.reshape(-1, 1)) / max(WIDTH, segment_time / 2))
    shares = np.repeat(scores, 2)[:, None].clip(0.0, 0.99)
    found = shares * near / near.sum(1, keepdims=True) + (1 - shares) / len(classes)
    return torch.from_numpy(np.log(found)).float()


def mixture(
    logits: torch.Tensor, scores: np.ndarray, hearings: Sequence[Hearing], segment_time: float
) -> torch.Tensor:
    """
    A recording's scores at its slots with what its windows say of the same slots: the mean of all probabilities,
    weighed by how sure each window is of the word and its neighbours.

    Args:
        logits: `(2 * words, classes)`, of the recording as a whole.
        scores: `(words,)`, as decoded from them.
        hearings: of its windows.
        segment_time: milliseconds a class.

    Returns: float32 `(2 * words, classes)`, log-probabilities but for a summand of each slot.
    """
    mixed = logits.float().clone()
    heard = np.zeros(len(scores), dtype=bool)
    for hearing in hearings:
        heard[hearing.window.first : hearing.window.last] = True
    slots = torch.from_numpy(np.repeat(heard, 2)).to(mixed.device)
    mixed[slots] = mixed[slots].log_softmax(-1) + _by_slot(np.log(_sureness(scores)), mixed)[slots]
    for hearing in hearings:
        window = hearing.window
        offset = round(1000 * window.start / segment_time)
        words = window.last - window.first
        inside = classes_within(1000 * (window.end - window.start), segment_time, words)
        count = min(inside, hearing.logits.shape[-1], mixed.shape[-1] - offset)
        if count <= 0:  # of a window behind all classes
            continue
        place = mixed[2 * window.first : 2 * window.last, offset : offset + count]
        said = hearing.logits[:, :count].to(place).log_softmax(-1)
        place.copy_(torch.logaddexp(place, said + _by_slot(np.log(_sureness(hearing.scores)), place)))
    return mixed


def _runs(places: np.ndarray) -> list[tuple[int, int]]:
    """Words at `places` in runs (first, past the last) with no more than `BETWEEN` others in a row inside."""
    if not len(places):
        return []
    parted = np.split(places, np.flatnonzero(np.diff(places) > BETWEEN + 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in parted]


def _can_be_heard(window: Window, longest: float) -> bool:
    seconds = window.end - window.start
    return SHORTEST <= seconds <= longest and window.last - window.first <= FASTEST * seconds


def _edges(times: np.ndarray, seconds: float) -> np.ndarray:
    """`(words + 1,)`: the recording's beginning, the middle of each pause between words, and its end."""
    if not len(times):
        return np.zeros(1)
    return np.concatenate([[0.0], (times[:-1, 1] + times[1:, 0]) / 2, [seconds]])


def _on_grid(seconds: float, segment_time: float) -> float:
    return float(np.floor(1000 * seconds / segment_time) * segment_time / 1000)


def _sureness(scores: np.ndarray) -> np.ndarray:
    """What a hearing's word counts for: the square of the geometric mean of its score and its neighbours'. The place
    of a word beside others that were not found is not believed."""
    logs = np.log(np.pad(scores, 1, mode="edge") + _LEAST)
    return np.exp(2 * (logs[:-2] + logs[1:-1] + logs[2:]) / 3)


def _by_slot(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.repeat(values, 2)).to(like)[:, None]
