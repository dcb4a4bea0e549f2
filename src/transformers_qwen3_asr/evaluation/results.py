"""What an evaluation found: clip by clip, per language and in all; as numbers, as a table and as a dict for JSON."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..training.metrics import alignment_metrics
from .bootstrap import bootstrap_interval

LEVEL = 0.95  # of the bootstrap intervals


@dataclass(frozen=True, kw_only=True)
class ClipTimes:
    """One clip's label and prediction: `predicted` and `reference` are float64 `(words, 2)`, milliseconds."""

    id: str
    language: str
    words: list[str]
    predicted: np.ndarray
    reference: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Predicted minus reference, `(words, 2)` milliseconds: above 0 where the prediction is late."""
        return self.predicted - self.reference


@dataclass(frozen=True, kw_only=True)
class ClipTranscripts:
    """One clip's words and what was heard in the piece of each (seconds `times`, `(words, 2)`); `edits` and
    `letter_edits` count what has to be changed in each to get the word."""

    id: str
    language: str
    words: list[str]
    heard: list[str]
    times: np.ndarray
    edits: list[int]
    letter_edits: list[int]


@dataclass(kw_only=True)
class Evaluation(ABC):
    """
    What both kinds of evaluation share.

    Attributes:
        clips: the clips that were compared, in the order of the rows.
        left_out: one line for each row that could not be, with the reason; empty unless bad rows were to be skipped.
        resamples, seed: of the bootstrap intervals.
    """

    clips: list = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    resamples: int = 2000
    seed: int = 0
    #: The columns of `table`: heading, key in `metrics`, and how its number is written.
    COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    @abstractmethod
    def figures(self, clips: Sequence) -> dict[str, Any]:
        """The metrics of some of the clips."""

    @abstractmethod
    def clip_figures(self, clip) -> dict[str, Any]:
        """What a report says of a single clip."""

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The metrics of all clips. Raises `ValueError` where there is none."""
        if not self.clips:
            raise ValueError("no clip is left to evaluate" + "".join(f"; {line}" for line in self.left_out[:10]))
        return self.figures(self.clips)

    @cached_property
    def languages(self) -> dict[str, dict[str, Any]]:
        """The metrics of each language's clips, by its name; rows without a language count to "unknown"."""
        names = sorted({clip.language for clip in self.clips})
        return {name: self.figures([clip for clip in self.clips if clip.language == name]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """
        Everything as JSON takes it: the metrics of all clips at the top, then `languages`, `interval` (how the
        intervals were computed), `rows` (a short account of each clip) and `left_out`.
        """
        return {
            **self.metrics,
            "languages": self.languages,
            "interval": {"level": LEVEL, "resamples": self.resamples, "seed": self.seed, "drawn": "clips"},
            "rows": [{"id": clip.id, "language": clip.language, **self.clip_figures(clip)} for clip in self.clips],
            "left_out": list(self.left_out),
        }

    def table(self) -> str:
        """The metrics as text: a line a language, and one for all where there are several."""
        lines = [("language", *(heading for heading, _, _ in self.COLUMNS))]
        rows = dict(self.languages)
        if len(rows) != 1:
            rows["all"] = self.metrics
        for name, figures in rows.items():
            lines.append((name, *(_written(figures[key], form) for _, key, form in self.COLUMNS)))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
            for line in lines
        )

    def _interval(self, sums, counts) -> list[float] | None:
        interval = bootstrap_interval(sums, counts, self.resamples, self.seed, LEVEL)
        return None if interval is None else list(interval)


class AlignmentEvaluation(Evaluation):
    """
    Times against labels: `clips` are [`ClipTimes`].

    `metrics` and each of `languages` hold what `training.metrics.alignment_metrics` computes (`aas_ms`, `median_ms`,
    `within_20ms` … `within_100ms`, `over_1s`, `zero_length`, `on_neighbour`, `f1_20ms`, starts and ends apart,
    `clips`, `words`) and `aas_ms_interval`, the ends of the AAS's 95 % bootstrap interval over clips (`None` for a
    single clip).
    """

    COLUMNS = (
        ("clips", "clips", "d"),
        ("words", "words", "d"),
        ("AAS ms", "aas_ms", ".1f"),
        ("95 % interval", "aas_ms_interval", ".1f"),
        ("median", "median_ms", ".1f"),
        ("starts", "aas_start_ms", ".1f"),
        ("ends", "aas_end_ms", ".1f"),
        ("<=20 ms", "within_20ms", ".1%"),
        ("<=50 ms", "within_50ms", ".1%"),
        ("<=80 ms", "within_80ms", ".1%"),
        ("<=100 ms", "within_100ms", ".1%"),
        (">1 s", "over_1s", ".2%"),
        ("F1 20 ms", "f1_20ms", ".2f"),
        ("on a neighbour", "on_neighbour", ".1%"),
        ("zero length", "zero_length", ".1%"),
    )

    def figures(self, clips: Sequence[ClipTimes]) -> dict[str, Any]:
        metrics = alignment_metrics([clip.predicted for clip in clips], [clip.reference for clip in clips])
        errors = [np.abs(clip.errors) for clip in clips]
        return {**metrics, "aas_ms_interval": self._interval([e.sum() for e in errors], [e.size for e in errors])}

    def clip_figures(self, clip: ClipTimes) -> dict[str, Any]:
        errors = np.abs(clip.errors)
        worst = int(errors.max(axis=1).argmax())
        return {
            "words": len(clip.words),
            "aas_ms": float(errors.mean()),
            "worst_ms": float(errors.max()),
            "worst_word": {"index": worst, "text": clip.words[worst]},
        }

    def plot(self, path) -> None:
        """Draws the distribution of the errors into a file; see `plots.plot_errors`."""
        from .plots import plot_errors

        plot_errors(self, path)


class TranscriptionEvaluation(Evaluation):
    """
    Words cut out and transcribed: `clips` are [`ClipTranscripts`].

    `metrics` and each of `languages` hold `clips`, `words`, `wer` (words to insert, delete or replace in what was
    heard, divided by the words), `wer_interval` (95 % bootstrap interval over clips; `None` for a single clip), `cer`
    (the same with letters), `exact` (share of words heard as they are), `silent` (share in whose piece nothing was
    heard) and `zero_length` (share of words without a piece, which are not transcribed and count as silent).
    """

    COLUMNS = (
        ("clips", "clips", "d"),
        ("words", "words", "d"),
        ("WER", "wer", ".1%"),
        ("95 % interval", "wer_interval", ".1%"),
        ("CER", "cer", ".1%"),
        ("exact", "exact", ".1%"),
        ("silent", "silent", ".1%"),
        ("zero length", "zero_length", ".1%"),
    )

    def figures(self, clips: Sequence[ClipTranscripts]) -> dict[str, Any]:
        words = sum(len(clip.words) for clip in clips)
        edits = [sum(clip.edits) for clip in clips]
        return {
            "clips": len(clips),
            "words": words,
            "wer": sum(edits) / words,
            "wer_interval": self._interval(edits, [len(clip.words) for clip in clips]),
            "cer": sum(sum(c.letter_edits) for c in clips) / sum(len(word) for c in clips for word in c.words),
            "exact": sum(n == 0 for clip in clips for n in clip.edits) / words,
            "silent": sum(not heard for clip in clips for heard in clip.heard) / words,
            "zero_length": sum(int((clip.times[:, 1] <= clip.times[:, 0]).sum()) for clip in clips) / words,
        }

    def clip_figures(self, clip: ClipTranscripts) -> dict[str, Any]:
        words = [
            {"text": word, "start": float(start), "end": float(end), "heard": heard}
            for word, (start, end), heard in zip(clip.words, clip.times, clip.heard, strict=True)
        ]
        return {"wer": sum(clip.edits) / len(clip.words), "words": words}


def _written(value, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " - ".join(format(end, form) for end in value)
    return format(value, form)
