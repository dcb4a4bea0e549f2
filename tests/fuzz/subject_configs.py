"""
Configurations with one key changed: refused by a `ValueError` that names the key, or right.

Right means: a value that the key cannot have never runs, and a key that nothing depends on changes no score.
"""

import copy
import functools
import json
import math

import torch
from tiny import AUDIO, TIMESTAMP, tiny_config, tiny_inputs, widen

SHARE = 30
MEBIBYTES = 3072

GONE = "<key left out>"
HUGE = 10**18
#: Values for any key, whatever it holds.
POOL = [None, "", "7", "false", "spiral", -1, 0, 1, 3, 5, 7.5, 2.0, 0.5, -0.5, True, False, [], [1], ["a", 2], [None],
        {}, {"a": 1}, math.nan, math.inf, -math.inf, 10**9, HUGE, 1e308, GONE]  # fmt: skip

WHOLE = ("num_mel_bins encoder_layers encoder_attention_heads encoder_ffn_dim d_model max_source_positions n_window "
         "output_dim n_window_infer conv_chunksize downsample_hidden_size vocab_size hidden_size intermediate_size "
         "num_hidden_layers num_attention_heads num_key_value_heads head_dim "
         "max_position_embeddings").split()  # fmt: skip
LENGTHS = "n_window_infer conv_chunksize max_source_positions max_position_embeddings".split()
TOKENS = "audio_token_id audio_start_token_id audio_end_token_id user_token_id timestamp_token_id".split()
NUMBERS = "dropout attention_dropout activation_dropout initializer_range rms_norm_eps rope_theta".split()
FLAGS = "scale_embedding use_cache tie_word_embeddings attention_bias token_classification_bias".split()
ACTIVATIONS = ("activation_function", "hidden_act")
PARTS = ("thinker_config", "audio_config", "text_config")
OPTIONAL = ("head_dim num_key_value_heads rope_scaling rope_parameters rope_theta thinker_config audio_config "
            "text_config timestamp_token_id timestamp_segment_time classify_num audio_end_token_id num_hidden_layers "
            "max_position_embeddings mrope_section interleaved mrope_interleaved").split()  # fmt: skip
#: Nothing is computed from these by a forward pass; a default config is no part of a model that has other numbers.
UNUSED = ("audio_start_token_id audio_end_token_id user_token_id initializer_range use_cache support_languages "
          "max_position_embeddings max_source_positions conv_chunksize model_type dropout attention_dropout "
          "activation_dropout interleaved mrope_interleaved mrope_section type architectures transformers_version "
          "tie_word_embeddings timestamp_segment_time").split()  # fmt: skip
#: Fields of every transformers config on which something depends.
ACTING = ("architectures", "dtype", "is_encoder_decoder", "output_attentions", "output_hidden_states", "return_dict")
#: What a value that the key may have can lead to later: inputs of the test that do not fit this other model.
LATER = ["input_features", "audio tokens"]


