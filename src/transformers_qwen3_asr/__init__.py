"""Qwen3-ASR and its forced aligner as native Hugging Face Transformers models. Importing this registers them."""

from importlib.metadata import PackageNotFoundError, version

from .checkpoints.bundled import bundled_model, bundled_models
from .checkpoints.int8 import Int8Config
from .models.configuration_qwen3_asr import (
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRTextConfig,
    Qwen3ASRThinkerConfig,
)
from .models.modeling_qwen3_asr import (
    Qwen3ASRAudioEncoder,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRPreTrainedModel,
    Qwen3ASRTextModel,
    Qwen3ASRThinkerModel,
)
from .moved import find_moved_modules
from .moved import moved_module as __getattr__  # noqa: F401 (old names of modules)
from .pipelines.forced_alignment import ForcedAlignmentPipeline
from .processing.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from .processing.processing_qwen3_asr import Qwen3ASRProcessor
from .registration import register
from .transcription.speech_recognition import TranscriptionPipeline

try:
    __version__ = version("transformers-qwen3-asr")
except PackageNotFoundError:  # used from a checkout that is not installed
    __version__ = "0+unknown"

find_moved_modules()
register()

__all__ = [
    "ForcedAlignmentPipeline",
    "Int8Config",
    "Qwen3ASRAudioEncoder",
    "Qwen3ASRAudioEncoderConfig",
    "Qwen3ASRConfig",
    "Qwen3ASRFeatureExtractor",
    "Qwen3ASRForConditionalGeneration",
    "Qwen3ASRForTokenClassification",
    "Qwen3ASRPreTrainedModel",
    "Qwen3ASRProcessor",
    "Qwen3ASRTextConfig",
    "Qwen3ASRTextModel",
    "Qwen3ASRThinkerConfig",
    "Qwen3ASRThinkerModel",
    "TranscriptionPipeline",
    "bundled_model",
    "bundled_models",
    "register",
]
