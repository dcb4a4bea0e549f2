"""Labelled clips of people joined to long recordings, and what is done to text and sound, for long_recordings.py."""

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from alignment_clips import QUIET, LabelledClip, with_changed_words, with_noise

RATE = 16000
PAUSES = (0.2, 10.0)  # seconds between clips, at least and at most
MINUTE = 60 * RATE  # samples of what is inserted
SILENCE = 900.0  # seconds of the recording that is silent
_BEAT, _CHORD = (0.25, 0.7), (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)  # seconds; semitones above the lowest note


@dataclass(frozen=True)
class LongRecording:
    """
    A WAV file at `path` of `seconds`, with what it is told to hold.

    `words` is the whole text; `reference` `(words, 2)` milliseconds, NaN for words that are not said; `clips` the
    clips that it was made of, with the same words (but for words that the text has too many).
    """

    path: Path
    seconds: float
    words: list[str]
    reference: np.ndarray
    clips: list[LabelledClip]


@dataclass(frozen=True)
class Case:
    """
    What is done to clips that are joined; nothing, if nothing is said.

    `untranscribed` is the share of clips that something without text follows; `replaced` the share of words that are
    replaced, `changed` that of words that are replaced, left out or added; `noise` is so many decibels below the
    words; `inserted` is heard for a minute in the middle; `missing` and `extra` words are left out of the text and put
    into it there; `backwards` are all words of the text. `silence` is a recording that has nothing but two words,
    and `said` tells whether it has those. `random_scores` are what the model then gives.

    `heard` is the goal: how often the model is to hear the recording's audio at most. `ratio` is the most that words
    are to be off, times what they are in the clips alone, where there is such a goal.
    """

    heard: float = 2.0
    ratio: float | None = None
    untranscribed: float = 0.0
    replaced: float = 0.0
    changed: float = 0.0
    noise: float | None = None
    inserted: str | None = None
    missing: int = 0
    extra: int = 0
    backwards: bool = False
    silence: bool = False
    said: bool = False
    random_scores: bool = False


CASES = {
    "right": Case(heard=1.4, ratio=1.2),
    "untranscribed": Case(untranscribed=0.25),
    "5 % replaced": Case(replaced=0.05),
    "untranscribed, 5 % changed": Case(untranscribed=0.25, changed=0.05),
    "noise 10 dB": Case(noise=10.0),
    "8 words missing": Case(missing=8),
    "40 words missing": Case(missing=40),
    "40 words too many": Case(extra=40),
    "a minute of silence": Case(inserted="silence"),
    "a minute of noise": Case(inserted="noise"),
    "a minute of music": Case(inserted="music"),
    "another text": Case(heard=3.0, backwards=True),
    "random scores": Case(heard=3.0, random_scores=True),
    "two words in silence": Case(heard=3.0, silence=True, said=True),
    "two words, only silence": Case(heard=3.0, silence=True),
}


def make_case(
    case: Case,
    clips: Sequence[LabelledClip],
    path: str | Path,
    seconds: float,
    seed: int = 0,
    pauses: tuple[float, float] = PAUSES,
) -> LongRecording:
    """A recording of `seconds` for a case; see `make_long`."""
    if case.silence:
        return two_words(clips, path, seed, case.said)
    if case.noise is not None:
        clips = with_noise(clips, case.noise, seed)
    if case.replaced:
        clips = with_changed_words(clips, case.replaced, ("replace",), seed)
    if case.changed:
        clips = with_changed_words(clips, case.changed, seed=seed)
    random = np.random.default_rng((seed, 1))  # so that the order of clips is that of the other cases
    inserted = None if case.inserted is None else SOUNDS[case.inserted](random, MINUTE)
    recording = make_long(clips, path, seconds, seed, pauses, case.untranscribed, inserted)
    if case.missing:
        recording = without_words(recording, case.missing)
    if case.extra:
        recording = with_words(recording, case.extra, random)
    if case.backwards or case.random_scores:
        words = recording.words[::-1] if case.backwards else recording.words
        recording = replace(recording, words=words, reference=np.full((len(words), 2), np.nan), clips=[])
    return recording


