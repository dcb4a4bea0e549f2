"""JSON files of a checkpoint, read such that an error names the file. Nothing here imports torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class CheckpointFileError(ValueError, OSError):
    """
    A file of a checkpoint is not what it should be; the message names it.

    Also an `OSError`, since that is what transformers raises for some of these files and what its callers catch.
    """


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `CheckpointFileError` naming the file, also where it holds something else."""
    check_is_file(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, no JSON, or brackets without end
        raise CheckpointFileError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointFileError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def check_is_file(path: str | Path, why: str = "") -> None:
    """Raise `CheckpointFileError` unless there is a file; `why` follows its name in the message."""
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise CheckpointFileError(f"{path}{why} is a link to nothing")
    if not path.exists():
        raise CheckpointFileError(f"{path}{why} is missing")
    if not path.is_file():
        raise CheckpointFileError(f"{path}{why} is not a file")
