"""Transcription: odd recordings, languages, contexts and options, several rows at once, also with word times."""

from pathlib import Path

import odd_texts

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
GOLDENS = ROOT / "tests" / "goldens"
SHARE = 2
SECONDS = 60
MEBIBYTES = 4096
SOUNDS = ("speech", "speech", "noise", "silence", "tiny", "empty", "nan", "loud", "text", "file", "garbage", "missing")
LANGUAGES = (None, None, "English", "zh", "GERMAN", "Klingon", "", 5, "<|im_end|>", ["English"])
OPTIONS = {
    "chunk_length_s": (1, 1.5, 3, 0, -1, float("nan"), "3", True),
    "batch_size": (1, 2, 5, 0, -1, 2.5),
    "batch_seconds": (1, 4, 1e9, 0, float("inf"), "4"),
    "return_timestamps": ("word", "char", "sentence", "line", True, False, "words", 3),
    "original_text": (True, False, "yes"),
    "language": LANGUAGES,
    "context": (None, "Norland", "<|im_start|>", 5),
    "generate_kwargs": ({}, {"num_beams": 2}, {"num_return_sequences": 2, "num_beams": 2}, {"temperature_": 1}, 5),
    "on_error": ("return", "return", "return", "raise", "ignore"),
}
TOKENS = 12  # a random recogniser says as much as it may

_PREPARED = {}


def prepare():
    from transformers import pipeline

    import transformers_qwen3_asr  # noqa: F401  registers

    options = {"dtype": "float32", "device": "cpu"}
    _PREPARED["recogniser"] = pipeline("automatic-speech-recognition", model=str(GOLDENS / "asr"), **options)
    _PREPARED["aligner"] = pipeline("forced-alignment", model=str(GOLDENS / "aligner"), **options)


def make(random, folder):
    rows = []
    for number in range(random.randint(1, 4)):
        row = {"sound": random.choice(SOUNDS), "seconds": random.choice((0.01, 0.3, 1.0, 2.5)), "number": number}
        if random.random() < 0.3:
            row["language"] = random.choice(LANGUAGES)
        if random.random() < 0.4:
            row["context"] = odd_texts.text(random, pieces=3)
        rows.append(row)
    options = {name: random.choice(values) for name, values in OPTIONS.items() if random.random() < 0.12}
    options.setdefault("on_error", "return")
    # what a refusal may name: a row, or one of the options
    return {"rows": rows, "options": options, "names": ["item ", *OPTIONS, "generate", "language"]}


def _audio(row, folder):
    import numpy as np

    from transformers_qwen3_asr.audio import load_audio

    count = round(16000 * row["seconds"])
    path = folder / f"{row['number']}.flac"
    if row["sound"] == "garbage":
        path.write_bytes(b"no recording" * 50)
    elif row["sound"] == "file":
        path.write_bytes(RECORDING.read_bytes()[:40000])
    samples = {
        "speech": lambda: load_audio(RECORDING)[8000 : 8000 + count],
        "noise": lambda: np.random.default_rng(row["number"]).normal(0, 0.1, count),
        "silence": lambda: np.zeros(count, np.float32),
        "tiny": lambda: np.ones(1, np.float32),
        "empty": lambda: np.zeros(0, np.float32),
        "nan": lambda: np.full(count, np.nan, np.float32),
        "loud": lambda: np.full(count, 1e30, np.float32),
        "text": lambda: np.array(["a"] * 5),
    }
    return samples[row["sound"]]() if row["sound"] in samples else str(path)


def run(case, folder):
    pipe, options = _PREPARED["recogniser"], dict(case["options"])
    if isinstance(options.get("generate_kwargs", {}), dict):
        options["generate_kwargs"] = {"max_new_tokens": TOKENS, **options.get("generate_kwargs", {})}
    if options.get("return_timestamps"):
        options["aligner"] = _PREPARED["aligner"]
    rows = []
    for row in case["rows"]:
        given = {name: row[name] for name in ("language", "context") if name in row}
        rows.append({"audio": _audio(row, folder), **given})
    try:
        results = pipe(rows, **options)
    except ValueError as error:
        if options["on_error"] == "return" and str(error).startswith("item "):
            raise AssertionError("a row's error was raised, not returned") from error
        raise  # an option's
    assert len(results) == len(rows)
    for number, result in enumerate(results):
        _check(result, number, options)


def _check(result, number, options):
    assert isinstance(result["text"], str)
    result["text"].encode()
    if options["on_error"] == "return" and result["error"] is not None:
        assert result["error"].startswith(f"item {number}: ") and result["text"] == "", result["error"]
        assert result.get("chunks", []) == []
        return
    assert result["language"] is None or isinstance(result["language"], str)
    assert ("chunks" in result) == bool(options.get("return_timestamps"))
    if "chunks" not in result:
        return
    if options.get("original_text", True):
        assert "".join(chunk["text"] for chunk in result["chunks"]) in (result["text"], "")
    before = 0.0
    for chunk in result["chunks"]:
        start, end = chunk["timestamp"]
        assert before <= start <= end <= 10, chunk
        assert 0 <= chunk["score"] <= 1
        before = start
