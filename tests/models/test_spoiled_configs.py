"""Configurations that say what no model of the family can have: a `ValueError` that names the key, or no change.

`make fuzz` tries thousands of such changes (`fuzz/subject_configs.py`); here is one of each kind.
"""

import copy
import dataclasses
import functools
import json
import math

import pytest
import subject_configs as fuzz
import torch
from tiny import AUDIO, tiny_config, tiny_inputs, widen
from transformers import AutoConfig, Qwen3Config
from transformers.models.qwen3_asr import configuration_qwen3_asr as native

from transformers_qwen3_asr import (
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRTextConfig,
    Qwen3ASRThinkerConfig,
)
from transformers_qwen3_asr.checkpoints import published

NAN, INF = math.nan, math.inf
AUDIO_PART, TEXT_PART = ("thinker_config", "audio_config"), ("thinker_config", "text_config")


def rope(**values):
    return {"rope_type": "default", "type": "default", **values}


#: (way to the key, its value): a ValueError names the key
REFUSED = [
    *[((*AUDIO_PART, "d_model"), value) for value in (None, "", "32", -1, 0, 2.5, True, [32], {}, NAN, INF, 10**18)],
    *[((*TEXT_PART, "hidden_size"), value) for value in (None, "32", 0, 32.0, True, [32], 10**18)],
    ((*AUDIO_PART, "encoder_layers"), 10**9),
    ((*TEXT_PART, "num_hidden_layers"), 10**9),  # transformers makes a list as long
    ((*TEXT_PART, "vocab_size"), 10**12),
    ((*TEXT_PART, "num_key_value_heads"), 3),
    ((*AUDIO_PART, "n_window_infer"), 250),
    ((*AUDIO_PART, "n_window"), 10**6),
    ((*AUDIO_PART, "max_source_positions"), 3),
    ((*AUDIO_PART, "dropout"), NAN),
    ((*AUDIO_PART, "activation_function"), "gelo"),
    ((*AUDIO_PART, "activation_function"), ["gelu"]),
    ((*TEXT_PART, "hidden_act"), None),
    ((*TEXT_PART, "rms_norm_eps"), -1.0),
    ((*TEXT_PART, "rms_norm_eps"), NAN),
    ((*TEXT_PART, "initializer_range"), "0.02"),
    ((*TEXT_PART, "attention_bias"), "false"),
    ((*TEXT_PART, "tie_word_embeddings"), "false"),
    ((*TEXT_PART, "use_cache"), 1),
    ((*TEXT_PART, "pad_token_id"), 100),
    ((*TEXT_PART, "rope_theta"), NAN),
    ((*TEXT_PART, "rope_theta"), "1e6"),
    ((*TEXT_PART, "rope_scaling"), "linear"),
    ((*TEXT_PART, "rope_parameters"), {"rope_type": "default", "rope_theta": 77.0}),
    ((*TEXT_PART, "layer_types"), 2),
    ((*TEXT_PART, "dtype"), "flaot32"),
    ((*TEXT_PART, "dtype"), "nn"),  # torch has something of that name
    ((*AUDIO_PART, "torch_dtype"), "int8"),
    ((*AUDIO_PART, "hidden_size"), 48),  # d_model by another name
    ((*AUDIO_PART, "model_type"), "whisper"),
    ((*TEXT_PART, "to_dict"), 3),
    (AUDIO_PART, []),
    (AUDIO_PART, None),
    (TEXT_PART, "qwen3"),
    (("thinker_config",), [1]),
    (("thinker_config",), None),
    (("thinker_config", "audio_token_id"), -1),
    (("thinker_config", "audio_token_id"), 100),
    (("thinker_config", "audio_token_id"), "90"),
    (("thinker_config", "initializer_range"), INF),
    (("thinker_config", "classify_num"), 50.0),
    (("thinker_config", "classify_num"), True),
    (("thinker_config", "classify_num"), None),  # an aligner, by its model_type
    (("thinker_config", "is_encoder_decoder"), True),
    (("timestamp_token_id",), 100),
    (("timestamp_token_id",), AUDIO),
    (("timestamp_segment_time",), "80"),
    (("timestamp_segment_time",), NAN),
    (("max_align_seconds",), True),
    (("support_languages",), "English"),
    (("support_languages",), [1]),
    (("architectures",), 3),
    (("output_hidden_states",), "yes"),
    (("classify_num",), 7),
    (("align_seconds",), 20),
    (("audio_config",), {"d_model": 48}),  # both layouts at once
    (("model_type",), "bert"),
]


@pytest.mark.parametrize(("path", "value"), REFUSED)
def test_a_value_that_no_model_has_is_named(path, value):
    config = fuzz.changed(fuzz.published(aligner=True), path, value)
    with pytest.raises(ValueError, match=path[-1]):
        Qwen3ASRForTokenClassification(Qwen3ASRConfig(**config))


REFUSED_FLAT = [
    (("text_config", "rope_parameters"), {"rope_type": ["default"]}),
    (("text_config", "rope_theta"), 77.0),
    (("audio_config",), 3),
    (("audio_config", "n_window"), "50"),
    (("id2label",), 3),
    (("id2label",), None),
    (("classify_num",), 7),
    (("token_classification_bias",), True),
    (("token_classification_bias",), "false"),
    (("architectures",), 3),
    (("timestamp_token_id",), 10**6),
]


@pytest.mark.parametrize(("path", "value"), REFUSED_FLAT)
def test_the_hf_layout_is_held_to_the_same(path, value):
    config = fuzz.changed(fuzz.flat(aligner=True), path, value)
    with pytest.raises(ValueError, match=path[-1]):
        Qwen3ASRForTokenClassification(Qwen3ASRConfig(**config))


