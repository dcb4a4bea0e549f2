"""Recordings of people with their transcripts, out of folders as they are published; no times are needed.

`read_transcripts` knows three layouts, by the files that it finds anywhere below a folder:

- `transcripts.jsonl`: a JSON object a line with `audio` (a path beside that file) and `text`, and, where known,
  `speaker`, `language` and `set`;
- LibriSpeech: `*.trans.txt`, an utterance's name and its words a line, with NAME.flac (or .wav, .opus, .mp3) beside
  it;
- Common Voice: `validated.tsv`, or else `train.tsv`, with the columns `path`, `sentence` and `client_id`, where known
  `locale`, and the recordings in `clips/`.

What cannot be used is named as it is met, left out, and counted by its reason in the `Counter` that comes back.
"""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers_qwen3_asr.text.words import split_words

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")
LONGEST = 30.0  # seconds, the longest that tiny-en has classes for


@dataclass(frozen=True)
class Recording:
    """A recording, what is said in it, and by whom; `name` is unique among all that are read, and both it and
    `speaker` may be the name of a file."""

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

    Raises `ValueError` naming the folder in which none of the three layouts is found, or the line that is broken.
    """
    found, left_out = {}, Counter()
    for folder in folders:
        known = False
        for reader in (_json_lines, _librispeech, _common_voice):
            for path, text, corpus, speaker, spoken, source in reader(Path(folder)):
                known = True
                place = path.resolve() if os.path.isfile(path) else None
                if spoken is not None and spoken.casefold() != language.casefold():
                    reason = f"another language than {language}"
                elif source in without:
                    reason = f"of the set {source}"
                elif place is None:
                    reason = "recording is missing"
                elif not split_words(text):
                    reason = "no words in the transcript"
                elif place in found:
                    reason = "recording met twice"
                else:
                    name = _name(place)
                    found[place] = Recording(name, path, text, file_name(f"{corpus}-{speaker}") if speaker else name)
                    continue
                print(f"left out: {path}: {reason}", flush=True)
                left_out[reason] += 1
        if not known:
            raise ValueError(
                f"{folder}: no transcripts, neither in transcripts.jsonl nor in *.trans.txt nor in validated.tsv or "
                "train.tsv"
            )
    return list(found.values()), left_out


def file_name(text: str) -> str:
    """`text` as the name of a file or folder: letters, digits, "-" and "_", at most 100 bytes."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in text)
    return name.encode()[:100].decode(errors="ignore") or "_"


def _name(place: Path) -> str:
    """A recording's name: its file's, and a hash of where that is."""
    return f"{file_name(place.stem)}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}"


def _json_row(line: bytes) -> dict:
    row = json.loads(line.decode("utf-8"))
    if not isinstance(row, dict):
        raise ValueError("no object")
    for key, types in {"audio": str, "text": str, "speaker": (str, int), "language": str, "set": str}.items():
        value = row.get(key)
        if not (isinstance(value, types) or (value is None and key not in ("audio", "text"))):
            raise ValueError(f"{key} is {value!r}")
    if not row["audio"]:
        raise ValueError("audio is empty")
    return row


def _json_lines(folder: Path) -> Iterator[tuple]:
    for index in sorted(folder.rglob("transcripts.jsonl")):
        # at \n alone: others of Unicode's line ends may stand inside a JSON string
        lines = [(number, line) for number, line in enumerate(index.read_bytes().split(b"\n"), 1) if line.strip()]
        if not lines:
            raise ValueError(f"{index} is empty")
        for number, line in lines:
            try:
                row = _json_row(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{index}, line {number}: {error}; a line has at least audio and text") from error
            speaker, language, source = (row.get(key) for key in ("speaker", "language", "set"))
            speaker = "" if speaker is None else str(speaker)
            yield index.parent / row["audio"], row["text"], source or index.parent.name, speaker, language, source


def _librispeech(folder: Path) -> Iterator[tuple]:
    for index in sorted(folder.rglob("*.trans.txt")):
        for number, line in enumerate(index.read_text(encoding="utf-8").split("\n"), 1):
            name, _, text = line.strip().partition(" ")
            if "/" in name:
                raise ValueError(f"{index}, line {number}: {name!r} is no utterance's name")
            if name:
                paths = [index.parent / (name + suffix) for suffix in SUFFIXES]
                path = next((path for path in paths if os.path.isfile(path)), paths[0])
                yield path, text, "librispeech", name.split("-")[0], None, None


def _common_voice(folder: Path) -> Iterator[tuple]:
    for index in sorted({path.parent for path in (*folder.rglob("validated.tsv"), *folder.rglob("train.tsv"))}):
        table = index / "validated.tsv"
        table = table if table.exists() else index / "train.tsv"
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                locale = row.get("locale") or None
                language = "English" if locale and locale.casefold().startswith("en") else locale
                path = index / "clips" / (row.get("path") or "")
                yield path, row.get("sentence") or "", "common-voice", row.get("client_id") or "", language, None
