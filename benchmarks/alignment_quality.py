"""How good the aligner's times and scores are on labelled speech, stage by stage, beside other aligners.

    python benchmarks/alignment_quality.py --data labels.jsonl

prints tables for README.md, of people's recordings first: as they are, in the telephone band, with noise, with
hesitations, with changed words, with passages that the transcript leaves out, with classes of 80 ms and, by --long 10
60, joined to so many minutes; whether scores are what they say; what is reported where the transcript leaves a passage
out; and what decoding costs. --synthetic LABELS prints the same of synthesizers' recordings after them. PocketSphinx
is measured beside it where it is installed, viter where --viter and --viter-dict name a model. benchmarks/README.md
has the tables.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from alignment_clips import (
    LabelledClip,
    groups_of,
    in_telephone_band,
    joinable,
    labelled_clips,
    with_changed_words,
    with_hesitations,
    with_noise,
    with_others_words,
)
from alignment_cost import cost_table
from alignment_figures import (
    CALIBRATION,
    CONFIDENCE,
    HEADINGS,
    calibration_row,
    confidence_row,
    share_that_fits,
    table,
    times_row,
    verdict,
)
from alignment_long import long_rows
from alignment_passages import HEADINGS as LEFT_OUT
from alignment_passages import passage_rows, whole_row, with_passages_left_out
from alignment_peers import Peer, peer_times, pocketsphinx_peer, viter_peer
from alignment_stages import DEFAULT, STAGES, Found, ScoredClip, aligned, classes_merged, heard
from transformers import AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import ForcedAlignmentPipeline
from transformers_qwen3_asr.alignment.confidence import FITS
from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.formats import read_labels


class Judge:
    """
    Measures a pipeline, and peers beside it, on sets of clips; rows of tables gather in `times` and `calibration`, and
    in `notes` what peers leave out.
    """

    def __init__(self, pipe, peers: dict[str, Peer], batch_size: int, told: Callable[[str], None]):
        self.pipe, self.peers, self.batch_size, self.told = pipe, peers, batch_size, told
        self.times: list[list[str]] = []
        self.calibration: list[list[str]] = []
        self.notes: list[str] = []

    def condition(
        self,
        name: str,
        clips: Sequence[LabelledClip],
        split: dict[str, list[int]] | None = None,
        foreign: bool = True,
        peers: bool = True,
    ) -> list[ScoredClip]:
        """A row for each stage and each peer, of all clips or of each of the parts in `split`. Unless `foreign` is
        False the clips are also aligned with each other's texts. Gives the clips with their scores."""
        self.told(name)
        own, audio = heard(self.pipe, clips, self.batch_size)
        others = heard(self.pipe, with_others_words(clips), self.batch_size)[0] if foreign else None
        ways: dict[str, list[Found | None]] = {stage: [*map(decode, own)] for stage, decode in STAGES.items()}
        strange = {stage: [*map(decode, others)] for stage, decode in STAGES.items()} if others else {}
        if peers:
            ways |= {peer: self._of_peer(peer, name, clips) for peer in self.peers}
        for part, places in (split or {"": range(len(clips))}).items():
            label = f"{name}, {part}" if part else name
            some = [clips[i] for i in places]
            before = None
            for way, everything in ways.items():
                found = [everything[i] for i in places]
                row: dict = {"before": before}
                if way in STAGES:
                    row["refused"] = 1 - share_that_fits(some, found)
                    if strange:
                        row["taken"] = share_that_fits(some, [strange[way][i] for i in places])
                    if len(some) == len(clips):
                        row["audio"] = audio if way == DEFAULT else 1.0
                    before = found  # peers are all compared with the default
                self.times.append(times_row(label, way, some, found, **row))
            self.calibration.append(calibration_row(label, some, [ways[DEFAULT][i] for i in places]))
        return own

    def _of_peer(self, peer: str, name: str, clips: Sequence[LabelledClip]) -> list[Found | None]:
        self.told(f"{name}, {peer}")
        found, reasons = peer_times(self.peers[peer], clips)
        if reasons:
            self.notes.append(f"{name}: {peer} leaves out {'; '.join(reasons)}.")
        return found

    def print_times(self) -> None:
        print(table(HEADINGS, self.times) + "\n")
        for note in self.notes:
            print(f"- {note}")
        print(("\n" if self.notes else "") + "Whether scores are what they say (asked again):\n")
        print(table(CALIBRATION, self.calibration) + "\n")
        self.times, self.calibration, self.notes = [], [], []


