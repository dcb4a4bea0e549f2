"""The flash branch on a CPU, and torch.compile: other ways to the same numbers."""

import itertools

import pytest
import torch
from tiny import slots, tiny_config, tiny_inputs, widen
from transformers import AttentionInterface

from transformers_qwen3_asr import Qwen3ASRForTokenClassification
from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths

CALLS = []


def variable_length_reference(
    module, query, key, value, attention_mask, scaling, dropout=0.0, cu_seq_lens_q=None, cu_seq_lens_k=None,
    max_length_q=None, max_length_k=None, is_causal=None, **kwargs,
):  # fmt: skip
    """What a variable-length flash kernel computes, one stretch after the other; it checks what it is handed."""
    assert attention_mask is None and is_causal is False
    assert query.shape == key.shape == value.shape and query.shape[0] == 1
    assert cu_seq_lens_q.dtype == torch.int32 and torch.equal(cu_seq_lens_q, cu_seq_lens_k)
    bounds = cu_seq_lens_q.tolist()
    sizes = [b - a for a, b in itertools.pairwise(bounds)]
    assert bounds[0] == 0 and bounds[-1] == query.shape[2] and min(sizes) > 0
    assert max_length_q == max_length_k == max(sizes)
    CALLS.append(sizes)
    outputs = []
    for a, b in itertools.pairwise(bounds):
        q, k, v = (x[0, :, a:b] for x in (query, key, value))
        outputs.append((q @ k.transpose(1, 2) * scaling).softmax(-1) @ v)
    return torch.cat(outputs, 1).transpose(0, 1)[None], None


AttentionInterface.register("flash_attention_reference", variable_length_reference)


@pytest.mark.parametrize("frames", [(330, 120, 615), (200, 400), (37,)])
def test_flash_branch_gets_the_windows_and_gives_the_same(frames):
    config = tiny_config()
    encoder = widen(Qwen3ASRForTokenClassification(config)).thinker.audio_tower
    inputs = tiny_inputs(config, frames=frames, words=(1,) * len(frames))
    arguments = inputs["input_features"], inputs["input_features_mask"]
    with torch.no_grad():
        want = encoder(*arguments).last_hidden_state
        encoder.config._attn_implementation = "flash_attention_reference"
        CALLS.clear()
        got = encoder(*arguments).last_hidden_state
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)
    windows = []
    for n in frames:
        positions = audio_token_lengths(n)
        windows += [26] * (positions // 26) + ([positions % 26] if positions % 26 else [])
    assert [windows] * config.thinker_config.audio_config.encoder_layers == CALLS


class CompileCounter:
    """An inductor-free backend that counts the graphs it is given."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, example_inputs):
        self.graphs += 1
        return graph.forward


LENGTHS = (120, 200, 330, 415, 400, 615, 700, 853, 990, 1234)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_encoder_compiles_whole(implementation):
    config = tiny_config()
    config._attn_implementation = implementation
    encoder = widen(Qwen3ASRForTokenClassification(config)).thinker.audio_tower
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(encoder, fullgraph=True, backend=counter)
    with torch.no_grad():
        for n in LENGTHS:
            inputs = tiny_inputs(config, frames=(n, n // 2 + 1), words=(1, 1))
            arguments = inputs["input_features"], inputs["input_features_mask"]
            torch.testing.assert_close(
                compiled(*arguments).last_hidden_state, encoder(*arguments).last_hidden_state, atol=2e-5, rtol=1e-4
            )
    assert 1 <= counter.graphs <= 4  # the first and at most three more


def test_text_model_compiles_whole():
    config = tiny_config()
    text = widen(Qwen3ASRForTokenClassification(config)).thinker.model
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(text, fullgraph=True, backend=counter)
    with torch.no_grad():
        for n in LENGTHS:
            embeddings = torch.randn(2, n // 8, 32)
            torch.testing.assert_close(
                compiled(inputs_embeds=embeddings, use_cache=False).last_hidden_state,
                text(inputs_embeds=embeddings, use_cache=False).last_hidden_state,
                atol=2e-5,
                rtol=1e-4,
            )
    assert 1 <= counter.graphs <= 4


@pytest.mark.slow
def test_inductor_gives_the_same_logits():
    """The real compiler, once, on the parts of a model that then runs as always."""
    model = widen(Qwen3ASRForTokenClassification(tiny_config()))
    inputs = tiny_inputs(model.config)
    torch._dynamo.reset()
    # no caches: kernels that were kept for another ATEN_CPU_CAPABILITY would be taken, and give NaN
    with torch.no_grad(), torch._inductor.config.patch(force_disable_caches=True):
        want = model(**inputs, logits_to_keep=slots(inputs)).logits
        model.thinker.audio_tower.compile(fullgraph=True)
        model.thinker.model.compile(fullgraph=True)
        got = model(**inputs, logits_to_keep=slots(inputs)).logits
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-3)
