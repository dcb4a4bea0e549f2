"""JSON files (.json): what Whisper's relatives write with word times, MFA's JSON, and what our own aligner writes.

The keys, as the programs write them: openai-whisper (`--word_timestamps True`), faster-whisper's words and WhisperX:
`segments[].words[]` with "word", "start", "end"; whisper-timestamped: the same with "text" for "word"; OpenAI's API
("verbose_json" with word granularity): `words[]` beside "text"; this package and transformers' speech recognition:
"chunks" with "text" and "timestamp".
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..alignment.results import AlignmentResult
from ..labels.checking import entries_of
from ..labels.mappings import draft_of
from ..labels.matching import cleaned, some
from ..labels.recordings import read_text
from ..labels.rows import Draft, Entry, join_texts, shown
from .json_lines import unreadable
from .textgrid import read_text_grid


def read_json(path: Path) -> Iterator[Draft]:
    """
    The rows of a JSON file: one, or as many as a list of rows has.

    Raises `ValueError`, naming the file, where it is no JSON or holds no words in a way that is known.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; if it has a row a line, say format='jsonl'" if error.msg == "Extra data" else ""
        raise ValueError(f"{path}: line {error.lineno} is no JSON: {error.msg}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON that can be read: {unreadable(error)}") from error
    if isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        if all("audio" in row for row in content):
            for number, row in enumerate(content):
                yield draft_of(row, f"{path}:[{number}]", path)
            return
        # segments without a transcript around them, or their words alone
        key = "words" if all("start" in row and "words" not in row for row in content) else "segments"
        content = {key: content}
    if isinstance(content, Mapping) and "tiers" in content:
        yield from read_text_grid(path)  # MFA's --output_format json
        return
    if not isinstance(content, Mapping) or not {"segments", "words", "chunks"} & set(content):
        keys = f"its keys are {some(sorted(content), 8)}" if isinstance(content, Mapping) else "it is no object"
        raise ValueError(f"{path} holds no 'segments', 'words' or 'chunks' with word times: {keys}")
    if isinstance(content.get("segments"), list) and not isinstance(content.get("chunks"), list):
        yield _draft_of_segments(content, path)
    else:
        yield draft_of(content, str(path), path, name=path.stem)


def _draft_of_segments(content: Mapping[str, Any], path: Path) -> Draft:
    draft = Draft(str(path), [], content.get("audio"), file=path, name=path.stem, language=content.get("language"))
    texts, silent = [], []
    for number, segment in enumerate(content["segments"]):
        if not isinstance(segment, Mapping):
            draft.errors.append(f"segment {number} is no object: {shown(segment)}")
            continue
        text, words = segment.get("text"), segment.get("words")
        texts.append(text)
        if not words and isinstance(text, str) and cleaned(text):
            silent.append(f"{number} ({text.strip()[:40]!r})")
        try:
            entries = entries_of(words) or []
        except ValueError as error:
            draft.errors.append(f"segment {number}: {error}")
            continue
        draft.entries += [Entry(e.text, e.start, e.end, f"segment {number}") for e in entries]
    if silent and not draft.entries and isinstance(content.get("words"), list):
        # OpenAI's API keeps the words beside the segments
        return draft_of(content, draft.place, path, name=draft.name)
    if silent:
        draft.errors.append(f"no words with times in segment {some(silent)}: Whisper needs word_timestamps=True")
    if isinstance(content.get("text"), str) and content["text"].strip():
        draft.text = content["text"].strip()
    elif all(isinstance(text, str) for text in texts) and any(text.strip() for text in texts):
        draft.text = join_texts(texts)
    return draft


def write_json(result: AlignmentResult) -> str:
    """A result as JSON. Raises `ValueError` for a number that JSON cannot hold."""
    return json.dumps(result, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
