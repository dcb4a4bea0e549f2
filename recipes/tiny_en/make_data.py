"""Make the labelled speech: raw log-mel features and exact word and phoneme times, in parts that can be resumed.

    python recipes/tiny_en/make_data.py --work-dir DIR [--scale 1.0] [--processes 2]

writes DIR/data/{train,test}/NAME.npy (frames, 128) float16 and NAME.json (one entry a clip: engine, voice, text, first
frame, frames, words [[text, start, end]], phones [[name, start]]; seconds). A part that is already there is kept.
The test part's voices and texts are never used in training.
"""

import argparse
import json
import random
import time
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from features import raw_log_mel, to_16k
from speakers import EspeakSpeaker, FestivalSpeaker, FliteSpeaker
from texts import TextSource

ACCENTS = ["en-us", "en-us", "en-us", "en", "en", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan"]
ACCENTS += ["en-us-nyc"]
TEST_ACCENTS = ["en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbcwmd"]  # the last is new
VARIANTS = (
    "Alex Alicia Andy Annie Diogo Gene Henrique Hugo Jacky Lee Marco Mario Michael Nguyen RicishayMax Storm "
    "Tweaky adam anika announcer antonio aunty benjamin boris caleb croak david ed edward f1 f2 f3 f4 grandma "
    "grandpa gustave iven iven3 john kaukovalta klatt klatt2 klatt3 linda m1 m2 m3 m4 m5 m6 m7 max miguel norbert "
    "pablo paul pedro rob robert robosoft robosoft5 sandro shelby steph travis victor whisper zac"
).split() + [""] * 6
TEST_VARIANTS = "Andrea Denis Mike belinda f5 iven4 klatt4 m8 michel quincy marcelo steph2".split()
# Parts of one engine: (engine, voice, training parts, clips a part). About 22 hours in all.
PLAN = [
    ("espeak", "", 76, 100),
    ("flite", "awb", 22, 100),
    ("flite", "rms", 22, 100),
    ("flite", "slt", 22, 100),
    ("flite", "kal16", 10, 100),
    ("festival", "kal_diphone", 6, 100),
    ("festival", "cmu_us_slt_arctic_hts", 5, 100),
]
TEST_PLAN = [("espeak", "", 3, 110), ("festival", "ked_diphone", 1, 110)]
SHORTEST, LONGEST = 1.0, 15.5


@cache
def _speaker(engine: str):
    return {"espeak": EspeakSpeaker, "flite": FliteSpeaker, "festival": FestivalSpeaker}[engine]()


@cache
def _texts(held_out: bool) -> TextSource:
    return TextSource(held_out, 0)


def _speak(engine: str, voice: str, texts: list[str], rng: random.Random, test: bool):
    """Yield (voice name, utterance or None) for each text."""
    speaker = _speaker(engine)
    if engine == "festival":
        stretches = [rng.uniform(0.75, 1.35) for _ in texts]
        for utterance in speaker.speak_all(texts, voice, stretches):
            yield voice, utterance
        return
    for text in texts:
        if engine == "flite":
            pitch = rng.uniform(75, 160) if voice == "kal16" else None
            yield voice, speaker.speak(text, voice, rng.uniform(0.75, 1.4), pitch)
            continue
        variant = rng.choice(TEST_VARIANTS if test else VARIANTS)
        name = rng.choice(TEST_ACCENTS if test else ACCENTS) + (f"+{variant}" if variant else "")
        pace = rng.triangular(110, 270, 170)
        gap = rng.choice([0, 0, 0, 0, 1, 2, 5])
        yield name, speaker.speak(text, name, pace, rng.uniform(15, 85), rng.uniform(20, 90), gap)


def make_part(job) -> tuple[str, float]:
    """Make one part; returns its name and its seconds of speech."""
    folder, engine, voice, number, clips, test = job
    name = f"{engine}-{voice}-{number:03d}" if voice else f"{engine}-{number:03d}"
    stem = Path(folder) / name
    if not stem.with_suffix(".json").exists():
        torch.set_num_threads(1)
        rng = random.Random(f"{name} {test}")
        source = _texts(test)
        source.random = rng
        texts = [source.draw(max(2, round(rng.triangular(2, 44, 7)))) for _ in range(clips)]
        entries, blocks, first = [], [], 0
        for text, (spoken_by, utterance) in zip(texts, _speak(engine, voice, texts, rng, test), strict=True):
            if utterance is None:
                continue
            samples = to_16k(utterance.samples, utterance.rate)
            if not (2.0 if test else SHORTEST) <= len(samples) / 16000 <= (15.0 if test else LONGEST):
                continue
            block = raw_log_mel(samples)
            entries.append(
                {
                    "engine": engine,
                    "voice": spoken_by,
                    "text": text,
                    "first": first,
                    "frames": len(block),
                    "words": [[w, round(s, 4), round(e, 4)] for w, s, e in utterance.words],
                    "phones": [[p, round(s, 4)] for p, s in utterance.phones],
                }
            )
            blocks.append(block.numpy().astype(np.float16))
            first += len(block)
        np.save(stem.with_suffix(".npy"), np.concatenate(blocks))
        # The JSON is written last and in one step: a part without it is made again.
        partial = stem.with_suffix(".partial")
        partial.write_text(json.dumps(entries))
        partial.rename(stem.with_suffix(".json"))
    entries = json.loads(stem.with_suffix(".json").read_text())
    return name, sum(e["frames"] for e in entries) / 100


def make_all(work_dir: Path, scale: float = 1.0, processes: int = 2) -> dict[str, float]:
    """Make every part under work_dir/data. Returns seconds of speech by `split/engine`."""
    jobs = []
    for split, plan in (("test", TEST_PLAN), ("train", PLAN)):
        folder = work_dir / "data" / split
        folder.mkdir(parents=True, exist_ok=True)
        for engine, voice, parts, clips in plan:
            for number in range(max(1, round(parts * scale))):
                jobs.append((str(folder), engine, voice, number, clips, split == "test"))
    tests = [job for job in jobs if job[-1]]
    rest = [job for job in jobs if not job[-1]]
    random.Random(0).shuffle(rest)
    seconds: dict[str, float] = {}
    begin = time.time()
    with get_context("spawn").Pool(processes) as pool:
        for done, (job, (name, length)) in enumerate(
            zip(tests + rest, pool.imap(make_part, tests + rest), strict=True)
        ):
            key = f"{'test' if job[-1] else 'train'}/{job[1]}"
            seconds[key] = seconds.get(key, 0.0) + length
            if done % 20 == 0:
                print(f"{done + 1}/{len(jobs)} parts, {time.time() - begin:.0f} s, last {name}", flush=True)
    for key, value in sorted(seconds.items()):
        print(f"{key}: {value / 3600:.2f} h")
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of training parts")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    make_all(arguments.work_dir, arguments.scale, arguments.processes)
