"""A loaded model in a pipeline: out of what was wrapped around it, on its device, in its dtype, with its processor."""

import os
from typing import Any

import torch
from transformers import AutoProcessor, Pipeline

from ..gpu.joined import join_projections
from .dtypes import check_asked, floating_dtype, is_int8, settle_dtype
from .int8 import has_int8


class LoadedPipeline(Pipeline):
    """
    A pipeline of a model of this family and its processor. A subclass says in `check_parts` what these have to be.

    Args:
        model: one, perhaps wrapped, of the family.
        args, kwargs: as transformers' pipelines take them, `dtype` among them.
        processor: a `Qwen3ASRProcessor`.
        device: where the model goes; `None` leaves one that was placed where it is.
        local_files_only: has been heeded by `pipeline()`, which passes it on nonetheless.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(
        self,
        model: Any,
        *args: Any,
        processor: Any = None,
        device: Any = None,
        local_files_only: bool | None = None,
        **kwargs: Any,
    ):
        asked = kwargs.pop("dtype", kwargs.pop("torch_dtype", None))
        self.check_parts(model, processor)  # first, so that a model that is refused is not moved to a GPU
        super().__init__(model, *args, processor=processor, device=device_of(model, asked, device), **kwargs)
        made_ready(self.model, asked, self.device)

    def check_parts(self, model: Any, processor: Any) -> None:
        """Raises `ValueError` for what is no model or processor for this pipeline."""
        raise NotImplementedError

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """
        Saves model and processor into a folder that `pipeline` and the Auto classes load.

        transformers' own method would copy the pipeline's module into the folder as remote code and note it in the
        config, and the folder would then ask for `trust_remote_code`.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def unwrapped(model: Any) -> Any:
    """The model itself, out of what torch.compile or peft wrapped around it."""
    inner = getattr(model, "_orig_mod", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def described(model: Any) -> str:
    """What an error says of a model: where it came from and its class. transformers has classes of the same names."""
    kind = type(unwrapped(model))
    return f"{model.config.name_or_path or 'the model'} is a {kind.__module__.partition('.')[0]}.{kind.__name__}"


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
    """Brings a pipeline's model into the dtype that was asked for or, if that is open, what `device` computes in; on a
    GPU its projections are laid together."""
    if not is_int8(dtype) and (asked := floating_dtype(dtype)) not in (None, model.dtype):
        model.to(asked)
    elif getattr(model, "dtype_is_open", False):
        settle_dtype(model, device)
    model.eval()  # one fresh from training would drop activations
    if device.type == "cuda":
        join_projections(model)


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
