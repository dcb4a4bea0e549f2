"""RTTM, NIST's turns of speakers: `SPEAKER file channel start duration <NA> <NA> name …`, and `;;` before comments."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..labels.checking import is_time
from ..labels.matching import some
from ..labels.recordings import read_text
from ..labels.rows import Entry


class Turn(NamedTuple):
    """A stretch in which one speaks. Times are seconds."""

    start: float
    end: float
    speaker: str


def read_rttm(path: Path) -> dict[str, list[Turn]]:
    """
    The turns of each recording that the file names, in order of time. Lines of other types are passed over. No library
    reads RTTM that would not bring a toolkit along; it is white space.

    Raises `ValueError`, naming file and line, for one that cannot be read, and for a file without turns.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split(";;", 1)[0].split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise ValueError(
                f"{path}: line {number} holds {len(fields)} fields; "
                "'SPEAKER file channel start duration <NA> <NA> name' are expected"
            )
        try:
            start, length = float(fields[3]), float(fields[4])
        except ValueError:
            start = length = -1.0
        if not (is_time(start + length) and start >= 0 and length >= 0):
            raise ValueError(
                f"{path}: line {number}: start and duration must be seconds, not {fields[3]!r} and {fields[4]!r}"
            )
        turns.setdefault(fields[1], []).append(Turn(start, round(start + length, 6), fields[7]))
    if not turns:
        raise ValueError(f"{path} holds no turns: a line of it begins with SPEAKER")
    return {name: sorted(found) for name, found in turns.items()}


def turns_of(turns: dict[str, list[Turn]], recording: str, path: Path) -> list[Turn]:
    """Those of one recording. Raises `ValueError` where the file is about others."""
    if recording not in turns:
        raise ValueError(f"{path} has no turns of {recording!r}, but of {some(list(map(repr, turns)))}")
    return turns[recording]


def with_speakers(words: Iterable[Entry], turns: Sequence[Turn]) -> list[Entry]:
    """
    Each word with the speaker who speaks longest while it lasts; where nobody does, without one. Of two that speak as
    long, the one whose turn began later: who breaks in is who is heard.
    """
    starts = [turn.start for turn in turns]
    longest = max((turn.end - turn.start for turn in turns), default=0.0)
    return [_with_speaker(word, turns[bisect_left(starts, word.start - longest - 1e-6) :]) for word in words]


def _with_speaker(word: Entry, turns: Sequence[Turn]) -> Entry:
    shared: dict[str, float] = {}
    for turn in turns:
        if turn.start > word.end:
            break
        both = min(turn.end, word.end) - max(turn.start, word.start)
        if both > 0 or (both == 0 and word.start == word.end):
            shared[turn.speaker] = shared.get(turn.speaker, 0.0) + both
    # of equals the last
    speaker = max(reversed(shared), key=shared.get) if shared else None
    return replace(word, speaker=speaker)
