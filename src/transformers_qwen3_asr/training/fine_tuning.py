"""A whole fine-tuning run, as `qwen3-asr train` does it: rows in, a model in the published layout out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers import AutoConfig, AutoProcessor, PrinterCallback, TrainingArguments, set_seed
from transformers.integrations import get_reporting_integration_callbacks

from ..checkpoints.bundled import resolve_model
from ..models.configuration_qwen3_asr import Qwen3ASRConfig
from ..models.modeling_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from . import resume, run_record
from .adapters import add_lora, base_description, import_peft
from .data import RowDataset, make_augmentation, make_batches, make_collators, measured, read_rows
from .metrics import AlignmentMetrics, slot_predictions
from .randomness import EpochCallback
from .result import figures_of, save_result
from .schedule import LEAST_OFTEN, Intervals, LogLines
from .settings import FineTuningSettings, option
from .trainer import AlignmentTrainer


def fine_tune(settings: FineTuningSettings, say: Callable[[str], None] = print) -> dict[str, Any]:
    """
    Run `settings`, or go on with a run of the same settings that was cut off.

    Args:
        say: gets a line of text now and then, on the main process.

    Returns:
        what stands in `train.json` at the end: `settings`, `rows`, `parameters`, `trained_parameters`, `steps`,
        `seconds`, `peak_memory_bytes` (and `peak_gpu_memory_bytes`), `resumed_from`, `before` and `after` (figures on
        the `eval` rows), `saved_step`, `log`, `versions`.

    Raises:
        ValueError: settings that make no sense together, labels or recordings that are wrong (the rows are named), a
            model that is not of the family, a folder with another run in it; [`NonFiniteLoss`], which names the rows.
        ImportError: LoRA without PEFT, `report_to` without its package.
    """
    settings.check()
    if settings.lora is not None:
        import_peft()
    _check_reporting(settings.report_to)
    record = run_record.read_record(settings.output)
    _check_folder(settings, record)
    config = _config(settings)
    arguments = _arguments(settings, aligner=config.num_labels is not None)
    main = PartialState().is_main_process
    tell = say if main else lambda line: None

    aligner = config.num_labels is not None
    rows = read_rows(settings, "train", aligner, tell)
    held_out = read_rows(settings, "eval", aligner, tell) if settings.eval else None
    digest, eval_digest = run_record.rows_digest(rows), held_out and run_record.rows_digest(held_out)
    if _finished(settings, record, digest, eval_digest):
        tell(f"{settings.output} holds this run, finished; --no-resume begins it again")
        return record
    checkpoint = _checkpoint(settings, record, digest, eval_digest, tell)
    done = resume.completion(checkpoint) if checkpoint else {}

    set_seed(settings.seed)
    model, processor = load_base(settings, config)
    config = model.config  # with the bins that were asked for
    rows, sizes = measured(rows, settings, "train", config, processor, tell)
    if held_out is not None:
        held_out, _ = measured(held_out, settings, "eval", config, processor, tell)
    augmentation = make_augmentation(settings, rows, sizes, config)
    batches = make_batches(settings, rows, sizes, processor, augmentation, arguments.world_size)
    collator, eval_collator = make_collators(settings, processor, config, augmentation)
    description = base_description(model)
    parameters = sum(p.numel() for p in model.parameters())
    if settings.lora is not None:
        model = add_lora(model, settings.lora, settings.lora_alpha, settings.freeze_encoder)
    elif settings.freeze_encoder:
        model.thinker.audio_tower.requires_grad_(False)

    clock = run_record.Clock(done.get("seconds", 0.0))
    earlier_peaks = done.get("peaks", {})
    record = {
        "settings": settings.as_dict(),
        "processes": arguments.world_size,
        "rows": {"train": len(rows), "eval": len(held_out or ())},
        "rows_digest": digest,
        "eval_digest": eval_digest,
        "parameters": parameters,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "resumed_from": [*done.get("resumed_from", ()), *([checkpoint.name] if checkpoint else [])],
        "versions": run_record.versions(),
        "finished": False,
    }
    if main:
        run_record.write_record(settings.output, record)
    tell(
        f"{settings.model}: {record['parameters']:,} parameters, {record['trained_parameters']:,} of them trained"
        + (f"; going on from {checkpoint.name}" if checkpoint else "")
    )

    def notes() -> dict[str, Any]:
        return {
            "seconds": clock.seconds(),
            "peaks": run_record.joined_peaks(earlier_peaks, run_record.peak_memory()),
            "resumed_from": record["resumed_from"],
        }

    trainer = AlignmentTrainer(
        model=model,
        args=arguments,
        train_dataset=RowDataset(rows),
        eval_dataset=None if held_out is None else RowDataset(held_out),
        data_collator=collator,
        eval_collator=eval_collator,
        batch_sampler=batches,
        callbacks=[
            EpochCallback(collator, batches),
            Intervals(settings.eval_steps, settings.save_steps),
            LogLines(tell),
            resume.CompleteCheckpoints(notes, processor),
        ],
        **_metrics(config),
    )
    trainer.remove_callback(PrinterCallback)  # LogLines says it shorter
    # figures of the untouched model are in the log once, also of a run that goes on
    trainer.args.eval_on_start = held_out is not None and checkpoint is None
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    step = trainer.state.global_step
    if held_out is not None and not any(e["step"] == step and "eval_loss" in e for e in trainer.state.log_history):
        trainer.evaluate()  # a run that was at its end when it was first given held-out rows

    languages = {row["language"]: None for row in rows if row.get("language")}
    save_result(trainer, settings, description, lambda: _able(*load_base(settings, config), languages))
    record |= {
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        **figures_of(trainer, arguments.load_best_model_at_end),
        **run_record.joined_peaks(earlier_peaks, run_record.peak_memory()),
        "seconds": clock.seconds(),
        "log": trainer.state.log_history,
        "finished": True,
    }
    if main:
        run_record.write_record(settings.output, record)
    PartialState().wait_for_everyone()
    return record


def load_base(settings: FineTuningSettings, config: Qwen3ASRConfig | None = None):
    """The model that training starts from, in float32 and with the bins that were asked for, and its processor."""
    config = config or _config(settings)
    name = resolve_model(settings.model)
    aligner = config.num_labels is not None
    model_class = Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration
    try:
        model = model_class.from_pretrained(name, dtype=torch.float32)
        processor = AutoProcessor.from_pretrained(name)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"--model {settings.model}: {error}") from error
    if settings.segment_ms is not None or settings.classes is not None:
        from .bins import change_bins

        change_bins(model, settings.segment_ms or model.config.timestamp_segment_time, settings.classes)
        processor.timestamp_segment_time = model.config.timestamp_segment_time
    return model, processor


def _able(model, processor, languages: Iterable[str]):
    """Model and processor, with the rows' languages among those that its config says it was trained on."""
    known = model.config.support_languages
    if known is not None:
        model.config.support_languages = [*known, *(name for name in languages if name not in known)]
    return model, processor


