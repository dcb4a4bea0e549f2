"""Packed batches against padded ones, against single clips and against transformers' own text model."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from tiny import TIMESTAMP, slots, tiny_config, tiny_inputs, widen
from transformers import AttentionInterface
from transformers.models.qwen3 import modeling_qwen3 as native

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.models import block_attention as blocks
from transformers_qwen3_asr.models import packing as packing_module
from transformers_qwen3_asr.models.packing import Packing
from transformers_qwen3_asr.models.text_model_qwen3_asr import Qwen3ASRTextModel

#: What two orders of the same sums may differ by, in this dtype, for states of about one.
CLOSE = {
    torch.float32: {"atol": 2e-5, "rtol": 1e-4},
    torch.bfloat16: {"atol": 0.1, "rtol": 0.05},
}


def aligner(implementation="sdpa", dtype=torch.float32, **kwargs):
    config = tiny_config(**kwargs)
    config._attn_implementation = implementation
    return widen(Qwen3ASRForTokenClassification(config)).to(dtype)


def inputs_for(model, **kwargs):
    inputs = tiny_inputs(model.config, **kwargs)
    return {**inputs, "input_features": inputs["input_features"].to(model.dtype)}


@pytest.fixture
def padded(monkeypatch):
    """A switch that makes the models pad, as they do where packing is not served."""

    def switch(on=True):
        monkeypatch.setattr(Qwen3ASRTextModel, "packs", property(lambda self: not on))

    return switch


def tokens_seen(model, call):
    """How many tokens each layer's MLP computed."""
    seen = []
    hooks = [
        layer.mlp.register_forward_hook(lambda m, args, out: seen.append(args[0][..., 0].numel()))
        for layer in model.thinker.model.layers
    ]
    call()
    for hook in hooks:
        hook.remove()
    return seen


def test_padding_is_not_computed_and_the_last_layer_ends_at_the_slots(padded):
    model = aligner()
    inputs = inputs_for(model)
    keep = slots(inputs)
    tokens, wanted = int(inputs["attention_mask"].sum()), int(keep.sum())
    with torch.no_grad():
        assert tokens_seen(model, lambda: model(**inputs, logits_to_keep=keep)) == [tokens, wanted]
        assert tokens_seen(model, lambda: model(**inputs)) == [tokens, tokens]
        padded()
        assert tokens_seen(model, lambda: model(**inputs)) == [inputs["input_ids"].numel()] * 2


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_packed_equals_padded_and_single(padded, implementation, dtype, side):
    model = aligner(implementation, dtype)
    inputs = inputs_for(model, side=side)
    keep, tokens = slots(inputs), inputs["attention_mask"].bool()
    with torch.no_grad():
        packed, full = model(**inputs, logits_to_keep=keep).logits, model(**inputs).logits
        singles = []
        for i in range(len(tokens)):
            frames = inputs["input_features_mask"][i].bool()
            one = {"input_ids": inputs["input_ids"][i, tokens[i]][None],
                   "input_features": inputs["input_features"][i, :, frames][None]}  # fmt: skip
            singles.append(model(**one, logits_to_keep=slots(one)).logits)
        padded()
        want, want_full = model(**inputs, logits_to_keep=keep).logits, model(**inputs).logits
    assert packed.dtype == want.dtype == dtype
    torch.testing.assert_close(packed, want, **CLOSE[dtype])
    torch.testing.assert_close(packed, torch.cat(singles), **CLOSE[dtype])
    torch.testing.assert_close(full[tokens], want_full[tokens], **CLOSE[dtype])
    assert not full[~tokens].any()  # padding is zeros, whatever memory held


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_gradients_are_those_of_the_padded_batch(padded, implementation, dtype, checkpointing):
    gradients = []
    for pads in (False, True):
        padded(pads)
        model = aligner(implementation, dtype).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        inputs = inputs_for(model, side="left")
        keep = slots(inputs)
        labels = torch.where(keep, torch.arange(keep.numel()).view(keep.shape) % 50, -100)
        model(**inputs, labels=labels, logits_to_keep=keep).loss.backward()
        gradients.append({name: p.grad.float() for name, p in model.named_parameters()})
    for name, want in gradients[1].items():
        if "k_proj.bias" in name:
            continue  # softmax does not see it: what is there is rounding
        error = (gradients[0][name] - want).norm() / want.norm()
        assert error < (1e-4 if dtype == torch.float32 else 0.08), f"{name}: {error}"


