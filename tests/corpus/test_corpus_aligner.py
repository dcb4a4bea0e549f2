"""`CorpusAligner`: as many results as rows, in order, whatever is wrong with some; and what rows are known by."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from conftest import GOLDENS, ROOT
from corpus_clips import RATE, RECORDING, clips, samples, wav

from transformers_qwen3_asr.corpus import CorpusAligner, CorpusRow, content_id, ray_align
from transformers_qwen3_asr.corpus import aligner as module

NAN = np.full(RATE, np.nan, np.float32)


@pytest.fixture(scope="module")
def align(pipe):
    return CorpusAligner(pipe, language="English", batch_size=4)


def test_words_are_those_of_the_pipeline(align, pipe):
    rows = clips(10)
    results = align(rows)
    for row, result in zip(rows, results, strict=True):
        [alone] = pipe([row], language="English")
        assert result["id"] == row["id"] and result["text"] == row["text"] and result["language"] == "English"
        assert [word["text"] for word in result["words"]] == [chunk["text"] for chunk in alone["chunks"]]
        times = [(word["start"], word["end"]) for word in result["words"]]
        np.testing.assert_allclose(times, [chunk["timestamp"] for chunk in alone["chunks"]], atol=1e-3)
        assert result["score"] == pytest.approx(alone["score"], abs=1e-3) and result["fits"] == alone["fits"]
        for word in result["words"]:
            assert row["text"][word["char_start"] : word["char_end"]] == word["text"]
        assert result["error"] is None and result["seconds"] > 0
        assert result["duration"] == pytest.approx((len(row["audio"]) - 44) / 2 / RATE)


BAD = {
    "source": CorpusRow("x", error="it is no JSON"),
    "row": ("source", 5),
    "object": ("source", {"audio": object(), "text": "one"}),
    "number as audio": ("source", {"audio": 5, "text": "one"}),
    "texts as audio": ("source", {"audio": ["a", "b"], "text": "one"}),
    "cube": ("audio", {"audio": np.zeros((2, 3, 4), np.float32), "text": "one"}),
    "folder": ("audio", {"audio": "/", "text": "one"}),
    "texts of texts": ("text", {"audio": str(RECORDING), "text": ["one", 5]}),
    "missing": ("audio", {"audio": "nowhere.wav", "text": "one"}),
    "none": ("audio", {"text": "one"}),
    "nan": ("audio", {"audio": (NAN, RATE), "text": "one"}),
    "noise": ("audio", {"audio": b"no recording", "text": "one"}),
    "empty recording": ("audio", {"audio": NAN[:0], "text": "one"}),
    "no text": ("text", {"audio": str(RECORDING)}),
    "empty": ("text", {"audio": str(RECORDING), "text": " \n"}),
    "no words": ("text", {"audio": str(RECORDING), "text": "… – !"}),
    "number": ("text", {"audio": str(RECORDING), "text": 5}),
    "surrogate": ("alignment", {"audio": str(RECORDING), "text": "one \ud800"}),
    "language": ("language", {"audio": str(RECORDING), "text": "one", "language": 5}),
}


def test_as_many_results_as_rows_whatever_is_wrong(align):
    rows = [value[1] if isinstance(value, tuple) else value for value in BAD.values()]
    good = clips(len(rows))
    mixed = [row for pair in zip(good, rows) for row in pair]
    results = align(mixed)
    assert len(results) == len(mixed)
    for expected, result in zip(good, results[::2]):
        assert result["error"] is None and result["words"] and result["id"] == expected["id"]
    for name, result in zip(BAD, results[1::2]):
        kind = BAD[name][0] if isinstance(BAD[name], tuple) else "source"
        assert result["error_kind"] == kind, (name, result)
        assert result["error"] and result["words"] == [] and result["score"] is None and result["id"], name


def test_an_error_that_nobody_expects_is_a_rows_that_has_it_alone(pipe, monkeypatch):
    rows = clips(30)
    scores = pipe._slot_scores

    def fails(items):
        texts = [item["text"] for item in items if "text" in item]
        if rows[5]["text"] in texts or len(texts) > 3:
            raise RuntimeError("no memory")
        return scores(items)

    monkeypatch.setattr(pipe, "_slot_scores", fails)
    results = CorpusAligner(pipe, batch_size=4)(rows)
    assert [result["id"] for result in results] == [row["id"] for row in rows]
    for row, result in zip(rows, results):
        failed = row["text"] == rows[5]["text"]
        assert (result["error_kind"], bool(result["words"])) == (("alignment", False) if failed else (None, True))
    assert results[5]["error"] == "RuntimeError: no memory"


def test_where_each_row_fails_alone_the_machine_is_at_fault(pipe, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(pipe, "_slot_scores", fails)
    with pytest.raises(RuntimeError, match="the device is gone"):
        CorpusAligner(pipe, batch_size=4)(clips(20))


def test_results_do_not_depend_on_what_they_were_handed_over_with(align, pipe):
    rows = clips(6)
    apart = CorpusAligner(pipe, language="English", batch_size=1)
    for one, other in zip(align(rows), [result for row in rows for result in apart([row])], strict=True):
        assert one.keys() == other.keys()
        starts = [[word["start"] for word in result["words"]] for result in (one, other)]
        np.testing.assert_allclose(*starts, atol=1e-3)


def test_rows_are_handed_on_by_length_and_no_result_is_kept_back(align, pipe, monkeypatch):
    taken = []
    monkeypatch.setattr(module, "load_audio", lambda audio, rate: taken.append(len(audio)) or samples()[:RATE])
    places = [place for place, _ in align.each([{"text": "no audio"}, *clips(9)])]
    assert places[0] == 0 and sorted(places) == list(range(10))
    assert taken == sorted(taken, reverse=True)


def test_a_long_recording_is_not_decoded_at_once(align, monkeypatch):
    long = np.concatenate([samples()] * 6)
    text = " ".join([RECORDING.with_suffix(".txt").read_text(encoding="utf-8")] * 6)
    monkeypatch.setattr(module, "load_audio", lambda *_: pytest.fail("decoded at once"))
    [result] = align([{"audio": wav(long), "text": text}])
    assert result["error"] is None and result["fits"] and result["words"][-1]["end"] > 40


def test_a_list_of_words_is_joined(align):
    [result] = align([{**clips(1)[0], "text": clips(1)[0]["text"].split()}])
    assert result["text"] == clips(1)[0]["text"] and result["error"] is None


def test_it_is_pickled_without_its_model_and_loads_once_a_process():
    code = """
        import pickle, sys
        from transformers_qwen3_asr.corpus import CorpusAligner, aligner
        made = []
        original = aligner.pipeline
        aligner.pipeline = lambda *a, **k: made.append(1) or original(*a, **k)
        one = CorpusAligner("tiny-en", device="cpu")
        two = pickle.loads(pickle.dumps(one))
        assert not made and len(pickle.dumps(one)) < 1000
        rows = [{"audio": sys.argv[1], "text": "one two"}]
        assert [word["text"] for word in two(rows)[0]["words"]] == ["one", "two"] and one(rows)[0]["words"]
        three = pickle.loads(pickle.dumps(two))
        assert three(rows)[0]["words"] and made == [1], made
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(RECORDING)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "src")
    assert done.returncode == 0, done.stderr


