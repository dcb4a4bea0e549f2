"""What is not kept for the backward pass: gradients stay what they are, memory shrinks, others' ways are respected."""

import itertools

import pytest
import torch
from test_packing import aligner, inputs_for
from tiny import slots
from torch.profiler import ProfilerActivity, profile

from transformers_qwen3_asr import audio_encoder_qwen3_asr as encoder
from transformers_qwen3_asr import packing
from transformers_qwen3_asr import text_model_qwen3_asr as text_model
from transformers_qwen3_asr.recomputation import may_recompute, recomputing


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