def parts(clips: Sequence[LabelledClip]) -> dict[str, list[int]]:
    """Places of all clips, of the largest group's, and of the others'; one nameless part where there are no groups."""
    names = [clip.group for clip in clips]
    largest = max(sorted(set(names)), key=names.count)
    if len(set(names)) == 1:
        return {"": [*range(len(clips))]}
    of_largest = [i for i, name in enumerate(names) if name == largest]
    others = [i for i, name in enumerate(names) if name != largest]
    return {"all": [*range(len(clips))], largest: of_largest, "others": others}


def print_judgement(
    judge: Judge, clips: Sequence[LabelledClip], arguments: argparse.Namespace, people: bool
) -> list[ScoredClip]:
    """All tables of one set of clips; gives them as they are, with their scores."""
    pipe, seed = judge.pipe, arguments.seed
    segment_time = pipe.model.config.timestamp_segment_time
    noise, changed = f"noise, {arguments.snr:g} dB", f"{arguments.changed:.0%} changed words"
    split = parts(clips)
    clean = judge.condition("as they are", clips, split)
    if people:
        split.pop("others", None)
        judge.condition("telephone band", in_telephone_band(clips), split)
    noisy = judge.condition(noise, with_noise(clips, arguments.snr, seed))
    if people:
        judge.condition("hesitations", with_hesitations(clips, seed), foreign=False)
    wrong = with_changed_words(clips, arguments.changed, seed=seed + 1)
    judge.condition(changed, wrong, foreign=False)
    shorter, _ = with_passages_left_out(clips, seed)
    if people and shorter:
        judge.condition("passages left out", shorter, foreign=False)
    if segment_time <= 40:
        with classes_merged(pipe.model, 2 * round(40 / segment_time)) as merged_time:
            judge.condition(f"classes of {merged_time:g} ms", clips, peers=False)
    judge.print_times()
    print_reports(judge, clips, clean, {"nothing": clean, f"nothing, {noise}": noisy}, seed)
    lengths = arguments.long if people else ()
    joined = joinable(clips) if lengths else []
    for length in lengths:
        judge.told(f"{length:g} minutes")
        judge.times, judge.calibration = long_rows(pipe, joined, length, seed, judge.batch_size)
        print(f"Joined to a recording of {length:g} minutes:\n")
        judge.print_times()
    return clean


def print_reports(
    judge: Judge, clips: Sequence[LabelledClip], clean: Sequence[ScoredClip], whole: dict, seed: int
) -> None:
    """Tables of what results say: words and texts that are wrong, and passages that the text leaves out."""

    def of_pipeline(what: str, clips: Sequence[LabelledClip]) -> list[Found]:
        judge.told(what)
        return aligned(judge.pipe, clips, judge.batch_size)[0]

    replaced = with_changed_words(clips, 0.08, ("replace",), seed + 2)
    scores = [values for _, values in of_pipeline("words replaced", replaced)]
    right = np.concatenate([one[clip.right] for clip, one in zip(replaced, scores)])
    wrong = np.concatenate([one[~clip.right] for clip, one in zip(replaced, scores)])
    rows = [confidence_row("words", right, wrong)]
    others = of_pipeline("others' texts", with_others_words(clips))
    means = [
        np.array([verdict(clip, one)[0].score for clip, one in zip(clips, found)])
        for found in ([clip.default for clip in clean], others)
    ]
    print(table(CONFIDENCE, [*rows, confidence_row("recordings", *means, FITS)]) + "\n")

    shorter, passages = with_passages_left_out(clips, seed)
    rows = passage_rows(shorter, passages, of_pipeline("passages left out", shorter))
    for name, scored in whole.items():
        rows.append(whole_row(name, [clip.clip for clip in scored], [clip.default for clip in scored]))
    print(table(LEFT_OUT, rows) + "\n")


