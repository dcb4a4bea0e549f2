"""What a model computes in when nobody says: what is fastest on the processor at hand."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import GOLDENS
from transformers import AutoModelForTokenClassification, AutoProcessor, pipeline

from transformers_qwen3_asr import ForcedAlignmentPipeline
from transformers_qwen3_asr.checkpoints import dtypes
from transformers_qwen3_asr.checkpoints.dtypes import computing_dtype, multiplies_bfloat16
from transformers_qwen3_asr.cli.common import load_aligner

OLD_PROCESSOR = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An aligner in bfloat16, as the published ones are stored."""
    path = tmp_path_factory.mktemp("bfloat16")
    AutoModelForTokenClassification.from_pretrained(GOLDENS / "aligner", dtype=torch.bfloat16).save_pretrained(path)
    AutoProcessor.from_pretrained(GOLDENS / "aligner").save_pretrained(path)
    return str(path)


@pytest.fixture(params=[False, True], ids=["without", "with"])
def has_bfloat16(request, monkeypatch):
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda device: request.param)
    return request.param


def test_an_old_processor_multiplies_no_bfloat16():
    code = "from transformers_qwen3_asr.checkpoints.dtypes import multiplies_bfloat16 as f; print(f('cpu'))"
    environment = {**os.environ, **OLD_PROCESSOR, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["False"], done.stderr[-2000:]


def test_nothing_is_lost(has_bfloat16):
    assert computing_dtype(torch.float32, "cpu") == torch.float32
    assert computing_dtype(torch.float16, "cpu") == torch.float32
    assert computing_dtype(torch.bfloat16, "cpu") == (torch.bfloat16 if has_bfloat16 else torch.float32)


@pytest.mark.parametrize("task", ["forced-alignment", "token-classification"])
def test_a_pipeline_chooses_and_obeys(folder, has_bfloat16, task):
    fastest = torch.bfloat16 if has_bfloat16 else torch.float32
    known = {"pipeline_class": ForcedAlignmentPipeline} if task == "token-classification" else {}
    pipe = pipeline(task, model=folder, device="cpu", **known)
    assert pipe.dtype == fastest == pipe.model.thinker.lm_head.weight.dtype
    for dtype in ("bfloat16", torch.float32, "float16"):
        asked = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        assert pipeline(task, model=folder, device="cpu", dtype=dtype, **known).dtype == asked
    assert pipeline(task, model=folder, device="cpu", model_kwargs={"dtype": torch.bfloat16}, **known).dtype == (
        torch.bfloat16
    )


def test_it_is_said_once(folder, monkeypatch):
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda device: False)
    monkeypatch.setattr(dtypes, "_said", set())
    said = []
    monkeypatch.setattr(dtypes.logger, "warning", said.append)
    for _ in range(2):
        pipeline("forced-alignment", model=folder, device="cpu")
    assert len(said) == 1 and "computing in float32" in said[0]


def test_models_of_the_caller_keep_their_dtype(folder, has_bfloat16):
    model = AutoModelForTokenClassification.from_pretrained(folder)
    assert model.dtype == torch.bfloat16  # transformers' own rule
    parts = {"model": model, "processor": AutoProcessor.from_pretrained(folder), "device": "cpu"}
    assert pipeline("forced-alignment", **parts).dtype == torch.bfloat16
    assert pipeline("forced-alignment", dtype="float32", **parts).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float32", "float16"])
def test_commands_choose_and_obey(folder, has_bfloat16, dtype):
    fastest = torch.bfloat16 if has_bfloat16 else torch.float32
    pipe = load_aligner(folder, dtype, "cpu")
    assert pipe.dtype == (fastest if dtype == "auto" else getattr(torch, dtype))


def test_a_device_with_instructions_is_told_apart():
    assert isinstance(multiplies_bfloat16("cpu"), bool)
    assert multiplies_bfloat16("meta")
