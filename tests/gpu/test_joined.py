"""Projections of one input by one product. All of it runs on a CPU, where it has to be asked for."""

import copy
import io
import logging
import pickle

import pytest
import torch
from tiny import slots, tiny_config, tiny_inputs, widen
from torch import nn

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.checkpoints.int8 import KEPT, convert, has_int8
from transformers_qwen3_asr.checkpoints.loaded import made_ready
from transformers_qwen3_asr.gpu import checked, join_projections, joined
from transformers_qwen3_asr.gpu.checked import Checked

#: Groups of the tiny model: two layers of the encoder, two of the text model with two groups each.
GROUPS = 6
#: How far logits may be apart, in standard deviations of the logits: root mean square.
APART = {torch.float32: 1e-5, torch.bfloat16: 0.03, torch.float16: 0.004}


@pytest.fixture
def products(monkeypatch):
    """How many joined products there were. Nothing that happens in a test is remembered."""
    count = []
    way = Checked("the joined product of projections")
    run = way.run
    monkeypatch.setattr(way, "run", lambda *arguments, **named: (count.append(1), run(*arguments, **named))[1])
    monkeypatch.setattr(joined, "JOINED", way)
    monkeypatch.setattr(checked, "WAYS", [w for w in checked.WAYS if w is not way])
    return count


def aligner(dtype=torch.float32, implementation="sdpa"):
    config = tiny_config()
    config._attn_implementation = implementation
    return widen(Qwen3ASRForTokenClassification(config)).to(dtype)


def logits_of(model, inputs=None):
    inputs = dict(inputs or tiny_inputs(model.config))
    inputs["input_features"] = inputs["input_features"].to(model.dtype)
    with torch.no_grad():
        return model(**inputs, logits_to_keep=slots(inputs)).logits


def together(model):
    """Groups of projections whose weights lie one behind the other."""
    groups = ((part, part.joins) for part in model.modules() if hasattr(part, "joins"))
    return sum(joined._as_one([getattr(part, name).weight for name in names]) is not None for part, names in groups)


def assert_same(got, want):
    assert got.dtype == want.dtype and got.shape == want.shape
    apart = (got.double() - want.double()).square().mean().sqrt() / want.double().std()
    assert apart <= APART.get(want.dtype, 1e-9)


@pytest.mark.parametrize("dtype", list(APART), ids=str)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_one_product_gives_what_three_give(products, dtype, implementation):
    model = aligner(dtype, implementation)
    inputs = tiny_inputs(model.config)
    want = logits_of(model, inputs)
    assert not products
    assert join_projections(model) == GROUPS
    for _ in range(2):  # compared, and then alone
        assert_same(logits_of(model, inputs), want)
    assert len(products) == 2 * GROUPS
    assert torch.equal(want.argmax(-1), logits_of(model, inputs).argmax(-1)) or dtype != torch.float32
    alone = tiny_inputs(model.config, (330,), (4,))
    assert torch.equal(alone["input_ids"][0], inputs["input_ids"][0, : len(alone["input_ids"][0])])
    alone["input_features"] = inputs["input_features"][:1, :, :330]
    assert_same(logits_of(model, alone), logits_of(model, inputs)[:8])


def test_generation_is_the_same(products):
    """Behind the prompt layers are called as the library's, one by one."""
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config, (330,), (3,))
    want = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert join_projections(model) == GROUPS
    assert torch.equal(model.generate(**inputs, max_new_tokens=5, do_sample=False), want)


