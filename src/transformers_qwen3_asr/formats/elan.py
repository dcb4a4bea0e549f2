"""ELAN's annotation files (.eaf), read and written by pympi; tiers are called as in a TextGrid."""

from collections.abc import Iterator
from pathlib import Path

from ..labels.recordings import read_text
from ..labels.rows import Draft
from .spoken import Spoken, check_texts
from .textgrid import draft_of_tiers, tiers_of

_NEEDED = "ELAN files need pympi-ling: pip install transformers-qwen3-asr[labels]"
#: What XML has no place for, beside what no text has; white space is single spaces by then.
_NOT_XML = "".join(map(chr, [*range(32), 0xFFFE, 0xFFFF]))


def read_eaf(path: Path, tier: str | None = None) -> Iterator[Draft]:
    """
    The one row of an ELAN file: the annotations of the tier "words" or, with several speakers, of all tiers "NAME -
    words"; a tier's PARTICIPANT is its speaker. A tier "sentences" or "utterances" is its lines.

    Args:
        tier: the name of the tier of words, where it is called otherwise.

    Raises:
        ValueError: the file cannot be read, or has no such tier.
        ImportError: pympi is missing.
    """
    try:
        from pympi import Eaf
    except ImportError as error:
        raise ImportError(_NEEDED) from error

    read_text(path)  # what is no text is named by its line
    try:
        file = Eaf(str(path), suppress_version_warning=True)
    except (
        Exception
    ) as error:  # pympi raises an Exception for what is no XML, and what Python raises for what is not there
        raise ValueError(f"{path} cannot be read as an ELAN file: {type(error).__name__}: {error}") from error
    tiers = []
    for name, (aligned, _, attributes, _) in file.tiers.items():
        entries = []
        for first, last, text, _ in aligned.values():
            start, end = (file.timeslots.get(slot) for slot in (first, last))
            if start is None or end is None:
                raise ValueError(f"{path}: the annotation {text!r:.60} of {name!r} has no time")
            entries.append((start / 1000, end / 1000, text))
        if aligned:
            tiers.append((name, attributes.get("PARTICIPANT") or None, sorted(entries, key=lambda entry: entry[:2])))
    yield draft_of_tiers(path, tiers, tier, "tier of annotations with times", "annotation")


def write_eaf(spoken: Spoken) -> str:
    """
    The tiers of a TextGrid (`write_text_grid`), with the speaker as PARTICIPANT, in milliseconds.

    Raises `ValueError`, naming the word, for two that one speaker says at a time, and for characters that XML has not.
    """
    try:
        from pympi import Eaf
        from pympi.Elan import to_string
    except ImportError as error:
        raise ImportError(_NEEDED) from error

    check_texts(spoken.words, "an ELAN file", _NOT_XML)
    file = Eaf(author="")
    for name, speaker, entries in tiers_of(spoken, "an ELAN file"):
        file.add_tier(name, part=speaker)
        for start, end, text in entries:
            file.add_annotation(name, start, end, text)
    file.remove_tier("default")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + to_string(file) + "\n"
