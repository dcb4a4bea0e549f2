"""Whisper's log-mel before its clamp and scale, so that clips can be mixed, warped and equalised after the fact."""

from math import gcd

import numpy as np
import torch
from scipy.signal import resample_poly
from transformers.audio_utils import mel_filter_bank

RATE, HOP, WINDOW, BANDS = 16000, 160, 400, 128
_FILTERS = torch.from_numpy(
    mel_filter_bank(
        num_frequency_bins=1 + WINDOW // 2,
        num_mel_filters=BANDS,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=RATE,
        norm="slaney",
        mel_scale="slaney",
    )
).float()


def to_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """int16 or float samples at `rate` hertz -> float32 in [-1, 1] at 16 kHz."""
    samples = samples.astype(np.float32) / (32768.0 if samples.dtype == np.int16 else 1.0)
    if rate == RATE:
        return samples
    common = gcd(rate, RATE)
    return resample_poly(samples, RATE // common, rate // common).astype(np.float32)


def raw_log_mel(samples: np.ndarray) -> torch.Tensor:
    """16 kHz samples -> (samples // 160, 128) float32, log10 of the mel power, at least -10."""
    wave = torch.from_numpy(samples)
    spectrum = torch.stft(wave, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True)[:, :-1]
    power = spectrum.abs().square()
    return (power.T @ _FILTERS).clamp(min=1e-10).log10()


def whisper_scale(raw: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Whisper's clamp to 8 below the clip's maximum, then (x + 4) / 4.

    Args:
        raw: (..., frames, bands) log10 mel power.
        mask: (..., frames) bool, True at the clip's own frames; others become 0.
    """
    if mask is None:
        return (torch.maximum(raw, raw.amax(dim=(-2, -1), keepdim=True) - 8.0) + 4.0) / 4.0
    outside = ~mask.unsqueeze(-1)
    top = raw.masked_fill(outside, -10.0).amax(dim=(-2, -1), keepdim=True)
    return ((torch.maximum(raw, top - 8.0) + 4.0) / 4.0).masked_fill(outside, 0.0)
