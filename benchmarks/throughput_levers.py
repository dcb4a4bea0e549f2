"""What each of our ways to speed and memory is worth in throughput.py: ours with and without it."""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator

from throughput_measuring import Device

from transformers_qwen3_asr.gpu import fused, graphs, joined
from transformers_qwen3_asr.models import audio_encoder_qwen3_asr as audio_encoder
from transformers_qwen3_asr.models import packing
from transformers_qwen3_asr.models import text_model_qwen3_asr as text_model
from transformers_qwen3_asr.pipelines import batching

#: Our ways to speed and memory, and what is to be set to do without each: (where, name, value).
LEVERS = {
    "CUDA graphs": [(graphs, "ENABLED", False)],
    "joined projections": [(joined.JOINED, "enabled", False)],
    "norms and rotary in one": [(fused.NORMS_AND_ROTARY, "enabled", False)],
    "sum and norm in one": [(fused.ADD_AND_NORM, "enabled", False)],
    "gate in one": [(fused.GATED, "enabled", False)],
    "bias and GELU in one": [(fused.BIAS_AND_GELU, "enabled", False)],
    "packing": [(text_model.Qwen3ASRTextModel, "packs", False)],
    "passes of bounded size": [(batching, "CPU_PASS_SECONDS", 1e9), (batching, "GPU_PASS_SECONDS", 1e9)],
    "block attention": [(packing, "serves", lambda query: False)],
    "channels last": [(audio_encoder, "_channels_last", lambda chunks: chunks.unsqueeze(1))],
    "small convolutions": [(audio_encoder, "CPU_CONVOLUTION_BYTES", 2**40)],
    "recomputation": [(module, "may_recompute", lambda layer: False) for module in (text_model, audio_encoder)],
    "lean norm and MLP": [
        (text_model.Qwen3ASRTextNorm, "forward", text_model.Qwen3RMSNorm.forward),
        (text_model.Qwen3ASRTextMLP, "forward", lambda self, x, lean=False: text_model.Qwen3MLP.forward(self, x)),
    ],
}


@contextlib.contextmanager
def without(*levers: str) -> Iterator[None]:
    """Ours without some of `LEVERS`."""
    settings = [setting for lever in levers for setting in LEVERS[lever]]
    before = [getattr(place, name) for place, name, _ in settings]
    for place, name, value in settings:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), value in zip(settings, before):
            setattr(place, name, value)


def worth(name: str, device: Device, call: Callable, repeats: int, levers: Iterable[str]) -> list[str]:
    """Rows: `call`, of the case `name`, without each of `levers` alone, beside it with all, in turn."""
    rows = []
    _, above = device.peak(call)
    for lever in levers:
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(repeats):
            times[True].append(device.timed(call)[0])
            with without(lever):
                times[False].append(device.timed(call)[0])
        with without(lever):
            _, other = device.peak(call)
        ratio = statistics.median(times[False]) / statistics.median(times[True])
        rows.append(f"| {name} | {lever} | {ratio:.2f} | {other or float('nan'):.2f} / {above or float('nan'):.2f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows
