"""
Words whose place is in doubt are asked for again, and a word's time is read from all hearings that have it.

Where the text lacks a word, or has one that is not said, an aligner often goes on one word too early or too late, and
says so by its scores. Asked once more for the words around such a place, in audio that begins a little later or ends a
little earlier, it often finds them: then what is missing is not in the way. Each hearing counts by how sure it is of
the word, so that windows that were cut in the wrong place hardly do.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..alignment.decoding import DEFAULT_DECODING, decode_slots
from ..alignment.durations import SPOKEN, letters, shortest_lengths
from ..alignment.untranscribed import FRAME
from ..alignment.voice_activity import VoiceActivity
from .constants import (
    AROUND,
    BETWEEN,
    CUT,
    DOUBTFUL,
    FASTEST,
    LEAST_SCORE,
    LEFT_OVER,
    LONGEST,
    MORE_THAN_FLUENT,
    SHORTEST,
)
from .sound import runs
from .window_path import window_path


@dataclass(frozen=True)
class Window:
    """What the model is asked: for words `first` to `past - 1`, in the audio of `frames` `(frames,)`, numbers of the
    recording's frames (as long as a class) that rise."""

    frames: np.ndarray
    first: int
    past: int


@dataclass(frozen=True)
class Hearing:
    """A window with the model's answer: `probabilities` `(2 * words, frames)` and how sure it is of each word,
    `(words,)`."""

    window: Window
    probabilities: np.ndarray
    sure: np.ndarray


#: Asks for windows, and is sent the probabilities of each, `(2 * words, frames)`.
Asking = Generator[list[Window], list[np.ndarray], None]


class Allowance:
    """
    How much audio the model may be given.

    `heard` is what it was given, in seconds; `limit` what it may be, as often as it is known that there is audio.
    """

    def __init__(self, limit: float, heard: float = 0.0, known: float = 0.0):
        self.limit, self.heard, self.known = limit, heard, known

    def left(self, reserved: float = 0.0) -> float:
        """Seconds that are left for questions that are not needed, if `reserved` are still needed."""
        return self.limit * self.known - self.heard - reserved