def _config(settings: FineTuningSettings) -> Qwen3ASRConfig:
    """The model's config, with options that are for the other kind of model refused."""
    if (Path(settings.model) / "adapter_config.json").is_file():
        raise ValueError(f"--model {settings.model} holds adapters: join them with their model by qwen3-asr merge")
    try:
        config = AutoConfig.from_pretrained(resolve_model(settings.model))
    except (OSError, ValueError) as error:
        raise ValueError(f"--model {settings.model}: {error}") from error
    if not isinstance(config, Qwen3ASRConfig):
        raise ValueError(f"--model {settings.model} is a {config.model_type} model, not of the Qwen3-ASR family")
    if config.num_labels is None:
        for name in ("segment_ms", "classes", "slot_sample_share", "join"):
            if getattr(settings, name):
                raise ValueError(f"{option(name)} is for aligners, and {settings.model} is a speech recogniser")
    return config


def _arguments(settings: FineTuningSettings, aligner: bool) -> TrainingArguments:
    batch_size = settings.per_device_train_batch_size or 8
    evaluating = bool(settings.eval)
    best = evaluating and settings.load_best_model_at_end
    return TrainingArguments(
        output_dir=settings.output,
        max_steps=settings.max_steps or -1,
        num_train_epochs=settings.num_train_epochs or 3.0,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps if settings.warmup_steps < 1 else int(settings.warmup_steps),
        weight_decay=settings.weight_decay,
        bf16=settings.bf16,
        use_cpu=settings.use_cpu,
        eval_strategy="steps" if evaluating else "no",
        save_strategy="steps",
        eval_steps=LEAST_OFTEN,  # how often is for schedule.Intervals to say
        save_steps=LEAST_OFTEN,
        save_total_limit=settings.save_total_limit,
        logging_steps=settings.logging_steps,
        load_best_model_at_end=best,
        metric_for_best_model=("aas_ms" if aligner else "loss") if best else None,
        greater_is_better=False if best else None,
        prediction_loss_only=not aligner,
        dataloader_num_workers=settings.dataloader_num_workers,
        dataloader_pin_memory=torch.cuda.is_available() and not settings.use_cpu,  # else it warns each time
        remove_unused_columns=False,  # the collators want whole rows
        label_names=["labels"],
        report_to=settings.report_to,
        disable_tqdm=True,
        seed=settings.seed,
        data_seed=settings.seed,
        **_checkpointing(settings.gradient_checkpointing),
    )


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Gradient checkpointing under the name that the installed transformers calls it by; later ones rename it."""
    if not wanted:
        return {}
    names = ("activation_checkpointing", "gradient_checkpointing")
    name = next(name for name in names if name in TrainingArguments.__dataclass_fields__)
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}}


def _check_reporting(name: str) -> None:
    """What `Trainer` does when rows are read and the model is loaded: refuse a `report_to` that it does not know
    (`ValueError`) or whose package is missing (`ImportError`)."""
    try:
        for callback in get_reporting_integration_callbacks(name):
            callback()
    except ValueError as error:
        raise ValueError(f"--report-to {name}: {error}") from error
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"--report-to {name} needs a package (pip install {name}): {error}") from error


def _metrics(config: Qwen3ASRConfig) -> dict[str, Any]:
    """What an aligner is evaluated with; an ASR model's evaluation is its loss."""
    if config.num_labels is None:
        return {}
    return {
        "compute_metrics": AlignmentMetrics(config.timestamp_segment_time),
        "preprocess_logits_for_metrics": slot_predictions,
    }


