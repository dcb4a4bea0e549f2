"""Files for users, which are written whole or not at all."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

#: Where a system shows what is open already (`/dev/stdout`): there is no file beside it, and nothing to replace.
_STREAMS = ("/dev/fd/", "/dev/std", "/proc/")


def write_whole(path: str | os.PathLike, content: str | bytes) -> Path:
    """
    Writes a file, such that at any time, and whenever the process ends, what was there before is there, or all of
    `content`. Returns the path.

    The content goes into a file of another name in the same folder, which then takes the place of `path`. Missing
    folders are made. What is replaced keeps its permissions; a symbolic link stays one, and the file that it leads to
    is replaced. What is no file, such as a pipe or `/dev/stdout`, is written into as it is.

    Args:
        content: a text is written as UTF-8. A lone surrogate in it, such as stands for a byte of a file's name,
            becomes an escape: `"\\udc80"`, as JSON has it.

    Raises `OSError`, with the file's name, where it cannot be written; nothing has changed then.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        found = _status(path)
        if str(path.absolute()).startswith(_STREAMS) or (found is not None and not stat.S_ISREG(found.st_mode)):
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data, found)
    except OSError as error:
        # neither the other name nor none (a full disk has none) says which file it was
        raise type(error)(error.errno, error.strerror, str(path)) from error
    return path


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes, found: os.stat_result | None) -> None:
    if found is not None and not os.access(path, os.W_OK):
        raise PermissionError(13, os.strerror(13))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # opened like any other file, so that a new one has the usual permissions
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if found is not None:
            part.chmod(stat.S_IMODE(found.st_mode))
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
