"""Spoiled files of a checkpoint: a `ValueError` that names the file, never another error and never a wrong model.

`make fuzz` spoils files at random (`fuzz/subject_checkpoints.py`); here is one of each kind.
"""

import json
import random
import shutil

import pytest
import subject_checkpoints as fuzz
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_config, widen
from transformers import AutoFeatureExtractor, AutoModelForTokenClassification, AutoProcessor, PreTrainedModel

from transformers_qwen3_asr import (
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)
from transformers_qwen3_asr.training.adapters import add_lora, load_adapter, write_base
from transformers_qwen3_asr.training.adapters import base_description as described

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path):
    for name in fuzz.FILES:
        shutil.copy(fuzz.GOLDEN / name, tmp_path / name)
    return tmp_path


def tensors_changed(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_transformers_still_calls_what_looks_at_the_files(folder, monkeypatch):
    """`from_pretrained` hands the files that it has found to this method of the class, which is transformers' own."""
    assert hasattr(PreTrainedModel, "_load_pretrained_model")
    seen, real = [], Qwen3ASRForTokenClassification._load_pretrained_model

    def spy(model, state_dict, checkpoint_files, *args, **kwargs):
        seen.extend(checkpoint_files)
        return real(model, state_dict, checkpoint_files, *args, **kwargs)

    monkeypatch.setattr(Qwen3ASRForTokenClassification, "_load_pretrained_model", spy)
    Qwen3ASRForTokenClassification.from_pretrained(folder)
    assert seen == [str(folder / WEIGHTS)]


SPOILT = [fuzz.truncated, fuzz.empty, fuzz.garbage, fuzz.a_folder, fuzz.a_link_to_nothing, fuzz.overlapping,
          fuzz.header_length, fuzz.zero_tail]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT)
def test_spoiled_weights_are_named(folder, spoil):
    spoil(folder, WEIGHTS, random.Random(0))
    for load in (Qwen3ASRForTokenClassification, AutoModelForTokenClassification):
        with pytest.raises(ValueError, match=WEIGHTS):
            load.from_pretrained(folder)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (0.0, "all zeros"),
    ],
)
@pytest.mark.parametrize("name", ["thinker.audio_tower.conv2d1.weight", "thinker.model.norm.weight"])
def test_weights_that_no_training_leaves_are_named(folder, name, value, said):
    tensors_changed(folder, lambda tensors: tensors[name].fill_(value))
    with pytest.raises(ValueError, match=rf"{WEIGHTS}: tensor {name} .*{said}"):
        Qwen3ASRForTokenClassification.from_pretrained(folder)


def test_one_number_that_is_not_finite_is_found_in_half_precision(folder):
    tensors_changed(folder, lambda tensors: tensors["thinker.lm_head.weight"].view(-1)[-1:].fill_(1e30))
    with pytest.raises(ValueError, match=r"lm_head\.weight"):
        Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.float16)
    Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.bfloat16)


def test_biases_of_zeros_are_weights(folder):
    tensors_changed(folder, lambda tensors: [t.zero_() for name, t in tensors.items() if name.endswith("bias")])
    Qwen3ASRForTokenClassification.from_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_whole_numbers_are_no_weights(folder, dtype):
    name = "thinker.model.norm.weight"
    tensors_changed(folder, lambda tensors: tensors.update({name: torch.ones(40).to(dtype)}))
    with pytest.raises(ValueError, match=rf"{WEIGHTS}: tensor {name} is of type"):
        Qwen3ASRForTokenClassification.from_pretrained(folder)


def test_double_precision_is_converted(folder):
    want = load_file(folder / WEIGHTS)
    tensors_changed(folder, lambda tensors: tensors.update({name: t.double() for name, t in tensors.items()}))
    model = Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    for name, value in model.state_dict().items():
        assert torch.equal(value, want[name].float())


