"""How often a run evaluates and saves, and what it says meanwhile."""

import math
from collections.abc import Callable

from transformers import TrainerCallback

LEAST_OFTEN = 500  # steps, as TrainingArguments has it


class Intervals(TrainerCallback):
    """
    Decides when to evaluate and when to save, once the number of steps is known, and does both after the last step.

    `TrainingArguments` need the strategy "steps" for what shall happen; its own intervals are not looked at.

    Args:
        eval_steps, save_steps (`int`, *optional*): as given. One that is not given is the other; without both a tenth
            of the run, at most 500 steps. A run of a few hundred clips then loses little by a kill, and a long one
            does not write more than it learns.

    Raises `ValueError`, at the beginning of the training, where the best checkpoint is to be kept and saves do not
    fall on evaluations.
    """

    def __init__(self, eval_steps: int | None = None, save_steps: int | None = None):
        self.given = (eval_steps, save_steps)
        self.eval_steps = self.save_steps = LEAST_OFTEN

    def on_train_begin(self, args, state, control, **kwargs):
        tenth = max(1, min(LEAST_OFTEN, math.ceil(state.max_steps / 10)))
        eval_steps, save_steps = self.given
        self.eval_steps = eval_steps or save_steps or tenth
        self.save_steps = save_steps or eval_steps or tenth
        if args.load_best_model_at_end and self.save_steps % self.eval_steps:
            raise ValueError(
                f"--save-steps ({self.save_steps}) must be a multiple of --eval-steps ({self.eval_steps}) where the "
                "best checkpoint is kept; --no-load-best-model-at-end keeps the last"
            )

    def on_step_end(self, args, state, control, **kwargs):
        last = state.global_step >= state.max_steps
        control.should_evaluate = args.eval_strategy == "steps" and (last or state.global_step % self.eval_steps == 0)
        control.should_save = args.save_strategy == "steps" and (last or state.global_step % self.save_steps == 0)
        return control


class LogLines(TrainerCallback):
    """One short line for each loss and each evaluation that `Trainer` logs."""

    def __init__(self, tell: Callable[[str], None]):
        self.tell = tell

    def on_log(self, args, state, control, logs=None, **kwargs):
        logs = logs or {}
        place = f"step {state.global_step}/{state.max_steps}"
        if "loss" in logs:
            parts = [f"loss {logs['loss']:.4f}", f"learning rate {logs['learning_rate']:.2e}"]
            if logs.get("grad_norm") is not None:
                parts.append(f"gradient {logs['grad_norm']:.2f}")
            self.tell(f"{place}: {', '.join(parts)}")
        elif "eval_loss" in logs:
            self.tell(f"{place}: held out: {figures_line({k.removeprefix('eval_'): v for k, v in logs.items()})}")


def figures_line(figures: dict) -> str:
    """The figures of an evaluation that tell most, on one line."""
    shown = []
    if "aas_ms" in figures:
        shown.append(f"AAS {figures['aas_ms']:.1f} ms, median {figures['median_ms']:.1f} ms")
        shown.append(f"{100 * figures['within_80ms']:.1f} % within 80 ms, {100 * figures['over_1s']:.1f} % over 1 s")
    shown.append(f"loss {figures['loss']:.4f}")
    return ", ".join(shown)
