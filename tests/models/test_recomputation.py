"""What is not kept for the backward pass: gradients stay what they are, memory shrinks, others' ways are respected."""

import itertools

import pytest
import torch
from test_packing import aligner, inputs_for
from tiny import slots
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.testing._internal.two_tensor import TwoTensor
from transformers import Qwen3Model

from transformers_qwen3_asr.models import audio_encoder_qwen3_asr as encoder
from transformers_qwen3_asr.models import packing
from transformers_qwen3_asr.models import text_model_qwen3_asr as text_model
from transformers_qwen3_asr.models.packing import Packing
from transformers_qwen3_asr.models.recomputation import may_recompute, recomputing


@pytest.fixture
def lean(monkeypatch):
    """A switch for recomputation in both models."""

    def switch(on):
        for module in (encoder, text_model):
            monkeypatch.setattr(module, "may_recompute", may_recompute if on else lambda layer: False)

    return switch


def kept_by(call):
    """Bytes that `call` leaves behind, and what it returns."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = call()
    return sum(event.self_cpu_memory_usage for event in profiled.key_averages()), result


def training_loss(model, inputs):
    keep = slots(inputs)
    labels = torch.arange(keep.numel()).view_as(keep) % model.config.num_labels
    return model(**inputs, labels=labels.where(keep, -100), logits_to_keep=keep).loss


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_a_tensor_is_made_again_once_for_all_that_want_it():
    made = []

    def sine():
        made.append(1)
        return x.detach().sin()

    def of_views(y):
        return (y[:5] * y[:5]).sum() + (y.T.square().sum() + y[5:].view(-1, 5)[::2].exp()[:, 1].sum())

    def loss_of_it():
        y = x.sin()
        with recomputing(True, (y, sine)):
            return of_views(y)

    x = torch.randn(1000, 10, requires_grad=True)
    kept, loss = kept_by(loss_of_it)
    assert kept < x.nbytes <= kept_by(lambda: of_views(x.sin()))[0]
    (got,) = torch.autograd.grad(loss, x, retain_graph=True)
    assert len(made) == 1
    (want,) = torch.autograd.grad(of_views(x.sin()), x)
    torch.testing.assert_close(got, want)
    (again,) = torch.autograd.grad(loss, x)  # a second pass through the same graph
    torch.testing.assert_close(again, want)


@pytest.mark.parametrize(
    ("dtype", "attention"),
    # autocast's queries are in float32, which block attention is not for
    [
        *itertools.product([torch.float32, torch.bfloat16], ["block", "sdpa", "eager"]),
        ("autocast", "sdpa"),
        ("autocast", "eager"),
    ],
    ids=str,
)
def test_gradients_are_the_same_bit_by_bit(lean, monkeypatch, dtype, attention):
    monkeypatch.setattr(packing, "serves", lambda query: attention == "block")
    autocast = dtype == "autocast"
    model = aligner("eager" if attention == "eager" else "sdpa", torch.float32 if autocast else dtype).train()
    inputs = inputs_for(model)
    found = []
    for on in (True, False):
        lean(on)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = training_loss(model, inputs)
        found.append((loss.item(), gradients(model, loss)))  # outside, as Trainer does it
    (loss, got), (wanted_loss, want) = found
    assert loss == wanted_loss
    assert got.keys() == want.keys()
    for name in want:
        assert torch.equal(got[name], want[name]), name


def test_less_is_kept(lean, monkeypatch):
    monkeypatch.setattr(packing, "serves", lambda query: True)
    model = aligner().train()
    inputs = inputs_for(model)
    training_loss(model, inputs)
    kept = {}
    for on in (True, False):
        lean(on)
        kept[on], loss = kept_by(lambda: training_loss(model, inputs))
        del loss
    assert kept[True] < 0.75 * kept[False]


def test_frozen_parts_and_adapters_train_as_before(lean):
    """Where only some weights learn, less is wanted of what is recomputed."""
    model = aligner().train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "v_proj" in name or "up_proj" in name
    inputs = inputs_for(model)
    found = []
    for on in (True, False):
        lean(on)
        found.append(gradients(model, training_loss(model, inputs)))
    assert found[0].keys() == found[1].keys() and found[0]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_dropout_of_activations_is_not_drawn_again(lean):
    model = aligner().train()
    model.config.thinker_config.audio_config.activation_dropout = 0.5
    for layer in model.thinker.audio_tower.layers:
        layer.activation_dropout = 0.5
    inputs, found = inputs_for(model), []
    for on in (True, False):
        lean(on)
        torch.manual_seed(0)
        found.append(gradients(model, training_loss(model, inputs)))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def test_others_who_decide_what_is_kept_are_left_alone():
    model = aligner().train()
    layer = model.thinker.model.layers[0]
    assert may_recompute(layer)
    with torch.no_grad():
        assert not may_recompute(layer)
    with torch.autograd.graph.save_on_cpu():
        assert not may_recompute(layer)
    model.gradient_checkpointing_enable()
    assert not may_recompute(layer)
    assert may_recompute(layer.eval())  # which does not checkpoint


def test_gradient_checkpointing_keeps_as_little_as_before(lean):
    model = aligner().train()
    model.gradient_checkpointing_enable()
    inputs, kept = inputs_for(model), {}
    training_loss(model, inputs)
    for on in (True, False):
        lean(on)
        kept[on], loss = kept_by(lambda: training_loss(model, inputs))
        del loss
    # the convolutions are outside of what is checkpointed
    assert kept[True] <= kept[False]


def test_a_part_that_somebody_replaced_is_not_taken_for_ours():
    class Other(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, states):
            return 2 * self.inner(states)

    model = aligner().train()
    inputs = inputs_for(model)
    before = training_loss(model, inputs).item()
    layer = model.thinker.model.layers[0]
    layer.mlp, layer.input_layernorm = Other(layer.mlp), Other(layer.input_layernorm)
    loss = training_loss(model, inputs)
    assert loss.item() != before
    assert all(gradient.isfinite().all() for gradient in gradients(model, loss).values())


def test_the_norm_is_the_librarys():
    """Values as transformers', gradients as those of its formula in float64, for all dtypes and any leading shape."""
    generator = torch.Generator().manual_seed(0)
    plain, given = text_model.Qwen3ASRTextNorm(24), (torch.randn(3, 5, 24, generator=generator) for _ in range(2))
    plain.weight.data = torch.randn(24, generator=generator)
    states, gradient = (x.double() for x in given)
    weight = plain.weight.detach().double().requires_grad_()
    exact = torch.nn.functional.rms_norm(states.requires_grad_(), (24,), weight, plain.variance_epsilon)
    wanted = [exact, *torch.autograd.grad(exact, (states, weight), gradient)]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 5e-3)):
        norm = text_model.Qwen3ASRTextNorm(24).to(dtype)
        norm.load_state_dict(plain.state_dict())
        x = states.detach().to(dtype).requires_grad_()
        y = norm(x)
        for got, want in zip([y, *torch.autograd.grad(y, (x, norm.weight), gradient.to(dtype))], wanted):
            assert got.dtype == dtype
            assert (got - want).norm() <= tolerance * want.norm()
        with torch.no_grad():
            torch.testing.assert_close(norm(x), y)


