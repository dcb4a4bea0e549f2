"""How fast the aligner is, beside transformers' own classes: `python benchmarks/throughput.py --device cpu|cuda`; and
with `--host` what the processor does around the model.

Both models have the same random weights in the published 0.6B shapes, made here; nothing is downloaded or read. The
same clips (noise) and texts go through both in turn, in one process: from float32 samples in memory to words' times,
ours by its pipeline, transformers' by its processor, model and processor, the whole list as one batch. What the texts
are made of is a stand-in for the published vocabulary, so that times mean nothing; amounts of work are the real ones.

Before anything is timed, both models get the same inputs, and their logits must agree. The median of the repetitions
is given. Prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from throughput_host import HOST, Around
from throughput_int8 import INT8, InInt8, in_int8
from throughput_levers import LEVERS, without, worth
from throughput_measuring import Device, Split, arithmetic
from throughput_models import TOKEN_IDS, Pair, make_pair, waveform, words
from throughput_qwen_asr import QwenASR
from throughput_stream import STREAMING, Streaming
from transformers.models.qwen3_asr.processing_qwen3_asr import _fix_timestamps

from transformers_qwen3_asr.alignment.decoding import repair_monotone
from transformers_qwen3_asr.checkpoints.published import to_published_name

TIMESTAMP = TOKEN_IDS["<timestamp>"]
WORDS_A_SECOND = 2.5
STREAMS = 1 if torch.cuda.is_available() else 2  # repetitions of one: make gpu-check has eight minutes for all
#: How far logits may be apart in bfloat16, in standard deviations of the logits: root mean square, and at most.
APART = (0.03, 0.3)


@dataclass(frozen=True)
class Case:
    """Clips of so many seconds, aligned or trained on as one batch, or as a stream of batches; or slots to repair."""

    name: str
    seconds: tuple[float, ...] = ()
    training: bool = False
    slots: int = 0
    batch: int = 0


def _spread(count: int, shortest: float, longest: float) -> tuple[float, ...]:
    """Lengths evenly between two, shuffled as they come in life."""
    lengths = np.linspace(shortest, longest, count)
    return tuple(np.random.default_rng(0).permutation(lengths).round(2).tolist())


REPAIR = Case("repair of 10,000 slots", slots=10_000)
CASES = {
    "cpu": {
        "single": Case("one 20 s clip", (20,)),
        "mixed": Case("mixed 8, 3 to 30 s", _spread(8, 3, 30)),
        "repair": REPAIR,
        "training": Case("training step, mixed 4, 3 to 20 s", _spread(4, 3, 20), training=True),
        "stream": Case("stream of 8 × 5 s, batches of 2", (5,) * 8, batch=2),
    },
    "cuda": {
        "minutes": Case("64 × 60 s", (60,) * 64),
        "mixed": Case("mixed 64, 3 to 60 s", _spread(64, 3, 60)),
        "single": Case("one 30 s clip", (30,)),
        "long": Case("one 300 s clip", (300,)),
        "repair": REPAIR,
        "training": Case("training step, mixed 16, 3 to 30 s", _spread(16, 3, 30), training=True),
        "stream": Case("stream of 320 × 60 s, batches of 64", (60,) * 320, batch=64),
    },
}
TINY_CASES = {
    "single": Case("one 2 s clip", (2,)),
    "mixed": Case("mixed 3, 1 to 9 s", (1, 9, 4)),
    "repair": Case("repair of 200 slots", slots=200),
    "training": Case("training step, mixed 2, 1 to 3 s", (3, 1), training=True),
    "stream": Case("stream of 6 × 2 s, batches of 2", (2,) * 6, batch=2),
}
HOST_CASES = {"minutes": CASES["cuda"]["minutes"], "single": CASES["cuda"]["single"]}
TINY_HOST_CASES = {"minutes": Case("3 × 8 s", (8,) * 3), "single": Case("one 9 s clip", (9,))}
ALIGNING = (
    "| case | ours, audio s/s | native, audio s/s | qwen-asr, audio s/s | ours / native | peak GiB, ours / native "
    "| of the arithmetic's speed, ours / native | inputs · encoder · LM · head · decode in %, ours | the same, native "
    "|"
)
TRAINING = (
    "| case | ours, steps/s | native, steps/s | ours / native | peak GiB, ours / native | of it above the weights, "
    "ours / native | loss, ours / native |"
)
WORTH = "| case | ours without | time, times ours | GiB above the weights, without / ours |"
REPAIRING = "| case | ours, ms | native, ms | native / ours |"


def rule(header: str) -> str:
    return header + "\n" + "|---" * (header.count("|") - 1) + "|"


def gib(*values: float | None) -> str:
    return " / ".join("–" if value is None else f"{value:.2f}" for value in values)


class Aligning:
    """One case of alignment on both models."""

    def __init__(self, pair: Pair, case: Case, device: Device, other: QwenASR | None = None):
        self.pair, self.case, self.device, self.other = pair, case, device, other
        self.clips = [waveform(s, i) for i, s in enumerate(case.seconds)]
        self.texts = [words(max(1, round(WORDS_A_SECOND * s)), i) for i, s in enumerate(case.seconds)]
        self.pipeline = pair.pipeline

    def native_inputs(self):
        inputs, word_lists = self.pair.native_processor.prepare_forced_aligner_inputs(
            audio=self.clips, transcript=self.texts, language="English"
        )
        return inputs.to(self.device.device, self.pair.native.dtype), word_lists

    @torch.no_grad()
    def native(self):
        inputs, word_lists = self.native_inputs()
        logits = self.pair.native(**inputs).logits
        return self.pair.native_processor.decode_forced_alignment(
            logits, inputs["input_ids"], word_lists, TIMESTAMP, 80
        )

    def ours(self):
        return self.pipeline(self.clips, text=self.texts, language=["English"] * len(self.clips),
                             batch_size=len(self.clips))  # fmt: skip

    @torch.no_grad()
    def check(self) -> str:
        """Both models on the same inputs; `SystemExit` where their logits are not the same at audio and words."""
        inputs, word_lists = self.native_inputs()
        tokens = inputs["attention_mask"].bool()
        want = self.pair.native(**inputs).logits
        mean, most = 0.0, 0.0
        # at all tokens and, as the pipeline asks, at the slots alone
        for kept in (tokens, inputs["input_ids"] == TIMESTAMP):
            apart = self.pair.ours(**inputs, logits_to_keep=kept).logits.float() - want[kept].float()
            apart /= want[kept].float().std()
            mean, most = max(mean, apart.square().mean().sqrt().item()), max(most, apart.abs().max().item())
        if not (mean <= APART[0] and most <= APART[1]):
            sys.exit(f"{self.case.name}: logits are {mean:.3f} apart, {most:.3f} at most; not the same model")
        counts = [len(result["chunks"]) for result in self.ours()]
        if counts != [len(w) for w in word_lists]:
            sys.exit(f"{self.case.name}: not the same words")
        # of qwen-asr the words alone: it keeps the encoder's windows apart only with flash attention
        if self.other is not None and self.other.align(self.clips, self.texts)[1] != counts:
            sys.exit(f"{self.case.name}: not qwen-asr's words")
        return f"{self.case.name}: logits {mean:.4f} of a standard deviation apart, {most:.3f} at most"

    def row(self, repeats: int, rate: float) -> str:
        seconds, config = sum(self.case.seconds), self.pair.ours.config
        times: dict[str, list[float]] = {"ours": [], "native": [], "qwen-asr": []}
        for _ in range(repeats):
            times["native"].append(self.device.timed(self.native)[0])
            times["ours"].append(self.device.timed(self.ours)[0])
            if self.other is not None:
                times["qwen-asr"].append(self.other.align(self.clips, self.texts)[0])
        third = f"{seconds / statistics.median(times['qwen-asr']):.2f}" if self.other is not None else "–"
        ours, native = (statistics.median(times[name]) for name in ("ours", "native"))
        thinker, other = self.pair.ours.thinker, self.pair.native
        peaks, splits = [], []
        for call, parts, processor in (
            (self.ours, (thinker.audio_tower, thinker.audio_tower.proj2, thinker.model, thinker.lm_head),
             self.pair.processor),
            (self.native, (other.model.audio_tower, other.model.multi_modal_projector, other.model.language_model,
                           other.score), self.pair.native_processor),
        ):  # fmt: skip
            split = Split(self.device, *parts, processor)
            peaks.append(self.device.peak(lambda call=call, split=split: split.of(call))[0])
            splits.append(str(split))
        inputs, _ = self.native_inputs()
        rows = zip(self.case.seconds, inputs["attention_mask"].sum(-1).tolist(),
                   (inputs["input_ids"] == TIMESTAMP).sum(-1).tolist())  # fmt: skip
        floor = sum(arithmetic(config, *row) for row in rows) / rate
        return (
            f"| {self.case.name} | {seconds / ours:.2f} | {seconds / native:.2f} | {third} | {native / ours:.2f} "
            f"| {gib(*peaks)} | {floor / ours:.0%} / {floor / native:.0%} | {splits[0]} | {splits[1]} |"
        )

    def worth(self, repeats: int, levers: Iterable[str]) -> list[str]:
        return worth(self.case.name, self.device, self.ours, repeats, levers)


class Training:
    """One step on both models: forward, backward, optimizer. Labels are random, inputs made beforehand."""

    def __init__(self, pair: Pair, case: Case, device: Device):
        self.pair, self.case, self.device = pair, case, device
        inputs = Aligning(pair, case, device).native_inputs()[0]
        slots = inputs["input_ids"] == TIMESTAMP
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(0, pair.ours.config.num_labels, slots.shape, generator=generator).to(slots.device)
        self.inputs = {**inputs, "labels": drawn.where(slots, -100)}
        # on a CPU plain SGD, so that what is compared is not lost beside the optimizer's states
        kind = torch.optim.AdamW if device.cuda else torch.optim.SGD
        self.optimizers = {model: kind(model.parameters(), lr=1e-7) for model in (pair.ours, pair.native)}

    def step(self, model) -> tuple[float, dict[str, torch.Tensor]]:
        """The loss, and the norm of each parameter's gradient under its published name."""
        ours = model is self.pair.ours
        kept = {"logits_to_keep": self.inputs["labels"] != -100} if ours else {}
        loss = model(**self.inputs, **kept).loss
        loss.backward()
        norms = {
            name if ours else to_published_name(name): parameter.grad.norm()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        self.optimizers[model].step()
        self.optimizers[model].zero_grad(set_to_none=True)
        return loss.item(), norms

    def check(self) -> str:
        (loss, norms), (other, other_norms) = (self.step(model.train()) for model in self.optimizers)
        if norms.keys() != other_norms.keys():
            sys.exit(f"{self.case.name}: other parameters have gradients: {sorted(norms.keys() ^ other_norms.keys())}")
        got, want = (torch.stack([n[name].float() for name in norms]) for n in (norms, other_norms))
        apart = ((got - want).norm() / want.norm()).item()
        self.losses = f"{loss:.3f} / {other:.3f}"
        if not (abs(loss - other) <= 0.01 * other and apart <= 0.03):
            sys.exit(f"{self.case.name}: losses {self.losses}, gradients' norms {apart:.3f} apart; not the same model")
        return f"{self.case.name}: losses {self.losses}, gradients' norms {apart:.4f} apart"

    def worth(self, repeats: int, levers: Iterable[str]) -> list[str]:
        model = self.pair.ours.train()
        rows = worth(self.case.name, self.device, lambda: self.step(model), repeats, levers)
        model.eval()
        return rows

    def row(self, repeats: int, rate: float) -> str:
        ours, native = self.pair.ours, self.pair.native
        times: dict = {ours: [], native: []}
        for _ in range(repeats):
            for model in (native, ours):
                times[model].append(self.device.timed(lambda model=model: self.step(model))[0])
        peaks = [self.device.peak(lambda model=model: self.step(model)) for model in (ours, native)]
        for model in times:
            model.eval()
        fast, slow = (statistics.median(times[model]) for model in (ours, native))
        return (
            f"| {self.case.name} | {1 / fast:.3f} | {1 / slow:.3f} | {slow / fast:.2f} "
            f"| {gib(*(peak for peak, _ in peaks))} | {gib(*(above for _, above in peaks))} | {self.losses} |"
        )


class Repair:
    """Times that jump, made monotone by both."""

    def __init__(self, pair: Pair, case: Case, device: Device):
        random = np.random.default_rng(0)
        rising = np.sort(random.integers(0, 5000, case.slots))
        wrong = random.random(case.slots) < 0.2
        self.case, self.device = case, device
        self.values = np.where(wrong, random.integers(0, 5000, case.slots), rising).astype(np.float32) * 80

    def check(self) -> str:
        if repair_monotone(self.values.tolist()) != [int(value) for value in _fix_timestamps(self.values)]:
            sys.exit(f"{self.case.name}: repaired differently")
        return f"{self.case.name}: the same values"

    def row(self, repeats: int, rate: float) -> str:
        ours = min(self.device.timed(lambda: repair_monotone(self.values.tolist()))[0] for _ in range(5 * repeats))
        native = min(self.device.timed(lambda: _fix_timestamps(self.values))[0] for _ in range(2))
        return f"| {self.case.name} | {1000 * ours:.1f} | {1000 * native:.0f} | {native / ours:.0f} |"


def versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))