def sharded(folder):
    """The weights in two files, odd and even names; what stands where."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    parts = {FIRST: sorted(tensors)[::2], SECOND: sorted(tensors)[1::2]}
    for file, names in parts.items():
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
    places = {name: file for file, names in parts.items() for name in names}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return places


def twice(folder, places):
    name = next(iter(places))
    both = load_file(folder / SECOND)
    both[name] = load_file(folder / FIRST)[name] + 1
    save_file(both, folder / SECOND, metadata={"format": "pt"})


def index_changed(content):
    return lambda folder, places: (folder / INDEX).write_text(json.dumps(content))


def swapped(folder, places):
    places[next(iter(places))] = SECOND
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


SHARDS = {
    "a shard is missing": (lambda folder, _: (folder / SECOND).unlink(), SECOND),
    "a shard is cut": (lambda folder, _: fuzz.truncated(folder, SECOND, random.Random(0)), SECOND),
    "a tensor stands twice": (twice, "stands in two files"),
    "the index names another shard": (swapped, SECOND),
    "the index has no table": (index_changed({"metadata": {}}), INDEX),
    "the index has no metadata": (index_changed({"weight_map": {"a": FIRST}}), INDEX),
    "the index is a list": (index_changed([]), INDEX),
    "the index names no files": (index_changed({"weight_map": {"a": 3}}), INDEX),
    "the index is no JSON": (lambda folder, _: (folder / INDEX).write_text("{"), INDEX),
}


@pytest.mark.parametrize("case", SHARDS)
def test_spoiled_shards_are_named(folder, case):
    spoil, named = SHARDS[case]
    places = sharded(folder)
    Qwen3ASRForTokenClassification.from_pretrained(folder)
    spoil(folder, places)
    with pytest.raises(ValueError, match=named):
        Qwen3ASRForTokenClassification.from_pretrained(folder)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def harmful(folder, tensors):
    return {"thinker.lm_head.weight": Harmful(str(folder / "harmed"))}


PICKLES = {
    "harmful": harmful,
    "a list": lambda _, tensors: list(tensors),
    "more than tensors": lambda _, tensors: {**tensors, "more": 3},
    "whole numbers": lambda _, tensors: {name: tensor.long() for name, tensor in tensors.items()},
}


@pytest.mark.parametrize("case", [*PICKLES, "truncated", "garbage", "empty"])
def test_spoiled_pickles_are_named_and_not_run(folder, case):
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(PICKLES.get(case, lambda _, same: same)(folder, tensors), folder / fuzz.PICKLE)
    if case not in PICKLES:
        Qwen3ASRForTokenClassification.from_pretrained(folder)
        getattr(fuzz, case)(folder, fuzz.PICKLE, random.Random(0))
    with pytest.raises(ValueError, match=fuzz.PICKLE):
        Qwen3ASRForTokenClassification.from_pretrained(folder)
    assert not (folder / "harmed").exists()


@pytest.mark.parametrize("spoil", [fuzz.truncated, fuzz.empty, fuzz.garbage, fuzz.a_link_to_nothing])
def test_a_spoiled_config_is_named(folder, spoil):
    spoil(folder, "config.json", random.Random(0))
    for load in (Qwen3ASRConfig, Qwen3ASRForTokenClassification, Qwen3ASRProcessor):
        with pytest.raises(ValueError, match=r"config\.json"):
            load.from_pretrained(folder)


def test_a_config_that_is_no_object_or_another_models(folder):
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config\.json must hold a JSON object"):
        Qwen3ASRForTokenClassification.from_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 32}')
    with pytest.raises(ValueError, match="model_type"):
        Qwen3ASRForTokenClassification.from_pretrained(folder)


@pytest.mark.parametrize("content", ["[]", '{"eos_token_id": ', '{"max_new_tokens": "many"}'])
def test_a_spoiled_generation_config_is_named(folder, content):
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"generation_config\.json"):
        Qwen3ASRForConditionalGeneration.from_pretrained(folder)


def test_wrong_shapes_are_refused_before_new_weights_are_made(folder, monkeypatch):
    config = json.loads((folder / "config.json").read_text())
    config["thinker_config"]["text_config"]["vocab_size"] = 2**22
    (folder / "config.json").write_text(json.dumps(config))
    model_class = Qwen3ASRForTokenClassification
    monkeypatch.setattr(model_class, "_move_missing_keys_from_meta_to_device", lambda *_, **__: pytest.fail("made"))
    with pytest.raises(ValueError, match=r"another shape: thinker\.model\.embed_tokens\.weight"):
        model_class.from_pretrained(folder)


PROCESSOR_JSONS = ("preprocessor_config.json", "tokenizer_config.json", "chat_template.json", "vocab.json")
WAYS = [fuzz.truncated, fuzz.empty, fuzz.garbage, fuzz.other_encoding, fuzz.a_folder, fuzz.a_link_to_nothing]


@pytest.mark.parametrize("name", [*PROCESSOR_JSONS, "merges.txt"])
@pytest.mark.parametrize("spoil", WAYS)
def test_spoiled_files_of_a_processor_are_named(folder, name, spoil):
    spoil(folder, name, random.Random(0))
    for load in (Qwen3ASRProcessor, AutoProcessor) if spoil in (fuzz.truncated, fuzz.empty) else (Qwen3ASRProcessor,):
        if load is AutoProcessor and name in ("preprocessor_config.json", "tokenizer_config.json"):
            continue  # transformers reads it to learn the class, and has an error of its own
        with pytest.raises(ValueError, match=name):
            load.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", {"hop_length": "160"}),
        ("preprocessor_config.json", {"n_fft": 0}),
        ("preprocessor_config.json", {"feature_size": None}),
        ("preprocessor_config.json", {"sampling_rate": 1e400}),
        ("preprocessor_config.json", {"dither": -1}),
        ("preprocessor_config.json", {"return_attention_mask": "yes"}),
        ("chat_template.json", {"chat_template": 3}),
        ("chat_template.json", {"other": ""}),
    ],
)
def test_settings_of_a_processor_that_cannot_be_name_file_and_key(folder, name, content):
    kept = json.loads((folder / name).read_text()) if name == "preprocessor_config.json" else {}
    (folder / name).write_text(json.dumps({**kept, **content}))
    key = list(content)[-1] if kept else "chat_template"
    with pytest.raises(ValueError, match=rf"{name}.*{key}"):
        Qwen3ASRProcessor.from_pretrained(folder)


def test_a_feature_extractor_alone_names_its_file(folder):
    (folder / "preprocessor_config.json").write_text('{"hop_length": "160", "feature_extractor_type": "Whisper"}')
    with pytest.raises(ValueError, match=r"preprocessor_config\.json.*hop_length"):
        Qwen3ASRFeatureExtractor.from_pretrained(folder)
    (folder / "preprocessor_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        Qwen3ASRFeatureExtractor.from_pretrained(folder)


def test_merges_that_are_not_whole_are_named(folder):
    """Cut at the end of a line they would split words otherwise, without a word."""
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    (folder / "merges.txt").write_text("\n".join(lines[:-3]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt is not whole"):
        Qwen3ASRProcessor.from_pretrained(folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"merges\.txt is missing"):
        Qwen3ASRProcessor.from_pretrained(folder)


def test_a_name_that_is_no_folder_keeps_transformers_error():
    for load in (Qwen3ASRForTokenClassification, Qwen3ASRProcessor, Qwen3ASRConfig, AutoFeatureExtractor):
        with pytest.raises(OSError) as raised:
            load.from_pretrained("nobody/has-this-model", local_files_only=True)
        assert not isinstance(raised.value, ValueError)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "base_model.json"])
@pytest.mark.parametrize("spoil", [fuzz.truncated, fuzz.empty, fuzz.garbage])
def test_spoiled_adapters_are_named(tmp_path, name, spoil):
    pytest.importorskip("peft")
    adapted(tmp_path)
    load_adapter(made(), tmp_path)
    spoil(tmp_path, name, random.Random(0))
    with pytest.raises(ValueError, match=name):
        load_adapter(made(), tmp_path)


def test_adapters_that_are_not_finite_or_another_thing_are_named(tmp_path):
    pytest.importorskip("peft")
    adapted(tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="not finite"):
        load_adapter(made(), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    for content in ({}, {"peft_type": "LORA", "r": "four"}, {**config, "peft_type": 3}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"adapter_config\.json|adapter in"):
            load_adapter(made(), tmp_path)


def made():
    torch.manual_seed(0)
    return Qwen3ASRForTokenClassification(tiny_config())


def adapted(folder):
    model = made()
    description = described(model)
    add_lora(model, rank=2).save_pretrained(folder)
    write_base(folder, description)
