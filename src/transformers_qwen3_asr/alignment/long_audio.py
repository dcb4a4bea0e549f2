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

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .chain import Placed, best_chain
from .window_fit import Levels, fitting_runs, pause_anchor, words_within

_GENEROUS = 1.3  # times the words that fluent speech would bring
_LEAST_WORDS = 12  # in a window
_ENOUGH = 5.0  # evidence, in words that fit like any other, that a window is not lost
_SURE, _CONFIRMED = 10.0, 3  # evidence that is asked of a window further on, and how many of a round may show it
_STEPS = 0.25  # of that is the most that stepping over words costs, and over audio
_PASSAGE = 8  # words that do not fit, behind which others are not trusted at once
_LEAD = 0.5  # seconds of a pause that go before the next window's first word, or half the pause
_HOP = 1 / 6  # of a window; aligners get over little that the text, or the audio, lacks at a window's beginning
_NEAR, _SQUARE, _FAR = 8, 6, 48  # hops: ahead in the audio at first, in audio and text, before less is expected
_TOGETHER = 8  # windows that are wanted at once
_NOTHING = 0.05  # seconds of audio that are none
_CLEAR = 0.7  # evidence of words, on average, that surely fit
_DOUBTFUL = -0.3  # evidence below which a word beside a pause is looked at again
_TAIL = 2  # words before a place that was found anew that are looked at first, then twice as many and so on
_PIECES = 8  # windows that a hole is looked at in


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
    """One recording on its way: up to `time` (seconds) its audio, and up to `word` its words, are done with, up to
    `settled` words have their times; the recording ends at `end`, as far as is known."""

    def __init__(self, words: Sequence[str], seconds: float):
        self.units = np.array([len(word) + 1 for word in words])
        self.count, self.seconds = len(words), seconds
        self.time, self.word, self.settled, self.end = 0.0, 0, 0, np.inf
        self.times = np.zeros((self.count, 2))
        self.scores = np.zeros(self.count)
        self.levels = Levels()
        self.asked = 0
        self.others: list[tuple[float, int]] = []  # anchors that the present window might have had instead
        self.places: list[Placed] = []  # of words that are not settled

    def run(self, progress: Callable[[float, int], None]) -> Requests:
        look = yield from self._first_look()
        while look is not None:
            found = self._worth(look) < self._needed(look)
            if found:
                look = yield from self._recovered(look)
            if look is None:  # nothing that is left belongs together
                self.time = self.end if np.isfinite(self.end) else self.time + self.seconds
                break
            before = self.word
            if found:
                yield from self._around(look)
            self._take(look)
            yield from self._settle(before)
            progress(self.time, self.word)
            look = None
            if self.word < self.count:
                (look,) = yield from self._looks([self._window(self.time, self.word)])
        yield from self._settle(self.count)
        progress(self.time, self.count)
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
        self.end = min([self.end, *(answer.end for answer in answers if answer.final)])
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
        """Evidence without which a window is lost."""
        return min(_ENOUGH, 0.4 * (look.window.last - look.window.first))

    def _sure(self, look: _Look) -> float:
        """Evidence by which a window elsewhere than it should be is believed."""
        return min(_SURE, 0.5 * (look.window.last - max(look.window.first, self.word)))

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
        """
        The look in which words and audio meet again, near the place where they should or far from it; `None` where
        they meet nowhere.

        What is tried costs three windows a hop, and the hops lie in what is then stepped over, so that all searches
        together cost a few times what the recording does.
        """
        words = [self.word]
        if lost.runs:  # a few words fit, but it is not sure that they are said here
            self._keep(lost)
            if lost.window.first + lost.past < self.count:
                words.append(lost.window.first + lost.past)
        near = [self._window(self.time, self.word, 0.5), *(self._window(*anchor) for anchor in self.others)]
        for look in sorted((yield from self._heard(near)), key=self._worth, reverse=True):
            if self._worth(look) >= self._sure(look):
                return look
        if lost.answer.final and lost.answer.end - lost.window.start < self.seconds * _HOP:
            return None
        for furthest, windows in self._rounds(words):
            looks = yield from self._heard(windows)
            if not looks and furthest > _NEAR:
                return None
            fitting = [look for look in looks if self._worth(look) >= self._needed(look)]
            # by chance some window out of many fits a little; from its first word that fits, it must fit well
            again = []
            for look in sorted(fitting, key=self._nearness, reverse=True)[:_CONFIRMED]:
                first = look.runs[0][0]
                start = max(self.time, float(look.times[first, 0]) - _LEAD)
                again.append(self._window(start, look.window.first + first))
            sure = [look for look in (yield from self._heard(again)) if self._worth(look) >= self._sure(look)]
            if sure:
                return max(sure, key=self._nearness)
            if furthest >= _FAR and self.levels.lower():
                look = self._judged(lost.window, lost.answer)
                if self._worth(look) >= self._sure(look):
                    return look
        return None

    def _rounds(self, words: list[int]) -> Iterator[tuple[int, list[Window]]]:
        """
        Windows to look for the place in, round by round, and how many hops away they end.

        At first further on in the audio, with each of `words` as the next: that much is heard which the text lacks is
        the commonest case. Then wherever it may be nearby; then ever further on in the audio, the text, and both.
        """
        for k in range(0, _NEAR, _NEAR // 2):
            yield k, [w for j in range(k + 1, k + 1 + _NEAR // 2) for word in words for w in self._shifted(j, 0, word)]
        square = range(_SQUARE + 1)
        yield _SQUARE, [w for j in square[1:] for k in square for w in self._shifted(k, j)]
        done, furthest = _SQUARE, 2 * _NEAR
        while True:
            ring = range(done + 1, furthest + 1)
            windows = [w for k in ring for w in self._shifted(0, k)]
            windows += [w for k in ring if k > _NEAR for w in self._shifted(k, 0, words[-1])]
            windows += [w for k in ring if k <= _FAR for w in self._shifted(k, k)]
            yield furthest, windows
            done, furthest = furthest, 2 * furthest

    def _shifted(self, audio: int, text: int, word: int | None = None) -> list[Window]:
        """The window so many hops on in the audio and in the text, if there are words."""
        hop = self.seconds * _HOP
        word = self.word if word is None else word
        if text:
            word = words_within(self.units, word, text * hop * self.levels.pace, 1)
        return [self._window(self.time + audio * hop, word)] if word < self.count else []

    def _heard(self, windows: list[Window]):
        """Looks at those of the windows that have audio."""
        looks = []
        for k in range(0, len(windows), _TOGETHER):
            some = [window for window in windows[k : k + _TOGETHER] if window.start < self.end]
            looks += (yield from self._looks(some)) if some else []
        return [look for look in looks if look is not None]

    # words that are kept

    def _take(self, look: _Look) -> None:
        """Keeps the words that fit, and moves on to an anchor among them."""
        runs, units = self._keep(look), self.units[look.window.first :]
        place = self.places[-1]
        for a, b in runs:
            self.levels.learn(place.scores[a:b], place.times[a:b], units[a:b])
        self.word, self.time = self._anchor(look)

    def _around(self, look: _Look):
        """
        Places the words around the beginning of a place that was found anew, which is rarely exact.

        Words before it may have been stepped over, or taken to be said in what the text does not have: windows that
        begin with ever more of them show it. Where its first words do not all fit, it may begin too early in the text.
        """
        first, past = look.runs[0]
        word, start = look.window.first + first, float(look.times[first, 0])
        windows, size = [], _TAIL
        while size < 2 * (word - self.word + _TAIL):
            before = max(self.settled, self.word - 3 * _TAIL, word - size)
            said = 1.1 * float(self.units[before:word].sum()) / self.levels.pace
            if before < word:
                windows.append(self._window(max(self.time, start - said - _LEAD), before))
            size *= 2
        begin = look.evidence[first : min(past, first + 4 * _TAIL)]
        if begin.mean() < _CLEAR:
            windows += [self._window(max(self.time, start - _LEAD), after) for after in (word + 1, word + 3)]
        for found in (yield from self._heard([window for window in windows if window.first < self.count])):
            if found.runs:
                self._keep(found)

    def _keep(self, look: _Look) -> list[tuple[int, int]]:
        """Puts a look's words up to the last that fits among the places; returns the runs of those that fit."""
        first = look.window.first
        # with all the words that fit, and no others, each of which must have some place
        times, scores = look.answer.decode(look.past, True)
        evidence = self.levels.evidence(times, scores, self.units[first : first + look.past], look.answer.end)
        self.places.append(Placed(first, times, scores, evidence))
        return fitting_runs(evidence)

    def _anchor(self, look: _Look) -> tuple[int, float]:
        """Past the last word that is kept, and where (seconds) the next window begins."""
        window, answer, times = look.window, look.answer, look.times
        self.others = []
        if look.past == window.last - window.first and window.last == self.count:
            return self.count, answer.end
        edge = answer.end if answer.final else answer.end - max(0.5, 0.02 * self.seconds)
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
        self.others = [(time, word) for word, time in (*anchors[1:2], end) if word != anchors[0][0]]
        return anchors[0]

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

    def _moment(self, look: _Look, place: int) -> tuple[int, float]:
        """The anchor before word `place` of a look: word, seconds."""
        pause = max(0.0, look.times[place, 0] - look.times[place - 1, 1])
        return look.window.first + place, float(look.times[place, 0] - min(_LEAD, pause / 2))

    # words that get their times

    def _settle(self, past: int):
        """
        Gives words up to `past` their times, from the chain of all that was found for them. Words that no window has
        found are looked at once more in the audio that is left for them.
        """
        past = max(past, self.settled)
        since = float(self.times[self.settled - 1, 1]) if self.settled else 0.0
        furthest = max([past, *(place.past for place in self.places)])
        windows = self._second_looks(self._chain(furthest, since), past, since)
        for k in range(0, len(windows), _TOGETHER):
            some = windows[k : k + _TOGETHER]
            answers = yield some
            self.asked += len(answers)
            for window, answer in zip(some, answers, strict=True):
                if answer.end - window.start > _NOTHING:
                    times, scores = answer.decode(window.last - window.first, True)
                    units = self.units[window.first : window.last]
                    evidence = self.levels.evidence(times, scores, units, answer.end)
                    self.places.append(Placed(window.first, times, scores, evidence))
        chain = self._chain(furthest, since)
        for word in range(self.settled, past):
            if chain[word - self.settled] >= 0:
                place = self.places[chain[word - self.settled]]
                self.times[word], self.scores[word] = place.times[word - place.first], place.scores[word - place.first]
        for first, last, start, end in self._holes(chain, chain < 0, past, since):
            self._lay_out(first, min(last, past), start, end)
        self.settled = past
        self.places = [place for place in self.places if place.past > past]

    def _chain(self, past: int, since: float) -> np.ndarray:
        return best_chain(self.places, self.settled, past, since)

    def _second_looks(self, chain: np.ndarray, past: int, since: float) -> list[Window]:
        """Windows for words without a place, and for those that fit badly beside a pause, on whose other side they may
        belong."""
        bad = chain < 0
        for word in np.flatnonzero(~bad) + self.settled:
            place = self.places[chain[word - self.settled]]
            bad[word - self.settled] = place.evidence[word - place.first] < _DOUBTFUL
        windows = []
        for first, last, start, end in self._holes(chain, bad, past, since):
            apart = (chain[first - self.settled : last - self.settled] < 0).any()
            if not apart and end - start < self._need(first, last) + 0.5:
                continue
            # the words behind hold them in their places, and may have taken a little of their audio
            behind = 0
            while (
                behind < _TAIL and last + behind < self.settled + len(chain) and not bad[last + behind - self.settled]
            ):
                end, behind = self._time(chain, last + behind)[1], behind + 1
            windows += self._pieces(first, last + behind, start, end)
        return windows

    def _holes(
        self, chain: np.ndarray, bad: np.ndarray, past: int, since: float
    ) -> list[tuple[int, int, float, float]]:
        """Stretches of words that are `bad`, `(first, past the last)`, and the audio (seconds) that is left for
        them."""
        holes = []
        edges = np.flatnonzero(np.diff(np.r_[False, bad, False])).reshape(-1, 2) + self.settled
        for first, last in edges.tolist():
            if first >= past:
                break
            start = self._time(chain, first - 1)[1] if first > self.settled else since
            end = self._time(chain, last)[0] if last < self.settled + len(chain) else max(self.time, start)
            holes.append((first, last, start, max(start, end)))
        return holes

    def _need(self, first: int, past: int) -> float:
        """Seconds in which words are surely said."""
        return min(self.seconds, 1.0 + 2 * float(self.units[first:past].sum()) / self.levels.pace)

    def _time(self, chain: np.ndarray, word: int) -> list[float]:
        place = self.places[chain[word - self.settled]]
        return place.times[word - place.first].tolist()

    def _lay_out(self, first: int, past: int, start: float, end: float) -> None:
        """Times for words that fit nowhere, between `start` and `end`: those of the window where they fit best, or,
        without one, as they would be spoken."""
        spoken = np.r_[0.0, np.cumsum(self.units[first:past])] / self.levels.pace
        edges = start + spoken * min(1.0, (end - start) / spoken[-1])
        times, scores = np.stack([edges[:-1], edges[1:]], 1), np.zeros(past - first)
        most = -np.inf
        for place in self.places:
            if first in place and past <= place.past:
                part = slice(first - place.first, past - place.first)
                inside = (place.times[part, 0] < end) & (place.times[part, 1] > start)
                worth = float(np.where(inside, place.evidence[part], -1.0).sum())
                if inside.any() and worth > most:
                    most = worth
                    times, scores = np.clip(place.times[part], start, end), np.where(inside, place.scores[part], 0.0)
        self.times[first:past], self.scores[first:past] = times, scores

    def _pieces(self, first: int, past: int, start: float, end: float) -> list[Window]:
        """
        Windows for words between two places that are sure: with all the audio, and with its beginning and end. Where
        they are more than a window holds, or than can be said there, parts of them in parts of the audio.
        """
        pace, room = self.levels.pace, end - start
        need = self._need(first, past)
        if room < 0.1 or (past - first < 2 and room < need):
            return []
        if float(self.units[first:past].sum()) > 1.5 * pace * min(room, self.seconds):
            return self._parts(first, past, start, end)
        spans = {(start, min(end, start + need)), (max(start, end - need), end)}
        if room <= self.seconds:
            spans.add((start, end))
        elif past - first >= _LEAST_WORDS:  # fewer fit somewhere by chance
            inner = np.linspace(start, end - need, min(_PIECES, int(2 * room / need)))[1:-1]
            spans |= {(at, at + need) for at in inner.tolist()}
        return [Window(*span, first, past) for span in sorted(spans)]

    def _parts(self, first: int, past: int, start: float, end: float) -> list[Window]:
        pace, room = self.levels.pace, end - start
        if room <= self.seconds:
            head = min(past, words_within(self.units, first, pace * room, 1))
            tail = past - words_within(self.units[first:past][::-1], 0, pace * room, 1)
            windows = [Window(start, end, first, head)]
            if past < self.count:  # behind the hole is a sure place
                windows += [Window(start, end, tail, past), Window(start, end, past - (past - tail + 1) // 2, past)]
            return windows
        count = int(np.ceil(room / (0.8 * self.seconds)))
        edges = np.linspace(start, end, count + 1)
        shares = np.searchsorted(
            np.cumsum(self.units[first:past]), np.linspace(0, 1, count + 1) * self.units[first:past].sum()
        )
        windows = []
        for k in range(count):
            a, b = first + int(shares[k]), first + int(shares[k + 1])
            b = min(b, words_within(self.units, a, 2 * pace * (edges[k + 1] - edges[k]), 1))
            if a < b:
                windows.append(Window(float(edges[k]), float(edges[k + 1]), a, b))
        return windows
