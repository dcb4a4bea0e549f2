"""The command `qwen3-asr train`: runs, kills, resumptions, and what it refuses."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from labelled_clips import RECORDING, write_clips
from safetensors.torch import load_file
from transformers import AutoModelForSpeechSeq2Seq, AutoModelForTokenClassification, AutoProcessor, pipeline

from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.training import resume

ALIGNER = str(ROOT / "tests" / "goldens" / "aligner")
ASR = str(ROOT / "tests" / "goldens" / "asr")
COMMON = ["--batch-size", "2", "--use-cpu", "--learning-rate", "1e-3", "--logging-steps", "1"]


def run(*arguments):
    """Runs `train` on the CPU; gives the exit status."""
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as exit:
        return exit.code


def record_of(folder):
    return json.loads((Path(folder) / "train.json").read_text(encoding="utf-8"))


def losses_of(folder):
    return [entry["loss"] for entry in record_of(folder)["log"] if "loss" in entry]


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 10)


@pytest.fixture(scope="module")
def whole_run(labels, tmp_path_factory):
    """A run of 12 steps over 10 rows, so that it ends in its third epoch."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run("--model", ALIGNER, "--train", labels, "--eval", labels, "--output", folder, *VARIED) == 0
    return folder


#: everything random at once: what is drawn must not depend on how often the process was started
VARIED = [
    *COMMON, "--max-steps", "12", "--save-steps", "4", "--slot-sample-share", "0.5", "--gain", "0.5", "--noise", "0.5",
    "--speed", "0.3", "--no-load-best-model-at-end",
]  # fmt: skip


@pytest.fixture
def fails(capsys):
    """Runs a call that must fail with status 2 and one line on stderr that begins as it should; gives the line."""

    def check(*arguments):
        assert run(*arguments) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qwen3-asr train: error: ")]
        assert len(lines) == 1
        return lines[0]

    return check


# what comes out


def test_the_output_is_a_model_in_the_published_layout(whole_run):
    names = {path.name for path in whole_run.iterdir()}
    published = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json", "vocab.json",
                 "merges.txt", "chat_template.json"}  # fmt: skip
    assert published <= names
    tensors = load_file(whole_run / "model.safetensors")
    assert tensors["thinker.lm_head.weight"].dtype == torch.bfloat16  # as the base is stored
    assert all(name.startswith("thinker.") for name in tensors)
    base = json.loads((Path(ALIGNER) / "config.json").read_text())
    saved = json.loads((whole_run / "config.json").read_text())
    assert saved["thinker_config"]["model_type"] == base["thinker_config"]["model_type"] == "qwen3_forced_aligner"
    assert saved["timestamp_token_id"] == base["timestamp_token_id"]

    model = AutoModelForTokenClassification.from_pretrained(whole_run, dtype=torch.float32)
    before = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32)
    assert not torch.equal(model.thinker.lm_head.weight, before.thinker.lm_head.weight)
    align = pipeline("forced-alignment", model=str(whole_run), device="cpu")
    words = align(str(RECORDING), text="There are four words", language="English")["chunks"]
    assert [word["text"] for word in words] == ["There", "are", "four", "words"]


def test_the_record_says_what_was_done(whole_run):
    record = record_of(whole_run)
    assert record["finished"] is True
    assert record["steps"] == 12
    assert record["rows"] == {"train": 10, "eval": 10}
    assert record["parameters"] == record["trained_parameters"] == 121632
    assert record["seconds"] > 0
    assert record["peak_memory_bytes"] > 50e6
    assert record["resumed_from"] == []
    assert record["settings"]["learning_rate"] == 1e-3
    assert record["saved_step"] == 12
    for when in ("before", "after"):
        assert {"aas_ms", "median_ms", "within_80ms", "over_1s", "loss"} <= record[when].keys()
    assert record["after"]["loss"] < record["before"]["loss"]
    assert len(losses_of(whole_run)) == 12


def test_steps_and_memory_are_printed_at_the_end(labels, tmp_path, capsys):
    output = tmp_path / "out"
    assert run("--model", ALIGNER, "--train", labels, "--output", output, "--max-steps", 1, *COMMON) == 0
    printed = capsys.readouterr().out
    assert re.search(r"1 steps on 10 rows in \d+ s, peak memory \d+\.\d\d GiB", printed)
    assert f"saved from step 1 in {output}" in printed


# going on


