"""Without labels: each word is cut out of its recording by its times and transcribed; is it the word that is heard?

A recogniser hears a word by itself worse than in its sentence, so the word error rate is no measure of the recogniser,
and never 0. It compares aligners on the same recordings with the same recogniser; what the labels of a part of them
give (as predictions) is the best that can be reached.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..alignment.decoding import DEFAULT_DECODING
from ..audio.decoding import load_audio
from ..text.words import split_words, word_texts
from .aligning import Aligner
from .predictions import Predictions
from .results import ClipTranscripts, TranscriptionEvaluation
from .rows import BadRows, Item, items, letters

SAMPLING_RATE = 16000
#: Samples that a shorter piece is filled up to with silence, as qwen-asr does: half a second.
LEAST_SAMPLES = 8000


class Transcriber(Protocol):
    """Recordings (float32 `(samples,)` at 16 kHz) and their languages (full names, or `None`) into transcripts."""

    def __call__(self, recordings: Sequence[np.ndarray], languages: Sequence[str | None]) -> Sequence[str]: ...


def evaluate_by_transcription(
    rows: Iterable[Mapping[str, Any]],
    transcriber: Transcriber,
    *,
    model=None,
    processor=None,
    predictions: Predictions | None = None,
    batch_size: int = 8,
    on_bad_row: str = "fail",
    resamples: int = 2000,
    seed: int = 0,
    progress: bool = False,
    decoding: str | None = None,
    refine: bool | None = None,
) -> TranscriptionEvaluation:
    """
    The word error rate of single words, cut out where an aligner, or predictions, have them.

    Args:
        rows: `{"audio", "text", "language", "id"}`, the last two optional; labels are not needed and not looked at.
        transcriber: for instance [`Qwen3ASRTranscriber`] or [`PipelineTranscriber`] (see `load_transcriber`).
        model, processor: an aligner, as for `evaluate_aligner`; or else
        predictions: the words' times.
        batch_size: recordings, and then pieces of them, at once.
        on_bad_row, resamples, seed, progress, decoding, refine: as for `evaluate_aligner`; the last two are of
            the model alone.

    Raises `ValueError`, naming the row, for a transcript without words, audio that cannot be loaded or is not finite,
    and predictions that are missing or hold other words; and where not exactly one source of times is given.
    """
    if (model is None) == (predictions is None) or (model is None) != (processor is None):
        raise ValueError("give either a model with its processor, or predictions")
    for name, value in (("decoding", decoding), ("refine", refine)):
        if model is None and value is not None:
            raise ValueError(f"{name}={value!r} is for a model's times, and predictions are made")
    source = predictions
    if model is not None:
        source = Aligner(model, processor, batch_size, progress, decoding or DEFAULT_DECODING, refine)
    bad = BadRows(on_bad_row)
    clips: dict[int, ClipTranscripts] = {}
    pending: list[tuple[Item, list[str], np.ndarray, np.ndarray]] = []
    for item, entries, samples in source.times(items(rows, bad, labelled=False), bad):
        try:
            words, times = item.times(entries)
            samples = load_audio(item.audio, SAMPLING_RATE) if samples is None else samples
        except ValueError as error:
            bad.report(item.name, error)
            continue
        pending.append((item, words, times, samples))
        if len(pending) == batch_size:
            clips |= _transcribed(pending, transcriber, batch_size)
            pending = []
    clips |= _transcribed(pending, transcriber, batch_size)
    evaluation = TranscriptionEvaluation(
        clips=[clips[place] for place in sorted(clips)], left_out=bad.left_out, resamples=resamples, seed=seed
    )
    _ = evaluation.metrics
    return evaluation


def cut(samples: np.ndarray, start: float, end: float) -> np.ndarray | None:
    """
    The piece from `start` to `end` seconds, filled up with silence to half a second; `None` where there is none.
    """
    piece = samples[max(0, round(start * SAMPLING_RATE)) : max(0, round(end * SAMPLING_RATE))]
    if len(piece) == 0:
        return None
    return np.pad(piece, (0, max(0, LEAST_SAMPLES - len(piece))))


def edit_distance(found: Sequence, expected: Sequence) -> int:
    """The fewest insertions, deletions and replacements that turn one sequence into the other (Levenshtein 1966)."""
    previous = list(range(len(expected) + 1))
    for i, item in enumerate(found, start=1):
        current = [i]
        for j, wanted in enumerate(expected, start=1):
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (item != wanted)))
        previous = current
    return previous[-1]


def _transcribed(pending, transcriber: Transcriber, batch_size: int) -> dict[int, ClipTranscripts]:
    """Transcribes the pieces of a few recordings together, batches of similar length."""
    pieces = [
        (clip, word, piece)
        for clip, (_, _, times, samples) in enumerate(pending)
        for word, (start, end) in enumerate(times)
        if (piece := cut(samples, start, end)) is not None
    ]
    pieces.sort(key=lambda one: len(one[2]), reverse=True)
    heard = [[""] * len(words) for _, words, _, _ in pending]
    for first in range(0, len(pieces), batch_size):
        batch = pieces[first : first + batch_size]
        texts = transcriber([piece for _, _, piece in batch], [pending[clip][0].spoken for clip, _, _ in batch])
        if len(texts) != len(batch):
            raise ValueError(f"the transcriber gave {len(texts)} texts for {len(batch)} recordings")
        for (clip, word, _), text in zip(batch, texts, strict=True):
            heard[clip][word] = text.strip()
    return {
        item.place: _compared(item, words, texts, np.minimum(times, len(samples) / SAMPLING_RATE))
        for (item, words, times, samples), texts in zip(pending, heard, strict=True)
    }


def _compared(item: Item, words: list[str], heard: list[str], times: np.ndarray) -> ClipTranscripts:
    spelled = [[letters(word) for word in word_texts(split_words(text, item.spoken))] for text in heard]
    wanted = [letters(word) for word in words]
    return ClipTranscripts(
        id=item.name,
        language=item.language,
        words=words,
        heard=heard,
        times=times,
        edits=[edit_distance(found, [word]) for found, word in zip(spelled, wanted, strict=True)],
        letter_edits=[edit_distance("".join(found), word) for found, word in zip(spelled, wanted, strict=True)],
    )
