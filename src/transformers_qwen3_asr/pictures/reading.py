"""What is to be shown, out of a file of words with times in any format, and the recording that belongs to it."""

import os
from dataclasses import replace
from pathlib import Path

from ..formats import read_passages
from ..formats.reading import read_spoken
from ..formats.spoken import Spoken
from ..formats.writing import called, the_only
from ..labels.recordings import Recordings


def read_with_sound(
    path: Path,
    target: Path,
    *,
    audio: str | os.PathLike | None = None,
    format: str | None = None,
    tier: str | None = None,
    recording: str | None = None,
) -> Spoken:
    """
    The one recording of a file, with its sound.

    Args:
        path: what `convert` reads.
        target: the picture that it is for, which messages name.
        audio: the recording; default: the one that the file names, else the one beside it that is called the same.
        format, tier, recording: as in `convert`.

    Raises:
        ValueError: what cannot be read, naming file and place; several recordings; no sound.
        ImportError: the library of the format is missing.
    """
    found = read_spoken(path, format, tier, words=False)
    spoken = the_only(called(found, recording, path), path, target)
    if format == "json" or (format is None and path.suffix.lower() == ".json"):
        spoken = replace(spoken, result={**spoken.result, **read_passages(path)})
    if audio is None and isinstance(spoken.audio, (str, os.PathLike)):
        audio = Recordings().named(os.fspath(spoken.audio), path)
    elif audio is None:
        try:
            audio = Recordings().called(spoken.name, path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}: say audio=") from error
    return replace(spoken, audio=audio)
