"""Where a verb may write: in folders that can be written, and never over what it reads."""

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .common import InputError


def is_url(name: str) -> bool:
    return re.match(r"(https?|ftp|file)://", name, re.IGNORECASE) is not None


def is_folder(given: str) -> bool:
    """Whether a path is a folder's, which need not be there yet."""
    return os.path.isdir(given) or not Path(given).suffix or given.endswith(("/", os.sep))


def names_of(recordings: list[str]) -> list[str]:
    """What their files are called, without an extension. Raises `InputError` where two are called the same."""
    names = [name_of(audio) for audio in recordings]
    folded = Counter(map(_folded, names))
    doubles = sorted(name for name in names if folded[_folded(name)] > 1)
    if doubles:
        raise InputError(f"several recordings would be written to one file, {doubles[0]}")
    return names


def name_of(audio: str) -> str:
    """What the result of a recording is called; a URL may have nothing but a server."""
    url = urlsplit(audio) if is_url(audio) else None
    return Path(url.path if url else audio).stem or (url.hostname if url else "") or "recording"


def _folded(name: str) -> str:
    """The same for names that are one file where A is taken for a, or é for e and an accent."""
    return unicodedata.normalize("NFC", name).casefold()


def check_folder(option: str, folder: Path) -> None:
    """InputError where files cannot be made in a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "cannot be written" if there.is_dir() else "is no folder"
        raise InputError(f"{option}: {there} {reason}")


def check_outputs(outputs: Iterable[tuple[str, str | Path]], inputs: Iterable[tuple[str, str | Path | None]]) -> None:
    """
    InputError where a file that is going to be written is another one of them, or one of the files that are read: by
    whatever name, through links, and in a folder that is read.

    Args:
        outputs: option and path of each.
        inputs: option and path, `file:` URL or hub name of each; what is not there is passed over.
    """
    found: dict[object, str] = {}
    there = False
    for option, path in outputs:
        name, status = f"{option} {path}", _status(path)
        if status is not None and not stat.S_ISREG(status.st_mode):
            continue  # a pipe, a terminal, a folder: nothing is lost
        there = there or status is not None
        identity = os.path.realpath(path) if status is None else (status.st_dev, status.st_ino)
        if (other := found.setdefault(identity, name)) != name:
            raise InputError(f"{name} and {other} are the same file")
    for option, given in inputs if there else ():
        for path in () if given is None else _files(given):
            status = _status(path)
            if status is not None and (name := found.get((status.st_dev, status.st_ino))):
                raise InputError(f"{name} would be written over an input: {option} {path}")


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _files(given: str | Path) -> Iterator[str | Path]:
    """The file itself, or those of a folder."""
    if isinstance(given, str) and is_url(given):
        url = urlsplit(given)
        if url.scheme.lower() == "file":
            yield url2pathname(url.path)
    elif os.path.isdir(given):
        yield from (path for path in Path(given).rglob("*") if path.is_file())
    else:
        yield given
