"""Praat's TextGrid, as the Montreal Forced Aligner and people write it, and MFA's JSON; read by praatio."""

import heapq
import re
from collections.abc import Iterator
from pathlib import Path

from ..labels.checking import is_time
from ..labels.marks import add_entry
from ..labels.matching import some
from ..labels.recordings import read_text
from ..labels.rows import Draft

#: Names of a tier of words, in lower case: MFA's ("words"; with several speakers "NAME - words"), WebMAUS's.
_WORD_TIER = re.compile(r"(.+ - )?words?|ort-mau")
#: How many intervals a tier holds, as the long and the short format say it.
_COUNT_LONG = re.compile(r"^\s*intervals ?: ?size ?= ?(\d+)", re.MULTILINE)
_COUNT_SHORT = re.compile(r'"IntervalTier"\s+"(?:[^"]|"")*"\s+\S+\s+\S+\s+(\d+)')


def read_text_grid(path: Path, tier: str | None = None) -> Iterator[Draft]:
    """
    The one row of a TextGrid, in the long or the short text format.

    Words are the intervals of the tier "words"; with several speakers ("NAME - words") of all of them, in order of
    time. A file with a single interval tier needs no name. Pauses (empty, "<eps>", "sil", "sp", "spn") are no words.

    Args:
        tier: the name of the tier, where it is called otherwise.

    Raises:
        ValueError: the file cannot be read, is truncated, or has no such tier.
        ImportError: praatio is missing.
    """
    try:
        from praatio.utilities.errors import PraatioException
        from praatio.utilities.textgrid_io import parseTextgridStr
    except ImportError as error:
        raise ImportError("TextGrid files need praatio: pip install transformers-qwen3-asr[labels]") from error

    content = read_text(path)
    try:
        # praatio reads no last line without an end
        tiers = parseTextgridStr(content.rstrip() + "\n", includeEmptyIntervals=True)["tiers"]
        intervals = [tier for tier in tiers if tier["class"] == "IntervalTier"]
        parsed: dict[str, list] = {}
        for found in intervals:
            entries = [(float(start), float(end), str(label)) for start, end, label in found["entries"]]
            parsed.setdefault(found["name"], []).append(entries)
    except (PraatioException, ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a TextGrid: {type(error).__name__}: {error}") from error

    # praatio stops without a word where it cannot go on
    held = [len(found["entries"]) for found in intervals]
    stated = [int(count) for count in (_COUNT_LONG if "item [" in content else _COUNT_SHORT).findall(content)]
    if stated != held and not content.lstrip().startswith("{"):
        raise ValueError(f"{path} is damaged: its tiers say that they hold {stated} intervals, but {held} can be read")

    if tier is not None:
        names = [name for name in parsed if name == tier]
    else:
        names = [name for name in parsed if _WORD_TIER.fullmatch(name.strip().lower())]
        if not names and len(parsed) == 1:
            names = list(parsed)
    if not names:
        wanted = "'words' or 'NAME - words'" if tier is None else repr(tier)
        others = some([repr(name) for name in parsed], 8) or "none"
        raise ValueError(f"{path} has no interval tier {wanted}; it has {others}" + ("; say tier=" if parsed else ""))

    draft = Draft(str(path), [], name=path.stem, file=path)
    tracks = []
    for name in names:
        for entries in parsed[name]:
            several = f" of {name!r}" if len(names) > 1 else ""
            track = Draft(draft.place, [])
            for number, (start, stop, label) in enumerate(entries, 1):
                add_entry(track, label, start, stop, f"interval {number}{several}")
            draft.errors += track.errors
            draft.notes += track.notes
            tracks.append(track.entries)
    draft.entries = merged(tracks)
    yield draft


def merged(tracks: list[list]) -> list:
    """Labels of several speakers or channels in order of time; each track keeps the order that it has."""
    return list(heapq.merge(*tracks, key=lambda entry: entry.start if is_time(entry.start) else 0.0))
