"""Fine-tune a forced aligner on your own labelled recordings, with nothing but transformers.Trainer.

    python examples/finetune_aligner.py --model tiny-en --train train.jsonl --eval eval.jsonl --output my-aligner

A line of the JSONL files is one recording (audio relative to the file, times in seconds):

    {"audio": "clip1.wav", "language": "English", "words": [{"text": "hello", "start": 0.31, "end": 0.74}, ...]}

TextGrid, CTM, Whisper's JSON and subtitles are read as well. `qwen3-asr train` does the same, and goes on after a
kill, trains LoRA adapters, augments, and names the rows when something is wrong with them.
"""

import argparse

from transformers import AutoModelForTokenClassification, AutoProcessor, Trainer, TrainingArguments

from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.formats import read_labels
from transformers_qwen3_asr.training import AlignmentMetrics, SlotCollator, slot_predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-en", help="a bundled aligner's name, a folder or a hub name")
    parser.add_argument("--train", required=True)
    parser.add_argument("--eval")
    parser.add_argument("--output", required=True)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=4, help="batches a step; 4 x 8 gives the gradients of 32")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--max-steps", type=int, default=-1)
    arguments = parser.parse_args()

    # Weights are kept in float32 while they are trained; bf16=True below would compute in bfloat16.
    model = AutoModelForTokenClassification.from_pretrained(resolve_model(arguments.model), dtype="float32")
    processor = AutoProcessor.from_pretrained(resolve_model(arguments.model))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=arguments.output,
            per_device_train_batch_size=arguments.batch_size,
            per_device_eval_batch_size=arguments.batch_size,
            gradient_accumulation_steps=arguments.accumulate,
            learning_rate=arguments.learning_rate,
            num_train_epochs=arguments.epochs,
            max_steps=arguments.max_steps,
            eval_strategy="epoch" if arguments.eval else "no",
            logging_steps=10,
            remove_unused_columns=False,  # the collator wants audio and words
            label_names=["labels"],
            report_to="none",
        ),
        train_dataset=read_labels(arguments.train),  # recordings are decoded batch by batch, in the collator
        eval_dataset=read_labels(arguments.eval) if arguments.eval else None,
        data_collator=SlotCollator(processor, classify_num=model.config.num_labels),
        compute_metrics=AlignmentMetrics(model.config.timestamp_segment_time),
        preprocess_logits_for_metrics=slot_predictions,
    )
    trainer.train()
    if arguments.eval:
        print(trainer.evaluate())
    trainer.save_model(arguments.output)
    processor.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