def twice(loss, parameters):
    """First derivatives, and those of the sum of their squares."""
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    return (*first, *torch.autograd.grad(sum(one.square().sum() for one in first), parameters))


def test_second_derivatives_are_the_library_s():
    model = aligner("eager").double().train()
    text = model.thinker.model
    native = Qwen3Model._from_config(text.config).double().train()
    native.load_state_dict(text.state_dict())
    states, weights = torch.randn(2, 12, text.config.hidden_size, dtype=torch.float64)
    found = text.forward_packed(states, Packing.of_mask(torch.ones(1, 12, dtype=torch.bool)))
    wanted = native(inputs_embeds=states[None], use_cache=False).last_hidden_state[0]
    names = [name for name, _ in native.named_parameters() if "embed" not in name]
    pairs = zip(
        *(
            twice((output * weights).sum(), [one.get_parameter(name) for name in names])
            for one, output in ((text, found), (native, wanted))
        )
    )
    for ours, theirs in pairs:
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()  # the library's norms and softmax are in float32


def test_second_derivatives_of_the_encoder(lean):
    model = aligner("eager").double().train()
    tower = model.thinker.audio_tower
    inputs = inputs_for(model)
    found = []
    for on in (True, False):
        lean(on)
        states = tower(inputs["input_features"].double(), inputs["input_features_mask"]).last_hidden_state
        found.append(twice(states.sin().sum(), list(tower.parameters())))
    for ours, plain in zip(*found):
        torch.testing.assert_close(ours, plain)


def test_what_has_no_memory_of_its_own_is_kept():
    """Quantised weights are tensors made of tensors, which have none; empty ones share the address 0."""
    x = torch.randn(3, 4, requires_grad=True)
    wrapped = TwoTensor(torch.randn(4, 4), torch.randn(4, 4))
    y, nothing = x.sin(), x[:0].exp()
    with recomputing(True, (y, lambda: x.detach().sin()), (nothing, pytest.fail)):
        loss = (y @ wrapped.a).square().sum() + (x @ wrapped).a.sum() + (nothing * x[:0].cos()).sum()
    (found,) = torch.autograd.grad(loss, x)
    assert found.isfinite().all()


class Int8Linear(nn.Module):
    """A linear layer as quantisers put it into a model: with numbers in 8 bits, and without a `weight`."""

    def __init__(self, layer):
        super().__init__()
        scale = layer.weight.detach().abs().amax(-1, keepdim=True) / 127
        self.register_buffer("packed", (layer.weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    def forward(self, x):
        return nn.functional.linear(x, self.packed.to(x.dtype) * self.scale, self.bias)


def quantise(model, weights):
    if weights == "buffers":
        for name, layer in list(model.named_modules()):
            if isinstance(layer, nn.Linear) and "layers" in name:
                model.set_submodule(name, Int8Linear(layer))
        return
    torchao = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    config = torchao.Int8WeightOnlyConfig() if weights == "int8" else torchao.Int8DynamicActivationInt8WeightConfig()
    torchao.quantize_(model, config, lambda layer, name: isinstance(layer, nn.Linear) and "layers" in name)


@pytest.mark.parametrize("weights", ["buffers", "int8", "int8_dynamic"])
def test_quantised_linear_layers_train_what_is_around_them(weights, lean):
    found = []
    for on in (True, False):
        lean(on)
        model = aligner().train()
        model.requires_grad_(False)
        norms = [p for name, p in model.named_parameters() if "norm" in name]
        quantise(model, weights)
        for norm in norms:
            norm.requires_grad_(True)
        found.append(gradients(model, training_loss(model, inputs_for(model))))
    assert found[0] and found[0].keys() == found[1].keys()
    for name, ours in found[0].items():
        torch.testing.assert_close(ours, found[1][name], msg=lambda m, name=name: f"{name}: {m}")
