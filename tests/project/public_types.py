"""How the public names are used, for mypy: `make lint` checks it, and nothing runs it.

What is wrong on purpose says which error mypy has to find; where it finds none, the comment is unused, which is an
error, too (`warn_unused_ignores`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np

from transformers_qwen3_asr import (
    ForcedAlignmentPipeline,
    Int8Config,
    Qwen3ASRConfig,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
    Qwen3ASRTextConfig,
    TranscriptionPipeline,
    bundled_model,
)
from transformers_qwen3_asr.formats import convert, write_alignment
from transformers_qwen3_asr.results import AlignmentResult
from transformers_qwen3_asr.transcription.speech_recognition import Transcription


def aligning(align: ForcedAlignmentPipeline, samples: np.ndarray) -> None:
    result = align("speech.wav", text="What is said", language="en", decoding="joint", batch_seconds=60)
    assert_type(result, AlignmentResult)
    assert_type(result["chunks"][0]["timestamp"], tuple[float, float])
    for one in (Path("a.wav"), b"RIFF", samples, (samples, 8000), {"audio": samples, "text": "a"}):
        assert_type(align(one, return_timestamps="sentence")["fits"], bool)
    assert_type(align(["a.wav", samples], text=["one", ["two", "three"]], batch_size=2), list[AlignmentResult])
    assert_type(align(iter([{"audio": samples, "text": "a"}]), on_error="return"), Iterator[AlignmentResult])
    write_alignment(result, "speech.srt", "lines")
    convert("speech.srt", Path("speech.TextGrid"))

    align("speech.wav", text=5)  # type: ignore[call-overload]
    align("speech.wav", text="a", decoding="viterbi")  # type: ignore[call-overload]
    align("speech.wav", text="a", word_times=True)  # type: ignore[call-overload]
    align(5)  # type: ignore[call-overload]
    result["words"]  # type: ignore[typeddict-item]
    write_alignment("speech.wav", "speech.srt")  # type: ignore[arg-type]


def transcribing(recognise: TranscriptionPipeline, aligner: ForcedAlignmentPipeline) -> None:
    heard = recognise("speech.wav", language="English", context="Norland", generate_kwargs={"max_new_tokens": 9})
    assert_type(heard, Transcription)
    assert_type(heard["language"], str | None)
    assert_type(recognise(["a.wav"], ["English"], return_timestamps="word", aligner=aligner), list[Transcription])
    assert_type(recognise(iter(["a.wav"]), batch_seconds=60), Iterator[Transcription])

    recognise({"audio": "speech.wav"}, ["English"])  # type: ignore[call-overload]
    recognise("speech.wav", return_timestamps="words")  # type: ignore[call-overload]


def loading(folder: os.PathLike[str]) -> None:
    model = Qwen3ASRForTokenClassification.from_pretrained(bundled_model("tiny-en"))
    assert_type(model, Qwen3ASRForTokenClassification)
    processor = Qwen3ASRProcessor.from_pretrained(folder)
    assert_type(processor, Qwen3ASRProcessor)
    assert_type(processor.split_words_for_alignment("What is said", "en"), list[str])
    assert_type(Qwen3ASRConfig().get_text_config(), Qwen3ASRTextConfig)
    Int8Config(["lm_head"])

    bundled_model(5)  # type: ignore[arg-type]
    Int8Config("lm_head")  # type: ignore[arg-type]
    processor.split_words_for_alignment(["What"])  # type: ignore[arg-type]
    Qwen3ASRProcessor.from_pretrained(5)  # type: ignore[arg-type]
