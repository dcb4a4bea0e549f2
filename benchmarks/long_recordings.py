"""Long recordings made of labelled clips: how exact their times are, what the model hears, and what memory it takes.

    python benchmarks/long_recordings.py --data LABELS --minutes 6 --pauses 0.2 3 --seeds 0 1 2

Clips are joined with pauses, in an order drawn by a seed, into one WAV file; their transcripts become one text
(`joined_recordings`, which has the cases, too). The file is aligned by `pipe(file, text=words)` and measured against
the same clips aligned one by one. Words are doubted whose score is below 0.5, or that are in one of the result's
passages that do not fit. Of times and audio heard there are goals; which of them are missed is said at the end.

--memory prints that of a process of its own, which aligns the file: its resident set before, and its largest one
meanwhile (Linux). --batches prints how far times depend on how many windows share a forward pass.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from alignment_clips import LabelledClip, joinable, labelled_clips
from alignment_figures import table
from alignment_stages import Hearing
from joined_recordings import CASES, PAUSES, RATE, Case, LongRecording, make_case, make_long

from transformers_qwen3_asr.training.metrics import alignment_metrics

LOST = 0.02  # of the words that are said, over a second off: more are a case that is lost
TOLD = 0.5  # of the words, where none is said, that are doubted: fewer are a text that is taken for right
HEADINGS = ["case", "minutes", "seed", "AAS, ms", "within 80 ms", "over 1 s", "of those, doubted", "clips alone: AAS"]
HEADINGS += ["ratio", "audio heard", "took"]


def align(pipe, recording: LongRecording, **keywords) -> tuple[np.ndarray, np.ndarray]:
    """The pipeline's times for a recording, `(words, 2)` milliseconds, and whether it says that each word is not to be
    believed: by a score below 0.5, or by a passage in "unfit", `(words,)`."""
    result = pipe(str(recording.path), text=recording.words, **keywords)
    doubted = np.array([chunk["score"] < 0.5 for chunk in result["chunks"]], dtype=bool)
    begins = np.array([chunk["char_start"] for chunk in result["chunks"]], dtype=int)
    for passage in result["unfit"]:
        doubted |= (begins >= passage["char_start"]) & (begins < passage["char_end"])
    return _times(result), doubted


def _times(result) -> np.ndarray:
    return np.array([chunk["timestamp"] for chunk in result["chunks"]]).reshape(-1, 2) * 1000


def figures(times: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> dict[str, float]:
    """`alignment_metrics` of the words that are said, but "over_1s" is the share of words of which either time is."""
    said = [np.isfinite(reference[:, 0]) for reference in references]
    found, right = [t[s] for t, s in zip(times, said)], [r[s] for r, s in zip(references, said)]
    off = np.abs(np.concatenate(found) - np.concatenate(right)).max(1)
    return {**alignment_metrics(found, right), "over_1s": float((off > 1000).mean())}


def alone(pipe, clips: Sequence[LabelledClip], batch_size: int = 8) -> dict[str, float]:
    """Figures of clips that are aligned one by one, each counted as often as it comes."""
    rows = [{"audio": clip.samples, "text": clip.words, "language": clip.language} for clip in clips]
    return figures([*map(_times, pipe(rows, batch_size=batch_size))], [clip.reference for clip in clips])


@contextmanager
def random_scores(pipe, seed: int = 0) -> Iterator[None]:
    """Within the context the pipeline's model gives scores that say nothing."""
    random = torch.Generator().manual_seed(seed)

    def replace(model, arguments, output):
        output.logits = torch.randn(output.logits.shape, generator=random).to(output.logits)
        return output

    hook = pipe.model.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def compare(
    pipe,
    clips: Sequence[LabelledClip],
    seconds: float,
    case: str = "right",
    seed: int = 0,
    pauses: tuple[float, float] = PAUSES,
    **keywords,
) -> dict[str, dict[str, float]]:
    """
    Figures of one case of `CASES`: {"long": …, "alone": …}, of one long recording and of its clips one by one (with
    the same words and the same noise); of neither where no word is said. "long" also has "seconds" of the recording,
    how often its audio was "heard", the seconds that it "took" (the processor's on a CPU), and "doubted", the share
    of words over 1 s off that the result says are not to be believed (where no word is said, of all words; NaN where
    there are none). `keywords` are the pipeline's.
    """
    made = CASES[case]
    clock = time.process_time if pipe.device.type == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        recording = make_case(made, clips, Path(folder) / "long.wav", seconds, seed, pauses)
        with Hearing(pipe) as hearing, random_scores(pipe, seed) if made.random_scores else _as_it_is():
            begun = clock()
            times, doubted = align(pipe, recording, language="English", **keywords)
            took = clock() - begun
    said = np.isfinite(recording.reference[:, 0])
    far = np.abs(times - recording.reference).max(1) > 1000 if said.any() else ~said
    more = {
        "seconds": recording.seconds,
        "heard": hearing.seconds / recording.seconds,
        "took": took,
        "doubted": float(doubted[far].mean()) if far.any() else float("nan"),
    }
    if not said.any():
        return {"long": more, "alone": {}}
    return {"long": {**figures([times], [recording.reference]), **more}, "alone": alone(pipe, recording.clips)}


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def row(case: str, seed: int, found: dict[str, dict[str, float]]) -> list[str]:
    """A row of the table with `HEADINGS`."""
    long, single = found["long"], found["alone"]
    cells = [case, f"{long['seconds'] / 60:.1f}", str(seed)]
    doubted = "–" if np.isnan(long["doubted"]) else f"{long['doubted']:.0%}"
    if single:
        cells += [f"{long['aas_ms']:.1f}", f"{long['within_80ms']:.1%}", f"{long['over_1s']:.2%}", doubted]
        cells += [f"{single['aas_ms']:.1f}", f"{long['aas_ms'] / single['aas_ms']:.2f}"]
    else:
        cells += ["–", "–", "–", doubted, "–", "–"]
    return [*cells, f"{long['heard']:.2f}", f"{long['took']:.0f} s"]