@pytest.mark.parametrize("train", [False, True])
def test_layers_are_the_librarys(train):
    """transformers' own text model, on one row of tokens after the other."""
    config = tiny_config().thinker_config.text_config
    ours = widen(Qwen3ASRTextModel(config)).train(train)
    theirs = native.Qwen3Model(config).train(train)
    theirs.load_state_dict(ours.state_dict())
    mask = torch.tensor([[1] * 9, [0] * 4 + [1] * 5, [1] * 7 + [0] * 2]).bool()
    embeddings = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    packed = ours.forward_packed(embeddings[mask], Packing.of_mask(mask))
    want = [theirs(inputs_embeds=row[there][None], use_cache=False).last_hidden_state[0]
            for row, there in zip(embeddings, mask)]  # fmt: skip
    torch.testing.assert_close(packed, torch.cat(want), atol=2e-5, rtol=1e-4)
    got, wanted = (torch.autograd.grad(x.square().sum(), embeddings)[0] for x in (packed, torch.cat(want)))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3)
    for name, module in ours.named_modules():
        assert isinstance(module, type(theirs.get_submodule(name))) or name == ""


def test_nothing_kept_and_padding_kept():
    model = aligner()
    inputs = inputs_for(model)
    with torch.no_grad():
        full = model(**inputs).logits
        nothing = model(**inputs, logits_to_keep=torch.zeros_like(slots(inputs))).logits
        everything = model(**inputs, logits_to_keep=torch.ones_like(slots(inputs))).logits
    assert nothing.shape == (0, 50)
    # a padded position that is asked for is there, in its place, as zeros
    torch.testing.assert_close(everything, full.flatten(0, 1))
    model(**inputs, labels=torch.full_like(inputs["input_ids"], -100),
          logits_to_keep=torch.zeros_like(slots(inputs))).loss.backward()  # fmt: skip


def test_rows_without_tokens_and_no_tokens_at_all():
    model = aligner()
    text = {"input_ids": torch.tensor([[1, 5, TIMESTAMP], [1, 7, TIMESTAMP]])}
    with torch.no_grad():
        want = model(**text).logits
        got = model(**text, attention_mask=torch.tensor([[1, 1, 1], [0, 0, 0]])).logits
        torch.testing.assert_close(got[0], want[0])
        assert not got[1].any()
        assert not model(**text, attention_mask=torch.zeros(2, 3)).logits.any()


def test_given_positions_count():
    model = aligner()
    inputs = inputs_for(model)
    positions = torch.arange(inputs["input_ids"].shape[1])[None]
    with torch.no_grad():
        plain = model(**inputs, logits_to_keep=slots(inputs)).logits
        same = model(**inputs, position_ids=positions, logits_to_keep=slots(inputs)).logits
        wider = model(**inputs, position_ids=positions * 3, logits_to_keep=slots(inputs)).logits
        torch.testing.assert_close(same, plain, **CLOSE[torch.float32])
        assert (wider - plain).abs().max() > 1e-2
        # two clips in one row, each counted from 0: transformers keeps them apart, packed by the caller as they are
        tokens = inputs["attention_mask"].bool()
        row = {"input_ids": inputs["input_ids"][tokens][None], "input_features": inputs["input_features"],
               "input_features_mask": inputs["input_features_mask"]}  # fmt: skip
        counted = (tokens.cumsum(-1) - 1)[tokens][None]
        got = model(**row, position_ids=counted, logits_to_keep=slots(row)).logits
    torch.testing.assert_close(got, plain, **CLOSE[torch.float32])


