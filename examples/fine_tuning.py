"""An aligner taught by corrected times. Run in the repository's root: python examples/fine_tuning.py

It shows the steps on one recording; docs/fine-tuning.md says what a real run needs, finetune_aligner.py is one on a
page, and `qwen3-asr train` does it all.
"""

# %% Times by the aligner as it is, as a file to correct by hand
from pathlib import Path

from transformers import AutoModelForTokenClassification, AutoProcessor, Trainer, TrainingArguments, pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.formats import read_labels, write_alignment
from transformers_qwen3_asr.training import AlignmentMetrics, SlotCollator, slot_predictions

out = Path("build/examples/fine-tuning")
recording = "examples/sense_and_sensibility.flac"
text = Path("examples/sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))
write_alignment(align(recording, text=text, language="English"), out / "sense_and_sensibility.json")

# %% Corrected files are labels; recordings are found by their names
labels = read_labels(out, audio="examples")
print(len(labels), "recordings,", len(labels[0]["words"]), "words in the first")

# %% Training is transformers' own; a collator makes batches of labels
model = AutoModelForTokenClassification.from_pretrained(bundled_model("tiny-en"), dtype="float32")
processor = AutoProcessor.from_pretrained(bundled_model("tiny-en"))
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=str(out / "runs"),
        max_steps=2,
        per_device_train_batch_size=1,
        learning_rate=2e-5,
        remove_unused_columns=False,  # the collator wants audio and words
        label_names=["labels"],
        report_to="none",
    ),
    train_dataset=labels,
    eval_dataset=labels,
    data_collator=SlotCollator(processor, classify_num=model.config.num_labels),
    compute_metrics=AlignmentMetrics(model.config.timestamp_segment_time),
    preprocess_logits_for_metrics=slot_predictions,
)
trainer.train()
print({name: value for name, value in trainer.evaluate().items() if name.endswith("_ms")})

# %% What comes out is an ordinary checkpoint
model.save_pretrained(out / "my-aligner")
processor.save_pretrained(out / "my-aligner")
taught = pipeline("forced-alignment", model=str(out / "my-aligner"))
print(taught(recording, text=text)["chunks"][0])
