"""
Aligning a recording that is longer than what the model takes.

The walk goes from anchor to anchor, where it is known which word is next (`windows`). The model hears some seconds,
with more words than are said there. The best path tells how many are, and where the next anchor is. What is between
two anchors is a stretch like any clip: its words get their times from all windows that heard them, and what is in
doubt is asked for again (`rescoring`). Where a window does not fit, `search` finds where words and audio meet again.

`Walk.run` is a generator that knows no model: it asks for windows and is sent probabilities, so that windows of
several recordings share a batch.
"""

from collections.abc import Callable, Generator, Sequence

import numpy as np

from .constants import EVIDENCE, EVIDENCE_AT_FIRST, GLANCE, HORIZON
from .rescoring import Allowance, Posterior, Stretch, Window, rescore
from .search import Search
from .sound import Sound
from .windows import Hypothesis, Listener


class Walk:
    """
    Args:
        sound: the recording.
        words: of its text.
        seconds: of audio in a window.
        allowance: how much the model may be asked.
        decoding: see `alignment.decoding.decode_slots`.
        again: whether words in doubt are asked for again.
        breaks: of the text, `text.sentences.breaks_behind`, `(words,)`.
        progress: called with the seconds and the words that are done.

    After `run`, `times` `(words, 2)` are seconds that never fall and `scores` `(words,)`. Words for which no audio is
    left stand at the recording's end with score 0. `end` is up to where it was heard, in seconds.
    """

    def __init__(
        self,
        sound: Sound,
        words: Sequence[str],
        seconds: float,
        allowance: Allowance,
        decoding: str,
        again: bool,
        breaks: Sequence[int],
        progress: Callable[[float, int], None] = lambda seconds, words: None,
    ):
        self.sound, self.words, self.seconds, self.allowance = sound, words, seconds, allowance
        self.decoding, self.again, self.breaks, self.progress = decoding, again, breaks, progress
        self.listener = Listener(sound, words, seconds, allowance, breaks)
        self.search = Search(self.listener)
        self.times, self.scores = np.zeros((len(words), 2)), np.zeros(len(words))
        self.frame, self.word = 0, 0  # from here on is to be heard
        self.aligned = 0, 0  # and up to here words have their times
        self.posteriors: list[Posterior] = []
        self.near = np.zeros(0, int)  # frames just before the last place that a search found
        self.end = 0.0

    def run(self) -> Generator[list[Window], list[np.ndarray], None]:
        while self.word < len(self.words):
            self.allowance.done = self.sound.seconds(self.frame)
            hyps = yield from self.listener.ask([(self.frame, self.word)], self.seconds)
            if not hyps:
                break
            self._keep(hyps)
            (hyp,) = hyps
            if hyp.path.evidence < self.listener.enough(EVIDENCE if self.word else EVIDENCE_AT_FIRST, self.word):
                found = yield from self.search.run(hyp, self.aligned)
                if not found:  # both go on together; behind some windows they may fit again
                    self._step_over(hyp)
                    if self.sound.seconds(self.frame - self.aligned[0]) > HORIZON:
                        yield from self._align()
                    continue
                self.posteriors[-1:] = [hyp.posterior(found[-1].place[1])]
                for one in found:
                    self._keep(one.hyps)
                # the place's first words may begin a little before it: the model is least sure of them
                (self.frame, self.word), hyp = found[-1].place, found[-1].hyp
                self.near = np.arange(self.frame - self.sound.frames(GLANCE / 2), self.frame)
                said = self.listener.said[self.word] - self.listener.said[self.aligned[1]]
                if said > self.sound.seconds(self.frame - self.aligned[0]):  # too many words: they would need its room
                    yield from self._align()
            self.allowance.fits = True
            (self.frame, self.word), done = self.listener.anchor(hyp, (self.frame, self.word))
            yield from self._align()
            if done:
                break
            self.progress(self.sound.seconds(self.frame), self.word)
        yield from self._rest()
        self.times = np.maximum.accumulate(self.times.ravel()).reshape(-1, 2)
        self.progress(self.end, len(self.words))

    def _keep(self, hyps: list[Hypothesis]) -> None:
        for hyp in hyps:
            self.posteriors.append(hyp.posterior())
            self.end = max(self.end, min(self.sound.seconds(hyp.end), self.sound.length))

    def _step_over(self, hyp: Hypothesis) -> None:
        """Steps over a window in which nothing fits, and over as many words as fluent speech has in its speech. For
        the first `HORIZON` seconds no words, as long as nothing has fitted: the text may begin later."""
        self.frame = hyp.end
        if self.allowance.fits or self.frame > self.sound.frames(HORIZON):
            speech, _ = self.sound.voice(int(hyp.window.frames[0]), hyp.end)
            self.word = self.listener.word_after(hyp.window.first, self.sound.seconds(speech.sum()))

    def _align(self) -> Generator[list[Window], list[np.ndarray], None]:
        """Gives the words up to here their times."""
        (frame, first), past = self.aligned, self.word
        if first < past and frame < self.frame:
            frames = self.sound.heard(frame, self.frame)
            known = [h.window.frames for h in self.posteriors if h.window.first < past and h.window.past > first]
            frames = frames[np.isin(frames, np.concatenate([self.near, *known]))]
            if len(frames):
                voice = self.sound.clip_voice(frames)
                more = self.sound.segment_time, self.posteriors, self.decoding, self.seconds, self.breaks[first:past]
                stretch = Stretch(frames, first, self.words[first:past], voice, *more)
                self.allowance.known = max(self.allowance.known, self.sound.seconds(self.frame))
                times, self.scores[first:past] = yield from rescore(stretch, self.allowance, self.again)
                self.times[first:past] = stretch.seconds(times)
                if not voice.speech.any():  # whatever the model says of silence
                    self.scores[first:past] = 0
        if first < past:
            self.aligned = self.frame, past
        self.posteriors = [known for known in self.posteriors if known.window.past > past]

    def _rest(self) -> Generator[list[Window], list[np.ndarray], None]:
        """What is left where words or audio end."""
        first, count = self.aligned[1], len(self.words)
        if first < count:
            self.word, self.frame = count, self.sound.reach(max(self.frame, self.sound.frames(self.end)))
            self.times[first:] = self.end
            yield from self._align()
