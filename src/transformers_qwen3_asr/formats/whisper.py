"""Whisper's JSON (.json), as openai-whisper, faster-whisper, WhisperX and whisper-timestamped write it.

`segments[].words[]` with "word", "start", "end" (`--word_timestamps True`, and WhisperX always);
whisper-timestamped has "text" for "word".
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..labels.checking import entries_of, is_time
from ..labels.mappings import draft_of
from ..labels.matching import cleaned, some
from ..labels.rows import Draft, Entry, join_texts, shown
from ..text.spans import whole_text
from .spoken import Spoken


def draft_of_segments(content: Mapping[str, Any], path: Path) -> Draft:
    """The row of a file of segments: their words, and the segments as its lines."""
    draft = Draft(str(path), [], content.get("audio"), file=path, name=path.stem, language=content.get("language"))
    texts, silent, lines = [], [], []
    for number, segment in enumerate(content["segments"]):
        if not isinstance(segment, Mapping):
            draft.errors.append(f"segment {number} is no object: {shown(segment)}")
            continue
        text, words = segment.get("text"), segment.get("words")
        texts.append(text)
        speaker = segment.get("speaker")
        speaker = speaker if isinstance(speaker, str) and speaker.strip() else None
        if isinstance(text, str) and text.strip():
            lines.append(Entry(text.strip(), segment.get("start"), segment.get("end"), f"segment {number}", speaker))
        if not words and isinstance(text, str) and cleaned(text):
            silent.append(f"{number} ({text.strip()[:40]!r})")
        try:
            entries = entries_of(words) or []
        except ValueError as error:
            draft.errors.append(f"segment {number}: {error}")
            continue
        draft.entries += [
            replace(entry, place=f"segment {number}", speaker=entry.speaker or speaker) for entry in entries
        ]
    if silent and not draft.entries and isinstance(content.get("words"), list):
        # OpenAI's API keeps the words beside the segments
        return draft_of(content, draft.place, path, name=draft.name)
    if silent:
        draft.lacks = f"no words with times in segment {some(silent)}: Whisper needs word_timestamps=True"
    if lines and all(is_time(time) for line in lines for time in (line.start, line.end)):
        draft.lines = lines
    if isinstance(content.get("text"), str) and content["text"].strip():
        draft.text = content["text"].strip()
    elif all(isinstance(text, str) for text in texts) and any(text.strip() for text in texts):
        draft.text = join_texts(texts)
    return draft


def write_whisper(spoken: Spoken) -> str:
    """
    Segments with their words, as openai-whisper has them: a word with the space before it, and its "probability". All
    words are there once more as "word_segments", as WhisperX has them, with their "score". Both may have a "speaker".

    Raises `ValueError` for a number that JSON cannot hold.
    """
    segments, every = [], []
    for line in spoken.lines(sentences=True):
        words, space = [], " " if segments else ""
        for piece, entry in line.pieces():
            text, times = piece.strip(), {"start": entry.start, "end": entry.end}
            words.append(_known(word=space + text, **times, probability=entry.score, speaker=entry.speaker))
            every.append(_known(word=text, **times, score=entry.score, speaker=entry.speaker))
            space = " " if piece != piece.rstrip() else ""
        segment = {"id": len(segments), "start": line.start, "end": line.end, "text": line.text, "words": words}
        segments.append(_known(**segment, speaker=line.speaker))
    content = {"text": whole_text(spoken.result["text"]), "segments": segments, "word_segments": every}
    content |= _known(language=spoken.result.get("language"))
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
