"""AlignmentTrainer and what belongs to a run: losses that are not finite, checkpoints, intervals, ASR batches."""

import json

import numpy as np
import pytest
import torch
from conftest import GOLDENS
from test_training import make_rows
from transformers import (
    AutoModelForTokenClassification,
    AutoProcessor,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.processing.transcription import parse_transcription
from transformers_qwen3_asr.training import EpochCallback, SlotCollator, resume
from transformers_qwen3_asr.training.data import RowDataset, ShuffledBatchSampler
from transformers_qwen3_asr.training.schedule import Intervals
from transformers_qwen3_asr.training.trainer import AlignmentTrainer, NonFiniteLoss
from transformers_qwen3_asr.training.transcription_collator import (
    TranscriptionCollator,
    answer_head,
    transcription_sizes,
)


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(GOLDENS / "aligner")


@pytest.fixture(scope="module")
def asr():
    return AutoProcessor.from_pretrained(GOLDENS / "asr")


def named_rows(count):
    return [{**row, "id": f"labels.jsonl:{i}"} for i, row in enumerate(make_rows(count), 1)]


def arguments(folder, **options):
    settings = {
        "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "use_cpu": True,
        "remove_unused_columns": False, "label_names": ["labels"], "report_to": "none", "disable_tqdm": True,
        "save_strategy": "no", **options,
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder), **settings)


def trainer_of(folder, processor, rows, model=None, **options):
    model = model or AutoModelForTokenClassification.from_pretrained(GOLDENS / "aligner", dtype=torch.float32)
    collator = SlotCollator(processor, classify_num=model.config.num_labels, row_names=True)
    sampler = ShuffledBatchSampler(len(rows), 2, seed=3)
    return AlignmentTrainer(
        model=model,
        args=arguments(folder, **options),
        train_dataset=RowDataset(rows),
        data_collator=collator,
        batch_sampler=sampler,
        callbacks=[EpochCallback(collator, sampler)],
    )


# a loss that is not finite


class Poisoned(Qwen3ASRForTokenClassification):
    """Its loss, or its gradient alone, is NaN wherever a row of five words is in the batch."""

    backward_only = False

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        if (kwargs["labels"] != -100).sum(-1).max() == 10:
            weight = self.thinker.lm_head.weight.sum()
            # the root's slope at 0 is infinite, and 0 * inf is no number
            outputs.loss = outputs.loss + ((weight * 0).abs().sqrt() * 0 if self.backward_only else weight * np.nan)
        return outputs


