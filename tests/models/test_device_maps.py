"""accelerate's device maps: the same logits from every placement, and nothing left on meta."""

import pytest
import torch
from accelerate import infer_auto_device_map, init_empty_weights
from tiny import slots, tiny_config, tiny_inputs, widen

from transformers_qwen3_asr import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.checkpoints.published import PUBLISHED_MODELS, published_config

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def saved(tmp_path):
    model = widen(Qwen3ASRForTokenClassification(tiny_config()))
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model", logits(model)


def logits(model, device="cpu"):
    inputs = tiny_inputs(model.config)
    inputs = {k: v.to(device) for k, v in inputs.items()}
    with torch.no_grad():
        return model(**inputs, logits_to_keep=slots(inputs)).logits.cpu()


MAPS = {
    "auto": "auto",
    "both on disk": {"thinker.audio_tower": "disk", "thinker.model": "disk", "thinker.lm_head": "cpu"},
    "encoder on disk": {"thinker.audio_tower": "disk", "thinker.model": "cpu", "thinker.lm_head": "cpu"},
    "text and head on disk": {"thinker.audio_tower": "cpu", "thinker.model": "disk", "thinker.lm_head": "disk"},
    "one layer each on disk": {
        **{
            f"thinker.audio_tower.{part}": "cpu"
            for part in ("conv2d1", "conv2d2", "conv2d3", "conv_out", "positional_embedding", "layers.0", "ln_post",
                         "proj1", "proj2", "act")
        },
        "thinker.audio_tower.layers.1": "disk",
        "thinker.model.embed_tokens": "cpu", "thinker.model.layers.0": "disk", "thinker.model.layers.1": "cpu",
        "thinker.model.norm": "cpu", "thinker.model.rotary_emb": "cpu", "thinker.lm_head": "cpu",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_cpu_and_disk_maps(saved, tmp_path, name):
    folder, want = saved
    model = Qwen3ASRForTokenClassification.from_pretrained(
        folder, device_map=MAPS[name], offload_folder=tmp_path / "offload"
    )
    device = "cuda" if name == "auto" and torch.cuda.is_available() else "cpu"
    apart = {"atol": 1e-4, "rtol": 1e-4} if device == "cuda" else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(logits(model, device), want, **apart)
    model.save_pretrained(tmp_path / "again")
    again = Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "again")
    torch.testing.assert_close(logits(again), want)


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_two_imagined_gpus_split_no_layer(name):
    config = Qwen3ASRConfig(**published_config(name))
    model_class = Qwen3ASRForTokenClassification if config.classify_num else Qwen3ASRForConditionalGeneration
    with init_empty_weights():
        model = model_class(config)
    total = sum(p.numel() for p in model.parameters()) * 2
    device_map = infer_auto_device_map(
        model, max_memory={0: int(total * 0.6), 1: int(total * 0.9)}, dtype=torch.bfloat16,
        no_split_module_classes=model._no_split_modules,
    )  # fmt: skip
    assert set(device_map.values()) == {0, 1}
    layers = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Qwen3ASRAudioEncoderLayer", "Qwen3ASRTextLayer")
    ]
    text, audio = config.thinker_config.text_config, config.thinker_config.audio_config
    assert len(layers) == text.num_hidden_layers + audio.encoder_layers
    for layer in layers:
        inside = [place for place in device_map if place.startswith(layer + ".")]
        assert not inside, f"{layer} is split: {inside}"


def test_tables_and_rotary_buffers_after_a_start_on_meta(saved):
    """They are in no checkpoint; models loaded (always through meta) must have what a constructed one has."""
    folder, _ = saved
    loaded = Qwen3ASRForTokenClassification.from_pretrained(folder)
    built = Qwen3ASRForTokenClassification(tiny_config())
    buffers = dict(built.named_buffers())
    assert any("positional_embedding" in name for name in buffers)
    assert any("inv_freq" in name for name in buffers)
    for name, want in buffers.items():
        torch.testing.assert_close(dict(loaded.named_buffers())[name], want)
    half = loaded.config.thinker_config.audio_config.d_model // 2
    table = loaded.thinker.audio_tower.positional_embedding.positional_embedding
    angle = torch.arange(13)[:, None] * 10000.0 ** (-torch.arange(half) / (half - 1))
    torch.testing.assert_close(table, torch.cat([angle.sin(), angle.cos()], 1))


@CUDA
@pytest.mark.gpu
@pytest.mark.parametrize("device_map", ["auto", "cuda", "split"])
def test_maps_with_a_gpu(saved, device_map):
    folder, want = saved
    if device_map == "split":
        device_map = {"thinker.audio_tower": 0, "thinker.model": "cpu", "thinker.lm_head": 0}
    model = Qwen3ASRForTokenClassification.from_pretrained(folder, device_map=device_map)
    torch.testing.assert_close(logits(model, "cuda"), want, atol=1e-3, rtol=1e-3)
