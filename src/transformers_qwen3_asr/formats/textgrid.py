"""Praat's TextGrid, as the Montreal Forced Aligner and people write it, and MFA's JSON; by praatio."""

import heapq
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..labels.checking import is_time
from ..labels.marks import add_entry
from ..labels.matching import some
from ..labels.recordings import read_text
from ..labels.rows import Draft, Entry
from .spoken import Line, Spoken, check_texts, in_sequence

#: Names of a tier of words: MFA's ("words"; with several speakers "NAME - words"), those of Praat's own aligner
#: ("TIER/word"), WebMAUS's.
_WORD_TIER = re.compile(r"(?:(.+) - )?words?|.+/words?|ort-mau", re.IGNORECASE)
#: And of sentences: ours, and what people call them.
_LINE_TIER = re.compile(r"(?:(.+) - )?(?:sentences?|utterances?)", re.IGNORECASE)
#: How many intervals a tier holds, as the long and the short format say it.
_COUNT_LONG = re.compile(r"^\s*intervals ?: ?size ?= ?(\d+)", re.MULTILINE)
_NEEDED = "TextGrid files need praatio: pip install transformers-qwen3-asr[labels]"
_COUNT_SHORT = re.compile(r'"IntervalTier"\s+"(?:[^"]|"")*"\s+\S+\s+\S+\s+(\d+)')


def read_text_grid(path: Path, tier: str | None = None) -> Iterator[Draft]:
    """
    The one row of a TextGrid, in the long or the short text format.

    Words are the intervals of the tier "words"; with several speakers ("NAME - words") of all of them, in order of
    time. A file with a single interval tier needs no name. Pauses (empty, "<eps>", "sil", "sp", "spn") are no words.
    A tier "sentences" or "utterances" beside them is its lines.

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
        raise ImportError(_NEEDED) from error

    content = read_text(path)
    try:
        # praatio reads no last line without an end
        tiers = parseTextgridStr(content.rstrip() + "\n", includeEmptyIntervals=True)["tiers"]
        intervals = [tier for tier in tiers if tier["class"] == "IntervalTier"]
        parsed = [
            (found["name"], None, [(float(start), float(end), str(label)) for start, end, label in found["entries"]])
            for found in intervals
        ]
    except (PraatioException, ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a TextGrid: {type(error).__name__}: {error}") from error

    # praatio stops without a word where it cannot go on
    held = [len(found["entries"]) for found in intervals]
    stated = [int(count) for count in (_COUNT_LONG if "item [" in content else _COUNT_SHORT).findall(content)]
    if stated != held and not content.lstrip().startswith("{"):
        raise ValueError(f"{path} is damaged: its tiers say that they hold {stated} intervals, but {held} can be read")
    yield draft_of_tiers(path, parsed, tier, "interval tier", "interval")


def draft_of_tiers(
    path: Path, tiers: list[tuple[str, str | None, list]], tier: str | None, kind: str, part: str
) -> Draft:
    """
    The row of a file of tiers, as `read_text_grid` says.

    Args:
        tiers: of each the name, the speaker where the file says it, and (start, end, text) in seconds.
        tier: the name of the tier of words, where the caller says it.
        kind: what messages call a tier, and `part` what they call what is in it.
    """
    names = [name for name, *_ in tiers if (name == tier if tier is not None else _WORD_TIER.fullmatch(name.strip()))]
    if not names and tier is None and len(tiers) == 1:
        names = [tiers[0][0]]
    if not names:
        wanted = "'words' or 'NAME - words'" if tier is None else repr(tier)
        others = some(list(dict.fromkeys(repr(name) for name, *_ in tiers)), 8) or "none"
        raise ValueError(f"{path} has no {kind} {wanted}; it has {others}" + ("; say tier=" if tiers else ""))

    draft = Draft(str(path), [], name=path.stem, file=path)
    tracks, lines = [], []
    for name, speaker, entries in tiers:
        words = name in names
        found = (_WORD_TIER if words else _LINE_TIER).fullmatch(name.strip())
        if not words and not found:
            continue
        speaker = speaker or (found[1] if found else None)
        track = Draft(draft.place, [])
        several = f" of {name!r}" if len(set(names)) > 1 or not words else ""
        for number, (start, stop, label) in enumerate(entries, 1):
            add_entry(track, label, start, stop, f"{part} {number}{several}", speaker)
        if words:
            draft.errors += track.errors
            draft.notes += track.notes
        (tracks if words else lines).append(track.entries)
    draft.entries = merged(tracks)
    draft.lines = merged(lines) or None
    return draft


def write_text_grid(spoken: Spoken) -> str:
    """
    The tiers "words" and "sentences", of several speakers "NAME - words" and "NAME - sentences" each, in Praat's long
    format. What is no word, but holds several, is in "sentences" alone.

    Raises `ValueError`, naming the word, for two that one speaker says at a time, and for characters that no file has.
    """
    try:
        from praatio.utilities.textgrid_io import getTextgridAsStr
    except ImportError as error:
        raise ImportError(_NEEDED) from error

    tiers = tiers_of(spoken, "a TextGrid")
    # Praat knows no sound without length
    end = max([1, *(entry[1] for _, _, entries in tiers for entry in entries)])
    content = {"xmin": 0, "xmax": end / 1000, "tiers": []}
    for name, _, entries in tiers:
        entries = [(start / 1000, stop / 1000, text) for start, stop, text in entries]
        content["tiers"].append(
            {"class": "IntervalTier", "name": name, "xmin": 0, "xmax": end / 1000, "entries": entries}
        )
    return getTextgridAsStr(content, "long_textgrid", includeBlankSpaces=True, minimumIntervalLength=None)


def tiers_of(spoken: Spoken, what: str) -> list[tuple[str, str | None, list[tuple[int, int, str]]]]:
    """Each tier's name, speaker, and (start, end, text) in milliseconds."""
    tiers = []
    single = not any(" " in word.text for word in spoken.words)
    for kind, items in (("words", spoken.words if single else []), ("sentences", _sentences(spoken, single))):
        if items or (single and kind == "words"):
            check_texts(items, what)
            speakers = dict.fromkeys(item.speaker for item in items) or [None]
            for speaker in speakers:
                own = [item for item in items if item.speaker == speaker]
                name = f"{' '.join(speaker.split())} - {kind}" if speaker else kind
                times = in_sequence(own, 1000, f"the tier {name!r} of {what}")
                tiers.append((name, speaker, [(*time, item.text) for time, item in zip(times, own)]))
    return tiers


def _sentences(spoken: Spoken, single: bool) -> Iterable[Entry | Line]:
    return spoken.lines(sentences=True) if single else spoken.words


def merged(tracks: list[list]) -> list:
    """Labels of several speakers or channels in order of time; each track keeps the order that it has."""
    return list(heapq.merge(*tracks, key=lambda entry: entry.start if is_time(entry.start) else 0.0))
