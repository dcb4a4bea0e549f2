"""What `aligner=` may be: a pipeline, a model, a folder or a repository's name."""

import os
from typing import Any

from transformers import AutoConfig, pipeline

from ..checkpoints.bundled import resolve_model
from ..checkpoints.loaded import unwrapped
from ..models.configuration_qwen3_asr import Qwen3ASRConfig
from ..models.modeling_qwen3_asr import Qwen3ASRForTokenClassification
from ..pipelines.forced_alignment import ForcedAlignmentPipeline


def is_aligner(config: Any) -> bool | None:
    """Whether a config is that of an aligner or else of a recogniser of the family; `None` for any other model's."""
    return config.classify_num is not None if isinstance(config, Qwen3ASRConfig) else None


def as_aligner(given: Any, device: Any = None) -> ForcedAlignmentPipeline:
    """
    The forced-alignment pipeline that `aligner=` stands for: itself, or one of the model, the folder, the repository
    or the bundled aligner that was given, on `device`.

    Raises `ValueError` for anything else, such as a recogniser, and what transformers raises for a folder or
    repository that cannot be loaded.
    """
    if isinstance(given, ForcedAlignmentPipeline):
        return given
    if isinstance(given, (str, os.PathLike)):
        folder = resolve_model(os.fspath(given))
        if not is_aligner(AutoConfig.from_pretrained(folder)):
            raise ValueError(f"aligner={os.fspath(given)!r} is no aligner: it has no times as classes")
        return pipeline("forced-alignment", model=folder, device=device)
    if isinstance(unwrapped(given), Qwen3ASRForTokenClassification):
        return pipeline("token-classification", model=given, device=device)  # which finds its processor
    raise ValueError(
        f"aligner= is a {type(given).__name__}; a folder or name of an aligner, a Qwen3ASRForTokenClassification or a "
        "forced-alignment pipeline is expected"
    )
