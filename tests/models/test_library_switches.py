"""What transformers' own switches do with this family's models: each does it, or raises (docs/switches.md)."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny import slots, tiny_config, tiny_inputs, widen
from transformers import Trainer, TrainingArguments
from transformers.integrations.liger import apply_liger_kernel
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available, is_kernels_available

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.models.integrations.liger import put_into_table


def aligner(**options):
    return widen(Qwen3ASRForTokenClassification._from_config(tiny_config(), **options))


def labelled(inputs):
    keep = slots(inputs)
    return torch.where(keep, torch.arange(keep.numel()).view(keep.shape) % 50, -100)


def loss_and_gradients(model):
    inputs = {name: value.to(model.device) for name, value in tiny_inputs(model.config).items()}
    loss = model.train()(**inputs, labels=labelled(inputs), logits_to_keep=slots(inputs)).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


@pytest.fixture
def device(monkeypatch):
    """Where liger-kernel runs; without a GPU with PyTorch's functions in its kernels' place, as if there were one."""
    pytest.importorskip("liger_kernel.transformers", reason="liger-kernel (the extra `gpu`) is not installed")
    if torch.cuda.is_available():
        return torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    functions = {
        "rms_norm.LigerRMSNormFunction.apply": lambda x, weight, eps, *_: F.rms_norm(x, weight.shape, weight, eps),
        "swiglu._swiglu_dispatch": lambda gate, up: F.silu(gate) * up,
        "layer_norm._functional_layer_norm": lambda x, weight, bias, eps, **_: F.layer_norm(
            x, weight.shape, weight, bias, eps
        ),
    }
    for name, function in functions.items():
        monkeypatch.setattr(f"liger_kernel.transformers.{name}", function)
    return torch.device("cpu")


def replaced(model):
    """Names of the classes in whose `forward`'s place there is something else."""
    return {type(module).__name__ for module in model.modules() if "forward" in vars(module)}


@pytest.mark.parametrize(("config", "kinds"), [
    (None, {"Qwen3ASRTextNorm", "Qwen3ASRTextMLP", "LayerNorm"}),
    ({"swiglu": False, "layer_norm": False}, {"Qwen3ASRTextNorm"}),
    ({"rms_norm": False, "layer_norm": False}, {"Qwen3ASRTextMLP"}),
])  # fmt: skip
def test_liger_kernels_train_the_same_model(device, config, kinds):
    want_loss, want = loss_and_gradients(aligner().to(device))
    model = aligner().to(device)
    names = list(model.state_dict())
    apply_liger_kernel(model, config)
    assert replaced(model) == kinds
    assert list(model.state_dict()) == names
    loss, gradients = loss_and_gradients(model)
    torch.testing.assert_close(loss, want_loss, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        if "k_proj.bias" not in name:  # softmax does not see it: what is there is rounding
            assert (gradient - want[name]).norm() < 1e-4 * want[name].norm(), name


@pytest.mark.parametrize("name", ["rope", "cross_entropy", "fused_linear_cross_entropy"])
def test_liger_kernels_that_are_not_taken_raise(device, name):
    with pytest.raises(ValueError, match=f"liger_kernel_config: {name} is not supported by Qwen3ASRForTokenClass"):
        apply_liger_kernel(aligner(), {name: True})


def test_liger_kernels_need_silu(device):
    model = Qwen3ASRForTokenClassification(tiny_config(text={"hidden_act": "gelu"}))
    with pytest.raises(ValueError, match="hidden_act 'silu', the text model has 'gelu'"):
        apply_liger_kernel(model, None)
    apply_liger_kernel(model, {"swiglu": False})


def test_liger_gets_others_of_the_model_type_as_before():
    calls = []
    table = SimpleNamespace(MODEL_TYPE_TO_APPLY_LIGER_FN={"qwen3_asr": lambda **options: calls.append(options)})
    for _ in range(2):
        put_into_table(table, "qwen3_asr")
    native = torch.nn.Linear(1, 1)
    table.MODEL_TYPE_TO_APPLY_LIGER_FN["qwen3_asr"](model=native, rms_norm=False)
    assert calls == [{"model": native, "rms_norm": False}]
    unknown = SimpleNamespace(MODEL_TYPE_TO_APPLY_LIGER_FN={})
    put_into_table(unknown, "qwen3_asr")
    unknown.MODEL_TYPE_TO_APPLY_LIGER_FN["qwen3_asr"](model=native)
    assert "forward" not in vars(native)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU, on which the kernels run")
def test_without_a_gpu_trainer_says_so(tmp_path):
    pytest.importorskip("liger_kernel", reason="liger-kernel (the extra `gpu`) is not installed")
    arguments = TrainingArguments(tmp_path, use_liger_kernel=True, max_steps=1, report_to=[], use_cpu=True)
    trainer = Trainer(aligner(), arguments, train_dataset=[{}], data_collator=lambda rows: {})
    with pytest.raises(ValueError, match="use_liger_kernel=True needs a GPU"):
        trainer.train()


def test_trainer_asks_for_no_logits_where_it_wants_none():
    """`skip_logits`, which Trainer passes in evaluation where it was told `use_liger_kernel`."""
    for model in (aligner(), widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))):
        inputs = tiny_inputs(model.config)
        if model.config.classify_num is None:
            labels = inputs["input_ids"].where(inputs["input_ids"] < 80, -100)
        else:
            labels = labelled(inputs)
        with torch.no_grad():
            want = model(**inputs, labels=labels).loss
            got = model(**inputs, labels=labels, skip_logits=True)
        assert got.logits is None
        torch.testing.assert_close(got.loss, want)
        with pytest.raises(ValueError, match="skip_logits=True without labels"):
            model(**inputs, skip_logits=True)