def may_hold(key, value):
    """Whether some model of the family has this value under this key."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or (isinstance(value, float) and math.isfinite(value))
    if value == GONE or (value is None and key in OPTIONAL):
        return True
    if key in LENGTHS:
        return whole and 1 <= value < 2**31
    if key in WHOLE:
        return whole and 1 <= value < 10**9
    if key in TOKENS:
        return whole and value >= 0
    if key in NUMBERS or key in ("timestamp_segment_time", "max_align_seconds"):
        return number and 0 <= value < 1e300
    if key in FLAGS or key in ("interleaved", "mrope_interleaved"):
        return isinstance(value, bool)
    if key in ACTIVATIONS:
        return isinstance(value, str) and value in ("gelu", "silu", "relu")
    if key == "classify_num":
        return whole and 2 <= value < 10**9
    if key in PARTS or key in ("rope_scaling", "rope_parameters"):
        return isinstance(value, dict)
    if key == "mrope_section":
        return isinstance(value, list) and len(value) == 3
    return True


def published(aligner):
    """A tiny config.json of the published layout, with the fields of transformers 4 that the published ones carry."""
    from transformers_qwen3_asr.models import configuration_base

    config = tiny_config(classes=50 if aligner else None).to_dict()
    thinker = config["thinker_config"]
    thinker |= {"audio_start_token_id": 93, "audio_end_token_id": 94, "user_token_id": 95, "dtype": "float32"}
    for part in ("audio_config", "text_config"):
        thinker[part] = {**copy.deepcopy(configuration_base._V4_GENERIC_DEFAULTS), **thinker[part]}
    return {**config, "support_languages": ["English", "German"], "transformers_version": "4.57.6"}


def flat(aligner):
    """The same model's config.json in the -hf layout."""
    config = published(aligner)
    thinker = config.pop("thinker_config")
    text, audio = thinker["text_config"], thinker["audio_config"]
    for key in configuration_keys():
        text.pop(key, None), audio.pop(key, None)
    text["rope_parameters"] = {"rope_theta": text.pop("rope_theta"), "rope_type": "default"}
    text["layer_types"] = ["full_attention"] * text["num_hidden_layers"]
    text |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": 28}
    text.pop("rope_scaling"), audio.pop("num_hidden_layers"), config.pop("support_languages")
    audio |= {"model_type": "qwen3_asr_encoder", "max_position_embeddings": 13, "num_key_value_heads": 4}
    config |= {"audio_config": audio, "text_config": text, "audio_token_id": AUDIO, "timestamp_token_id": TIMESTAMP,
               "dtype": "float32", "eos_token_id": [98, 99], "pad_token_id": 92, "initializer_range": 0.02,
               "tie_word_embeddings": True, "token_classification_bias": False}  # fmt: skip
    if aligner:
        config["architectures"] = ["Qwen3ASRForTokenClassification"]
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(50)}
        config["label2id"] = {f"LABEL_{i}": i for i in range(50)}
    return config


def configuration_keys():
    from transformers_qwen3_asr.models import configuration_base

    return set(configuration_base._V4_GENERIC_DEFAULTS)


BASES = {"published aligner": (published, True), "published ASR": (published, False),
         "-hf aligner": (flat, True), "-hf ASR": (flat, False)}  # fmt: skip
_PREPARED = {}


def prepared():
    """The base models, made once."""
    return _PREPARED or prepare() or _PREPARED


def prepare():
    for name, (make_config, aligner) in BASES.items():
        config = make_config(aligner)
        model = widen(build(config, aligner))
        _PREPARED[name] = (config, aligner, model.state_dict(), scores(model))


def build(config, aligner):
    from transformers_qwen3_asr import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification

    model_class = Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration
    return model_class(Qwen3ASRConfig(**copy.deepcopy(config))).eval()


def scores(model):
    inputs = tiny_inputs(tiny_config(), frames=(120, 330), words=(1, 2))
    with torch.no_grad():
        return model(**inputs, return_dict=True).logits


def paths(config, prefix=()):
    """The way to every key of a config, those of its parts included; of long tables the first."""
    for key, value in list(config.items())[:80]:
        yield (*prefix, key)
        if isinstance(value, dict) and key not in ("id2label", "label2id"):
            yield from paths(value, (*prefix, key))


