"""How good an aligner is: its times against labels, or, without labels, its words cut out and transcribed."""

from .bootstrap import bootstrap_interval
from .comparing import evaluate_aligner, evaluate_predictions
from .predictions import Predictions, read_predictions
from .results import AlignmentEvaluation, ClipTimes, ClipTranscripts, TranscriptionEvaluation
from .transcribers import PipelineTranscriber, Qwen3ASRTranscriber, load_transcriber
from .transcribing import Transcriber, edit_distance, evaluate_by_transcription

__all__ = [
    "AlignmentEvaluation",
    "ClipTimes",
    "ClipTranscripts",
    "PipelineTranscriber",
    "Predictions",
    "Qwen3ASRTranscriber",
    "Transcriber",
    "TranscriptionEvaluation",
    "bootstrap_interval",
    "edit_distance",
    "evaluate_aligner",
    "evaluate_by_transcription",
    "evaluate_predictions",
    "load_transcriber",
    "read_predictions",
]
