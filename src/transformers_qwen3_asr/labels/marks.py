"""Marks that stand for something else than a word in TextGrid and CTM."""

import re

from .rows import Draft, Entry

#: Labels of a pause, in lower case: Praat's empty interval, Kaldi's and MFA's silence and spoken noise, WebMAUS's.
PAUSES = frozenset(["", "<eps>", "sil", "<sil>", "[sil]", "!sil", "sp", "spn", "<sp>", "<spn>", "<p:>", "#"])
#: Labels of a word that an aligner's dictionary does not have: something is said there, and nobody says what.
UNKNOWN = frozenset(["<unk>", "[unk]", "<oov>", "[oov]", "!oov", "<unknown>"])
_BRACKETED = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")


def add_entry(
    draft: Draft, text: str, start, end, place: str, speaker: str | None = None, score: float | None = None
) -> None:
    """
    Adds a label to a row, unless it is a pause. What stands for an unknown word is an error of the row; another mark
    in brackets, such as [noise], is no word and is noted.
    """
    mark = text.strip().lower()
    if mark in PAUSES:
        return
    if mark in UNKNOWN:
        draft.errors.append(f"{place}: {text.strip()!r} stands for a word that is not known")
    elif _BRACKETED.fullmatch(mark):
        draft.notes.append(f"left out, because it is a mark and no word: {text.strip()!r} ({place})")
    else:
        draft.entries.append(Entry(text.strip(), start, end, place, speaker, score))
