"""Log-mel features of Qwen3-ASR: Whisper's, computed clip by clip."""

import numbers
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import BatchFeature, WhisperFeatureExtractor

from ..models.configuration_checks import EXTRACTOR_FIELDS, check_fields
from . import processor_files

# What the published preprocessor_config.json leaves unsaid: keys are written only where they differ, so that our files
# equal the published ones and WhisperFeatureExtractor (qwen-asr, AutoFeatureExtractor) reads them.
_UNSAID = {"sampling_rate": 16000, "n_window": 50, "min_length": 8000}


class Qwen3ASRFeatureExtractor(WhisperFeatureExtractor):
    r"""
    Log-mel features, `feature_size` bands every `hop_length` samples, with the numbers of Whisper's extractor.

    It differs from [`WhisperFeatureExtractor`] in four ways. A clip is transformed by itself, its edges reflected as
    if it stood alone, so that its features do not depend on the batch (Whisper, and qwen-asr with it, pads with zeros
    before the transform, which changes a shorter clip's last two frames). Nothing is cut or padded to 30 seconds
    unless asked. The mask is called `input_features_mask` and counts `samples // hop_length` frames. Features stay on
    `device`.

    Args:
        feature_size (`int`, defaults to 128): mel bands.
        sampling_rate (`int`, defaults to 16000): hertz.
        hop_length (`int`, defaults to 160): samples between two frames (10 ms).
        chunk_length (`int`, defaults to 30): seconds that `padding="max_length"` means where `max_length` is not
            given.
        n_fft (`int`, defaults to 400): samples of a window (25 ms).
        padding_value (`float`, defaults to 0.0): what a short clip is filled with, up to `min_length`.
        dither (`float`, defaults to 0.0): standard deviation of noise added to the samples.
        return_attention_mask (`bool`, defaults to `True`): whether `input_features_mask` is returned.
        n_window (`int`, defaults to 50): half the frames of an encoder chunk, as in the audio config; the processor
            counts audio tokens with it.
        min_length (`int`, defaults to 8000): samples that a shorter clip is filled up to. The filling counts as audio
            in the mask, as native transformers does it and qwen-asr's transcription does with the last piece of a cut
            recording: the model was trained on nothing shorter, and below 201 samples there is no frame to reflect.
            0 turns it off (qwen-asr's aligner does not fill).
    """

    model_input_names = ["input_features", "input_features_mask"]

    def __init__(
        self,
        feature_size: int = 128,
        sampling_rate: int = 16000,
        hop_length: int = 160,
        chunk_length: int = 30,
        n_fft: int = 400,
        padding_value: float = 0.0,
        dither: float = 0.0,
        return_attention_mask: bool = True,
        n_window: int = 50,
        min_length: int = 8000,
        **kwargs: Any,
    ):
        given = {
            "feature_size": feature_size, "sampling_rate": sampling_rate, "hop_length": hop_length,
            "chunk_length": chunk_length, "n_fft": n_fft, "padding_value": padding_value, "dither": dither,
            "return_attention_mask": return_attention_mask, "n_window": n_window, "min_length": min_length,
        }  # fmt: skip
        check_fields(given, EXTRACTOR_FIELDS, "feature extractor")
        super().__init__(
            feature_size=feature_size,
            sampling_rate=sampling_rate,
            hop_length=hop_length,
            chunk_length=chunk_length,
            n_fft=n_fft,
            padding_value=padding_value,
            dither=dither,
            return_attention_mask=return_attention_mask,
            **kwargs,
        )
        self.n_window = n_window
        self.min_length = min_length

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """See [`~transformers.FeatureExtractionMixin.from_pretrained`]; a spoiled file is a `ValueError` naming it."""
        folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
        files = (processor_files.FEATURE_EXTRACTOR_FILE, processor_files.PROCESSOR_FILE)
        processor_files.check_folder(folder, files)
        with processor_files.naming(folder, *files):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        """
        Features `(feature_size, len(samples) // hop_length)` of one clip `(samples,)`, float32, on the clip's device.

        Radford et al. 2022 (Whisper), as OpenAI's code computes it: power spectrum of Hann windows, Slaney mel bands,
        log10 no lower than 8 below the clip's loudest value, then `(x + 4) / 4`.
        """
        if self.dither:
            samples = samples + self.dither * torch.randn_like(samples)
        window = torch.hann_window(self.n_fft, device=samples.device)
        spectrum = torch.stft(samples, self.n_fft, self.hop_length, window=window, return_complex=True)
        power = (spectrum[:, : len(samples) // self.hop_length].abs() ** 2).contiguous()
        filters = torch.from_numpy(self.mel_filters).to(samples.device, torch.float32)
        mel = torch.clamp(filters.T @ power, min=1e-10).log10()
        return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0

    def log_mel_batch(self, clips: list[torch.Tensor], device: str | torch.device) -> list[torch.Tensor]:
        """
        [`log_mel`] of several clips by one transform on `device`, which an accelerator wants: each clip's edges are
        reflected where it ends, so that it is transformed as if it stood alone.
        """
        half, longest = self.n_fft // 2, max(map(len, clips))
        # sent in one piece, for which nobody waits
        pinned = torch.device(device).type == "cuda"
        rows = torch.zeros(len(clips), longest + self.n_fft, pin_memory=pinned)
        for row, clip in zip(rows, clips):
            row[half : half + len(clip)] = clip
            if self.dither:
                row[half : half + len(clip)] += self.dither * torch.randn(len(clip))
        rows = rows.to(device, non_blocking=True)
        lengths = torch.tensor([len(clip) for clip in clips], device=device)
        rows[:, :half] = rows[:, half + 1 : self.n_fft + 1].flip(-1)
        beyond = torch.arange(half, device=device)
        end = lengths[:, None] + half
        rows.scatter_(1, end + beyond, rows.gather(1, end - 2 - beyond))

        window = torch.hann_window(self.n_fft, device=device)
        spectrum = torch.stft(rows, self.n_fft, self.hop_length, window=window, center=False, return_complex=True)
        filters = torch.from_numpy(self.mel_filters).to(device, torch.float32)
        mel = torch.clamp(filters.T @ spectrum.abs().square_(), min=1e-10).log10()
        frames = lengths // self.hop_length
        heard = torch.arange(mel.shape[-1], device=device) < frames[:, None]
        loudest = mel.masked_fill(~heard[:, None], float("-inf")).amax((1, 2), keepdim=True)
        mel = (torch.maximum(mel, loudest - 8.0) + 4.0) / 4.0
        return [row[:, : len(clip) // self.hop_length] for row, clip in zip(mel, clips)]

    def __call__(
        self,
        raw_speech: Any,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = "pt",
        return_attention_mask: bool | None = None,
        padding: bool | str = "longest",
        max_length: int | None = None,
        sampling_rate: int | None = None,
        device: str | torch.device = "cpu",
        do_normalize: bool | None = None,
    ) -> BatchFeature:
        """
        Features of one clip or of a batch.

        Args:
            raw_speech: one clip (`(samples,)`: array, tensor or list of floats) or several (a list of clips, or an
                array of two dimensions, one row a clip). Only one channel; `load_audio` mixes down.
            truncation: cut clips to `max_length` samples (default: `chunk_length` seconds).
            pad_to_multiple_of: a number of samples; the time axis is filled as if the longest clip had a multiple of
                it.
            return_tensors: "pt" or "np"; `None` gives lists of arrays without padding between clips.
            return_attention_mask: overrides the attribute.
            padding: "longest" or `True` (to the batch's longest), "max_length" (to `max_length` samples, or longer
                where a clip is), `False` or "do_not_pad" (clips of different lengths are then an error).
            sampling_rate: hertz of `raw_speech`; must be the extractor's.
            device: where features are computed and left.

        Returns: `input_features` `(batch, feature_size, frames)` float32, zero beyond a clip's end, and
            `input_features_mask` `(batch, frames)` int64, 1 where there is audio.

        Raises `ValueError`, naming the clip, for an empty or non-finite one, one of more than one channel, or a
        `sampling_rate` that is not the extractor's.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"audio at {sampling_rate} Hz was given to an extractor for {self.sampling_rate} Hz; resample it "
                "first (load_audio does)"
            )
        if do_normalize:
            raise ValueError("do_normalize=True is not supported: the model was trained on unnormalised audio")
        if return_tensors not in (None, "pt", "np"):
            raise ValueError(f"return_tensors={return_tensors!r} is not supported; use 'pt', 'np' or None")
        strategy = _padding_strategy(padding)
        limit = max_length or self.n_samples
        clips = [_clip(clip, i) for i, clip in enumerate(_clips(raw_speech))]
        if truncation:
            clips = [clip[:limit] for clip in clips]
        clips = [self._filled(clip, i) for i, clip in enumerate(clips)]
        if torch.device(device).type == "cpu":
            features = [self.log_mel(clip.to(device)) for clip in clips]
        else:
            features = self.log_mel_batch(clips, device)
        lengths = [f.shape[-1] for f in features]

        with_mask = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        if return_tensors is None:
            data: dict[str, Any] = {"input_features": [f.cpu().numpy() for f in features]}
            if with_mask:
                data["input_features_mask"] = [np.ones(n, np.int64) for n in lengths]
            return BatchFeature(data)

        longest = max(len(clip) for clip in clips)
        if strategy == "max_length":
            longest = max(longest, limit)
        elif strategy == "do_not_pad" and len(set(lengths)) > 1:
            raise ValueError(f"padding is off, but the clips have different lengths: {lengths} frames")
        if pad_to_multiple_of:
            longest = -(-longest // pad_to_multiple_of) * pad_to_multiple_of
        frames = longest // self.hop_length
        batch = features[0].new_zeros(len(features), self.feature_size, frames)
        mask = torch.zeros(len(features), frames, dtype=torch.int64, device=batch.device)
        for i, feature in enumerate(features):
            batch[i, :, : lengths[i]] = feature
            mask[i, : lengths[i]] = 1
        data = {"input_features": batch, "input_features_mask": mask} if with_mask else {"input_features": batch}
        return BatchFeature(data if return_tensors == "pt" else {k: v.cpu().numpy() for k, v in data.items()})

    def _filled(self, clip: torch.Tensor, i: int) -> torch.Tensor:
        if len(clip) < self.min_length:
            return torch.nn.functional.pad(clip, (0, self.min_length - len(clip)), value=self.padding_value)
        if len(clip) <= self.n_fft // 2:
            raise ValueError(f"clip {i} has {len(clip)} samples; more than {self.n_fft // 2} are needed")
        return clip

    def to_dict(self) -> dict[str, Any]:
        """The published preprocessor_config.json: it names WhisperFeatureExtractor, so that others can read it."""
        output = super().to_dict()
        output["feature_extractor_type"] = "WhisperFeatureExtractor"
        return {key: value for key, value in output.items() if key not in _UNSAID or value != _UNSAID[key]}


def _padding_strategy(padding: bool | str) -> str:
    strategy = {True: "longest", False: "do_not_pad"}.get(padding, padding)
    strategy = getattr(strategy, "value", strategy)  # transformers' PaddingStrategy
    if strategy not in ("longest", "max_length", "do_not_pad"):
        raise ValueError(f"padding={padding!r} is not known; use 'longest', 'max_length' or 'do_not_pad'")
    return strategy


def _clips(raw_speech: Any) -> list[Any]:
    """A batch as a list of clips."""
    if isinstance(raw_speech, (np.ndarray, torch.Tensor)):
        if raw_speech.ndim > 2:
            raise ValueError(f"audio has the shape {tuple(raw_speech.shape)}; one channel a clip is expected")
        return [raw_speech] if raw_speech.ndim < 2 else list(raw_speech)
    if not isinstance(raw_speech, (list, tuple)):
        raise ValueError(f"audio is of type {type(raw_speech).__name__}; arrays or lists of samples are expected")
    if len(raw_speech) == 0:
        raise ValueError("no audio was given: the list is empty")
    return [raw_speech] if isinstance(raw_speech[0], numbers.Real) else list(raw_speech)


def _clip(clip: Any, i: int) -> torch.Tensor:
    """One clip as float32 `(samples,)`, checked."""
    try:
        samples = torch.as_tensor(np.asarray(clip) if isinstance(clip, (list, tuple)) else clip)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"clip {i} is no array of samples: {error}") from error
    if samples.ndim != 1:
        raise ValueError(f"clip {i} has the shape {tuple(samples.shape)}; one channel (samples,) is expected")
    if len(samples) == 0:
        raise ValueError(f"clip {i} is empty")
    samples = samples.to(torch.float32)
    if not all(bound.isfinite() for bound in samples.aminmax()):  # which is NaN where one of them is
        raise ValueError(f"clip {i} holds NaN or infinite samples")
    return samples
