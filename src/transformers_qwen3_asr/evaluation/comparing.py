"""Times against labels, clip by clip."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..alignment.decoding import DEFAULT_DECODING
from .aligning import Aligner
from .predictions import Predictions
from .results import AlignmentEvaluation, ClipTimes
from .rows import BadRows, items


def evaluate_aligner(
    model,
    processor,
    rows: Iterable[Mapping[str, Any]],
    *,
    batch_size: int = 8,
    on_bad_row: str = "fail",
    resamples: int = 2000,
    seed: int = 0,
    progress: bool = False,
    decoding: str = DEFAULT_DECODING,
    refine: bool | None = None,
) -> AlignmentEvaluation:
    """
    Aligns labelled recordings with their transcripts, as a user would, and compares the times with the labels.

    Args:
        model: a `Qwen3ASRForTokenClassification`; it stays on its device, in its dtype and in its mode.
        processor: its [`Qwen3ASRProcessor`].
        rows: what `formats.read_labels` returns, or rows alike: `{"audio", "text", "words": [{"text", "start",
            "end"}, …], "language", "id"}`, seconds; "audio" is what `load_audio` takes; "text", "language" and "id"
            may be missing.
        batch_size: recordings a forward pass, sorted by length; results do not depend on it.
        on_bad_row: "fail" or "skip" (see `left_out` of the result).
        resamples, seed: of the bootstrap interval over clips.
        progress: draw a bar on standard error, if that is a terminal.
        decoding: "joint" or "argmax", see `alignment.decoding.decode_slots`.
        refine: whether words in doubt are asked for again (`longform.rescoring`); by default they are with "joint".

    Raises `ValueError`, naming the row, for labels that `formats.check_row` refuses, audio that cannot be loaded
    or is not finite; and where no row is left.
    """
    aligner = Aligner(model, processor, batch_size, progress, decoding, refine)
    return _compared(aligner, rows, on_bad_row, resamples, seed)


def evaluate_predictions(
    predictions: Predictions,
    rows: Iterable[Mapping[str, Any]],
    *,
    on_bad_row: str = "fail",
    resamples: int = 2000,
    seed: int = 0,
) -> AlignmentEvaluation:
    """
    Compares times that are there already with labels: `read_predictions(path)` or `Predictions(rows)`.

    Words may be cut differently on both sides; they are compared as the aligner cuts the transcript. The other
    arguments are those of `evaluate_aligner`. Recordings are not opened.

    Raises `ValueError`, naming the row, where its prediction is missing, holds other words than its transcript, or
    times that are not finite.
    """
    return _compared(predictions, rows, on_bad_row, resamples, seed)


def _compared(source: Aligner | Predictions, rows, on_bad_row: str, resamples: int, seed: int) -> AlignmentEvaluation:
    bad = BadRows(on_bad_row)
    clips = {}
    for item, entries, _ in source.times(items(rows, bad), bad):
        try:
            words, seconds = item.times(entries)
        except ValueError as error:
            bad.report(item.name, error)
            continue
        clips[item.place] = ClipTimes(
            id=item.name, language=item.language, words=words, predicted=seconds * 1000, reference=item.reference
        )
    evaluation = AlignmentEvaluation(
        clips=[clips[place] for place in sorted(clips)], left_out=bad.left_out, resamples=resamples, seed=seed
    )
    _ = evaluation.metrics  # an evaluation of nothing is an error here, not when it is first looked at
    return evaluation
