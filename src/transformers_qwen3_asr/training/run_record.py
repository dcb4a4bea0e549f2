"""`train.json`: what a run was told, how far it came, how long it took and how much memory it needed."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .resume import write_json
from .settings import CHANGEABLE, FineTuningSettings, option

RECORD = "train.json"
_VERSIONS = ("transformers-qwen3-asr", "transformers", "torch", "accelerate", "peft")


class Clock:
    """Seconds of a run, those before a kill included as far as they led to the checkpoint it goes on from."""

    def __init__(self, before: float = 0.0):
        self.before = before
        self._start = time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self._start


def peak_memory() -> dict[str, int]:
    """
    The most bytes this process has held so far: `peak_memory_bytes` of main memory (missing where the system does not
    say, as on Windows), and `peak_gpu_memory_bytes` that torch allocated on its GPU.
    """
    peaks = {}
    try:
        import resource
    except ImportError:
        pass
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage gives kilobytes, on macOS bytes
        peaks["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        peaks["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    return peaks


def joined_peaks(*peaks: Mapping[str, int]) -> dict[str, int]:
    """The largest of each, over the processes that a resumed run consists of."""
    return {key: max(p[key] for p in peaks if key in p) for key in sorted({key for p in peaks for key in p})}


def rows_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """A hash of the rows' recordings by name, texts and labels, in order. Resuming needs the very same rows."""
    digest = hashlib.sha256()
    for row in rows:
        audio = row.get("audio")
        name = Path(audio).name if isinstance(audio, str) else type(audio).__name__
        digest.update(json.dumps([name, row.get("text"), row.get("language"), row.get("words")]).encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_record(output: str | Path) -> dict[str, Any] | None:
    """The `train.json` of a folder, `None` where it has none. `ValueError` where it cannot be read."""
    path = Path(output) / RECORD
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not the record of a run: {error}") from error


def write_record(output: str | Path, content: Mapping[str, Any]) -> None:
    """Write `train.json`, whole or not at all."""
    write_json(Path(output) / RECORD, dict(content))


def check_same_run(
    record: Mapping[str, Any], settings: FineTuningSettings, rows: str, held_out: str | None, processes: int
) -> None:
    """
    Raise `ValueError`, naming the options, where a run that is to go on was begun in another way.

    Going on with other data or another learning rate would end in a model that neither command describes. Options
    that do not change what a step does may differ (`CHANGEABLE`), the number of steps among them.
    """
    now, then = settings.as_dict(), record["settings"]
    differing = [
        f"{option(name)} was {then.get(name)!r} and is {value!r}"
        for name, value in now.items()
        if name not in CHANGEABLE and then.get(name) != value
    ]
    if record.get("processes") != processes:
        differing.append(f"it ran in {record.get('processes')} processes, now there are {processes}")
    if not differing and record.get("rows_digest") != rows:
        differing.append("the rows of --train have changed")
    if settings.load_best_model_at_end and held_out and record.get("eval_digest") not in (None, held_out):
        differing.append("the rows of --eval, by which the best checkpoint is chosen, have changed")
    if differing:
        raise ValueError(
            f"{settings.output} holds a run that was begun differently: {'; '.join(differing)}. Give the same "
            "options, another --output, or --no-resume to delete its checkpoints and begin again"
        )
