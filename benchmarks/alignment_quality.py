"""How good the aligner's times and scores are on labelled speech, and what decoding them costs.

    python benchmarks/alignment_quality.py --data labels.jsonl

prints tables for README.md: argmax and repair against joint decoding, from the same scores, on the recordings as they
are, with noise and with changed transcripts; times of 80 ms classes read finer; how well the scores tell words and
transcripts that are wrong; what is reported where the transcript leaves a passage out; the cost against one
log-softmax; and, with --long 10 60, recordings of so many minutes (long_recordings.py). See benchmarks/README.md.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from alignment_clips import (
    ScoredClip,
    aligned,
    labelled_clips,
    scored,
    with_changed_words,
    with_noise,
    with_others_words,
)
from alignment_cost import cost_table
from alignment_passages import HEADINGS, passage_rows, whole_row, with_passages_left_out
from long_recordings import print_table
from transformers import AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import ForcedAlignmentPipeline
from transformers_qwen3_asr.alignment.confidence import FITS, recording_fit
from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.joint_decoding import classes_within, joint_bins
from transformers_qwen3_asr.alignment.pace import letters
from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.label_files import read_labels
from transformers_qwen3_asr.training.metrics import alignment_metrics

#: Columns of the tables of times: heading, key in `alignment_metrics`, how its number is written.
COLUMNS = (
    ("words", "words", "d"),
    ("AAS ms", "aas_ms", ".1f"),
    ("median", "median_ms", ".1f"),
    ("≤ 20 ms", "within_20ms", ".1%"),
    ("≤ 50 ms", "within_50ms", ".1%"),
    ("≤ 80 ms", "within_80ms", ".1%"),
    ("≤ 100 ms", "within_100ms", ".1%"),
    ("> 1 s", "over_1s", ".2%"),
    ("zero length", "zero_length", ".1%"),
)
#: A way from scores to milliseconds `(words, 2)`: what takes a clip, its scores and the milliseconds a class.
Decoding = Callable[[ScoredClip, float], np.ndarray]


def argmax_and_repair(clip: ScoredClip, segment_time: float) -> np.ndarray:
    """As qwen-asr does."""
    return 1000 * decode_slots(clip.logits, len(clip.clip.words), segment_time, decoding="argmax")[0]


def path_on_the_grid(clip: ScoredClip, segment_time: float) -> np.ndarray:
    """The joint path, times at the classes' own places."""
    limit = np.floor(clip.clip.seconds * 1000)
    bins = joint_bins(clip.logits, classes_within(limit, segment_time, len(clip.clip.words)))
    return np.minimum(bins * float(segment_time), limit).reshape(-1, 2)


def finer_path(clip: ScoredClip, segment_time: float) -> np.ndarray:
    """The joint path, times read around its classes."""
    return 1000 * decode_slots(clip.logits, None, segment_time, duration=clip.clip.seconds)[0]


