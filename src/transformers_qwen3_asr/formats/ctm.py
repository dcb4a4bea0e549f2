"""CTM, NIST's time-marked words: `file channel start duration word [confidence …]`, and `;;` before comments."""

from collections.abc import Iterator
from pathlib import Path

from ..labels.checking import is_time
from ..labels.marks import add_entry
from ..labels.recordings import read_text
from ..labels.rows import Draft
from .spoken import JOINER, Spoken, check_texts
from .textgrid import merged


def read_ctm(path: Path) -> Iterator[Draft]:
    """
    A row for each recording that the file names, in the order in which they come.

    Several channels of a recording are one row, in order of time, because the recording is heard with its channels
    mixed. A line that cannot be read is an error of its recording's row. No library reads CTM; it is white space.
    """
    drafts: dict[str, Draft] = {}
    tracks: dict[str, dict[str, Draft]] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split(";;", 1)[0].split()
        if not fields:
            continue
        name = fields[0]
        draft = drafts.setdefault(name, Draft(f"{path}:{number}", name=name, file=path))
        if len(fields) < 5:
            draft.errors.append(
                f"line {number} holds {len(fields)} fields; 'file channel start duration word' are expected"
            )
            continue
        track = tracks.setdefault(name, {}).setdefault(fields[1], Draft(draft.place, []))
        start, end, wrong = _times(fields[2], fields[3])
        if wrong:
            draft.errors.append(f"line {number} ({fields[4]!r}): {wrong}")
            continue
        score = _number(fields[5]) if len(fields) > 5 else None
        add_entry(track, fields[4], start, end, f"line {number}", score=score)
    for name, draft in drafts.items():
        found = list(tracks.get(name, {}).values())
        draft.entries = merged([track.entries for track in found])
        draft.errors += [error for track in found for error in track.errors]
        draft.notes += [note for track in found for note in track.notes]
        yield draft


def _number(text: str) -> float | None:
    """A confidence; some write NA."""
    try:
        return float(text) if is_time(float(text)) else None
    except ValueError:
        return None


def _times(start: str, duration: str) -> tuple[float, float, str]:
    try:
        begin, length = float(start), float(duration)
    except ValueError:
        return 0.0, 0.0, f"start and duration must be numbers of seconds, not {start!r} and {duration!r}"
    # digits that adding brings along would make neighbours overlap
    return begin, round(begin + length, 6), ""


def write_ctm(spoken: Spoken) -> str:
    """
    A line a word, on channel 1, with its score where it has one. White space in the recording's name becomes "_", and
    ";;" gets a word joiner (U+2060) inside, since it begins a comment.

    Raises `ValueError`, naming the word, for one that holds white space or characters that no file has.
    """
    check_texts(spoken.words, "a CTM file")
    name = "_".join(spoken.name.split()) or "recording"
    lines = []
    for number, word in enumerate(spoken.words, 1):
        if " " in word.text:
            raise ValueError(f"word {number} ({word.text!r:.60}) is several words, but a line of a CTM file has one")
        start, end = round(word.start * 1000), round(word.end * 1000)
        text = word.text.replace(";;", f";{JOINER};")
        score = "" if word.score is None else f" {word.score:.3f}"
        lines.append(f"{name} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {text}{score}\n")
    return "".join(lines)
