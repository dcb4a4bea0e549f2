"""Going on after a kill: which checkpoint is whole, and how far the run had come.

`Trainer` writes a checkpoint file by file into its final folder, so a process that is killed leaves a folder that
looks like the newest checkpoint. Here a checkpoint counts once `complete.json` lies in it, written last and renamed
into place, and while every file has the size that is noted there.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from ..whole_files import write_whole

MARKER = "complete.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """`content` as a JSON file that is there whole or not at all, whenever the process ends."""
    write_whole(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def checkpoints(folder: str | Path) -> dict[int, Path]:
    """The checkpoint folders in a run's folder, whole or not, by step."""
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    found = {path: _CHECKPOINT.fullmatch(path.name) for path in folder.iterdir() if path.is_dir()}
    return {int(match[1]): path for path, match in found.items() if match}


def step_of(checkpoint: str | Path) -> int:
    """The step that a checkpoint folder is named after."""
    return int(_CHECKPOINT.fullmatch(Path(checkpoint).name)[1])


def mark_complete(checkpoint: str | Path, **notes: Any) -> None:
    """Write the marker of a checkpoint whose files are all there; `notes` are kept in it."""
    checkpoint = Path(checkpoint)
    (checkpoint / MARKER).unlink(missing_ok=True)
    sizes = {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    write_json(checkpoint / MARKER, {**notes, "files": sizes})


def completion(checkpoint: str | Path) -> dict[str, Any] | None:
    """What the marker of a checkpoint says, or `None` if the checkpoint is not whole."""
    checkpoint = Path(checkpoint)
    try:
        marker = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
        whole = all((checkpoint / name).stat().st_size == size for name, size in marker["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return marker if whole else None


def last_complete(folder: str | Path) -> Path | None:
    """The whole checkpoint of the highest step, or `None`."""
    return next((path for _, path in sorted(checkpoints(folder).items(), reverse=True) if completion(path)), None)


def remove_incomplete(folder: str | Path) -> list[Path]:
    """
    Delete the checkpoint folders that are not whole; gives their paths.

    They would be in the way: `Trainer` keeps a limited number, the newest, and writes into folders that are there.
    """
    broken = [path for _, path in sorted(checkpoints(folder).items()) if completion(path) is None]
    for path in broken:
        shutil.rmtree(path)
    return broken


class CompleteCheckpoints(TrainerCallback):
    """
    Marks each checkpoint as whole once every process has written its part.

    Args:
        notes: a function that gives what the marker shall say beside the files, such as the seconds so far.
        processor (*optional*): saved with each checkpoint, so that one can be tried while the training goes on.
    """

    def __init__(self, notes=dict, processor=None):
        self.notes = notes
        self.processor = processor

    def on_save(self, args, state, control, **kwargs):
        PartialState().wait_for_everyone()
        if args.should_save:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if self.processor is not None:
                self.processor.save_pretrained(checkpoint)
            mark_complete(checkpoint, **self.notes())
        PartialState().wait_for_everyone()
