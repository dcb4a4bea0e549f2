"""Times for recordings of people by an aligner that hears each several times, for one that is to learn from them.

    python recipes/tiny_en/own_times.py --work-dir WORK --aligner tiny-en FOLDER [FOLDER ...] [--without SET ...]

FOLDER is what transcripts.py reads. Each recording is heard at several tempos and with silence before it, and each
time is the median of all hearings (a mean of teachers, as in Hinton, Vinyals and Dean 2015, "Distilling the Knowledge
in a Neural Network", with one aligner for all of them). Written is WORK/data/train/people-NNN.npy and .json, as
make_people.py writes them, but without phones. A recording is named, left out and counted by its reason where
hearings are on average more than `--apart` milliseconds from their median: there the words are not those of the
transcript, or the aligner is lost. A part that is there is kept; a call with other options is refused.
"""

import argparse
from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np
from corpus import LONG
from features import raw_log_mel
from people_parts import aligner, capitals_or_not, make_parts, write_part
from scipy.signal import resample_poly
from teacher import keep_options
from transcripts import Recording, read_transcripts

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.text.words import split_words

RATE = 16000
#: How a recording is heard: the tempo, as a fraction, and the samples of silence before it.
HEARINGS = ((1, 1, 0), (1, 1, 4000), (20, 19, 160), (20, 21, 160), (10, 11, 0), (10, 9, 4000), (1, 1, 8480))
#: Mean milliseconds that hearings may be from their median.
MOST_APART = 60.0


def own_times(pipe, clips: list[tuple[np.ndarray, list[str]]]) -> tuple[list[np.ndarray], list[float]]:
    """The median of all hearings of each clip's words, `(words, 2)` seconds, and how far hearings are from it on
    average, milliseconds a clip."""
    heard = []
    for faster, slower, lead in HEARINGS:
        rows = (
            {
                "audio": np.pad(resample_poly(samples, slower, faster).astype(np.float32), (lead, 0)),
                "text": words,
                "language": "English",
            }
            for samples, words in clips
        )
        results = pipe(rows, batch_size=16)
        times = [np.array([chunk["timestamp"] for chunk in result["chunks"]]) - lead / RATE for result in results]
        heard.append([np.maximum(clip, 0) * faster / slower for clip in times])
    medians = [np.median(clip, axis=0) for clip in zip(*heard, strict=True)]
    apart = [
        1000 * float(np.abs(np.stack(clip) - median).mean())
        for clip, median in zip(zip(*heard, strict=True), medians, strict=True)
    ]
    return medians, apart


def make_part(stem: Path, recordings: list[Recording], pipe, most: float) -> Counter:
    """Write one part; returns how many recordings were left out for what reason."""
    left_out, clips = Counter(), []

    def leave_out(name: str, reason: str) -> None:
        print(f"left out: {name}: {reason}", flush=True)
        left_out[reason] += 1

    for recording in recordings:
        try:
            samples = load_audio(recording.path, RATE)
        except ValueError as error:
            print(f"left out: {error}", flush=True)
            left_out["recording cannot be read"] += 1
            continue
        if len(samples) > LONG * RATE / 100:
            leave_out(recording.name, f"longer than {LONG / 100:g} s")
            continue
        text = capitals_or_not(recording.name, recording.text)
        clips.append((recording, text, samples, [word.text for word in split_words(text)]))
    medians, distances = own_times(pipe, [clip[2:] for clip in clips])
    kept = []
    for (recording, text, samples, words), times, apart in zip(clips, medians, distances, strict=True):
        if apart > most:
            leave_out(recording.name, f"hearings more than {most:g} ms apart")
            continue
        block = raw_log_mel(samples).numpy().astype(np.float16)
        edges = times.round(4).tolist()
        timed = [[word, start, end] for word, (start, end) in zip(words, edges, strict=True)]
        kept.append((recording.speaker, text, block, timed, []))
    write_part(stem, kept, left_out)
    return left_out


@cache
def _aligner(name: str):
    return aligner(name)


def _part(stem: Path, recordings: list[Recording], name: str, most: float) -> Counter:
    """`make_part` in a process of its own, with the aligner called by its name."""
    return make_part(stem, recordings, _aligner(name), most)


def make_own(
    work: Path, folders: list[Path], name: str, without: tuple[str, ...], processes: int, most: float = MOST_APART
) -> None:
    """Make every part under WORK/data/train. Raises `ValueError` where an earlier call had other options."""
    options = {"folders": sorted(str(Path(folder).resolve()) for folder in folders), "without": sorted(without)}
    keep_options(work / "own-times.json", {**options, "aligner": name, "apart": most})
    recordings, left_out = read_transcripts(folders, without=without)
    part = partial(_part, name=name, most=most)
    make_parts(work / "data" / "train", recordings, part, processes, left_out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="recordings with transcripts")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--aligner", default="tiny-en", help="that hears them")
    parser.add_argument("--without", nargs="*", default=[], help="sets of transcripts.jsonl that are left out")
    parser.add_argument("--apart", type=float, default=MOST_APART, help="mean milliseconds between hearings")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    make_own(
        arguments.work_dir,
        arguments.folders,
        arguments.aligner,
        tuple(arguments.without),
        arguments.processes,
        arguments.apart,
    )
