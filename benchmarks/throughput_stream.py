"""A stream of many clips through the pipeline, batch by batch: what the threads that work ahead are worth."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from itertools import islice
from unittest import mock

from throughput_measuring import Device
from throughput_models import Pair, waveform, words

from transformers_qwen3_asr.pipelines import forced_alignment

STREAMING = "| case | three threads, audio s/s | two | one | peak GiB, three / one |"
#: Threads that work ahead of the one that makes the results.
AHEAD = (2, 1, 0)
DIFFERENT = 8  # clips, which come again and again; texts are all different


class Streaming:
    """One case: `batch` clips at once of all of the case's."""

    def __init__(
        self, pair: Pair, name: str, seconds: tuple[float, ...], batch: int, words_a_second: float, device: Device
    ):
        self.name, self.seconds, self.batch, self.device = name, seconds, batch, device
        self.pipeline = pair.pipeline
        self.clips = {length: [waveform(length, i) for i in range(DIFFERENT)] for length in set(seconds)}
        self.texts = [words(max(1, round(words_a_second * length)), i) for i, length in enumerate(seconds)]

    def _rows(self, most: int | None = None) -> Iterator[dict]:
        for i, (length, text) in islice(enumerate(zip(self.seconds, self.texts, strict=True)), most):
            yield {"audio": self.clips[length][i % DIFFERENT], "text": text, "language": "English"}

    def align(self, threads: int, most: int | None = None) -> list[dict]:
        with mock.patch.object(forced_alignment, "threads_ahead", return_value=threads):
            return list(self.pipeline(self._rows(most), batch_size=self.batch, refine=False))

    def check(self) -> str:
        self.align(0, self.batch)  # kernels are compared with the plain way, whose results are then used
        expected = self.align(0)
        if [len(result["chunks"]) for result in expected] != [len(text.split()) for text in self.texts]:
            sys.exit(f"{self.name}: not the same words")
        for threads in AHEAD[:-1]:
            if self.align(threads) != expected:
                sys.exit(f"{self.name}: with {threads} threads ahead the results are others")
        return f"{self.name}: the same results in one, two and three threads"

    def row(self, repeats: int) -> str:
        times: dict[int, list[float]] = {threads: [] for threads in AHEAD}
        for _ in range(repeats):
            for threads in AHEAD:
                times[threads].append(self.device.timed(lambda threads=threads: self.align(threads))[0])
        rates = [f"{sum(self.seconds) / statistics.median(times[threads]):.2f}" for threads in AHEAD]
        peaks = [self.device.peak(lambda threads=threads: self.align(threads))[0] for threads in (AHEAD[0], AHEAD[-1])]
        told = " / ".join("–" if peak is None else f"{peak:.2f}" for peak in peaks)
        return f"| {self.name} | " + " | ".join(rates) + f" | {told} |"
