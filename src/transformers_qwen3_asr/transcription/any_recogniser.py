"""`pipeline("automatic-speech-recognition")` for every model: Qwen3-ASR here, any other as it always was."""

from typing import Any

from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline

from ..models.thinker_qwen3_asr import Qwen3ASRPreTrainedModel
from ..pipelines.forced_alignment import unwrapped
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
                kwargs["processor"] = _processor_of(model)
            return TranscriptionPipeline(model, **kwargs)
        for part, auto, name in (
            (tokenizer, AutoTokenizer, "tokenizer"),
            (feature_extractor, AutoFeatureExtractor, "feature extractor"),
        ):
            if part is None:
                _raise_without(auto, name, model)
        return AutomaticSpeechRecognitionPipeline(
            model=model, tokenizer=tokenizer, feature_extractor=feature_extractor, **kwargs
        )


def _processor_of(model: Any) -> Any:
    """The processor of the folder or repository that the model was loaded from."""
    name = model.config.name_or_path
    if not name:
        raise ValueError("the model was not loaded from a folder, so its processor must be given: processor=")
    return AutoProcessor.from_pretrained(name, **unwrapped(model).loaded_with)


def _raise_without(auto: Any, name: str, model: Any) -> None:
    """Raise what `pipeline()` raises of itself where a part must be loaded and cannot be."""
    source = getattr(model.config, "_name_or_path", "")
    if source:
        auto.from_pretrained(source)  # why it could not
    kind = "".join(word.capitalize() for word in name.split())
    raise ValueError(
        f"Impossible to guess which {name} to use. Please provide a PreTrained{kind} class or a path/identifier "
        f"to a pretrained {name}."
    )