@dataclass
class Stretch:
    """
    A part of a recording of which it is known that these words are said in it: between two anchors, or a whole clip.

    `frames` `(frames,)` are those of the recording that are heard, which rise; `words` those of the text from `first`
    on; `voice` what is heard in `frames`, one behind the other.
    """

    frames: np.ndarray
    first: int
    words: Sequence[str]
    voice: VoiceActivity
    segment_time: float
    hearings: list[Hearing] = field(default_factory=list)
    decoding: str = DEFAULT_DECODING
    clip: bool = False  # whether the first hearing was of all of it, and of nothing else

    def __post_init__(self):
        self.lengths = [letters(word) for word in self.words]
        self._lasting = shortest_lengths(self.lengths, len(self.words), self.segment_time)

    def hear(self, window: Window, probabilities: np.ndarray) -> None:
        """Takes in what the model said to a window within the stretch."""
        inside = np.searchsorted(self.frames, window.frames)
        words = slice(window.first - self.first, window.past - self.first)
        voice = self.voice.of(inside, self.segment_time)
        path = window_path(probabilities, voice, self._lasting[words], self.segment_time, True)
        self.hearings.append(Hearing(window, probabilities, sureness(path.scores)))

    def mixture(self) -> np.ndarray:
        """The mean of all hearings' probabilities, each weighed by how sure it is, `(2 * words, frames)`."""
        mixed = np.full((2 * len(self.words), len(self.frames)), 1e-12)
        for hearing in self.hearings:
            window = hearing.window
            first, past = max(self.first, window.first), min(self.first + len(self.words), window.past)
            if first >= past:
                continue
            places = np.searchsorted(self.frames, window.frames).clip(0, len(self.frames) - 1)
            shared = self.frames[places] == window.frames
            rows = slice(2 * (first - window.first), 2 * (past - window.first))
            weights = np.repeat(hearing.sure[first - window.first : past - window.first], 2)
            mixed[2 * (first - self.first) : 2 * (past - self.first), places[shared]] += (
                weights[:, None] * hearing.probabilities[rows, shared]
            )
        return mixed

    def decoded(self) -> tuple[np.ndarray, np.ndarray]:
        """Times `(words, 2)`, in seconds of `frames` one behind the other, and scores `(words,)`."""
        logits = torch.from_numpy(np.log(self.mixture()))
        seconds = len(self.frames) * self.segment_time / 1000
        return decode_slots(
            logits, len(self.words), self.segment_time, "the recording", self.decoding, seconds, self.lengths, False,
            self.voice,
        )  # fmt: skip

    def doubtful(self, times: np.ndarray, scores: np.ndarray, cut: bool) -> list[Window]:
        """
        Windows in which doubtful words are asked for again: each run of them with its neighbours; or, `cut`, the run
        and what follows it, beginning later by each of `CUT`, and what goes before and the run, ending earlier.
        """
        words, seconds = len(scores), len(self.frames) * self.segment_time / 1000
        edges = np.concatenate([[0.0], (times[:-1, 1] + times[1:, 0]) / 2, [seconds]])
        asked = []
        for first, past in _runs(np.flatnonzero(scores < DOUBTFUL)):
            before, behind = max(0, first - AROUND), min(words, past + AROUND)
            if not cut:
                if self.clip:
                    if (before, behind) != (0, words):
                        asked.append((edges[before], edges[behind], before, behind))
                    continue
                asked += self._around(edges[before], edges[behind], before, behind)
                continue
            for later in CUT:
                if edges[first] + later < edges[past] - LEFT_OVER:
                    asked.append((edges[first] + later, edges[behind], first, behind))
                    asked.append((edges[before], edges[past] - later, before, past))
        frame = self.segment_time / 1000
        return [
            Window(self.frames[int(begin / frame) : int(np.ceil(end / frame))], self.first + first, self.first + past)
            for begin, end, first, past in asked
            if SHORTEST <= end - begin <= LONGEST and past - first <= FASTEST * (end - begin)
        ]

    def _around(self, begin: float, end: float, first: int, past: int) -> list[tuple[float, float, int, int]]:
        """Words in audio that is all theirs, or in which there is more of one than of the other: then at both ends."""
        said = np.append(0.0, np.cumsum(self.lengths[first:past])) * SPOKEN / 1000
        room = end - begin
        if said[-1] > MORE_THAN_FLUENT * room + 1:
            head = int(np.searchsorted(said, MORE_THAN_FLUENT * room + 1))
            tail = int(np.searchsorted(said[-1] - said[::-1], MORE_THAN_FLUENT * room + 1))
            return [(begin, end, first, first + head), (begin, end, past - tail, past)]
        if room > MORE_THAN_FLUENT * said[-1] + 1:
            close = MORE_THAN_FLUENT * said[-1] + 0.5
            # a model gets over little that is missing before the first word: from where speech sets in
            onsets = runs(self.voice.silence > 0)[:, 1] * FRAME
            near = onsets[(onsets > end - close - 1) & (onsets < end - 0.5 * said[-1])].tolist()
            return [(begin, begin + close, first, past)] + [(at, end, first, past) for at in [end - close, *near]]
        return [(begin, end, first, past)]

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Times `(words, 2)` in seconds of `frames` one behind the other as seconds of the recording. A word that
        reaches across frames that were left out is cut to the side where more of it is."""
        frame = self.segment_time / 1000
        last = len(self.frames) - 1
        first = np.minimum((times[:, 0] / frame + 1e-6).astype(int), last)
        past = np.clip(np.ceil(times[:, 1] / frame - 1e-6).astype(int) - 1, first, last)
        starts = times[:, 0] + (self.frames[first] - first) * frame
        ends = times[:, 1] + (self.frames[past] - past) * frame
        for word in np.flatnonzero(self.frames[past] - self.frames[first] > past - first):
            part = self.frames[first[word] : past[word] + 1]
            gap = int(np.diff(part).argmax())
            if 2 * (gap + 1) >= len(part):
                ends[word] = (part[gap] + 1) * frame
            else:
                starts[word] = part[gap + 1] * frame
        return np.stack([starts, ends], 1)


def settle(
    stretch: Stretch, allowance: Allowance, again: bool = True
) -> Generator[list[Window], list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Times and scores as `Stretch.decoded` gives them, after what is in doubt was asked for `again` as far as the
    `allowance` goes."""
    times, scores = stretch.decoded()
    for cut in (False, True) if again else ():
        windows = []
        for window in stretch.doubtful(times, scores, cut):
            seconds = len(window.frames) * stretch.segment_time / 1000
            if seconds > allowance.left():
                break
            allowance.heard += seconds
            windows.append(window)
        if windows:
            for window, answer in zip(windows, (yield windows), strict=True):
                stretch.hear(window, answer)
            times, scores = stretch.decoded()
    return times, scores


def sureness(scores: np.ndarray) -> np.ndarray:
    """What a hearing's word counts for: the square of the geometric mean of its score and its neighbours'. The place
    of a word beside others that were not found is not believed."""
    if not len(scores):
        return scores
    logs = np.log(np.pad(scores, 1, mode="edge") + LEAST_SCORE)
    return np.exp(2 * (logs[:-2] + logs[1:-1] + logs[2:]) / 3)


def _runs(places: np.ndarray) -> list[tuple[int, int]]:
    """Words at `places` in runs (first, past the last) with no more than `BETWEEN` others in a row inside."""
    if not len(places):
        return []
    parted = np.split(places, np.flatnonzero(np.diff(places) > BETWEEN + 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in parted]