def make_long(
    clips: Sequence[LabelledClip],
    path: str | Path,
    seconds: float,
    seed: int = 0,
    pauses: tuple[float, float] = PAUSES,
    untranscribed: float = 0.0,
    inserted: np.ndarray | None = None,
) -> LongRecording:
    """
    Joins `clips`, in an order drawn by `seed` and again and again if they are few, until `seconds` are reached, with
    `pauses` (least and most seconds) between them. After the share `untranscribed` of them comes 3 to 20 s of what the
    text does not have: noise, music, or another clip, one of an eighth of all that are not joined then. The samples
    `inserted` come in the middle, besides the `seconds`. Samples are written as they are made. Most clips are a
    sentence, and the text has a full stop behind each, as transcripts do.
    """
    clips = [replace(clip, words=[*clip.words[:-1], clip.words[-1] + "."]) for clip in clips]
    random = np.random.default_rng(seed)
    others: list[LabelledClip] = []
    if untranscribed:  # what is said twice, once without text, may be found at either place
        drawn = [clips[place] for place in np.random.default_rng((seed, 2)).permutation(len(clips))]
        others, clips = drawn[: len(clips) // 8 + 1], drawn[len(clips) // 8 + 1 :] or drawn
    taken, words, references, past = [], [], [], seconds * RATE
    with wave.open(str(path), "wb") as opened:
        file = _Writer(opened, random)
        for clip in _again_and_again(clips, random):
            if file.at >= past:
                break
            references.append(clip.reference + file.at * 1000 / RATE)
            words += clip.words
            taken.append(clip)
            file.write(clip.samples)
            if random.random() < untranscribed:
                file.write(np.zeros(int(random.uniform(*pauses) * RATE)))
                file.write(_without_text(others, random))
            file.write(np.zeros(int(random.uniform(*pauses) * RATE)))
            if inserted is not None and file.at >= past / 2:
                file.write(inserted)
                file.write(np.zeros(int(random.uniform(*pauses) * RATE)))
                past, inserted = past + len(inserted), None
    return LongRecording(Path(path), file.at / RATE, words, np.concatenate(references), taken)


def two_words(clips: Sequence[LabelledClip], path: str | Path, seed: int, said: bool) -> LongRecording:
    """A quarter of an hour of silence, and a text of two words that are `said` in its middle, or are not."""
    order = np.random.default_rng(seed).permutation(len(clips))
    clip = next(clips[place] for place in order if len(clips[place].words) > 2)
    samples = clip.samples[: round((clip.reference[1, 1] + clip.reference[2, 0]) / 2 * RATE / 1000)]
    clip = replace(clip, samples=samples, words=clip.words[:2], reference=clip.reference[:2])
    half = np.zeros(int(SILENCE / 2 * RATE), np.float32)
    with wave.open(str(path), "wb") as opened:
        file = _Writer(opened, np.random.default_rng(seed))
        file.write(half)
        reference = clip.reference + file.at * 1000 / RATE if said else np.full((2, 2), np.nan)
        file.write(clip.samples if said else half[:0])
        file.write(half)
    return LongRecording(Path(path), file.at / RATE, clip.words, reference, [clip] if said else [])


class _Writer:
    """Writes samples to a WAV file, over the noise of a room; `at` counts them."""

    def __init__(self, file: wave.Wave_write, random: np.random.Generator):
        self.at, self._file, self._random = 0, file, random
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))

    def write(self, samples: np.ndarray) -> None:
        room = self._random.normal(0, QUIET, len(samples))  # heard in the pauses
        self._file.writeframes(((samples + room).clip(-1, 1) * 32767).astype("<i2").tobytes())
        self.at += len(samples)


def without_words(recording: LongRecording, count: int) -> LongRecording:
    """`count` words from the middle left out of the text, and of the clips'."""
    first = max(0, len(recording.words) - count) // 2
    kept = np.ones(len(recording.words), dtype=bool)
    kept[first : first + count] = False
    clips, at = [], 0
    for clip in recording.clips:
        own = kept[at : at + len(clip.words)]
        at += len(own)
        if own.any():
            clips.append(replace(clip, words=list(compress(clip.words, own)), reference=clip.reference[own]))
    words = list(compress(recording.words, kept))
    return replace(recording, words=words, reference=recording.reference[kept], clips=clips)


def with_words(recording: LongRecording, count: int, random: np.random.Generator) -> LongRecording:
    """`count` words of the text once more, in any order, put into its middle."""
    words, middle = recording.words, len(recording.words) // 2
    more = [words[place] for place in random.choice(len(words), count)]
    reference = np.insert(recording.reference, middle, np.full((count, 2), np.nan), axis=0)
    return replace(recording, words=[*words[:middle], *more, *words[middle:]], reference=reference)


def _again_and_again(clips: Sequence[LabelledClip], random: np.random.Generator) -> Iterator[LabelledClip]:
    if not clips:
        raise ValueError("there are no clips to join")
    while True:
        for place in random.permutation(len(clips)):
            yield clips[place]


def _without_text(clips: Sequence[LabelledClip], random: np.random.Generator) -> np.ndarray:
    kind = random.integers(3)
    if kind == 0:
        return clips[random.integers(len(clips))].samples
    size = int(random.uniform(3, 20) * RATE)
    return noise(random, size) * random.uniform(0.1, 1) if kind == 1 else music(random, size)


def silence(random: np.random.Generator, size: int) -> np.ndarray:
    return np.zeros(size, np.float32)


def noise(random: np.random.Generator, size: int) -> np.ndarray:
    """White, as loud as loud speech."""
    return random.normal(0, 0.1, size)


def music(random: np.random.Generator, size: int) -> np.ndarray:
    """Plucked chords: three notes a beat, each with four overtones, dying away."""
    beat = int(random.uniform(*_BEAT) * RATE)
    clock = np.arange(beat) / RATE
    made = []
    while len(made) * beat < size:
        notes = 110 * 2 ** (random.choice(_CHORD, 3) / 12) * random.choice([1, 2])
        tones = sum(np.sin(2 * np.pi * note * k * clock) / k**1.5 for note in notes for k in range(1, 6))
        made.append(0.06 * tones * np.exp(-clock * 3))
    return np.concatenate(made)[:size]


SOUNDS = {"silence": silence, "noise": noise, "music": music}