KILLED = """
import os, signal, sys
from transformers import Trainer
from transformers_qwen3_asr.cli.main import main

save = Trainer._save_optimizer_and_scheduler
def killed(self, folder):
    if self.state.global_step == {step}:  # the model is written, the rest is not
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, folder)
Trainer._save_optimizer_and_scheduler = killed
sys.exit(main(sys.argv[1:]))
"""


def killed_run(folder, *arguments, step=8):
    """A run in a process of its own, killed while it writes the checkpoint of `step`."""
    command = [sys.executable, "-c", KILLED.format(step=step), "train", *map(str, arguments), "--output", str(folder)]
    # sums depend on the number of threads
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == -9, done.stderr[-3000:]


def test_a_killed_run_ends_as_if_it_had_not_been(labels, whole_run, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--eval", labels, *VARIED]
    killed_run(folder, *arguments)
    # step 8 is the third of the second epoch: the checkpoint that counts lies in the middle of the first
    assert (folder / "checkpoint-8" / "model.safetensors").is_file()
    assert resume.last_complete(folder) == folder / "checkpoint-4"

    assert run(*arguments, "--output", folder) == 0
    printed = capsys.readouterr().out
    assert "checkpoint-8 was half written and is deleted" in printed
    assert "going on from checkpoint-4" in printed
    assert record_of(folder)["resumed_from"] == ["checkpoint-4"]
    assert losses_of(folder) == losses_of(whole_run)
    for name in ("checkpoint-12/model.safetensors", "model.safetensors"):
        whole, resumed = load_file(whole_run / name), load_file(folder / name)
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[key], resumed[key]) for key in whole), name
    assert record_of(folder)["after"] == record_of(whole_run)["after"]
    assert record_of(folder)["before"] == record_of(whole_run)["before"]


def test_a_checkpoint_with_a_short_file_does_not_count(labels, whole_run, tmp_path, capsys):
    """Killed twice: the second time what was written is cut short, as after a full disk."""
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--eval", labels, *VARIED]
    assert run(*arguments, "--output", folder) == 0
    weights = folder / "checkpoint-12" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    record = record_of(folder) | {"finished": False}
    (folder / "train.json").write_text(json.dumps(record))
    assert run(*arguments, "--output", folder) == 0
    assert "going on from checkpoint-8" in capsys.readouterr().out
    assert losses_of(folder) == losses_of(whole_run)
    assert load_file(folder / "model.safetensors").keys() == load_file(whole_run / "model.safetensors").keys()


def test_a_run_killed_after_its_last_step_takes_no_more(labels, whole_run, tmp_path):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--eval", labels, *VARIED]
    assert run(*arguments, "--output", folder) == 0
    (folder / "model.safetensors").unlink()
    (folder / "train.json").write_text(json.dumps(record_of(folder) | {"finished": False}))
    assert run(*arguments, "--output", folder) == 0
    assert record_of(folder)["steps"] == 12
    whole, again = load_file(whole_run / "model.safetensors"), load_file(folder / "model.safetensors")
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_finished_run_is_not_begun_again(labels, whole_run, capsys):
    before = (whole_run / "model.safetensors").stat().st_mtime_ns
    assert run("--model", ALIGNER, "--train", labels, "--eval", labels, "--output", whole_run, *VARIED) == 0
    assert "finished; --no-resume begins it again" in capsys.readouterr().out
    assert (whole_run / "model.safetensors").stat().st_mtime_ns == before


def test_more_steps_go_on_and_other_options_do_not(labels, tmp_path, fails, capsys):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--output", folder, *COMMON]
    assert run(*arguments, "--max-steps", 2) == 0
    line = fails(*arguments, "--max-steps", 4, "--freeze-encoder", "--seed", 7)
    assert "--freeze-encoder was False and is True" in line
    assert "--seed was 42 and is 7" in line
    other = write_clips(tmp_path / "others", 4)
    assert "--train was" in fails("--model", ALIGNER, "--train", other, "--output", folder, *COMMON)
    assert "--max-steps 1" in fails(*arguments, "--max-steps", 1)
    assert run(*arguments, "--max-steps", 4) == 0
    assert record_of(folder)["resumed_from"] == ["checkpoint-2"]
    assert record_of(folder)["steps"] == 4
    assert run(*arguments, "--max-steps", 4, "--no-resume") == 0
    assert record_of(folder)["resumed_from"] == []


