"""One batch of a recogniser: prompts, tokens, and the language and transcript in what it answers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers.utils import logging

from ..processing.transcription import parse_transcription, repair_repetitions

logger = logging.get_logger(__name__)

#: Tokens of an answer at the most where nobody says how many: qwen-asr's number for whatever length,
_TOKENS = 512
#: but, since twenty minutes have more, this many for each second. The fastest speech has five words in it.
_TOKENS_A_SECOND = 10
#: What `generate` is given that says how long an answer may be.
_LIMITS = ("max_new_tokens", "max_length", "generation_config")


def transcribe(
    model: Any,
    processor: Any,
    recordings: Sequence[np.ndarray],
    languages: Sequence[str | None],
    contexts: Sequence[str | None],
    generate_kwargs: Mapping[str, Any],
) -> list[tuple[str | None, str]]:
    """
    Language and transcript of each recording; greedily, unless the model's generation config or `generate_kwargs` say
    otherwise.

    Args:
        recordings: float32 `(samples,)` at the processor's rate.
        languages: as prompts spell them; the answer is then all transcript. `None`: the model says it.
        contexts: for the system turn.

    Raises `ValueError` where `generate_kwargs` ask for other than one answer for each recording.
    """
    rate = processor.feature_extractor.sampling_rate
    inputs = processor.apply_transcription_request(list(recordings), language=list(languages), prompt=list(contexts))
    inputs = inputs.to(model.device, model.dtype)
    # each answer has its own limit, so that it does not depend on what else is in the batch
    limits = [max(_TOKENS, math.ceil(len(samples) / rate * _TOKENS_A_SECOND)) for samples in recordings]
    options = dict(generate_kwargs)
    asked = any(name in options for name in _LIMITS)
    if not asked:
        options["max_new_tokens"] = max(limits)
    answers = model.generate(**inputs, **options)
    answers = getattr(answers, "sequences", answers)
    if len(answers) != len(recordings):
        raise ValueError(f"generate_kwargs ask for {len(answers)} answers to {len(recordings)} recordings")
    tokens = answers[:, inputs["input_ids"].shape[1] :].tolist()
    if not asked:
        stops = _stops(model)
        for place, (ids, limit) in enumerate(zip(tokens, limits, strict=True)):
            if len(ids) >= limit and stops.isdisjoint(ids[:limit]):
                seconds = len(recordings[place]) / rate
                logger.warning(
                    f"{limit} tokens were not enough for {seconds:.1f} s of audio, or the model got stuck: what it "
                    "says behind them is left out. generate_kwargs={'max_new_tokens': …} allows for more"
                )
            tokens[place] = ids[:limit]
    texts = processor.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return [
        parse_transcription(text) if language is None else (language, repair_repetitions(text.strip()))
        for text, language in zip(texts, languages, strict=True)
    ]


def _stops(model: Any) -> set[int]:
    stops = model.generation_config.eos_token_id
    return set(stops) if isinstance(stops, (list, tuple)) else {stops}