def test_what_an_asr_model_drops_of_the_hf_layout_is_checked_too():
    for key in ("timestamp_token_id", "timestamp_segment_time"):
        with pytest.raises(ValueError, match=key):
            Qwen3ASRConfig(**{**fuzz.flat(aligner=False), key: "91"})


ROPE = [
    {"rope_type": {}}, {"rope_type": "linear", "factor": NAN}, {"rope_type": "linear", "factor": INF},
    {"rope_type": "yarn", "factor": 2.0, "truncate": "no"}, {"rope_type": "yarn", "factor": 2.0, "mscale": "1"},
    {"rope_type": "default", "mrope_section": ["a", "b", "c"]}, {"rope_type": "default", "mrope_section": [8.0, 0, 0]},
    {"rope_type": "default", "interleaved": "yes"},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": True},
]  # fmt: skip


@pytest.mark.parametrize("values", ROPE)
def test_rope_values_of_a_wrong_kind_are_named(values):
    with pytest.raises(ValueError, match=list(values)[-1]):
        tiny_config(text={"rope_scaling": values})


@pytest.mark.parametrize("config_class", [Qwen3ASRAudioEncoderConfig, Qwen3ASRTextConfig, Qwen3ASRThinkerConfig])
def test_a_whole_config_is_no_part(config_class):
    with pytest.raises(ValueError, match="model_type"):
        config_class(**{"model_type": "qwen2"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("thinker_config.text_config.rms_norm_eps", "small"),
        ("thinker_config.audio_config.encoder_layers", 0),
        ("thinker_config.audio_token_id", 10**6),
        ("classify_num", "50"),
        ("timestamp_token_id", AUDIO),
    ],
)
def test_what_is_set_later_is_checked_when_a_model_is_made(path, value):
    config = tiny_config()
    *parts, key = path.split(".")

    def set_and_make():  # transformers' own fields are refused when they are set
        setattr(functools.reduce(getattr, parts, config), key, value)
        Qwen3ASRForTokenClassification(config)

    with pytest.raises(ValueError, match=key):
        set_and_make()


def test_other_keys_may_say_anything():
    config = fuzz.published(aligner=True)
    for part in (config, config["thinker_config"], config["thinker_config"]["audio_config"]):
        part["a_key_of_the_future"] = {"with": ["anything", None]}
    assert Qwen3ASRConfig(**config).thinker_config.audio_config.a_key_of_the_future == {"with": ["anything", None]}


@pytest.mark.parametrize("aligner", [True, False])
def test_what_nothing_depends_on_changes_nothing(aligner):
    """Ids that only prompts hold, derived numbers, and whether outputs are tuples by default."""
    model_class = Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration
    config, inputs = fuzz.published(aligner), tiny_inputs(tiny_config(), frames=(120, 330), words=(1, 2))
    model = widen(model_class(Qwen3ASRConfig(**copy.deepcopy(config))))
    changes = [
        *[((*AUDIO_PART, "num_hidden_layers"), 7), ((*TEXT_PART, "max_position_embeddings"), 7)],
        *[
            (("thinker_config", name), 10**6)
            for name in ("audio_start_token_id", "audio_end_token_id", "user_token_id")
        ],
        *[((*part, "return_dict"), False) for part in ((), ("thinker_config",), AUDIO_PART, TEXT_PART)],
        ((*TEXT_PART, "num_beams"), 5),
    ]
    for path, value in changes:
        config = fuzz.changed(config, path, value)
    again = model_class(Qwen3ASRConfig(**config)).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        want, got = model(**inputs).logits, again(**inputs)
    assert isinstance(got, tuple) and torch.equal(got[0], want)


def test_an_alias_of_a_field_counts():
    assert Qwen3ASRAudioEncoderConfig(num_hidden_layers=3).encoder_layers == 3
    assert Qwen3ASRAudioEncoderConfig(hidden_size=40).d_model == 40
    assert Qwen3ASRAudioEncoderConfig(d_model=40, hidden_size=40).d_model == 40


def test_keys_that_a_flat_config_lacks_have_transformers_defaults(tmp_path):
    def defaults(config_class):
        return {field.name: field.default for field in dataclasses.fields(config_class)}

    theirs, text = defaults(native.Qwen3ASREncoderConfig), defaults(Qwen3Config)
    ours = defaults(Qwen3ASRAudioEncoderConfig)
    same = {name: value for name, value in theirs.items() if name in ours}
    assert {**{name: ours[name] for name in same}, **published.HF_AUDIO_DEFAULTS} == same
    assert published.HF_TEXT_DEFAULTS["max_position_embeddings"] == text["max_position_embeddings"]
    assert published.HF_TEXT_DEFAULTS["rope_theta"] == Qwen3Config().rope_parameters["rope_theta"]
    whole = native.Qwen3ASRConfig().text_config
    assert {n: getattr(whole, n) for n in published.HF_WHOLE_TEXT_DEFAULTS} == published.HF_WHOLE_TEXT_DEFAULTS
    top = defaults(native.Qwen3ASRConfig)
    assert {name: top[name] for name in published.HF_TOKEN_DEFAULTS} == published.HF_TOKEN_DEFAULTS

    flat = fuzz.flat(aligner=True)
    for key in ("n_window", "n_window_infer"):
        flat["audio_config"].pop(key)
    flat["text_config"].pop("rope_parameters")
    (tmp_path / "config.json").write_text(json.dumps(flat))
    thinker = AutoConfig.from_pretrained(tmp_path).thinker_config
    assert (thinker.audio_config.n_window, thinker.audio_config.n_window_infer) == (50, 800)
    assert thinker.text_config.rope_theta == 10000.0
