"""A processor's files in the published layout, such that qwen-asr (transformers 4.57) reads the same from them."""

import json
from pathlib import Path
from typing import Any

from .whole_files import write_whole

CHAT_TEMPLATE_FILE = "chat_template.json"
FEATURE_EXTRACTOR_FILE = "preprocessor_config.json"
PROCESSOR_FILE = "processor_config.json"
DEFAULT_SEGMENT_TIME = 80


def write_json(path: Path, content: dict[str, Any], end: str = "\n", **kwargs) -> None:
    write_whole(path, json.dumps(content, ensure_ascii=False, **kwargs) + end)


def save_feature_extractor(feature_extractor, processor_class: str, folder: Path) -> None:
    """preprocessor_config.json as it is published, with the name of the processor to load."""
    content = {**json.loads(feature_extractor.to_json_string()), "processor_class": processor_class}
    write_json(folder / FEATURE_EXTRACTOR_FILE, content, end="", indent=2, sort_keys=True)


def save_tokenizer(tokenizer, folder: Path) -> None:
    """
    `tokenizer.save_pretrained`, and what transformers 4 wants beside it.

    transformers 5 keeps the vocabulary in tokenizer.json alone and the named tokens under a key of its own;
    transformers 4 knows `audio_token` only from `extra_special_tokens`, and the published folders hold vocab.json and
    merges.txt instead of tokenizer.json.
    """
    tokenizer.save_pretrained(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.model.save(str(folder))

    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    named = config.pop("model_specific_special_tokens", None)
    if named:
        listed = config.get("extra_special_tokens")
        if isinstance(listed, list) and listed:
            config["additional_special_tokens"] = listed
        config["extra_special_tokens"] = named
    config.setdefault("add_bos_token", False)  # stands in the published files; transformers 5 leaves it out
    for key in ("backend", "is_local", "local_files_only"):  # how it was loaded, not what it is
        config.pop(key, None)
    config["added_tokens_decoder"] = {
        str(index): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for index, token in sorted(tokenizer.added_tokens_decoder.items())
    }
    write_json(path, config, end="", indent=2, sort_keys=True)


def save_chat_template(template: str | dict[str, str] | None, folder: Path) -> None:
    """chat_template.json, which holds one template; further ones would need transformers 5's own files."""
    if isinstance(template, dict):
        if set(template) != {"default"}:
            raise ValueError(
                f"the published layout holds one chat template, but there are {sorted(template)}; set "
                "processor.chat_template to the one to save"
            )
        template = template["default"]
    if template is not None:
        write_json(folder / CHAT_TEMPLATE_FILE, {"chat_template": template}, end="")


def save_segment_time(segment_time: float, processor_class: str, folder: Path) -> None:
    """
    processor_config.json, where the time of a class is not the published 80 ms.

    The published folders have no such file (the model's config holds the time), so it is written only where it says
    something, or where one lies in the folder already and would say something else.
    """
    path = folder / PROCESSOR_FILE
    if segment_time != DEFAULT_SEGMENT_TIME or path.exists():
        content = {"processor_class": processor_class, "timestamp_segment_time": segment_time}
        write_json(path, content, indent=2, sort_keys=True)
