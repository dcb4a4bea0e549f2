"""
Where a long recording is cut into windows, and how well the model's answer to one fits (its hypothesis).

The next window begins at an anchor: in a pause between sure words, or else a few words before the last that fits. The
window before runs on past it, so that both hear what is around it.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from ..alignment.durations import SPOKEN, letters, shortest_lengths
from ..text.sentences import SENTENCE_END
from .constants import AROUND, DOUBTFUL, EVIDENCE_A_WORD, LATE_PAUSE, OVERLAP, PAUSE, SURE, TEMPO
from .rescoring import Allowance, Posterior, Window, word_weights
from .sound import Sound
from .window_path import WindowPath, window_path

#: A frame of the recording, and the word that is said from there on or later.
Place = tuple[int, int]


@dataclass(frozen=True)
class Hypothesis:
    """A window with the model's answer, `(2 * words, frames)` probabilities, and the best path through it. `end` is
    the frame past its audio."""

    window: Window
    probabilities: np.ndarray
    path: WindowPath
    end: int

    @property
    def first(self) -> int:
        """The first word of the run that fits, counted in the whole text."""
        return self.window.first + self.path.first

    @property
    def past(self) -> int:
        """One past the last word of that run."""
        return self.window.first + self.path.past

    def spans(self) -> np.ndarray:
        """The recording's frames in which the words of the path begin and end, `(count, 2)`."""
        return self.window.frames[self.path.places]

    def posterior(self, past: int | None = None) -> Posterior:
        """What it says of the words that have a place in it, up to `past`."""
        count = self.path.count if past is None else max(0, min(self.path.count, past - self.window.first))
        window = Window(self.window.frames, self.window.first, self.window.first + count)
        return Posterior(window, self.probabilities[: 2 * count], word_weights(self.path.scores[:count]))


#: Asks for windows, is sent the probabilities of each, and returns hypotheses.
Asking = Generator[list[Window], list[np.ndarray], list[Hypothesis]]


class Listener:
    """
    Asks for windows of a recording, of at most `seconds` of audio. `breaks` are those behind its `words`.

    `said` `(words + 1,)` are seconds that the words up to each take in fluent speech.
    """

    def __init__(
        self, sound: Sound, words: Sequence[str], seconds: float, allowance: Allowance, breaks: Sequence[int]
    ):
        self.sound, self.words, self.seconds, self.allowance, self.breaks = sound, words, seconds, allowance, breaks
        self.lengths = np.array([letters(word) for word in words])
        self.said = np.append(0.0, np.cumsum(self.lengths)) * SPOKEN / 1000

    def word_after(self, word: int, seconds: float) -> int:
        """The word that is said so many seconds after (or before) another begins; past the last behind the text."""
        return int(np.searchsorted(self.said, self.said[word] + seconds).clip(0, len(self.words)))

    def window(self, frame: int, word: int, seconds: float) -> tuple[Window, int] | None:
        """
        The window of `seconds` of audio, without the inside of pauses, from `frame` on, and of the words from `word`
        on; and the frame past its audio. `None` where there is no audio.
        """
        sound, size = self.sound, self.sound.frames(min(seconds, self.seconds))
        ahead = size
        while True:
            end = sound.reach(frame + ahead)
            heard = sound.heard(frame, end)
            if len(heard) > size or end < frame + ahead:
                break
            ahead += max(size - len(heard), ahead // 2)
        end = int(heard[size]) if len(heard) > size else end
        if not sound.is_end(end):
            middles = frame + sound.pauses_in(sound.voice(frame, end)[1]).mean(1).astype(int)
            late = middles[np.searchsorted(heard, middles) > LATE_PAUSE * size]
            end = int(late[-1]) if len(late) else end
        heard = heard[heard < end]
        if not len(heard):
            return None
        past = max(word + 1, self.word_after(word, TEMPO * sound.seconds(len(heard))))
        return Window(heard, word, past), end

    def anchor(self, hyp: Hypothesis, before: Place) -> tuple[Place, bool]:
        """Where the next window begins, behind `before`, where this one does; and whether words or audio end there."""
        past, spans = hyp.path.past, hyp.spans()
        end = int(spans[past - 1, 1]) + 1 if past else hyp.end
        if hyp.past >= len(self.words):
            return (hyp.end, hyp.past), True
        left = self.sound.seconds(self.sound.voice(end, max(end, hyp.end))[0].sum())
        if self.sound.is_end(hyp.end) and left < OVERLAP:
            return (end, hyp.past), True
        # behind the run there may be speech that the next words do not fit, and its last words may fit by chance
        last = max(hyp.path.first, past - AROUND)
        pause = self._pause(hyp) if left <= OVERLAP else None
        for frame, word in (pause or (int(spans[last, 0]), hyp.window.first + last), (end, hyp.past)):
            if frame >= before[0] and (word, frame) > before[::-1]:
                return (frame, word), False
        return (hyp.end, hyp.past), False

    def _pause(self, hyp: Hypothesis) -> Place | None:
        """The middle of the last pause between sure words behind which enough is heard, and shortly before which
        no sentence begins without a pause: its first words may belong behind this one."""
        path, spans, base = hyp.path, hyp.spans(), int(hyp.window.frames[0])
        tight = spans[1:, 0] - spans[:-1, 1] < self.sound.frames(PAUSE)
        early = np.append(False, tight & np.equal(self.breaks[hyp.window.first :][: len(tight)], SENTENCE_END))
        speech, silence = self.sound.voice(base, hyp.end)
        behind = self.sound.seconds(np.append(np.cumsum(speech[::-1])[::-1], 0))
        pauses = self.sound.pauses_in(silence) + base
        best, surest = None, DOUBTFUL
        for word in (k for k in range(path.past - 1, path.first, -1) if not early[max(0, k - AROUND) : k].any()):
            sure = min(path.scores[word - 1], path.scores[word])
            begin = np.maximum(pauses[:, 0], spans[word - 1, 1])
            stop = np.minimum(pauses[:, 1], spans[word, 0])
            widest = int(np.argmax(stop - begin)) if len(pauses) else 0
            if sure <= surest or not len(pauses) or self.sound.seconds(stop[widest] - begin[widest]) < PAUSE:
                continue
            middle = int(begin[widest] + stop[widest]) // 2
            if behind[middle - base] >= OVERLAP:
                best, surest = (middle, hyp.window.first + word), sure
                if sure >= SURE:
                    break
        return best

    def ask(self, places: Sequence[Place], seconds: float) -> Asking:
        """Hypotheses of windows that begin at `(frame, word)`, of those that have audio and words."""
        asked = [one for at, word in places if word < len(self.words) and (one := self.window(at, word, seconds))]
        if not asked:
            return []
        answers = yield [window for window, _ in asked]
        self.allowance.heard += sum(window.given(self.sound.segment_time) for window, _ in asked)
        return [self._hypothesis(*one, answer) for one, answer in zip(asked, answers, strict=True)]

    def _hypothesis(self, window: Window, end: int, probabilities: np.ndarray) -> Hypothesis:
        segment_time = self.sound.segment_time
        voice = self.sound.clip_voice(window.frames)
        lasting = shortest_lengths(self.lengths[window.first : window.past], window.past - window.first, segment_time)
        return Hypothesis(window, probabilities, window_path(probabilities, voice, lasting, segment_time), end)

    def enough(self, most: float, word: int) -> float:
        """Evidence that is asked of a window from `word` on: `most`, or less where the text ends."""
        return min(most, EVIDENCE_A_WORD * (len(self.words) - word))