def test_names_values_and_files_stay(tmp_path):
    model = aligner()
    parameters, before = list(model.parameters()), {name: t.clone() for name, t in model.state_dict().items()}
    model.save_pretrained(tmp_path / "before")
    size = sum(t.untyped_storage().nbytes() for t in {t.data_ptr(): t for t in parameters}.values())
    assert join_projections(model) == GROUPS == together(model)
    assert join_projections(model) == GROUPS  # harmless when repeated
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in model.parameters()}
    assert sum(storages.values()) == size  # nothing is there twice
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)

    model.save_pretrained(tmp_path / "after")
    files = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "after").iterdir())
    for name in files:
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes(), name
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    assert buffer.tell() < 1.2 * size
    want = logits_of(model)
    for other in (
        Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "after"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert_same(logits_of(other), want)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.thinker.model.layers[0].self_attn.q_proj.weight.zero_()
    assert torch.equal(logits_of(model), want)


def test_what_changes_a_weight_is_heeded(products):
    """In its place, by another tensor, from a file, and by a move; on and off, whatever way it is."""
    model, plain = aligner(), aligner()
    join_projections(model)
    others = {name: 0.5 * t for name, t in plain.state_dict().items()}

    def scale(net):
        net.thinker.model.layers[0].self_attn.v_proj.weight.mul_(2)

    def data(net):  # as peft merges an adapter; no version counts it
        net.thinker.model.layers[1].mlp.gate_proj.weight.data += 0.1

    def bias(net):
        net.thinker.audio_tower.layers[0].self_attn.v_proj.bias.data.fill_(0.3)

    def elsewhere(net):
        weight = net.thinker.audio_tower.layers[1].self_attn.q_proj.weight
        weight.data = weight * 1.5

    def another(net):
        layer = net.thinker.model.layers[0].mlp.up_proj
        layer.weight = nn.Parameter(layer.weight * 1.5)

    changes = [(scale, 6), (data, 6), (bias, 6), (elsewhere, 5), (another, 4)]
    changes += [(lambda net: net.load_state_dict(others), 4), (lambda net: net.to(torch.float64), 0)]
    for change, left in changes:
        before = logits_of(model)
        for net in (model, plain):
            with torch.no_grad():
                change(net)
        assert_same(logits_of(model), logits_of(plain))
        assert (before - logits_of(model)).abs().max() > 1e-4 or model.dtype == torch.float64
        assert together(model) == left
    assert join_projections(model) == GROUPS == together(model)
    assert_same(logits_of(model), logits_of(plain))
    model.load_state_dict({name: t.double() for name, t in aligner().state_dict().items()}, assign=True)
    assert together(model) == 0
    assert_same(logits_of(model), logits_of(aligner(torch.float64)))


def test_training_goes_on_as_without(products):
    models = [aligner(), aligner()]
    join_projections(models[0])
    inputs = tiny_inputs(models[0].config)
    keep = slots(inputs)
    labels = torch.where(keep, torch.arange(keep.numel()).view(keep.shape) % 50, -100)
    losses = []
    for model in models:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(3):
            loss = model.train()(**inputs, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.detach())
    assert not products  # gradients take the usual way
    assert torch.equal(*losses)
    assert together(models[0]) == GROUPS
    assert_same(logits_of(models[0].eval()), logits_of(models[1].eval()))
    assert products
    with torch.autocast("cpu", torch.bfloat16):
        logits_of(models[0])
    assert len(products) == GROUPS


def test_adapters_are_heeded(products):
    peft = pytest.importorskip("peft", reason="peft (the extra `peft`) is not installed")
    models = [aligner(), aligner()]
    join_projections(models[0])
    for i, model in enumerate(models):
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
        models[i] = peft.get_peft_model(model, config).eval()
    assert (logits_of(aligner()) - logits_of(models[1])).abs().max() > 0.1
    assert_same(logits_of(models[0]), logits_of(models[1]))
    assert not products
    merged = [model.merge_and_unload() for model in models]
    assert together(merged[0]) == GROUPS
    assert_same(logits_of(merged[0]), logits_of(merged[1]))
    assert len(products) == GROUPS
    fresh = peft.get_peft_model(aligner(), config)
    assert join_projections(fresh) == 0 == together(fresh)


def test_quantised_layers_are_left_alone(products):
    models = [aligner(), aligner()]
    join_projections(models[0])
    for model in models:
        convert(model, list(KEPT))
        assert has_int8(model) and join_projections(model) == 0
    assert torch.equal(logits_of(models[0]), logits_of(models[1]))
    assert not products


def test_memory_of_others_is_left_alone():
    def views(model):  # as DeepSpeed lays parameters into a buffer that its optimizer writes to
        flat = torch.cat([parameter.data.flatten() for parameter in model.parameters()])
        start = 0
        for parameter in model.parameters():
            parameter.data = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        return flat

    def hooked(model):
        model.thinker.model.layers[0].register_forward_pre_hook(lambda *_: None)

    def replaced(model):
        for layer in model.thinker.model.layers:
            layer.self_attn.forward = layer.self_attn.forward

    model = aligner()
    flat = views(model)
    assert join_projections(model) < GROUPS  # some lie together there
    with torch.no_grad():
        flat.mul_(0.5)
    halved = aligner()
    with torch.no_grad():
        for parameter in halved.parameters():
            parameter.mul_(0.5)
    assert_same(logits_of(model), logits_of(halved))
    for change in (hooked, replaced, lambda model: model.share_memory(), lambda model: model.to("meta")):
        model = aligner()
        change(model)
        before = [parameter.data_ptr() for parameter in model.parameters()]
        assert join_projections(model) == 0
        assert [parameter.data_ptr() for parameter in model.parameters()] == before


def test_hooks_on_a_projection_are_called(products):
    model, seen = aligner(), []
    join_projections(model)
    want = logits_of(model)
    before = len(products)
    hook = model.thinker.model.layers[1].self_attn.v_proj.register_forward_hook(lambda *_: seen.append(1))
    assert_same(logits_of(model), want)
    assert seen == [1] and len(products) == before + GROUPS - 1
    hook.remove()


@pytest.mark.parametrize("fault", ["raises", "differs", "one row differs"])
def test_what_fails_or_differs_steps_aside_with_one_warning(monkeypatch, caplog, fault):
    way = Checked("a faster way")
    monkeypatch.setattr(checked, "WAYS", [w for w in checked.WAYS if w is not way])
    want, asked = torch.randn(1000, 16), []

    def fast():
        asked.append(1)
        if fault == "raises":
            raise AttributeError("module 'triton' has no attribute 'jit'")
        return ((want + 1 if fault == "differs" else want.clone().index_fill_(0, torch.tensor(999), 0)),)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert way.run("key", fast, lambda: (want,))[0] is want
    assert way.broken and len(asked) == 1
    assert [record.message.startswith("a faster way ") for record in caplog.records] == [True]


def test_what_is_not_finite_decides_nothing(monkeypatch, caplog):
    way = Checked("a faster way")
    monkeypatch.setattr(checked, "WAYS", [w for w in checked.WAYS if w is not way])
    nan, good = torch.full((2, 2), torch.nan), torch.ones(2, 2)
    assert way.run("key", lambda: (good,), lambda: (nan,))[0] is nan
    assert way.run("key", lambda: (good,), lambda: (good.clone(),))[0] is not good
    assert way.run("key", lambda: (good,), lambda: (good.clone(),))[0] is good
    assert way.run("another", lambda: (good,), lambda: (good.clone(),))[0] is not good
    way.enabled = False
    assert way.run("key", lambda: (good,), lambda: (good.clone(),))[0] is not good
    assert not caplog.records and not way.broken


def test_pipelines_join_on_a_gpu_alone():
    model = aligner()
    made_ready(model, None, torch.device("cpu"))
    assert together(model) == 0
    made_ready(model, None, torch.device("cuda"))
    assert together(model) == GROUPS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", list(APART), ids=str)
def test_one_product_on_a_gpu(products, caplog, dtype):
    model = aligner(dtype).cuda()
    inputs = {name: value.cuda() for name, value in tiny_inputs(model.config).items()}
    want = logits_of(model, inputs)
    assert join_projections(model) == GROUPS
    for _ in range(4):
        got = logits_of(model, inputs)
        assert ((got - want).float().square().mean().sqrt() / want.float().std()) < max(1e-3, 2 * APART[dtype])
    assert products and not caplog.records
    assert together(model.cpu()) == 0
    assert_same(logits_of(model), logits_of(aligner(dtype)))
