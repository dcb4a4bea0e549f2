"""`pipeline("token-classification")` for every model: an aligner aligns, any other model does what it always did."""

from __future__ import annotations

from typing import Any

from transformers import AutoTokenizer
from transformers.pipelines.token_classification import TokenClassificationPipeline

from ..checkpoints.loaded import processor_of, raise_without, unwrapped
from ..models.thinker_qwen3_asr import Qwen3ASRPreTrainedModel
from .forced_alignment import ForcedAlignmentPipeline


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
            return ForcedAlignmentPipeline(model, processor=processor or processor_of(model), **kwargs)
        if tokenizer is None:
            raise_without(AutoTokenizer, "tokenizer", model)
        if processor is not None:
            kwargs["processor"] = processor
        return TokenClassificationPipeline(model=model, tokenizer=tokenizer, **kwargs)
