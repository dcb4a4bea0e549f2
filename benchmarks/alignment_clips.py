"""Labelled clips for alignment_quality.py: as they are, with noise, with changed transcripts; and a model's scores."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.evaluation.rows import BadRows, items
from transformers_qwen3_asr.training import augmentation
from transformers_qwen3_asr.training.mixing import Noise


@dataclass(frozen=True)
class LabelledClip:
    """A recording with the words that the aligner is told, `samples` at 16 kHz.

    `reference` is float64 `(words, 2)`, milliseconds, NaN for words that are not in the recording."""

    samples: np.ndarray
    words: list[str]
    language: str | None
    reference: np.ndarray

    @property
    def seconds(self) -> float:
        return len(self.samples) / 16000

    @property
    def right(self) -> np.ndarray:
        """`(words,)`, whether each word is in the recording."""
        return np.isfinite(self.reference[:, 0])


@dataclass(frozen=True)
class ScoredClip:
    """A clip and the model's scores at its slots, float32 `(2 * words, classes)`; `refined` has what the pipeline
    gives by default, where it was asked: seconds `(words, 2)` and scores `(words,)`."""

    clip: LabelledClip
    logits: torch.Tensor
    refined: tuple[np.ndarray, np.ndarray] | None = None


def labelled_clips(rows: Iterable) -> list[LabelledClip]:
    """The rows of a label file, cut into the aligner's words."""
    found = items(rows, BadRows())
    return [LabelledClip(load_audio(i.audio, 16000), list(i.labels), i.spoken, i.reference) for i in found]


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


def with_others_words(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """Each clip with the words of the clip that is next longer, the longest with the shortest's: the hard case, as a
    transcript of another length gives itself away."""
    order = sorted(range(len(clips)), key=lambda i: clips[i].seconds)
    following = dict(zip(order, [*order[1:], order[0]]))
    return [
        replace(clip, words=(other := clips[following[i]]).words, reference=np.full((len(other.words), 2), np.nan))
        for i, clip in enumerate(clips)
    ]


def aligned(
    pipe, clips: Sequence[LabelledClip], batch_size: int = 8, **keywords
) -> tuple[list[tuple[np.ndarray, np.ndarray]], float]:
    """Each clip's seconds and scores as the pipeline gives them; and how much audio the model heard for it, over the
    clips' own. `keywords` are the pipeline's."""
    rows = ({"audio": clip.samples, "text": clip.words, "language": clip.language} for clip in clips)
    frames = 0

    def count(model, arguments, keywords) -> None:
        nonlocal frames
        frames += int(keywords["input_features_mask"].sum())

    hook = pipe.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        found = [result["chunks"] for result in pipe(rows, batch_size=batch_size, **keywords)]
    finally:
        hook.remove()
    hop = pipe.processor.feature_extractor.hop_length / pipe.processor.feature_extractor.sampling_rate
    return [
        (
            np.array([chunk["timestamp"] for chunk in chunks]).reshape(-1, 2),
            np.array([chunk["score"] for chunk in chunks]),
        )
        for chunks in found
    ], frames * hop / (sum(clip.seconds for clip in clips) or 1.0)


def scored(
    model, processor, clips: Sequence[LabelledClip], batch_size: int = 8, told: Callable[[int], None] | None = None
) -> list[ScoredClip]:
    """The model's scores for each clip, computed in batches of similar length. `told` is called with how many."""
    found: list[ScoredClip | None] = [None] * len(clips)
    order = sorted(range(len(clips)), key=lambda i: clips[i].seconds)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs, _ = processor.prepare_forced_aligner_inputs(
            audio=[clips[i].samples for i in chosen],
            transcript=[clips[i].words for i in chosen],
            language=[clips[i].language for i in chosen],
        )
        slots = inputs["input_ids"] == model.config.timestamp_token_id
        with torch.inference_mode():
            logits = model(**inputs.to(model.device, model.dtype), logits_to_keep=slots).logits.float().cpu()
        for i, piece in zip(chosen, logits.split(slots.sum(-1).tolist())):
            if len(piece) != 2 * len(clips[i].words):
                raise ValueError(f"clip {i}: {clips[i].words} became other words")
            found[i] = ScoredClip(clips[i], piece.clone())
        if told:
            told(len(chosen))
    return found
