"""The end of a run: its model in the published layout, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig

from ..checkpoints.bundled import resolve_model
from .adapters import merge_adapter, write_base
from .settings import FineTuningSettings

ADAPTER = "adapter"
_SPEED = ("_runtime", "_per_second", "_preparation_time")


def save_result(
    trainer,
    settings: FineTuningSettings,
    description: dict[str, Any],
    load_base: Callable[[], tuple],
) -> None:
    """
    Write what was trained: the model and its processor's files in the published layout, in the dtype that the base
    model is stored in; after LoRA the adapters in `adapter/` as well, or alone where they shall not be merged.

    Every process calls this, since a sharded model is gathered from all of them; the main one writes.

    Args:
        description: [`~adapters.base_description`] of the model the training began with.
        load_base: gives that model anew, with its processor. What was gathered is put into it, so that sharded,
            wrapped and plain models are saved in one way, the strict one.
    """
    output = Path(settings.output)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if PartialState().is_main_process:
        if settings.lora is not None:
            adapted = trainer.accelerator.unwrap_model(trainer.model)
            adapted.save_pretrained(output / ADAPTER, state_dict=state)
            write_base(output / ADAPTER, description)
            (output / ADAPTER / "README.md").unlink(missing_ok=True)  # PEFT's card, with nothing filled in
        if settings.lora is None or settings.merge:
            model, processor = load_base()
            if settings.lora is None:
                model.load_state_dict(state)
            else:
                model = merge_adapter(model, output / ADAPTER)
            save_model(model, processor, output, stored_dtype(settings.model))
    PartialState().wait_for_everyone()


def save_model(model, processor, folder: str | Path, dtype: torch.dtype) -> None:
    """A model and its processor in the published layout: what AutoModel, pipelines, qwen-asr and vLLM load."""
    model.to(dtype).save_pretrained(folder)
    processor.save_pretrained(folder)


def stored_dtype(name: str) -> torch.dtype:
    """The dtype a checkpoint is stored in, float32 where its config does not say."""
    return AutoConfig.from_pretrained(resolve_model(name)).dtype or torch.float32


def figures_of(trainer, best: bool) -> dict[str, Any]:
    """
    `before` and `after`: figures on the held-out rows of the model as it came and as it is saved (`None` without such
    rows), and `saved_step`, the step it is saved from, which with `best` is the best evaluated one.
    """
    state = trainer.state
    step = state.best_global_step if best and state.best_global_step else state.global_step
    evaluations = [entry for entry in state.log_history if any(key.startswith("eval_") for key in entry)]
    at = {entry["step"]: _figures(entry) for entry in evaluations}
    return {"saved_step": step, "before": at.get(0), "after": at.get(step)}


def _figures(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix("eval_"): value
        for key, value in entry.items()
        if key.startswith("eval_") and not key.endswith(_SPEED)
    }
