"""From the windows of a long recording to the times of its words."""

from itertools import pairwise

import numpy as np

from .chain import Placed, best_chain
from .pauses import Silences, looks_across
from .window_fit import fitting_runs
from .windows import Answer, Asking, Listener, Look, Window

_DOUBTFUL = 0.15  # evidence below which a word beside a pause is looked at again
_SEVERAL = 3  # words that are worth another look
_PAUSE = 0.5  # seconds that such a pause is longer than the words need
_LEAD, _CLOSE = 0.5, 1.1  # seconds, and times what words take, of the audio that is close to them
_MORE = 1.0  # seconds that there have to be beside it
_ROUNDS = 4  # in which they are looked at again at most,
_FOUND = 0.1  # and the part of them that has to have found a place: some always fit by chance
_BEHIND = 2  # words behind a stretch that are looked at with it
_FEW = 12  # words that are not looked for all over a long stretch of audio: they would fit somewhere by chance
_PIECES = 8  # windows that are looked at all over it


class WordTimes:
    """
    Times `(words, 2)` in seconds and scores `(words,)`, up to the word `settled`; and for words from there on, the
    places that windows have found for them.
    """

    def __init__(self, listener: Listener):
        self.listener, self.settled = listener, 0
        count = len(listener.units)
        self.times, self.scores = np.zeros((count, 2)), np.zeros(count)
        self._places: list[Placed] = []
        self._silences = Silences()
        self._looked = 1  # up to this word, silences were looked across

    def keep(self, look: Look, learn: bool = False) -> None:
        """Takes in a look's words up to the last that fits; and `learn`s from those that fit what to expect."""
        if not look.runs:
            return
        # with all the words that fit, and no others, each of which must have some place
        place = self._add(look.window, look.answer, look.past)
        units = self.listener.units[place.first : place.past]
        for a, b in fitting_runs(place.evidence) if learn else ():
            self.listener.levels.learn(place.scores[a:b], place.times[a:b], units[a:b])

    def _add(self, window: Window, answer: Answer, count: int | None = None) -> Placed:
        count = window.last - window.first if count is None else count
        times, scores = answer.decode(count, True)
        units = self.listener.units[window.first : window.first + count]
        evidence = self.listener.levels.evidence(times, scores, units, answer.end)
        self._silences.add(answer.silences)
        self._places.append(Placed(window.first, times, scores, evidence))
        return self._places[-1]

    def settle(self, past: int, end: float) -> Asking:
        """
        Gives words up to `past` their times, from the chain of all that was found for them. Words that no window has
        found are looked at in the audio that is left for them, up to `end` (seconds) and as long as some are found.
        """
        past = max(past, self.settled)
        since = float(self.times[self.settled - 1, 1]) if self.settled else 0.0
        furthest = max([past, *(place.past for place in self._places)])
        chain = best_chain(self._places, self.settled, furthest, since, self._silences)
        asked: set[Window] = set()
        bad = self._bad(chain)
        for _ in range(_ROUNDS):
            windows = [w for w in self._second_looks(chain, bad, past, since, end) if w not in asked]
            if not (yield from self.listener.each(windows, self._add)):
                break
            asked.update(windows)
            chain = best_chain(self._places, self.settled, furthest, since, self._silences)
            bad, before = self._bad(chain), bad
            if before.sum() - bad.sum() < max(_SEVERAL, _FOUND * before.sum()):
                break
        if (yield from self.listener.each(self._looks_across(chain, past), self._add)):
            chain = best_chain(self._places, self.settled, furthest, since, self._silences)
        for word in range(self.settled, past):
            if chain[word - self.settled] >= 0:
                place = self._places[chain[word - self.settled]]
                self.times[word], self.scores[word] = place.times[word - place.first], place.scores[word - place.first]
        for first, last, start, until in self._holes(chain, chain < 0, past, since, end):
            self._lay_out(first, min(last, past), start, until)
        self.settled = past
        self._places = [place for place in self._places if place.past > past]
        self._silences.forget(since - self.listener.seconds)
        return []

    def _bad(self, chain: np.ndarray) -> np.ndarray:
        """Which words have no place, or one where they fit badly."""
        bad = chain < 0
        for word in np.flatnonzero(~bad):
            place = self._places[chain[word]]
            bad[word] = place.evidence[self.settled + word - place.first] < _DOUBTFUL
        return bad

    def _second_looks(self, chain: np.ndarray, bad: np.ndarray, past: int, since: float, end: float) -> list[Window]:
        """Windows for words without a place, and for several that fit badly beside a pause, on whose other side they
        may belong."""
        base = self.settled
        windows = []
        for first, last, start, until in self._holes(chain, bad, past, since, end):
            apart = (chain[first - base : last - base] < 0).any()
            if not apart and (last - first < _SEVERAL or until - start < self._need(first, last) + _PAUSE):
                continue
            # the words behind hold them in their places, and may have taken a little of their audio
            for word in range(last, min(last + _BEHIND, base + len(chain))):
                if bad[word - base]:
                    break
                last, until = word + 1, self._time(chain, word)[1]
            windows += self._windows(first, last, start, until)
        return windows

    def _looks_across(self, chain: np.ndarray, past: int) -> list[Window]:
        """Windows across silences up to the one before word `past`, if what is behind that is known, too."""
        base, seconds = self.settled, self.listener.seconds
        known = self.times[:base]
        offset = int(np.searchsorted(known[:, 0], known[-1, 0] - seconds)) if base else 0
        times = np.concatenate([known[offset:], np.full((len(chain), 2), np.nan)])
        evidence = np.ones(len(times))
        for word in base + np.flatnonzero(chain >= 0):
            place = self._places[chain[word - base]]
            times[word - offset] = place.times[word - place.first]
            evidence[word - offset] = place.evidence[word - place.first]
        words = range(self._looked, min(past + 1, base + len(chain)))
        self._looked = max(self._looked, words.stop)
        return looks_across(times, evidence, offset, words, self._silences, seconds)

    def _holes(
        self, chain: np.ndarray, bad: np.ndarray, past: int, since: float, end: float
    ) -> list[tuple[int, int, float, float]]:
        """Stretches of words that are `bad`, `(first, past the last)`, and the audio (seconds) that is left for
        them."""
        holes, base = [], self.settled
        for first, last in np.flatnonzero(np.diff(np.r_[False, bad, False])).reshape(-1, 2) + base:
            if first >= past:
                break
            start = self._time(chain, first - 1)[1] if first > base else since
            until = self._time(chain, last)[0] if last < base + len(chain) else end
            holes.append((int(first), int(last), start, max(start, until)))
        return holes

    def _time(self, chain: np.ndarray, word: int) -> list[float]:
        place = self._places[chain[word - self.settled]]
        return place.times[word - place.first].tolist()

    def _need(self, first: int, past: int) -> float:
        """Seconds in which words are surely said."""
        return min(self.listener.seconds, 1.0 + 2 * self.listener.said(first, past))

    def _lay_out(self, first: int, past: int, start: float, end: float) -> None:
        """Times for words that fit nowhere, between `start` and `end`: those of the window where they fit best, or,
        without one, as they would be spoken."""
        units = self.listener.units[first:past]
        spoken = np.r_[0.0, np.cumsum(units)] / self.listener.levels.pace
        edges = start + spoken * min(1.0, (end - start) / spoken[-1])
        times, scores = np.stack([edges[:-1], edges[1:]], 1), np.zeros(past - first)
        most = -np.inf
        for place in self._places:
            if first in place and past <= place.past:
                part = slice(first - place.first, past - place.first)
                inside = (place.times[part, 0] < end) & (place.times[part, 1] > start)
                worth = float(np.where(inside, place.evidence[part], -1.0).sum())
                if inside.any() and worth >= most:  # the later the closer it looked
                    most = worth
                    times, scores = np.clip(place.times[part], start, end), np.where(inside, place.scores[part], 0.0)
        self.times[first:past], self.scores[first:past] = times, scores

    def _windows(self, first: int, past: int, start: float, end: float) -> list[Window]:
        """
        Windows for words between two places that are sure: with all the audio, and with its beginning and end, also
        closely around all of them and around half of them, since the others may be elsewhere. Where they are more than
        a window holds, or than can be said there, parts of them in parts of the audio.
        """
        seconds, room, need = self.listener.seconds, end - start, self._need(first, past)
        if room < 0.1 or (past - first < 2 and room < need):
            return []
        if self.listener.said(first, past) > 1.5 * min(room, seconds):
            return self._parts(first, past, start, end)
        spans = {(start, min(end, start + need)), (max(start, end - need), end)}
        if room <= seconds:
            spans.add((start, end))
        elif past - first >= _FEW:
            inner = np.linspace(start, end - need, min(_PIECES, int(2 * room / need)))[1:-1]
            spans |= {(at, at + need) for at in inner.tolist()}
        half = (first + past) // 2
        windows = {Window(*span, first, past) for span in spans}
        for a, b, ahead in ((first, past, True), (first, half, True), (first, past, False), (half, past, False)):
            close = min(seconds, _LEAD + _CLOSE * self.listener.said(a, b))
            if b - a >= _SEVERAL and close + _MORE < room:
                windows.add(Window(start, start + close, a, b) if ahead else Window(end - close, end, a, b))
        return sorted(windows, key=lambda window: (window.start, window.end, window.first))

    def _parts(self, first: int, past: int, start: float, end: float) -> list[Window]:
        seconds, room, units = self.listener.seconds, end - start, self.listener.units
        if room <= seconds:
            windows = [Window(start, end, first, min(past, self.listener.within(first, room)))]
            if past < len(units):  # behind it is a place that is sure
                tail = min(past - first, self.listener.within_before(past, room))
                windows += [Window(start, end, past - tail, past), Window(start, end, past - (tail + 1) // 2, past)]
            return windows
        # every part of the words in its part of the audio, as if all were said at one pace
        count = int(np.ceil(room / (0.8 * seconds)))
        edges = np.linspace(start, end, count + 1).tolist()
        said = np.cumsum(units[first:past])
        shares = (first + np.searchsorted(said, np.linspace(0, said[-1], count + 1))).tolist()
        return [
            Window(edges[k], edges[k + 1], a, min(b, self.listener.within(a, 2 * (edges[k + 1] - edges[k]))))
            for k, (a, b) in enumerate(pairwise(shares))
            if a < b
        ]
