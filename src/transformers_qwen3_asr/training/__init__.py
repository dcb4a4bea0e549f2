"""Fine-tuning a forced aligner with plain `transformers.Trainer`: labels, collator, metrics."""

from .collator import SlotCollator
from .labels import slot_classes
from .metrics import AlignmentMetrics, accumulated_average_shift, alignment_metrics, slot_predictions

__all__ = [
    "AlignmentMetrics",
    "SlotCollator",
    "accumulated_average_shift",
    "alignment_metrics",
    "slot_classes",
    "slot_predictions",
]
