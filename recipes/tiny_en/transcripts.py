"""Recordings of people with their transcripts, out of folders as they are published; no times are needed.

`read_transcripts` knows three layouts, by the files that it finds anywhere below a folder:

- `transcripts.jsonl`: a JSON object a line with `audio` (a path beside that file) and `text`, and, where known,
  `speaker`, `language` and `set`;
- LibriSpeech: `*.trans.txt`, an utterance's name and its words a line, with NAME.flac (or .wav, .opus, .mp3) beside
  it;
- Common Voice: `validated.tsv`, or else `train.tsv`, with the columns `path`, `sentence` and `client_id`, and the
  recordings in `clips/`.

What cannot be used is left out, and counted by its reason in the `Counter` that comes back.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers_qwen3_asr.alignment.words import split_words

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")
LONGEST = 30.0  # seconds, the longest that tiny-en has classes for


@dataclass(frozen=True)
class Recording:
    """A recording, what is said in it, and by whom; `name` is unique among all that are read."""

    name: str
    path: Path
    text: str
    speaker: str

    @property
    def words(self) -> list[str]:
        """The words that the aligner gives times to."""
        return [word.text for word in split_words(self.text)]


def read_transcripts(
    folders: list[Path], language: str = "English", without: tuple[str, ...] = ()
) -> tuple[list[Recording], Counter]:
    """All recordings of `language` below `folders` but those of the sets `without`, and how many were left out for
    what reason.

    Raises `ValueError` naming the folder in which none of the three layouts is found.
    """
    found, left_out = {}, Counter()
    for folder in folders:
        known = False
        for reader in (_json_lines, _librispeech, _common_voice):
            for name, path, text, speaker, spoken, source in reader(Path(folder)):
                known = True
                if spoken is not None and spoken.casefold() != language.casefold():
                    left_out[f"another language than {language}"] += 1
                elif source in without:
                    left_out[f"of the set {source}"] += 1
                elif not path.is_file():
                    left_out["recording is missing"] += 1
                elif not split_words(text):
                    left_out["no words in the transcript"] += 1
                elif name in found:
                    left_out["name met twice"] += 1
                else:
                    found[name] = Recording(name, path, text, speaker)
        if not known:
            raise ValueError(
                f"{folder}: neither transcripts.jsonl nor *.trans.txt nor validated.tsv or train.tsv in it"
            )
    return list(found.values()), left_out


def _name(path: Path) -> str:
    """A recording's name: its place in its set, as one word."""
    return "-".join(path.with_suffix("").parts[-3:]).replace(" ", "_")


def _json_lines(folder: Path) -> Iterator[tuple]:
    for index in sorted(folder.rglob("transcripts.jsonl")):
        for number, line in enumerate(index.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                audio, text = row["audio"], row["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{index}, line {number}: {error!r}; a line has at least audio and text") from error
            speaker, language, source = (row.get(key) for key in ("speaker", "language", "set"))
            yield _name(Path(audio)), index.parent / audio, text, str(speaker or "one"), language, source


def _librispeech(folder: Path) -> Iterator[tuple]:
    for index in sorted(folder.rglob("*.trans.txt")):
        for line in index.read_text(encoding="utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            if name:
                paths = [index.parent / (name + suffix) for suffix in SUFFIXES]
                path = next((path for path in paths if path.is_file()), paths[0])
                yield name, path, text, name.split("-")[0], None, None


def _common_voice(folder: Path) -> Iterator[tuple]:
    for index in sorted({path.parent for path in (*folder.rglob("validated.tsv"), *folder.rglob("train.tsv"))}):
        table = index / "validated.tsv"
        table = table if table.exists() else index / "train.tsv"
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                path = index / "clips" / (row.get("path") or "")
                yield path.stem, path, row.get("sentence") or "", row.get("client_id") or path.stem, None, None
