"""A larger aligner that begins as a smaller one: what is new adds nothing until it is trained."""

import re

import torch

from transformers_qwen3_asr.models.modeling_qwen3_asr import Qwen3ASRForTokenClassification
from transformers_qwen3_asr.training.bins import interpolated_rows

HEAD = "thinker.lm_head.weight"
# Weights whose outputs are added to the residual stream: zero in a new layer, which so passes its input on.
_LAST = re.compile(r"(out_proj|fc2|o_proj|down_proj)\.(weight|bias)$")
_LAYER = re.compile(r"\.layers\.\d+\.")


def grow(small: Qwen3ASRForTokenClassification, config) -> Qwen3ASRForTokenClassification:
    """
    A model of `config` that computes what `small` does, at finer or more classes.

    Layers may be added behind the last ones of encoder and text model, and feed-forward units within layers; all
    other widths must be the same. Raises `ValueError` for a tensor that cannot be grown.
    """
    large = Qwen3ASRForTokenClassification(config)
    known = small.state_dict()
    grown = {}
    for name, fresh in large.state_dict().items():
        if name == HEAD:
            old, new = small.config.timestamp_segment_time, config.timestamp_segment_time
            grown[name] = interpolated_rows(known[name], old, new, len(fresh))
        elif name not in known:
            if not _LAYER.search(name):
                raise ValueError(f"{name} is no layer's, and the smaller model lacks it")
            grown[name] = torch.zeros_like(fresh) if _LAST.search(name) else fresh
        else:
            grown[name] = _widened(name, known[name], fresh)
    large.load_state_dict(grown)
    return large


def _widened(name: str, old: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """`old` within `fresh`: new hidden units keep their random inputs, and their outputs count nothing at first."""
    if old.shape == fresh.shape:
        return old
    if old.ndim != fresh.ndim or any(a > b for a, b in zip(old.shape, fresh.shape, strict=True)):
        raise ValueError(f"{name} cannot grow from {tuple(old.shape)} to {tuple(fresh.shape)}")
    inner = re.search(r"(fc1|gate_proj|up_proj)\.(weight|bias)$|(fc2|down_proj)\.weight$", name)
    if not inner:
        raise ValueError(f"{name} is no feed-forward weight, so it must keep its shape {tuple(old.shape)}")
    wide = torch.zeros_like(fresh) if inner.group(3) else fresh.clone()
    wide[tuple(slice(0, size) for size in old.shape)] = old
    return wide
