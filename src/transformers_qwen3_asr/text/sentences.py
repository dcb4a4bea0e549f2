"""Where sentences end and people may pause, by punctuation alone: some rules for many scripts, not a parser."""

import re
import unicodedata
from collections.abc import Sequence

from .spans import opens, whole_text
from .words import Word

#: What `breaks_behind` says of a word at the end of a sentence.
SENTENCE_END = 2

# Of Unicode's sentence terminals (property Sentence_Terminal), those of scripts in everyday use, and the ellipsis.
_TERMINALS = (
    ".!?…‼⁇⁈⁉‽"
    "。！？｡．"  # Chinese and Japanese
    "।॥᱾᱿"  # India
    "؟۔؞"  # Arabic, Urdu
    "։\u037e"  # Armenian, Greek
    "።፧፨"  # Ethiopia
    "။៕។"  # Burmese, Khmer
    "᠃᠉"  # Mongolian
)
_RUN = re.compile(f"[{re.escape(_TERMINALS)}]+")
_EMPTY_LINE = re.compile(r"(?:\r\n|[\n\r\u2028])[^\S\n\r\u2028]*(?:\r\n|[\n\r\u2028])\s*|\u2029\s*")
_TOKEN = re.compile(r"\S*$")
# Words before whose full stop hardly any sentence ends. What has a stop inside ("e.g.", "z.B.") and single letters
# ("J. S. Bach") need no list.
_ABBREVIATIONS = frozenset(
    "mr mrs ms mx messrs dr prof rev hon st mt gen col maj capt lt sgt cpl gov sen rep vs cf ca approx viz "
    "hr fr str bzw evtl ggf inkl exkl zzgl sog bspw vgl mme mlle mgr sr sra srta dra profa ud uds "
    "sig dott avv им ул гр проф см ср напр".split()
)
# Words that end a sentence unless a number follows their full stop ("No. 5", "Jan. 3").
_BEFORE_NUMBERS = frozenset(
    "no nos nr num vol fig figs pp pg art ch cap kap sec abs jan feb mar apr jun jul aug sep sept okt oct nov dec dez "
    "стр гл рис".split()
)
_NO_INITIALS = ("I", "я", "Я")  # words of one letter that often end a sentence


def sentence_ends(text: str) -> list[int]:
    """
    The offsets in `text` at which a next sentence begins: behind its last mark, closing quotes and white space.

    A sentence ends at . ! ? … and their kin in other scripts, with the closing quotes and brackets behind them, and at
    an empty line. It does not end

    - between letters or digits that are written together ("3.14", "example.com");
    - before a small letter, if the text has capitals at all ("etc. and", "“Go!” he said");
    - before a mark that goes on ("“Really?”, Ann asked");
    - at the full stop of a short list of abbreviations ("Mr.", "bzw."), of single letters and of letters with stops
      between them ("J. S. Bach", "e.g.", "p.m."), and of a number that begins a line or sentence ("1. First").

    So it is missed after "p.m." or "vitamin C.", and seen too often after an ordinal ("am 3. Oktober"). A line break
    alone ends none, since texts are wrapped. Thai and Lao write no such marks.
    """
    has_capitals = any(character.isupper() for character in text)
    ends = {match.end() for match in _EMPTY_LINE.finditer(text)}
    for match in _RUN.finditer(text):
        end = _behind_closing(text, match.end())
        if _ends(text, match, end, has_capitals):
            while end < len(text) and text[end].isspace():
                end += 1
            ends.add(end)
    return sorted(ends - {0, len(text)})


def breaks_behind(text: str | Sequence[str], words: Sequence[Word]) -> list[int]:
    """
    Behind which words people may pause, `(words,)`: `SENTENCE_END` where a mark stands between a word and the next one
    that ends sentences (also where this one ends none), 1 where other punctuation does, and 0.

    Args:
        text: the transcript, or its words.
        words: its words as `split_words` cuts them.
    """
    whole = whole_text(text)
    nexts = [*(word.start for word in words[1:]), len(whole)]
    return [
        SENTENCE_END if _RUN.search(between) else int(any(unicodedata.category(mark)[0] == "P" for mark in between))
        for between in (whole[word.end : following] for word, following in zip(words, nexts))
    ]


def _behind_closing(text: str, end: int) -> int:
    """Past the closing quotes and brackets at `end`; French has a space before them."""
    while end < len(text):
        if _closes(text, end):
            end += 1
        elif text[end] in " \xa0\u202f" and end + 1 < len(text) and text[end + 1] in "»›" and _closes(text, end + 1):
            end += 2
        else:
            break
    return end


def _closes(text: str, index: int) -> bool:
    mark = text[index]
    return (unicodedata.category(mark) in ("Pe", "Pf", "Pi") or mark in "\"'") and not opens(text, index)


def _ends(text: str, match: re.Match, end: int, has_capitals: bool) -> bool:
    """Whether a sentence ends at a run of terminals whose closing marks end at `end`."""
    marks, following = match.group(), text[end : end + 1]
    if following and not following.isspace():
        if unicodedata.category(following)[0] == "P" and not opens(text, end):
            return False
        # letters of scripts with spaces are written together; a digit is anywhere
        if marks[-1] in ".．…" and (following.isdecimal() or (following.isalpha() and following < "\u2e80")):
            return False
    behind = next((c for c in text[end : end + 100] if c.isalnum()), "")
    if has_capitals and behind.islower():
        return False
    return marks != "." or not _is_abbreviation(text, match.start(), behind)


def _is_abbreviation(text: str, stop: int, behind: str) -> bool:
    """Whether the full stop at `stop` belongs to the word before it rather than to a sentence."""
    found = _TOKEN.search(text, max(0, stop - 40), stop)
    raw = found.group()
    token = raw.lstrip("".join(c for c in raw if not c.isalnum()))
    if len(token) == 1 and token.lower() != token.upper():
        return token not in _NO_INITIALS
    parts = token.split(".")
    if len(parts) > 1 and all(len(part) <= 2 and part.isalpha() for part in parts):
        return True
    if token.casefold() in _ABBREVIATIONS:
        return True
    if token.casefold() in _BEFORE_NUMBERS:
        return behind.isdecimal()
    before = text[max(0, found.start() - 40) : found.start()].rstrip(" \t")
    return token.isdecimal() and (not before or before[-1] in "\n\r" + _TERMINALS)
