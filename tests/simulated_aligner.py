"""An aligner that knows the truth and has the limits that aligners are known for, and recordings for it to be asked
about: noise where words are said, and next to nothing between."""

from dataclasses import dataclass

import numpy as np

from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.longform.rescoring import Allowance
from transformers_qwen3_asr.longform.sound import Sound
from transformers_qwen3_asr.longform.walk import Walk

#: Hertz of the recordings, which nobody hears.
RATE = 16000


@dataclass(frozen=True)
class Recording:
    """`words` of the text with their `times` `(words, 2)` in seconds, NaN where they are not said; `sounds` `(sounds,
    2)`, all seconds in which something is heard, words or not; and the `duration`."""

    words: list[str]
    times: np.ndarray
    sounds: np.ndarray
    duration: float

    def lacking(self, first, past):
        """The text lacks some words, which are said."""
        keep = np.r_[:first, past : len(self.words)]
        return Recording([self.words[k] for k in keep], self.times[keep], self.sounds, self.duration)

    def unsaid(self, place, count):
        """The text has `count` words more before the one at `place`, which are not said."""
        more = ["a" * (2 + k % 7) for k in range(count)]
        times = np.insert(self.times, [place] * count, np.nan, axis=0)
        return Recording(self.words[:place] + more + self.words[place:], times, self.sounds, self.duration)

    def later(self, place, seconds, sounds=None):
        """Before the word at `place` come `seconds` of something else: noise without pauses, or `sounds`."""
        at = self.times[place, 0] - 0.05 if place < len(self.words) else self.duration
        sounds = np.array([[0.0, seconds]]) if sounds is None else sounds[sounds[:, 1] < seconds]
        mine = self.sounds + np.where(self.sounds[:, :1] >= at, seconds, 0)
        times = self.times + np.where(np.isnan(self.times[:, :1]) | (self.times[:, :1] < at), 0, seconds)
        sounds = np.concatenate([mine, sounds + at])
        return Recording(self.words, times, sounds[np.argsort(sounds[:, 0])], self.duration + seconds)

    def samples(self, rate=RATE):
        random = np.random.default_rng(0)
        loudness = np.full(int(self.duration * rate), 1e-4, dtype=np.float32)
        for begin, end in self.sounds:
            part = loudness[int(begin * rate) : int(end * rate)]
            part[:] = 0.1 * 10 ** (0.3 * (np.cos(2 * np.pi * 5 * np.arange(len(part)) / rate) - 1))  # syllables
        return loudness * random.standard_normal(len(loudness), dtype=np.float32)

    def sound(self, segment_time=20.0):
        return Sound(AudioStream(self.samples(), RATE), segment_time)


def speech(count=300, seed=0, pauses=(0.3, 1.5), every=10):
    """Words of 1 to 9 letters, fluently said; a pause after every tenth or so."""
    random = np.random.default_rng(seed)
    times, words, at = [], [], 0.4
    for _ in range(count):
        words.append("a" * random.integers(1, 10))
        length = max(0.12, 0.075 * len(words[-1]) * random.uniform(0.8, 1.2))
        times.append((at, at + length))
        at += length + (random.uniform(*pauses) if random.random() < 1 / every else random.choice([0.0, 0.04]))
    return Recording(words, np.array(times), np.array(times), at + 0.5)