@pytest.mark.parametrize(("backward_only", "what"), [(False, "loss"), (True, "gradient")])
def test_the_rows_of_a_loss_that_is_not_finite_are_named(tmp_path, processor, backward_only, what):
    rows = named_rows(10)  # every fifth has five words
    model = Poisoned.from_pretrained(GOLDENS / "aligner", dtype=torch.float32)
    model.backward_only = backward_only
    trainer = trainer_of(tmp_path, processor, rows, model=model, max_steps=5)
    with pytest.raises(NonFiniteLoss, match=f"the {what} of step") as error:
        trainer.train()
    batches = list(ShuffledBatchSampler(10, 2, seed=3))
    first = next(i for i, batch in enumerate(batches) if {4, 9} & set(batch))
    names = [[rows[i]["id"] for i in batch] for batch in batches]
    if what == "loss":
        assert error.value.row_names == names[first]
    else:  # the step's other batch belongs to the gradient as well
        assert error.value.row_names == [n for batch in names[first // 2 * 2 : first // 2 * 2 + 2] for n in batch]
    assert error.value.step == first // 2 + 1
    assert all(name in str(error.value) for name in error.value.row_names)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())  # stopped before the weights were changed


def test_row_names_do_not_change_the_training(tmp_path, processor):
    """A batch sampler of its own and names in the batch: the same weights as plain Trainer's loop over these rows."""
    rows = named_rows(8)
    trainer = trainer_of(tmp_path, processor, rows, max_steps=2, gradient_accumulation_steps=1, max_grad_norm=0.0,
                         lr_scheduler_type="constant", learning_rate=1e-2, optim="sgd")  # fmt: skip
    trainer.train()
    model = AutoModelForTokenClassification.from_pretrained(GOLDENS / "aligner", dtype=torch.float32)
    collator = SlotCollator(processor, classify_num=model.config.num_labels)
    for batch in list(ShuffledBatchSampler(8, 2, seed=3))[:2]:
        model(**collator([rows[i] for i in batch])).loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-2 * parameter.grad
        model.zero_grad()
    for (name, expected), got in zip(model.named_parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_gradient_checkpointing_changes_no_gradient(processor):
    rows = named_rows(3)
    gradients = []
    for checkpointed in (False, True):
        model = AutoModelForTokenClassification.from_pretrained(GOLDENS / "aligner", dtype=torch.float32).train()
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            layers = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
            assert len(layers) >= 4  # of the encoder and of the text model
        batch = SlotCollator(processor, classify_num=model.config.num_labels)(rows)
        model(**batch).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


# batches, checkpoints, intervals


@pytest.mark.parametrize(("rows", "size", "processes"), [(10, 3, 1), (10, 3, 4), (3, 2, 8), (8, 2, 2)])
def test_shuffled_batches(rows, size, processes):
    sampler = ShuffledBatchSampler(rows, size, seed=1, processes=processes)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler)
        assert len(sampler) % processes == 0
        assert {i for batch in epochs[-1] for i in batch} == set(range(rows))
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]
    if len(sampler) == -(-rows // size):
        assert sorted(i for batch in epochs[0] for i in batch) == list(range(rows))  # each once


def checkpoint(folder, step, complete=True):
    path = folder / f"checkpoint-{step}"
    (path / "part").mkdir(parents=True)
    (path / "weights").write_bytes(b"x" * 100)
    (path / "part" / "more").write_bytes(b"y" * 10)
    if complete:
        resume.mark_complete(path, seconds=1.5)
    return path


def test_only_whole_checkpoints_count(tmp_path):
    assert resume.last_complete(tmp_path / "nowhere") is None
    two, nine = checkpoint(tmp_path, 2), checkpoint(tmp_path, 9)
    ten = checkpoint(tmp_path, 10)
    hundred = checkpoint(tmp_path, 100, complete=False)
    (tmp_path / "checkpoint-final").mkdir()
    assert resume.last_complete(tmp_path) == ten  # by number, not by name
    assert resume.completion(ten)["seconds"] == 1.5
    (ten / "part" / "more").write_bytes(b"y" * 9)
    assert resume.last_complete(tmp_path) == nine
    (nine / "weights").unlink()
    assert resume.last_complete(tmp_path) == two
    (two / resume.MARKER).write_text("{")
    assert resume.last_complete(tmp_path) is None
    resume.mark_complete(two)
    assert resume.remove_incomplete(tmp_path) == [nine, ten, hundred]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-final"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.json"
    resume.write_json(path, {"a": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ä"}
    with pytest.raises(TypeError):
        resume.write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ä"}


@pytest.mark.parametrize(
    ("given", "max_steps", "evaluated", "saved"),
    [
        ((None, None), 25, {3, 6, 9, 12, 15, 18, 21, 24, 25}, {3, 6, 9, 12, 15, 18, 21, 24, 25}),
        ((None, None), 12000, set(range(500, 12001, 500)), set(range(500, 12001, 500))),
        ((4, None), 10, {4, 8, 10}, {4, 8, 10}),
        ((None, 4), 10, {4, 8, 10}, {4, 8, 10}),
        ((2, 4), 9, {2, 4, 6, 8, 9}, {4, 8, 9}),
    ],
)
def test_intervals(tmp_path, given, max_steps, evaluated, saved):
    args = arguments(
        tmp_path, eval_strategy="steps", save_strategy="steps", eval_steps=500, load_best_model_at_end=True
    )
    callback, state = Intervals(*given), TrainerState(max_steps=max_steps)
    callback.on_train_begin(args, state, TrainerControl())
    found = (set(), set())
    for step in range(1, max_steps + 1):
        state.global_step = step
        control = callback.on_step_end(args, state, TrainerControl())
        found[0].update([step] if control.should_evaluate else [])
        found[1].update([step] if control.should_save else [])
    assert found == (evaluated, saved)


def test_the_best_checkpoint_needs_saves_at_evaluations(tmp_path):
    args = arguments(
        tmp_path, eval_strategy="steps", save_strategy="steps", eval_steps=500, load_best_model_at_end=True
    )
    with pytest.raises(ValueError, match=r"--save-steps \(5\) must be a multiple of --eval-steps \(2\)"):
        Intervals(2, 5).on_train_begin(args, TrainerState(max_steps=9), TrainerControl())


# the ASR models' batches


def asr_rows():
    noise = np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)
    audio = [{"array": noise[:n], "sampling_rate": 16000} for n in (20000, 40000, 16000)]
    texts = (("Good morning, all!", "English"), ("你好。", "zh"), ("no one knows", None))
    return [
        {"audio": a, "text": t, "language": name, "id": f"r{i}"} for i, (a, (t, name)) in enumerate(zip(audio, texts))
    ]


def test_a_transcription_batch_is_the_prompt_and_the_answer(asr):
    rows = asr_rows()
    batch = TranscriptionCollator(asr, row_names=True)(rows)
    assert batch["row_names"] == ["r0", "r1", "r2"]
    answers = ["language English<asr_text>Good morning, all!", "language Chinese<asr_text>你好。",
               "language None<asr_text>no one knows"]  # fmt: skip
    learned = [*answers[:2], "no one knows"]  # not that there is no language
    for i, row in enumerate(rows):
        prompt = asr.apply_transcription_request(row["audio"])
        real = batch["attention_mask"][i].bool()
        ids = batch["input_ids"][i][real]
        length = prompt["input_ids"].shape[1]
        assert torch.equal(ids[:length], prompt["input_ids"][0])
        assert asr.tokenizer.decode(ids[length:]) == answers[i] + "<|im_end|>"
        labels = batch["labels"][i]
        assert (labels[~real] == -100).all()
        labels = labels[real]
        assert asr.tokenizer.decode(labels[labels != -100]) == learned[i] + "<|im_end|>"
        assert torch.equal(labels[labels != -100], ids[labels != -100])
        assert (labels[:length] == -100).all()
        frames = int(batch["input_features_mask"][i].sum())
        assert frames == prompt["input_features_mask"].sum()  # behind them a prompt is filled up to a whole chunk
        torch.testing.assert_close(batch["input_features"][i, :, :frames], prompt["input_features"][0, :, :frames])
    # a prompt that names the language is the beginning of the same tokens
    forced = asr.apply_transcription_request(rows[0]["audio"], language="English")["input_ids"][0]
    assert torch.equal(batch["input_ids"][0][: len(forced)], forced)


def test_the_loss_is_over_the_answer_alone(asr):
    """Against transformers' loss with all labels: cross-entropy of the answer's tokens, each from the one before."""
    model = Qwen3ASRForConditionalGeneration.from_pretrained(GOLDENS / "asr", dtype=torch.float32).eval()
    batch = TranscriptionCollator(asr)(asr_rows())
    with torch.no_grad():
        outputs = model(**batch)
    scores = outputs.logits[:, :-1].log_softmax(-1)
    targets = batch["labels"][:, 1:]
    picked = scores.gather(-1, targets.clamp(min=0)[..., None])[..., 0][targets != -100]
    torch.testing.assert_close(outputs.loss, -picked.mean())


def test_what_is_taught_is_what_the_published_model_writes(shared):
    """The real model's answer to a public clip, token by token, with the real vocabulary."""
    asr = AutoProcessor.from_pretrained(shared / "reference" / "asr")
    golden = json.loads((shared / "checkpoints" / "golden_transformers" / "expected_ids.json").read_text())
    silence = {"array": np.zeros(16000, np.float32), "sampling_rate": 16000}
    for answer, ids in zip(golden["transcriptions"], golden["token_ids"], strict=True):
        language, text = parse_transcription(answer.removesuffix("<|im_end|>"))
        batch = TranscriptionCollator(asr)([{"audio": silence, "text": text, "language": language}])
        assert batch["labels"][batch["labels"] != -100].tolist() == ids


@pytest.mark.parametrize(
    ("language", "head"),
    [("en", "English"), ("CANTONESE", "Cantonese"), ("hebrew", "Hebrew"), (None, "None")],
)
def test_the_head_of_an_answer_is_read_back(language, head):
    assert answer_head(language) == f"language {head}<asr_text>"
    assert parse_transcription(answer_head(language) + "x") == (None if language is None else head, "x")


def test_wrong_rows_for_transcription_are_named(asr):
    good = asr_rows()[0]
    collator = TranscriptionCollator(asr, max_length=60)
    nan = {"array": np.full(16000, np.nan, np.float32), "sampling_rate": 16000}
    for wrong, message in (
        ({**good, "text": " "}, r"row 1 \(id 'r0'\) has an empty transcript"),
        ({**good, "audio": None}, r"row 1 \(id 'r0'\) holds no audio"),
        ({**good, "audio": nan}, r"row 1 \(id 'r0'\): .*NaN"),
        ({**good, "text": "the end<|im_end|>"}, r"row 1 \(id 'r0'\): its transcript holds <\|im_end\|>"),
        ({**good, "text": "on and on " * 20}, r"row 1 \(id 'r0'\) is \d+ tokens long with its audio; .* 60"),
    ):
        with pytest.raises(ValueError, match=message):
            collator([{**good, "text": "a"}, wrong])
    with pytest.raises(ValueError, match="not an ASR model's"):
        TranscriptionCollator(
            AutoProcessor.from_pretrained(GOLDENS.parents[1] / "src/transformers_qwen3_asr/bundled/tiny-en")
        )


def test_sizes_are_those_of_the_batch(asr):
    rows = asr_rows()
    batch = TranscriptionCollator(asr)(rows)
    for i, size in enumerate(transcription_sizes(rows, asr)):
        audio = int((batch["input_ids"][i] == asr.audio_token_id).sum())
        assert size.seconds == pytest.approx(len(rows[i]["audio"]["array"]) / 16000)
        assert size.text_tokens + audio == int(batch["attention_mask"][i].sum())


# the model's side


def test_a_cache_is_refused_where_it_would_be_ignored(processor):
    model = AutoModelForTokenClassification.from_pretrained(GOLDENS / "aligner", dtype=torch.float32)
    batch = SlotCollator(processor, classify_num=model.config.num_labels)(named_rows(2))
    with torch.no_grad():
        expected = model(**batch).logits
        for value in (None, False):  # as callers say that treat all models alike
            assert torch.equal(model(**batch, use_cache=value).logits, expected)
        with pytest.raises(ValueError, match="use_cache=True is not supported"):
            model(**batch, use_cache=True)
