"""Recordings of 10 minutes and an hour, made of labelled clips: how exact their times are, and what memory they take.

    python benchmarks/long_recordings.py --data LABELS --model tiny-en

Clips are joined with pauses of 0.2 to 10 s, drawn by a seed, into one WAV file; their transcripts become one text. The
file is aligned by `pipe(file, text=words)` and measured against the same clips aligned one by one. Harder cases: after
every fourth clip something is heard that the text does not have (noise, music, or another clip), 5 % of the words are
replaced, left out or added (only words that are right are measured), both, and noise under everything. Words are
doubted whose score is below 0.5, or that are in one of the result's passages that do not fit.

Memory is that of a process of its own, which aligns the file: its resident set before, and its largest one meanwhile
(Linux).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from alignment_clips import LabelledClip, labelled_clips, with_changed_words, with_noise

from transformers_qwen3_asr.training.metrics import alignment_metrics

RATE = 16000
PAUSES = (0.2, 10.0)  # seconds
ROOM = 1e-4  # of full scale: the noise of a quiet room, which is heard in the pauses
#: Case -> share of clips that something without text follows, share of changed words, decibels of the noise below.
CASES = {
    "clean": (0.0, 0.0, None),
    "untranscribed": (0.25, 0.0, None),
    "5 % wrong words": (0.0, 0.05, None),
    "both": (0.25, 0.05, None),
    "noise 10 dB": (0.0, 0.0, 10.0),
}


@dataclass(frozen=True)
class LongRecording:
    """
    A WAV file at `path` of `seconds`, with what it is told to hold.

    `words` is the whole text; `reference` `(words, 2)` milliseconds, NaN for words that are not said; `clips` the
    clips that it was made of, with the same words.
    """

    path: Path
    seconds: float
    words: list[str]
    reference: np.ndarray
    clips: list[LabelledClip]


def make_long(
    clips: Sequence[LabelledClip],
    path: str | Path,
    seconds: float,
    seed: int = 0,
    pauses: tuple[float, float] = PAUSES,
    untranscribed: float = 0.0,
) -> LongRecording:
    """
    Joins `clips`, in an order drawn by `seed` and again and again if they are few, until `seconds` are reached, with
    `pauses` (least and most seconds) between them. After the share `untranscribed` of them comes 3 to 20 s of what the
    text does not have: noise, music, or another clip. Samples are written as they are made.
    """
    random = np.random.default_rng(seed)
    taken, words, references, at = [], [], [], 0
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)

        def write(samples: np.ndarray) -> None:
            nonlocal at
            room = random.normal(0, ROOM, len(samples))
            file.writeframes(((samples + room).clip(-1, 1) * 32767).astype("<i2").tobytes())
            at += len(samples)

        for clip in _again_and_again(clips, random):
            if at >= seconds * RATE:
                break
            references.append(clip.reference + at * 1000 / RATE)
            words += clip.words
            taken.append(clip)
            write(clip.samples)
            if random.random() < untranscribed:
                write(np.zeros(int(random.uniform(*pauses) * RATE)))
                write(_without_text(clips, random))
            write(np.zeros(int(random.uniform(*pauses) * RATE)))
    return LongRecording(Path(path), at / RATE, words, np.concatenate(references), taken)


def _again_and_again(clips: Sequence[LabelledClip], random: np.random.Generator) -> Iterator[LabelledClip]:
    if not clips:
        raise ValueError("there are no clips to join")
    while True:
        for place in random.permutation(len(clips)):
            yield clips[place]


def _without_text(clips: Sequence[LabelledClip], random: np.random.Generator) -> np.ndarray:
    kind = random.integers(3)
    if kind == 0:
        return clips[random.integers(len(clips))].samples
    size = int(random.uniform(3, 20) * RATE)
    if kind == 1:
        return (random.normal(0, 0.05, size) * random.uniform(0.2, 2)).astype(np.float32)
    # plucked chords: three notes a beat, each with four overtones, dying away
    beat = int(random.uniform(0.25, 0.7) * RATE)
    clock = np.arange(beat) / RATE
    music = []
    while len(music) * beat < size:
        notes = 110 * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], 3) / 12) * random.choice([1, 2])
        tones = sum(np.sin(2 * np.pi * note * k * clock) / k**1.5 for note in notes for k in range(1, 6))
        music.append(0.06 * tones * np.exp(-clock * 3))
    return np.concatenate(music)[:size]


def align(pipe, recording: LongRecording, **keywords) -> tuple[np.ndarray, np.ndarray]:
    """The pipeline's times for a recording, `(words, 2)` milliseconds, and whether it says that each word is not to be
    believed: by a score below 0.5, or by a passage in "unfit", `(words,)`."""
    result = pipe(str(recording.path), text=recording.words, **keywords)
    times = np.array([chunk["timestamp"] for chunk in result["chunks"]]).reshape(-1, 2) * 1000
    doubted = np.array([chunk["score"] < 0.5 for chunk in result["chunks"]], dtype=bool)
    begins = np.array([chunk["char_start"] for chunk in result["chunks"]], dtype=int)
    for passage in result["unfit"]:
        doubted |= (begins >= passage["char_start"]) & (begins < passage["char_end"])
    return times, doubted


class Windows:
    """Counts the windows that a pipeline's model is given, within the context."""

    def __init__(self, pipe):
        self.pipe, self.count = pipe, 0

    def __enter__(self) -> "Windows":
        self._hook = self.pipe.model.register_forward_pre_hook(self._seen, with_kwargs=True)
        return self

    def _seen(self, model, arguments, keywords) -> None:
        self.count += len(keywords["input_ids"])

    def __exit__(self, *_) -> None:
        self._hook.remove()