def missed(case: Case, found: dict[str, dict[str, float]]) -> list[str]:
    """The goals that a case misses, in words; figures as the table has them."""
    long, single = found["long"], found["alone"]
    goals = []
    if case.ratio and (ratio := round(long["aas_ms"] / single["aas_ms"], 2)) > case.ratio:
        goals.append(f"{ratio:.2f} times as far off as the clips alone, not {case.ratio:g}")
    if single and long["over_1s"] > LOST:
        goals.append(f"{long['over_1s']:.1%} of the words over 1 s off, not {LOST:.0%}")
    if not single and long["doubted"] < TOLD:
        goals.append(f"{long['doubted']:.0%} of the words that nobody says are doubted, not {TOLD:.0%}")
    if (heard := round(long["heard"], 2)) > case.heard:
        goals.append(f"{heard:.2f} times the audio heard, not {case.heard:g}")
    return goals


def print_table(
    pipe,
    clips: Sequence[LabelledClip],
    minutes: Sequence[float],
    cases: Sequence[str] = tuple(CASES),
    seeds: Sequence[int] = (0,),
    pauses: tuple[float, float] = PAUSES,
    **keywords,
) -> None:
    """Prints a row of `compare` for each case, length and seed, and then the goals that are missed."""
    print(table(HEADINGS, []))
    goals = []
    for case in cases:
        for length in minutes[:1] if CASES[case].silence else minutes:
            for seed in seeds:
                found = compare(pipe, clips, length * 60, case, seed, pauses, **keywords)
                print("| " + " | ".join(row(case, seed, found)) + " |", flush=True)
                goals += [f"{case}, {length:g} min, seed {seed}: {goal}" for goal in missed(CASES[case], found)]
    print("\n" + "\n".join(f"Missed: {goal}" for goal in goals) if goals else "\nAll goals are met.", flush=True)


