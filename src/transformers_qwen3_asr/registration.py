"""Every registration with transformers, and the only place that does any.

Importing the package takes over the model type `qwen3_asr` in the Auto classes, for published and -hf checkpoints
alike. transformers' own classes stay what they are under their own names.
"""

from __future__ import annotations

import functools
import logging
from contextvars import ContextVar

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTokenClassification,
    WhisperFeatureExtractor,
)
from transformers.models.auto import modeling_auto, processing_auto
from transformers.models.auto.auto_factory import _LazyAutoMapping
from transformers.models.qwen3_asr.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor as NativeExtractor
from transformers.models.qwen3_asr.processing_qwen3_asr import Qwen3ASRProcessor as NativeProcessor
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline
from transformers.pipelines.token_classification import TokenClassificationPipeline
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING

from .checkpoints.dtypes import is_int8, loading_options
from .checkpoints.int8 import QUANT_METHOD, Int8Config, Int8Quantizer
from .checkpoints.loading import for_pipeline
from .models.configuration_qwen3_asr import (
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRTextConfig,
    Qwen3ASRThinkerConfig,
)
from .models.integrations.liger import know_liger
from .models.modeling_qwen3_asr import (
    Qwen3ASRAudioEncoder,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRTextModel,
    Qwen3ASRThinkerModel,
)
from .pipelines.forced_alignment import ForcedAlignmentPipeline
from .pipelines.token_classification import TokenClassificationOrAlignment
from .processing.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from .processing.processing_qwen3_asr import Qwen3ASRProcessor
from .transcription.any_recogniser import SpeechRecognitionOrTranscription

logger = logging.getLogger(__name__)

MODEL_TYPE = Qwen3ASRConfig.model_type
FORCED_ALIGNMENT_TASK = "forced-alignment"

#: transformers' class in a mapping -> ours
REPLACED_MODELS = {
    "Qwen3ASRModel": Qwen3ASRThinkerModel,
    "Qwen3ASRForConditionalGeneration": Qwen3ASRForConditionalGeneration,
    "Qwen3ASRForTokenClassification": Qwen3ASRForTokenClassification,
}
#: whether transformers' own processor is being loaded
_NATIVE: ContextVar[bool] = ContextVar("_NATIVE", default=False)
#: the parts, which only these classes have
PARTS = {
    Qwen3ASRAudioEncoderConfig: Qwen3ASRAudioEncoder,
    Qwen3ASRTextConfig: Qwen3ASRTextModel,
    Qwen3ASRThinkerConfig: Qwen3ASRThinkerModel,
}


class _ForPipelines:
    """How pipelines load models that are given by name: in dtypes that transformers does not know, too.

    A model of the family that is of the other kind comes without weights. Its pipeline then says what it is in one
    line, where `pipeline()` would show all tracebacks of what it tried.
    """

    is_aligner: bool

    @classmethod
    def from_pretrained(cls, name, *args, **kwargs):
        known = ("cache_dir", "local_files_only", "revision", "subfolder", "token", "trust_remote_code")
        config = AutoConfig.from_pretrained(name, **{key: kwargs[key] for key in known if key in kwargs})
        if isinstance(config, Qwen3ASRConfig):
            if (config.classify_num is not None) != cls.is_aligner:
                kind = Qwen3ASRForConditionalGeneration if cls.is_aligner else Qwen3ASRForTokenClassification
                with torch.device("meta"):
                    return kind(config)
            if is_int8(kwargs.get("dtype")):
                kwargs.update(loading_options("int8"))
        with for_pipeline():
            return super().from_pretrained(name, *args, **kwargs)


class AlignerForPipelines(_ForPipelines, AutoModelForTokenClassification):
    is_aligner = True


class RecogniserForPipelines(_ForPipelines, AutoModelForSpeechSeq2Seq):
    is_aligner = False


def model_mappings() -> dict[str, _LazyAutoMapping]:
    """transformers' Auto model mappings that hold `qwen3_asr`, by name. Found by looking, since versions differ."""
    return {
        name: mapping
        for name, mapping in vars(modeling_auto).items()
        if isinstance(mapping, _LazyAutoMapping) and MODEL_TYPE in mapping._model_mapping
    }


def _register_models() -> None:
    for config_class in (Qwen3ASRConfig, *PARTS):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    # A mapping left out would answer with transformers' class: lookups fall back to the config class's *name*.
    for name, mapping in model_mappings().items():
        native = mapping._model_mapping[MODEL_TYPE]
        if native in REPLACED_MODELS:
            mapping.register(Qwen3ASRConfig, REPLACED_MODELS[native], exist_ok=True)
        else:
            logger.warning("transformers' %s maps %s to %s, which has no counterpart here", name, MODEL_TYPE, native)
    for config_class, model_class in PARTS.items():
        modeling_auto.MODEL_MAPPING.register(config_class, model_class, exist_ok=True)


