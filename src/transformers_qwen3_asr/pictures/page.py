"""One page of HTML that plays a recording and shows its words: a file that needs nothing else, and asks nobody."""

import base64
import hashlib
import html
import json
import os
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..formats.spoken import Spoken
from ..results import AlignmentResult
from ..whole_files import write_whole
from .sound import encoded

#: By which a page of ours is known.
GENERATOR = "transformers-qwen3-asr"
_MOST_WORDS = 60  # in a row; what is longer, a text without punctuation, goes on in the next
#: What no browser shows, or what turns the text around it: control characters, marks of direction, halves of pairs.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def write_page(result: AlignmentResult, audio: Any, path: str | os.PathLike, title: str | None = None) -> Path:
    """
    Writes a page that plays the recording and shows its words, and returns the path.

    The page is one file: the recording is in it (Opus, 24 kbit/s), and it loads nothing. It marks the word that is
    being said, goes where a word is clicked, colours words by their score, and shows what does not fit and what is
    heard without words. It has a search box, and all of it works by keyboard.

    Args:
        result: what the pipeline returns for one recording.
        audio: the recording, in any form that `load_audio` takes.
        path: an existing file is replaced by the whole of the new one, or stays.
        title: what the page is called; default: the name of `path`.

    Raises:
        ValueError: the recording cannot be decoded.
        OSError: the file cannot be written.
    """
    return write_spoken(Spoken(title or Path(path).stem, result, audio=audio), path)


def write_spoken(spoken: Spoken, path: str | os.PathLike) -> Path:
    """`write_page` of what was read from a file in any format; its `audio` is the recording."""
    return write_whole(path, page(spoken))


def page(spoken: Spoken) -> str:
    """The page as text."""
    sound = encoded(spoken.audio)
    data = {
        "seconds": round(sound.seconds, 3),
        "peaks": sound.peaks,
        "score": spoken.result.get("score"),
        "fits": spoken.result.get("fits", True),
        "rows": list(rows(spoken)),
    }
    style, script = _part("page.css"), _part("page.js")
    values = {
        "generator": GENERATOR,
        "title": html.escape(visible(spoken.name)),
        # Nothing is loaded and no other script runs, whatever a text holds.
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; media-src data:",
        "style": style,
        "script": script,
        "sound": sound.url,
        # <, > and & never stand for themselves: no text ends the element that it is in
        "data": _ascii_marks(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))),
    }
    # in one pass, so that no value is looked into
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _part("page.html"))


def rows(spoken: Spoken) -> Iterator[dict]:
    """
    What is shown line by line: `{"who": speaker, "items": [...]}`. An item is a word with the white space behind it,
    `[start, end, score, text, unfit]`, or `[start, end]`, where something is heard without words.
    """
    unfit = [passage["timestamp"] for passage in spoken.result.get("unfit") or ()]
    gaps = deque(passage["timestamp"] for passage in spoken.result.get("untranscribed") or ())
    firsts = [first for first, _ in unfit]
    for line in spoken.lines(sentences=True):
        items: list[list] = []
        for text, word in line.pieces() if line.words else [(line.text, line)]:
            while gaps and gaps[0][0] <= word.start:
                gap = _milliseconds(*gaps.popleft())
                if items:
                    items.append(gap)
                else:
                    yield {"items": [gap]}
            passage = bisect_right(firsts, middle := (word.start + word.end) / 2) - 1
            doubt = passage >= 0 and middle <= unfit[passage][1]
            score = getattr(word, "score", None)
            score = None if score is None else round(float(score), 2)
            items.append([*_milliseconds(word.start, word.end), score, visible(text), int(doubt)])
        who = {"who": visible(line.speaker)} if line.speaker else {}
        for first in range(0, len(items), _MOST_WORDS):
            yield {**who, "items": items[first : first + _MOST_WORDS]}
    yield from ({"items": [_milliseconds(*gap)]} for gap in gaps)


def visible(text: str) -> str:
    """The text with the names of its unseen characters in their places: `⟨U+202E⟩`."""
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def is_page(path: str | os.PathLike) -> bool:
    """Whether a file is a page that was written here."""
    with open(path, "rb") as file:
        return f'name="generator" content="{GENERATOR}"'.encode() in file.read(1000)


def _milliseconds(*times: float) -> list[float]:
    return [round(time, 3) for time in times]


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _ascii_marks(text: str) -> str:
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)
