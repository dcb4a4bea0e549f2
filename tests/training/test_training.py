"""Fine-tuning: labels, collator, metrics, accumulated gradients, and the example on plain Trainer."""

import json
import subprocess
import sys
import wave

import numpy as np
import pytest
import torch
from conftest import ROOT
from transformers import AutoModelForTokenClassification, AutoProcessor, Trainer, TrainerCallback, TrainingArguments

from transformers_qwen3_asr.alignment.decoding import repair_monotone
from transformers_qwen3_asr.training import (
    AlignmentMetrics,
    SlotCollator,
    accumulated_average_shift,
    slot_classes,
    slot_predictions,
)

ALIGNER = ROOT / "tests" / "goldens" / "aligner"


def word(text, start, end):
    return {"text": text, "start": start, "end": end}


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(ALIGNER)


def new_model():
    return AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32)


@pytest.fixture(scope="module")
def classes():
    return new_model().config.num_labels


def make_rows(count, seed=0):
    """Clips of noise with one to five words each, so that clips differ in slots."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        words = 1 + i % 5
        edges = np.sort(rng.uniform(0, 1.4, 2 * words)).reshape(words, 2)
        rows.append(
            {
                "audio": {"array": rng.normal(0, 0.1, 24000).astype(np.float32), "sampling_rate": 16000},
                "words": [word("word", float(start), float(end)) for start, end in edges],
                "language": "English",
            }
        )
    return rows


# labels


def test_classes_are_rounded_to_the_nearest():
    words = [word("a", 0.0, 0.039), word("b", 0.04, 0.12), word("c", 1.0, 1.07)]
    # 80 ms a class: 0.039 s is class 0.49, 0.04 s just 0.5, 0.12 s 1.5, 1 s 12.5, 1.07 s 13.375
    assert slot_classes(words, 80, 50) == [0, 0, 1, 2, 13, 13]
    assert slot_classes(words, 40, 50) == [0, 1, 1, 3, 25, 27]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([word("a", None, 1.0)], r"row 7, word 0 \('a'\): start must be a number"),
        ([word("a", 0.0, float("nan"))], r"word 0 \('a'\): end must be a number"),
        ([word("a", -0.1, 1.0)], "before the audio"),
        ([word("a", 0.5, 0.4)], "before its start"),
        (
            [word("a", 0.5, 1.0), word("b", 0.4, 1.2)],
            r"row 7, word 1 \('b'\) starts at 0.4 s, before the start of word 0 \('a'\) in front of it, 0.5 s",
        ),
        ([word("a", 0.0, 2.1)], "the audio is 2.000 s long"),
        ([word("a", 0.0, 1.99)], "beyond the last of 20 classes"),
    ],
)
def test_wrong_times_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        slot_classes(words, 80, 20, duration=2.0, row=7)


def test_a_time_may_round_past_the_end_of_the_audio():
    assert slot_classes([word("a", 0.0, 2.03)], 80, 50, duration=2.0) == [0, 25]


# collator


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_stand_at_the_slots_of_the_words(processor, classes, side):
    rows = [
        {"words": [word("Hello,", 0.2, 0.5), word("world.", 0.6, 1.0)], "audio": make_rows(1)[0]["audio"]},
        {"words": [word("So", 0.4, 0.72)], "audio": make_rows(1)[0]["audio"], "language": "english"},
    ]
    batch = SlotCollator(processor, classify_num=classes, padding_side=side)(rows)
    inputs, words = processor.prepare_forced_aligner_inputs(
        audio=[row["audio"] for row in rows], transcript=["Hello, world.", "So"], language="English", padding_side=side
    )
    assert words == [["Hello", "world"], ["So"]]
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(batch[name], inputs[name]), name
    frames = batch["input_features"].shape[-1]
    for name in ("input_features", "input_features_mask"):
        assert torch.equal(batch[name], inputs[name][..., :frames]), name
    assert not inputs["input_features_mask"][:, frames:].any()  # filled up to a whole chunk, where nothing trains
    assert torch.equal(batch["logits_to_keep"], inputs["input_ids"] == processor.timestamp_token_id)
    labels = [row[row != -100].tolist() for row in batch["labels"]]
    # 0.2 / 0.08 = 2.5 and so on; halves go up
    assert labels == [[3, 6, 8, 13], [5, 9]]
    assert (batch["input_ids"][batch["labels"] != -100] == processor.timestamp_token_id).all()


def test_precomputed_features_give_the_same_batch(processor, classes):
    rows = make_rows(3)
    collator = SlotCollator(processor, classify_num=classes)
    extract = processor.feature_extractor
    ready = [
        {"words": row["words"], "input_features": extract(row["audio"]["array"])["input_features"][0]} for row in rows
    ]
    expected, got = collator(rows), collator(ready)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_wrong_rows_are_named(processor, classes):
    collator = SlotCollator(processor, classify_num=classes)
    row = make_rows(1)[0]
    for wrong, message in (
        ({**row, "words": []}, "row 1 holds no words"),
        ({**row, "id": "x7", "words": None}, r"row 1 \(id 'x7'\) holds no words"),
        ({**row, "words": [word("—", 0.1, 0.2)]}, "row 1, word 0 .* is 0 words"),
        ({**row, "words": [word("two words", 0.1, 0.2)]}, "row 1, word 0 .* is 2 words"),
        ({**row, "words": [word("late", 0.1, 9.0)]}, "row 1, word 0 .* the audio is 1.500 s long"),
        ({"words": row["words"]}, "row 1 must hold exactly one of audio and input_features"),
        ({**row, "audio": None, "input_features": np.zeros((3, 50))}, r"row 1: input_features .* \(3, 50\)"),
        ({**row, "audio": "no/such/file.wav"}, r"row 1: .*no/such/file\.wav"),
    ):
        with pytest.raises(ValueError, match=message):
            collator([row, wrong])
    with pytest.raises(ValueError, match="classify_num"):
        SlotCollator(processor)


def test_a_word_of_a_sentence_is_one_word_of_the_aligner(processor, classes):
    """nagisa cuts つか in two when it stands alone; in the sentence that the label comes from it is one word."""
    audio = make_rows(1)[0]["audio"]
    collator = SlotCollator(processor, classify_num=classes)
    rows = [{"audio": audio, "words": [word("いつ", 0.1, 0.3), word("つか", 0.3, 0.9)], "language": "Japanese"}]
    assert (collator(rows)["labels"] != -100).sum() == 4
    rows[0]["words"][0]["text"] = "いつ かに"
    with pytest.raises(ValueError, match=r"word 0 .* is 2 words"):
        collator(rows)


# gradients


class Gradients(TrainerCallback):
    """Notes down the gradients with which the first step is taken."""

    def __init__(self):
        self.of = {}

    def on_pre_optimizer_step(self, arguments, state, control, model=None, **kwargs):
        if not self.of:
            self.of = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_step(tmp_path, processor, rows, batch_size, accumulate):
    model = new_model()
    gradients = Gradients()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulate,
            max_steps=1,
            max_grad_norm=0.0,
            remove_unused_columns=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=3,
        ),
        train_dataset=rows,
        data_collator=SlotCollator(processor, classify_num=model.config.num_labels),
        callbacks=[gradients],
    )
    trainer.train()
    return gradients.of


def test_accumulated_batches_give_the_gradients_of_the_whole(tmp_path, processor):
    rows = make_rows(32)
    whole = one_step(tmp_path, processor, rows, 32, 1)
    accumulated = one_step(tmp_path, processor, rows, 8, 4)
    assert whole.keys() == accumulated.keys()
    assert max(g.abs().max() for g in whole.values()) > 1e-3
    for name, gradient in whole.items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_clips_differ_so_much_that_a_mean_of_means_would_show(processor):
    """The test above can fail: averaging each small batch by itself gives other gradients."""
    rows = sorted(make_rows(32), key=lambda row: len(row["words"]))
    collator = SlotCollator(processor, classify_num=new_model().config.num_labels)

    def head_gradient(batches):
        model = new_model()
        for batch in batches:
            (model(**collator(batch)).loss / len(batches)).backward()
        return model.thinker.lm_head.weight.grad

    whole, parts = head_gradient([rows]), head_gradient([rows[i : i + 8] for i in range(0, 32, 8)])
    assert (whole - parts).abs().max() > 0.05 * whole.abs().max()


# metrics


def test_metrics_by_hand():
    assert accumulated_average_shift([0, 80, 160, 400]) == {"aas_ms": 160.0, "median_ms": 120.0, "within_80ms": 0.5}
    with pytest.raises(ValueError, match="no times"):
        accumulated_average_shift([])


def test_both_forms_of_logits_give_the_same_predictions():
    labels = torch.tensor([[-100, 3, 4, -100, -100], [-100, -100, 1, 2, 0]])
    logits = torch.randn(2, 5, 9)
    expected = torch.where(labels != -100, logits.argmax(-1), -100)
    assert torch.equal(slot_predictions(logits, labels), expected)
    assert torch.equal(slot_predictions((logits[labels != -100], None), labels), expected)
    with pytest.raises(ValueError, match="logits of 4 slots for 5 labels"):
        slot_predictions(logits[labels != -100][:4], labels)


@pytest.mark.parametrize("slots_only", [True, False])
def test_trainer_evaluates_without_gathering_logits(tmp_path, processor, slots_only):
    rows = make_rows(10)
    model = new_model().eval()
    seen = []

    class Watching(AlignmentMetrics):
        def __call__(self, prediction):
            seen.append(prediction)
            return super().__call__(prediction)

    collator = SlotCollator(processor, classify_num=model.config.num_labels, slots_only=slots_only)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path), per_device_eval_batch_size=4, remove_unused_columns=False, report_to="none",
            label_names=["labels"], use_cpu=True, disable_tqdm=True,
        ),
        eval_dataset=rows,
        data_collator=collator,
        compute_metrics=Watching(80),
        preprocess_logits_for_metrics=slot_predictions,
    )  # fmt: skip
    figures = trainer.evaluate()
    assert seen[0].predictions.ndim == 2
    assert seen[0].predictions.shape == seen[0].label_ids.shape

    errors = []
    with torch.inference_mode():
        for row in rows:
            batch = collator([row])
            labels = batch["labels"][batch["labels"] != -100]
            batch.pop("labels")
            batch.pop("logits_to_keep", None)
            logits = model(**batch).logits[batch["input_ids"] == processor.timestamp_token_id]
            repaired = repair_monotone((logits.argmax(-1) * 80).tolist())
            errors += (torch.tensor(repaired) - labels * 80).abs().tolist()
    assert figures["eval_aas_ms"] == pytest.approx(np.mean(errors))
    assert figures["eval_median_ms"] == pytest.approx(np.median(errors))


# example


def test_the_example_trains_on_plain_trainer(tmp_path):
    rng = np.random.default_rng(0)
    for name, words in (("a", [word("good", 0.1, 0.4), word("morning", 0.4, 0.9)]), ("b", [word("yes", 0.2, 0.5)])):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(rng.integers(-3000, 3000, 16000, dtype=np.int16).tobytes())
        with (tmp_path / "rows.jsonl").open("a") as file:
            file.write(json.dumps({"audio": f"{name}.wav", "language": "English", "words": words}) + "\n")
    command = [sys.executable, str(ROOT / "examples" / "finetune_aligner.py"), "--model", str(ALIGNER)]
    command += ["--train", str(tmp_path / "rows.jsonl"), "--eval", str(tmp_path / "rows.jsonl")]
    command += ["--output", str(tmp_path / "tuned"), "--max-steps", "1", "--batch-size", "1", "--accumulate", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "eval_aas_ms" in done.stdout
    before, after = (
        new_model(),
        AutoModelForTokenClassification.from_pretrained(tmp_path / "tuned", dtype=torch.float32),
    )
    changed = [
        n for (n, p), q in zip(before.named_parameters(), after.parameters(), strict=True) if not torch.equal(p, q)
    ]
    assert "thinker.lm_head.weight" in changed
    assert AutoProcessor.from_pretrained(tmp_path / "tuned").timestamp_token_id is not None
