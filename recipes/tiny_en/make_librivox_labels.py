"""Real readings with PocketSphinx's word times, as a label file: a second opinion, not the truth.

    python recipes/tiny_en/make_librivox_labels.py --output FILE.jsonl
    qwen3-asr evaluate --model tiny-en --data FILE.jsonl

The readings are those of Debian's pocketsphinx-testdata (LibriVox, Sense and Sensibility). They are used for testing
only.
"""

import argparse
from pathlib import Path

from evaluate import LIBRIVOX, readings, sphinx_times

from transformers_qwen3_asr.formats import write_json_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a .jsonl file")
    arguments = parser.parse_args()
    rows = []
    for name, samples, text in readings():
        times = sphinx_times(samples, text).round(3).tolist()
        words = [{"text": w, "start": s, "end": e} for w, (s, e) in zip(text.split(), times, strict=True)]
        audio = str(LIBRIVOX / f"{name}.wav")
        rows.append({"audio": audio, "text": text, "language": "English", "words": words})
    write_json_lines(rows, arguments.output)
    print(f"{len(rows)} readings, {sum(len(row['words']) for row in rows)} words")


if __name__ == "__main__":
    main()