def test_a_finished_run_is_not_taken_for_one_on_other_labels(labels, tmp_path, fails):
    rows = labels.read_text(encoding="utf-8").splitlines(keepends=True)
    changing = labels.parent / "changing.jsonl"
    changing.write_text("".join(rows), encoding="utf-8")
    arguments = ["--model", ALIGNER, "--train", changing, "--output", tmp_path / "run", *COMMON, "--max-steps", 1]
    assert run(*arguments) == 0
    changing.write_text("".join(rows[:6]), encoding="utf-8")
    assert "the rows of --train have changed" in fails(*arguments)


def test_a_run_at_its_end_is_still_evaluated(labels, tmp_path):
    arguments = ["--model", ALIGNER, "--train", labels, "--output", tmp_path / "run", *COMMON, "--max-steps", 1]
    assert run(*arguments) == 0
    assert record_of(tmp_path / "run")["after"] is None
    assert run(*arguments, "--eval", labels) == 0
    assert record_of(tmp_path / "run")["after"]["aas_ms"] > 0


def test_a_run_that_failed_before_its_first_checkpoint_may_be_begun_otherwise(labels, tmp_path, fails):
    model = broken_model(tmp_path)
    arguments = ["--train", labels, "--output", tmp_path / "run", *COMMON, "--max-steps", 1]
    assert "not finite" in fails("--model", model, *arguments)
    assert run("--model", ALIGNER, *arguments) == 0


def broken_model(folder):
    """The golden aligner with a NaN in its classifier."""
    model = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32)
    with torch.no_grad():
        model.thinker.lm_head.weight[0, 0] = float("nan")
    model.save_pretrained(folder / "broken")
    AutoProcessor.from_pretrained(ALIGNER).save_pretrained(folder / "broken")
    return folder / "broken"


def test_weights_that_cannot_be_read_and_adapters_are_one_line(labels, tmp_path, fails, capsys):
    model = broken_model(tmp_path)
    (model / "model.safetensors").write_bytes(b"nothing of the kind")
    line = fails("--model", model, "--train", labels, "--output", tmp_path / "run", *COMMON)
    assert f"--model {model}: " in line
    (model / "adapter_config.json").write_text("{}")
    assert "qwen3-asr merge" in fails("--model", model, "--train", labels, "--output", tmp_path / "run", *COMMON)
    assert main(["evaluate", "--model", str(model), "--data", str(labels)]) == 2
    assert "qwen3-asr merge" in capsys.readouterr().err
    (model / "adapter_config.json").unlink()
    assert main(["evaluate", "--model", str(model), "--data", str(labels)]) == 2
    assert f"--model {model}: " in capsys.readouterr().err


def test_resume_insists_on_a_checkpoint(labels, tmp_path, fails):
    line = fails("--model", ALIGNER, "--train", labels, "--output", tmp_path / "new", "--resume", *COMMON)
    assert "--resume: there is no checkpoint" in line


# LoRA, bins, encoder, batches, the ASR models


@pytest.mark.parametrize("lora", [(), ("--lora", 4)])
def test_the_config_names_the_languages_that_were_learned(labels, tmp_path, lora):
    rows = [json.loads(line) for line in Path(labels).read_text(encoding="utf-8").splitlines()]
    polish = Path(labels).with_name(f"polish{len(lora)}.jsonl")
    polish.write_text("\n".join(json.dumps({**row, "language": "pl"}) for row in rows), encoding="utf-8")
    known = json.loads((Path(ALIGNER) / "config.json").read_text())["support_languages"]
    arguments = [
        "--model",
        ALIGNER,
        "--train",
        labels,
        polish,
        *COMMON,
        "--max-steps",
        1,
        "--output",
        tmp_path / "run",
    ]
    assert run(*arguments, *lora) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["support_languages"] == [*known, "Polish"]