def _check_folder(settings: FineTuningSettings, record: dict[str, Any] | None) -> None:
    """Raise `ValueError` for a folder with something else in it, or with a run that is further than this one goes."""
    output = Path(settings.output)
    if record is None and output.is_dir() and any(not path.name.endswith(".part") for path in output.iterdir()):
        raise ValueError(f"--output {settings.output} is not empty and holds no run to go on with; name another one")
    if settings.resume and not resume.checkpoints(output):
        raise ValueError(f"--resume: there is no checkpoint in {settings.output}")


def _finished(settings: FineTuningSettings, record: dict[str, Any] | None, rows: str, held_out: str | None) -> bool:
    """Whether `record` is that of the very run that `settings` ask for, on the same rows, at its end."""
    if record is None or not record.get("finished") or settings.resume is False:
        return False
    if (record.get("rows_digest"), record.get("eval_digest")) != (rows, held_out):
        return False
    now = settings.as_dict()
    return all(record["settings"].get(name) == value for name, value in now.items() if name != "resume")


def _checkpoint(settings, record, digest: str, eval_digest: str | None, tell) -> Path | None:
    """The checkpoint to go on from; every process gets the main one's answer. Broken checkpoints are deleted."""
    state = PartialState()
    answer: list[Any] = [None, None]
    if state.is_main_process:
        try:
            answer[0] = _own_checkpoint(settings, record, digest, eval_digest, state.num_processes, tell)
        except ValueError as error:
            answer[1] = str(error)
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise ValueError(answer[1])
    return answer[0]


def _own_checkpoint(settings, record, digest: str, eval_digest: str | None, processes: int, tell) -> Path | None:
    if settings.resume is False:
        for path in resume.checkpoints(settings.output).values():
            shutil.rmtree(path)
        return None
    # a run that failed before its first checkpoint, on a bad row say, may be begun again in another way
    if record is not None and (record.get("finished") or resume.checkpoints(settings.output)):
        run_record.check_same_run(record, settings, digest, eval_digest, processes)
        for path in resume.remove_incomplete(settings.output):
            tell(f"{path} was half written and is deleted")
    checkpoint = resume.last_complete(settings.output)
    if checkpoint is None and settings.resume:
        raise ValueError(f"--resume: there is no whole checkpoint in {settings.output}")
    if checkpoint and settings.max_steps and settings.max_steps < resume.step_of(checkpoint):
        raise ValueError(f"--max-steps {settings.max_steps}: {checkpoint} is further; name another --output")
    return checkpoint
