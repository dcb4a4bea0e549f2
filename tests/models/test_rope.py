"""The six RoPE types: what is accepted computes what transformers computes, what is wrong is named."""

import pytest
import torch
from tiny import tiny_config, tiny_inputs, widen
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from transformers_qwen3_asr import Qwen3ASRForTokenClassification, Qwen3ASRTextConfig, Qwen3ASRTextModel

HALF = 8  # half of the head dimension below
GOOD = {
    "default": {},
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
    "longrope": {
        "short_factor": [1.0] * HALF,
        "long_factor": [3.0] * HALF,
        "original_max_position_embeddings": 64,
        "factor": 4.0,
    },
    "llama3": {
        "factor": 8.0,
        "original_max_position_embeddings": 64,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
}


def text_config(rope: dict | None, **kwargs):
    return Qwen3ASRTextConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=2 * HALF, max_position_embeddings=256, rope_scaling=rope, **kwargs,
    )  # fmt: skip


@pytest.mark.parametrize("rope_type", GOOD)
@pytest.mark.parametrize("spelling", ["rope_type", "type", "both", "rope_parameters"])
def test_each_type_in_each_spelling(rope_type, spelling):
    values = dict(GOOD[rope_type])
    if spelling == "rope_parameters":
        config = text_config(None, rope_parameters={"rope_type": rope_type, "rope_theta": 1e4, **values})
    else:
        names = ("rope_type", "type") if spelling == "both" else (spelling,)
        config = text_config({**dict.fromkeys(names, rope_type), **values}, rope_theta=1e4)
    assert config.rope_parameters == {"rope_type": rope_type, "rope_theta": 1e4, **values}
    assert config.rope_theta == 1e4

    rotary = Qwen3ASRTextModel(config).rotary_emb
    if rope_type == "default":
        want = 1.0 / 1e4 ** (torch.arange(0, 2 * HALF, 2).float() / (2 * HALF))
    else:
        want, _ = ROPE_INIT_FUNCTIONS[rope_type](config)
    torch.testing.assert_close(rotary.inv_freq, want)

    again = Qwen3ASRTextConfig(**config.to_dict())
    kept = {k: v for k, v in again.rope_parameters.items() if "mrope" not in k and k != "interleaved"}
    assert kept == config.rope_parameters


@pytest.mark.parametrize("rope_type", GOOD)
def test_each_type_changes_the_model(rope_type):
    """A type that were accepted and ignored would give the default's logits."""
    rope = {"rope_type": rope_type, **GOOD[rope_type]}
    if rope_type == "longrope":
        rope["short_factor"] = [2.0] * HALF
    limits = {"max_position_embeddings": 65} if rope_type == "dynamic" else {"max_position_embeddings": 256}
    logits = []
    for scaling in (None, rope):
        config = tiny_config(text={"rope_scaling": scaling, **limits})
        model = widen(Qwen3ASRForTokenClassification(config))
        with torch.no_grad():
            logits.append(model(**tiny_inputs(config)).logits)
    changed = not torch.allclose(*logits, atol=1e-4)
    assert changed == (rope_type != "default")


BAD = [
    ({"rope_type": "spiral"}, "spiral"),
    ({"rope_type": "linear"}, "factor"),
    ({"rope_type": "linear", "factor": 0.5}, "factor"),
    ({"rope_type": "linear", "factor": "two"}, "factor"),
    ({"rope_type": "dynamic"}, "factor"),
    ({"rope_type": "dynamic", "factor": 0.9}, "factor"),
    ({"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64}, "original_max_position"),
    ({"rope_type": "yarn"}, "factor"),
    ({"rope_type": "yarn", "factor": 0.0}, "factor"),
    ({"rope_type": "yarn", "factor": 2.0, "beta_fast": 1.0, "beta_slow": 2.0}, "beta_fast"),
    ({"rope_type": "yarn", "factor": 2.0, "attention_factor": -1.0}, "attention_factor"),
    ({"rope_type": "longrope", "long_factor": [1.0] * HALF}, "short_factor"),
    ({"rope_type": "longrope", "short_factor": [1.0] * HALF}, "long_factor"),
    ({"rope_type": "longrope", "short_factor": [1.0] * 3, "long_factor": [1.0] * HALF}, "short_factor"),
    ({"rope_type": "longrope", "short_factor": [1.0] * HALF, "long_factor": [1.0] * 9}, "long_factor"),
    ({"rope_type": "longrope", "short_factor": 1.0, "long_factor": [1.0] * HALF}, "short_factor"),
    ({**GOOD["llama3"], "rope_type": "llama3", "low_freq_factor": None}, "low_freq_factor"),
    ({**GOOD["llama3"], "rope_type": "llama3", "high_freq_factor": None}, "high_freq_factor"),
    ({**GOOD["llama3"], "rope_type": "llama3", "high_freq_factor": 0.5}, "high_freq_factor"),
    ({**GOOD["llama3"], "rope_type": "llama3", "factor": 0.1}, "factor"),
    (
        {**GOOD["llama3"], "rope_type": "llama3", "original_max_position_embeddings": 4096},
        "original_max_position_embeddings",
    ),
    (
        {**GOOD["llama3"], "rope_type": "llama3", "original_max_position_embeddings": None},
        "original_max_position_embeddings",
    ),
    ({"rope_type": "default", "factor": 2.0}, "factor"),
    ({"rope_type": "default", "partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ({"rope_type": "default", "mrope_section": [24, 20, 20]}, "mrope_section"),
    ({"rope_type": "default", "type": "linear"}, "linear"),
    ("linear", "rope_scaling"),
]


@pytest.mark.parametrize(("rope", "named"), BAD)
def test_wrong_parameters_are_named(rope, named):
    with pytest.raises(ValueError, match=named):
        text_config(rope)


def test_theta_given_twice():
    assert text_config(None).rope_theta == 5_000_000.0
    assert text_config({"rope_type": "default", "rope_theta": 1e4}, rope_theta=1e4).rope_theta == 1e4
    with pytest.raises(ValueError, match="rope_theta"):
        text_config({"rope_type": "default", "rope_theta": 1e4}, rope_theta=1e6)
    with pytest.raises(ValueError, match="rope_theta"):
        text_config(None, rope_theta=-1.0)
