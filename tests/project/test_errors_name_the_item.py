"""What takes several items names the one that is bad: every entry point, with every kind of bad item in the middle.

A cell that is not in `TAKEN` must be a `ValueError` with the item's name; one that is must be taken.
"""

import json
import re

import numpy as np
import pytest
import torch
from label_samples import recording, write
from transformers import AutoProcessor, pipeline
from written_labels import ctm, json_lines, srt, text_grid, vtt, whisper

from transformers_qwen3_asr import evaluation
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.formats import read_labels, write_json_lines
from transformers_qwen3_asr.training import Concatenation, RowSize, SlotCollator, row_sizes
from transformers_qwen3_asr.training.transcription_collator import TranscriptionCollator, transcription_sizes

SAMPLES = np.random.default_rng(0).normal(0, 0.05, 16000).astype(np.float32)
WORDS = [{"text": "one", "start": 0.1, "end": 0.3}, {"text": "two", "start": 0.4, "end": 0.6}]


def timed(*times):
    return [{"text": text, "start": start, "end": end} for text, (start, end) in zip(("one", "two"), times)]


#: field of a row -> kind -> value
BAD = {
    "audio": {
        "missing": "nowhere.wav", "undecodable": b"no recording", "folder": "/", "empty": SAMPLES[:0],
        "nan": np.full(16000, np.nan, np.float32), "cube": np.zeros((2, 3, 4), np.float32), "rate": (SAMPLES, 0),
        "texts": ["a", "b"], "number": 5, "dict": {}, "object": object(), "none": None,
    },
    "text": {
        "number": 5, "object": object(), "bytes": b"one two", "words": ["one", 5], "surrogate": "one \ud800",
        "control": "one <|im_end|>", "empty": "", "none": None,
    },
    "language": {"number": 5, "list": ["en"], "blank": " ", "unknown": "Klingon"},
    "words": {
        "number": 5, "strings": ["one", "two"], "texts": [{**WORDS[0], "text": 5}], "none": None, "empty": [],
        "nan": timed((0.1, float("nan")), (0.4, 0.6)), "order": timed((0.4, 0.6), (0.1, 0.3)),
        "late": timed((0.1, 0.3), (0.4, 9.0)), "other": [{**WORDS[0], "text": "three"}],
    },
    "row": {"none": None, "number": 5, "string": "one two", "empty": {}},
}  # fmt: skip


def good(i):
    return {"id": "abc"[i], "audio": SAMPLES, "text": "one two", "language": "English", "words": WORDS}


def message(row):
    return {"role": "user", "content": row["text"]} if isinstance(row, dict) and row else row


