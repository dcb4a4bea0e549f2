"""Int8 layers: exact sums on every processor, one answer in every batch, strict files, times as float32."""

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import GOLDENS, ROOT, SHARED
from tiny import tiny_config, tiny_inputs, widen
from torch import nn
from transformers import AutoModelForMultimodalLM, AutoModelForTokenClassification, AutoProcessor, pipeline

from transformers_qwen3_asr import Int8Config, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.checkpoints import bundled_model, int8
from transformers_qwen3_asr.checkpoints.int8 import KEPT, Int8Conv2d, Int8Linear, has_int8, int8_class, to_int8
from transformers_qwen3_asr.cli.main import main

ALIGNER = GOLDENS / "aligner"


@pytest.fixture
def folder(tmp_path):
    widen(Qwen3ASRForTokenClassification(tiny_config())).save_pretrained(tmp_path / "float")
    return tmp_path / "float"


def in_int8(folder, **options):
    return AutoModelForTokenClassification.from_pretrained(
        folder, quantization_config=Int8Config(**options), dtype=torch.float32
    )


def worst_rows():
    """Weights and activations whose sums do not fit 16 bits where neighbours are not kept small."""
    torch.manual_seed(0)
    for size in (2, 7, 160, 1024):
        for weight in (torch.ones(16, size), torch.randn(16, size), torch.eye(16, size) + 0.4):
            for x in (torch.ones(40, size), -torch.ones(40, size), torch.rand(40, size) - 0.3, torch.randn(3, size)):
                yield weight, x


def check_exact():
    for weight, x in worst_rows():
        linear = nn.Linear(weight.shape[1], len(weight))
        linear.weight.data = weight
        layer = Int8Linear.of(linear)
        rounded, step, zero = (values.double() for values in to_int8(x))
        rows = layer.weight.double() * layer.scale.double()[:, None]
        want = (rounded - zero) * step @ rows.T + linear.bias.double()
        torch.testing.assert_close(layer(x).double(), want, rtol=1e-4, atol=1e-4)
    for weight in (torch.ones(16, 9, 3, 3), torch.randn(16, 9, 3, 3)):
        convolution = nn.Conv2d(9, 16, 3, 2, padding=1)
        convolution.weight.data = weight
        layer = Int8Conv2d.of(convolution)
        for x in (torch.ones(2, 9, 7, 6), -torch.ones(2, 9, 7, 6), torch.randn(3, 9, 8, 5)):
            rounded, step, zero = (values.double() for values in to_int8(x.flatten(1)))
            images = ((rounded - zero) * step).view(x.shape)
            kernel = (layer.weight.double() * layer.scale.double()[:, None]).view(16, 3, 3, 9).permute(0, 3, 1, 2)
            want = F.conv2d(images, kernel, convolution.bias.double(), 2, 1)
            torch.testing.assert_close(layer(x).double(), want, rtol=1e-4, atol=1e-4)


def test_rounding():
    torch.manual_seed(0)
    rows = torch.randn(2000, 7) * torch.logspace(-20, 20, 2000)[:, None] + torch.randn(2000, 1)
    rows = torch.cat([rows, rows.abs(), -rows.abs(), torch.zeros(1, 7)])
    rounded, step, zero = to_int8(rows)
    assert rounded.dtype == torch.int8 and torch.equal(zero, zero.round()) and float(zero.abs().max()) <= 128
    off = ((rounded.double() - zero.double()) * step.double() - rows.double()).abs() / step.double()
    assert float(off.max()) < 0.501


def test_sums_are_exact():
    check_exact()


