"""Files of a checkpoint that cannot be what they say: each is a `ValueError` that names the file.

transformers reads what it is given. A file cut short ends in an error of the library below, one without a name; shards
that hold a tensor twice, or numbers that are not finite, end in a model that answers wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import GenerationConfig
from transformers.modeling_utils import load_state_dict

from ..json_files import CheckpointFileError, check_is_file, read_json

#: Data types of safetensors that are weights. Whole numbers are none, unless a quantiser says how to read them.
_FLOATS = ("F16", "BF16", "F32", "F64")
GENERATION_CONFIG = "generation_config.json"
_CONFIGS = ("config.json", "adapter_config.json")
_WEIGHTS = re.compile(r"(model|pytorch_model|adapter_model)\b.*\.(safetensors|bin)(\.index(\..+)?\.json)?")
#: Vectors that scale what goes through them.
_SCALES = ("norm.weight", "ln_post.weight")


def check_folder(folder: str | Path) -> None:
    """
    Raise `CheckpointFileError` naming the first file of a checkpoint's `folder` that cannot be read.

    It is asked when loading has failed, to say why: it reads what loading reads.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    paths = sorted(folder.iterdir())
    weights = {path: match for path in paths if (match := _WEIGHTS.fullmatch(path.name))}
    pickled = all(match[2] == "bin" for match in weights.values())  # read only where there is nothing better
    for path in paths:
        if path.name == GENERATION_CONFIG:
            check_generation_config(path)
        elif path.name in _CONFIGS:
            read_json(path)
        elif path in weights and (pickled or weights[path][2] == "safetensors"):
            check_is_file(path)
            if path.suffix == ".json":
                for shard in sorted(set(_weight_map(path).values())):
                    check_is_file(folder / shard, f", which {path.name} names,")
            else:
                _ = dict(tensors_of(path)) if path.suffix == ".safetensors" else read_pickle(path)


def check_generation_config(path: str | Path) -> None:
    """Raise `CheckpointFileError` naming a generation_config.json that is spoiled, and the key that is."""
    content = read_json(path)
    try:
        GenerationConfig.from_dict(dict(content))
    except Exception as error:  # comparisons of a text with a number, mostly
        for key, value in content.items():
            try:
                GenerationConfig.from_dict({key: value})
            except Exception as reason:
                raise CheckpointFileError(f"{path}: {key} cannot be {value!r}: {reason}") from reason
        raise CheckpointFileError(f"{path} cannot be used: {error}") from error


def _weight_map(path: Path) -> dict[str, str]:
    """Tensor to file, of an index."""
    whole = read_json(path)
    content = whole.get("weight_map")
    if not isinstance(whole.get("metadata"), dict):
        raise CheckpointFileError(f"{path}: metadata must be an object")
    if not isinstance(content, dict) or not content or not all(isinstance(file, str) for file in content.values()):
        raise CheckpointFileError(f"{path}: weight_map must be an object that names a file for each tensor")
    return content


def tensors_of(path: str | Path) -> Iterable[tuple[str, str]]:
    """Name and data type of each tensor of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in list(file.keys()):
                yield name, file.get_slice(name).get_dtype()
    except (SafetensorError, OSError) as error:
        raise CheckpointFileError(f"{path} is not a whole safetensors file: {error}") from error


def read_pickle(path: str | Path, weights_only: bool = True) -> dict[str, torch.Tensor]:
    """The tensors of a file that torch.save wrote."""
    try:
        content = load_state_dict(str(path), weights_only=weights_only)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a pickle that is spoiled or means harm raises has no end
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointFileError(f"{path} is not a whole file of weights: {reason[0]}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()
    ):
        raise CheckpointFileError(f"{path} must hold a dictionary of tensors and nothing else")
    return content


def check_tensors(files: list[str], index: dict[str, str] | None, quantized: bool) -> None:
    """
    Raise `CheckpointFileError` for safetensors files that contradict each other or their index.

    Args:
        files: the files of one checkpoint.
        index: tensor to file name, where the checkpoint has an index.
        quantized: whole numbers may be weights.
    """
    home: dict[str, str] = {}
    for path in files:
        for name, dtype in tensors_of(path):
            if name in home:
                raise CheckpointFileError(f"tensor {name} stands in two files, {home[name]} and {path}")
            home[name] = path
            if dtype not in _FLOATS and not quantized:
                raise CheckpointFileError(f"{path}: tensor {name} is of type {dtype}, not of {', '.join(_FLOATS)}")
    for name, file in (index or {}).items():
        if name not in home or Path(home[name]).name != Path(file).name:
            where = f"it is in {Path(home[name]).name}" if name in home else "no file has it"
            raise CheckpointFileError(f"the index says that {Path(files[0]).parent / file} holds {name}, but {where}")


def merged_pickles(files: list[str], weights_only: bool, quantized: bool) -> dict[str, torch.Tensor]:
    """All tensors of files that torch.save wrote. Raises `CheckpointFileError` as [`check_tensors`]."""
    merged: dict[str, torch.Tensor] = {}
    home: dict[str, str] = {}
    for path in files:
        for name, tensor in read_pickle(path, weights_only).items():
            if name in home:
                raise CheckpointFileError(f"tensor {name} stands in two files, {home[name]} and {path}")
            if not tensor.is_floating_point() and not quantized:
                raise CheckpointFileError(f"{path}: tensor {name} is of type {tensor.dtype}, which no weight is")
            merged[name], home[name] = tensor, path
    return merged


def check_weights(model: nn.Module, source: str, zeros: bool = False) -> None:
    """
    Raise `CheckpointFileError` for weights that no training leaves behind: not finite, or a matrix of zeros.

    A download that was cut off after the file had got its length leaves zeros. One pass over the weights: 0.6 billion
    take half a second. What is not loaded (offloaded to the disk) or quantised is left out.

    Args:
        source: where they are from, for the message.
        zeros: a matrix may be all zeros.
    """
    suspects = []
    for name, tensor in model.named_parameters():
        if type(tensor) not in (nn.Parameter, torch.Tensor) or not tensor.is_floating_point():
            continue
        if tensor.device.type == "meta" or tensor.numel() == 0:
            continue
        least, most = torch.aminmax(tensor.detach())
        suspects.append((name, tensor, torch.stack((least, most)).float()))
    if not suspects:
        return
    by_device: dict[torch.device, list[int]] = {}
    for i, (_, tensor, _) in enumerate(suspects):
        by_device.setdefault(tensor.device, []).append(i)
    for places in by_device.values():  # one copy from each device
        ends = torch.stack([suspects[i][2] for i in places]).cpu()
        for i, (least, most) in zip(places, ends.tolist()):
            name, tensor, _ = suspects[i]
            if not -float("inf") < least <= most < float("inf"):
                raise CheckpointFileError(f"{source}: tensor {name} holds numbers that are not finite")
            if not zeros and least == most == 0 and (tensor.dim() > 1 or name.endswith(_SCALES)):
                raise CheckpointFileError(f"{source}: tensor {name} is all zeros: the file was not written whole")
