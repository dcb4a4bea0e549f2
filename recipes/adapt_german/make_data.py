"""German speech with exact word times, as label files: what `qwen3-asr train` and `qwen3-asr evaluate` read.

    python recipes/adapt_german/make_data.py --output DIR

writes DIR/train.jsonl, DIR/eval.jsonl and DIR/test.jsonl with recordings beside them. eSpeak NG speaks prose of the
Debian package fortunes-de. The test part's texts and voices are met nowhere else; the eval part (watched in training)
shares the training's voices, not its texts.
"""

import argparse
import hashlib
import random
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tiny_en"))
from recordings import labelled_recording
from speakers import EspeakSpeaker
from texts import clean_word

from transformers_qwen3_asr.formats import write_json_lines

FORTUNES = Path("/usr/share/games/fortunes/de")
VOICES = "Alex Alicia Andy Annie Gene Hugo Jacky Lee Marco Mario adam anika boris david ed f1 f2 f3 f4 grandma".split()
VOICES += "grandpa iven john linda m1 m2 m3 m4 m5 m6 m7 max miguel norbert paul rob robert steph victor zac".split()
TEST_VOICES = "Andrea Denis Mike belinda f5 iven4 m8 michel quincy marcelo steph2".split()
PARTS = {"train": 400, "eval": 40, "test": 120}
SHORTEST, LONGEST = 2.0, 12.0  # seconds
_ALLOWED = re.compile(r"[A-Za-zÄÖÜäöüß ,.;:!?'\"()\-]+")


def prose() -> list[str]:
    """German paragraphs of five words or more with plain punctuation, without their authors."""
    paragraphs = []
    for path in sorted(FORTUNES.iterdir()):
        if path.suffix or not path.is_file():
            continue
        for entry in path.read_text(encoding="utf-8", errors="ignore").split("\n%\n"):
            text = " ".join(entry.split("\n\t")[0].split("--")[0].split())
            text = " ".join(token for token in text.split() if clean_word(token))
            if len(text.split()) >= 5 and _ALLOWED.fullmatch(text):
                paragraphs.append(text)
    if not paragraphs:
        raise ValueError(f"no prose in {FORTUNES}: install the Debian package fortunes-de")
    return paragraphs


def part_of(text: str) -> str:
    """The part a paragraph belongs to, by a hash of its own text: a fifth to test, a tenth to eval."""
    place = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    return "test" if place < 0.2 else "eval" if place < 0.3 else "train"


def speak_part(folder: Path, part: str, paragraphs: list[str], count: int) -> list[dict]:
    """Rows of `count` recordings, which are written to folder/part."""
    speaker, rng = EspeakSpeaker(), random.Random(part)
    (folder / part).mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    while len(rows) < count:
        tokens = rng.choice(paragraphs).split()
        length = max(4, round(rng.triangular(4, 24, 9)))
        first = rng.randrange(max(1, len(tokens) - length + 1))
        text = " ".join(tokens[first : first + length])
        voice = f"de+{rng.choice(TEST_VOICES if part == 'test' else VOICES)}"
        pace = rng.triangular(110, 250, 165)
        spoken = speaker.speak(text, voice, pace, rng.uniform(15, 85), rng.uniform(20, 90), rng.choice([0, 0, 0, 2]))
        path = folder / part / f"{len(rows):04d}.wav"
        row = labelled_recording(spoken, path, text, "German", voice, (SHORTEST, LONGEST))
        if row is not None:
            del row["seconds"]
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    paragraphs: dict[str, list[str]] = {part: [] for part in PARTS}
    for text in prose():
        paragraphs[part_of(text)].append(text)
    for part, count in PARTS.items():
        rows = speak_part(arguments.output, part, paragraphs[part], count)
        write_json_lines(rows, arguments.output / f"{part}.jsonl")
        print(f"{part}: {len(rows)} recordings, {sum(len(row['words']) for row in rows)} words")


if __name__ == "__main__":
    main()
