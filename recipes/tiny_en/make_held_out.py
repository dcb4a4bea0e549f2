"""The held-out speech as recordings and labels, as a user of the package would have them.

    python recipes/tiny_en/make_held_out.py --output DIR
    qwen3-asr evaluate --model tiny-en --data DIR/labels.jsonl

The same in parts: 2-5s.jsonl and so on by length, espeak.jsonl and festival.jsonl by synthesizer.

Voices and texts are those of make_data.py's test part: none of them is met in training. Two thirds of the recordings
last 2 to 15 s, one third 15 to 30 s; three quarters are eSpeak's voices, one quarter Festival's ked, a diphone voice
cut from a person's recordings. Texts keep their capitals and punctuation. The same call makes the same recordings.
"""

import argparse
import random
from pathlib import Path

from make_data import TEST_ACCENTS, TEST_VARIANTS
from recordings import labelled_recording
from speakers import EspeakSpeaker, FestivalSpeaker
from texts import TextSource

from transformers_qwen3_asr.formats import write_json_lines

SHORTEST, LONGEST = 2.0, 30.0  # seconds
LENGTHS = [(2, 5), (5, 10), (10, 15), (15, 20), (20, 31)]
DIPHONES = "ked_diphone"


def held_out_texts(source: TextSource, rng: random.Random, count: int) -> list[str]:
    """Texts of 5 to 40 words, every third one several of them, so that it is spoken in more than 15 s."""
    texts = []
    for i in range(count):
        words = max(4, round(rng.triangular(4, 40, 12)))
        text = source.draw(words)
        while i % 3 == 2 and len(text.split()) < 48:
            text = text.rstrip(",;:") + ("" if text[-1] in ".?!" else ".") + " " + source.draw(rng.randint(8, 24))
        texts.append(text)
    return texts


def utterances(rng: random.Random, count: int):
    """Yield (voice, text, utterance or None)."""
    source = TextSource(held_out=True, seed=0)
    source.random = rng
    texts = held_out_texts(source, rng, count)
    diphones = texts[: count // 4]
    stretches = [rng.uniform(0.75, 1.35) for _ in diphones]
    for text, spoken in zip(diphones, FestivalSpeaker().speak_all(diphones, DIPHONES, stretches), strict=True):
        yield DIPHONES, text, spoken
    speaker = EspeakSpeaker()
    for text in texts[count // 4 :]:
        voice = f"{rng.choice(TEST_ACCENTS)}+{rng.choice(TEST_VARIANTS)}"
        pace, gap = rng.triangular(110, 270, 170), rng.choice([0, 0, 0, 0, 1, 2, 5])
        yield voice, text, speaker.speak(text, voice, pace, rng.uniform(15, 85), rng.uniform(20, 90), gap)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=480, help="texts to speak; some end up too short or too long")
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    rows, refused = [], 0
    for i, (voice, text, spoken) in enumerate(utterances(random.Random(7), arguments.texts)):
        path = folder / f"{i:04d}.wav"
        row = labelled_recording(spoken, path, text, "English", voice, (SHORTEST, LONGEST))
        if row is None:
            refused += 1
        else:
            rows.append(row)
    seconds = [row.pop("seconds") for row in rows]
    write_json_lines(rows, folder / "labels.jsonl")
    parts = {f"{low}-{high}s": [low <= length < high for length in seconds] for low, high in LENGTHS}
    parts["espeak"] = [row["voice"] != DIPHONES for row in rows]
    parts["festival"] = [row["voice"] == DIPHONES for row in rows]
    for name, taken in parts.items():
        write_json_lines([row for row, take in zip(rows, taken, strict=True) if take], folder / f"{name}.jsonl")
    print(f"{len(rows)} recordings, {sum(len(row['words']) for row in rows)} words; {refused} texts left out")


if __name__ == "__main__":
    main()
