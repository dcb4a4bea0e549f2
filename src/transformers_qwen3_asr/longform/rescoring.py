"""
Words whose place is in doubt are asked for again, and a word's time is read from all answers that have it.

Where the text lacks words, or has some that are not said, an aligner often goes on too early or too late, and says so
by its scores. So it is asked again: for these words with their neighbours, and in shorter audio at both ends of where
they may be, where what is missing is not in the way; for a sentence's first words, from the pause behind them. Each
answer counts by how sure it is of the word, so that windows that were cut in the wrong place hardly do.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..alignment.decoding import DEFAULT_DECODING, decode_slots
from ..alignment.durations import SPOKEN, letters, shortest_lengths
from ..alignment.untranscribed import FRAME
from ..alignment.voice_activity import VoiceActivity
from ..text.sentences import SENTENCE_END
from .constants import AROUND, DOUBTFUL, HORIZON, PAUSE, SHORTER, SURE, TEMPO
from .sound import runs
from .window_path import window_path

ZERO = 1e-12  # stands for 0, which has no logarithm
FILLED_UP = 0.5  # seconds up to which the feature extractor fills shorter audio, which costs as much


@dataclass(frozen=True)
class Window:
    """What the model is asked: for words `first` to `past - 1`, in the audio of `frames` `(frames,)`, numbers of the
    recording's frames (as long as a class) that rise."""

    frames: np.ndarray
    first: int
    past: int

    def same(self, other: "Window") -> bool:
        """Whether the other is the same question."""
        return (self.first, self.past) == (other.first, other.past) and np.array_equal(self.frames, other.frames)

    def given(self, segment_time: float) -> float:
        """Seconds of audio that the model is given, with `segment_time` milliseconds a frame."""
        return max(FILLED_UP, len(self.frames) * segment_time / 1000)


@dataclass(frozen=True)
class Posterior:
    """The model's answer to a window: `probabilities` `(2 * words, frames)`, and the `weights` of its words,
    `(words,)`."""

    window: Window
    probabilities: np.ndarray
    weights: np.ndarray


@dataclass
class Allowance:
    """
    How much may be searched and asked again: until the model was given `budget` times the seconds of audio that are
    `known` to be there. Until the text `fits` somewhere half of these count, or the first `HORIZON / 2` if more.
    `heard` seconds were given so far. What is between `done` and `known` is kept for its first hearing.
    """

    budget: float
    heard: float = 0.0
    known: float = 0.0
    done: float = 0.0
    fits: bool = False

    def left(self) -> float:
        """Seconds that are left for asking again."""
        seconds = self.known if self.fits else max(self.known / 2, min(self.known, HORIZON / 2))
        return self.budget * seconds - self.heard - (self.known - self.done)


