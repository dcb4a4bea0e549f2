"""Finding the place where words and audio meet again, after a window in which they do not."""

from collections.abc import Iterator

import numpy as np

from .pauses import Silences
from .windows import Answer, Asking, Listener, Look, Window

_HOP = 1 / 6  # of a window; aligners get over little that the text, or the audio, lacks at a window's beginning
_NEAR, _FAR = 8, 32  # hops: ahead in the audio at first, and before less is expected
_AUDIO_ALONE = 2  # rounds at first, in which nothing is looked for further on in the text
_ON, _FAR_ON = 3, 12  # hops that are a little further on, and a minute or so
_CONFIRMED = 3  # windows of a round that are looked at once more
_STEPS = 0.25  # of the evidence that is needed is the most that stepping over words costs, and over audio
_ENOUGH_FOUND = 15.0  # evidence beyond which a window's place counts, and not how much fits
_LEAD = 0.5  # seconds of audio before the first word
_LEAST_ON = 1.0  # seconds further on that are worth another window
_STRIDE = 3  # words from one window to the next where any of them may be the first
_BEFORE = 2  # words before a place that was found that are looked at first, then twice as many and so on
_CLEAR, _BEGIN = 0.7, 8  # evidence, on average, of the first words of a window that begins at the right word


class PlaceSearch:
    """From `time` (seconds) and `word` on, up to which the recording is done with."""

    def __init__(self, listener: Listener, time: float, word: int):
        self.listener, self.time, self.word = listener, time, word
        self.count = len(listener.units)
        self._silences = Silences()  # as far as was listened

    def fits(self, look: Look) -> bool:
        return self.worth(look) >= look.needed()

    def worth(self, look: Look) -> float:
        """Evidence of new words in a window, less a little for the words and the audio that it would step over."""
        if not look.runs:
            return -np.inf
        most = _STEPS * look.needed()
        return look.total(self.word) - sum(min(most, step) for step in self._steps(look))

    def _nearness(self, look: Look) -> float:
        """To choose by among several that fit: less for all that is stepped over, no more for more words than are
        enough."""
        return min(look.total(self.word), _ENOUGH_FOUND) - sum(self._steps(look))

    def _steps(self, look: Look) -> tuple[float, float]:
        """What it counts for that words, and that audio, are stepped over. Both at once are one step."""
        first = look.runs[0][0]
        words = max(0, look.window.first + first - self.word)
        audio = max(0.0, float(look.times[first, 0]) - self.time) * self.listener.levels.pace / 6
        return 0.1 * words, 0.1 * max(0.0, audio - words)

    def _believed(self, looks: list[Look]) -> list[Look]:
        return [look for look in looks if self.worth(look) >= look.sure(self.word)]

    def found(self, lost: Look, others: list[tuple[float, int]]):
        """
        The look in which words and audio meet again, near the place where they should or far from it; `None` where
        they meet nowhere. `lost` is the look in which they do not, `others` are anchors (seconds, word) that it might
        have had instead.

        What is tried costs a few windows a hop, and the hops lie in what is then stepped over, so that all searches
        together cost a few times what the recording does, or a search that is in vain, which ends the walk.
        """
        listener = self.listener
        near = [listener.window(self.time, self.word, 0.5), *(listener.window(*anchor) for anchor in others)]
        believed = self._believed((yield from listener.looks(near)))
        if believed:
            return max(believed, key=self.worth)
        if lost.answer.final and lost.answer.end - lost.window.start < listener.seconds * _HOP:
            return None
        words = [self.word]
        if lost.past and lost.window.first + lost.past < self.count:
            # a few words fit, but it is not sure that they are said here
            words.append(lost.window.first + lost.past)
        for number, (furthest, windows) in enumerate(self._rounds(words)):
            if number == _AUDIO_ALONE:
                behind = yield from self._behind_pauses(lost.answer.silences, lost.answer.end, words)
            elif number == _AUDIO_ALONE + 1:  # before much is given up that is near
                near = self.time + (_NEAR * _HOP + 1) * listener.seconds
                behind = yield from self._behind_pauses(self._silences.pairs(), min(listener.end, near), words)
            else:
                behind = None
            if behind:
                return behind
            looks = yield from listener.each(windows, self._glance)
            if not looks and furthest > _NEAR:
                return None
            fitting = sorted(filter(None, looks), key=self._nearness, reverse=True)[:_CONFIRMED]
            # by chance some window out of many fits a little; from its first word that fits, it must fit well
            believed = self._believed((yield from listener.looks([self._again(look) for look in fitting])))
            if believed:
                nearest = max(believed, key=self._nearness)
                if furthest > _NEAR:
                    nearer = self._believed((yield from listener.looks(self._nearer(nearest, words[-1]))))
                    nearest = max([nearest, *nearer], key=self._nearness)
                return nearest
            if furthest >= _FAR and listener.levels.lower():
                look = listener.judged(lost.window, lost.answer)
                if self._believed([look]):
                    return look
        return None

    def _behind_pauses(self, silent: np.ndarray, end: float, words: list[int]):
        """
        The look with which the recording goes on behind one of the silences `(silences, 2)` up to `end` (seconds);
        `None` where none is found.

        Aligners get over little that is missing at a window's beginning, so these begin where speech sets in behind a
        pause: at first with the next words, then with any that may be said by then.
        """
        least, most = self.time + _LEAST_ON, end - _LEAST_ON
        starts = [start for start in silent[:, 1].tolist() if least < start < most]
        rounds = [[(start, word) for start in starts for word in words]]
        for start in starts:
            sound = start - self.time - sum(max(0.0, min(b, start) - max(a, self.time)) for a, b in silent.tolist())
            past = self.listener.within(self.word, max(0.0, sound)) + _STRIDE
            rounds.append([(start, word) for word in range(self.word + 1, min(past, self.count), _STRIDE)])
        for places in rounds:
            windows = [self.listener.window(start - _LEAD / 2, word, 0.5) for start, word in places]
            found = filter(None, (yield from self.listener.each(windows, self._glance)))
            fitting = sorted(found, key=self._nearness, reverse=True)[:_CONFIRMED]
            # another window, cut differently, has to say so as well
            again = yield from self.listener.looks([self._again(look) for look in fitting])
            if believed := self._believed(again):
                return max(believed, key=self._nearness)
        return None

    def _glance(self, window: Window, answer: Answer) -> Look | None:
        self._silences.add(answer.silences)
        look = self.listener.judged(window, answer)
        return look if self.fits(look) else None

    def _nearer(self, look: Look, word: int) -> list[Window]:
        """Between here and a place that was found further on: the next words somewhat before it in the audio, and the
        next audio with words somewhat before it in the text."""
        listener, hop = self.listener, self.listener.seconds * _HOP
        found, start = look.window.first + look.runs[0][0], float(look.times[look.runs[0][0], 0])
        windows = []
        for k in range(2 * _FAR_ON):
            if start - k * hop > self.time and found > word:
                windows.append(listener.window(start - k * hop, word))
            before = found - (listener.within_before(found, k * hop) if k else 0)
            if before > word and start - self.time > hop:
                windows.append(listener.window(self.time, before))
        return windows

    def _again(self, look: Look) -> Window:
        first = look.runs[0][0]
        start = max(self.time, float(look.times[first, 0]) - _LEAD)
        return self.listener.window(start, look.window.first + first)

    def _rounds(self, words: list[int]) -> Iterator[tuple[int, list[Window]]]:
        """
        Windows to look for the place in, round by round, and how many hops away they end.

        At first further on in the audio, with each of `words` as the next: that much is heard which the text lacks is
        the commonest case. Then ever further on in the audio and in the text. From where they meet they go on
        together; so that words a little further on are met somewhere in the audio, too, wherever before them the two
        meet, and so is audio a little further on in the text. Far away that alone is tried.
        """
        size = _NEAR // _AUDIO_ALONE
        for k in range(0, _NEAR, size):
            ring = range(k + 1, k + 1 + size)
            yield ring[-1], [window for j in ring for word in words for window in self._shifted(j, 0, word)]
        done, furthest = 0, _NEAR
        while True:
            shifts = []
            for k in range(done + 1, furthest + 1):
                shifts += [(0, k), (_ON, k), (k, _ON)] if k <= _FAR else [(_FAR_ON, k), (k, _ON), (k, _FAR_ON)]
                shifts += [(k, 0)] if _NEAR < k <= _FAR else []
            yield furthest, [window for shift in sorted(shifts) for window in self._shifted(*shift, words[-1])]
            done, furthest = furthest, 2 * furthest

    def _shifted(self, audio: int, text: int, word: int) -> list[Window]:
        """The window that begins so many hops on in the audio, and in the text from `word` on, if there are words."""
        hop = self.listener.seconds * _HOP
        on = self.listener.within(word, text * hop) if text else word
        if audio > text and on + _BEGIN > self.count:  # near the text's end the next words will do
            on = word
        return [self.listener.window(self.time + audio * hop, on)] if on < self.count else []

    def around(self, look: Look, least: int) -> Asking:
        """
        Looks around the beginning of a place that was found, which is rarely exact; at no word before `least`.

        Words before it may have been stepped over, or taken to be said in what the text does not have: windows that
        begin with ever more of them show it. Where its first words do not all fit, it may begin too early in the text.
        """
        first, past = look.runs[0]
        word, start = look.window.first + first, float(look.times[first, 0])
        windows, size = [], _BEFORE
        while size < 2 * (word - self.word + _BEFORE):
            before = max(least, self.word - 3 * _BEFORE, word - size)
            said = 1.1 * self.listener.said(before, word)
            if before < word:
                windows.append(self.listener.window(max(self.time, start - said - _LEAD), before))
            size *= 2
        if look.evidence[first : min(past, first + _BEGIN)].mean() < _CLEAR:
            after = [place for place in (word + 1, word + 3) if place < self.count]
            windows += [self.listener.window(max(self.time, start - _LEAD), place) for place in after]
        return (yield from self.listener.looks(windows))
