"""
Aligning a recording that is longer than what the model takes, window by window.

`align_long` is a generator that knows no model and no audio: it yields lists of `Window`s and is sent an `Answer` for
each. So windows of one list, and of several recordings, can share a batch, and the logic can be tried against an
aligner that is simulated.

A window is given more words than it can hold. The model is causal, so the surplus does not disturb the words before
it. Where the words stop fitting is seen from the scores and the pace (`window_fit`); words up to a pause before that
place are kept, and the next window begins in the pause. A window whose words do not fit is lost: it is tried shorter
and from another anchor; then the place where words and audio meet again is looked for, further on in the audio
(music, silence, speech that the text leaves out), in the text (passages that are not said) and in both. If nothing
fits, the window is taken as it is, with the low scores that it has, and the next one begins where it ends.

Stretches of words that do not fit, between words that do, are looked at once more in a window of their own.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from .window_fit import Levels, fitting_runs, pause_anchor, words_within

_GENEROUS = 1.3  # times the words that fluent speech would bring
_LEAST_WORDS = 12  # in a window
_ENOUGH = 5.0  # evidence, in words that fit like any other, that a window is not lost
_FEW = 2.0  # the same, where they are the very words that should come next, and fit
_CLEAR = 0.6  # as well as this, on average
_STEPS = 0.25  # of that is the most that stepping over words costs, and over audio
_PASSAGE = 8  # words that do not fit, behind which others are not trusted at once
_SURE, _CONFIRMED = 10.0, 3  # evidence that is asked of a window further on, and how many of a round may show it
_LEAD = 0.5  # seconds of a pause that go before the next window's first word, or half the pause
_HOP = 1 / 3  # of a window
_HOPS = (6, 12, 24, 48)  # shifts that each round of a search adds
_WORD_HOPS = 18  # of them also shift the words; passages without text may be longer than passages without speech
_NOTHING = 0.05  # seconds of audio that are none
_SEARCHES = 180, 2.0  # windows that searches may cost in vain, and so many more for each window that was taken


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
    """

    end: float
    final: bool
    decode: Callable[[int, bool], tuple[np.ndarray, np.ndarray]]


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


@dataclass
class _Look:
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


