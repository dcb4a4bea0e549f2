"""Arguments of the processor's methods, sorted out and matched with the recordings they are for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.processing_utils import ProcessingKwargs, TextKwargs

from ..audio.decoding import holds_several

_EXTRACTOR_KEYS = ("device", "n_window", "sampling_rate", "load_audio_backend")
# transformers hands these to the tokenizer and to the extractor; but a length in tokens is not one in samples
_TOKENIZER_KEYS = ("padding", "padding_side", "truncation", "max_length", "pad_to_multiple_of", "return_tensors")


def sorted_kwargs(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """
    Keyword arguments of a call as the tokenizer's, the extractor's and the rest.

    Raises `TypeError` for one that transformers' processors do not know (they ignore it), `ValueError` for one that is
    given twice, by itself and in `text_kwargs` or `audio_kwargs`, and for a loading backend: PyAV decodes everything.
    """
    kwargs = dict(kwargs)
    text = dict(kwargs.pop("text_kwargs", None) or {})
    audio = dict(kwargs.pop("audio_kwargs", None) or {})
    for key, value in (kwargs.pop("common_kwargs", None) or {}).items():
        kwargs.setdefault(key, value)
    for name, part, keys in (("audio_kwargs", audio, _EXTRACTOR_KEYS), ("text_kwargs", text, _TOKENIZER_KEYS)):
        for key in keys:
            if key in kwargs and key in part:
                raise ValueError(f"{key} is given twice, as {kwargs[key]!r} and in {name} as {part[key]!r}")
            if key in kwargs:
                part[key] = kwargs.pop(key)
    for key in ("images", "videos"):
        if kwargs.pop(key, None) is not None:
            raise TypeError(f"{key} were given to a processor of audio")
    known = {*ProcessingKwargs.__annotations__, *TextKwargs.__annotations__, "sanitize_control_tokens"}
    if unknown := sorted(set(kwargs) - known):
        raise TypeError(f"unexpected arguments: {', '.join(unknown)}")
    if audio.pop("load_audio_backend", None) not in (None, "auto"):
        raise ValueError("load_audio_backend cannot be chosen: recordings are decoded by PyAV")
    return text, audio, kwargs


@contextmanager
def named(item: str) -> Iterator[None]:
    """Puts the item's name before the message of a `ValueError` that is raised within."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{item}: {error}") from error


def for_each(value: Any, count: int, name: str, broadcast: bool = False) -> list:
    """`value` for each of `count` recordings; a list must have as many, or one where it may be broadcast."""
    if value is None or isinstance(value, str):
        return [value] * count
    if not isinstance(value, Iterable):
        raise ValueError(f"{name} is a {type(value).__name__}; text or a list is expected")
    values = list(value)
    if broadcast and len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(f"{len(values)} values were given as {name} for {count} recordings")
    return values


def transcripts_for(transcript: Any, audio: Any, count: int) -> list:
    """A text or a list of words for each of the `count` recordings of `audio`."""
    if isinstance(transcript, str):
        transcripts = [transcript]
    else:
        transcripts = list(transcript)
        if not holds_several(audio) and len(transcripts) != 1 and all(isinstance(w, str) for w in transcripts):
            transcripts = [transcripts]  # the words of the one recording's transcript
    if len(transcripts) != count:
        raise ValueError(f"{len(transcripts)} transcripts were given for {count} recordings")
    return transcripts