@pytest.mark.parametrize("processor", ["AVX2", "AVX512_CORE"])
def test_sums_are_exact_on_older_processors(processor):
    """Without VNNI two products are summed in 16 bits, and cut off where they do not fit."""
    environment = {
        **os.environ,
        "ONEDNN_MAX_CPU_ISA": processor,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path]),
    }
    command = [sys.executable, "-c", "from test_int8 import check_exact; check_exact()"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_layer_is_near_the_one_that_it_was_made_from():
    linear = nn.Linear(256, 64)
    x = torch.randn(5, 9, 256) * torch.logspace(-3, 3, 9)[:, None]  # tokens of every size
    want, got = linear(x).detach(), Int8Linear.of(linear)(x)
    assert torch.equal(linear(x), want)  # and that one is left as it was
    apart = ((got - want).norm(dim=-1) / (want - linear.bias).norm(dim=-1)).detach()
    assert got.shape == want.shape and float(apart.max()) < 0.03
    assert Int8Linear.of(linear)(x.bfloat16()).dtype == torch.bfloat16
    for empty in (torch.zeros(3, 256), torch.zeros(0, 256)):
        torch.testing.assert_close(Int8Linear.of(linear)(empty), linear(empty), rtol=0, atol=1e-6)
    assert Int8Linear.of(linear)(torch.full((1, 256), torch.nan)).isnan().all()


def test_layers_of_one_input_round_it_once(monkeypatch):
    rounded = []
    monkeypatch.setattr(int8, "to_int8", lambda rows: rounded.append(rows) or to_int8(rows))
    layers = [nn.Linear(64, size) for size in (32, 16, 16)]
    quantised = [Int8Linear.of(layer) for layer in layers]
    for x in (torch.randn(2, 5, 64), torch.randn(7, 64).bfloat16()):
        together = int8.project(x, *quantised)
        assert len(rounded) == 1
        assert all(torch.equal(got, layer(x)) for got, layer in zip(together, quantised, strict=True))
        rounded.clear()
    mixed = [quantised[0], *layers[1:]]  # some may be kept as they are
    assert all(torch.equal(*pair) for pair in zip(int8.project(x.float(), *mixed), (m(x.float()) for m in mixed)))
    with pytest.raises(ValueError, match="no gradients"):
        int8.project(torch.randn(2, 64, requires_grad=True), *quantised)


@pytest.mark.parametrize("shape", [(3, 16, 64, 50), (1, 16, 7, 4), (0, 16, 8, 8)])
@pytest.mark.parametrize("options", [{"stride": 2, "padding": 1}, {"padding": (0, 2), "bias": False}])
def test_a_convolution_is_near_the_one_that_it_was_made_from(shape, options):
    convolution = nn.Conv2d(16, 24, (3, 2), **options)
    layer, x = Int8Conv2d.of(convolution), F.gelu(torch.randn(shape))
    x *= torch.logspace(-2, 2, len(x))[:, None, None, None]  # images of every size
    for image in (x, x.contiguous(memory_format=torch.channels_last)):
        want, got = convolution(image).detach(), layer(image)
        assert got.shape == want.shape
        for near, exact in zip(got, want):
            assert float((near - exact).norm() / exact.norm()) < 0.03
    assert torch.equal(layer(x[-1:]), layer(x)[-1:])  # whatever else is in the batch
    assert layer(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"dilation": 2}, {"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}]
)
def test_convolutions_of_other_kinds_stay(options):
    assert int8_class(nn.Conv2d(4, 4, 3, padding=1)) is Int8Conv2d
    assert int8_class(nn.Conv2d(4, 4, 3, **options)) is None
    assert int8_class(nn.Conv2d(1, 4, 3)) is None


def test_what_is_left_alone(folder):
    model = in_int8(folder)
    kept = {name.rpartition(".")[2] for name, module in model.named_modules() if type(module) is nn.Linear}
    assert kept == {part for part in KEPT if "." not in part}
    assert sum(isinstance(module, Int8Linear) for module in model.modules()) > 20
    tower = model.thinker.audio_tower
    kinds = [type(layer) for layer in (tower.conv2d1, tower.conv2d2, tower.conv2d3)]
    assert kinds == [nn.Conv2d, Int8Conv2d, Int8Conv2d]
    more = in_int8(folder, modules_to_not_convert=["audio_tower", "layers.0.mlp"])
    assert isinstance(more.thinker.lm_head, Int8Linear) and not has_int8(more.thinker.audio_tower)
    layers = more.thinker.model.layers
    assert type(layers[0].mlp.up_proj) is nn.Linear and isinstance(layers[1].mlp.up_proj, Int8Linear)


def test_a_tied_head_stays_with_its_embeddings(tmp_path):
    widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None))).save_pretrained(tmp_path)
    model = AutoModelForMultimodalLM.from_pretrained(
        tmp_path, quantization_config=Int8Config(modules_to_not_convert=[]), dtype=torch.float32
    )
    assert type(model.thinker.lm_head) is nn.Linear and has_int8(model)
    assert model.thinker.lm_head.weight is model.thinker.model.embed_tokens.weight


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_batch(folder):
    model = in_int8(folder)
    inputs = tiny_inputs(model.config)
    together = model(**inputs).logits
    for row, length in enumerate(inputs["attention_mask"].sum(-1).tolist()):
        frames = int(inputs["input_features_mask"][row].sum())
        alone = model(
            input_ids=inputs["input_ids"][row : row + 1, :length],
            input_features=inputs["input_features"][row : row + 1, :, :frames],
            input_features_mask=inputs["input_features_mask"][row : row + 1, :frames],
        ).logits[0]
        spread = alone.std()
        # other roundings of float32 move single values by one of 255 steps
        assert float((together[row, :length] - alone).abs().max() / spread) < 0.05


