"""Labelled clips for alignment_quality.py: as they are, over a telephone, with noise, with changed transcripts."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.evaluation.rows import BadRows, items
from transformers_qwen3_asr.training import augmentation
from transformers_qwen3_asr.training.mixing import Noise

#: Of people's 96 clips two say more than their labels, for 0.5 and 0.6 s; others have 0.06 s of such sound at most.
MORE, BELOW_WORDS = 0.25, 15.0
HESITATION = (0.25, 1.2)  # seconds, at least and at most
QUIET = 1e-4  # of full scale: the noise of a quiet room


@dataclass(frozen=True)
class LabelledClip:
    """A recording with the words that the aligner is told, `samples` at 16 kHz.

    `reference` is float64 `(words, 2)`, milliseconds, NaN for words that are not in the recording. `name` is the
    row's, and `group` what its label file says under "group" (a corpus, say)."""

    samples: np.ndarray
    words: list[str]
    language: str | None
    reference: np.ndarray
    name: str = ""
    group: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / 16000

    @property
    def right(self) -> np.ndarray:
        """`(words,)`, whether each word is in the recording."""
        return np.isfinite(self.reference[:, 0])


def labelled_clips(rows: Iterable, groups: Mapping[str, str] = MappingProxyType({})) -> list[LabelledClip]:
    """The rows of a label file, cut into the aligner's words; `groups` by the rows' ids."""
    return [
        LabelledClip(
            load_audio(item.audio, 16000),
            list(item.labels),
            item.spoken,
            item.reference,
            item.name,
            groups.get(item.name, ""),
        )
        for item in items(rows, BadRows())
    ]


