"""What has become of a corpus: hours, failures by kind, scores, and the rows that fit worst."""

import heapq
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .folder import passes_of, read_manifest, read_shard, shards

_BINS = 10
_EXAMPLES = 3  # of a kind of failure
_BAR = 40


@dataclass
class CorpusReport:
    """
    A corpus folder in numbers.

    Attributes:
        manifest: what was asked for.
        complete: whether all processes have gone through the whole source.
        aligned, failed: rows.
        duplicates: rows of the source whose id another row had before.
        audio_seconds, seconds: of all rows with a duration, and how long they took, all processes together.
        fits, unfit, untranscribed: aligned rows whose text fits; with passages that do not; with something heard that
            the text lacks.
        kinds: failed rows by `aligner.ERROR_KINDS`.
        examples: of each kind the first few, `(id, error)`.
        scores: aligned rows by score, in ten bins from 0 to 1.
        worst: `(score, id, text)` of the rows with the lowest scores, the lowest first.
    """

    manifest: dict[str, Any]
    complete: bool = False
    aligned: int = 0
    failed: int = 0
    duplicates: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    fits: int = 0
    unfit: int = 0
    untranscribed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    scores: list[int] = field(default_factory=lambda: [0] * _BINS)
    worst: list[tuple[float, str, str]] = field(default_factory=list)

    def figures(self) -> list[tuple[str, str]]:
        """The report's figures, each with what it is called."""
        state = "complete" if self.complete else "not complete: start it again to go on"
        figures = [
            ("rows", f"{self.aligned:,} aligned, {self.failed:,} failed ({state})"),
            ("audio", _hours(self.audio_seconds)),
        ]
        if self.seconds:
            speed = self.audio_seconds / self.seconds
            figures.append(("time", f"{_hours(self.seconds)} of one process, {speed:,.1f} audio seconds a second"))
        figures += [
            ("text fits", f"{self.fits:,} of {self.aligned:,}"),
            ("words unfit", f"in {self.unfit:,}"),
            ("untranscribed", f"in {self.untranscribed:,}"),
        ]
        if self.duplicates:
            figures.append(("duplicate ids", f"{self.duplicates:,}; the first row of each counts"))
        return figures

    def score_bins(self) -> list[tuple[str, int]]:
        """The scores' bins with their names, "0.0 to 0.1" and so on."""
        return [
            (f"{place / _BINS:.1f} to {(place + 1) / _BINS:.1f}", count) for place, count in enumerate(self.scores)
        ]

    def table(self) -> str:
        """The report as lines of text."""
        lines = [f"{name:15s} {value}" for name, value in self.figures()]
        for kind, count in self.kinds.most_common():
            lines.append(f"failed: {kind:9s} {count:,}")
            lines += [f"    {id}: {error}" for id, error in self.examples[kind]]
        if self.aligned:
            most = max(self.scores)
            lines.append("scores")
            for name, count in self.score_bins():
                lines.append(f"    {name} {count:9,} {'#' * round(_BAR * count / most)}".rstrip())
        if self.worst:
            lines.append("lowest scores")
            lines += [f"    {score:.3f}  {id}  {_short(text)}" for score, id, text in self.worst]
        return "\n".join(lines)


def read_report(path: str | os.PathLike, worst: int = 10) -> CorpusReport:
    """
    The report of a corpus folder, which may be in use. One shard is held in memory at a time.

    Raises `ValueError` where it is no such folder, or a shard cannot be read.
    """
    report = CorpusReport(read_manifest(path))
    passes = list(passes_of(path))
    processes = {content.get("processes") for content in passes}
    report.duplicates = sum(content.get("duplicates", 0) for content in passes)
    report.complete = (
        len(processes) == 1
        and {content["rank"] for content in passes} == set(range(processes.pop() or 0))
        and all(content.get("limit") is None for content in passes)
    )
    report.worst = heapq.nsmallest(worst, _read(path, report))
    return report


def _read(path: str | os.PathLike, report: CorpusReport) -> Iterator[tuple[float, str, str]]:
    """Counts all rows; yields the score, id and text of those that were aligned."""
    columns = ["id", "text", "duration", "score", "fits", "unfit", "untranscribed", "seconds", "error_kind", "error"]
    for shard in shards(path):
        for row in read_shard(shard, columns).to_pylist():
            report.audio_seconds += row["duration"] or 0.0
            report.seconds += row["seconds"]
            if row["error"] is not None:
                report.failed += 1
                report.kinds[row["error_kind"]] += 1
                examples = report.examples.setdefault(row["error_kind"], [])
                if len(examples) < _EXAMPLES:
                    examples.append((row["id"], row["error"]))
                continue
            report.aligned += 1
            report.fits += row["fits"]
            report.unfit += bool(row["unfit"])
            report.untranscribed += bool(row["untranscribed"])
            report.scores[min(int(row["score"] * _BINS), _BINS - 1)] += 1
            yield row["score"], row["id"], row["text"]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h" if seconds >= 3600 else f"{seconds:.1f} s"


def _short(text: str, width: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
