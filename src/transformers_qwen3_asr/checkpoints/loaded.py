"""A loaded model in a pipeline: out of what was wrapped around it, on its device, in its dtype, with its processor."""

from typing import Any

import torch
from transformers import AutoProcessor

from .dtypes import check_asked, floating_dtype, is_int8, settle_dtype
from .int8 import has_int8


def unwrapped(model: Any) -> Any:
    """The model itself, out of what torch.compile or peft wrapped around it."""
    inner = getattr(model, "_orig_mod", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def device_of(model: Any, dtype: Any, device: Any) -> Any:
    """
    Where a pipeline puts a model: where it was asked to (`device`), else where the model can be or was put on purpose,
    and else `None`, which is for the library to decide.

    Raises `ValueError` for a `dtype` that the model cannot have, or not there.
    """
    check_asked(model, dtype, device)
    if device is None and has_int8(model):
        return "cpu"
    # accelerate, which moves data between devices, leaves a map; a map of one device leaves no trace that the
    # library's own constructor looks for: it would take the GPU
    spread = getattr(model, "hf_device_map", None) is not None
    if device is None and getattr(model, "placed_by_device_map", False) and not spread:
        return model.device
    return device


def made_ready(model: Any, dtype: Any, device: torch.device) -> None:
    """Brings a pipeline's model into the dtype that was asked for or, if that is open, what `device` computes in."""
    if not is_int8(dtype) and (asked := floating_dtype(dtype)) not in (None, model.dtype):
        model.to(asked)
    elif getattr(model, "dtype_is_open", False):
        settle_dtype(model, device)
    model.eval()  # one fresh from training would drop activations


def processor_of(model: Any) -> Any:
    """The processor of the folder or repository that a model was loaded from; `ValueError` where there is none."""
    name = model.config.name_or_path
    if not name:
        raise ValueError("the model was not loaded from a folder, so its processor must be given: processor=")
    return AutoProcessor.from_pretrained(name, **unwrapped(model).loaded_with)


def raise_without(auto: Any, name: str, model: Any) -> None:
    """Raise what `pipeline()` raises of itself where a part of another family must be loaded and cannot be."""
    source = getattr(model.config, "_name_or_path", "")
    if source:
        auto.from_pretrained(source)  # why it could not
    kind = "".join(word.capitalize() for word in name.split())
    raise ValueError(
        f"Impossible to guess which {name} to use. Please provide a PreTrained{kind} class or a path/identifier "
        f"to a pretrained {name}."
    )
