"""Two processes share the text model's layers, as transformers' plan for Qwen3 says, and compute what one does."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, tiny_inputs, widen

import transformers_qwen3_asr
from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification

PROCESS = """
import sys

import torch
import torch.distributed as dist
from transformers import AutoModelForSpeechSeq2Seq, AutoModelForTokenClassification
from transformers.distributed import DistributedConfig

import transformers_qwen3_asr
from transformers_qwen3_asr.gpu import join_projections

aligner, asr, results = sys.argv[1:]
found = {}
for folder, auto in ((aligner, AutoModelForTokenClassification), (asr, AutoModelForSpeechSeq2Seq)):
    model = auto.from_pretrained(folder, distributed_config=DistributedConfig(tp_size=2, tp_plan="auto"))
    assert join_projections(model) == 0  # a shard is no plain tensor
    inputs = torch.load(f"{folder}/inputs.pt")
    output = model(**inputs)
    output.loss.backward()
    weight = model.get_submodule("thinker.model.layers.1.self_attn.q_proj").weight
    sharded = tuple(weight.to_local().shape)
    gradients = {
        name: p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad
        for name, p in model.named_parameters()
    }
    packed = model(**inputs, use_cache=False).logits.detach()
    found[folder] = {"logits": output.logits.detach(), "packed": packed, "gradients": gradients, "sharded": sharded}
if dist.get_rank() == 0:
    torch.save(found, results)
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch was built without distributed")
def test_two_processes_compute_what_one_does(tmp_path):
    folders, expected = [], {}
    for name, model_class, classes in (
        ("aligner", Qwen3ASRForTokenClassification, 50),
        ("asr", Qwen3ASRForConditionalGeneration, None),
    ):
        model = widen(model_class(tiny_config(classes=classes)))
        folder = str(tmp_path / name)
        model.save_pretrained(folder)
        inputs = tiny_inputs(model.config)
        inputs["labels"] = torch.where(inputs["input_ids"] > 80, inputs["input_ids"] % 50, -100)
        torch.save(inputs, f"{folder}/inputs.pt")
        output = model(**inputs)
        output.loss.backward()
        folders.append(folder)
        expected[folder] = output.logits, {name: p.grad for name, p in model.named_parameters()}

    script, results = tmp_path / "process.py", tmp_path / "results.pt"
    script.write_text(PROCESS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = str(Path(transformers_qwen3_asr.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    run = subprocess.run(
        [*launch, str(script), *folders, str(results)], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]

    for folder, found in torch.load(results).items():
        logits, gradients = expected[folder]
        assert found["sharded"] == (32, 32)  # half of 4 heads of 16
        mask = torch.load(f"{folder}/inputs.pt")["attention_mask"].bool()
        for way in ("logits", "packed"):
            torch.testing.assert_close(found[way][mask], logits[mask], atol=1e-4, rtol=1e-4)
        assert found["gradients"].keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert torch.allclose(found["gradients"][name], gradient, atol=1e-4, rtol=1e-3), name


@pytest.mark.parametrize("model_class", [Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification])
def test_the_plan_names_what_is_there(model_class):
    model = model_class(tiny_config(classes=50 if model_class is Qwen3ASRForTokenClassification else None))
    for pattern in model.tp_plan:
        whole = re.compile(re.escape(pattern).replace(r"\*", r"\d+") + "$")
        assert any(whole.match(name) for name, _ in model.named_modules()), f"{pattern} is no module"


def test_the_plan_covers_both_ends_of_a_tied_head():
    """transformers shards a tied head and the embedding that it is together, or neither."""
    for tied in (True, False):
        model = Qwen3ASRForConditionalGeneration(tiny_config(classes=None, text={"tie_word_embeddings": tied}))
        assert "thinker.lm_head" in model.tp_plan
        assert "thinker.model.layers.*.self_attn.q_proj" in model.tp_plan
