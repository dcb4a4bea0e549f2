"""`pipeline("automatic-speech-recognition")` for every model: Qwen3-ASR here, any other as it always was."""

from typing import Any

from transformers import AutoFeatureExtractor, AutoTokenizer
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline

from ..checkpoints.loaded import processor_of, raise_without, unwrapped
from ..models.thinker_qwen3_asr import Qwen3ASRPreTrainedModel
from .speech_recognition import TranscriptionPipeline


class SpeechRecognitionOrTranscription(AutomaticSpeechRecognitionPipeline):
    """Stands in the registry for the task. Makes transformers' own pipeline, or for a model of this family a
    [`TranscriptionPipeline`], and never an object of its own class.

    `pipeline()` asks this class what to load whatever the model is. Tokenizer and feature extractor are loaded where
    there are some, since other models need them, and ours goes without. Its processor comes from where the model came
    from, unless it is given.
    """

    _load_tokenizer = None  # if there is one: a model of ours that is given as an object has its own in its processor
    _load_feature_extractor = None

    def __new__(cls, *, model: Any, tokenizer: Any = None, feature_extractor: Any = None, **kwargs):
        if isinstance(unwrapped(model), Qwen3ASRPreTrainedModel):
            if kwargs.get("processor") is None:
                kwargs["processor"] = processor_of(model)
            return TranscriptionPipeline(model, **kwargs)
        for part, auto, name in (
            (tokenizer, AutoTokenizer, "tokenizer"),
            (feature_extractor, AutoFeatureExtractor, "feature extractor"),
        ):
            if part is None:
                raise_without(auto, name, model)
        return AutomaticSpeechRecognitionPipeline(
            model=model, tokenizer=tokenizer, feature_extractor=feature_extractor, **kwargs
        )
