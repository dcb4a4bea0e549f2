"""Triton's kernels, by its interpreter on a CPU, and as they are compiled for GPUs; and the ways around them."""

import importlib.util
import logging
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from tiny import slots, tiny_config, tiny_inputs, widen

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.gpu import fused

WAYS = fused.NORMS_AND_ROTARY, fused.ADD_AND_NORM, fused.GATED, fused.BIAS_AND_GELU
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton (with liger-kernel in the extra `gpu`) is not installed"
)

#: Each kernel beside the layers that it stands for, at sizes of the published models and at odd ones.
LAYERS = """
import torch
import torch.nn.functional as F
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb
from transformers_qwen3_asr.gpu import fused, kernels
from transformers_qwen3_asr.models.text_model_qwen3_asr import Qwen3ASRTextNorm

#: the same sums in another order; the last place of 8 bits, by which the interpreter cuts off where a GPU rounds
CLOSE = {torch.float32: (1e-5, 1e-5), torch.float16: (4e-3, 4e-3), torch.bfloat16: (2e-2, 2e-2)}
torch.manual_seed(0)

def norm_of(width, epsilon, dtype):
    norm = Qwen3ASRTextNorm(width, epsilon)
    torch.nn.init.normal_(norm.weight, 1)
    return norm.to(dtype)

def same(got, want, dtype):
    # the plain way in float32, of the same inputs: what is left is the kernel's own rounding
    assert got.dtype == dtype and got.shape == want.shape
    atol, rtol = CLOSE[dtype]
    torch.testing.assert_close(got.float(), want, atol=atol, rtol=rtol)

with torch.no_grad():
    for dtype in CLOSE:
        for tokens, heads, key_heads, dim in ((3, 16, 8, 128), (5, 4, 2, 16), (2, 3, 1, 10), (1, 1, 1, 2)):
            every = torch.randn(1, tokens, (heads + 2 * key_heads) * dim + 1).to(dtype)
            query, key, _, _ = every.split([heads * dim, key_heads * dim, key_heads * dim, 1], -1)
            query, key = (states.unflatten(-1, (-1, dim)) for states in (query, key))
            norms = norm_of(dim, 1e-6, dtype), norm_of(dim, 1e-2, dtype)
            table = tuple(torch.randn(1, tokens, dim).to(dtype) for _ in range(2))
            epsilons = [norm.variance_epsilon for norm in norms]
            got = kernels.norms_and_rotary(query[0], key[0], *(norm.weight for norm in norms),
                                           *(states[0] for states in table), epsilons)
            wide = [norm.float()(states.float()).transpose(1, 2) for norm, states in zip(norms, (query, key))]
            want = apply_rotary_pos_emb(*wide, *(states.float() for states in table))
            for a, b in zip(got, want):
                same(a, b[0].transpose(0, 1), dtype)
        for rows, width in ((3, 1024), (2, 2048), (7, 37), (1, 1)):
            one, other = torch.randn(rows, width).to(dtype), torch.randn(rows, width + 3).to(dtype)[:, :width]
            norm = norm_of(width, 1e-6, dtype)
            total, normed = kernels.add_and_norm(one, other, norm.weight, norm.variance_epsilon)
            same(total, one.float() + other.float(), dtype)
            same(normed, norm.float()(total.float()), dtype)
        for rows, width in ((3, 3072), (2, 6144), (7, 37), (1, 1)):
            gate, up = (3 * torch.randn(rows, 2 * width).to(dtype)).chunk(2, -1)
            same(kernels.gated(gate, up), F.silu(gate.float()) * up.float(), dtype)
        for rows, width in ((9, 480), (3, 5), (1, 1)):
            states, bias = (3 * torch.randn(*shape, width).to(dtype) for shape in ((rows,), ()))
            want = F.gelu(states.float() + bias.float())
            same(kernels.bias_and_gelu_(states, bias), want, dtype)
"""

#: A whole model with its projections joined, by the kernels and without them; batch against single.
MODEL = """
import logging
import torch
from tiny import slots, tiny_config, tiny_inputs, widen
from transformers_qwen3_asr import Qwen3ASRForTokenClassification
from transformers_qwen3_asr.gpu import fused, graphs, join_projections

fused.KINDS.add("cpu")
ways = fused.NORMS_AND_ROTARY, fused.ADD_AND_NORM, fused.GATED, fused.BIAS_AND_GELU
warnings = []
logging.getLogger("transformers_qwen3_asr").addFilter(lambda record: warnings.append(record) or True)

def logits_of(model, inputs):
    inputs = {**inputs, "input_features": inputs["input_features"].to(model.dtype)}
    with torch.inference_mode():
        return model(**inputs, logits_to_keep=slots(inputs)).logits.float()

for dtype, most in ((torch.float32, 1e-5), (torch.bfloat16, 0.05)):
    model = widen(Qwen3ASRForTokenClassification(tiny_config())).to(dtype)
    inputs = tiny_inputs(model.config, (120, 60), (4, 1))
    alone = tiny_inputs(model.config, (120,), (4,))
    alone["input_features"] = inputs["input_features"][:1]
    for way in ways:
        way.enabled = False
    want = logits_of(model, inputs)
    for way in ways:
        way.enabled = True
    for joined in (False, True):
        if joined:
            join_projections(model)
        got = logits_of(model, inputs)
        apart = (got - want).square().mean().sqrt() / want.std()
        assert apart < most, (dtype, joined, apart)
    for way in ways:
        assert not way.broken and (torch.device("cpu"), dtype) in {key[:2] for key in way._good}
    apart = (logits_of(model, alone) - logits_of(model, inputs)[:8]).square().mean().sqrt() / want.std()
    assert apart < most, (dtype, apart)
assert not warnings
"""