def joinable(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """
    The clips that may be joined to a long recording. The names of those that say more than their labels are printed:
    they would make a text wrong that is taken for right. Of clips with the same words the first is taken: where a text
    lacks one of them, nobody could tell which.

    More is said where at least `MORE` seconds of sound, in frames of 20 ms, are over 50 ms away from the first and the
    last word and at most `BELOW_WORDS` decibels below the words. All words have to be in the recordings.
    """
    kept = {}
    for clip in clips:
        first, past = round(16 * clip.reference.min()), round(16 * clip.reference.max())
        words = np.square(clip.samples[first:past]).mean()
        outside = clip.samples[: max(0, first - 800)], clip.samples[past + 800 :]
        power = [np.square(part[: len(part) // 320 * 320]).reshape(-1, 320).mean(1) for part in outside]
        if 0.02 * (np.concatenate(power) > words * 10 ** (-BELOW_WORDS / 10)).sum() < MORE:
            kept.setdefault(" ".join(clip.words).casefold(), clip)
        else:
            print(f"{clip.name or clip.words} is not joined: it says more than its labels", file=sys.stderr)
    return list(kept.values())


def groups_of(files: Iterable[str | Path]) -> dict[str, str]:
    """What rows of JSON lines say under "group", by their "id"."""
    found = {}
    for file in map(Path, files):
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
            found |= {str(row["id"]): str(row["group"]) for row in rows if "id" in row and "group" in row}
    return found


def with_noise(clips: Sequence[LabelledClip], decibels: float, seed: int = 0) -> list[LabelledClip]:
    """White or pink noise under each clip, `decibels` below its words (`training.mixing.Noise`)."""
    step = Noise((decibels, decibels))
    noisy = []
    for number, clip in enumerate(clips):
        words = [
            {"text": text, "start": start / 1000, "end": end / 1000}
            for text, (start, end) in zip(clip.words, clip.reference, strict=True)
        ]
        whole = augmentation.Clip(clip.samples, 16000, words, f"clip {number}", number)
        samples = step.apply(whole, np.random.default_rng((seed, number)), float("inf")).samples
        noisy.append(replace(clip, samples=samples))
    return noisy


def in_telephone_band(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """
    Each clip as a telephone passes it on, 300 to 3400 Hz.

    The filter is a gain on the clip's spectrum, so that it delays nothing: 1 in the band, 0 below 200 and above
    3600 Hz, and half a period of a cosine in between. So nothing is left that a rate of 8 kHz would not hold.
    """
    passed = []
    for clip in clips:
        # a tenth of a second more, or what rings at the end would be heard at the beginning
        size = len(clip.samples) + 1600
        hertz = np.fft.rfftfreq(size, 1 / 16000)
        edges = np.interp(hertz, (200, 300, 3400, 3600), (0, 1, 1, 0))
        spectrum = np.fft.rfft(clip.samples, size) * (1 - np.cos(np.pi * edges)) / 2
        passed.append(replace(clip, samples=np.fft.irfft(spectrum, size)[: len(clip.samples)].astype(np.float32)))
    return passed


def with_changed_words(
    clips: Sequence[LabelledClip],
    share: float,
    kinds: Sequence[str] = ("replace", "delete", "add"),
    seed: int = 0,
) -> list[LabelledClip]:
    """
    `share` of each set's words changed: "replace" by another word of the set, "delete" (the word stays in the
    recording), or "add" a word of the set after it. A clip keeps one word at least.
    """
    random = np.random.default_rng(seed)
    vocabulary = sorted({word.casefold() for clip in clips for word in clip.words})

    def another(word: str) -> str:
        while (other := vocabulary[random.integers(len(vocabulary))]) == word.casefold():
            pass
        return other

    changed = []
    for clip in clips:
        words, reference = [], []
        for place, (word, times) in enumerate(zip(clip.words, clip.reference, strict=True)):
            kind = kinds[random.integers(len(kinds))] if random.random() < share else "keep"
            if kind == "delete" and (words or place + 1 < len(clip.words)):
                continue
            wrong = np.full(2, np.nan)
            words.append(another(word) if kind == "replace" else word)
            reference.append(wrong if kind == "replace" else times)
            if kind == "add":
                words.append(another(word))
                reference.append(wrong)
        changed.append(replace(clip, words=words, reference=np.array(reference).reshape(-1, 2)))
    return changed


def with_hesitations(clips: Sequence[LabelledClip], seed: int = 0) -> list[LabelledClip]:
    """A pause of `HESITATION` seconds put between two words of each clip, in the middle between the end of the one and
    the start of the next, as their labels say. Clips of fewer than four words have none."""
    random = np.random.default_rng(seed)
    paused = []
    for clip in clips:
        if len(clip.words) >= 4:
            word, seconds = random.integers(1, len(clip.words) - 1), random.uniform(*HESITATION)
            reference = clip.reference.copy()
            middle = (reference[word - 1, 1] + reference[word, 0]) / 2
            at, pause = round(16 * middle), random.normal(0, QUIET, round(16000 * seconds))
            reference[word:] += 1000 * seconds
            reference[word - 1, 1] = min(reference[word - 1, 1], middle)
            reference[word, 0] = max(reference[word, 0], middle + 1000 * seconds)
            samples = np.concatenate([clip.samples[:at], pause, clip.samples[at:]]).astype(np.float32)
            clip = replace(clip, samples=samples, reference=reference)
        paused.append(clip)
    return paused


def with_others_words(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """Each clip with the words of the next longer clip that has others, the longest with those of the shortest: the
    hard case, as a transcript of another length gives itself away."""
    order = sorted(range(len(clips)), key=lambda i: clips[i].seconds)
    texts = [" ".join(clip.words).casefold() for clip in clips]
    changed = []
    for i, clip in enumerate(clips):
        place = order.index(i)
        following = (j for j in order[place + 1 :] + order[:place] if texts[j] != texts[i])
        if (other := next(following, None)) is None:
            raise ValueError("all clips have the same words, so none has a foreign text")
        words = clips[other].words
        changed.append(replace(clip, words=words, reference=np.full((len(words), 2), np.nan)))
    return changed
