"""LoRA adapters: where they go, saved and loaded, merged, and refused by another base."""

import json
import shutil

import pytest
import torch
from conftest import GOLDENS
from tiny import slots, tiny_config, tiny_inputs, widen

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.training.adapters import (
    BASE_FILE,
    add_lora,
    base_description,
    load_adapter,
    merge_adapter,
    write_base,
)
from transformers_qwen3_asr.training.bins import change_bins

pytest.importorskip("peft", reason="PEFT is not installed, so there are no adapters")


def base(seed=0, **config):
    torch.manual_seed(seed)
    return Qwen3ASRForTokenClassification(tiny_config(**config)).eval()


def trained(model, folder, **options):
    """Adapters with random weights, as if trained, saved in `folder`; gives the adapted model."""
    description = base_description(model)
    adapted = add_lora(model, 4, **options)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    adapted.save_pretrained(folder)
    write_base(folder, description)
    return adapted.eval()


@torch.no_grad()
def logits_of(model):
    inputs = tiny_inputs(model.config)
    return model(**inputs, logits_to_keep=slots(inputs)).logits


def test_what_is_trained():
    model = base()
    heads = model.thinker.lm_head.weight.clone()
    adapted = add_lora(model, 4)
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    layers = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in names if ".lora_" in name}
    assert {layer.rsplit(".", 1)[1] for layer in layers if "audio_tower" in layer} == {
        *("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "proj1", "proj2"),
    }
    assert {layer.rsplit(".", 1)[1] for layer in layers if "audio_tower" not in layer} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    }
    [head] = [name for name in names if ".lora_" not in name]
    assert "lm_head" in head
    assert torch.equal(dict(adapted.named_parameters())[head], heads)  # it begins as the base's


def test_a_frozen_encoder_gets_no_adapters():
    adapted = add_lora(base(), 4, freeze_encoder=True)
    assert not [n for n, p in adapted.named_parameters() if "audio_tower" in n and (p.requires_grad or "lora" in n)]


def test_the_head_of_a_speech_recogniser_stays():
    model = Qwen3ASRForConditionalGeneration(tiny_config(classes=None))
    trained_names = [n for n, p in add_lora(model, 2).named_parameters() if p.requires_grad]
    assert trained_names
    assert all(".lora_" in name for name in trained_names)


def test_saved_adapters_and_head_are_loaded_and_merged(tmp_path):
    adapted = trained(base(), tmp_path / "adapter")
    expected = logits_of(adapted)
    assert (expected - logits_of(base())).abs().max() > 0.1
    torch.testing.assert_close(logits_of(load_adapter(base(), tmp_path / "adapter")), expected)

    merged = merge_adapter(base(), tmp_path / "adapter")
    assert type(merged) is Qwen3ASRForTokenClassification
    torch.testing.assert_close(logits_of(merged), expected, rtol=1e-4, atol=1e-5)
    merged.save_pretrained(tmp_path / "merged")
    again = Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "merged")  # strict: names are the published ones
    torch.testing.assert_close(logits_of(again), expected, rtol=1e-4, atol=1e-5)


def test_adapters_bring_their_bins(tmp_path):
    adapted = trained(change_bins(base(), 40, 120), tmp_path / "adapter")
    merged = merge_adapter(base(), tmp_path / "adapter")
    assert (merged.config.timestamp_segment_time, merged.config.num_labels) == (40, 120)
    torch.testing.assert_close(logits_of(merged), logits_of(adapted), rtol=1e-4, atol=1e-5)


def test_the_dtype_a_base_is_loaded_in_does_not_matter(tmp_path):
    model = base().to(torch.bfloat16)
    assert base_description(model)["fingerprint"] == base_description(model.float())["fingerprint"]
    trained(base(), tmp_path / "adapter")
    load_adapter(base().to(torch.bfloat16), tmp_path / "adapter")


OTHERS = {
    "other weights": lambda: widen(base()),
    "another width": lambda: base(text={"intermediate_size": 80}),
    "more layers": lambda: base(text={"num_hidden_layers": 3}),
    "fewer layers": lambda: base(text={"num_hidden_layers": 1}),
    "a speech recogniser": lambda: Qwen3ASRForConditionalGeneration(tiny_config(classes=None)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_adapter_for_another_base_is_refused(tmp_path, other):
    trained(base(), tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"adapter in .* was made for another base model"):
        load_adapter(OTHERS[other](), tmp_path / "adapter")


@pytest.mark.parametrize("other", [name for name in OTHERS if name != "other weights"])
def test_an_adapter_without_our_note_is_refused_by_its_shapes(tmp_path, other):
    """As plain PEFT saves it. Other weights of the same shapes cannot be told then."""
    trained(base(), tmp_path / "adapter")
    (tmp_path / "adapter" / BASE_FILE).unlink()
    load_adapter(base(), tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"adapter in .* was made for another base model"):
        load_adapter(OTHERS[other](), tmp_path / "adapter")


def test_a_folder_without_an_adapter_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no adapter"):
        load_adapter(base(), tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_a_merge_that_fails_leaves_no_folder_that_looks_like_a_model(goldens, tmp_path, capsys, monkeypatch, there):
    output = tmp_path / "merged"
    if there:
        output.mkdir()

    def half(model, processor, folder, dtype):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        if fail:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers_qwen3_asr.training.adapters.merge_adapter", lambda model, adapter: model)
    monkeypatch.setattr("transformers_qwen3_asr.training.result.save_model", half)
    call = ["merge", "--model", str(goldens / "aligner"), "--adapter", str(tmp_path), "--output", str(output)]
    fail = True
    assert main(call) == 2 and "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == (["merged"] if there else [])
    fail = False
    assert main(call) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "merged"]


def test_merge_on_the_command_line_refuses_in_one_line(tmp_path, capsys):
    goldens = GOLDENS / "aligner"
    trained(base(), tmp_path / "adapter")
    arguments = ["merge", "--model", str(goldens), "--adapter", str(tmp_path / "adapter"), "--output"]
    assert main([*arguments, str(tmp_path / "out")]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("qwen3-asr merge: error: the adapter in")
    assert not (tmp_path / "out").exists()
    shutil.copy(tmp_path / "adapter" / BASE_FILE, tmp_path / "kept.json")
    assert main([*arguments, str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert json.loads((tmp_path / "kept.json").read_text())["classify_num"] == 50