def test_lora_saves_adapters_and_a_merged_model(labels, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, *COMMON, "--lora", 4, "--max-steps", 3]
    assert run(*arguments, "--output", folder) == 0
    record = record_of(folder)
    assert record["parameters"] == 121632
    assert record["trained_parameters"] < record["parameters"] / 3
    base = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32)
    merged = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    changed = {
        name
        for (name, p), q in zip(base.named_parameters(), merged.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert {"thinker.lm_head.weight", "thinker.model.layers.0.self_attn.q_proj.weight"} <= changed
    assert any("audio_tower" in name for name in changed)
    assert not any("norm" in name or "embed" in name or "conv" in name for name in changed)

    # the adapters alone, and the merge by hand
    alone = tmp_path / "alone"
    assert run(*arguments, "--no-merge", "--output", alone) == 0
    assert not (alone / "config.json").exists()
    assert main(["merge", "--model", ALIGNER, "--adapter", str(alone / "adapter"), "--output", str(alone / "m")]) == 0
    one, other = load_file(folder / "model.safetensors"), load_file(alone / "m" / "model.safetensors")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_killed_lora_run_ends_as_if_it_had_not_been(labels, tmp_path):
    arguments = ["--model", ALIGNER, "--train", labels, *COMMON, "--lora", 4, "--max-steps", 8, "--save-steps", 3]
    killed_run(tmp_path / "killed", *arguments, step=6)
    for folder in ("killed", "whole"):
        assert run(*arguments, "--output", tmp_path / folder) == 0
    assert record_of(tmp_path / "killed")["resumed_from"] == ["checkpoint-3"]
    one, other = (load_file(tmp_path / f / "adapter" / "adapter_model.safetensors") for f in ("killed", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("lora", [(), ("--lora", 2)])
def test_finer_bins_train_and_load(labels, tmp_path, lora):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--eval", labels, *COMMON, "--max-steps", 2, *lora]
    assert run(*arguments, "--segment-ms", 20, "--classes", 600, "--output", folder) == 0
    model = AutoModelForTokenClassification.from_pretrained(folder)
    assert (model.config.timestamp_segment_time, model.config.num_labels) == (20, 600)
    assert model.thinker.lm_head.weight.shape[0] == 600
    assert AutoProcessor.from_pretrained(folder).timestamp_segment_time == 20
    assert run(*arguments, "--segment-ms", 40, "--output", tmp_path / "same-reach") == 0
    assert json.loads((tmp_path / "same-reach" / "config.json").read_text())["thinker_config"]["classify_num"] == 500


def test_a_frozen_encoder_stays(labels, tmp_path):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, *COMMON, "--max-steps", 2, "--freeze-encoder", "--bf16"]
    assert run(*arguments, "--output", folder) == 0
    base, tuned = load_file(Path(ALIGNER) / "model.safetensors"), load_file(folder / "model.safetensors")
    for name in base:
        assert torch.equal(base[name], tuned[name]) == ("audio_tower" in name or "norm" in name), name


def test_what_trainer_is_handed_acts(labels, tmp_path, fails):
    arguments = ["--model", ALIGNER, "--train", labels, *COMMON, "--max-steps", 3, "--warmup-steps", 0]
    assert run(*arguments, "--output", tmp_path / "plain") == 0
    handed = ["--lr-scheduler-type", "constant", "--weight-decay", "50", "--dataloader-num-workers", 1]
    assert run(*arguments, *handed, "--output", tmp_path / "handed") == 0

    def rates(name):
        return [entry["learning_rate"] for entry in record_of(tmp_path / name)["log"] if "loss" in entry]

    assert rates("plain") == pytest.approx([1e-3, 2e-3 / 3, 1e-3 / 3])
    assert rates("handed") == [1e-3] * 3
    plain, handed = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "handed"))
    weight = "thinker.model.embed_tokens.weight"  # most rows are of tokens that were not met: nothing but decay acts
    assert handed[weight].float().norm() < 0.95 * plain[weight].float().norm()
    assert losses_of(tmp_path / "handed")[0] == losses_of(tmp_path / "plain")[0]  # a process of its own reads the same
    assert "nowhere" in fails(*arguments, "--report-to", "nowhere", "--output", tmp_path / "reported")


def test_token_budget_join_and_checkpointed_gradients(labels, tmp_path):
    folder = tmp_path / "run"
    arguments = ["--model", ALIGNER, "--train", labels, "--output", folder, "--use-cpu", "--token-budget", 160]
    arguments += ["--join", "0.5", "--join-seconds", 4, "--gradient-checkpointing", "--epochs", 2]
    assert run(*arguments, "--gradient-accumulation-steps", 2, "--learning-rate", "1e-3") == 0
    record = record_of(folder)
    assert record["epochs"] == 2.0
    assert record["steps"] >= 2


def test_speech_recognition_is_trained_on_transcripts(labels, tmp_path):
    """No words are needed, and what is learned is the answer that the processor parses."""
    rows = [json.loads(line) for line in labels.read_text().splitlines()][:2]
    transcripts = labels.parent / "transcripts.jsonl"
    kept = [{"audio": row["audio"], "text": row["text"], "language": "en"} for row in rows]
    transcripts.write_text("".join(json.dumps(row) + "\n" for row in kept))
    folder = tmp_path / "run"
    arguments = ["--model", ASR, "--train", transcripts, "--eval", transcripts, "--output", folder, *COMMON]
    assert run(*arguments, "--max-steps", 60, "--learning-rate", "1e-2", "--eval-steps", 60) == 0
    record = record_of(folder)
    assert record["after"]["loss"] < 0.1 < record["before"]["loss"]
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    for row in rows:
        inputs = processor.apply_transcription_request(str(labels.parent / row["audio"]))
        ids = model.generate(**inputs, max_new_tokens=40, do_sample=False, eos_token_id=322)
        answer = processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=False)
        assert answer == f"language English<asr_text>{row['text']}<|im_end|>"