def decoded(clip: ScoredClip, segment_time: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and scores as everyone gets them: doubtful words read from all paths, at the recording's pace, and heard
    again in short windows, where that was done."""
    if clip.refined is not None:
        return clip.refined
    lengths = [letters(word) for word in clip.clip.words]
    return decode_slots(clip.logits, None, segment_time, duration=clip.clip.seconds, lengths=lengths)


def joint(clip: ScoredClip, segment_time: float) -> np.ndarray:
    """Doubtful words read from all paths, but not heard again."""
    return 1000 * decoded(replace(clip, refined=None), segment_time)[0]


DECODINGS: dict[str, Decoding] = {
    "argmax + repair": argmax_and_repair,
    "joint path, on the grid": path_on_the_grid,
    "joint path, finer": finer_path,
    "joint": joint,
}
#: And what the pipeline does by default, where it can.
REFINED: dict[str, Decoding] = {"joint, refined (default)": lambda clip, _: 1000 * clip.refined[0]}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times_rows(
    name: str, clips: Sequence[ScoredClip], segment_time: float, decodings: dict[str, Decoding] | None = None
) -> tuple[list[list[str]], dict[str, dict[str, float]]]:
    """A row for each decoding of the table of `COLUMNS`, and the figures. Words that are not said do not count."""
    rows, figures = [], {}
    for decoding, decode in (decodings or DECODINGS).items():
        found = [decode(clip, segment_time)[clip.clip.right] for clip in clips]
        wanted = [clip.clip.reference[clip.clip.right] for clip in clips]
        figures[decoding] = alignment_metrics(found, wanted)
        rows.append([name, decoding, *(format(figures[decoding][key], form) for _, key, form in COLUMNS)])
    return rows, figures


def coarser(clips: Sequence[ScoredClip], times: int) -> list[ScoredClip]:
    """
    The same clips as a model of classes `times` (even) as long would score them: a class has the probability of the
    old ones that are nearest to it, and half that of those at its edges.
    """
    merged = []
    for clip in clips:
        probabilities = clip.logits.softmax(-1)
        kernel = torch.ones(1, 1, times + 1)
        kernel[..., [0, -1]] = 0.5
        sums = torch.nn.functional.conv1d(probabilities[:, None], kernel, stride=times, padding=times // 2)[:, 0]
        merged.append(ScoredClip(clip.clip, (sums + 1e-12).log()))
    return merged


def area_under_roc(right: np.ndarray, wrong: np.ndarray) -> float:
    """How often a right one scores above a wrong one, ties half (Mann and Whitney 1947); NaN where there is none."""
    if not len(right) or not len(wrong):
        return float("nan")
    _, places, counts = np.unique(np.concatenate([right, wrong]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    above = ranks[: len(right)].sum() - len(right) * (len(right) + 1) / 2
    return float(above / (len(right) * len(wrong)))


def word_confidence(clips: Sequence[ScoredClip], segment_time: float) -> list[str]:
    """A row: how well scores tell words that are said from words that were put in their places."""
    right, wrong = [], []
    for clip in clips:
        _, scores = decoded(clip, segment_time)
        right.append(scores[clip.clip.right])
        wrong.append(scores[~clip.clip.right])
    right, wrong = np.concatenate(right), np.concatenate(wrong)
    middles = [f"{np.median(values):.2f}" if len(values) else "–" for values in (right, wrong)]
    return ["words", str(len(right)), str(len(wrong)), f"{area_under_roc(right, wrong):.3f}", *middles, "–", "–"]


def recording_confidence(
    name: str, own: Sequence[ScoredClip], others: Sequence[ScoredClip], segment_time: float
) -> list[str]:
    """A row: how well a recording's score tells its own transcript from another's, and the errors at `FITS`."""
    scores = []
    for clips in (own, others):
        aligned = [decoded(clip, segment_time) for clip in clips]
        scores.append(np.array([recording_fit(values, times).score for times, values in aligned]))
    right, wrong = scores
    middles = [f"{np.median(values):.2f}" if len(values) else "–" for values in (right, wrong)]
    errors = [f"{(right < FITS).mean():.1%}", f"{(wrong >= FITS).mean():.1%}"]
    return [name, str(len(right)), str(len(wrong)), f"{area_under_roc(right, wrong):.3f}", *middles, *errors]


def load(name: str, dtype: str, device: str):
    """Model and processor of a hub name, a folder, or tiny-en."""
    folder = resolve_model(name)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    return model.to(device), AutoProcessor.from_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-en", help="hub name, folder, or tiny-en (default)")
    parser.add_argument("--data", nargs="+", required=True, help="labels, as for qwen3-asr evaluate")
    parser.add_argument("--rows", type=int, help="only so many recordings, evenly taken from all")
    parser.add_argument("--snr", type=float, default=10.0, help="decibels of the noise below the words (default: 10)")
    parser.add_argument("--changed", type=float, default=0.05, help="share of words changed (default: 0.05)")
    parser.add_argument("--long", type=float, nargs="+", default=[], help="minutes of recordings made of the clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    began = time.monotonic()
    model, processor = load(arguments.model, arguments.dtype, arguments.device)
    segment_time = model.config.timestamp_segment_time
    clips = labelled_clips(read_labels(arguments.data))
    if arguments.rows and arguments.rows < len(clips):
        clips = [clips[i * len(clips) // arguments.rows] for i in range(arguments.rows)]
    hours = sum(clip.seconds for clip in clips) / 3600
    print(
        f"{arguments.model}, {segment_time:g} ms a class, {arguments.dtype}, {arguments.device}, torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads: {len(clips)} recordings, {hours:.2f} hours\n"
    )

    pipe = ForcedAlignmentPipeline(model=model, processor=processor, device=arguments.device)

    heard: dict[str, float] = {}

    def scores_of(name: str, changed) -> list[ScoredClip]:
        print(f"{time.monotonic() - began:5.0f} s: {name}", file=sys.stderr, flush=True)
        clips = scored(model, processor, changed, arguments.batch_size)
        refined, heard[name] = aligned(pipe, changed, arguments.batch_size)
        return [replace(clip, refined=found) for clip, found in zip(clips, refined, strict=True)]

    decodings = {**DECODINGS, **REFINED}
    headings = ["recordings", "decoding", *(heading for heading, _, _ in COLUMNS)]
    rows, figures = [], {}
    clean = scores_of("as they are", clips)
    noise = scores_of("noise", with_noise(clips, arguments.snr, arguments.seed))
    for name, scores in (
        ("as they are", clean),
        (f"noise, {arguments.snr:g} dB", noise),
        *(
            (
                f"{arguments.changed:.0%} {what}",
                scores_of(what, with_changed_words(clips, arguments.changed, kinds, 1)),
            )
            for what, kinds in (
                ("replaced, deleted or added", ("replace", "delete", "add")),
                ("replaced", ("replace",)),
                ("deleted", ("delete",)),
                ("added", ("add",)),
            )
        ),
    ):
        more, figures[name] = times_rows(name, scores, segment_time, decodings)
        rows += more
    print(table(headings, rows) + "\n")

    print("Audio that the model hears, doubtful words again, over the recordings' own:\n")
    print(table(["recordings", "audio"], [[name, f"{times:.2f}"] for name, times in heard.items()]) + "\n")

    if segment_time <= 40:
        times = 2 * round(40 / segment_time)
        print(f"Merged to classes of {times * segment_time:g} ms:\n")
        print(table(headings, times_rows("as they are", coarser(clean, times), times * segment_time)[0]) + "\n")

    replaced = scores_of("words replaced", with_changed_words(clips, 0.08, ("replace",), 2))
    others = scores_of("others' transcripts", with_others_words(clips))
    headings = ["of", "right", "wrong", "AUC", "median right", "median wrong", f"right below {FITS:g}", "wrong above"]
    confidence = [word_confidence(replaced, segment_time)]
    confidence.append(recording_confidence("recordings", clean, others, segment_time))
    print(table(headings, confidence) + "\n")

    shorter, passages = with_passages_left_out(clips, arguments.seed)
    left_out = passage_rows(scores_of("passages left out", shorter), passages, segment_time, decoded)
    noisy = f"nothing, noise, {arguments.snr:g} dB"
    left_out.append(whole_row("nothing", clean, segment_time, decoded))
    left_out.append(whole_row(noisy, noise, segment_time, decoded))
    print(table(HEADINGS, left_out) + "\n")

    print(cost_table(clean, segment_time, arguments.device))
    if arguments.long:
        print()
        print_table(pipe, clips, arguments.long, seeds=[arguments.seed])
    print(f"\n{time.monotonic() - began:.0f} s in all on {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