def found_peers(clips: Sequence[LabelledClip], model: str | None, dictionary: str | None) -> dict[str, Peer]:
    """The peers that there are, for the words of the clips; of those that there are not, the reason is printed."""
    peers: dict[str, Peer] = {}
    try:
        peers["PocketSphinx"] = pocketsphinx_peer()
    except ImportError as error:
        print(f"Without PocketSphinx: {error}.\n")
    if model is None:
        print("Without viter: --viter and --viter-dict name no model.\n")
        return peers
    try:
        peers["viter"] = viter_peer(model, dictionary, (word for clip in clips for word in clip.words))
    except ImportError as error:
        print(f"Without viter: {error}.\n")
    return peers


def load(name: str, dtype: str, device: str):
    """Model and processor of a hub name, a folder, or tiny-en."""
    folder = resolve_model(name)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    return model.to(device), AutoProcessor.from_pretrained(folder)


def read_clips(files: Sequence[str], most: int | None) -> list[LabelledClip]:
    """The clips of label files; only `most`, evenly taken from all, where that is given."""
    clips = labelled_clips(read_labels(files), groups_of(files))
    return [clips[i * len(clips) // most] for i in range(most)] if most and most < len(clips) else clips


def minutes(clips: Sequence[LabelledClip]) -> float:
    return sum(clip.seconds for clip in clips) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-en", help="hub name, folder, or tiny-en (default)")
    parser.add_argument("--data", nargs="+", required=True, help="people's labels, as for qwen3-asr evaluate")
    parser.add_argument("--synthetic", nargs="+", default=[], help="labels of synthesizers' recordings")
    parser.add_argument("--rows", type=int, help="only so many recordings, evenly taken from all")
    parser.add_argument("--snr", type=float, default=10.0, help="decibels of the noise below the words (default: 10)")
    parser.add_argument("--changed", type=float, default=0.05, help="share of words changed (default: 0.05)")
    parser.add_argument("--long", type=float, nargs="+", default=[], help="minutes of recordings made of the clips")
    parser.add_argument("--viter", metavar="MODEL", help="a trained model of viter")
    parser.add_argument("--viter-dict", metavar="DICT", help="its dictionary")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    arguments = parser.parse_args()
    if (arguments.viter is None) != (arguments.viter_dict is None):
        parser.error("--viter and --viter-dict go together")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    began = time.monotonic()

    def told(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s: {what}", file=sys.stderr, flush=True)

    model, processor = load(arguments.model, arguments.dtype, arguments.device)
    print(
        f"{arguments.model}, {model.config.timestamp_segment_time:g} ms a class, {arguments.dtype}, "
        f"{arguments.device}, torch {torch.__version__}, {torch.get_num_threads()} threads.\n"
    )
    pipe = ForcedAlignmentPipeline(model=model, processor=processor, device=arguments.device)
    people = read_clips(arguments.data, arguments.rows)
    print(f"People: {len(people)} recordings, {minutes(people):.1f} minutes.\n")
    judge = Judge(pipe, found_peers(people, arguments.viter, arguments.viter_dict), arguments.batch_size, told)
    clean = print_judgement(judge, people, arguments, people=True)
    if arguments.synthetic:
        clips = read_clips(arguments.synthetic, arguments.rows)
        print(f"Synthesizers: {len(clips)} recordings, {minutes(clips):.1f} minutes.\n")
        print_judgement(Judge(pipe, {}, arguments.batch_size, told), clips, arguments, people=False)
    print(cost_table(clean, arguments.device))
    print(f"\n{time.monotonic() - began:.0f} s in all on {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