#: What a GPU would run. The compiler needs none.
COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from transformers_qwen3_asr.gpu import kernels

BLOCKS = {
    kernels._norms_and_rotary: {"QUERY_HEADS": 16, "KEY_HEADS": 8, "HALF": 64},
    kernels._add_and_norm: {"WIDTH": 1024},
    kernels._gated: {"BLOCK": kernels.BLOCK},
    kernels._bias_and_gelu: {"ROWS": kernels.ROWS, "WIDTH": 512},
}
NUMBERS = {"heads", "stride", "half", "row", "rows", "width"}
for kernel, blocks in BLOCKS.items():
    for kind in ("bf16", "fp16", "fp32"):
        types = {}
        for name in kernel.arg_names:
            last = name.split("_")[-1]
            types[name] = "constexpr" if name in blocks else "fp32" if last == "epsilon" else (
                "i32" if last in NUMBERS else f"*{kind}")
        values = {(kernel.arg_names.index(name),): value for name, value in blocks.items()}
        made = triton.compile(ASTSource(kernel, types, values), target=GPUTarget("cuda", 90, 32))
        assert made.asm["cubin"]
"""


def run(script, tmp_path, **environment):
    (tmp_path / "script.py").write_text(script)
    inherited = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, inherited)),
        "CUDA_VISIBLE_DEVICES": "",
        "TRITON_CACHE_DIR": str(tmp_path / "triton"),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("script", [LAYERS, MODEL], ids=["layers", "model"])
def test_kernels_compute_what_layers_do(tmp_path, script):
    run(script, tmp_path, TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_a_gpu(tmp_path):
    run(COMPILED, tmp_path)


@pytest.fixture
def tried(monkeypatch):
    """The kernels on a CPU, where Triton cannot launch them; how often each was tried."""
    count = dict.fromkeys(WAYS, 0)
    monkeypatch.setattr(fused, "KINDS", {"cuda", "cpu"})
    for way in WAYS:
        monkeypatch.setattr(way, "broken", False)
        monkeypatch.setattr(way, "_good", set())

        def run(key, fast, plain, way=way, run=way.run):
            count[way] += 1
            return run(key, fast, plain)

        monkeypatch.setattr(way, "run", run)
    return count


def aligner():
    return widen(Qwen3ASRForTokenClassification(tiny_config()))


def logits_of(model):
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        return model(**inputs, logits_to_keep=slots(inputs)).logits


def test_without_a_working_triton_the_plain_way_goes_on(tried, monkeypatch, caplog):
    model = aligner()
    with monkeypatch.context() as patch:
        patch.setattr(fused, "KINDS", {"cuda"})
        want = logits_of(model)
    assert not any(tried.values())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert torch.equal(logits_of(model), want)
    assert all(way.broken for way in WAYS)
    assert set(tried.values()) == {1}
    said = sorted(record.message.split(" failed (")[0] for record in caplog.records)
    assert said == sorted(way.name for way in WAYS)


def test_training_autocast_and_hooks_take_the_usual_way(tried, monkeypatch):
    monkeypatch.setattr(fused.GATED, "enabled", False)
    model = aligner()
    model(**tiny_inputs(model.config)).logits.sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        logits_of(model)
    model.double()
    with torch.no_grad():
        inputs = tiny_inputs(model.config)
        model(**{**inputs, "input_features": inputs["input_features"].double()})
    model.float()
    seen = []
    for layer in model.thinker.model.layers:
        for norm in (layer.self_attn.q_norm, layer.post_attention_layernorm):
            norm.register_forward_hook(lambda *_: seen.append(1))
    encoder = model.thinker.audio_tower
    for convolution in (encoder.conv2d1, encoder.conv2d2, encoder.conv2d3):
        convolution.register_forward_hook(lambda *_: seen.append(1))
    logits_of(model)
    assert len(seen) == 7
    assert not any(tried.values())


def test_switches_go_without(tried, monkeypatch):
    for way in WAYS:
        monkeypatch.setattr(way, "enabled", False)
    logits_of(aligner())
    assert not any(tried.values()) and not any(way.broken for way in WAYS)


def test_batches_of_generation_are_gated_whole(tried, monkeypatch):
    """The MLP is called on `(batch, length, width)` there."""
    monkeypatch.setitem(sys.modules, "transformers_qwen3_asr.gpu.kernels", Stand)
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config, (330, 120), (3, 3), side="left")
    got = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert tried[fused.GATED] and not fused.GATED.broken
    monkeypatch.setattr(fused, "KINDS", {"cuda"})
    assert torch.equal(model.generate(**inputs, max_new_tokens=5, do_sample=False), got)


class Stand:
    """In the place of the module of kernels: rows alone, as they take them."""

    @staticmethod
    def gated(gate, up):
        assert gate.dim() == 2 and gate.stride(-1) == 1
        return torch.nn.functional.silu(gate) * up


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_kernels_on_a_gpu(monkeypatch, caplog, dtype):
    model = aligner().to("cuda", dtype)
    inputs = {name: value.cuda() for name, value in tiny_inputs(model.config).items()}
    inputs["input_features"] = inputs["input_features"].to(dtype)
    results = []
    for enabled in (False, True):
        for way in WAYS:
            monkeypatch.setattr(way, "enabled", enabled)
        for _ in range(4):
            with torch.no_grad():
                results.append(model(**inputs, logits_to_keep=slots(inputs)).logits.float())
    assert all(way._good and not way.broken for way in WAYS) and not caplog.records
    most = 1e-3 if dtype == torch.float32 else 0.05
    assert all((got - results[0]).square().mean().sqrt() / results[0].std() < most for got in results)
