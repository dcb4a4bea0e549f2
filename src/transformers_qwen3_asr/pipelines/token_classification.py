"""`pipeline("token-classification")` for every model: an aligner aligns, any other model does what it always did."""

from __future__ import annotations

from typing import Any

from transformers import AutoProcessor, AutoTokenizer
from transformers.pipelines.token_classification import TokenClassificationPipeline

from ..models.thinker_qwen3_asr import Qwen3ASRPreTrainedModel
from .forced_alignment import ForcedAlignmentPipeline, unwrapped


class TokenClassificationOrAlignment(TokenClassificationPipeline):
    """Stands in the registry for the task. Makes transformers' own pipeline, or for an aligner a
    [`ForcedAlignmentPipeline`], and never an object of its own class.

    `pipeline()` asks this class what to load whatever the model is. A tokenizer is loaded where there is one, since
    other models need it, and an aligner goes without. Its processor comes from where the model came from, unless it
    is given.
    """

    _load_tokenizer = None  # if there is one: an aligner that is given as an object has its own in its processor

    def __new__(cls, *, model: Any, tokenizer: Any = None, processor: Any = None, **kwargs):
        if isinstance(unwrapped(model), Qwen3ASRPreTrainedModel):  # which refuses one that is no aligner
            return ForcedAlignmentPipeline(model, processor=processor or _processor_of(model), **kwargs)
        if tokenizer is None:
            _raise_without_tokenizer(model)
        if processor is not None:
            kwargs["processor"] = processor
        return TokenClassificationPipeline(model=model, tokenizer=tokenizer, **kwargs)


def _processor_of(model: Any) -> Any:
    """The processor of the folder or repository that the model was loaded from."""
    name = model.config.name_or_path
    if not name:
        raise ValueError("the aligner was not loaded from a folder, so its processor must be given: processor=")
    return AutoProcessor.from_pretrained(name, **unwrapped(model).loaded_with)


def _raise_without_tokenizer(model: Any) -> None:
    """Raise what `pipeline()` raises of itself where a tokenizer must be loaded and cannot be."""
    name = getattr(model.config, "_name_or_path", "")
    if name:
        AutoTokenizer.from_pretrained(name)  # why it could not
    raise ValueError(
        "Impossible to guess which tokenizer to use. Please provide a PreTrainedTokenizer class or a path/identifier "
        "to a pretrained tokenizer."
    )