def test_lora_of_a_speech_recogniser(labels, tmp_path):
    folder = tmp_path / "run"
    arguments = ["--model", ASR, "--train", labels, "--output", folder, *COMMON, "--max-steps", 2, "--lora", 2]
    assert run(*arguments, "--gain", "1", "--freeze-encoder") == 0
    base, tuned = load_file(Path(ASR) / "model.safetensors"), load_file(folder / "model.safetensors")
    name = "thinker.model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(base[name], tuned[name])
    assert all(torch.equal(base[n], tuned[n]) for n in base if "audio_tower" in n)


# several processes


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(labels, tmp_path):
    """DDP on the CPU, over gloo, by the launcher and the config that the documentation names."""
    shared = ["--model", ALIGNER, "--train", str(labels), "--eval", str(labels), "--use-cpu", "--max-steps", "5",
              "--learning-rate", "1e-3", "--logging-steps", "1", "--save-steps", "5"]  # fmt: skip
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--main_process_port", "0",
               "--config_file", str(ROOT / "examples" / "accelerate" / "ddp.yaml"), "-m",
               "transformers_qwen3_asr", "train", *shared, "--batch-size", "1", "--output"]  # fmt: skip
    # beside a GPU, accelerate would let the second process wait on a second one
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, str(tmp_path / "two")], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("saved from step 5") == 1
    assert record_of(tmp_path / "two")["processes"] == 2

    assert run(*shared, "--batch-size", 2, "--output", tmp_path / "one") == 0
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "one"), rel=1e-3)
    base = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32).state_dict()
    one, two = (load_file(tmp_path / f / "checkpoint-5" / "model.safetensors") for f in ("one", "two"))
    assert one.keys() == two.keys() == base.keys()
    moved = sum(float((one[name] - base[name]).square().sum()) for name in base) ** 0.5
    apart = sum(float((one[name] - two[name]).square().sum()) for name in base) ** 0.5
    # Adam divides by the gradient's size, so that rounding shows where there is hardly any gradient
    assert apart < 0.02 * moved
    one, two = (record_of(tmp_path / folder)["after"] for folder in ("one", "two"))
    assert two["aas_ms"] == pytest.approx(one["aas_ms"], rel=0.02)


