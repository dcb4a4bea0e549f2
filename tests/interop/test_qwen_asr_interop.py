"""What this package saves is read by others: qwen-asr 0.0.6 with the same logits, and vLLM by its weight names.

qwen-asr pins transformers 4.57.6, so it runs in an environment of its own. `QWEN_ASR_PYTHON` names that environment's
interpreter (`make test-interop` makes one); without it the tests that need it are skipped, the others are not.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDENS, ROOT
from goldens.clips import load_clip
from safetensors import safe_open
from transformers import (
    AutoModelForMultimodalLM,
    AutoModelForTokenClassification,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    pipeline,
)

import transformers_qwen3_asr

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from conversion.convert import to_hf  # noqa: E402

INTERPRETER = os.environ.get("QWEN_ASR_PYTHON")
needs_qwen_asr = pytest.mark.skipif(
    not INTERPRETER, reason="QWEN_ASR_PYTHON does not name the interpreter of an environment with qwen-asr==0.0.6"
)
AUTO = {"aligner": AutoModelForTokenClassification, "asr": AutoModelForMultimodalLM}
# below one attention window, which qwen-asr heeds only with flash attention
CLIP = "made:13:32000"


def save(kind, how, folder, tmp_path):
    """A golden checkpoint, loaded by this package and saved in one of the ways people save."""
    source = GOLDENS / kind
    if "hf" in how:
        source = tmp_path / "hf"
        to_hf(GOLDENS / kind, source)
    model = AUTO[kind].from_pretrained(source)  # as stored: bfloat16
    if "trainer" in how:
        arguments = TrainingArguments(output_dir=str(tmp_path / "runs"), report_to=[], use_cpu=True)
        Trainer(model=model, args=arguments).save_model(str(folder))
    else:
        model.save_pretrained(folder, max_shard_size="60KB" if "sharded" in how else "5GB")
    AutoProcessor.from_pretrained(source).save_pretrained(folder)
    return model


def keys_of(folder):
    keys = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            keys += file.keys()
    return keys


def prompt_of(kind, processor):
    if kind == "aligner":
        return processor.slot_prompt(["one", "two", "drei"])
    turns = [{"role": "user", "content": [{"type": "audio", "audio": ""}]}]
    return processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)


@needs_qwen_asr
@torch.no_grad()
@pytest.mark.parametrize("how", ["plain", "sharded", "from hf", "from hf, sharded", "trainer"])
@pytest.mark.parametrize("kind", ["aligner", "asr"])
def test_qwen_asr_loads_what_is_saved(kind, how, tmp_path):
    saved = tmp_path / "saved"
    save(kind, how, saved, tmp_path)
    assert len(list(saved.glob("model*.safetensors"))) > 1 or "sharded" not in how
    processor = AutoProcessor.from_pretrained(GOLDENS / kind)
    audio = load_clip(CLIP)
    prompt = prompt_of(kind, processor)
    np.savez(tmp_path / "in.npz", audio=audio, prompt=prompt)
    command = [INTERPRETER, str(HERE / "qwen_asr_side.py"), str(saved), tmp_path / "in.npz", tmp_path / "out.npz"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = np.load(tmp_path / "out.npz")
    facts = json.loads(str(answer["facts"]))
    assert facts["transformers"].startswith("4.")
    tied = ["thinker.lm_head.weight"] if kind == "asr" else []
    assert set(facts["missing"]) <= set(tied) and not facts["unexpected"] and not facts["mismatched"]
    assert facts["rope_theta"] == 1000000
    assert facts["model_type"] == ("qwen3_forced_aligner" if kind == "aligner" else "qwen3_asr")
    if kind == "aligner":
        assert facts["timestamp_token_id"] == processor.timestamp_token_id
    if "hf" not in how:
        assert facts["languages"] == ["Chinese", "English", "French", "German", "Spanish"]

    inputs = processor(text=[prompt], audio=[audio])
    assert inputs["input_ids"].tolist() == answer["input_ids"].tolist()
    model = AUTO[kind].from_pretrained(GOLDENS / kind, dtype=torch.float32, attn_implementation="eager").eval()
    expected = model(**inputs).logits
    torch.testing.assert_close(torch.from_numpy(answer["logits"]), expected, atol=1e-3, rtol=0)


@needs_qwen_asr
def test_finer_times_are_the_same_in_qwen_asr(tmp_path):
    """A model of 20 ms classes, fine-tuned by the command from one of 80 ms, through both packages' front doors."""
    from labelled_clips import RECORDING, write_clips

    from transformers_qwen3_asr.cli.main import main

    labels = write_clips(tmp_path / "clips", 4)
    arguments = ["--model", GOLDENS / "aligner", "--train", labels, "--output", tmp_path / "out", "--use-cpu"]
    arguments += ["--segment-ms", 20, "--max-steps", 2, "--batch-size", 2, "--learning-rate", 1e-3]
    assert main(["train", *map(str, arguments)]) == 0
    fine = []
    for folder in (tmp_path / "out", transformers_qwen3_asr.bundled_model("tiny-en")):
        text = RECORDING.with_suffix(".txt").read_text(encoding="utf-8").strip()
        command = [INTERPRETER, str(HERE / "qwen_asr_times.py"), str(folder), str(RECORDING), text, "English"]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        theirs = json.loads(done.stdout.splitlines()[-1])
        align = pipeline("forced-alignment", model=str(folder), dtype=torch.float32, device="cpu")
        ours = align(str(RECORDING), text=text, language="English", decoding="argmax")["chunks"]
        assert [[chunk["text"], *chunk["timestamp"]] for chunk in ours] == theirs
        fine.append(any(round(1000 * time) % 80 for _, *times in theirs for time in times))
    assert fine[-1]  # two steps of training may leave the other's peaks at multiples of 80 ms


