"""Times by a model: rows through the package's own pipeline, in batches of similar length."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from ..alignment.decoding import DEFAULT_DECODING
from ..audio.decoding import load_audio
from ..labels.recordings import audio_duration
from ..labels.rows import Entry
from ..pipelines.each_row import align_each
from ..pipelines.forced_alignment import ForcedAlignmentPipeline
from .rows import BadRows, Item


class Aligner:
    """
    Gives items their times by a model.

    Args:
        model, processor: a `Qwen3ASRForTokenClassification` and its `Qwen3ASRProcessor`. The model stays on its device
            and in its dtype.
        batch_size: recordings a forward pass; results do not depend on it.
        progress: draw a bar on standard error, if that is a terminal.
        decoding: "joint" or "argmax", see `alignment.decoding.decode_slots`.
        refine: whether doubtful words are heard again; `None` for the pipeline's default.
    """

    def __init__(
        self,
        model,
        processor,
        batch_size: int = 8,
        progress: bool = False,
        decoding: str = DEFAULT_DECODING,
        refine: bool | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model, self.batch_size, self.progress = model, batch_size, progress
        was_training = model.training
        # a model that is spread over devices must not be moved
        device = None if getattr(model, "hf_device_map", None) else model.device
        self.pipe = ForcedAlignmentPipeline(
            model=model, processor=processor, device=device, decoding=decoding, refine=refine
        )
        model.train(was_training)
        self.sampling_rate = processor.feature_extractor.sampling_rate

    def times(self, items: Sequence[Item], bad: BadRows) -> Iterator[tuple[Item, list[Entry], np.ndarray]]:
        """
        Yields items with their aligned words (seconds) and samples, the longest recordings first: of them a batch is
        largest, so that one too large for the memory shows at once.
        """
        from tqdm import tqdm

        order = sorted(self._measured(items, bad), key=lambda pair: pair[1], reverse=True)
        was_training = self.model.training
        self.model.eval()
        outcomes = align_each(self.pipe, [item for item, _ in order], self._row, self.batch_size)
        try:
            with (
                closing(outcomes),
                tqdm(total=len(order), unit="recording", disable=None if self.progress else True) as bar,
            ):
                for outcome in outcomes:
                    if outcome.error is not None:
                        bad.report(outcome.item.name, outcome.error)
                    else:
                        chunks = outcome.result["chunks"]
                        entries = [Entry(chunk["text"], *chunk["timestamp"]) for chunk in chunks]
                        yield outcome.item, entries, outcome.row["audio"]
                    bar.update()
        finally:
            self.model.train(was_training)

    def _measured(self, items: Sequence[Item], bad: BadRows) -> Iterator[tuple[Item, float]]:
        for item in items:
            try:
                yield item, audio_duration(item.audio) if item.duration is None else item.duration
            except ValueError as error:
                bad.report(item.name, error)

    def _row(self, item: Item) -> dict[str, Any]:
        samples = load_audio(item.audio, self.sampling_rate)
        return {"audio": samples, "text": item.text, "language": item.spoken}
