"""Recognisers as `transcribing.Transcriber`: Qwen3-ASR by this package, any other by transformers' pipeline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline

from ..checkpoints.bundled import resolve_model
from ..checkpoints.dtypes import check_asked, is_int8, loading_options, settle_dtype
from ..models.configuration_qwen3_asr import Qwen3ASRConfig
from ..processing.transcription import parse_transcription
from ..text.languages import language_name
from .transcribing import SAMPLING_RATE


class Qwen3ASRTranscriber:
    """
    Transcribes with a `Qwen3ASRForConditionalGeneration`, greedily.

    The language is written into the prompt where it is one of the model's 30; else the model finds it out.

    Args:
        model, processor: the model, on its device and in its dtype, and its [`Qwen3ASRProcessor`].
        max_new_tokens: of an answer. A word has a few; a model that finds the language out says that first.
    """

    def __init__(self, model, processor, max_new_tokens: int = 64):
        self.model, self.processor, self.max_new_tokens = model.eval(), processor, max_new_tokens

    def __call__(self, recordings: Sequence[np.ndarray], languages: Sequence[str | None]) -> list[str]:
        """A transcript for each recording (float32 `(samples,)` at 16 kHz)."""
        inputs = self.processor.apply_transcription_request(
            list(recordings), language=[_known(language) for language in languages]
        )
        inputs = inputs.to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            answers = self.model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        answers = answers[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [parse_transcription(text)[1] for text in texts]


class PipelineTranscriber:
    """
    Transcribes with a pipeline of the task "automatic-speech-recognition", which finds the language out by itself.

    Whisper, which fills every recording up to 30 seconds, is given batches; other models one piece after the other,
    because some have no mask for padding, and what they hear would depend on the batch.

    Args:
        pipe: the pipeline.
        call_options: for each call of it, such as `generate_kwargs={"language": "german"}` for Whisper.
    """

    def __init__(self, pipe, **call_options: Any):
        self.pipe, self.call_options = pipe, call_options

    def __call__(self, recordings: Sequence[np.ndarray], languages: Sequence[str | None]) -> list[str]:
        """A transcript for each recording (float32 `(samples,)` at 16 kHz)."""
        inputs = [{"raw": samples, "sampling_rate": SAMPLING_RATE} for samples in recordings]
        batch_size = len(inputs) if self.pipe.type == "seq2seq_whisper" else 1
        answers = self.pipe(inputs, batch_size=batch_size, **self.call_options)
        return [answer["text"] for answer in answers]


def load_transcriber(name: str, dtype: str = "auto", device: Any = None) -> Qwen3ASRTranscriber | PipelineTranscriber:
    """
    A recogniser by folder or hub name: a Qwen3-ASR checkpoint of either layout, or any other that transformers'
    "automatic-speech-recognition" pipeline takes.

    `dtype` "auto" is the checkpoint's, or float32 where the device does not multiply that (of another model, what
    transformers makes of it); "int8" means int8 layers, for CPUs.

    Raises `ValueError` for an aligner, and what transformers raises (`OSError`, `ValueError`) for a checkpoint that
    cannot be loaded.
    """
    folder = resolve_model(name)
    config = AutoConfig.from_pretrained(folder)
    if is_int8(dtype) and not isinstance(config, Qwen3ASRConfig):
        raise ValueError(f"{name} is not of this package, which int8 is for: use another dtype")
    if not isinstance(config, Qwen3ASRConfig):
        return PipelineTranscriber(pipeline("automatic-speech-recognition", model=folder, dtype=dtype, device=device))
    if config.thinker_config.classify_num is not None:
        raise ValueError(f"{name} is an aligner, and cannot transcribe")
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, **loading_options(dtype))
    check_asked(model, dtype, device)
    if device is not None:
        model = model.to(device)
    if dtype == "auto":
        settle_dtype(model, model.device)
    return Qwen3ASRTranscriber(model, AutoProcessor.from_pretrained(folder))


def _known(language: str | None) -> str | None:
    """The language as prompts spell it; `None` for one that the models do not know."""
    try:
        return language_name(language)
    except ValueError:
        return None
