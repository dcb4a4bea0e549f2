"""
Where words and audio meet again, when a window does not fit: audio has something that the text lacks, or the text
something that is not said, or both.

A model gets over little that is missing before its first word, and over few words that are not said. So short windows
begin wherever speech sets in, and with every few words; the nearest first. What is found has to fit the better, the
more of the text is stepped over. From there the way goes back over what was stepped over, and then into the gap that
is left.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from .constants import (
    AROUND,
    EVIDENCE,
    EVIDENCE_AT_FIRST,
    EVIDENCE_FOR_DISTANCE,
    FITS,
    GLANCE,
    HORIZON,
    OVERLAP,
    PAUSE,
    PROMISING_EVIDENCE,
    SHORT_WINDOW,
    TEMPO,
)
from .rescoring import Window
from .sound import Sound, runs
from .windows import Hypothesis, Listener, Place


@dataclass(frozen=True)
class Found:
    """The hypothesis that fits, the `place` from which on all does, and the hypotheses that are new to the walk."""

    hyp: Hypothesis
    place: Place
    hyps: list[Hypothesis]


class Search:
    """Looks for places in a recording. It remembers where it has looked, and what was found behind a gap."""

    def __init__(self, listener: Listener):
        self.listener = listener
        self._asked: set[Place] = set()
        self._behind: list[Found] = []  # the furthest first

    def run(self, lost: Hypothesis, aligned: Place) -> Generator[list[Window], list[np.ndarray], list[Found]]:
        """
        What was found, the nearest last; nothing where the allowance does not go so far.

        Args:
            lost: the hypothesis that does not fit.
            aligned: up to where all is known.
        """
        self._behind = [known for known in self._behind if known.place[1] > lost.window.first]
        bound = self._behind[-1].place if self._behind else None
        hyp = yield from self._find(lost, aligned, bound)
        if hyp is None:
            return [replace(self._behind.pop(), hyps=[])] if self._behind else []
        found: list[Found] = []
        while hyp is not None:
            found.append((yield from self._back(hyp, aligned)))
            frame, word = found[-1].place
            is_wide = word - aligned[1] > AROUND and self.listener.sound.seconds(frame - aligned[0]) > 2 * GLANCE
            hyp = (yield from self._find(lost, aligned, (frame, word))) if is_wide else None
        self._behind += found[:-1]
        return found

    def _find(
        self, lost: Hypothesis, aligned: Place, bound: Place | None
    ) -> Generator[list[Window], list[np.ndarray], Hypothesis | None]:
        """The first one that is believed, before `bound` if that is known; `None` as far as the allowance goes."""
        sound, allowance, seen = self.listener.sound, self.listener.allowance, []
        until = bound[0] if bound else sound.reach(int(lost.window.frames[0]) + sound.frames(HORIZON))
        allowance.known = max(allowance.known, sound.seconds(until))
        for places in self._places(lost, until, bound):
            if len(places) * GLANCE > allowance.left():
                return None
            self._asked.update(places)
            hyps = yield from self.listener.ask(places, GLANCE)
            fitting = [k for k in hyps if k.path.evidence >= self.listener.enough(PROMISING_EVIDENCE, k.window.first)]
            # where little is said before the next passage, a longer window reaches too far into that
            again = [(_begin(sound, hyp, aligned), hyp.first) for hyp in fitting]
            again = again[: max(0, int(allowance.left() / SHORT_WINDOW))]
            longer = yield from self.listener.ask(again, SHORT_WINDOW)
            seen += hyps + longer
            before = [k for k in seen if not bound or k.first < bound[1]]
            sure = [k for k in before if _with_next(k, seen) >= self._needed(lost, k)]
            if sure:
                return max(sure, key=lambda hyp: hyp.path.evidence)
        return None

    def _needed(self, lost: Hypothesis, hyp: Hypothesis) -> float:
        """Evidence that is asked of one: more, the more is stepped over of the text, which may have the same words
        again; and of one together with the next more than of one alone, as there are many pairs."""
        skipped = self.listener.said[hyp.first] - self.listener.said[lost.window.first]
        least = EVIDENCE if lost.window.first and hyp.path.evidence >= EVIDENCE else EVIDENCE_AT_FIRST
        return self.listener.enough(least, hyp.window.first) + EVIDENCE_FOR_DISTANCE * float(np.log1p(skipped))

    def _back(self, hyp: Hypothesis, aligned: Place) -> Generator[list[Window], list[np.ndarray], Found]:
        """Goes back from a hypothesis that fits, over words that were stepped over, as long as they fit. Returns where
        all fits from."""
        sound, taken, part = self.listener.sound, [hyp], 1 / TEMPO
        begin, least = aligned
        while True:
            word, frame = hyp.first, _begin(sound, hyp, aligned)
            if word <= least or sound.seconds(frame - begin) < PAUSE / 2:
                break
            first = max(least, min(word - 1, self.listener.word_after(word, -part * GLANCE)))
            need = float(self.listener.said[word] - self.listener.said[first])
            starts = _starts_before(sound, max(begin, frame - sound.frames(4 * GLANCE)), frame, need)
            if len(starts) * GLANCE > self.listener.allowance.left():
                break
            fitting = []
            for some in (starts[:1], starts[1:]):
                for one in (yield from self.listener.ask([(start, first) for start in some], GLANCE)):
                    # what is behind fits in any case; what is before has to, too
                    worth = float((one.path.fit[: word - first] - FITS).sum())
                    if worth > 0 and one.first < word:
                        fitting.append((worth, one.window.frames[0], one))
                if fitting:
                    break
            if fitting:
                hyp, part = max(fitting, key=lambda one: one[:2])[-1], 1 / TEMPO
                taken.append(hyp)
            elif part < 1 / TEMPO:
                break
            else:
                part /= 2  # nearer, before it is given up
        return Found(taken[0], (frame, word), taken)

    def _places(self, lost: Hypothesis, until: int, bound: Place | None) -> Iterator[list[Place]]:
        """Where windows begin, some at a time, the nearest first: seconds of what is stepped over, speech or text, or
        the more of both; within a bound, how far a place is from where words would be that are said evenly."""
        frame, word, said = int(lost.window.frames[0]), lost.window.first, self.listener.said
        first = [(frame, word)]  # less of the same, and what lies behind all that has a place in the window
        if lost.path.count:
            first.append((int(lost.spans()[-1, 1]), word + lost.path.count))
        yield [place for place in first if place not in self._asked]
        speech, frames, pauses = _onsets(self.listener.sound, frame, until)
        last = bound[1] if bound else len(said) - 1
        words = np.arange(word + AROUND, last, AROUND)
        words = words[said[words] - said[word] < HORIZON]
        text = said[words] - said[word]
        # the next word is behind those that fit, or, if they did by chance, behind those that an anchor leaves
        count = {word: pauses, min(word + AROUND, last): pauses, lost.past: len(frames)} if word else {0: len(frames)}
        away = [(speech[:some], frames[:some], np.full(some, to)) for to, some in count.items()]
        # words that nobody says are behind the first ones that fit; a run further on may do so by chance
        fitting = int(np.append(0.0, np.cumsum(lost.path.fit - FITS)).argmax()) if word else 0
        begin = int(lost.spans()[fitting - 1, 1]) if fitting else frame
        away.append((text, np.full(len(words), begin), words))
        speech, text = (part.ravel() for part in np.meshgrid(speech[:pauses], text, indexing="ij"))
        if bound:
            all_speech = self.listener.sound.seconds(self.listener.sound.voice(frame, until)[0].sum())
            pace = max(1.0, float(said[last] - said[word])) / max(1.0, all_speech)
            both = np.abs(speech * pace - text) / min(pace, 1.0) + 0.3 * speech
        else:  # as much of the one as of the other is likely, and so is little of the one
            both = np.maximum(speech, text) + np.minimum(np.abs(speech - text), np.minimum(speech, text) / 2)
        # one of the two is likelier than both, of which there are many more
        one = self._nearest(*(np.concatenate(part) for part in zip(*away)))
        two = self._nearest(both, np.repeat(frames[:pauses], len(words)), np.tile(words, pauses))
        while some := [*islice(one, 3), *islice(two, 1)]:
            yield some

    def _nearest(self, distances: np.ndarray, frames: np.ndarray, words: np.ndarray) -> Iterator[Place]:
        for k in np.argsort(distances, kind="stable"):
            place = int(frames[k]), int(words[k])
            if place not in self._asked:
                yield place


def _with_next(hyp: Hypothesis, seen: list[Hypothesis]) -> float:
    """Evidence of a hypothesis, and of the one that has the next words behind it."""
    if hyp.path.evidence < EVIDENCE / 2:
        return 0.0
    end = hyp.spans()[hyp.path.past - 1, 1]
    nexts = (k for k in seen if k.path.evidence >= EVIDENCE / 2 and 0 <= k.first - hyp.past <= 1)
    return hyp.path.evidence + max((k.path.evidence for k in nexts if k.spans()[k.path.first, 0] >= end), default=0.0)


def _starts_before(sound: Sound, begin: int, frame: int, need: float) -> list[int]:
    """Where words may begin that take `need` seconds of speech up to `frame`: where speech sets in, and elsewhere."""
    speech, silence = sound.voice(begin, frame)
    before = sound.seconds(np.cumsum(speech[::-1])[::-1])  # speech from each frame on
    onsets = runs(silence)[:, 1]
    onsets = onsets[onsets < len(before)]
    onsets = onsets[np.abs(before[onsets] - need) < need / 2 + 0.3]
    onsets = onsets[np.argsort(np.abs(before[onsets] - need))][:2] - sound.frames(PAUSE / 2)
    guessed = np.searchsorted(-before, (-need, -need / TEMPO))
    return list(dict.fromkeys(begin + int(at) for at in np.concatenate([onsets, guessed]).clip(0, len(before) - 1)))


def _begin(sound: Sound, hyp: Hypothesis, aligned: Place) -> int:
    """The frame, `PAUSE` before its first word that fits, from which on a hypothesis is heard again."""
    return max(aligned[0], int(hyp.spans()[hyp.path.first, 0]) - sound.frames(PAUSE))


def _onsets(sound: Sound, frame: int, until: int) -> tuple[np.ndarray, np.ndarray, int]:
    """How far away places are at which speech may set in, in seconds of speech, and their frames: behind pauses, and
    between, where it is less likely."""
    speech, silence = sound.voice(frame, until)
    sums = np.append(0, np.cumsum(speech))
    apart, lead = sound.frames(OVERLAP), sound.frames(PAUSE / 2)
    onsets, lulls = (ends[ends > lead].tolist() for ends in (sound.pauses_in(silence)[:, 1], runs(silence)[:, 1]))
    pauses = len(onsets)
    for at in lulls + np.searchsorted(sums, np.arange(apart, sums[-1], apart)).tolist():
        if np.abs(np.array(onsets) - at).min(initial=apart) >= apart:
            onsets.append(at)
    away = sound.seconds(sums[onsets])
    away[pauses:] = 2 * away[pauses:] + GLANCE
    return away, frame + np.array(onsets, dtype=int) - lead, pauses
