"""Conversations as callers write them, made plain: lists of messages, each of them a dict."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def plain_conversation(conversation: Any, of: str = "") -> list:
    """
    A conversation, or several, as lists of dicts.

    transformers takes messages and content blocks as dicts, dataclasses or pydantic models, and objects that hold
    "messages"; what is checked and loaded afterwards is to see them all.

    Raises `ValueError`, naming conversation and message, for anything else, and for a message without a role.
    """
    messages = getattr(conversation, "messages", conversation)
    if not isinstance(messages, (list, tuple)):
        raise ValueError(
            f"{of or 'the conversation'} is of type {type(messages).__name__}; a list of messages is expected"
        )
    if not of and any(isinstance(part, (list, tuple)) or hasattr(part, "messages") for part in messages):
        return [plain_conversation(part, f"conversation {i}") for i, part in enumerate(messages)]
    return [_message(message, f"{of}, message {i}".removeprefix(", ")) for i, message in enumerate(messages)]


def _message(message: Any, name: str) -> dict:
    plain = _as_dict(message)
    if not isinstance(plain, dict):
        raise ValueError(f"{name} is of type {type(message).__name__}; a dict with 'role' and 'content' is expected")
    if not isinstance(plain.get("role"), str):
        raise ValueError(f"{name} has no role, such as 'user': it holds {sorted(map(str, plain))}")
    content = plain.get("content")
    if isinstance(content, (list, tuple)):
        plain["content"] = [_as_dict(block) for block in content]
    elif content is not None and not isinstance(content, str):
        raise ValueError(f"{name}: its content is of type {type(content).__name__}; text or a list is expected")
    return plain


def _as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value.model_dump() if callable(getattr(value, "model_dump", None)) else value
