"""transformers' Trainer, which stops at a loss that is not finite and says on which rows."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

ROW_NAMES = "row_names"
_SHOWN = 32


class NonFiniteLoss(ValueError):
    """The loss or its gradient was NaN or infinite; `row_names` are the rows that it was computed on."""

    def __init__(self, what: str, step: int, row_names: Sequence[str]):
        self.step = step
        self.row_names = list(row_names)
        shown = ", ".join(self.row_names[:_SHOWN]) or "not named: collate with row_names=True"
        more = f" and {len(self.row_names) - _SHOWN} more" if len(self.row_names) > _SHOWN else ""
        super().__init__(f"the {what} of step {step} is not finite; its rows are {shown}{more}")


class AlignmentTrainer(Trainer):
    """
    [`~transformers.Trainer`] for the aligner and, since nothing in it asks for slots, for the ASR models too.

    A batch may carry "row_names", a list of strings, which the model never sees. A loss or a gradient that is not
    finite raises [`NonFiniteLoss`] with these names, before the weights are changed (plain `Trainer` logs an average
    instead and goes on).

    Args:
        batch_sampler (*optional*): gives lists of row numbers for training, the same ones on every process and a
            multiple of their number, as [`TokenBudgetBatchSampler`] does; accelerate deals them out.
            `per_device_train_batch_size` then has no meaning. Give its `set_epoch` to an [`EpochCallback`].
        eval_collator (*optional*): for evaluation; default: `data_collator`.
        kwargs: [`~transformers.Trainer`]'s. `TrainingArguments` need `remove_unused_columns=False`.
    """

    def __init__(self, *args, batch_sampler=None, eval_collator=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch_sampler = batch_sampler
        self.eval_collator = eval_collator or self.data_collator
        self._step_rows: list[str] = []
        self._due: _WhileDue | None = None
        self.add_callback(_Watch(self))

    def compute_loss(self, model, inputs: dict[str, Any], return_outputs: bool = False, **kwargs):
        inputs = dict(inputs)
        names = list(inputs.pop(ROW_NAMES, ()))
        result = super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)
        loss = result[0] if return_outputs else result
        if not bool(torch.isfinite(loss.detach()).all()):
            what = "loss" if model.training else "evaluation loss"
            raise NonFiniteLoss(what, self.state.global_step + int(model.training), names)
        if model.training:
            self._step_rows += names
        return result

    def get_train_dataloader(self) -> DataLoader:
        if self.batch_sampler is None:
            return super().get_train_dataloader()
        self._due = _WhileDue(self.batch_sampler)
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._due,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
        )
        # accelerate would fill batches up to one size; these differ, and there are as many for each process
        even = self.accelerator.even_batches
        self.accelerator.even_batches = False
        try:
            return self.accelerator.prepare(loader)
        finally:
            self.accelerator.even_batches = even

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        training, self.data_collator = self.data_collator, self.eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training


class _WhileDue(torch.utils.data.Sampler[list[int]]):
    """Another sampler's batches, or none once the run is at its end."""

    batch_size = None  # says to accelerate that batches differ in size
    drop_last = False

    def __init__(self, batches):
        self.batches = batches
        self.over = False

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(()) if self.over else iter(self.batches)


class _Watch(TrainerCallback):
    """Looks at what `Trainer` does not look at."""

    def __init__(self, trainer: AlignmentTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        # Trainer looks after a step whether it was the last one. A run that goes on from its end would take one more.
        if self.trainer._due is not None and state.global_step >= state.max_steps:
            self.trainer._due.over = True

    # forward passes may be finite where backward ones are not
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if gradients:
            norm = torch.nn.utils.get_total_norm(gradients)
            norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # sharded by FSDP
            if not bool(torch.isfinite(norm)):
                raise NonFiniteLoss("gradient", state.global_step + 1, self.trainer._step_rows)
        self.trainer._step_rows = []
