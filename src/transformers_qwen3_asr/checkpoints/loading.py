"""Strict loading and saving in the published layout.

Plain transformers fills tensors that a checkpoint lacks with random numbers and prints a table. An aligner made that
way returns times that look like times. Here a checkpoint that does not fill the model is an error that names the
tensors.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from transformers import GenerationConfig

from . import published
from .dtypes import floating_dtype, is_int8
from .files import (
    GENERATION_CONFIG,
    check_folder,
    check_generation_config,
    check_tensors,
    check_weights,
    merged_pickles,
)
from .int8 import Int8Config, has_int8

_SHOWN = 8
_FOR_PIPELINE: ContextVar[bool] = ContextVar("_FOR_PIPELINE", default=False)


@contextmanager
def for_pipeline():
    """Inside, models are loaded for a pipeline, which knows dtypes that transformers does not: see [`dtypes`]."""
    token = _FOR_PIPELINE.set(True)
    try:
        yield
    finally:
        _FOR_PIPELINE.reset(token)


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_loading(info: dict[str, Any], source: str, replaceable: frozenset[str] = frozenset()) -> None:
    """Raise `ValueError` unless every tensor of the model was filled from the checkpoint and none was left over.

    Args:
        info: what `from_pretrained(output_loading_info=True)` reports.
        source: the checkpoint's name, for the message.
        replaceable: parameters that may be missing or of another shape (a new classifier).
    """
    missing = sorted(set(info["missing_keys"]) - replaceable)
    unexpected = sorted(info["unexpected_keys"])
    mismatched = sorted(entry for entry in info["mismatched_keys"] if entry[0] not in replaceable)
    problems = []
    if missing:
        problems.append(f"missing: {_names(missing)}")
    if unexpected:
        problems.append(f"unexpected: {_names(unexpected)}")
    if mismatched:
        shapes = [f"{name} is {tuple(found)}, the model's is {tuple(own)}" for name, found, own in mismatched]
        problems.append(f"of another shape: {_names(shapes)}")
    if info.get("error_msgs"):
        problems.append(f"errors: {_names([str(message) for message in info['error_msgs']])}")
    if problems:
        raise ValueError(f"The checkpoint {source!r} does not fill the model. Tensors {'; '.join(problems)}.")


class _PublishedGenerationConfig(GenerationConfig):
    """A generation config that may hold a temperature beside `do_sample=False`, as the published ASR models' does.

    transformers reads such a file and refuses to write it once anything in it has changed. The temperature does
    nothing here, but vLLM, which knows no `do_sample`, goes by it alone.
    """

    def validate(self, *args, **kwargs) -> None:
        temperature = self.temperature
        if not self.do_sample:
            self.temperature = None
        try:
            super().validate(*args, **kwargs)
        finally:
            self.temperature = temperature


@contextmanager
def _savable_generation_config(model: Any) -> Iterator[None]:
    """
    While it lasts, `model.generation_config`, where there is one, can be saved, and says 0 for the temperature where
    it does not sample: vLLM takes the most probable token then. It makes 0.01 of the published 1e-6, and samples at
    1.0 where there is no temperature.
    """
    config = getattr(model, "generation_config", None)
    if not isinstance(config, GenerationConfig):
        yield
        return
    model.generation_config = copy.copy(config)
    model.generation_config.__class__ = _PublishedGenerationConfig
    if not config.do_sample:
        model.generation_config.temperature = 0.0
    try:
        yield
    finally:
        model.generation_config = config


class StrictCheckpointMixin:
    """`from_pretrained` that is strict and reads both layouts, `save_pretrained` that writes the published one."""

    #: parameters that `ignore_mismatched_sizes=True` may leave new
    _replaceable_parameters: frozenset[str] = frozenset()
    #: whether the caller said by `device_map` where the model goes; pipelines then leave it there
    placed_by_device_map: bool = False
    #: where a repository's files were looked for, for what else is to be loaded from it
    loaded_with: Mapping[str, Any] = MappingProxyType({})
    #: whether a pipeline loaded the model and nobody said in which dtype; the pipeline then chooses
    dtype_is_open: bool = False

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        key_mapping: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a checkpoint of the published or the -hf layout; see [`~transformers.PreTrainedModel.from_pretrained`].

        Args:
            ignore_mismatched_sizes: lets the classifier, and nothing else, be missing or of another shape; it is then
                new. `classify_num`, `timestamp_token_id` and `timestamp_segment_time` must be given with it unless the
                checkpoint's config has them.

        Raises:
            ValueError: a tensor is missing, left over or of another shape, and is named; or a file is spoiled, and is
                named (also an `OSError`); or `dtype` is of whole numbers, to which weights would be cast.
        """
        folder = None
        if isinstance(pretrained_model_name_or_path, (str, Path)):
            folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
            if (folder / GENERATION_CONFIG).is_file():  # transformers takes its defaults for one that it cannot read
                check_generation_config(folder / GENERATION_CONFIG)
        by_pipeline = _FOR_PIPELINE.get()
        dtype = kwargs.get("dtype", kwargs.get("torch_dtype"))
        if is_int8(dtype):
            raise ValueError("dtype='int8' would cast the weights to noise: give quantization_config=Int8Config()")
        if not isinstance(dtype, dict):
            floating_dtype(dtype)
        if isinstance(kwargs.get("quantization_config"), Int8Config) and dtype in (None, "auto"):
            kwargs["dtype"] = torch.float32  # for the other layers: bfloat16 is slow where int8 is wanted
        # Mismatches are collected first, so that the error can name them (transformers' own only points at its log).
        try:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path,
                *model_args,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                key_mapping={**published.HF_KEY_MAPPING, **(key_mapping or {})},
                **kwargs,
            )
        except Exception as error:
            # what the libraries below raise for a spoiled file mostly does not say which
            named = isinstance(error, ValueError) and not isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
            if not named and folder is not None:
                check_folder(folder)
            raise
        replaceable = cls._replaceable_parameters if ignore_mismatched_sizes else frozenset()
        check_loading(info, str(pretrained_model_name_or_path), replaceable)
        model.loaded_with = {name: kwargs[name] for name in ("revision", "cache_dir", "subfolder") if kwargs.get(name)}
        model.dtype_is_open = by_pipeline and dtype in (None, "auto") and not has_int8(model)
        model.placed_by_device_map = kwargs.get("device_map") is not None
        return (model, info) if output_loading_info else model

    @classmethod
    def _load_pretrained_model(cls, model, state_dict, checkpoint_files, load_config, *args, **kwargs):
        """What `from_pretrained` calls with the files that it has found: the place where they can be looked at."""
        files = list(checkpoint_files or ()) if state_dict is None else []
        quantized = load_config.hf_quantizer is not None
        if files and files[0].endswith(".safetensors"):
            index = (load_config.sharded_metadata or {}).get("weight_map")
            check_tensors(files, index, quantized)
        elif files and not files[0].endswith(".gguf"):
            state_dict = merged_pickles(files, load_config.weights_only, quantized)
        info, offloaded = super()._load_pretrained_model(
            model, state_dict, checkpoint_files, load_config, *args, **kwargs
        )
        # before transformers makes new weights of the shapes that a wrong config asks for
        mismatched = [entry for entry in info.mismatched_keys if entry[0] not in cls._replaceable_parameters]
        if mismatched:
            found = {"missing_keys": (), "unexpected_keys": (), "mismatched_keys": mismatched}
            check_loading(found, str(load_config.pretrained_model_name_or_path))
        if files:
            check_weights(model, files[0] if len(files) == 1 else str(Path(files[0]).parent))
        return info, offloaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write the published layout, whatever was loaded; see [`~transformers.PreTrainedModel.save_pretrained`].

        Raises:
            ValueError: `save_original_format=True` was asked for; `conversion/` writes the -hf layout.
        """
        if kwargs.pop("save_original_format", False):
            raise ValueError("save_original_format=True is not supported: the published layout is always written")
        with _savable_generation_config(self):
            result = super().save_pretrained(save_directory, *args, save_original_format=False, **kwargs)
        self.config.architectures = None  # set by the call above; see Qwen3ASRConfig for why it is not kept
        return result
