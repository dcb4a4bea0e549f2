"""Int8 against float32, ours both, for throughput.py: whole passes, and the layers alone."""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Callable

import torch

from transformers_qwen3_asr import ForcedAlignmentPipeline
from transformers_qwen3_asr.checkpoints.int8 import KEPT, convert
from transformers_qwen3_asr.models.audio_encoder_qwen3_asr import AttentionWindows

INT8 = "| case | float32 | int8 | int8 / float32 | logits apart, standard deviations |"
#: Root mean square distance of logits, in standard deviations. Random weights have no peaks that would hide it.
APART = 0.3


def in_int8(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of a model in int8; what stays as it is is shared."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, shared)
    convert(model, list(KEPT))
    return model


class InInt8:
    """A case of alignment by our model in float32 and in int8, in turn."""

    def __init__(self, aligning, quantised: torch.nn.Module):
        self.aligning, self.quantised = aligning, quantised
        processor, device = aligning.pair.processor, aligning.device.device
        self.pipeline = ForcedAlignmentPipeline(model=quantised, processor=processor, device=device, refine=False)

    @torch.no_grad()
    def check(self) -> str:
        inputs, word_lists = self.aligning.native_inputs()
        slots = inputs["input_ids"] == self.quantised.config.timestamp_token_id
        want, got = (m(**inputs, logits_to_keep=slots).logits for m in (self.aligning.pair.ours, self.quantised))
        self.apart = ((got - want).square().mean().sqrt() / want.std()).item()
        name = self.aligning.case.name
        if not self.apart <= APART:
            sys.exit(f"{name}: int8's logits are {self.apart:.3f} of a standard deviation apart")
        if [len(result["chunks"]) for result in self.run()] != [len(words) for words in word_lists]:
            sys.exit(f"{name}: not the same words")
        return f"{name}: int8's logits {self.apart:.3f} of a standard deviation apart"

    def run(self):
        clips, texts = self.aligning.clips, self.aligning.texts
        return self.pipeline(clips, text=texts, language=["English"] * len(clips), batch_size=len(clips))

    def rows(self, repeats: int) -> list[str]:
        """A row of audio seconds a second, and one each of the two stacks of layers alone, in passes a second."""
        seconds, name = sum(self.aligning.case.seconds), self.aligning.case.name
        rows = [self._row(name, "audio s/s", seconds, repeats, self.aligning.ours, self.run, f"{self.apart:.3f}")]
        for part in ("text model's", "encoder's"):
            passes = [self._layers(model, part) for model in (self.aligning.pair.ours, self.quantised)]
            rows.append(self._row(f"{name}: the {part} layers", "passes/s", 1, repeats, *passes, "–"))
        return rows

    def _row(
        self, name: str, unit: str, amount: float, repeats: int, plain: Callable, quantised: Callable, apart: str
    ):
        times: dict[Callable, list[float]] = {plain: [], quantised: []}
        for _ in range(repeats):
            for call, taken in times.items():
                taken.append(self.aligning.device.timed(call)[0])
        slow, fast = (statistics.median(taken) for taken in times.values())
        return f"| {name} | {amount / slow:.2f} {unit} | {amount / fast:.2f} {unit} | {slow / fast:.2f} | {apart} |"

    def _layers(self, model: torch.nn.Module, part: str) -> Callable:
        """The layers of the text model or of the encoder over as many positions as the case's clips have."""
        inputs, _ = self.aligning.native_inputs()
        mask = inputs["attention_mask"].bool()
        thinker, config = model.thinker, model.config.thinker_config
        if part == "text model's":
            states = torch.randn(*mask.shape, config.text_config.hidden_size)
            run = lambda: thinker._run_packed(states, mask, mask)  # noqa: E731
        else:
            lengths = (inputs["input_ids"] == config.audio_token_id).sum(-1).tolist()
            states = torch.randn(sum(lengths), config.audio_config.d_model)
            windows = AttentionWindows.of_lengths(lengths, config.audio_config.positions_per_window, states.device)

            def run():
                hidden = states
                for layer in thinker.audio_tower.layers:
                    hidden, _ = layer(hidden, windows)

        return torch.no_grad()(run)
