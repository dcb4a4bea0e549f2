"""Windows of a long recording: what is asked, what is answered, and what of the words fits."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .window_fit import Levels, fitting_runs, words_within

_GENEROUS = 1.3  # times the words that fluent speech would bring
_LEAST_WORDS = 12  # in a window
_TOGETHER = 8  # windows that are wanted at once
_FOREIGN = 0.5  # of the first words' scores is more than words of elsewhere have
_NOTHING = 0.05  # seconds of audio that are none
_ENOUGH = 5.0  # evidence, in words that fit like any other, that a window is not lost
_SURE = 8.0  # evidence that is asked of a window elsewhere than it should be


@dataclass(frozen=True)
class Window:
    """Audio from `start` to `end` (seconds; the recording may end earlier) and words `first` to `last - 1`, in reverse
    order where they are asked for `backwards`."""

    start: float
    end: float
    first: int
    last: int
    backwards: bool = False


@dataclass(frozen=True)
class Answer:
    """
    What became of a window.

    `end`: where its audio ends, in seconds of the recording; `final`: whether that is the recording's end.
    `decode(count, fit)`: times `(count, 2)` in seconds of the recording, and scores `(count,)`, of the window's first
    `count` words without the others; `fit` says that they are taken to be said there, so that each may be given the
    time that it takes. Is not called for a window without audio.
    `silences`: where nothing is to be heard, as far as that is known: `(silences, 2)` seconds of the recording.
    """

    end: float
    final: bool
    decode: Callable[[int, bool], tuple[np.ndarray, np.ndarray]]
    silences: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


#: A generator's part in the talk: lists of windows out, a list of as many answers in.
Asking = Generator[list[Window], list[Answer], list["Look"]]


@dataclass
class Look:
    """A window's answer, judged. Runs and evidence count words from the window's first."""

    window: Window
    answer: Answer
    times: np.ndarray
    scores: np.ndarray
    evidence: np.ndarray
    runs: list[tuple[int, int]]

    @property
    def past(self) -> int:
        """Past the last word that fits."""
        return self.runs[-1][1] if self.runs else 0

    @property
    def complete(self) -> bool:
        """Whether all words up to the window's last fit."""
        return self.past == self.window.last - self.window.first

    def total(self, word: int) -> float:
        """Evidence of the words that fit, from `word` on."""
        done = max(0, word - self.window.first)
        return float(sum(self.evidence[max(a, done) : b].sum() for a, b in self.runs))

    def needed(self) -> float:
        """Evidence without which the window is lost."""
        return min(_ENOUGH, 0.4 * (self.window.last - self.window.first))

    def sure(self, word: int) -> float:
        """Evidence, from `word` on, by which the window is believed where it was not expected."""
        return min(_SURE, 0.5 * (self.window.last - max(self.window.first, word)))


class Listener:
    """
    Asks for windows of one recording, none longer than `seconds`, and judges the answers.

    `units` `(words,)` are the words' letters and one; `levels` is what is expected of scores and pace; `asked` counts
    windows; the recording ends at `end` (seconds), which is infinite until it is known.
    """

    def __init__(self, units: np.ndarray, seconds: float):
        self.units, self.seconds = units, seconds
        self.levels = Levels()
        self.asked, self.end = 0, np.inf

    def window(self, start: float, first: int, share: float = 1.0) -> Window:
        """Words from `first` on, more than can be said, and audio from `start` on, this share of a whole window."""
        length = self.seconds * share
        last = words_within(self.units, first, _GENEROUS * self.levels.pace * length, _LEAST_WORDS)
        return Window(start, start + length, first, last)

    def first_look(self) -> Asking:
        """The first window, if there is one, and beside it the same audio with words of elsewhere, which show what
        scores are worth."""
        if not len(self.units):
            return []
        window = self.window(0.0, 0)
        # half as many, which need not crowd where the audio ends; of a short text, its own words backwards
        count = len(self.units)
        far = min(window.last // 2, count - window.last)
        foreign = Window(0.0, window.end, count - far, count)
        if far < _LEAST_WORDS:
            foreign = Window(0.0, window.end, 0, window.last, backwards=True)
        answer, other = yield from self.answers([window, foreign])
        if answer.end <= _NOTHING:
            return []
        scores = answer.decode(window.last, False)[1]
        foreign_scores = other.decode(foreign.last - foreign.first, False)[1]
        if not foreign.backwards and np.median(foreign_scores) > _FOREIGN * np.median(scores[: len(foreign_scores)]):
            # as refrains, prayers and drills, the text may say the same elsewhere
            (other,) = yield from self.answers([Window(0.0, window.end, 0, window.last, backwards=True)])
            foreign_scores = other.decode(window.last, False)[1]
        self.levels.begin(scores, foreign_scores)
        return [self.judged(window, answer)]

    def looks(self, windows: list[Window]) -> Asking:
        """Looks at those of the windows that have audio and words."""
        return (yield from self.each(windows, self.judged))

    def each(
        self, windows: list[Window], take: Callable[[Window, Answer], Any]
    ) -> Generator[list[Window], list[Answer], list[Any]]:
        """What `take` makes of those of the windows that have audio and words, and of their answers, which may be
        megabytes each."""
        found = []
        windows = [window for window in windows if window.first < window.last]
        for k in range(0, len(windows), _TOGETHER):
            some = [window for window in windows[k : k + _TOGETHER] if window.start < self.end]
            answers = (yield from self.answers(some)) if some else []
            for window, answer in zip(some, answers, strict=True):
                if answer.end - window.start > _NOTHING:
                    found.append(take(window, answer))
        return found

    def answers(self, windows: list[Window]) -> Generator[list[Window], list[Answer], list[Answer]]:
        answers = yield windows
        self.asked += len(windows)
        self.end = min([self.end, *(answer.end for answer in answers if answer.final)])
        return answers

    def judged(self, window: Window, answer: Answer) -> Look:
        count = window.last - window.first
        for _ in range(3):
            times, scores = answer.decode(count, False)
            units = self.units[window.first : window.first + count]
            evidence = self.levels.evidence(times, scores, units, answer.end)
            look = Look(window, answer, times, scores, evidence, fitting_runs(evidence))
            # surplus words, each of which must have some place, press upon the words before them
            fewer = look.past + max(6, look.past // 10)
            if look.past == 0 or fewer >= count:
                break
            count = fewer
        return look

    def said(self, first: int, past: int) -> float:
        """Seconds that words take at the speaker's pace."""
        return float(self.units[first:past].sum()) / self.levels.pace

    def within(self, first: int, seconds: float) -> int:
        """Past the last word that is said in `seconds`, from `first` on; at least one."""
        return words_within(self.units, first, seconds * self.levels.pace, 1)

    def within_before(self, past: int, seconds: float) -> int:
        """How many words before `past` are said in `seconds`; at least one."""
        return words_within(self.units[:past][::-1], 0, seconds * self.levels.pace, 1)
