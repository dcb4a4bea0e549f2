"""The stages from a model's scores to words' times, one by one, for alignment_quality.py."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch
from alignment_clips import LabelledClip

from transformers_qwen3_asr.alignment import durations
from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.durations import letters
from transformers_qwen3_asr.alignment.joint_decoding import classes_within, joint_bins
from transformers_qwen3_asr.alignment.voice_activity import heard_in

#: Seconds `(words, 2)` and scores `(words,)` of a clip's words.
Found = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ScoredClip:
    """A clip and the model's scores at its slots, float32 `(2 * words, classes)`, of `segment_time` milliseconds;
    `default` has what the pipeline gives by default."""

    clip: LabelledClip
    logits: torch.Tensor
    segment_time: float
    default: Found | None = None


def argmax_and_repair(clip: ScoredClip) -> Found:
    """As qwen-asr does."""
    return decode_slots(clip.logits, len(clip.clip.words), clip.segment_time, decoding="argmax")


def path_on_the_grid(clip: ScoredClip) -> Found:
    """The joint path, times at the classes' own places; scores are those of `finer_path`."""
    limit = np.floor(clip.clip.seconds * 1000)
    bins = joint_bins(clip.logits, classes_within(limit, clip.segment_time, len(clip.clip.words)))
    milliseconds = np.minimum(bins * float(clip.segment_time), limit).reshape(-1, 2)
    return milliseconds / 1000, finer_path(clip)[1]


def finer_path(clip: ScoredClip) -> Found:
    """The joint path, times read around its classes."""
    return decode_slots(clip.logits, None, clip.segment_time, duration=clip.clip.seconds)


def with_durations(clip: ScoredClip) -> Found:
    """No word shorter than it takes to say it."""
    lengths = [letters(word) for word in clip.clip.words]
    return decode_slots(clip.logits, None, clip.segment_time, duration=clip.clip.seconds, lengths=lengths)


def with_voice(clip: ScoredClip) -> Found:
    """Words cover what is heard, and no silence."""
    with patch.object(durations, "_PAUSE", 0.0):
        return with_pauses(clip)


def with_pauses(clip: ScoredClip) -> Found:
    """Pauses between words cost something."""
    clip_, lengths = clip.clip, [letters(word) for word in clip.clip.words]
    voice = heard_in(clip_.samples, 16000)
    return decode_slots(clip.logits, None, clip.segment_time, duration=clip_.seconds, lengths=lengths, voice=voice)


def asked_again(clip: ScoredClip) -> Found:
    """As everyone gets them: doubtful words are asked for again in short windows."""
    assert clip.default is not None
    return clip.default


#: In the order of what each adds to the one before.
STAGES: dict[str, Callable[[ScoredClip], Found]] = {
    "argmax + repair": argmax_and_repair,
    "joint path": path_on_the_grid,
    "finer": finer_path,
    "shortest durations": with_durations,
    "voice activity": with_voice,
    "few pauses": with_pauses,
    "asked again (default)": asked_again,
}
DEFAULT = list(STAGES)[-1]


class Hearing:
    """Counts the seconds of audio that a pipeline's model is given, within the context."""

    def __init__(self, pipe):
        self.pipe, self._frames = pipe, 0

    @property
    def seconds(self) -> float:
        extractor = self.pipe.processor.feature_extractor
        return self._frames * extractor.hop_length / extractor.sampling_rate

    def __enter__(self) -> "Hearing":
        self._hook = self.pipe.model.register_forward_pre_hook(self._seen, with_kwargs=True)
        return self

    def _seen(self, model, arguments, keywords) -> None:
        self._frames += int(keywords["input_features_mask"].sum())

    def __exit__(self, *_) -> None:
        self._hook.remove()


def aligned(pipe, clips: Sequence[LabelledClip], batch_size: int = 8, **keywords) -> tuple[list[Found], float]:
    """What the pipeline gives for each clip; and how much audio the model heard for it, over the clips' own.
    `keywords` are the pipeline's."""
    rows = ({"audio": clip.samples, "text": clip.words, "language": clip.language} for clip in clips)
    with Hearing(pipe) as hearing:
        found = [of_result(result) for result in pipe(rows, batch_size=batch_size, **keywords)]
    return found, hearing.seconds / (sum(clip.seconds for clip in clips) or 1.0)


def of_result(result) -> Found:
    """Times and scores of a pipeline's result."""
    times = np.array([chunk["timestamp"] for chunk in result["chunks"]]).reshape(-1, 2)
    return times, np.array([chunk["score"] for chunk in result["chunks"]])


def scored(model, processor, clips: Sequence[LabelledClip], batch_size: int = 8) -> list[ScoredClip]:
    """The model's scores for each clip, computed in batches of similar length."""
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
            found[i] = ScoredClip(clips[i], piece.clone(), model.config.timestamp_segment_time)
    return found


def heard(pipe, clips: Sequence[LabelledClip], batch_size: int = 8) -> tuple[list[ScoredClip], float]:
    """The clips with all that the stages need; and how much audio the default hears, over the clips' own."""
    found, audio = aligned(pipe, clips, batch_size)
    scores = scored(pipe.model, pipe.processor, clips, batch_size)
    return [replace(clip, default=one) for clip, one in zip(scores, found, strict=True)], audio


def merged(logits: torch.Tensor, times: int) -> torch.Tensor:
    """
    Scores `(slots, classes)` as a model of classes `times` (even) as long would give them: a class has the probability
    of the old ones that are nearest to it, and half that of those at its edges.
    """
    kernel = torch.ones(1, 1, times + 1, device=logits.device)
    kernel[..., [0, -1]] = 0.5
    probabilities = logits.float().softmax(-1)
    sums = torch.nn.functional.conv1d(probabilities[:, None], kernel, stride=times, padding=times // 2)[:, 0]
    return (sums + 1e-12).log().to(logits.dtype)


@contextmanager
def classes_merged(model, times: int) -> Iterator[float]:
    """Within the context the model has classes `times` as long; gives their milliseconds."""
    config = model.config
    before = config.timestamp_segment_time

    def merge(model, arguments, output):
        output.logits = merged(output.logits, times)
        return output

    hook = model.register_forward_hook(merge)
    config.timestamp_segment_time = before * times
    try:
        yield before * times
    finally:
        hook.remove()
        config.timestamp_segment_time = before
