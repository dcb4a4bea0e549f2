"""Fine-tuning a forced aligner with plain `transformers.Trainer`: labels, collator, augmentation, batches, metrics."""

from .augmentation import Augmentation, Gain, RowSize, Silence, Speed
from .batches import TokenBudgetBatchSampler, row_sizes, row_tokens
from .bins import change_bins
from .collator import SlotCollator
from .labels import slot_classes
from .metrics import AlignmentMetrics, accumulated_average_shift, alignment_metrics, slot_predictions
from .mixing import Concatenation, Noise
from .randomness import EpochCallback
from .trainer import AlignmentTrainer, NonFiniteLoss
from .transcription_collator import TranscriptionCollator

__all__ = [
    "AlignmentMetrics",
    "AlignmentTrainer",
    "Augmentation",
    "Concatenation",
    "EpochCallback",
    "Gain",
    "Noise",
    "NonFiniteLoss",
    "RowSize",
    "Silence",
    "SlotCollator",
    "Speed",
    "TokenBudgetBatchSampler",
    "TranscriptionCollator",
    "accumulated_average_shift",
    "alignment_metrics",
    "change_bins",
    "row_sizes",
    "row_tokens",
    "slot_classes",
    "slot_predictions",
]