def test_the_sharding_config_names_the_layers():
    """accelerate shards on GPUs only, so that here the config can be read and compared, not run."""
    from accelerate.commands.config import load_config_from_file

    config = load_config_from_file(str(ROOT / "examples" / "accelerate" / "fsdp.yaml"))
    wrapped = config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    model = AutoModelForTokenClassification.from_pretrained(ALIGNER)
    found = {type(module).__name__ for module in model.modules()}
    assert set(wrapped) == set(type(model)._no_split_modules)
    assert set(wrapped) <= found
    assert config.distributed_type == "FSDP"


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-steps", "3", "--epochs", "2"], "--max-steps and --epochs"),
        (["--token-budget", "300", "--batch-size", "2"], "--token-budget and --batch-size"),
        (["--lora-alpha", "8"], "--lora-alpha needs --lora"),
        (["--no-merge"], "--no-merge needs --lora"),
        (["--eval-steps", "3"], "--eval-steps needs --eval"),
        (["--slot-word-share", "0.5"], "--slot-word-share needs --slot-sample-share"),
        (["--join-seconds", "5"], "--join-seconds needs --join"),
        (["--slot-sample-share", "1.5"], "--slot-sample-share is a share"),
        (["--learning-rate", "0"], "--learning-rate must be above 0"),
        (["--learning-rate", "inf"], "--learning-rate must be above 0 and finite"),
        (["--epochs", "inf"], "--epochs must be above 0 and finite"),
        (["--noise", "0.1", "--noise-recordings", "no/such.wav"], "--noise-recordings no/such.wav"),
        (["--save-total-limit", "1"], "--save-total-limit must be at least 2"),
        (["--model", "no/such/model"], "--model no/such/model"),
        (["--train", "no/such.jsonl"], "no/such.jsonl"),
        (["--model", ASR, "--segment-ms", "40"], "--segment-ms is for aligners"),
        (["--model", ASR, "--join", "0.5"], "--join is for aligners"),
        (["--token-budget", "5"], "--token-budget: the budget of 5 tokens"),
    ],
)
def test_what_makes_no_sense_is_one_line(labels, tmp_path, fails, options, message):
    arguments = ["--model", ALIGNER, "--train", str(labels), "--output", str(tmp_path / "out"), "--use-cpu"]
    assert message in fails(*arguments, *options)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_other_folders_are_left_alone(labels, tmp_path, fails):
    (tmp_path / "thesis.txt").write_text("all of it")
    assert "is not empty" in fails("--model", ALIGNER, "--train", labels, "--output", tmp_path, *COMMON)
    assert "is the folder of --model" in fails("--model", ALIGNER, "--train", labels, "--output", ALIGNER, *COMMON)


def rewritten(labels, folder, change):
    """The rows of `labels` with the third one changed, in a new file beside the recordings."""
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    change(rows[2])
    path = labels.parent / f"{folder.name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_bad_rows_are_fatal_or_left_out(labels, tmp_path, fails, capsys):
    def swap(row):
        row["words"][1]["start"] = row["words"][0]["start"] - 0.05

    bad = rewritten(labels, tmp_path, swap)
    arguments = ["--model", ALIGNER, "--train", bad, "--output", tmp_path / "out", *COMMON, "--max-steps", 1]
    line = fails(*arguments)
    assert f"{bad}:3" in line
    assert run(*arguments, "--on-bad-row", "skip") == 0
    printed = capsys.readouterr().out
    assert f"left out: {bad}:3" in printed
    assert record_of(tmp_path / "out")["rows"]["train"] == 9


def test_audio_with_nan_names_its_row(labels, tmp_path, fails):
    path = labels.parent / "nan.wav"
    samples = np.full(16000, np.nan, dtype="<f4").tobytes()
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 3, 1, 16000, 64000, 4,
                         32, b"data", len(samples))  # fmt: skip
    path.write_bytes(header + samples)
    bad = rewritten(labels, tmp_path, lambda row: row.update(audio="nan.wav"))
    arguments = ["--model", ALIGNER, "--train", bad, "--output", tmp_path / "out", *COMMON]
    for workers in (0, 1):  # a worker's error comes wrapped in its traceback
        line = fails(*arguments, "--epochs", 1, "--dataloader-num-workers", workers, "--no-resume")
        assert f"{bad}:3" in line
        assert "NaN" in line
        assert "Traceback" not in line


def test_a_clip_over_the_limit_names_its_row(labels, tmp_path, fails, capsys):
    arguments = ["--model", ALIGNER, "--train", labels, "--output", tmp_path / "out", *COMMON, "--max-steps", 1]
    line = fails(*arguments, "--classes", 12)  # 0.96 s
    assert re.search(r"rows are over the model's limit: \S+labels\.jsonl:\d+: the recording is", line)
    assert run(*arguments, "--classes", 12, "--on-bad-row", "skip") == 0
    assert "over the model's limit and left out" in capsys.readouterr().out
    assert 0 < record_of(tmp_path / "out")["rows"]["train"] < 10


def test_a_loss_that_is_not_finite_stops_and_names_the_rows(labels, tmp_path, fails):
    arguments = ["--model", ALIGNER, "--train", labels, "--output", tmp_path / "out", "--use-cpu", "--batch-size", 2]
    line = fails(*arguments, "--learning-rate", "1e30", "--max-steps", 5)
    found = re.search(r"of step (\d) is not finite; its rows are (\S+), (\S+)$", line)
    assert found and int(found[1]) > 1
    assert all(re.fullmatch(r".*labels\.jsonl:\d+", name) for name in found.groups()[1:])
    assert not (tmp_path / "out" / "model.safetensors").exists()
