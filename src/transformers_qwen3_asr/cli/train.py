"""`qwen3-asr train`: labelled recordings in, a fine-tuned model in the published layout out."""

import argparse
import os
import sys

from .common import complain, one_line, positive

EPILOG = """\
rows:    --train and --eval take JSON lines ({"audio": path, "text": transcript, "language": …,
         "words": [{"text", "start", "end"}]}, seconds), TextGrid, CTM, Whisper's JSON, SRT, VTT, or
         folders of them. A speech recogniser is trained on audio and text, without words.
output:  the model and its processor in the published layout; checkpoint-N/ to go on from; train.json
         with settings, figures, wall time and memory; with --lora the adapters in adapter/.
resume:  the same command again goes on from the last whole checkpoint.
several GPUs:  accelerate launch --config_file FILE -m transformers_qwen3_asr train …
"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "train",
        help="fine-tune an aligner or a speech recogniser on your recordings",
        description="Fine-tune an aligner or a speech recogniser. Options that transformers has, have its names.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, help="hub name, folder, or tiny-en")
    add("--train", nargs="+", required=True, metavar="FILE|FOLDER", help="labelled recordings to learn from")
    add("--eval", nargs="+", default=[], metavar="FILE|FOLDER", help="held-out ones; the best checkpoint is kept")
    add("--output", required=True, metavar="FOLDER", help="for the model, the checkpoints and train.json")

    labels = parser.add_argument_group("labels")
    labels.add_argument("--format", help="of the label files (default: by extension)")
    labels.add_argument("--audio", metavar="FILE|FOLDER", help="recordings that label files do not name")
    labels.add_argument("--language", help="of rows that do not state theirs")
    labels.add_argument("--tier", help="of TextGrid files, where it is not words or NAME - words")
    labels.add_argument("--share-times", action="store_true",
                        help="divide the time of a label of several words (a Chinese phrase): a guess")  # fmt: skip
    labels.add_argument("--on-bad-row", choices=("fail", "skip"), default="fail", help="(default: fail)")

    length = parser.add_argument_group("length and rate")
    length.add_argument("--max-steps", type=positive, metavar="N", help="steps, instead of epochs")
    length.add_argument("--epochs", "--num-train-epochs", type=float, dest="num_train_epochs", metavar="N",
                        help="passes over the rows (default: 3)")  # fmt: skip
    length.add_argument("--batch-size", "--per-device-train-batch-size", type=positive, metavar="N",
                        dest="per_device_train_batch_size", help="rows on each device (default: 8)")  # fmt: skip
    length.add_argument("--token-budget", type=positive, metavar="N",
                        help="instead: tokens a batch, with audio (about 13 a second) and padding")  # fmt: skip
    length.add_argument("--gradient-accumulation-steps", type=positive, default=1, metavar="N", help="batches a step")
    length.add_argument("--learning-rate", type=float, help="(default: 2e-5, with --lora 2e-4)")
    length.add_argument("--lr-scheduler-type", default="linear", help="(default: linear)")
    length.add_argument("--warmup-steps", type=float, default=0.0, help="steps, or a share below 1 (default: 0)")
    length.add_argument("--weight-decay", type=float, default=0.0)
    length.add_argument("--seed", type=int, default=42)

    what = parser.add_argument_group("what is trained")
    what.add_argument("--lora", type=positive, metavar="RANK", help="LoRA adapters (and an aligner's classifier) only")
    what.add_argument("--lora-alpha", type=float, help="(default: twice the rank)")
    what.add_argument("--no-merge", dest="merge", action="store_false", help="save adapters, no merged model")
    what.add_argument("--freeze-encoder", action="store_true", help="the audio encoder stays as it is")
    what.add_argument("--segment-ms", type=positive, metavar="MS", help="new milliseconds of a time class")
    what.add_argument("--classes", type=positive, metavar="N", help="new number of time classes (default: same reach)")

    variety = parser.add_argument_group("variety", "each SHARE is that of the rows, from 0 to 1 (default: 0)")
    variety.add_argument("--slot-sample-share", type=float, metavar="SHARE",
                         help="rows of which only some words are asked for (dynamic slot insertion)")  # fmt: skip
    variety.add_argument("--slot-word-share", type=float, metavar="SHARE", help="the words asked for (default: 0.5)")
    variety.add_argument("--join", type=float, default=0.0, metavar="SHARE", help="joined with other rows")
    variety.add_argument("--join-seconds", type=float, metavar="S", help="longest joined recording (default: 30)")
    variety.add_argument("--speed", type=float, default=0.0, metavar="SHARE", help="faster or slower")
    variety.add_argument("--silence", type=float, default=0.0, metavar="SHARE", help="silence before and after")
    variety.add_argument("--gain", type=float, default=0.0, metavar="SHARE", help="louder or quieter")
    variety.add_argument("--noise", type=float, default=0.0, metavar="SHARE", help="noise, 5 to 30 dB below the words")
    variety.add_argument("--noise-recordings", nargs="+", default=[], metavar="FILE", help="to take noise from, too")

    running = parser.add_argument_group("running")
    running.add_argument("--bf16", action="store_true", help="compute in bfloat16; weights are kept in float32")
    running.add_argument("--gradient-checkpointing", action="store_true", help="less memory, more time")
    running.add_argument("--use-cpu", action="store_true", help="even where there is a GPU")
    running.add_argument("--dataloader-num-workers", type=int, default=0, metavar="N")
    running.add_argument("--eval-steps", type=positive, metavar="N", help="(default: as --save-steps)")
    running.add_argument("--save-steps", type=positive, metavar="N", help="(default: a tenth of the run, at most 500)")
    running.add_argument("--logging-steps", type=positive, default=10, metavar="N")
    running.add_argument("--save-total-limit", type=positive, default=2, metavar="N", help="checkpoints (default: 2)")
    running.add_argument("--no-load-best-model-at-end", dest="load_best_model_at_end", action="store_false",
                         help="with --eval, save the last model all the same")  # fmt: skip
    running.add_argument("--report-to", default="none", help="such as tensorboard or wandb (default: none)")
    running.add_argument("--resume", action=argparse.BooleanOptionalAction,
                         help="insist on a checkpoint, or delete all (default: go on if there is one)")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains. Returns 0, or 2 after naming what was wrong in one line on stderr, or 130 when interrupted."""
    from transformers.utils import logging

    from ..training.fine_tuning import fine_tune
    from ..training.settings import FineTuningSettings

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    options = {name: value for name, value in vars(arguments).items() if name not in ("run", "verb")}
    try:
        record = fine_tune(FineTuningSettings(**options), say=lambda line: print(line, flush=True))
    except (ValueError, ImportError, OSError) as error:
        return complain("train", readable(error))
    except KeyboardInterrupt:
        complain("train", "interrupted; the same command goes on from the last checkpoint")
        return 130
    if os.environ.get("RANK", "0") == "0":
        print(summary(record, arguments.output))
    return 0


def readable(error: Exception) -> str:
    """One line, also of an error from a data loader's worker, which torch wraps in the worker's traceback."""
    text = str(error)
    if text.startswith("Caught ") and "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2] or text
        return " ".join(text.split())
    return one_line(error)


def summary(record: dict, output: str) -> str:
    """The end of a run in a few lines: figures before and after, wall time, memory."""
    from ..training.schedule import figures_line

    lines = [f"{record['steps']} steps on {record['rows']['train']} rows in {record['seconds']:.0f} s"]
    for key, name in (("peak_memory_bytes", "peak memory"), ("peak_gpu_memory_bytes", "peak GPU memory")):
        if key in record:
            lines[0] += f", {name} {record[key] / 2**30:.2f} GiB"
    for when in ("before", "after"):
        if record.get(when):
            lines.append(f"{when + ':':8}" + figures_line(record[when]))
    merged = record["settings"]["lora"] is None or record["settings"]["merge"]
    what = "saved" if merged else "adapters saved"
    lines.append(f"{what} from step {record['saved_step']} in {output if merged else os.path.join(output, 'adapter')}")
    return "\n".join(lines)
