"""Which dtype a model computes in: what is fastest where it runs, unless somebody asked for one.

`from_pretrained` keeps transformers' rule, the checkpoint's own. Pipelines and commands ask here.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import nn
from transformers.utils import logging

from .int8 import Int8Config, has_int8

logger = logging.get_logger(__name__)
_said: set[str] = set()


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has instructions for bfloat16 products; without them they run at a fiftieth of float32's speed.

    oneDNN is asked, too, because `ONEDNN_MAX_CPU_ISA` may forbid what the processor has.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # oneDNN says yes wherever it can imitate them by AVX-512
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def computing_dtype(stored: torch.dtype, device: torch.device | str) -> torch.dtype:
    """
    The dtype in which a model stored in `stored` computes fastest on `device` without loss: its own, or float32 where
    that is not multiplied by the device. On a CPU float16 is not; what is stored in float32 stays so.
    """
    if stored == torch.bfloat16 and not multiplies_bfloat16(device):
        return torch.float32
    if stored == torch.float16 and torch.device(device).type == "cpu":
        return torch.float32
    return stored


def is_int8(dtype: Any) -> bool:
    return dtype in ("int8", torch.int8)


def floating_dtype(dtype: Any) -> torch.dtype | None:
    """A dtype as it may be asked for, `None` for "auto" and `None`; `ValueError` for what no model computes in."""
    if dtype is None or dtype == "auto":
        return None
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype={str(dtype).removeprefix('torch.')}: a model computes in no such numbers")
    return found


def loading_options(dtype: Any) -> dict[str, Any]:
    """What `from_pretrained` is given for a dtype, where "int8" means int8 layers, the rest in float32."""
    if is_int8(dtype):
        return {"dtype": torch.float32, "quantization_config": Int8Config()}
    return {"dtype": floating_dtype(dtype) or "auto"}


def settle_dtype(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Bring a model, in the dtype of its checkpoint, to the one that is fastest on `device`, and say so once."""
    model.dtype_is_open = False
    dtype = computing_dtype(model.dtype, device)
    if dtype != model.dtype:
        message = (
            f"{str(model.dtype).removeprefix('torch.')} is slow on this processor: computing in "
            f"{str(dtype).removeprefix('torch.')} (dtype= or --dtype chooses; int8 is faster still)"
        )
        if message not in _said:
            _said.add(message)
            logger.warning(message)
        model.to(dtype)
    return model


def check_asked(model: nn.Module, asked: Any, device: Any) -> None:
    """`ValueError` where int8 was asked for and `model` has none, or where it has and `device` is none of its; and for
    what no model computes in."""
    if not is_int8(asked):
        floating_dtype(asked)
    if is_int8(asked) and not has_int8(model):
        raise ValueError(
            "dtype='int8' needs a model loaded with it: from_pretrained(..., quantization_config=Int8Config())"
        )
    if has_int8(model) and device is not None and str(device) not in ("cpu", "-1"):
        raise ValueError(f"int8 layers compute on a CPU, not on {device}")
