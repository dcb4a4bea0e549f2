"""What is text at all."""

from collections.abc import Sequence
from typing import Any


def is_text(text: Any) -> bool:
    """Whether it is a string or a sequence of words."""
    return isinstance(text, str) or (isinstance(text, Sequence) and all(isinstance(word, str) for word in text))


def check_text(text: Any, name: str) -> None:
    """Raises `ValueError`, with `name`, for what is no text or holds half a surrogate pair, which nothing writes."""
    if not isinstance(text, str):
        raise ValueError(f"{name} is of type {type(text).__name__}, not text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"{text[error.start]!r} at character {error.start}"
        raise ValueError(f"{name} holds {half}, half a surrogate pair: it is no text") from None
