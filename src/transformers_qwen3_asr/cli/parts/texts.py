"""What `align` is given: recordings by name or in folders, and the text of each."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..common import InputError, one_line
from ..files import is_url

#: Extensions of a text beside a recording; the first one that is there counts. .lab is what the MFA's corpora have.
BESIDE = (".txt", ".lab", ".json", ".srt", ".vtt", ".ass")
#: Of these, cues whose times are to be set anew.
SUBTITLES = (".srt", ".vtt", ".ass")
#: Standard input, as a name that PyAV and Python open.
STDIN = "/dev/stdin"


def recordings_of(given: Sequence[str]) -> list[str]:
    """
    Recordings as they were given, with those of a folder, and of folders in it, in its place, by name. A folder that
    holds none stays. "-" is standard input.
    """
    from ...labels.recordings import AUDIO_SUFFIXES

    found = []
    for name in given:
        if name == "-":
            found.append(STDIN)
        elif not is_url(name) and os.path.isdir(name):
            inside = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
            found += [str(path) for path in inside if path.is_file()] or [name]
        else:
            found.append(name)
    return found


def text_files(arguments, recordings: Sequence[str]) -> list[Path | None]:
    """
    The file of each recording's text: the given one, or one beside it (a .txt where there is none of `BESIDE`); `None`
    where texts are given as such.

    Raises `InputError` where there are not as many as recordings.
    """
    texts = arguments.text or arguments.text_file
    if texts is None:
        beside = [[Path(audio).with_suffix(suffix) for suffix in BESIDE] for audio in recordings]
        return [next((path for path in paths if path.is_file()), paths[0]) for paths in beside]
    if len(texts) != len(recordings):
        raise InputError(
            f"{len(recordings)} recordings but {len(texts)} {'--text' if arguments.text else '--text-file'}"
        )
    if arguments.text:
        return [None] * len(texts)
    if texts.count("-") + list(recordings).count(STDIN) > 1:
        raise InputError("standard input is one recording or one text")
    return [Path(STDIN if text == "-" else text) for text in texts]


def is_subtitles(file: Path | None) -> bool:
    return file is not None and file.suffix.lower() in SUBTITLES


def read_text(file: Path) -> tuple[str, str | None]:
    """
    What is said, of a text file, a .json with a "text", or subtitles: then a line a cue, and beside it the same text
    with the line breaks that are in the cues, where the first has spaces.

    Raises `ValueError` that begins with the file's name where there is no such text, `OSError`.
    """
    if is_subtitles(file):
        cues = _read_cues(file)
        return "\n".join(" ".join(cue.split()) for cue in cues), "\n".join(cues)
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        utf16 = ", but UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ValueError(f"{file} is not UTF-8{utf16}") from error
    if "\0" in text:
        raise ValueError(f"{file} holds NUL; if it is UTF-16, save it as UTF-8")
    if file.suffix.lower() == ".json":
        try:
            text = json.loads(text)["text"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f'{file} is no JSON with a "text" ({one_line(error)})') from error
        if isinstance(text, list) and all(isinstance(word, str) for word in text):
            text = " ".join(text)
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f'{file}: its "text" is no text')
    return text, None


def _read_cues(file: Path) -> list[str]:
    from ...formats.reading import read_spoken

    try:
        (spoken,) = read_spoken(file, words=False)
    except ImportError as error:
        raise ValueError(f"{file}: {one_line(error)}") from error
    cues = spoken.cues if spoken.given is None else spoken.given
    return [cue.text for cue in cues]