def extra(config):
    """Keys that a config does not have and that say something a second time, or something else."""
    nested = "thinker_config" in config
    thinker = ("thinker_config",) if nested else ()
    audio, text = (*thinker, "audio_config"), (*thinker, "text_config")
    for key in ("hidden_size", "num_attention_heads", "intermediate_size"):
        yield (*audio, key), 56, "refuse"
    for key in ("head_dim", "num_key_value_heads"):
        yield (*text, key), 3, "refuse"
    yield (*text, "rope_scaling"), {"rope_type": "spiral"}, "refuse"
    yield (*text, "rope_scaling"), {"rope_type": "linear"}, "refuse"
    yield (*text, "rope_scaling"), {"rope_type": ["default"]}, "refuse"
    for value in (0.5, "2", math.nan, math.inf, True, [2.0]):
        yield (*text, "rope_scaling"), {"rope_type": "linear", "factor": value}, "refuse"
    for value in (["a", "b", "c"], [1, 2], [8.0, 0, 0], 8, "abc", [True, 7, 0]):
        yield (*text, "rope_scaling"), {"rope_type": "default", "mrope_section": value}, "refuse"
    yield (*text, "rope_parameters"), {"rope_type": "default", "rope_theta": 77.0}, "refuse" if nested else "any"
    yield (*text, "rope_theta"), 77.0, "any" if nested else "refuse"
    yield (*text, "partial_rotary_factor"), 0.5, "refuse"
    yield (*text, "use_sliding_window"), True, "refuse"
    yield (*text, "layer_types"), ["sliding_attention"] * 2, "refuse"
    yield (*text, "layer_types"), 2, "refuse"
    yield (*text, "pad_token_id"), 10**6, "refuse"
    yield (*text, "pad_token_id"), -1, "refuse"
    for part in (audio, text):
        yield (*part, "dtype"), "flaot32", "refuse"
        yield (*part, "torch_dtype"), "int8", "refuse"
        yield (*part, "is_encoder_decoder"), True, "refuse"
        yield (*part, "model_type"), "gpt2", "refuse"
        for name in ("check", "to_dict", "sub_configs"):
            yield (*part, name), 3, "refuse"
    yield ("model_type",), "bert", "refuse"
    yield ("token_classification_bias",), True, "refuse"
    yield ("timestamp_token_id",), 10**6, "refuse" if nested else "any"
    yield ("timestamp_token_id",), AUDIO, "refuse" if nested else "any"
    yield ("max_align_seconds",), 0, "refuse"
    yield ("align_seconds",), 20, "refuse"
    yield (*thinker, "audio_token_id"), 10**6, "refuse"
    if nested:
        yield ("audio_config",), {"d_model": 48}, "refuse"
        yield ("text_config",), {"vocab_size": 48}, "refuse"
        yield ("classify_num",), 7, "any"
    else:
        yield ("id2label",), {"0": "a", "1": "b", "2": "c"}, "any"
        yield ("id2label",), 3, "refuse"


def changes(name):
    """Every change of a base that this module knows: (path, value, what must come of it)."""
    config = _PREPARED[name][0]
    for path in paths(config):
        meant = path[-1] in ACTING or path[-1] not in configuration_keys()
        for value in POOL if meant else POOL[::9]:
            yield path, value, expected(path, value, config)
    yield from extra(config)


def expected(path, value, config):
    key = path[-1]
    if not may_hold(key, value):
        return "refuse"
    if key in UNUSED or key in configuration_keys():
        return "same"
    return "any"


def make(random, folder):
    name = random.choice(sorted(_PREPARED))
    path, value, outcome = random.choice(_listed(name))
    config = changed(_PREPARED[name][0], path, value)
    (folder / "config.json").write_text(json.dumps(config))
    names = [path[-1], *(LATER if outcome != "refuse" else [])]
    return {"base": name, "path": list(path), "outcome": outcome, "names": names}


def changed(config, path, value):
    config = copy.deepcopy(config)
    inner = config
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    if value == GONE:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = copy.deepcopy(value)
    return config


@functools.cache
def _listed(name):
    return list(changes(name))


def run(case, folder):
    config = json.loads((folder / "config.json").read_text())
    _, aligner, state, want = _PREPARED[case["base"]]
    model = build(config, aligner)
    assert case["outcome"] != "refuse", "a value that no model has was accepted"
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    if shapes != {key: value.shape for key, value in state.items()}:  # another model, which these weights do not fill
        assert case["outcome"] == "any", "a key that nothing depends on changed the model's shapes"
        return
    model.load_state_dict(state)
    got = scores(model.eval())
    assert torch.isfinite(got).all()
    if case["outcome"] == "same":
        assert torch.allclose(got, want, atol=1e-4), "a key that nothing depends on changed the scores"
