"""What a fine-tuning run is told, and the checks that need neither data nor model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Settings that may change when a run goes on from a checkpoint. All others decide what a step does.
CHANGEABLE = frozenset(
    "output resume max_steps num_train_epochs eval eval_steps save_steps logging_steps save_total_limit"
    " dataloader_num_workers report_to gradient_checkpointing load_best_model_at_end merge".split()
)
#: Learning rates that work for the published models where none is given.
FULL_LEARNING_RATE = 2e-5
LORA_LEARNING_RATE = 2e-4


@dataclass
class FineTuningSettings:
    """
    Settings of [`~transformers_qwen3_asr.training.fine_tuning.fine_tune`]; names are those of
    [`~transformers.TrainingArguments`] where it has them.

    Args:
        model: a bundled model's name, a folder or a hub name; an aligner's or an ASR model's.
        train, eval: label files or folders, see `formats.read_labels`; `eval` may be empty.
        output: the folder for the model, the checkpoints and `train.json`.
        format, audio, language, tier, share_times: handed to `read_labels`.
        on_bad_row: "fail", or "skip" to leave bad rows out and say so.
        max_steps: steps of the optimizer; default: what `num_train_epochs` (3) takes.
        per_device_train_batch_size: rows a batch (8); or instead of it
        token_budget: tokens a batch, audio tokens, words and padding counted.
        learning_rate: default 2e-5, with LoRA 2e-4.
        warmup_steps: steps, or below 1 the share of all steps.
        lora: rank of LoRA adapters; `None` trains the weights themselves.
        lora_alpha: default twice the rank.
        merge: whether LoRA's result is also saved as a whole model.
        freeze_encoder: the audio encoder stays as it is.
        segment_ms, classes: an aligner's new milliseconds a class and number of classes.
        slot_sample_share, slot_word_share: dynamic slot insertion, see [`SlotCollator`].
        join, speed, silence, gain, noise: the share of rows that each step of the augmentation is done to, see
            `training.augmentation` and `training.mixing`; join is `Concatenation`.
        join_seconds: the longest that rows are joined to (30, and no longer than the classes reach).
        noise_recordings: recordings for `Noise`, beside white and pink noise.
        eval_steps, save_steps: default: each other, else a tenth of the run and at most 500.
        load_best_model_at_end: with `eval`, the checkpoint of the smallest mean error (an ASR model's: loss) is the
            result, not the last one.
        resume: `True`: there must be a checkpoint to go on from. `False`: begin again, checkpoints of an earlier run
            are deleted. `None`: go on where there is one.
    """

    model: str
    train: list[str]
    output: str
    eval: list[str] = field(default_factory=list)
    format: str | None = None
    audio: str | None = None
    language: str | None = None
    tier: str | None = None
    share_times: bool = False
    on_bad_row: str = "fail"
    max_steps: int | None = None
    num_train_epochs: float | None = None
    per_device_train_batch_size: int | None = None
    token_budget: int | None = None
    gradient_accumulation_steps: int = 1
    learning_rate: float | None = None
    lr_scheduler_type: str = "linear"
    warmup_steps: float = 0.0
    weight_decay: float = 0.0
    lora: int | None = None
    lora_alpha: float | None = None
    merge: bool = True
    freeze_encoder: bool = False
    segment_ms: int | None = None
    classes: int | None = None
    slot_sample_share: float | None = None
    slot_word_share: float | None = None
    join: float = 0.0
    join_seconds: float | None = None
    speed: float = 0.0
    silence: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    noise_recordings: list[str] = field(default_factory=list)
    bf16: bool = False
    gradient_checkpointing: bool = False
    use_cpu: bool = False
    eval_steps: int | None = None
    save_steps: int | None = None
    logging_steps: int = 10
    save_total_limit: int = 2
    load_best_model_at_end: bool = True
    dataloader_num_workers: int = 0
    report_to: str = "none"
    seed: int = 42
    resume: bool | None = None

    def check(self) -> None:
        """Raise `ValueError`, naming the options, for settings that make no sense together."""
        if not self.train:
            raise ValueError("--train names no label file")
        if self.on_bad_row not in ("fail", "skip"):
            raise ValueError(f"--on-bad-row must be fail or skip, not {self.on_bad_row!r}")
        for one, other in (
            ("max_steps", "num_train_epochs"),
            ("token_budget", "per_device_train_batch_size"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{option(one)} and {option(other)} say the same thing twice; give one of them")
        for name, needed in (("lora_alpha", "lora"), ("eval_steps", "eval"), ("slot_word_share", "slot_sample_share"),
                             ("join_seconds", "join"), ("noise_recordings", "noise")):  # fmt: skip
            if getattr(self, name) not in (None, []) and not getattr(self, needed):
                raise ValueError(f"{option(name)} needs {option(needed)}")
        if not self.merge and self.lora is None:
            raise ValueError("--no-merge needs --lora: a model that is trained itself has nothing to merge")
        for name in ("max_steps", "num_train_epochs", "per_device_train_batch_size", "token_budget", "lora",
                     "gradient_accumulation_steps", "learning_rate", "segment_ms", "classes", "lora_alpha",
                     "eval_steps", "save_steps", "logging_steps", "join_seconds"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{option(name)} must be above 0 and finite, not {value}")
        for name in ("warmup_steps", "weight_decay", "dataloader_num_workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{option(name)} must not be below 0, but is {getattr(self, name)}")
        for name in ("slot_sample_share", "slot_word_share", "join", "speed", "silence", "gain", "noise"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{option(name)} is a share from 0 to 1, not {getattr(self, name)}")
        if self.save_total_limit < 2:
            raise ValueError("--save-total-limit must be at least 2: while one checkpoint is written, one stays whole")
        model, output = Path(self.model), Path(self.output)
        if output.exists() and not output.is_dir():
            raise ValueError(f"--output {self.output} is a file; name a folder")
        if model.is_dir() and output.is_dir() and model.samefile(output):
            raise ValueError(f"--output {self.output} is the folder of --model; name another one")

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_LEARNING_RATE if self.lora is None else LORA_LEARNING_RATE

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def option(name: str) -> str:
    """How the command calls a setting."""
    short = {
        "per_device_train_batch_size": "batch-size",
        "num_train_epochs": "epochs",
    }
    return "--" + short.get(name, name.replace("_", "-"))