@torch.no_grad()
def test_saved_and_loaded_strictly(folder, tmp_path):
    model = in_int8(folder)
    inputs = tiny_inputs(model.config)
    want = model(**inputs).logits
    model.save_pretrained(tmp_path / "int8")
    said = json.loads((tmp_path / "int8" / "config.json").read_text())
    assert said["quantization_config"]["quant_method"] == "dynamic_int8"
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "int8")
    assert again.dtype == torch.float32
    assert torch.equal(again(**inputs).logits, want)
    assert torch.equal(copy.deepcopy(model)(**inputs).logits, want)
    sizes = [sum(f.stat().st_size for f in place.glob("*.safetensors")) for place in (folder, tmp_path / "int8")]
    assert sizes[1] < sizes[0]
    for file in folder.glob("*.safetensors"):  # a float32 checkpoint under an int8 config
        (tmp_path / "int8" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="does not fill the model"):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "int8")


def test_what_int8_cannot_do(folder):
    model = in_int8(folder)
    inputs = tiny_inputs(model.config)
    with pytest.raises(ValueError, match="no gradients"):
        model(**inputs).logits.sum()
    with pytest.raises(ValueError, match="not on meta"):
        Int8Linear(4, 4, bias=False, device="meta")(torch.zeros(1, 4, device="meta"))
    options = {"quantization_config": Int8Config(), "device_map": "cuda"}
    with pytest.raises(ValueError, match="device_map says cuda"):
        AutoModelForTokenClassification.from_pretrained(folder, **options)
    with pytest.raises(ValueError, match="has no bits"):
        Int8Config(bits=4)
    for dtype in ("int8", torch.int8):
        with pytest.raises(ValueError, match="int8"):
            AutoModelForTokenClassification.from_pretrained(folder, dtype=dtype)
    with pytest.raises(ValueError, match="uint8"):
        AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", ["int8", torch.int8])
def test_a_pipeline_in_int8(dtype):
    pipe = pipeline("forced-alignment", model=str(ALIGNER), dtype=dtype, device="cpu")
    assert has_int8(pipe.model) and pipe.dtype == torch.float32
    again = pipeline("forced-alignment", model=pipe.model, processor=pipe.processor, dtype=dtype)
    assert again.model is pipe.model and again.device.type == "cpu"


def test_a_pipeline_means_int8_or_raises():
    model = AutoModelForTokenClassification.from_pretrained(ALIGNER)
    processor = AutoProcessor.from_pretrained(ALIGNER)
    with pytest.raises(ValueError, match="quantization_config"):
        pipeline("forced-alignment", model=model, processor=processor, dtype="int8", device="cpu")
    with pytest.raises(ValueError, match="uint8"):
        pipeline("forced-alignment", model=str(ALIGNER), dtype="uint8", device="cpu")
    with pytest.raises(ValueError, match="on a CPU, not on cuda"):
        pipeline("forced-alignment", model=str(ALIGNER), dtype="int8", device="cuda:0")


def test_the_command_in_int8(tmp_path, capsys):
    audio = str(ROOT / "examples" / "sense_and_sensibility.flac")
    arguments = [audio, "--text", "and so it was", "--model", "tiny-en", "--no-refine", "--device", "cpu"]
    assert main(["align", *arguments, "--dtype", "int8", "--output", str(tmp_path / "int8.json")]) == 0
    words = json.loads((tmp_path / "int8.json").read_text())["chunks"]
    assert [word["text"] for word in words] == ["and", "so", "it", "was"]
    assert main(["align", *arguments[:-1], "cuda", "--dtype", "int8"]) == 2
    assert "on a CPU, not on cuda" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED / "human" / "dev").is_dir(), reason="../shared/human/dev (labelled speech) is not here"
)
def test_times_are_near_those_of_float32():
    """2 ms in the mean over all starts and ends, of words heard once and twice; and as far from the labels."""
    folder = SHARED / "human" / "dev"
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [
        {
            "audio": load_audio(str(folder / row["audio"])),
            "text": " ".join(word["text"] for word in row["words"]),
            "language": "English",
        }
        for row in labels
    ]
    reference = np.array([(word["start"], word["end"]) for row in labels for word in row["words"]])
    heard, refined = [], []
    for dtype in ("float32", "int8"):
        pipe = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), dtype=dtype, device="cpu")
        for times, refine in ((heard, False), (refined, None)):
            results = pipe(rows, batch_size=8, **({} if refine is None else {"refine": refine}))
            times.append(np.array([chunk["timestamp"] for result in results for chunk in result["chunks"]]))
    apart = 1000 * np.abs(heard[0] - heard[1])
    errors = [1000 * np.abs(times - reference).mean() for times in refined]
    moved = 1000 * np.abs(refined[0] - refined[1])
    print(f"mean {apart.mean():.2f}, median {np.median(apart):.2f} ms apart; refined {moved.mean():.2f}; AAS {errors}")
    assert len(apart) > 700 and apart.mean() < 2 and moved.mean() < 2
    assert abs(errors[1] - errors[0]) < 2
