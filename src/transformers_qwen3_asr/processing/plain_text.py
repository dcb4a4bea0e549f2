"""What users write is text to the model, never an order: control tokens in it are refused."""

from typing import Any

from ..text.checks import check_text


def control_ids(tokenizer: Any) -> dict[int, str]:
    """
    The control tokens of a tokenizer by their ids.

    Those are the special tokens, and others that were added in angle brackets (`<asr_text>`, `<tool_call>`). A word
    that somebody added to the vocabulary is none.
    """
    return {
        index: token.content
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special or (token.content.startswith("<") and token.content.endswith(">"))
    }


def check_plain(tokenizer: Any, text: Any, name: str, allowed: tuple[str, ...] = ()) -> None:
    """
    `check_text`, and no control tokens in the text but those `allowed`.

    They would end the turn or the answer, or stand for audio that is not there. To leave them out, or to write them
    differently, is for those who know what the text is.
    """
    check_text(text, name)
    known = control_ids(tokenizer)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if found := sorted({known[index] for index in ids if index in known} - set(allowed)):
        raise ValueError(f"{name} holds {', '.join(found)}: control tokens of the model, which no text may hold")