class SimulatedAligner:
    """
    Args:
        recording: what is asked about.
        segment_time: milliseconds a class.
        reach: the most seconds of sound before a word that belong to no word of the window, and
        skips: the most words that are not said, that it gets over; behind that it is lost.
        lost: the share of windows that it does not understand at all.

    Answers depend on the window and the `seed`, not on what was asked before. `heard` are seconds.
    """

    def __init__(self, recording, segment_time=20.0, *, reach=1.0, skips=3, lost=0.0, seed=0):
        self.times, self.frame = recording.times, segment_time / 1000
        self.reach, self.skips, self.lost, self.seed = reach, skips, lost, seed
        self.sounding = np.zeros(int(recording.duration / self.frame) + 2, dtype=bool)
        for begin, end in recording.sounds:
            self.sounding[round(begin / self.frame) : round(end / self.frame)] = True
        self.windows, self.heard = [], 0.0

    def answer(self, window):
        frames, words = window.frames, window.past - window.first
        assert words > 0 and len(frames) and (np.diff(frames) > 0).all(), window
        assert 0 <= window.first < window.past <= len(self.times) and frames[-1] < len(self.sounding), window
        self.windows.append(window)
        self.heard += window.given(1000 * self.frame)
        seed = [self.seed, int(frames[0]), int(frames[-1]), len(frames), window.first, window.past]
        random = np.random.default_rng(seed)
        found = {} if random.random() < self.lost else self._found(window)
        noise = random.lognormal(0, 1.0, (2 * words, len(frames) + 8))
        noise = sum(noise[:, k : k + len(frames)] for k in range(8))  # aligners' classes are not independent
        answer = noise / noise.sum(1, keepdims=True)
        every = np.arange(len(frames))
        for word, places in found.items():
            share = random.beta(6, 1) if random.random() < 0.97 else random.beta(1, 2)
            for slot, place in zip((2 * word, 2 * word + 1), places, strict=True):
                peak = np.exp(-0.5 * ((every - place - random.normal(0, 0.5)) / 1.2) ** 2)
                answer[slot] = share * peak / peak.sum() + (1 - share) * answer[slot]
        behind = 2 * (max(found) + 1) if found else 2 * words
        if seed[-1] % 2:  # words behind the end are piled up there, or anywhere
            pile = np.exp((every - len(frames)) / 5)
            answer[behind:] = 0.8 * pile / pile.sum() + 0.2 * answer[behind:]
        return answer.astype(np.float32)

    def _found(self, window):
        """The words of a window that are understood, and the frames in it that they begin and end in."""
        frames, found, end, last = window.frames, {}, 0, -1
        places = np.round(self.times[window.first : window.past] / self.frame)
        for word in np.flatnonzero((places[:, 0] >= frames[0]) & (places[:, 1] <= frames[-1])):
            begin, past = np.searchsorted(frames, places[word])
            foreign = self.sounding[frames[end:begin]].sum() * self.frame
            if foreign > self.reach or word - last - 1 > self.skips:
                break
            found[int(word)], end, last = (begin, past), past, word
        return found


def drive(generator, answer, rounds=None):
    """Runs a generator of windows to its end and returns its result; `rounds` takes up how many windows each asked."""
    try:
        windows = next(generator)
        while True:
            if rounds is not None:
                rounds.append(len(windows))
            windows = generator.send([answer(window) for window in windows])
    except StopIteration as stop:
        return stop.value


def walked(recording, aligner=None, *, budget=3.0, seconds=12.0, segment_time=20.0, again=True, decoding="joint"):
    """A `Walk` through a recording that is at its end, and the aligner."""
    told = []
    aligner = aligner or SimulatedAligner(recording, segment_time)
    sound, allowance = recording.sound(segment_time), Allowance(budget)
    breaks = [False] * len(recording.words)
    walk = Walk(sound, recording.words, seconds, allowance, decoding, again, breaks, lambda *place: told.append(place))
    drive(walk.run(), aligner.answer)
    assert walk.times.shape == (len(recording.words), 2) and walk.scores.shape == (len(recording.words),)
    assert np.isfinite(walk.times).all() and (np.diff(walk.times.ravel()) >= 0).all()
    assert walk.times.size == 0 or (walk.times.min() >= 0 and walk.times.max() <= recording.duration + 0.021)
    assert ((walk.scores >= 0) & (walk.scores <= 1)).all()
    assert abs(allowance.heard - aligner.heard) < 1e-6
    assert told == sorted(told) and told[-1][1] == len(recording.words)
    assert told[-1][0] <= recording.duration + segment_time / 1000
    return walk, aligner


def off(walk, recording):
    """Seconds by which each word is off, `(words,)`; NaN for those that are not said."""
    return np.abs(walk.times - recording.times).max(1)