@dataclass
class Stretch:
    """
    A part of a recording and the words that are placed in it: between two anchors, or a whole clip.

    `frames` `(frames,)` are those of the recording that are heard, which rise; `words` those of the text from `first`
    on, and `breaks` behind them; `voice` what is heard in `frames`. A window may have `longest` seconds of audio.
    """

    frames: np.ndarray
    first: int
    words: Sequence[str]
    voice: VoiceActivity
    segment_time: float
    posteriors: list[Posterior] = field(default_factory=list)
    decoding: str = DEFAULT_DECODING
    longest: float = np.inf
    breaks: Sequence[int] | None = None
    starts: list[Posterior] = field(default_factory=list)  # of `sentence_starts`

    def __post_init__(self):
        self.lengths = [letters(word) for word in self.words]
        self._said = np.append(0.0, np.cumsum(self.lengths)) * SPOKEN / 1000  # up to each word
        self._lasting = shortest_lengths(self.lengths, len(self.words), self.segment_time)

    def add(self, window: Window, probabilities: np.ndarray, start: bool = False) -> None:
        """Adds the model's answer to a window within the stretch, which may be one of `sentence_starts`."""
        inside = np.searchsorted(self.frames, window.frames)
        words = slice(window.first - self.first, window.past - self.first)
        voice = self.voice.of(inside, self.segment_time)
        path = window_path(probabilities, voice, self._lasting[words], self.segment_time)
        scores = np.pad(path.scores, (0, len(probabilities) // 2 - path.count))
        (self.starts if start else self.posteriors).append(Posterior(window, probabilities, word_weights(scores)))

    def mixture(self) -> np.ndarray:
        """The weighted sum of all answers' probabilities, `(2 * words, frames)`, nowhere 0. Each of `sentence_starts`
        counts once for each other answer of the stretch, of which all may have the same mistake."""
        mixed = np.full((2 * len(self.words), len(self.frames)), ZERO)
        for posterior in self.posteriors + len(self.posteriors) * self.starts:
            window = posterior.window
            first, past = max(self.first, window.first), min(self.first + len(self.words), window.past)
            if first >= past:
                continue
            places = np.searchsorted(self.frames, window.frames).clip(0, len(self.frames) - 1)
            shared = self.frames[places] == window.frames
            rows = slice(2 * (first - window.first), 2 * (past - window.first))
            weights = np.repeat(posterior.weights[first - window.first : past - window.first], 2)
            mixed[2 * (first - self.first) : 2 * (past - self.first), places[shared]] += (
                weights[:, None] * posterior.probabilities[rows, shared]
            )
        return mixed

    def decoded(self) -> tuple[np.ndarray, np.ndarray]:
        """Times `(words, 2)`, in seconds of `frames` one behind the other, and scores `(words,)`."""
        logits = torch.from_numpy(np.log(self.mixture()))
        seconds = len(self.frames) * self.segment_time / 1000
        return decode_slots(
            logits, len(self.words), self.segment_time, "the recording", self.decoding, seconds, self.lengths, False,
            self.voice, self.breaks,
        )  # fmt: skip

    def sentence_starts(self, times: np.ndarray) -> list[Window]:
        """
        Windows for the first words of a sentence, from a pause that comes soon behind them where none is before them.
        They are often taken for the last words before that pause: the model is sure of it as long as it hears those.
        """
        seconds, asked = self.seconds(times), []
        gaps = np.append(0.0, seconds[1:, 0] - seconds[:-1, 1])
        for word in 1 + np.flatnonzero([] if self.breaks is None else np.equal(self.breaks[:-1], SENTENCE_END)):
            pause = word + int(gaps[word : word + AROUND + 1].argmax())
            if gaps[word] < PAUSE <= gaps[pause] - PAUSE:
                past = min(len(times), pause + 2 * AROUND)
                room = TEMPO * (self._said[pause] - self._said[word]) + PAUSE  # for words that may be behind it
                begin = max(times[pause - 1, 1], times[pause, 0] - room) + PAUSE / 2
                asked.append((begin, times[past - 1, 1] + PAUSE / 2, int(word), past))
        return self._windows(asked)

    def doubtful(self, times: np.ndarray, scores: np.ndarray, cut: bool, together: bool) -> list[Window]:
        """
        Windows that ask again for runs of words that are not sure, with one in doubt among them; or, where they count
        `together`, as far below `SURE` in sum as one in doubt is. With their neighbours on either side; or, `cut`, in
        the end of what is heard around the run, with the words behind it, and in its beginning, with those before it.
        These have three lengths: what the run takes in slow, in fluent and in fast speech.
        """
        words, seconds, said = len(scores), len(self.frames) * self.segment_time / 1000, self._said
        sounding = np.append(0.0, np.cumsum(self.voice.silence == 0)) * FRAME  # seconds, up to each of `voice`
        begins, ends = np.append(0.0, times[:, 1]), np.append(times[:, 0], seconds)  # of what is between words
        middles = np.concatenate([[0.0], (times[:-1, 1] + times[1:, 0]) / 2, [seconds]])
        near = np.convolve(scores < DOUBTFUL, np.ones(2 * AROUND + 1))[AROUND : AROUND + words] > 0
        asked = []
        for first, past in (*runs(near & (scores < SURE)), *runs(together & (scores < SURE))):
            if (np.sum if together else np.max)(SURE - scores[first:past]) < SURE - DOUBTFUL:
                continue
            before, behind = max(0, first - AROUND), min(words, past + AROUND)
            if not cut:  # with all words, or where there are more than can be said, with the first and with the last
                most = TEMPO * (middles[behind] - middles[before])
                head = min(behind, int(np.searchsorted(said, said[before] + most)))
                tail = max(before, int(np.searchsorted(said, said[behind] - most, "right")) - 1)
                asked += [(middles[before], middles[behind], *part) for part in ((before, head), (tail, behind))]
                continue
            begin, end = np.interp((begins[first], ends[past]), np.arange(len(sounding)) * FRAME, sounding)
            for length in (said[past] - said[first]) * np.array([TEMPO, 1.0, 1 / TEMPO]):
                if length < SHORTER * (end - begin):
                    late, early = FRAME * np.searchsorted(sounding, (end - length, begin + length))
                    asked.append((late, middles[behind], first, behind))
                    asked.append((middles[before], early, before, past))
        return self._windows(asked)

    def _windows(self, asked: list[tuple[float, float, int, int]]) -> list[Window]:
        """Windows of `(begin, end, first, past)`, seconds and words of the stretch, that were not heard yet."""
        frame = self.segment_time / 1000
        windows = [
            Window(self.frames[int(begin / frame) : int(np.ceil(end / frame))], self.first + first, self.first + past)
            for begin, end, first, past in dict.fromkeys(asked)
            if PAUSE <= end - begin <= self.longest
        ]
        known = [posterior.window for posterior in self.posteriors + self.starts]
        return [window for window in windows if not any(map(window.same, known))]

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Times `(words, 2)` in seconds of `frames` one behind the other as seconds of the recording. A word that
        reaches across frames that were left out is cut to the side where more of it is."""
        frame, last = self.segment_time / 1000, len(self.frames) - 1
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


def rescore(
    stretch: Stretch, allowance: Allowance, again: bool = True
) -> Generator[list[Window], list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Times and scores as `Stretch.decoded` gives them, after what is in doubt was asked for `again` as far as the
    `allowance` goes. What is in doubt only together is, until a fifth of the budget up to here was heard."""
    times, scores = stretch.decoded()
    for stage in (0, 1, 2, 0) if again else ():  # words asked for again may be put before a pause
        together = allowance.heard < allowance.budget / 5 * stretch.frames[-1] * stretch.segment_time / 1000
        asked = stretch.doubtful(times, scores, stage == 2, together) if stage else stretch.sentence_starts(times)
        seconds = np.cumsum([window.given(stretch.segment_time) for window in asked])
        if windows := asked[: np.searchsorted(seconds, allowance.left(), "right")]:
            allowance.heard += float(seconds[len(windows) - 1])
            for window, answer in zip(windows, (yield windows), strict=True):
                stretch.add(window, answer, not stage)
            times, scores = stretch.decoded()
    return times, scores


def word_weights(scores: np.ndarray) -> np.ndarray:
    """What each word of an answer counts for, `(words,)`: the square of the geometric mean of its score and its
    neighbours'. The place of a word beside others that were not found is not believed."""
    if not len(scores):
        return scores
    logs = np.log(np.pad(scores, 1, mode="edge") + ZERO)
    return np.exp(2 * (logs[:-2] + logs[1:-1] + logs[2:]) / 3)
