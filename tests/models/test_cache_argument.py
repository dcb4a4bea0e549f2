"""The cache under both of its names, and what generation does with it in the installed transformers."""

import ast
import warnings
from pathlib import Path

import pytest
import tiny
import torch
from transformers import DynamicCache

import transformers_qwen3_asr
from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.models.cache_argument import CACHE_NAME, CACHE_NAMES, cache_of

SOURCE = Path(transformers_qwen3_asr.__file__).parent


@pytest.fixture(autouse=True)
def _no_deprecated_call():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        yield


def recogniser(**parts):
    return tiny.widen(Qwen3ASRForConditionalGeneration(tiny.tiny_config(classes=None, **parts)))


@pytest.mark.parametrize("name", CACHE_NAMES)
@pytest.mark.parametrize("part", ["whole", "thinker"])
def test_a_sequence_in_two_pieces_is_the_whole_sequence(name, part):
    model = recogniser()
    inputs = tiny.tiny_inputs(model.config, frames=(330,), words=(6,))
    length = inputs["input_ids"].shape[1]
    cut = length - 7
    run = model if part == "whole" else model.thinker
    with torch.no_grad():
        want = run(**inputs)[0]
        first = run(**{**inputs, "input_ids": inputs["input_ids"][:, :cut], "attention_mask": None}, use_cache=True)
        rest = run(input_ids=inputs["input_ids"][:, cut:], use_cache=True, **{name: cache_of(first)})
    torch.testing.assert_close(rest[0], want[:, cut:], atol=1e-5, rtol=1e-4)
    assert cache_of(rest).get_seq_length() == length


def test_the_cache_by_both_names_is_an_error():
    model = recogniser()
    tokens = torch.tensor([[1, 2, 3]])
    both = {name: DynamicCache() for name in CACHE_NAMES}
    for run in (model, model.thinker, Qwen3ASRForTokenClassification(tiny.tiny_config())):
        with pytest.raises(ValueError, match="cache or its older name past_key_values, not both"):
            run(input_ids=tokens, **both)


@pytest.mark.parametrize("way", ["assistant", "prompt_lookup", "cache", "static", "beams"])
def test_every_way_of_generating_gives_the_same_tokens(way):
    model = recogniser()
    inputs = tiny.tiny_inputs(model.config, frames=(250,), words=(3,))
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": tiny.PAD, "eos_token_id": None}
    want = model.generate(**inputs, **options)
    assert want.shape[1] == inputs["input_ids"].shape[1] + 8
    if way == "assistant":
        torch.manual_seed(3)
        options["assistant_model"] = recogniser(text={"num_hidden_layers": 1})
    elif way == "prompt_lookup":
        options["prompt_lookup_num_tokens"] = 3
    elif way == "cache":
        options[CACHE_NAME] = DynamicCache()
    elif way == "static":
        options["cache_implementation"] = "static"
    else:
        options["num_beams"] = 2
        want = model.generate(**inputs, **options, use_cache=False)
    torch.testing.assert_close(model.generate(**inputs, **options), want)


def test_one_module_knows_the_names():
    """No other module says `past_key_values` but as the parameter and the documentation of a forward pass."""
    for path in SOURCE.rglob("*.py"):
        if path.name == "cache_argument.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) != "functools":
                assert node.attr not in CACHE_NAMES, f"{path.name}, line {node.lineno}: use cache_of"
            elif isinstance(node, ast.Constant):
                assert node.value not in CACHE_NAMES, f"{path.name}, line {node.lineno}: use cache_argument"