def batches(pipe, clips: Sequence[LabelledClip], seconds: float, pauses: tuple[float, float] = PAUSES) -> float:
    """The most milliseconds by which a word's times differ between two recordings aligned one by one, and together in
    batches of 8 windows."""
    with tempfile.TemporaryDirectory() as folder:
        made = [make_long(clips, Path(folder) / f"{seed}.wav", seconds, seed, pauses) for seed in (0, 1)]
        rows = [{"audio": str(one.path), "text": one.words, "language": "English"} for one in made]
        single, together = ([*map(_times, pipe(rows, batch_size=size))] for size in (1, 8))
    return max(float(np.abs(one - other).max()) for one, other in zip(single, together, strict=True))


def memory(clips: Sequence[LabelledClip], seconds: float, model: str, seed: int = 0) -> dict[str, float]:
    """Megabytes of a fresh process before and after it aligns a recording of `seconds`: {"before": …, "peak": …}."""
    with tempfile.TemporaryDirectory() as folder:
        recording = make_long(clips, Path(folder) / "long.wav", seconds, seed)
        text = Path(folder) / "words.json"
        text.write_text(json.dumps(recording.words), encoding="utf-8")
        command = [sys.executable, __file__, "--align", str(recording.path), "--words", str(text), "--model", model]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _load(model: str):
    from transformers import pipeline

    from transformers_qwen3_asr.checkpoints import resolve_model

    return pipeline("forced-alignment", model=resolve_model(model), dtype="float32")


def _align_and_measure(arguments: argparse.Namespace) -> None:
    pipe = _load(arguments.model)
    words = json.loads(Path(arguments.words).read_text(encoding="utf-8"))
    pipe(np.zeros(30 * RATE, np.float32), text=words[:50])  # what the first call brings into memory is no growth
    sizes = [_resident()]
    running = threading.Event()

    def watch() -> None:
        while not running.wait(0.02):
            sizes.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    pipe(arguments.align, text=words, language="English")
    running.set()
    watcher.join()
    print(json.dumps({"before": sizes[0], "peak": max(sizes)}))


def _resident() -> float:
    """Megabytes that this process has in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a label file, as qwen3-asr evaluate takes it")
    parser.add_argument("--model", default="tiny-en")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60])
    parser.add_argument("--pauses", type=float, nargs=2, default=PAUSES, help="seconds, at least and at most")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--budget", type=float, help="the pipeline's, if not its own default")
    parser.add_argument("--no-refine", action="store_true", help="do not ask again for words in doubt")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--align", help=argparse.SUPPRESS)
    parser.add_argument("--words", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.align:
        return _align_and_measure(arguments)
    if not arguments.data:
        parser.error("--data is missing")

    from transformers_qwen3_asr.formats import read_labels

    clips, pipe = joinable(labelled_clips(read_labels(arguments.data))), _load(arguments.model)
    keywords = {} if arguments.budget is None else {"budget": arguments.budget}
    keywords |= {"refine": False} if arguments.no_refine else {}
    pauses = tuple(arguments.pauses)
    if arguments.cases:
        print_table(pipe, clips, arguments.minutes, arguments.cases, arguments.seeds, pauses, **keywords)
    for minutes in arguments.minutes:
        if arguments.batches:
            apart = batches(pipe, clips, minutes * 60, pauses)
            print(f"{minutes:g} min in batches of 8 windows or 1: times {apart:g} ms apart at most", flush=True)
        if arguments.memory:
            size = memory(clips, minutes * 60, arguments.model)
            growth = size["peak"] - size["before"]
            print(
                f"{minutes:g} min from a file: {size['before']:.0f} MB before, {growth:.0f} MB more at most",
                flush=True,
            )


if __name__ == "__main__":
    main()