def test_who_is_not_packed():
    """Inner states and caches are asked of padded batches; they get them."""
    model = aligner("eager")
    inputs = inputs_for(model)
    length = inputs["input_ids"].shape[1]
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
        assert outputs.hidden_states[1].shape == (3, length, 32)
        assert outputs.attentions[0].shape == (3, 4, length, length)
        torch.testing.assert_close(outputs.logits[slots(inputs)], model(**inputs).logits[slots(inputs)])
        asr = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
        assert asr(**inputs, use_cache=True).past_key_values.get_seq_length() == length
        with_cache, without = (asr(**inputs, use_cache=cache).logits for cache in (True, False))
    tokens = inputs["attention_mask"].bool()
    torch.testing.assert_close(without[tokens], with_cache[tokens], **CLOSE[torch.float32])
    model.thinker.model.config._attn_implementation = "flex_attention"
    assert not model.thinker.model.packs


def rows_one_by_one(query, key, value, edges, scaling):
    """Textbook causal attention inside each row of packed states `(heads, tokens, dim)`."""
    key, value = (x.repeat_interleave(len(query) // len(key), 0) for x in (key, value))
    outputs = []
    for a, b in itertools.pairwise(edges):
        scores = query[:, a:b] @ key[:, a:b].transpose(1, 2) * scaling
        hidden = torch.ones(b - a, b - a, dtype=torch.bool).triu(1)
        outputs.append(scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value[:, a:b])
    return torch.cat(outputs, 1).transpose(0, 1)


def test_flash_attention_gets_the_rows():
    calls = []

    def kernel(module, query, key, value, attention_mask, scaling, dropout=0.0, cu_seq_lens_q=None,
               cu_seq_lens_k=None, max_length_q=None, max_length_k=None, **kwargs):  # fmt: skip
        assert attention_mask is None and module.is_causal and torch.equal(cu_seq_lens_q, cu_seq_lens_k)
        edges = cu_seq_lens_q.tolist()
        assert max_length_q == max_length_k == max(b - a for a, b in itertools.pairwise(edges))
        calls.append(edges)
        return rows_one_by_one(query[0], key[0], value[0], edges, scaling)[None], None

    AttentionInterface.register("flash_attention_rows", kernel)
    model = aligner()
    inputs = inputs_for(model, side="left")
    with torch.no_grad():
        want = model(**inputs, logits_to_keep=slots(inputs)).logits
        model.thinker.model.config._attn_implementation = "flash_attention_rows"
        got = model(**inputs, logits_to_keep=slots(inputs)).logits
    torch.testing.assert_close(got, want, **CLOSE[torch.float32])
    assert calls == [[0, *inputs["attention_mask"].sum(-1).cumsum(0).tolist()]] * 2


class _Elsewhere:
    """A device that is no CPU, for the branch that accelerators take."""

    type = "elsewhere"


@pytest.mark.parametrize("kernel", [False, True])
def test_branches_of_accelerators_give_the_same(monkeypatch, kernel):
    """Rows padded for the attention alone, and PyTorch's kernel by a stand-in with the arguments of either version."""
    model = aligner()
    layer = model.thinker.model.layers[0].self_attn
    lengths = [5, 9, 9, 2]
    packing = Packing.of_mask(torch.arange(9) < torch.tensor(lengths)[:, None])
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(1, heads, sum(lengths), 16, generator=generator) for heads in (4, 2, 2)]
    edges = [0, *itertools.accumulate(lengths)]
    want = rows_one_by_one(*(state[0] for state in states), edges, layer.scaling)
    monkeypatch.setattr(Packing, "on", lambda self, name, device: (getattr(self, f"_{name}", None) or
                                                                   (lambda: getattr(self, name)))())  # fmt: skip
    monkeypatch.setattr(packing_module, "has_variable_length", lambda device, dtype: kernel)
    used = []

    def new(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1),
            enable_gqa=False):  # fmt: skip
        assert window_size == (-1, 0) and enable_gqa
        used.append("new")
        return rows_one_by_one(*(x.transpose(0, 1) for x in (query, key, value)), cu_seq_q.tolist(), scale)

    def old(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, *, scale=None):
        assert is_causal and query.shape == key.shape
        used.append("old")
        return rows_one_by_one(*(x.transpose(0, 1) for x in (query, key, value)), cu_seq_q.tolist(), scale)

    from torch.nn.attention import varlen

    def attend(module, q, k, v, mask, scaling, dropout):
        assert mask is None and q.shape == (4, 4, 9, 16)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling,
                                              enable_gqa=True).transpose(1, 2), None  # fmt: skip

    class Query(torch.Tensor):
        device = _Elsewhere()

    for function in (new, old) if kernel else (None,):
        if function:
            monkeypatch.setattr(varlen, "varlen_attn", function)
        query = states[0].as_subclass(Query)
        got = packing_module.causal_attention(layer, (query, *states[1:]), packing, attend, scaling=layer.scaling,
                                              dropout=0.0)  # fmt: skip
        torch.testing.assert_close(got.as_subclass(torch.Tensor), want, atol=1e-5, rtol=1e-4)
    assert used == (["new", "old"] if kernel else [])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_block_attention_is_attention(causal, length):
    generator = torch.Generator().manual_seed(length)
    shapes = ((2, 4, length, 16), (2, 2, length, 16), (2, 2, length, 16))
    whole = [torch.randn(*shape, generator=generator) for shape in shapes]
    gradient = torch.randn(2, length, 4, 16, generator=generator)
    results = {}
    for dtype in CLOSE:
        states = [x.to(dtype).requires_grad_() for x in whole]
        output = blocks.block_attention(*states, 0.3, causal)
        results[dtype] = [output, *torch.autograd.grad(output, states, gradient.to(dtype))]
    states = [x.requires_grad_() for x in whole]
    want = F.scaled_dot_product_attention(*states, is_causal=causal, scale=0.3, enable_gqa=True).transpose(1, 2)
    wanted = [want, *torch.autograd.grad(want, states, gradient)]
    for dtype, got in results.items():
        for a, b in zip(got, wanted):
            assert a.dtype == dtype
            assert (a.float() - b).norm() <= (1e-5 if dtype == torch.float32 else 0.02) * b.norm() + 1e-5