# vLLM's WeightsMapper for the aligner, as its page prints it: the first prefix that fits is replaced
VLLM_PREFIXES = {
    "thinker.lm_head.": "classifier.",
    "thinker.model.": "language_model.model.",
    "thinker.": "",
}


def vllm_name(key):
    for prefix, replacement in VLLM_PREFIXES.items():
        if key.startswith(prefix):
            return replacement + key[len(prefix) :]
    return key


def vllm_parameters(config):
    """Every checkpoint tensor that vLLM's aligner takes, by its own names: tower, Qwen3 model and classifier.

    Written out from the architecture, not taken from this package's model.
    """
    weight_and_bias = ("weight", "bias")
    audio, text = config.thinker_config.audio_config, config.get_text_config()
    names = {"classifier.weight", "language_model.model.embed_tokens.weight", "language_model.model.norm.weight"}
    for layer in range(text.num_hidden_layers):
        stem = f"language_model.model.layers.{layer}."
        attention = ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")
        names |= {f"{stem}self_attn.{part}.weight" for part in attention}
        names |= {f"{stem}mlp.{part}.weight" for part in ("gate_proj", "up_proj", "down_proj")}
        names |= {f"{stem}{part}.weight" for part in ("input_layernorm", "post_attention_layernorm")}
    names |= {f"audio_tower.{part}.{p}" for part in ("conv2d1", "conv2d2", "conv2d3") for p in weight_and_bias}
    names |= {f"audio_tower.{part}.{p}" for part in ("ln_post", "proj1", "proj2") for p in weight_and_bias}
    names.add("audio_tower.conv_out.weight")
    for layer in range(audio.encoder_layers):
        stem = f"audio_tower.layers.{layer}."
        parts = [f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")]
        parts += ["self_attn_layer_norm", "final_layer_norm", "fc1", "fc2"]
        names |= {f"{stem}{part}.{p}" for part in parts for p in weight_and_bias}
    return names


@pytest.mark.parametrize("how", ["plain", "sharded", "from hf", "trainer"])
def test_saved_keys_pass_vllms_mapper(how, tmp_path):
    model = save("aligner", how, tmp_path / "saved", tmp_path)
    keys = keys_of(tmp_path / "saved")
    assert len(keys) == len(set(keys))
    assert all(key.startswith("thinker.") for key in keys)
    assert {vllm_name(key) for key in keys} == vllm_parameters(model.config)
    config = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    # what vLLM's config classes read
    assert config["model_type"] == "qwen3_asr"
    assert config["architectures"] == ["Qwen3ASRForcedAlignerForTokenClassification"]
    assert config["thinker_config"]["model_type"] == "qwen3_forced_aligner"
    assert config["thinker_config"]["classify_num"] == 250
    text = config["thinker_config"]["text_config"]
    assert text["rope_theta"] == 1000000 and sum(text["rope_scaling"]["mrope_section"]) == text["head_dim"] // 2


@pytest.mark.parametrize("kind", ["aligner", "asr"])
def test_everything_saved_loads_here_again(kind, tmp_path):
    """The saved folder, from the -hf layout and in shards, fills this package's model."""
    save(kind, "from hf, sharded", tmp_path / "saved", tmp_path)
    again = AUTO[kind].from_pretrained(tmp_path / "saved")
    first = AUTO[kind].from_pretrained(GOLDENS / kind)
    assert type(again).__module__.startswith(transformers_qwen3_asr.__name__)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