def around_the_model(cases: dict[str, Case], repeats: int) -> None:
    """Prints what one processor does around the model; a thread that waits would count as busy."""
    torch.set_num_threads(1)
    print(f"{Device(torch.device('cpu'), cpu_time=True)}; {versions()}; float32\n")
    checks, rows = [], []
    for case in cases.values():
        checked, row = Around(case.name, case.seconds).row(repeats)
        checks, rows = checks + checked, [*rows, row]
    print("\n".join([rule(HOST), *rows]), end="\n\n")
    print("Checked before timing:", *checks, sep="\n- ")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--device", choices=("cpu", "cuda"))
    what.add_argument("--host", action="store_true", help="time what one processor does around the model")
    parser.add_argument(
        "--case", action="append", help="one of the cases; may be repeated; default: all of the device"
    )
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float32", "int8"),
        default="bfloat16",
        help="default: bfloat16; int8 compares ours in int8 with ours in float32, on a CPU",
    )
    parser.add_argument("--repeats", type=int, help="repetitions that are timed; default: 3, or 10 on a GPU")
    parser.add_argument("--threads", type=int, help="CPU threads; default: PyTorch's")
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds: for a machine that is busy")
    parser.add_argument("--attn", default="sdpa", help="attention implementation of both models; default: sdpa")
    parser.add_argument("--qwen-asr-python", help="an interpreter with qwen-asr, which is measured, too")
    parser.add_argument("--without", action="append", default=[], choices=LEVERS, help="what ours is to do without")
    parser.add_argument(
        "--levers", nargs="*", choices=LEVERS, help="also time ours without each of these, alone; default: all"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="few and narrow layers, short clips: a test of this script"
    )
    options = parser.parse_args(arguments)
    if options.host:
        cases = TINY_HOST_CASES if options.tiny else HOST_CASES
    else:
        cases = TINY_CASES if options.tiny else CASES[options.device]
    if unknown := set(options.case or ()) - set(cases):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    if options.host:
        around_the_model({name: cases[name] for name in options.case or cases}, options.repeats or 3)
        return
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is available")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.cpu_time and (options.device != "cpu" or torch.get_num_threads() > 1):
        parser.error("--cpu-time needs --device cpu --threads 1: threads that wait count as busy")
    device = Device(torch.device(options.device), options.cpu_time)
    if options.dtype == "int8" and options.device != "cpu":
        parser.error("--dtype int8 is for a CPU")
    dtype = torch.float32 if options.dtype == "int8" else getattr(torch, options.dtype)
    repeats = options.repeats or (10 if device.cuda else 3)

    rate = device.matmul_rate(dtype, options.tiny)
    speed = f"a matrix product runs at {rate / 1e12:.2f} TFLOP/s"
    print(f"{device}; {versions()}; {options.dtype}, {options.attn}; {speed}\n")
    pair = make_pair(device.device, dtype, options.tiny, options.attn)
    for lever in options.without:
        print(f"Ours without {lever}.\n")
    other = None
    if options.qwen_asr_python:
        threads = torch.get_num_threads()
        other = QwenASR(options.qwen_asr_python, pair.ours, pair.processor, threads, options.cpu_time)
    checks, tables = [], {}
    quantised = in_int8(pair.ours) if options.dtype == "int8" else None
    for name, case in cases.items():
        if options.case and name not in options.case:
            continue
        if quantised is not None:
            if not case.slots and not case.training and not case.batch:
                both = InInt8(Aligning(pair, case, device), quantised)
                checks.append(both.check())
                tables.setdefault(INT8, []).extend(both.rows(repeats))
            continue
        if case.batch:
            stream = Streaming(pair, case.name, case.seconds, case.batch, WORDS_A_SECOND, device)
            with without(*options.without):
                checks.append(stream.check())
                tables[STREAMING] = [stream.row(min(repeats, STREAMS))]
            print(tables[STREAMING][-1], file=sys.stderr, flush=True)
            continue
        kind, header = (
            (Repair, REPAIRING) if case.slots else (Training, TRAINING) if case.training else (Aligning, ALIGNING)
        )
        run = kind(pair, case, device, other) if kind is Aligning else kind(pair, case, device)
        with without(*options.without):
            checks.append(run.check())
            tables.setdefault(header, []).append(run.row(repeats, rate))
        print(tables[header][-1], file=sys.stderr, flush=True)
        if options.levers is not None and not case.slots:
            tables.setdefault(WORTH, []).extend(run.worth(repeats, options.levers or LEVERS))
    if other is not None:
        other.close()
    for header, rows in tables.items():
        print("\n".join([rule(header), *rows]), end="\n\n")
    print("Checked before timing:", *checks, sep="\n- ")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