@pytest.fixture(scope="module")
def pipe(goldens):
    return pipeline("forced-alignment", model=str(goldens / "aligner"), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def asr(goldens):
    return AutoProcessor.from_pretrained(goldens / "asr")


class Entries:
    """The entry points: what each is given three rows as."""

    def __init__(self, pipe, asr, folder):
        self.pipe, self.aligner, self.asr, self.folder = pipe, pipe.processor, asr, folder

    def prepare_forced_aligner_inputs(self, audio, text, language):
        self.aligner.prepare_forced_aligner_inputs(audio, transcript=text, language=language)

    def tokenize_slots(self, text):
        self.aligner.tokenize_slots([t.split() if isinstance(t, str) else t for t in text], [3] * 3)

    def decode_forced_alignment(self, text):
        texts = [t.split() if isinstance(t, str) else t for t in text]
        ids = self.aligner.tokenize_slots([["one", "two"]] * 3, [3] * 3)["input_ids"]
        self.aligner.decode_forced_alignment(torch.zeros(*ids.shape, 50), ids, texts)

    def apply_transcription_request(self, audio, text, language):
        self.asr.apply_transcription_request(audio, language=language, prompt=text)

    def call(self, audio, text):
        self.asr(text=[f"<|audio_pad|>{t}" if isinstance(t, str) and t else t for t in text], audio=audio)

    def apply_chat_template(self, audio, text):
        blocks = [[{"type": "audio", "audio": a}, {"type": "text", "text": t}] for a, t in zip(audio, text)]
        chats = [[{"role": "user", "content": content}] for content in blocks]
        self.asr.apply_chat_template(chats, tokenize=True, return_dict=True)

    def messages(self, row):
        self.asr.apply_chat_template([message(r) for r in row])

    def conversations(self, row):
        self.asr.apply_chat_template([[message(r)] if message(r) is not r else r for r in row])

    def extract_transcription(self, text):
        self.asr.extract_transcription(text)

    def feature_extractor(self, audio):
        self.asr.feature_extractor(audio, sampling_rate=16000)

    def pipeline_of_rows(self, audio, text, language, row):
        self.pipe(row, batch_size=2)

    def pipeline_of_lists(self, audio, text, language):
        self.pipe(audio, text=text, language=language)

    def pipeline_of_a_stream(self, audio, text, language, row):
        list(self.pipe(iter(row), batch_size=3))

    def evaluate_aligner(self, audio, text, language, words, row):
        evaluation.evaluate_aligner(self.pipe.model, self.aligner, row)

    def evaluate_predictions(self, text, language, words, row):
        evaluation.evaluate_predictions(evaluation.Predictions([good(i) for i in range(3)]), row)

    def predictions(self, words, row):
        evaluation.evaluate_predictions(evaluation.Predictions(row), [good(i) for i in range(3)])

    def evaluate_by_transcription(self, audio, text, language, row):
        def heard(recordings, languages):
            return ["one"] * len(recordings)

        evaluation.evaluate_by_transcription(row, heard, model=self.pipe.model, processor=self.aligner)

    def read_labels(self, audio, text, language, words, row):
        read_labels(row)

    def write_json_lines(self, audio, row):
        def named(r):
            return {**r, "audio": "a.wav"} if isinstance(r, dict) and r.get("audio") is SAMPLES else r

        write_json_lines(map(named, row), self.folder / "out.jsonl")

    def slot_collator(self, audio, language, words, row):
        SlotCollator(self.aligner, classify_num=50)(row)

    def transcription_collator(self, audio, text, language, row):
        TranscriptionCollator(self.asr)(row)

    def row_sizes(self, audio, language, words, row):
        row_sizes(row, self.aligner)

    def transcription_sizes(self, audio, text, language, row):
        transcription_sizes(row, self.asr)

    def concatenation(self, language, row):
        Concatenation(row, [RowSize(1.0, 10)] * 3, 5.0)


#: entry -> field -> kinds that are no error there, with the reason
TAKEN = {
    # a language that the aligner was not trained on is a warning; control tokens of a text to align are words
    "prepare_forced_aligner_inputs": {"text": "control", "language": "unknown"},
    "tokenize_slots": {"text": "empty"},
    "decode_forced_alignment": {"text": "control"},  # as many words as there are slots for
    "apply_transcription_request": {"text": "empty none"},  # nothing in the system's turn
    "call": {"text": "control"},  # a prompt is made of them
    "apply_chat_template": {"text": "empty none"},
    "extract_transcription": {"text": "surrogate control empty"},  # what a model wrote
    # an empty text has an empty result
    "pipeline_of_rows": {"text": "control empty", "language": "unknown"},
    "pipeline_of_lists": {"text": "control empty", "language": "unknown"},
    "pipeline_of_a_stream": {"text": "control empty", "language": "unknown"},
    # without a text it is the words joined; without a duration nothing is compared with it
    "evaluate_aligner": {"text": "none", "language": "unknown", "words": "late"},
    "evaluate_predictions": {"text": "none", "language": "unknown", "words": "late"},
    "predictions": {"words": "order late"},  # an aligner may be wrong
    "evaluate_by_transcription": {"text": "none control", "language": "unknown"},
    "read_labels": {"text": "none", "language": "unknown"},
    "write_json_lines": {"audio": "missing folder none", "row": "empty"},  # writes, and checks nothing
    "slot_collator": {"language": "unknown", "words": "other"},  # texts are not looked at
    "transcription_collator": {"language": "unknown"},
    "row_sizes": {"language": "unknown", "words": "nan order late other"},  # times are not looked at
    "transcription_sizes": {"text": "control empty none", "language": "unknown"},
    "concatenation": {"language": "unknown", "row": "empty"},
}
#: How messages call the second item: by its place, or by its id.
NAME = r"\b(item|row|audio|recording|transcript|prompt|word list|conversation|message|answer|clip) 1\b|^b: |row 'b'"
CELLS = [
    (entry, field, kind)
    for entry, call in vars(Entries).items()
    if not entry.startswith("_")
    for field in call.__code__.co_varnames[1 : call.__code__.co_argcount]
    for kind in BAD[field]
]


def called(entries, entry, field=None, kind=None):
    rows = [good(i) for i in range(3)]
    if field is not None:
        rows[1] = BAD[field][kind] if field == "row" else {**rows[1], field: BAD[field][kind]}
    call = getattr(entries, entry)
    names = call.__code__.co_varnames[1 : call.__code__.co_argcount]
    whole = field == "row"  # columns are of good rows then
    columns = {name: rows if name == "row" else [None if whole else row[name] for row in rows] for name in names}
    call(**columns)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("entry", "field", "kind"), CELLS, ids=map("-".join, CELLS))
