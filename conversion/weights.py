"""Tensors from one folder into another under other names, one at a time.

Reading is safetensors'. Writing is not: the library can only write a file whose tensors are all in memory, and the
point here is that a 4.7 GB checkpoint passes through the memory of its largest tensor. The format is a length, a JSON
header and the bytes one after another (https://github.com/huggingface/safetensors#format), so writing it is short.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1,
         "U8": 1, "BOOL": 1}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A tensor as a safetensors header describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return BYTES[self.dtype] * math.prod(self.shape)


class TensorFolder:
    """The tensors of a checkpoint folder, sharded or not, by name.

    Raises `ValueError` when the folder holds no safetensors checkpoint, when its index names a file or a tensor that
    is not there, or when a shard holds a tensor that the index does not name.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if (self.folder / INDEX).is_file():
            listed = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        elif (self.folder / SINGLE).is_file():
            listed = None
        else:
            raise ValueError(f"{self.folder} holds neither {SINGLE} nor {INDEX}")
        self.entries: dict[str, Entry] = {}
        self._file_of: dict[str, Path] = {}
        for name in sorted(set(listed.values()) if listed is not None else {SINGLE}):
            path = self.folder / name
            if not path.is_file():
                raise ValueError(f"{INDEX} names {name}, which is not in {self.folder}")
            with safe_open(path, "pt") as file:
                for tensor in file.keys():  # noqa: SIM118 (not a dictionary)
                    part = file.get_slice(tensor)
                    self.entries[tensor] = Entry(part.get_dtype(), tuple(part.get_shape()))
                    self._file_of[tensor] = path
        if listed is not None and set(listed) != set(self.entries):
            raise ValueError(f"{INDEX} and the shards disagree about {sorted(set(listed) ^ set(self.entries))}")

    def read(self, name: str) -> torch.Tensor:
        """One tensor. The file is opened for it alone, so that its mapped pages go when it goes."""
        with safe_open(self._file_of[name], "pt") as file:
            return file.get_tensor(name)

    def digest(self, name: str) -> str:
        """SHA-256 of a tensor's bytes, to compare two tensors without holding both."""
        return hashlib.sha256(_bytes_of(self.read(name))).hexdigest()


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _in_order(entries: dict[str, Entry]) -> list[str]:
    # as safetensors orders its files: wide types first, so that everything stays aligned, then by name
    return sorted(entries, key=lambda name: (-BYTES[entries[name].dtype], name))


def _header(entries: dict[str, Entry]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in _in_order(entries):
        entry = entries[name]
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)


def file_size(entries: dict[str, Entry]) -> int:
    """Bytes of the safetensors file that would hold these tensors."""
    return 8 + len(_header(entries)) + sum(entry.size for entry in entries.values())


def split_into_shards(entries: dict[str, Entry], max_shard_size: int) -> list[dict[str, Entry]]:
    """Names in order, cut where a shard would exceed `max_shard_size` bytes; a larger tensor stands alone."""
    shards: list[dict[str, Entry]] = [{}]
    room = max_shard_size
    for name in _in_order(entries):
        size = entries[name].size
        if size > room and shards[-1]:
            shards.append({})
            room = max_shard_size
        shards[-1][name] = entries[name]
        room -= size
    return shards


def write_tensors(
    source: TensorFolder, names: dict[str, str], target: str | Path, max_shard_size: int = 5_000_000_000
) -> list[Path]:
    """Write the tensors of `source` that `names` maps (new name: old name) into the folder `target`.

    Dtype and bytes stay as they are. Memory holds one tensor at a time. Returns the files written; more than one comes
    with an index. A file appears under its name only when it is whole.
    """
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    entries = {new: source.entries[old] for new, old in names.items()}
    shards = split_into_shards(entries, max_shard_size)
    file_names = (
        [SINGLE]
        if len(shards) == 1
        else [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    )
    for file_name, shard in zip(file_names, shards, strict=True):
        unfinished = target / (file_name + ".partial")
        with unfinished.open("wb") as file:
            header = _header(shard)
            file.write(struct.pack("<Q", len(header)))
            file.write(header)
            for new in _in_order(shard):
                file.write(_bytes_of(source.read(names[new])))
        unfinished.rename(target / file_name)
    if len(shards) > 1:
        weight_map = {
            name: file_name for file_name, shard in zip(file_names, shards, strict=True) for name in sorted(shard)
        }
        total = sum(entry.size for entry in entries.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (target / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return [target / file_name for file_name in file_names]


def check_names(found: dict[str, Entry], expected: dict[str, tuple[int, ...]], optional: Iterable[str] = ()) -> None:
    """Every expected tensor is there with its shape, and no other one; else `ValueError` that names what is wrong."""
    missing = sorted(set(expected) - set(found) - set(optional))
    unexpected = sorted(set(found) - set(expected))
    misshapen = [
        f"{name} is {list(found[name].shape)}, not {list(shape)}"
        for name, shape in sorted(expected.items())
        if name in found and found[name].shape != tuple(shape)
    ]
    faults = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if names
    ]
    if faults:
        raise ValueError("the checkpoint does not fit its config; " + "; ".join(faults))
