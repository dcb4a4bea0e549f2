"""What every test may use. Nothing here reaches a network."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import pipeline

import transformers_qwen3_asr  # noqa: F401  registers
from transformers_qwen3_asr.checkpoints import resolve_model

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDENS = Path(__file__).resolve().parent / "goldens"


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of the project's own goldens."""
    return GOLDENS


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference folder beside the checkout; a test that wants it is skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip("../shared, the reference files beside the checkout, is not here")
    return SHARED


@pytest.fixture(scope="module")
def pipe():
    """The bundled aligner's pipeline; some modules have another under this name."""
    return pipeline("forced-alignment", model=resolve_model("tiny-en"), dtype="float32", device="cpu")