def figures(times: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> dict[str, float]:
    """`alignment_metrics` of the words that are said."""
    said = [np.isfinite(reference[:, 0]) for reference in references]
    return alignment_metrics([t[s] for t, s in zip(times, said)], [r[s] for r, s in zip(references, said)])


def alone(pipe, clips: Sequence[LabelledClip], batch_size: int = 8) -> dict[str, float]:
    """Figures of clips that are aligned one by one, each counted as often as it comes."""
    rows = [{"audio": clip.samples, "text": clip.words, "language": clip.language} for clip in clips]
    results = pipe(rows, batch_size=batch_size)
    times = [np.array([c["timestamp"] for c in result["chunks"]]).reshape(-1, 2) * 1000 for result in results]
    return figures(times, [clip.reference for clip in clips])


def compare(
    pipe, clips: Sequence[LabelledClip], seconds: float, case: str = "clean", seed: int = 0, **keywords
) -> dict[str, dict[str, float]]:
    """
    Figures of one case of `CASES`: {"long": …, "alone": …}, of one long recording and of its clips one by one (with
    the same words and the same noise). "long" also has "seconds" of the recording, "took" to align it, "windows" that
    the model was given, "doubted", the share of words over 1 s off that the result says are not to be believed (NaN
    where there are none), and "doubted_right", the same share of the others.
    """
    untranscribed, changed, noise = CASES[case]
    if noise is not None:
        clips = with_noise(clips, noise, seed)
    if changed:
        clips = with_changed_words(clips, changed, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        recording = make_long(clips, Path(folder) / "long.wav", seconds, seed, untranscribed=untranscribed)
        begun = time.perf_counter()
        with Windows(pipe) as windows:
            times, doubted = align(pipe, recording, language="English", **keywords)
        took = time.perf_counter() - begun
    long = figures([times], [recording.reference])
    off = np.abs(times - recording.reference).max(1)
    far, near = off > 1000, off <= 1000
    more = {
        "seconds": recording.seconds,
        "took": took,
        "windows": windows.count,
        "doubted": float(doubted[far].mean()) if far.any() else float("nan"),
        "doubted_right": float(doubted[near].mean()),
    }
    return {"long": {**long, **more}, "alone": alone(pipe, recording.clips)}


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


def print_table(
    pipe,
    clips: Sequence[LabelledClip],
    minutes: Sequence[float],
    cases: Sequence[str] = tuple(CASES),
    seeds: Sequence[int] = (0,),
) -> None:
    """Prints a row of `compare` for each case, length and seed."""
    print(
        "| recording | AAS, ms | within 80 ms | over 1 s | of those, doubted | of the others | zero length "
        "| clips alone: AAS | over 1 s | windows | took |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for case in cases:
        for length in minutes:
            for seed in seeds:
                found = compare(pipe, clips, length * 60, case, seed)
                long, single = found["long"], found["alone"]
                doubted = f"{long['doubted']:.0%}" if long["over_1s"] else "–"
                print(
                    f"| {case}, {length:g} min (seed {seed}) | {long['aas_ms']:.1f} | {long['within_80ms']:.1%} "
                    f"| {long['over_1s']:.2%} | {doubted} | {long['doubted_right']:.0%} "
                    f"| {long['zero_length']:.2%} | {single['aas_ms']:.1f} | {single['over_1s']:.2%} "
                    f"| {long['windows']} | {long['took']:.0f} s |",
                    flush=True,
                )


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
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--align", help=argparse.SUPPRESS)
    parser.add_argument("--words", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.align:
        return _align_and_measure(arguments)
    if not arguments.data:
        parser.error("--data is missing")

    from transformers_qwen3_asr.formats import read_labels

    clips = labelled_clips(read_labels(arguments.data))
    print_table(_load(arguments.model), clips, arguments.minutes, arguments.cases, arguments.seeds)
    for minutes in arguments.minutes:
        size = memory(clips, minutes * 60, arguments.model)
        growth = size["peak"] - size["before"]
        print(f"{minutes:g} min from a file: {size['before']:.0f} MB before, {growth:.0f} MB more at most", flush=True)


if __name__ == "__main__":
    main()
