"""JSON files (.json): what our own aligner writes, which docs/formats.md describes; read are those of others, too.

Others are Whisper's relatives (see `whisper`); OpenAI's API ("verbose_json" with word granularity): `words[]` beside
"text"; transformers' speech recognition, as ours: "chunks" with "text" and "timestamp"; and MFA's JSON.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..labels.checking import is_time
from ..labels.mappings import draft_of
from ..labels.matching import some
from ..labels.recordings import read_text
from ..labels.rows import Draft
from .json_lines import unreadable
from .spoken import Spoken
from .textgrid import read_text_grid
from .whisper import draft_of_segments

#: Of what is written here. It changes when a reader of the one before would be led astray.
VERSION = 1


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
        yield draft_of_segments(content, path)
    elif isinstance(version := content.get("version"), int) and version > VERSION and "chunks" in content:
        raise ValueError(f"{path} is of version {version} of this format, and {VERSION} is the last one known here")
    else:
        yield draft_of(content, str(path), path, name=path.stem)


def write_json(spoken: Spoken) -> str:
    """A result as JSON, with the format's version. Raises `ValueError` for a number that JSON cannot hold."""
    return json.dumps({"version": VERSION, **spoken.result}, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def read_passages(path: Path) -> dict:
    """
    What an alignment that was written here says about the whole: "score" and "fits", and of "unfit" and
    "untranscribed" the times. Empty for a file of others.

    Raises `ValueError`, naming the file, for something else under these keys.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON that can be read: {unreadable(error)}") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("version"), int):
        return {}
    found: dict = {}
    for key in ("unfit", "untranscribed"):
        try:
            times = [tuple(passage["timestamp"]) for passage in content.get(key) or ()]
        except (TypeError, KeyError):
            times = [()]
        if not all(len(span) == 2 and all(map(is_time, span)) and 0 <= span[0] <= span[1] for span in times):
            raise ValueError(f"{path}: {key!r} must be a list of passages with a 'timestamp' of two times in seconds")
        found[key] = [{"timestamp": span} for span in sorted(times)]
    score = content.get("score")
    if not (score is None or is_time(score)) or not isinstance(content.get("fits", True), bool):
        raise ValueError(f"{path}: 'score' must be a number, and 'fits' true or false")
    return {**found, "score": score, "fits": content.get("fits", True)}
