"""
Audacity's labels (.aud, as WhisperX calls them; Audacity says .txt): start, end and text between tabs, in seconds.

A speaker stands in front, as WhisperX writes it: `[[SPEAKER]]text`.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..labels.recordings import read_text
from ..labels.rows import Draft, Entry
from ..results import Cue
from .spoken import JOINER, check_texts, speaker_of

_SPEAKER = re.compile(r"\[\[([^\[\]]+)\]\](.*)")


def read_audacity(path: Path) -> Iterator[Draft]:
    """The one row of a label track. No library reads it. Raises `ValueError`, naming file and line."""
    draft = Draft(str(path), [], name=path.stem, file=path)
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.startswith("\\"):  # the frequencies of the label above
            continue
        fields = line.rstrip("\r").split("\t", 2)
        try:
            start, end, text = fields
            start, end = float(start), float(end)
        except ValueError:
            raise ValueError(
                f"{path}: line {number} is no label of Audacity: start, end and text between tabs are expected, "
                f"not {line.strip()!r:.60}"
            ) from None
        found = _SPEAKER.fullmatch(text.strip())
        speaker, text = (found[1].strip() or None, found[2]) if found else (None, text)
        if text.strip():
            draft.entries.append(Entry(" ".join(text.split()), start, end, f"line {number}", speaker))
    yield draft


def write_audacity(cues: Iterable[Cue]) -> str:
    """A cue a line, to a microsecond. Raises `ValueError`, naming the one that cannot be written."""
    cues = [cue for cue in cues if cue.text]
    check_texts(cues, "a label track")
    lines = []
    for cue in cues:
        speaker = re.sub(r"[\[\]]", "", speaker_of(cue))
        # a text that looks like a speaker is told by a word joiner
        text = cue.text.replace("[[", f"[{JOINER}[", 1) if cue.text.startswith("[[") else cue.text
        lines.append(f"{cue.start:.6f}\t{cue.end:.6f}\t{f'[[{speaker}]]' if speaker else ''}{text}\n")
    return "".join(lines)