class _Walk:
    """One recording on its way: up to `time` (seconds) its audio, and up to `word` its words, are done."""

    def __init__(self, words: Sequence[str], seconds: float):
        self.units = np.array([len(word) + 1 for word in words])
        self.count, self.seconds = len(words), seconds
        self.time, self.word = 0.0, 0
        self.times = np.zeros((self.count, 2))
        self.scores = np.zeros(self.count)
        self.levels = Levels()
        self.asked = self.taken = self.vain = 0
        self.others: list[tuple[float, int]] = []  # anchors that the present window might have had instead

    def run(self, progress: Callable[[float, int], None]) -> Requests:
        look = yield from self._first_look()
        while look is not None:
            lost = self._worth(look) < self._needed(look)
            if lost:
                look, lost = yield from self._recovered(look)
            if lost and self.levels.lower():
                look = self._judged(look.window, look.answer)
                continue
            yield from self._take(look, lost)
            progress(self.time, self.word)
            look = None
            if self.word < self.count:
                (look,) = yield from self._looks([self._window(self.time, self.word)])
        self.times[self.word :] = self.time  # words for which there is no audio
        times = np.maximum.accumulate(self.times.reshape(-1)).reshape(-1, 2)
        return LongAlignment(times, self.scores, self.asked)

    # windows and their answers

    def _window(self, start: float, first: int, share: float = 1.0) -> Window:
        length = self.seconds * share
        last = words_within(self.units, first, _GENEROUS * self.levels.pace * length, _LEAST_WORDS)
        return Window(start, start + length, first, last)

    def _first_look(self):
        """The first window, and beside it the same audio with words of elsewhere, which show what scores are worth."""
        if not self.count:
            return None
        window = self._window(0.0, 0)
        # half as many, which need not crowd where the audio ends; of a short text, its own words backwards
        far = min(window.last // 2, self.count - window.last)
        foreign = Window(0.0, window.end, self.count - far, self.count)
        if far < _LEAST_WORDS:
            foreign = Window(0.0, window.end, 0, window.last, backwards=True)
        answer, other = yield [window, foreign]
        self.asked += 2
        if answer.end <= _NOTHING:
            return None
        self.levels.begin(answer.decode(window.last, False)[1], other.decode(foreign.last - foreign.first, False)[1])
        return self._judged(window, answer)

    def _looks(self, windows: list[Window]):
        answers = yield windows
        self.asked += len(windows)
        return [self._judged(window, answer) for window, answer in zip(windows, answers, strict=True)]

    def _judged(self, window: Window, answer: Answer) -> _Look | None:
        """`None` for a window without audio."""
        if answer.end - window.start <= _NOTHING:
            return None
        count = window.last - window.first
        for _ in range(3):
            times, scores = answer.decode(count, False)
            units = self.units[window.first : window.first + count]
            evidence = self.levels.evidence(times, scores, units, answer.end)
            look = _Look(window, answer, times, scores, evidence, fitting_runs(evidence))
            # surplus words, each of which must have some place, press upon the words before them
            fewer = look.past + max(6, look.past // 10)
            if look.past == 0 or fewer >= count:
                break
            count = fewer
        return look

    def _needed(self, look: _Look) -> float:
        """Evidence without which a window is lost; less for the very words that should come next."""
        first, past = look.runs[0] if look.runs else (0, 0)
        follows = look.window.first + first == self.word and look.window.start <= self.time
        near = follows and self.levels.heard and past > first and look.evidence[first:past].mean() > _CLEAR
        return min(_FEW if near else _ENOUGH, 0.4 * (look.window.last - look.window.first))

    def _worth(self, look: _Look | None) -> float:
        """Evidence of new words in a window, less a little for the words and the audio that it would step over."""
        if look is None or not look.runs:
            return -np.inf
        words, audio = self._steps(look)
        most = _STEPS * self._needed(look)
        return self._total(look) - min(most, words) - min(most, audio)

    def _nearness(self, look: _Look) -> float:
        """To choose by among several that fit: less for all that is stepped over, no more for more words than are
        enough."""
        return min(self._total(look), 1.5 * _SURE) - sum(self._steps(look))

    def _total(self, look: _Look) -> float:
        done = max(0, self.word - look.window.first)
        return float(sum(look.evidence[max(a, done) : b].sum() for a, b in look.runs))

    def _steps(self, look: _Look) -> tuple[float, float]:
        """What it counts for that words, and that audio, are stepped over. Both at once are one step."""
        first = look.runs[0][0]
        words = max(0, look.window.first + first - self.word)
        audio = max(0.0, float(look.times[first, 0]) - self.time) * self.levels.pace / 6
        return 0.1 * words, 0.1 * max(0.0, audio - words)

    # lost windows

    def _recovered(self, lost: _Look):
        """The look in which words and audio fit best, near the place where they should or far from it, and whether
        even that one is lost."""
        near = [self._window(self.time, self.word, 0.5), *(self._window(*anchor) for anchor in self.others)]
        for look in sorted((yield from self._heard(near)), key=self._worth, reverse=True):
            moved = (look.window.start, look.window.first) != (self.time, self.word)
            if self._worth(look) >= (self._sure(look) if moved else min(_ENOUGH, self._sure(look))):
                return look, False
        allowed, more = _SEARCHES
        hop, tried = self.seconds * _HOP, 0
        for size in _HOPS:
            if self.vain >= allowed + more * self.taken:
                break
            windows = []
            for k in range(tried + 1, tried + size + 1):
                windows.append(self._window(self.time + k * hop, self.word))
                word = words_within(self.units, self.word, k * hop * self.levels.pace, 1)
                if k <= _WORD_HOPS and word < self.count:
                    windows += [self._window(self.time, word), self._window(self.time + k * hop, word)]
            looks = yield from self._heard(windows)
            fitting = [look for look in looks if self._worth(look) >= self._needed(look)]
            for look in sorted(fitting, key=self._nearness, reverse=True)[:_CONFIRMED]:
                # by chance some window out of many fits a little; from its first word that fits, it must fit well
                first = look.runs[0][0]
                start = max(self.time, float(look.times[first, 0]) - _LEAD)
                for sure in (yield from self._heard([self._window(start, look.window.first + first)])):
                    if self._worth(sure) >= self._sure(sure):
                        return sure, False
            self.vain += len(looks)
            tried += size
            if not looks:
                break
        return lost, True

    def _sure(self, look: _Look) -> float:
        """Evidence by which a window elsewhere than it should be is believed."""
        return min(_SURE, 0.5 * (look.window.last - max(look.window.first, self.word)))

    def _heard(self, windows: list[Window]):
        """Looks at those of the windows that have audio."""
        return [look for look in (yield from self._looks(windows)) if look is not None]

    # words that are kept

    def _take(self, look: _Look, lost: bool):
        """Keeps words up to an anchor, and moves on to it."""
        window, answer = look.window, look.answer
        before, since = self.word, self.time
        past, moment = self._lost_anchor(look) if lost else self._anchor(look)
        first, kept = window.first, past - window.first
        # with all the words that fit, and no others: those behind the anchor hold those before it in their places
        times, scores = answer.decode(max(kept, 0 if lost else look.past), not lost)
        times, scores = np.clip(times[:kept], min(since, window.start), max(moment, since)), scores[:kept]
        units = self.units[first:past]
        runs = []
        if not lost:
            runs = fitting_runs(self.levels.evidence(times, scores, units, answer.end))
            for a, b in runs:
                self.levels.learn(scores[a:b], times[a:b], units[a:b])
        self.times[first:past], self.scores[first:past] = times, scores
        if first > before:  # words that are stepped over
            edges = np.linspace(since, times[0, 0] if kept else moment, first - before + 1)
            self.times[before:first] = np.stack([edges[:-1], edges[1:]], 1)
        self.word, self.time = past, max(moment, min(since, window.start))
        self.taken += 1
        if runs:
            yield from self._open_stretches(before, since, first, runs)

    def _anchor(self, look: _Look) -> tuple[int, float]:
        """Past the last word that is kept, and where (seconds) the next window begins."""
        window, answer, times = look.window, look.answer, look.times
        self.others = []
        if look.past == window.last - window.first and window.last == self.count:
            return self.count, answer.end
        edge = answer.end if answer.final else answer.end - max(0.5, 0.02 * self.seconds)
        anchors = []
        near = self._near_runs(look)
        for run in reversed(near):
            place = pause_anchor(times, look.evidence, run, edge, run[1] < window.last - window.first)
            if place is not None and window.first + place > self.word:
                anchors.append(self._moment(look, place))
        past = near[-1][1] if near else 0
        enough = look.evidence[near[-1][0] : past].sum() >= _ENOUGH if near else False
        if anchors and enough:
            self.others = anchors[1:2]
            if window.first + past - 1 > anchors[0][1]:
                self.others.append(self._moment(look, past - 1))
            return anchors[0][1], anchors[0][0]
        if window.first + past > self.word:  # a few words, behind which nothing fits
            return window.first + past, float(times[past - 1, 1])
        return self._lost_anchor(look)

    def _near_runs(self, look: _Look) -> list[tuple[int, int]]:
        """
        The runs up to the first passage of many words that do not fit and too few behind it that do: those may fit by
        chance, and a window that begins before the passage sees more of them.
        """
        near = look.runs[:1]
        for first, past in look.runs[1:]:
            passage = first - near[-1][1]
            if passage > _PASSAGE and look.evidence[first:past].sum() < max(_ENOUGH, passage / 2):
                break
            near.append((first, past))
        return near

    def _moment(self, look: _Look, place: int) -> tuple[float, int]:
        """The anchor before word `place` of a look: seconds, word."""
        pause = max(0.0, look.times[place, 0] - look.times[place - 1, 1])
        return float(look.times[place, 0] - min(_LEAD, pause / 2)), look.window.first + place

    def _lost_anchor(self, look: _Look) -> tuple[int, float]:
        """Where to go on from a window in which nothing fits: with the words that stand in its first half, as far as
        they could be spoken there; at the recording's end, with all."""
        window, answer = look.window, look.answer
        self.others = []
        if answer.final:
            return window.last, answer.end
        half = (window.start + answer.end) / 2
        spoken = words_within(self.units, window.first, self.levels.pace * (half - window.start), 1)
        past = min(window.first + int(np.searchsorted(look.times[:, 1], half)), spoken)
        return max(past, self.word), half

    # words that did not fit

    def _open_stretches(self, before: int, since: float, first: int, runs: list[tuple[int, int]]):
        """Looks once more at the words before and between those that fit, in the audio that is left for them."""
        windows, at = [], before
        for a, b in runs:
            if first + a > at:
                windows += self._stretch(at, first + a, since, float(self.times[first + a, 0]))
            at, since = max(at, first + b), float(self.times[first + b - 1, 1])
        if self.word == self.count > at:
            windows += self._stretch(at, self.count, since, self.time)
        if not windows:
            return
        answers = yield windows
        self.asked += len(windows)
        for window, answer in zip(windows, answers, strict=True):
            if answer.end - window.start <= _NOTHING:
                continue
            place = slice(window.first, window.last)
            times, scores = answer.decode(window.last - window.first, True)
            found = self._weight(times, scores, place, answer.end)
            if found > self._weight(self.times[place], self.scores[place], place, np.inf) + 0.5:
                self.times[place], self.scores[place] = np.clip(times, window.start, window.end), scores
                # words of the stretch that another window has placed give way
                self.times[before : window.first] = np.minimum(self.times[before : window.first], times[0, 0])
                self.times[window.last : self.word] = np.maximum(self.times[window.last : self.word], times[-1, 1])

    def _stretch(self, first: int, past: int, start: float, end: float) -> list[Window]:
        """Windows for words between two places that are sure: with all the audio, and with its beginning and end. Of
        words that are more than can be said there, the first and the last are tried by themselves, too."""
        pace = self.levels.pace
        need = min(self.seconds, 1.0 + 2 * float(self.units[first:past].sum()) / pace)
        if end - start < 0.1 or (past - first < 2 and end - start < need):
            return []
        spans = {(start, min(end, start + need)), (max(start, end - need), end)}
        if end - start <= self.seconds:
            spans.add((start, end))
        most = words_within(self.units, first, 2 * pace * self.seconds, _LEAST_WORDS)
        windows = [Window(*span, first, min(past, most)) for span in sorted(spans)]
        room = min(end - start, self.seconds)
        if self.units[first:past].sum() > 1.5 * pace * room:
            head = words_within(self.units, first, pace * room, 1)
            tail = past - (words_within(self.units[:past][::-1], 0, pace * room, 1))
            windows += [Window(start, start + room, first, min(head, past)), Window(end - room, end, tail, past)]
            windows.append(Window(end - room, end, past - (past - tail + 1) // 2, past))
        return windows

    def _weight(self, times: np.ndarray, scores: np.ndarray, place: slice, end: float) -> float:
        return float(self.levels.evidence(times, scores, self.units[place], end).sum())