def test_a_pipeline_is_pickled_as_it_is(align):
    rows = clips(1)
    again = pickle.loads(pickle.dumps(align))
    assert again(rows)[0]["words"] == align(rows)[0]["words"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"language": 5}, "5"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CorpusAligner("tiny-en", **arguments)


def test_a_pipeline_has_its_dtype_and_device(pipe):
    with pytest.raises(ValueError, match="given by its name"):
        CorpusAligner(pipe, dtype="float32")


def test_what_is_wrong_with_the_call_is_raised(pipe):
    with pytest.raises(ValueError, match="max_align_seconds=-1"):
        CorpusAligner(pipe, max_align_seconds=-1)(clips(1))


def test_ids_are_those_of_rows_or_of_what_they_hold():
    clip = clips(2)[0]["audio"]
    same = [clip, bytearray(clip), {"bytes": clip, "path": "a.wav"}, {"bytes": clip}]
    assert len({content_id(audio, "one") for audio in same}) == 1
    array = samples()[:RATE]
    others = [
        *(None, "a.wav", "b.wav", clips(2)[1]["audio"], {"path": "c.wav"}, array, array[:-1], (array, 8000)),
        *({"array": array, "sampling_rate": RATE}, array.astype(np.float64)),
    ]
    ids = {content_id(audio, text) for audio in (clip, *others) for text in ("one", "two", None, ["one"])}
    assert len(ids) == 4 * (1 + len(others)) and all(len(id) == 64 for id in ids)
    assert content_id({"path": "a.wav"}, "one") == content_id("a.wav", "one")
    assert content_id(torch.from_numpy(array), "one") == content_id(array, "one")


def test_ids_stay_the_same():
    """They stand in folders that a newer version goes on with."""
    assert content_id("a.wav", "one") == "88a1f5e1e6609f452634e4a2536b9c1d10fbbfbe96b63d862660351125acf58e"
    assert content_id(b"abc", "one") == "cde5340bc00a6b7bb206fe3bbefa0e5b6a1915474bf0661715c4f56d52ac3f2f"
    with pytest.raises(ValueError, match="no recording"):
        content_id(object(), "one")


def test_the_golden_aligner_gives_what_the_bundled_one_does_in_form(align):
    random = CorpusAligner(str(GOLDENS / "aligner"), dtype="float32", device="cpu")
    [one], [other] = random(clips(1)), align(clips(1))
    assert one.keys() == other.keys() and one["language"] is None


def test_ray_align_without_ray_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs Ray: pip install 'transformers-qwen3-asr\[ray\]'"):
        ray_align(None, tmp_path / "out", "tiny-en")
    assert not (tmp_path / "out").exists()