def test_both_ways_of_bfloat16_on_a_cpu(monkeypatch):
    """Whichever this processor would take, the other one gives the same."""
    model = aligner(dtype=torch.bfloat16)
    inputs = inputs_for(model)
    results = []
    for used in (False, True):
        monkeypatch.setattr(packing_module, "serves", lambda query, used=used: used)
        with torch.no_grad():
            results.append(model(**inputs, logits_to_keep=slots(inputs)).logits.float())
    torch.testing.assert_close(*results, **CLOSE[torch.bfloat16])


def test_block_attention_is_for_few_threads_and_bfloat16(monkeypatch):
    monkeypatch.setattr(blocks, "_products_without_tiles", lambda: True)
    served = {}
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        served[threads] = [blocks.serves(torch.zeros(1, dtype=dtype)) for dtype in (torch.bfloat16, torch.float32)]
    assert served == {1: [True, False], 2: [True, False], 3: [False, False]}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_packed_on_a_gpu(padded, dtype):
    model = aligner(dtype=dtype).cuda()
    inputs = {name: value.cuda() for name, value in inputs_for(model).items()}
    with torch.no_grad():
        packed = model(**inputs, logits_to_keep=slots(inputs)).logits
        padded()
        want = model(**inputs, logits_to_keep=slots(inputs)).logits
    torch.testing.assert_close(packed, want, **CLOSE[dtype])
