"""Recordings made louder, noisier, slower, longer, with their words' times kept right to a sample.

    Augmentation([Concatenation(rows, sizes), Speed(), Silence(), Gain(), Noise()])

Steps run in the order in which they are given, each with its own probability, and all draws come from one random
generator, so that the same seed gives the same clip. Silence and concatenation move times by whole samples, speed
divides them by its factor, gain and noise leave them as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from .randomness import row_key


@dataclass(frozen=True)
class Clip:
    """
    A recording and its words on their way through an augmentation.

    Attributes:
        samples: `(samples,)` float32, within [-1, 1].
        rate: hertz.
        words: `{"text", "start", "end"}` each, seconds.
        name: how messages call it.
        key: the row's number for draws (`randomness.row_key`).
    """

    samples: np.ndarray
    rate: int
    words: list[dict]
    name: str
    key: int

    @classmethod
    def of_row(cls, row: Mapping[str, Any], samples: np.ndarray, rate: int, name: str) -> "Clip":
        """A row with its samples. Times that lie behind the last sample, by rounding, are put there."""
        last = len(samples) / rate
        words = [{**w, "start": min(w["start"], last), "end": min(w["end"], last)} for w in row["words"]]
        return cls(samples, rate, words, name, row_key(row))

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def moved(self, seconds: float) -> list[dict]:
        """The words, all later by `seconds`."""
        return [{**w, "start": w["start"] + seconds, "end": w["end"] + seconds} for w in self.words]


class RowSize(NamedTuple):
    """What a row takes up: seconds of its recording, and tokens of its prompt without the audio's."""

    seconds: float
    text_tokens: int


class Step:
    """
    One thing that may be done to a clip.

    Subclasses have `apply(clip, random, limit)`, which leaves the clip alone and returns another, not above `limit`
    seconds unless the clip was, and where clips may grow `bound(size, key)`.

    Args:
        probability: how many clips it is done to, from 0 to 1.
    """

    def __init__(self, probability: float):
        if not 0 <= probability <= 1:
            raise ValueError(f"{type(self).__name__}: probability must be between 0 and 1, not {probability!r}")
        self.probability = probability

    def apply(self, clip: Clip, random: np.random.Generator, limit: float) -> Clip:
        raise NotImplementedError

    def bound(self, size: RowSize, key: int) -> RowSize:
        """The most that a row of `size` can become."""
        return size


class Augmentation:
    """
    Steps one after the other.

    Args:
        steps: of this module, or subclasses of `Step`.
        limit_seconds: no clip is made longer than this; default: the model's last class. A recording that is longer
            already stays as long.

    Raises `ValueError` where a step does not fit its place: `Concatenation` joins rows as they are, so it comes first.
    """

    def __init__(self, steps: Sequence[Step], limit_seconds: float | None = None):
        for i, step in enumerate(steps):
            if not isinstance(step, Step):
                raise ValueError(f"step {i} of the augmentation is of type {type(step).__name__}")
            if i and getattr(step, "joins_rows", False):
                raise ValueError(f"{type(step).__name__} must be the first step, not number {i + 1}")
        if limit_seconds is not None and not limit_seconds > 0:
            raise ValueError(f"limit_seconds must be above 0, not {limit_seconds!r}")
        self.steps = list(steps)
        self.limit_seconds = limit_seconds

    def __call__(self, clip: Clip, random: np.random.Generator, limit: float = float("inf")) -> Clip:
        """`clip` (left alone) as the steps make it with the numbers of `random`; `limit` in seconds holds as well."""
        limit = min(limit, self.limit_seconds or limit)
        for step in self.steps:
            if random.random() < step.probability:
                clip = step.apply(clip, random, limit)
        return clip

    def bound(self, size: RowSize, key: int) -> RowSize:
        """The most that a row of `size` and `key` can become, for batches that hold so many tokens."""
        longest = max(size.seconds, self.limit_seconds or float("inf"))
        for step in self.steps:
            if step.probability > 0:
                size = step.bound(size, key)
        return size._replace(seconds=min(size.seconds, longest))


class Gain(Step):
    """
    Louder or quieter by a number of decibels, drawn evenly from `decibels`.

    What would leave [-1, 1] is made as loud as fits: recordings are read like this, and nothing is clipped.
    """

    def __init__(self, decibels: tuple[float, float] = (-15.0, 6.0), probability: float = 1.0):
        super().__init__(probability)
        self.decibels = checked_range("Gain", "decibels", decibels)

    def apply(self, clip, random, limit):
        return replace(
            clip, samples=within_full_scale(clip.samples * np.float32(10 ** (random.uniform(*self.decibels) / 20)))
        )