def test_the_bad_one_of_three_is_named(pipe, asr, tmp_path, entry, field, kind):
    entries = Entries(pipe, asr, tmp_path)
    if kind in TAKEN.get(entry, {}).get(field, "").split():
        return called(entries, entry, field, kind)
    with pytest.raises(ValueError) as error:
        called(entries, entry, field, kind)
    name = "row 2" if entry == "write_json_lines" else NAME  # as lines of a file are counted
    assert re.search(name, str(error.value)), error.value


@pytest.mark.parametrize("entry", sorted({entry for entry, _, _ in CELLS}))
def test_three_good_ones_are_taken(pipe, asr, tmp_path, entry):
    called(Entries(pipe, asr, tmp_path), entry)


@pytest.mark.parametrize(
    ("logits", "more"),
    [(float("nan"), {}), (float("inf"), {}), (0.0, {"durations": [1.0, "x", 1.0]}), (0.0, {"durations": [1, -1, 1]})],
)
def test_the_bad_scores_of_three_are_named(pipe, logits, more):
    scores = torch.zeros(12, 50)
    scores[5] = logits
    with pytest.raises(ValueError, match="clip 1"):
        pipe.processor.decode_forced_alignment(scores, None, [["one", "two"]] * 3, **more)


# files


GOOD = (("one", 0.1, 0.3), ("two", 0.4, 0.6))
SPOILT = {
    "order": lambda path: None,
    "not UTF-8": lambda path: path.write_bytes(path.read_bytes().replace(b"two", b"tw\xf6")),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4]),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (written, kind)
        for written in (json_lines, whisper, ctm, text_grid, srt, vtt)
        for kind in SPOILT
        if (written, kind) not in ((json_lines, "empty"), (ctm, "empty"))  # files of no rows
    ],
)
def test_the_bad_one_of_three_label_files_is_named(tmp_path, written, kind):
    for name in "abc":
        recording(tmp_path / f"{name}.wav")
        path = tmp_path / name
        file = written(path, GOOD[::-1] if (name, kind) == ("b", "order") else GOOD)
        file.write_text(file.read_text().replace("speech", name))
    bad = file.with_name(f"b{file.suffix}")
    SPOILT[kind](bad)
    good_ones = [file.with_name(f"{name}{file.suffix}") for name in "ac"]
    with pytest.raises(ValueError, match=r"rows of .* are bad") as error:
        read_labels([good_ones[0], bad, good_ones[1]])
    found = str(error.value).split("\n  ")[1:]
    assert found and all(problem.startswith(str(bad)) for problem in found)


def spoilt_recordings(folder):
    """Three recordings with texts, and labels of all; the second one is there to be spoilt."""
    for name in "abc":
        recording(folder / f"{name}.wav", 1.0, 16000)
        write(folder / f"{name}.txt", "one two")
    return [folder / f"{name}.wav" for name in "abc"]


SPOIL = {
    "missing": lambda path: path.unlink(),
    "undecodable": lambda path: path.write_bytes(b"no recording"),
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "not UTF-8": lambda path: path.with_suffix(".txt").write_bytes(b"tw\xf6"),
    "no text": lambda path: path.with_suffix(".txt").unlink(),
}


def fails(capsys, *arguments):
    assert main(list(map(str, arguments))) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    return line


@pytest.mark.parametrize("kind", SPOIL)
def test_align_names_the_bad_one_of_three(goldens, tmp_path, capsys, kind):
    recordings = spoilt_recordings(tmp_path)
    SPOIL[kind](recordings[1])
    line = fails(capsys, "align", *recordings, "--model", goldens / "aligner", "--device", "cpu")
    assert "1 of 3 recordings failed" in line and "b.wav" in line and "a.wav" not in line and "c.wav" not in line


ROWS = {
    "missing": {"audio": "nowhere.wav"}, "undecodable": {"audio": "a.txt"}, "no text": {"text": " "},
    "other text": {"text": "three"}, "language": {"language": 5}, "order": {"words": timed((0.4, 0.6), (0.1, 0.3))},
    "late": {"words": timed((0.1, 0.3), (0.4, 9.0))}, "no row": None,
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("verb", ["evaluate", "train"])
def test_evaluate_and_train_name_the_bad_one_of_three(goldens, tmp_path, capsys, verb, kind):
    spoilt_recordings(tmp_path)
    rows = [{**good(i), "audio": f"{'abc'[i]}.wav"} for i in range(3)]
    rows[1] = None if ROWS[kind] is None else {**rows[1], **ROWS[kind]}
    data = tmp_path / "labels.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = {"evaluate": ["--data", data, "--device", "cpu"],
            "train": ["--train", data, "--output", tmp_path / "out", "--max-steps", 1, "--use-cpu"]}  # fmt: skip
    line = fails(capsys, verb, "--model", goldens / "aligner", *more[verb])
    assert f"{data}:2" in line and f"{data}:1" not in line and f"{data}:3" not in line
