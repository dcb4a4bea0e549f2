"""
Aligning a recording that is longer than what the model takes, window by window.

`align_long` is a generator that knows no model and no audio: it yields lists of `Window`s and is sent an `Answer` for
each. So windows of one list, and of several recordings, can share a batch, and the logic can be tried against an
aligner that is simulated.

A window is given more words than it can hold. The model is causal, so the surplus does not disturb the words before
it. Where the words stop fitting is seen from the scores and the pace (`window_fit`); the next window begins at a pause
before that place. Of a window whose words do not fit nothing is kept; the place where words and audio meet again is
looked for (`place_search`), further on in the audio (music, silence, speech that the text leaves out), in the text
(passages that are not said) and in both. Words then get their times from all that was found for them (`word_times`):
the chain of words with the most evidence (`chain`) takes each from the window where it fits best. What it leaves open
is looked for closely, as long as some of it is found, and once more what it may have on the wrong side of a silence
(`pauses`). If words and audio meet nowhere, the rest of the words is laid out over the rest of the recording, with the
low scores that it has there.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from ..text.words import prompt_text
from .place_search import PlaceSearch
from .window_fit import pause_anchor
from .windows import Answer, Listener, Look, Window
from .word_times import WordTimes

_PASSAGE = 8  # words that do not fit, behind which others are not trusted at once
_LEAD = 0.5  # seconds of a pause that go before the next window's first word, or half the pause

__all__ = ["Answer", "LongAlignment", "Requests", "Window", "align_long"]


@dataclass(frozen=True)
class LongAlignment:
    """Times `(words, 2)` in seconds, which never fall, scores `(words,)`, and the windows that it took."""

    times: np.ndarray
    scores: np.ndarray
    windows: int


Requests = Generator[list[Window], list[Answer], LongAlignment]


def align_long(
    words: Sequence[str], seconds: float, progress: Callable[[float, int], None] = lambda seconds, words: None
) -> Requests:
    """
    Yields the windows to be aligned, none longer than `seconds`; returns the alignment of all `words`.

    `progress` is called with the seconds and the words that are done. Words for which no audio is left stand at
    the recording's end with score 0. Raises `ValueError` unless `seconds` is at least 1.
    """
    if not seconds >= 1:
        raise ValueError(f"windows of {seconds} s are too short to align in; at least 1 s is needed")
    return _Walk(words, seconds).run(progress)


class _Walk:
    """One recording on its way: up to `time` (seconds) its audio, and up to `word` its words, are done with."""

    def __init__(self, words: Sequence[str], seconds: float):
        self.count = len(words)
        self.listener = Listener(np.array([len(prompt_text(word)) + 1 for word in words]), seconds)
        self.words = WordTimes(self.listener)
        self.time, self.word = 0.0, 0
        self.others: list[tuple[float, int]] = []  # anchors that the present window might have had instead

    def run(self, progress: Callable[[float, int], None]) -> Requests:
        listener = self.listener
        looks = yield from listener.first_look()
        while looks:
            (look,) = looks
            search = PlaceSearch(listener, self.time, self.word)
            if not search.fits(look):
                self.words.keep(look)
                look = yield from search.found(look, self.others)
                if look is None:  # nothing that is left belongs together
                    self.time = max(self.time, listener.end if np.isfinite(listener.end) else 0.0)
                    break
                for other in (yield from search.around(look, self.words.settled)):
                    self.words.keep(other)
            self.words.keep(look, learn=True)
            before = self.word
            self.word, self.time = self._anchor(look)
            yield from self.words.settle(before, self.time)
            progress(self.time, self.word)
            looks = []
            if self.word < self.count:
                looks = yield from listener.looks([listener.window(self.time, self.word)])
        yield from self.words.settle(self.count, self.time)
        progress(self.time, self.count)
        times = np.maximum.accumulate(self.words.times.reshape(-1)).reshape(-1, 2)
        return LongAlignment(times, self.words.scores, listener.asked)

    def _anchor(self, look: Look) -> tuple[int, float]:
        """Past the last word that is kept, and where (seconds) the next window begins."""
        window, answer, times = look.window, look.answer, look.times
        self.others = []
        if look.complete and window.last == self.count:
            return self.count, answer.end
        edge = answer.end if answer.final else answer.end - max(0.5, 0.02 * self.listener.seconds)
        near = self._near_runs(look)
        past = near[-1][1]
        end = window.first + past, float(times[past - 1, 1])
        anchors = []
        for run in reversed(near):
            place = pause_anchor(times, look.evidence, run, edge, run[1] < window.last - window.first)
            if place is not None and window.first + place > self.word:
                anchors.append(self._moment(look, place))
        if not anchors:
            return end
        middle = (look.window.start + anchors[0][1]) / 2
        back = pause_anchor(times, look.evidence, near[0], middle, True)
        back = [self._moment(look, back)] if back is not None else []
        self.others = [(time, word) for word, time in (*anchors[1:2], end, *back) if word != anchors[0][0]]
        return anchors[0]

    def _near_runs(self, look: Look) -> list[tuple[int, int]]:
        """
        The runs up to the first passage of many words that do not fit and too few behind it that do: those may fit by
        chance, and a window that begins before the passage sees more of them.
        """
        near = look.runs[:1]
        for first, past in look.runs[1:]:
            passage = first - near[-1][1]
            if passage > _PASSAGE and look.evidence[first:past].sum() < max(look.needed(), passage / 2):
                break
            near.append((first, past))
        return near

    def _moment(self, look: Look, place: int) -> tuple[int, float]:
        """The anchor before word `place` of a look: word, seconds."""
        pause = max(0.0, look.times[place, 0] - look.times[place - 1, 1])
        return look.window.first + place, float(look.times[place, 0] - min(_LEAD, pause / 2))
