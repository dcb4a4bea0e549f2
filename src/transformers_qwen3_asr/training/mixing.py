"""Augmentation with other recordings: noise at a given signal-to-noise ratio, and clips joined end to end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..audio.decoding import load_audio
from .augmentation import Clip, RowSize, Step, checked_range, within_full_scale
from .labels import check_kind, slot_classes
from .randomness import JOINING, generator, row_key


class Noise(Step):
    """
    Noise under the whole clip, `snr` decibels below its speech, drawn evenly.

    The ratio is that of mean squares, the speech's inside its words alone, so that pauses do not count; a clip whose
    words are silent, or that draws a silent part, stays as it is. The kind is drawn from `kinds`:

    - "white": equal power at all frequencies; "pink": power that falls with the frequency, 3 dB an octave;
    - "recordings": a part of one of `recordings`, from a random place, repeated where it is too short;
    - "babble": `voices` of `rows` at once, each from a random place, repeated, at equal power; the clip's own row is
      none of them where there are others.

    Args:
        snr: lowest and highest ratio in decibels.
        kinds: of these; default: white and pink, and whichever of the others has been given something to take from.
        recordings: what `load_audio` takes, such as paths.
        rows: rows of labelled speech; their "audio" is used.
        voices: how many for babble.
        probability: how many clips are made noisy.

    Raises `ValueError` for kinds that are not known or have nothing to take from, and, when it is used, naming it, for
    a recording that cannot be loaded or is silent.
    """

    def __init__(
        self,
        snr: tuple[float, float] = (5.0, 30.0),
        kinds: Sequence[str] | None = None,
        recordings: Sequence[Any] = (),
        rows: Sequence[Mapping[str, Any]] = (),
        voices: int = 4,
        probability: float = 1.0,
    ):
        super().__init__(probability)
        self.snr = checked_range("Noise", "snr", snr)
        given = {"white": True, "pink": True, "recordings": len(recordings) > 0, "babble": len(rows) > 0}
        self.kinds = [kind for kind, there in given.items() if there] if kinds is None else list(kinds)
        if not self.kinds:
            raise ValueError("Noise: kinds is empty")
        for kind in self.kinds:
            if not given.get(kind, False):
                reason = f"needs {'rows' if kind == 'babble' else kind}" if kind in given else "is not known"
                raise ValueError(f"Noise: the kind {kind!r} {reason}; known are {', '.join(given)}")
        for kind, values in (("recordings", recordings), ("babble", rows)):
            if len(values) and kind not in self.kinds:
                raise ValueError(f"Noise: {'rows' if kind == 'babble' else kind} are given, but {kind!r} is no kind")
        if voices < 1:
            raise ValueError(f"Noise: voices must be at least 1, not {voices!r}")
        self.recordings, self.rows, self.voices = recordings, rows, voices

    def apply(self, clip, random, limit):
        kind = self.kinds[random.integers(len(self.kinds))]
        ratio = random.uniform(*self.snr)
        noise = getattr(self, f"_{kind}")(clip, random)
        speech = _speech(clip).astype(np.float64)
        power = np.mean(speech**2) if len(speech) else 0.0
        loudness = np.mean(np.square(noise, dtype=np.float64))
        if power == 0 or loudness == 0:
            return clip
        scale = np.sqrt(power / 10 ** (ratio / 10) / loudness)
        return replace(clip, samples=within_full_scale(clip.samples + (scale * noise).astype(np.float32)))

    @staticmethod
    def _white(clip, random):
        return random.standard_normal(len(clip.samples), dtype=np.float32)

    @staticmethod
    def _pink(clip, random):
        # amplitude by the root of the frequency is power by the frequency; from 20 Hz on, as hearing does
        spectrum = np.fft.rfft(random.standard_normal(max(2, len(clip.samples))))
        hertz = np.fft.rfftfreq(max(2, len(clip.samples)), 1 / clip.rate)
        spectrum *= np.where(hertz >= 20, 1 / np.sqrt(np.maximum(hertz, 20)), 0)
        pink = np.fft.irfft(spectrum, max(2, len(clip.samples)))[: len(clip.samples)]
        return pink if pink.any() else random.standard_normal(len(clip.samples))  # shorter than 20 Hz's period

    def _recordings(self, clip, random):
        source = self.recordings[random.integers(len(self.recordings))]
        name = source if isinstance(source, str) else f"recording of type {type(source).__name__}"
        samples = _loaded(source, clip.rate, f"Noise: {name}")
        if not samples.any():
            raise ValueError(f"Noise: {name}: the recording is silent")
        return _part(samples, len(clip.samples), random)

    def _babble(self, clip, random):
        total = np.zeros(len(clip.samples))
        for _ in range(self.voices):
            for _ in range(8):  # the clip itself is drawn again
                row = self.rows[int(random.integers(len(self.rows)))]
                if row_key(row) != clip.key:
                    break
            samples = _loaded(row.get("audio"), clip.rate, f"Noise: row {row.get('id')!r}")
            loudness = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
            total += _part(samples, len(total), random) / (loudness or 1.0)
        return total


class Concatenation(Step):
    """
    Joins other rows of the same language to a clip, in random order and with silence between.

    A share `probability` of the rows is joined with others, the same rows in every epoch; with which ones is drawn
    anew. How long a joined clip may become is drawn evenly between its own length and the limit, once for each row, so
    that all lengths up to the limit are met and a batch sampler knows beforehand what a row takes up.

    Args:
        rows: what to join from; the rows that are trained on must be among them.
        sizes: of `rows`, as `row_sizes` gives them.
        limit_seconds: the longest that is made, at most the model's last class.
        probability: the share of rows that are joined with others.
        gap: fewest and most seconds of silence between two rows.
        seed: of the draws that stay the same in every epoch.

    Raises `ValueError` for numbers that do not fit and, when it is used, naming the row, for a row that is not among
    `rows`, or that is joined and cannot be loaded or has wrong times.
    """

    joins_rows = True
    _TRIES = 20  # partners drawn one after the other that do not fit, before it is left at that
    _ROOM = 1.25  # text a second that a joined clip may hold, of what rows hold in the mean

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        sizes: Sequence[RowSize],
        limit_seconds: float,
        probability: float = 0.5,
        gap: tuple[float, float] = (0.0, 0.5),
        seed: int = 0,
    ):
        if not 0 <= probability <= 1:
            raise ValueError(f"Concatenation: probability must be between 0 and 1, not {probability!r}")
        super().__init__(1.0)  # whether a row is joined is not drawn anew in each epoch
        self.share = probability
        if not 0 < limit_seconds < float("inf"):
            raise ValueError(f"Concatenation: limit_seconds must be above 0 and finite, not {limit_seconds!r}")
        if len(rows) != len(sizes):
            raise ValueError(f"Concatenation: there are {len(sizes)} sizes for {len(rows)} rows")
        if not rows:
            raise ValueError("Concatenation: there are no rows")
        self.rows, self.limit_seconds, self.seed = rows, limit_seconds, seed
        self.gap = checked_range("Concatenation", "gap", gap, least=0)
        self._sizes = [RowSize(*size) for size in sizes]
        self._places: dict[int, int] = {}
        self._of_language: dict[str, list[int]] = defaultdict(list)
        for i, row in enumerate(rows):
            check_kind(row, i, "Concatenation: ")
            self._places[row_key(row)] = i
            self._of_language[str(row.get("language")).lower()].append(i)
        self._density = sum(s.text_tokens for s in self._sizes) / sum(s.seconds for s in self._sizes)

    def bound(self, size, key):
        """The most that the row becomes: its own size, or what was drawn for it."""
        random = generator(self.seed, JOINING, 0, key)
        if random.random() >= self.share or size.seconds >= self.limit_seconds:
            return size
        seconds = random.uniform(size.seconds, self.limit_seconds)
        text = size.text_tokens + int((seconds - size.seconds) * self._density * self._ROOM)
        return RowSize(seconds, text)

    def apply(self, clip, random, limit):
        place = self._places.get(clip.key)
        if place is None:
            raise ValueError("it is not among the rows that Concatenation was given")
        own = self._sizes[place]
        most = self.bound(own, clip.key)
        # of what is measured now, because a container's word on its length is not always exact
        seconds, text = clip.seconds, own.text_tokens
        longest = min(most.seconds, limit)
        others: list[tuple[int, float]] = []
        candidates = self._of_language[str(self.rows[place].get("language")).lower()]
        misses = 0
        while misses < self._TRIES and seconds < longest:
            i = candidates[int(random.integers(len(candidates)))]
            gap = random.uniform(*self.gap)
            size = self._sizes[i]
            if seconds + gap + size.seconds > longest or text + size.text_tokens > most.text_tokens:
                misses += 1
                continue
            others.append((i, gap))
            seconds, text, misses = seconds + gap + size.seconds, text + size.text_tokens, 0
        if not others:
            return clip
        parts = [clip, *(self._clip(i, clip.rate) for i, _ in others)]
        gaps = [int(gap * clip.rate) for _, gap in others]
        return _joined([parts[k] for k in random.permutation(len(parts))], gaps, clip)

    def _clip(self, i: int, rate: int) -> Clip:
        row = self.rows[i]
        name = str(row["id"]) if row.get("id") is not None else f"number {i} of Concatenation's rows"
        samples = _loaded(row.get("audio"), rate, f"joined with row {name}")
        # an aligner's times are checked against its classes; here against order and the audio, to 80 ms
        slot_classes(row["words"], 80, 10**9, len(samples) / rate, f"{name} (joined)")
        return Clip.of_row(row, samples, rate, name)


def _joined(parts: list[Clip], gaps: list[int], clip: Clip) -> Clip:
    """`parts` one behind the other, with `gaps` samples of silence between."""
    pieces, words, at = [], [], 0
    for part, gap in zip(parts, [*gaps, 0]):
        words += part.moved(at / clip.rate)
        pieces += [part.samples, np.zeros(gap, dtype=np.float32)]
        at += len(part.samples) + gap
    return replace(clip, samples=np.concatenate(pieces), words=words, name=" + ".join(part.name for part in parts))


def _speech(clip: Clip) -> np.ndarray:
    """The samples inside words, each once although words overlap; all of them where no word lasts."""
    inside = np.zeros(len(clip.samples), dtype=bool)
    for word in clip.words:
        inside[round(word["start"] * clip.rate) : round(word["end"] * clip.rate)] = True
    return clip.samples[inside] if inside.any() else clip.samples


def _loaded(source: Any, rate: int, name: str) -> np.ndarray:
    try:
        return load_audio(source, rate)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _part(samples: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """`length` samples from a random place on, going round at the end."""
    start = int(random.integers(len(samples)))
    return np.resize(np.roll(samples, -start), length) if len(samples) < length + start else samples[start:][:length]