class Normed(torch.nn.Module):
    """A layer of the hub, as `kernels` gives it: its `forward` takes the place of the model's."""

    def forward(self, hidden_states):
        wide = hidden_states.float()
        wide = wide * (wide.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()
        return self.weight * wide.to(hidden_states.dtype)


def test_replaced_layers_are_called_in_training_too():
    """What `use_kernels=True` and liger-kernel do to a model's layers, without either: by the instances' `forward`."""
    want_loss, want = loss_and_gradients(aligner())
    model, calls = aligner(), []
    for layer in model.thinker.model.layers:
        for norm in (layer.input_layernorm, layer.self_attn.q_norm):
            norm.forward = lambda states, norm=norm: (calls.append(norm), Normed.forward(norm, states))[1]
        layer.mlp.forward = lambda x, mlp=layer.mlp: mlp.down_proj(F.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    loss, gradients = loss_and_gradients(model)
    assert len(calls) == 4
    torch.testing.assert_close(loss, want_loss, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        if "k_proj.bias" not in name:
            assert (gradient - want[name]).norm() < 1e-4 * want[name].norm(), name


def test_kernels_of_the_hub_raise_where_they_are_missing():
    if is_kernels_available():
        pytest.skip("kernels is installed, and would ask the hub")
    model = aligner()
    with pytest.raises(ValueError, match="Kernels are not available"):
        model.use_kernels = True
    assert not model.use_kernels


@pytest.mark.skipif(not is_kernels_available(), reason="no version of kernels that this transformers takes")
def test_kernels_of_the_hub_take_the_norms_place():
    """`use_kernels=True`, with a layer of this file instead of one of the hub."""
    import kernels

    class Repository:
        def load(self):
            return Normed

    want_loss, _ = loss_and_gradients(aligner())
    model, kinds = aligner(), (kernels.Mode.TRAINING, kernels.Mode.INFERENCE)
    with kernels.use_kernel_mapping({"RMSNorm": {model.device.type: dict.fromkeys(kinds, Repository())}}):
        model.use_kernels = True
        loss, _ = loss_and_gradients(model)
    norms = [module for module in model.thinker.model.modules() if type(module).__name__ == "Qwen3ASRTextNorm"]
    assert norms and all(norm.forward.__func__ is Normed.forward for norm in norms)
    torch.testing.assert_close(loss, want_loss, atol=1e-5, rtol=1e-5)


def test_attention_that_is_not_supported_raises():
    with pytest.raises(ValueError, match="flex_attention"):
        aligner(attn_implementation="flex_attention")
    for name in ("flash_attention_2", "flash_attention_3"):
        if not (is_flash_attn_2_available() or is_flash_attn_3_available() or is_kernels_available()):
            with pytest.raises(ImportError, match="doesn't seem to be installed"):
                aligner(attn_implementation=name)


def test_whole_models_compile():
    """One graph for any batch of a length's kind, and the same logits; forward and backward."""
    model, graphs = aligner(), []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for frames in ((330, 120, 615), (200, 400, 90)):
        inputs = tiny_inputs(model.config, frames=frames)
        keep = slots(inputs)
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(**inputs).logits[keep], model(**inputs).logits[keep], atol=2e-5, rtol=1e-4
            )
    assert 1 <= len(graphs) <= 3
