"""`on_error`: of many rows only the bad ones are lost, and each has its error in its place."""

import json
import sys

import av
import numpy as np
import pytest
from conftest import ROOT
from datasets import Dataset, IterableDataset
from test_batching import assert_same
from transformers import pipeline

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.pipelines import forced_alignment

RECORDING = str(ROOT / "examples" / "sense_and_sensibility.flac")
RATE = 16000
EMPTY = {"chunks": [], "score": 0.0, "fits": False, "unfit": [], "untranscribed": []}


@pytest.fixture(scope="module")
def pipe(goldens):
    return pipeline("forced-alignment", model=str(goldens / "aligner"), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def good():
    return {"audio": load_audio(RECORDING)[: 2 * RATE], "text": "one two three"}


@pytest.fixture(scope="module")
def alone(pipe, good):
    return pipe(good)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Eight seconds that are read in windows, with a sample in the last ones that is no number."""
    samples = np.random.default_rng(0).normal(size=8 * RATE).astype(np.float32) / 10
    samples[7 * RATE] = np.nan
    path = tmp_path_factory.mktemp("broken") / "broken.wav"
    with av.open(str(path), "w", format="wav") as output:
        stream = output.add_stream("pcm_f32le", rate=RATE, layout="mono")
        for at in range(0, len(samples), 4000):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None, at : at + 4000]), "flt", "mono")
            frame.sample_rate, frame.pts = RATE, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return str(path)


@pytest.fixture(scope="module")
def rows(good, broken):
    """Good and bad ones by turns, and what the bad ones are called."""
    bad = [
        ({"audio": "nowhere.wav", "text": "a"}, "ValueError: 'nowhere.wav' is no existing file"),
        ({"audio": b"not audio at all", "text": "b"}, "cannot be decoded"),
        ({"audio": good["audio"]}, "ValueError: no 'text'"),
        ({"audio": good["audio"], "text": 5}, "ValueError: 'text' is a int"),
        ({"audio": broken, "text": " ".join(f"word{i}" for i in range(12))}, "NaN"),
        ("no row", "ValueError: "),
        ({"audio": good["audio"], "text": "a", "language": 5}, "ValueError: language must be"),
    ]
    mixed, messages = [], {}
    for row, message in bad:
        mixed += [good, row]
        messages[len(mixed) - 1] = message
    return [*mixed, good], messages


def check(results, messages, alone, count):
    assert len(results) == count
    kept = [result for place, result in enumerate(results) if place not in messages]
    assert all(result["error"] is None for result in kept)
    assert_same([{k: v for k, v in result.items() if k != "error"} for result in kept], [alone] * len(kept))
    for place, message in messages.items():
        result = results[place]
        assert {key: result[key] for key in EMPTY} == EMPTY
        assert result["error"].startswith(f"item {place}: ") and message in result["error"]
    assert json.loads(json.dumps(results))[0]["text"] == "one two three"


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_as_many_results_as_rows(pipe, rows, alone, batch_size, threads, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: threads)
    rows, messages = rows
    results = pipe(iter(rows), batch_size=batch_size, on_error="return", max_align_seconds=5)
    check(list(results), messages, alone, len(rows))
    assert pipe(rows[1]["audio"], text="a", on_error="return")["text"] == "a"
    nowhere = [{"audio": "nowhere.wav", "text": text} for text in (("a", "b"), ["a", "b"], ["a", 1])]
    assert [result["text"] for result in pipe(nowhere, on_error="return")] == [("a", "b"), ["a", "b"], None]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_lists_and_workers(pipe, rows, alone, workers):
    rows, messages = rows
    results = pipe(rows, batch_size=3, num_workers=workers, on_error="return", max_align_seconds=5)
    assert isinstance(results, list)
    check(results, messages, alone, len(rows))
    assert [results[place]["text"] for place in messages][:4] == ["a", "b", None, None]


def test_datasets(pipe, good, alone, tmp_path):
    paths = [RECORDING, "nowhere.wav", RECORDING]
    columns = {"audio": paths, "text": ["one two", "a", "one two"], "id": [7, 8, 9]}
    listed = Dataset.from_dict(columns)

    def stream():
        yield from listed

    expected = pipe(RECORDING, text="one two")
    for data in (listed, IterableDataset.from_generator(stream)):
        results = list(pipe(data, batch_size=2, on_error="return"))
        assert [result["error"] is None for result in results] == [True, False, True]
        assert results[1]["error"].startswith("item 1: ValueError: 'nowhere.wav' is no existing file")
        for result in (results[0], results[2]):
            assert [chunk["timestamp"] for chunk in result["chunks"]] == [
                chunk["timestamp"] for chunk in expected["chunks"]
            ]
            assert result["score"] == pytest.approx(expected["score"], abs=1e-6)  # rounding of other batches
    # what comes back is columns
    table = Dataset.from_list(list(pipe(listed, on_error="return")))
    assert table.filter(lambda row: row["error"] is None).num_rows == 2


def test_a_dataset_that_cannot_give_a_row(pipe, good, alone):
    class Rows:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 1:
                raise OSError("shard 1 is damaged")
            if index > 2:
                raise IndexError
            return good

    results = list(pipe(Rows(), batch_size=2, on_error="return"))
    check(results, {1: "item 1: OSError: shard 1 is damaged"}, alone, 3)
    given = pipe(Rows(), batch_size=2)
    assert_same([next(given)], [alone])
    with pytest.raises(OSError, match="shard 1 is damaged"):
        next(given)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_rows_that_end_with_an_error_raise_it_behind_their_results(pipe, good, on_error, workers):
    class Odd(ValueError):
        """Does not come through a pickle."""

        def __init__(self, one, two):
            super().__init__(one)
            self.two = lambda: two

    def source():
        yield good
        yield good
        raise Odd("the table has no more columns", 2)

    results = pipe(source(), batch_size=4, num_workers=workers, on_error=on_error)
    assert len(next(results)["chunks"]) == len(next(results)["chunks"]) == 3
    with pytest.raises(ValueError, match="the table has no more columns"):
        next(results)


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_one_row_of_a_batch_that_the_model_refuses(pipe, good, alone, on_error, monkeypatch):
    """It is found, and named, though the whole batch failed."""
    scores = type(pipe)._slot_scores

    def failing(self, items):
        if any(len(item["words"]) == 2 for item in items):
            raise ValueError("two words")
        return scores(self, items)

    monkeypatch.setattr(type(pipe), "_slot_scores", failing)
    rows = [good, good, {**good, "text": "one two"}, good]
    results = pipe(iter(rows), batch_size=4, on_error=on_error)
    if on_error == "return":
        check(list(results), {2: "item 2: ValueError: two words"}, alone, 4)
    else:
        assert_same([next(results), next(results)], [alone, alone])
        with pytest.raises(ValueError, match=r"^item 2: two words"):
            next(results)


def test_a_missing_word_splitter_is_a_rows_error(pipe, good, alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "nagisa", None)
    results = pipe([good, {**good, "language": "Japanese"}], on_error="return")
    check(results, {1: "ImportError"}, alone, 2)


def test_what_is_no_rows_error_is_raised(pipe, good, monkeypatch):
    monkeypatch.setattr(type(pipe), "_slot_scores", lambda self, items: {}["broken"])
    with pytest.raises(KeyError, match="broken"):
        pipe([good], on_error="return")


def test_as_a_default_and_for_one_recording(good, goldens):
    pipe = pipeline(
        "forced-alignment", model=str(goldens / "aligner"), dtype="float32", device="cpu", on_error="return"
    )
    assert pipe("nowhere.wav", text="a")["error"].startswith("ValueError: 'nowhere.wav' is no existing file")
    assert pipe([good, {}])[1]["error"].startswith("item 1: ValueError: no 'text'; given are ['audio']")
    with pytest.raises(ValueError, match="nowhere"):
        pipe("nowhere.wav", text="a", on_error="raise")
    with pytest.raises(ValueError, match="on_error='ignore': known are raise, return"):
        pipe(good, on_error="ignore")
    assert "error" not in pipe(good, on_error="raise")