def _register_processing() -> None:
    # AutoProcessor asks for the class that preprocessor_config.json names; names known to transformers win over
    # registered classes, and among registered ones the first of that name.
    processing_auto.PROCESSOR_MAPPING_NAMES.pop(MODEL_TYPE, None)
    registered = processing_auto.PROCESSOR_MAPPING._extra_content
    for config_class in [key for key, value in registered.items() if value.__name__ == Qwen3ASRProcessor.__name__]:
        del registered[config_class]
    processing_auto.AutoProcessor.register(Qwen3ASRConfig, Qwen3ASRProcessor, exist_ok=True)
    AutoFeatureExtractor.register(Qwen3ASRConfig, Qwen3ASRFeatureExtractor, exist_ok=True)
    if not hasattr(AutoFeatureExtractor.from_pretrained, "knows_qwen3_asr"):
        AutoFeatureExtractor.from_pretrained = staticmethod(_own_extractor(AutoFeatureExtractor.from_pretrained))
        NativeProcessor._get_arguments_from_pretrained = classmethod(
            _with_its_own_parts(NativeProcessor._get_arguments_from_pretrained.__func__)
        )


def _own_extractor(original):
    """
    `AutoFeatureExtractor.from_pretrained` that gives ours for the family's folders. They name classes of transformers,
    Whisper's (published) or its own (-hf), and a name goes before what is registered.
    """

    @functools.wraps(original)
    def from_pretrained(name, *args, **kwargs):
        found = original(name, *args, **kwargs)
        kind = type(found[0] if isinstance(found, tuple) else found)  # a pair with return_unused_kwargs
        ours = kind is NativeExtractor
        if kind is WhisperFeatureExtractor:  # ours where the file says whose processor it is of
            settings, _ = kind.get_feature_extractor_dict(name, **kwargs)
            ours = settings.get("processor_class") == Qwen3ASRProcessor.__name__
        return Qwen3ASRFeatureExtractor.from_pretrained(name, *args, **kwargs) if ours and not _NATIVE.get() else found

    from_pretrained.knows_qwen3_asr = True
    return from_pretrained


def _with_its_own_parts(original):
    """transformers' own processor asks `AutoFeatureExtractor` for its part, and has to get its own."""

    @functools.wraps(original)
    def _get_arguments_from_pretrained(*args, **kwargs):
        token = _NATIVE.set(True)
        try:
            return original(*args, **kwargs)
        finally:
            _NATIVE.reset(token)

    return _get_arguments_from_pretrained


def _register_pipeline() -> None:
    # by way of tasks that transformers has, too: what the model is decides; other models' pipelines are what they were
    for name, loads, loads_ours, own, ours in (
        (
            *("token-classification", AutoModelForTokenClassification, AlignerForPipelines),
            *(TokenClassificationPipeline, TokenClassificationOrAlignment),
        ),
        (
            *("automatic-speech-recognition", AutoModelForSpeechSeq2Seq, RecogniserForPipelines),
            *(AutomaticSpeechRecognitionPipeline, SpeechRecognitionOrTranscription),
        ),
    ):
        task = PIPELINE_REGISTRY.supported_tasks[name]
        task["pt"] = tuple(loads_ours if c is loads else c for c in task["pt"])
        if task["impl"] in (own, f"{own.__module__}.{own.__name__}"):  # whoever has put another in its place keeps it
            task["impl"] = ours
    known = PIPELINE_REGISTRY.supported_tasks.get(FORCED_ALIGNMENT_TASK)
    if known is None or known["impl"] is not ForcedAlignmentPipeline:
        PIPELINE_REGISTRY.register_pipeline(
            FORCED_ALIGNMENT_TASK,
            pipeline_class=ForcedAlignmentPipeline,
            pt_model=AlignerForPipelines,
            type="multimodal",
        )


def _register_int8() -> None:
    # transformers' own decorators refuse to register twice
    AUTO_QUANTIZATION_CONFIG_MAPPING[QUANT_METHOD] = Int8Config
    AUTO_QUANTIZER_MAPPING[QUANT_METHOD] = Int8Quantizer


def register() -> None:
    """Make transformers' Auto classes and `pipeline()` answer with this package's classes; harmless when repeated."""
    _register_models()
    _register_processing()
    _register_pipeline()
    _register_int8()
    know_liger(MODEL_TYPE)
