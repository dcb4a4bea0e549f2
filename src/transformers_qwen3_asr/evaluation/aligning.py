"""Times by a model: rows through the package's own pipeline, in batches of similar length."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..alignment.decoding import DEFAULT_DECODING
from ..audio import load_audio
from ..label_files.recordings import audio_duration
from ..label_files.rows import Entry
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
    """

    def __init__(
        self,
        model,
        processor,
        batch_size: int = 8,
        progress: bool = False,
        decoding: str = DEFAULT_DECODING,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model, self.batch_size, self.progress = model, batch_size, progress
        was_training = model.training
        # a model that is spread over devices must not be moved
        device = None if getattr(model, "hf_device_map", None) else model.device
        self.pipe = ForcedAlignmentPipeline(model=model, processor=processor, device=device, decoding=decoding)
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
        try:
            with tqdm(total=len(order), unit="recording", disable=None if self.progress else True) as bar:
                for start in range(0, len(order), self.batch_size):
                    chosen = [item for item, _ in order[start : start + self.batch_size]]
                    yield from self._align(self._loaded(chosen, bad), bad)
                    bar.update(len(chosen))
        finally:
            self.model.train(was_training)

    def _measured(self, items: Sequence[Item], bad: BadRows) -> Iterator[tuple[Item, float]]:
        for item in items:
            try:
                yield item, audio_duration(item.audio) if item.duration is None else item.duration
            except ValueError as error:
                bad.report(item.name, error)

    def _loaded(self, items: Sequence[Item], bad: BadRows) -> list[tuple[Item, np.ndarray]]:
        loaded = []
        for item in items:
            try:
                loaded.append((item, load_audio(item.audio, self.sampling_rate)))
            except ValueError as error:
                bad.report(item.name, error)
        return loaded

    def _align(self, loaded: list[tuple[Item, np.ndarray]], bad: BadRows):
        """If a batch fails, its recordings are tried one by one, so that the bad ones are known by name."""
        if not loaded:
            return
        rows = [{"audio": samples, "text": item.text, "language": item.spoken} for item, samples in loaded]
        try:
            # a row alone is passed as such: its errors then need no index
            results = [self.pipe(rows[0])] if len(rows) == 1 else self.pipe(rows, batch_size=len(rows))
        except ValueError as error:
            if len(loaded) == 1:
                bad.report(loaded[0][0].name, error)
                return
            for one in loaded:
                yield from self._align([one], bad)
            return
        for (item, samples), result in zip(loaded, results, strict=True):
            yield item, [Entry(chunk["text"], *chunk["timestamp"]) for chunk in result["chunks"]], samples
