"""The files around the weights: tokenizer, processor, chat template, generation defaults.

| published                                    | -hf                                   |
|----------------------------------------------|---------------------------------------|
| vocab.json, merges.txt, tokenizer_config.json | tokenizer.json, tokenizer_config.json |
| preprocessor_config.json                     | processor_config.json                 |
| chat_template.json                           | chat_template.jinja                   |
| generation_config.json                       | generation_config.json (ASR only)     |
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from transformers import Qwen2Tokenizer

from transformers_qwen3_asr.processing import chat_templates

END_OF_TEXT, END_OF_TURN = "<|endoftext|>", "<|im_end|>"

#: The special tokens that a published tokenizer_config.json lists as additional ones, in its order.
ADDITIONAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
                     "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
                     "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<|audio_start|>", "<|audio_end|>",
                     "<tts_pad>", "<tts_text_bos>", "<tts_text_bos_single>", "<|audio_pad|>")  # fmt: skip
#: tokenizer_config.json fields of one layout only.
PUBLISHED_TOKENIZER_ONLY = ("add_bos_token", "added_tokens_decoder", "additional_special_tokens")
HF_TOKENIZER_ONLY = {"backend": "tokenizers", "is_local": True, "local_files_only": False}
#: Fields that the -hf feature extractor has beside Whisper's; `n_window` comes from the config.
HF_EXTRACTOR_ONLY = {"min_length": 8000, "sampling_rate": 16000}
#: Generation defaults of one layout only, with the value they are left out at.
PUBLISHED_GENERATION_ONLY = {"_from_model_config": True, "temperature": 1e-6}
HF_GENERATION_ONLY = {"max_new_tokens": 512}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file; `ValueError` that names it when it is missing."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; a checkpoint is converted with all its files")
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """As transformers writes its JSON: two spaces, sorted keys."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def token_ids(folder: Path) -> dict[str, int]:
    """Ids of the added tokens by their text, from either layout's tokenizer files."""
    if (folder / "tokenizer.json").is_file():
        added = read_json(folder / "tokenizer.json")["added_tokens"]
        return {token["content"]: token["id"] for token in added}
    decoder = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    return {token["content"]: int(i) for i, token in decoder.items()}


def stop_ids(folder: Path) -> list[int]:
    """Ids that end an answer: the generation defaults' where they name several, else the two end tokens."""
    if (folder / "generation_config.json").is_file():
        ids = read_json(folder / "generation_config.json").get("eos_token_id")
        if isinstance(ids, list) and ids:
            return ids
    ids = token_ids(folder)
    missing = [token for token in (END_OF_TEXT, END_OF_TURN) if token not in ids]
    if missing:
        raise ValueError(f"the tokenizer in {folder} lacks {missing}")
    return [ids[END_OF_TEXT], ids[END_OF_TURN]]