class Silence(Step):
    """
    Zeros before and after the clip, so many seconds as are drawn evenly from `before` and `after`.

    Times move by the samples before. What is over the limit is left out, of both sides in proportion. Put `Noise`
    behind it, and the silence sounds like a room.
    """

    def __init__(
        self,
        before: tuple[float, float] = (0.0, 1.0),
        after: tuple[float, float] = (0.0, 1.0),
        probability: float = 1.0,
    ):
        super().__init__(probability)
        self.before = checked_range("Silence", "before", before, least=0)
        self.after = checked_range("Silence", "after", after, least=0)

    def apply(self, clip, random, limit):
        wanted = np.array([random.uniform(*self.before), random.uniform(*self.after)])
        room = max(0.0, limit - clip.seconds)
        if wanted.sum() > room:
            wanted *= room / wanted.sum()
        before, after = (int(seconds * clip.rate) for seconds in wanted)
        return replace(clip, samples=np.pad(clip.samples, (before, after)), words=clip.moved(before / clip.rate))

    def bound(self, size, key):
        return size._replace(seconds=size.seconds + self.before[1] + self.after[1])


class Speed(Step):
    """
    Played faster or slower by a factor drawn evenly from `factors`, in hundredths; pitch and formants move with it.

    A sample at second t is then at second t / factor, and so are the times (Ko et al. 2015, "Audio augmentation for
    speech recognition"). A clip that would be over the limit is slowed down less, or not at all.
    """

    def __init__(self, factors: tuple[float, float] = (0.9, 1.1), probability: float = 1.0):
        super().__init__(probability)
        self.factors = checked_range("Speed", "factors", factors, least=0.1)

    def apply(self, clip, random, limit):
        hundredths = round(100 * random.uniform(*self.factors))
        # rounded up: the factor that fits; a clip over the limit is not made faster for it
        hundredths = max(hundredths, min(100, int(np.ceil(100 * clip.seconds / limit))))
        if hundredths == 100:
            return clip
        samples = resampled(clip.samples, hundredths, 100)
        words = [{**w, "start": w["start"] * 100 / hundredths, "end": w["end"] * 100 / hundredths} for w in clip.words]
        return replace(clip, samples=within_full_scale(samples), words=words)

    def bound(self, size, key):
        return size._replace(seconds=size.seconds * 100 / min(100, round(100 * self.factors[0])))


def resampled(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """
    `samples` read at every `up / down`-th place: sample k of the answer is the signal at place `k * up / down`.

    Band-limited interpolation with a Hann-windowed sinc (Smith, "Digital Audio Resampling"), without delay: an
    impulse at place `k * up / down` peaks at sample k. Zeros are taken to stand before and behind. The
    answer has `ceil(len(samples) * down / up)` samples.
    """
    divisor = int(np.gcd(up, down))
    up, down = up // divisor, down // divisor
    cutoff = min(1.0, down / up)  # below the lower of the two half rates
    width = int(np.ceil(24 / cutoff))  # samples on each side that an answer is made from
    # answers k * down + r, for all k, are one filter a phase r, moved by `up` samples
    place = np.arange(down)[:, None] * up / down
    offset = np.arange(-width, width + up)[None] - place
    window = np.where(np.abs(offset) < width, np.cos(np.pi * offset / (2 * width)) ** 2, 0.0)
    filters = torch.from_numpy((cutoff * np.sinc(cutoff * offset) * window).astype(np.float32))[:, None]
    length = -(-len(samples) * down // up)
    blocks = -(-length // down)
    padded = np.zeros(width + max(len(samples), blocks * up) + width + up, dtype=np.float32)
    padded[width : width + len(samples)] = samples
    answers = torch.nn.functional.conv1d(torch.from_numpy(padded)[None, None], filters, stride=up)[0, :, :blocks]
    return np.ascontiguousarray(answers.T.reshape(-1)[:length].numpy())


def within_full_scale(samples: np.ndarray) -> np.ndarray:
    """Float32 samples, divided by their peak where it is above 1."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples / peak if peak > 1.0 else samples).astype(np.float32, copy=False)


def checked_range(step: str, name: str, values, least: float = -np.inf) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{step}: {name} must be two numbers, not {values!r}") from None
    if not (np.isfinite([low, high]).all() and least <= low <= high):
        below = f" of at least {least:g}" if np.isfinite(least) else ""
        raise ValueError(f"{step}: {name} must be two rising numbers{below}, not {values!r}")
    return low, high
