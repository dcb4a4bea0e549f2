"""What `align` tells at the end about several recordings: a line for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..common import one_line

#: Score below which a word is counted as doubtful, as pages mark it.
DOUBTFUL = 0.4
_HEADINGS = ("recording", "words", "doubtful", "score", "")


@dataclass(frozen=True)
class Aligned:
    """What is told of a recording: its number of words, and of doubtful ones, its score, and what is odd."""

    name: str
    words: int = 0
    doubtful: int = 0
    score: float | None = None
    odd: str = ""

    @classmethod
    def of(cls, name: str, result: dict) -> "Aligned":
        odd = [] if result["fits"] or not result["chunks"] else ["the text may not be what is said"]
        for key, what in (("unfit", "s where others may be said"), ("untranscribed", "s that the text lacks")):
            seconds = sum(end - start for start, end in (passage["timestamp"] for passage in result[key]))
            odd += [f"{seconds:.1f} {what}"] if seconds else []
        scores = [chunk["score"] for chunk in result["chunks"]]
        doubtful = sum(score < DOUBTFUL for score in scores)
        return cls(name, len(scores), doubtful, result["score"] if scores else None, ", ".join(odd))


def table(aligned: Sequence[Aligned], failures: Sequence[tuple[str, str]] = ()) -> str:
    """A table of all recordings, those that failed at the end with the reason, and a line of sums."""
    rows = [_HEADINGS]
    for one in aligned:
        score = "" if one.score is None else f"{one.score:.2f}"
        rows.append((one_line(one.name), str(one.words), str(one.doubtful), score, one.odd))
    rows += [(one_line(name), "", "", "", f"failed: {reason}") for name, reason in failures]
    count = len(aligned) + len({name for name, _ in failures} - {one.name for one in aligned})
    sums = (sum(one.words for one in aligned), sum(one.doubtful for one in aligned))
    rows.append((f"{count} recordings", *map(str, sums), "", ""))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for name, *numbers, odd in rows:
        cells = [name.ljust(widths[0]), *(number.rjust(width) for number, width in zip(numbers, widths[1:])), odd]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