def tokenizer_to_hf(source: Path, target: Path) -> None:
    """vocab.json and merges.txt become tokenizer.json, by transformers' own tokenizer class."""
    config = read_json(source / "tokenizer_config.json")
    if (source / "tokenizer.json").is_file():
        (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    else:
        for name in ("vocab.json", "merges.txt"):
            if not (source / name).is_file():
                raise ValueError(f"{source / name} is missing, and so is tokenizer.json")
        with tempfile.TemporaryDirectory() as scratch:
            Qwen2Tokenizer.from_pretrained(source).save_pretrained(scratch)
            (target / "tokenizer.json").write_bytes((Path(scratch) / "tokenizer.json").read_bytes())
    output = {key: value for key, value in config.items() if key not in PUBLISHED_TOKENIZER_ONLY}
    if isinstance(output.get("extra_special_tokens"), dict):
        output["model_specific_special_tokens"] = output.pop("extra_special_tokens")
    write_json(target / "tokenizer_config.json", {**output, **HF_TOKENIZER_ONLY})


def tokenizer_to_published(source: Path, target: Path) -> None:
    """tokenizer.json becomes vocab.json, merges.txt and the added tokens of tokenizer_config.json."""
    tokenizer = read_json(source / "tokenizer.json")
    model = tokenizer["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (target / "vocab.json").write_bytes(
        json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    )
    (target / "merges.txt").write_bytes(("#version: 0.2\n" + "\n".join(merges) + "\n").encode("utf-8"))
    added = sorted(tokenizer["added_tokens"], key=lambda token: token["id"])
    config = {
        key: value
        for key, value in read_json(source / "tokenizer_config.json").items()
        if key not in HF_TOKENIZER_ONLY
    }
    named = config.pop("model_specific_special_tokens", None)
    if named:
        config["extra_special_tokens"] = named
    config["add_bos_token"] = False
    config["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in added
    }
    special = {token["content"] for token in added if token["special"]}
    config["additional_special_tokens"] = [token for token in ADDITIONAL_TOKENS if token in special]
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (target / "tokenizer_config.json").write_text(text, encoding="utf-8")


def processor_to_hf(source: Path, target: Path, n_window: int, segment_time: float) -> None:
    """preprocessor_config.json (or a processor_config.json that this package saved) becomes processor_config.json."""
    if (source / "preprocessor_config.json").is_file():
        extractor = read_json(source / "preprocessor_config.json")
    else:
        extractor = read_json(source / "processor_config.json")["feature_extractor"]
    extractor = {
        **{key: value for key, value in extractor.items() if key != "processor_class"},
        **HF_EXTRACTOR_ONLY,
        "feature_extractor_type": "Qwen3ASRFeatureExtractor",
        "n_window": n_window,
    }
    write_json(
        target / "processor_config.json",
        {
            "feature_extractor": extractor,
            "processor_class": "Qwen3ASRProcessor",
            "timestamp_segment_time": segment_time,
        },
    )


def processor_to_published(source: Path, target: Path) -> None:
    """processor_config.json becomes preprocessor_config.json, whose extractor is Whisper's."""
    extractor = read_json(source / "processor_config.json")["feature_extractor"]
    extractor = {key: value for key, value in extractor.items() if key not in (*HF_EXTRACTOR_ONLY, "n_window")}
    extractor |= {"feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "Qwen3ASRProcessor"}
    write_json(target / "preprocessor_config.json", extractor)


def template_to_hf(source: Path, target: Path, aligner: bool) -> None:
    """An aligner's -hf template writes the slots. Another ASR template than the published one is carried over."""
    if (source / "chat_template.json").is_file():
        text = read_json(source / "chat_template.json")["chat_template"]
    elif (source / "chat_template.jinja").is_file():
        text = (source / "chat_template.jinja").read_text(encoding="utf-8")
    else:
        raise ValueError(f"{source} holds neither chat_template.json nor chat_template.jinja")
    if aligner:
        text = chat_templates.HF_ALIGNER
    elif text == chat_templates.PUBLISHED:
        text = chat_templates.HF_ASR
    (target / "chat_template.jinja").write_text(text, encoding="utf-8")


def template_to_published(source: Path, target: Path) -> None:
    """The reverse of `template_to_hf`."""
    if not (source / "chat_template.jinja").is_file():
        raise ValueError(f"{source / 'chat_template.jinja'} is missing")
    text = (source / "chat_template.jinja").read_text(encoding="utf-8")
    if text in (chat_templates.HF_ASR, chat_templates.HF_ALIGNER):
        text = chat_templates.PUBLISHED
    (target / "chat_template.json").write_text(
        json.dumps({"chat_template": text}, ensure_ascii=False), encoding="utf-8"
    )


def generation_to_hf(source: Path, target: Path, aligner: bool) -> None:
    """ASR only: the -hf repositories of aligners have no generation defaults."""
    if aligner:
        return
    published = read_json(source / "generation_config.json")
    kept = {key: value for key, value in published.items() if key not in PUBLISHED_GENERATION_ONLY}
    write_json(
        target / "generation_config.json",
        {"do_sample": False, **HF_GENERATION_ONLY, **kept, "pad_token_id": stop_ids(source)[-1]},
    )


def generation_to_published(source: Path, target: Path, aligner: bool, stops: list[int]) -> None:
    """Aligners get the ids alone; ASR models greedy search with the published temperature."""
    path = source / "generation_config.json"
    kept = read_json(path) if path.is_file() else {}
    kept = {key: value for key, value in kept.items() if HF_GENERATION_ONLY.get(key) != value}
    kept.pop("transformers_version", None)
    output = {**kept, **PUBLISHED_GENERATION_ONLY, "do_sample": False, "eos_token_id": stops, "pad_token_id": stops[0]}
    if aligner:
        output.pop("temperature")
    write_json(target / "generation_config.json", output)
