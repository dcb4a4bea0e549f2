"""Speech of people as training parts: log-mel features and the teacher's word and phone times.

    python recipes/tiny_en/make_people.py --work-dir WORK [--check tiny-en]

reads WORK/teacher (see teacher.py) and writes WORK/data/train/people-NNN.npy and .json as make_data.py writes those of
synthesizers. A recording is named, left out and counted by its reason where the teacher found no way through it, where
it is longer than any training clip, or where the aligner `--check` says times that are on average more than `--apart`
milliseconds away: then one of them is lost, and more often than not the transcript is wrong. A part that is already
there is kept, with its counts in people-NNN.counts; a call with another `--check` or `--apart` is refused.
"""

import argparse
import json
from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np
from corpus import LONG
from features import raw_log_mel
from people_parts import aligner, capitals_or_not, make_parts, write_part
from praatio import textgrid
from teacher import keep_options

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.text.words import split_words

SILENCES = ("", "sil", "sp")
#: Mean milliseconds that two aligners of the same words may be apart.
MOST_APART = 250.0


def phone_name(label: str) -> str:
    """A phone of the CMU Pronouncing Dictionary as Flite names it, "" for silence."""
    if label in SILENCES:
        return ""
    return "ax" if label == "AH0" else label.rstrip("012").lower()


def teacher_times(path: Path, words: list[str]) -> tuple[list[list], list[list]] | None:
    """Words `[text, start, end]` and phones `[name, start]` of a TextGrid in seconds; nothing where it has others than
    `words`."""
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    spoken = [entry for entry in grid.getTier("words").entries if entry.label not in SILENCES]
    if [entry.label.casefold() for entry in spoken] != [word.casefold() for word in words]:
        return None
    times = [[word, round(entry.start, 4), round(entry.end, 4)] for word, entry in zip(words, spoken, strict=True)]
    phones = [[phone_name(entry.label), round(entry.start, 4)] for entry in grid.getTier("phones").entries]
    return times, phones


class Check:
    """How far another aligner's times are from the teacher's, milliseconds a recording."""

    def __init__(self, name: str):
        self.pipe = aligner(name)

    def __call__(self, clips: list[tuple[np.ndarray, list[list]]]) -> list[float]:
        rows = (
            {"audio": samples, "text": [word for word, _, _ in words], "language": "English"}
            for samples, words in clips
        )
        apart = []
        for (_, words), result in zip(clips, self.pipe(rows, batch_size=16, refine=False), strict=True):
            found = np.array([chunk["timestamp"] for chunk in result["chunks"]])
            apart.append(1000 * float(np.abs(found - np.array([word[1:] for word in words])).mean()))
        return apart


def make_part(stem: Path, rows: list[dict], teacher: Path, check: Check | None, most: float) -> Counter:
    """Write one part; returns how many recordings were left out for what reason."""
    left_out, clips = Counter(), []

    def leave_out(name: str, reason: str) -> None:
        print(f"left out: {name}: {reason}", flush=True)
        left_out[reason] += 1

    for row in rows:
        text = capitals_or_not(row["name"], row["text"])
        words = [word.text for word in split_words(text)]
        path = teacher / "aligned" / row["speaker"] / f"{row['name']}.TextGrid"
        times = teacher_times(path, words) if path.exists() else None
        if times is None:
            leave_out(row["name"], "no alignment by the teacher")
            continue
        parts = [teacher / "corpus" / part / row["speaker"] / f"{row['name']}.wav" for part in ("known", "guessed")]
        samples = load_audio(next(path for path in parts if path.exists()), 16000)
        block = raw_log_mel(samples).numpy().astype(np.float16)
        if len(block) > LONG:
            leave_out(row["name"], f"longer than {LONG / 100:g} s")
            continue
        clips.append((row, samples, block, text, *times))
    if check and clips:
        apart = check([(samples, words) for _, samples, _, _, words, _ in clips])
        for clip, value in zip(clips, apart, strict=True):
            if value > most:
                leave_out(clip[0]["name"], f"more than {most:g} ms from the aligner's times")
        clips = [clip for clip, value in zip(clips, apart, strict=True) if value <= most]
    write_part(stem, [(row["speaker"], text, block, *times) for row, _, block, text, *times in clips], left_out)
    return left_out


@cache
def _check(name: str) -> Check:
    return Check(name)


def _part(stem: Path, rows: list[dict], teacher: Path, check: str | None, most: float) -> Counter:
    """`make_part` in a process of its own, with the aligner that checks called by its name."""
    return make_part(stem, rows, teacher, _check(check) if check else None, most)


def make_people(work: Path, check: str | None = None, processes: int = 1, most: float = MOST_APART) -> None:
    """Make every part under WORK/data/train.

    Raises `ValueError` where an earlier call had another `check` or `most`.
    """
    if check:
        resolve_model(check)  # refused here, before it is written down
    keep_options(work / "teacher" / "parts.json", {"check": check, "apart": most})
    rows = json.loads((work / "teacher" / "recordings.json").read_text())
    part = partial(_part, teacher=work / "teacher", check=check, most=most)
    make_parts(work / "data" / "train", rows, part, processes, Counter())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--check", help="an aligner whose times are compared, such as tiny-en")
    parser.add_argument("--apart", type=float, default=MOST_APART, help="mean milliseconds that it may be away")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    make_people(arguments.work_dir, arguments.check, arguments.processes, arguments.apart)
