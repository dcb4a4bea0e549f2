"""A processor's files in the published layout, such that qwen-asr (transformers 4.57) reads the same from them."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..json_files import CheckpointFileError, check_is_file, read_json
from ..whole_files import write_whole

CHAT_TEMPLATE_FILE = "chat_template.json"
FEATURE_EXTRACTOR_FILE = "preprocessor_config.json"
PROCESSOR_FILE = "processor_config.json"
DEFAULT_SEGMENT_TIME = 80
VOCABULARY_FILES = ("vocab.json", "merges.txt")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", *VOCABULARY_FILES)
#: Every file that a processor is read from; the time of a class stands in the model's config.json.
READ_FILES = (PROCESSOR_FILE, FEATURE_EXTRACTOR_FILE, *TOKENIZER_FILES, CHAT_TEMPLATE_FILE, "config.json")


@contextmanager
def naming(folder: str | Path, *files: str):
    """What goes wrong inside is a `CheckpointFileError` naming those of `files` that lie in a local `folder`."""
    try:
        yield
    except CheckpointFileError:
        raise
    except Exception as error:  # tokenizers raises plain exceptions
        found = [name for name in files if (Path(folder) / name).is_file()]
        if not found or isinstance(error, (ImportError, MemoryError)):
            raise
        raise CheckpointFileError(f"{folder}: {', '.join(found)} cannot be used: {error}") from error


def check_folder(folder: str | Path, files: tuple[str, ...] = READ_FILES) -> None:
    """Raise `CheckpointFileError` naming the first of `files` in a local `folder` that holds what it should not."""
    folder = Path(folder)
    there = [folder / name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    for path in there:
        if path.suffix == ".json" and path.name not in ("tokenizer.json", *VOCABULARY_FILES):
            content = read_json(path)
            if path.name == CHAT_TEMPLATE_FILE and not isinstance(content.get("chat_template"), (str, dict)):
                raise CheckpointFileError(f"{path}: chat_template must be a text")
        else:
            check_is_file(path)
    if folder / "tokenizer.json" not in there and any(folder / name in there for name in VOCABULARY_FILES):
        _check_vocabulary(*(folder / name for name in VOCABULARY_FILES))


def _check_vocabulary(vocabulary: Path, merges: Path) -> None:
    """Both files are whole: every token of two and more symbols comes from a merge, and every merge gives a token."""
    tokens = read_json(vocabulary)
    ids = list(tokens.values())
    if not ids or not all(type(index) is int and index >= 0 for index in ids) or len(set(ids)) < len(ids):
        raise CheckpointFileError(f"{vocabulary} must give every token an id of its own")
    check_is_file(merges)
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise CheckpointFileError(f"{merges} cannot be read: {error}") from error
    made = set()
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or "".join(pair) not in tokens:
            raise CheckpointFileError(f"{merges}: line {number} is no merge into a token of {vocabulary.name}")
        made.add("".join(pair))
    for token in tokens:
        if len(token) > 1 and token not in made:
            raise CheckpointFileError(f"{merges} is not whole: nothing in it gives {token!r} of {vocabulary.name}")


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
