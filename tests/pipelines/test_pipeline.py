"""The forced-alignment pipeline on the small random aligner of tests/goldens: inputs, batches, errors, registration.

Its times mean nothing, but they are deterministic; what qwen-asr computes with the same weights stands beside it.
"""

import importlib.util
import json
import shutil
import warnings

import datasets
import numpy as np
import pandas
import pytest
import torch
import transformers
from conftest import ROOT
from transformers import AutoModelForMultimodalLM, AutoModelForTokenClassification, AutoProcessor, pipeline
from transformers.pipelines import base

from conversion.convert import to_hf
from transformers_qwen3_asr import ForcedAlignmentPipeline, Qwen3ASRForTokenClassification, Qwen3ASRProcessor
from transformers_qwen3_asr.alignment.voice_activity import heard_in
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.longform import long_recordings
from transformers_qwen3_asr.text.sentences import SENTENCE_END, breaks_behind
from transformers_qwen3_asr.text.words import split_words

ALIGNER = ROOT / "tests" / "goldens" / "aligner"
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
TEXT = (ROOT / "examples" / "sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
WORDS = [word.strip(",.") for word in TEXT.split()]


@pytest.fixture(scope="module")
def pipe():
    return pipeline("forced-alignment", model=str(ALIGNER), dtype="float32", device="cpu")


def like(pipe, model=None, **options):
    """Another pipeline around the same model, or around `model`, on the same device."""
    model = pipe.model if model is None else model
    return pipeline("forced-alignment", model=model, processor=pipe.processor, device=pipe.device, **options)


@pytest.fixture(scope="module")
def samples():
    return load_audio(RECORDING)


@pytest.fixture(scope="module")
def rows(samples):
    """Recordings of different lengths with texts of different lengths; one text has no words."""
    cuts = [(0, 113600), (20000, 52000), (5000, 113000), (40000, 41000), (0, 60000)]
    texts = [TEXT, "leisure", "a b c d e f g h i j k l m n o p", "And", "…!"]
    return [
        {"audio": samples[start:end], "text": text, "language": "English"}
        for (start, end), text in zip(cuts, texts, strict=True)
    ]


def times(result):
    return [chunk["timestamp"] for chunk in result["chunks"]]


def scores(result):
    return [chunk["score"] for chunk in result["chunks"]]


def assert_same(left, right):
    """Equal times, words and texts; scores to float32 rounding."""
    assert left["text"] == right["text"]
    assert [chunk["text"] for chunk in left["chunks"]] == [chunk["text"] for chunk in right["chunks"]]
    assert times(left) == times(right)
    assert scores(left) == pytest.approx(scores(right), abs=1e-5)


def test_result(pipe, samples):
    result = pipe(samples, text=TEXT, language="English")
    assert set(result) == {"text", "chunks", "score", "fits", "unfit", "untranscribed", "heard"}
    assert result["text"] == TEXT and result["heard"] >= len(samples) / 16000 - 0.001
    assert [chunk["text"] for chunk in result["chunks"]] == WORDS
    flat = [time for pair in times(result) for time in pair]
    assert flat == sorted(flat) and all(type(time) is float for time in flat)
    assert all(isinstance(pair, tuple) for pair in times(result))
    keys = {"text", "timestamp", "score", "char_start", "char_end"}
    assert all(set(chunk) == keys for chunk in result["chunks"])
    assert [TEXT[chunk["char_start"] : chunk["char_end"]] for chunk in result["chunks"]] == WORDS
    json.dumps(result)


def test_equals_processor_and_model_called_by_hand(pipe, samples):
    """Times and scores, here from full logits."""
    processor = AutoProcessor.from_pretrained(ALIGNER)
    model = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32)
    inputs, words = processor.prepare_forced_aligner_inputs(audio=samples, transcript=TEXT, language="English")
    with torch.no_grad():
        logits = model(**inputs).logits
    (expected,) = processor.decode_forced_alignment(
        logits,
        inputs["input_ids"],
        words,
        model.config.timestamp_token_id,
        model.config.timestamp_segment_time,
        return_scores=True,
        durations=[len(samples) / 16000],
        voices=[heard_in(samples, 16000)],
        breaks=[breaks_behind(TEXT, split_words(TEXT))],
    )
    result = pipe(samples, text=TEXT, language="English", refine=False)
    assert times(result) == [(word["start_time"], word["end_time"]) for word in expected]
    assert scores(result) == pytest.approx([word["score"] for word in expected], abs=1e-5)
    assert result["score"] == pytest.approx(np.mean(scores(result)))


def test_pauses_are_expected_behind_punctuation(pipe, samples, monkeypatch):
    """In one piece and in windows, from a text and from its words."""
    expected = [1, 0, SENTENCE_END, 0]
    decode, walk, given = pipe.processor.decode_forced_alignment, long_recordings.Walk, []

    def decoded(*args, **kwargs):
        given.append(kwargs["breaks"])
        return decode(*args, **kwargs)

    def walked(*args):
        given.append([args[6]])
        return walk(*args)

    monkeypatch.setattr(pipe.processor, "decode_forced_alignment", decoded)
    monkeypatch.setattr(long_recordings, "Walk", walked)
    for text in ("Unless, to (be", ["Unless,", "to", "be.", "had"]):
        for seconds in (None, 1):
            pipe(samples[:32000], text=text, max_align_seconds=seconds)
    assert given == [[[1, 1, 0]]] * 2 + [[expected]] * 2


def test_only_slots_are_scored(pipe, samples, monkeypatch):
    shapes = []
    forward = Qwen3ASRForTokenClassification.forward

    def spy(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        shapes.append(tuple(output.logits.shape))
        return output

    monkeypatch.setattr(Qwen3ASRForTokenClassification, "forward", spy)
    pipe(samples, text="three words here", refine=False)
    assert shapes == [(6, pipe.model.config.num_labels)]


def test_every_way_to_say_it(pipe, samples):
    expected = pipe(samples, text=TEXT, language="English")
    row = {"audio": samples, "text": TEXT, "language": "en"}
    assert_same(pipe(row), expected)
    assert_same(pipe({"audio": samples}, text=TEXT, language="ENGLISH"), expected)
    assert_same(pipe(str(RECORDING), text=TEXT), expected)
    assert_same(pipe(RECORDING, text=TEXT), expected)
    assert_same(pipe((samples, 16000), text=TEXT), expected)
    assert_same(pipe({"array": samples, "sampling_rate": 16000}, text=TEXT), expected)
    assert_same(pipe({"bytes": RECORDING.read_bytes(), "path": None}, text=TEXT), expected)
    assert_same(pipe(torch.from_numpy(samples), text=TEXT), expected)
    for many in ([row], (row,), iter([row]), [{**row, "speaker": 7}]):
        (result,) = pipe(many)
        assert_same(result, expected)
    (result,) = pipe([samples], text=[TEXT], language=["en"])
    assert_same(result, expected)


def test_words_instead_of_a_text(pipe, samples):
    result = pipe(samples, text=WORDS)
    assert result["text"] == WORDS
    assert times(result) == times(pipe(samples, text=TEXT))
    two = pipe([samples, samples], text=[["one", "two"], "three"])
    assert [[chunk["text"] for chunk in result["chunks"]] for result in two] == [["one", "two"], ["three"]]


def test_language_decides_the_words_and_a_rows_own_goes_first(pipe, samples):
    pytest.importorskip("nagisa", reason="Japanese words need the extra [ja]")
    text = "今日は晴れです"
    japanese = [chunk["text"] for chunk in pipe(samples, text=text, language="Japanese")["chunks"]]
    english = [chunk["text"] for chunk in pipe(samples, text=text, language="English")["chunks"]]
    assert japanese != english
    row = {"audio": samples, "text": text}
    own, default = pipe([{**row, "language": "en"}, row], language="ja")
    assert [chunk["text"] for chunk in own["chunks"]] == english
    assert [chunk["text"] for chunk in default["chunks"]] == japanese
    both = pipe([row, {**row, "language": "en"}], language=["Japanese", "Japanese"])
    assert [[chunk["text"] for chunk in result["chunks"]] for result in both] == [japanese, english]
    configured = like(pipe, language="ja")
    assert [chunk["text"] for chunk in configured(samples, text=text)["chunks"]] == japanese


def test_korean_dictionary_is_used(pipe, samples, tmp_path):
    pytest.importorskip("soynlp", reason="Korean words need the extra [ko]")
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("오늘날씨 1\n", encoding="utf-8")
    result = pipe(samples, text="오늘날씨가", language="Korean", korean_dictionary=dictionary)
    assert [chunk["text"] for chunk in result["chunks"]] == ["오늘날씨", "가"]


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_batch_equals_single(pipe, rows, batch_size):
    single = [pipe(row) for row in rows]
    for result, expected in zip(pipe(rows, batch_size=batch_size), single, strict=True):
        assert_same(result, expected)
    for result, expected in zip(pipe(rows[::-1], batch_size=batch_size), single[::-1], strict=True):
        assert_same(result, expected)


def test_batch_size_is_the_number_of_recordings_a_forward_pass(pipe, rows, monkeypatch):
    sizes = []
    forward = Qwen3ASRForTokenClassification.forward

    def spy(self, *args, **kwargs):
        sizes.append(len(kwargs["input_ids"]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Qwen3ASRForTokenClassification, "forward", spy)
    pipe(rows[:4], batch_size=3, refine=False)
    assert sizes == [3, 1]
    sizes.clear()
    configured = like(pipe, batch_size=4, refine=False)
    configured(rows[:4])
    assert sizes == [4]


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing(pipe, rows, workers):
    expected = pipe(rows)
    for result, alone in zip(pipe(rows, batch_size=2, num_workers=workers), expected, strict=True):
        assert_same(result, alone)


def test_datasets_and_generators_stream(pipe, rows, tmp_path):
    expected = pipe(rows)
    drawn = []

    def generate():
        for row in rows:
            drawn.append(row["text"])
            yield row

    results = iter(pipe(generate()))
    assert drawn == []
    assert_same(next(results), expected[0])
    assert len(drawn) == 1
    for result, alone in zip(results, expected[1:], strict=True):
        assert_same(result, alone)

    class Mapped(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index]

    for result, alone in zip(pipe(Mapped(), batch_size=2, num_workers=2), expected, strict=True):
        assert_same(result, alone)


def test_dataset_with_an_audio_column(pipe, samples):
    """Its column is not decoded by torchcodec, which not every machine can load."""
    table = {"audio": [str(RECORDING)] * 3, "text": [TEXT, "leisure", "And"], "speaker": [1, 2, 3]}
    dataset = datasets.Dataset.from_dict(table).cast_column("audio", datasets.Audio())
    expected = [pipe(samples, text=text) for text in table["text"]]
    for form in (dataset, dataset.to_iterable_dataset(), dataset.cast_column("audio", datasets.Audio(decode=False))):
        for result, alone in zip(pipe(form, batch_size=2), expected, strict=True):
            assert_same(result, alone)


def test_text_without_words(pipe, samples):
    nothing = {"chunks": [], "score": 0.0, "fits": False, "unfit": [], "untranscribed": [], "heard": 0.0}
    assert pipe(samples, text="") == {"text": "", **nothing}
    assert pipe(samples, text=" … ") == {"text": " … ", **nothing}
    assert pipe(samples, text=[]) == {"text": [], **nothing}
    assert pipe([]) == []


def test_units_and_the_original_text(pipe, samples):
    text = "“The Dashwoods,” she said.\nIt's well-known: 你好…\n"
    words = pipe(samples, text=text)["chunks"]
    assert [chunk["text"] for chunk in words] == ["The", "Dashwoods", "she", "said", "It's", "wellknown", "你", "好"]
    for unit, count in (("word", 8), ("sentence", 2), ("line", 2), ("char", 34)):
        result = pipe(samples, text=text, return_timestamps=unit, original_text=True)
        assert result["text"] == "".join(chunk["text"] for chunk in result["chunks"]) == text
        assert len(result["chunks"]) == count
        assert result["chunks"][0]["timestamp"][0] == words[0]["timestamp"][0]
        assert result["chunks"][-1]["timestamp"][1] == words[-1]["timestamp"][1]
        configured = like(pipe, return_timestamps=unit, original_text=True)
        assert configured(samples, text=text) == result
        # a call's own choice goes first, and lists and datasets know it, too
        assert configured(samples, text=text, return_timestamps="word", original_text=False)["chunks"] == words
        row = {"audio": samples, "text": text}
        for many in ([row, row], iter([row, row])):
            for again in pipe(many, return_timestamps=unit, original_text=True, batch_size=2):
                assert_same(again, result)
    sentence = pipe(samples, text=text, return_timestamps="sentence")["chunks"][0]
    assert sentence["text"] == "“The Dashwoods,” she said." and (sentence["char_start"], sentence["char_end"]) == (
        0,
        26,
    )
    assert sentence["timestamp"] == (words[0]["timestamp"][0], words[3]["timestamp"][1])
    assert sentence["score"] == pytest.approx(sum(word["score"] for word in words[:4]) / 4)
    for wrong in ({"return_timestamps": "phrase"}, {"original_text": 1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            pipe(samples, text=text, **wrong)
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            like(pipe, **wrong)


@pytest.mark.parametrize("text", ["a" * 200, "字" * 200, "n\u0303" * 200, "ÿ" * 1000])
def test_a_very_long_word(pipe, samples, text):
    for unit in ("word", "char"):
        result = pipe(samples, text=text, return_timestamps=unit, original_text=True)
        assert "".join(chunk["text"] for chunk in result["chunks"]) == text
        flat = [time for pair in times(result) for time in pair]
        assert flat == sorted(flat) and all(0 <= score <= 1 for score in scores(result))


def test_limit_of_the_time_classes(pipe):
    """What is longer is aligned in windows (see test_long_recordings.py), and no window may be longer."""
    config = pipe.model.config
    limit = int(config.num_labels * config.timestamp_segment_time / 1000 * 16000)
    noise = np.random.default_rng(0).normal(size=limit + 1600).astype(np.float32) / 10
    short, long = pipe([noise[:limit], noise], text=["one two", "one two"], batch_size=2)
    assert_same(short, pipe(noise[:limit], text="one two"))
    assert [chunk["text"] for chunk in long["chunks"]] == ["one", "two"]
    for seconds in (5, np.int64(5), np.float32(5)):
        assert pipe(noise, text="one two", max_align_seconds=seconds)["chunks"]
    for seconds in (0.5, limit / 16000 + 1, "20", True):
        with pytest.raises(ValueError, match=rf"max_align_seconds={seconds!r}: from 1 to {limit / 16000:g} seconds"):
            pipe(noise, text="one", max_align_seconds=seconds)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"audio": "nowhere.wav", "text": "a"}, r"item 2: .*nowhere\.wav"),
        ({"audio": b"not audio at all", "text": "a"}, "item 2: .*cannot be decoded"),
        ({"audio": np.zeros(0, np.float32), "text": "a"}, "item 2: .*empty"),
        ({"audio": np.full(16000, np.nan, np.float32), "text": "a"}, "item 2: .*NaN"),
        ({"audio": np.zeros(16000, np.float32)}, r"item 2: no 'text'; given are \['audio'\]"),
        ({"text": "a"}, r"item 2: no 'audio'"),
        ({"audio": np.zeros(16000, np.float32), "text": 5}, "item 2: 'text' is a int"),
        ({"audio": np.zeros(16000, np.float32), "text": ["a", "!"]}, "item 2: word 1 .* holds no letter"),
        ({"audio": np.zeros(16000, np.float32), "text": "a", "language": 5}, "item 2: language must be"),
        ("a path and no text", "item 2: no 'text'"),
    ],
)
def test_a_bad_item_is_named(pipe, rows, bad, message, batch_size, workers):
    with pytest.raises(ValueError, match=message):
        pipe([rows[0], rows[1], bad, rows[3]], batch_size=batch_size, num_workers=workers)


def test_samples_in_a_list_of_any_numbers_are_one_recording(pipe, samples):
    short = samples[:3200]
    expected = pipe(short, text="a b")
    assert pipe(list(short), text="a b") == pipe(short.tolist(), text="a b") == expected
    channels = pipe({"audio": [short, short], "text": "a b"})
    assert channels["chunks"] == expected["chunks"]
    assert [r["chunks"] for r in pipe([short], text=np.array(["a b"]))] == [expected["chunks"]]  # of texts, too


def test_an_iterable_may_fill_one_array_again_and_again(pipe, samples):
    """A batch has several of its rows, and a thread reads ahead: each is what it was when it was given."""
    array = np.empty(50000, dtype=np.float32)

    def refilled():
        for start in (0, 20000, 40000):
            array[:] = samples[start : start + len(array)]
            yield {"audio": array, "text": "leisure", "language": "English"}

    found = list(pipe(refilled(), batch_size=3))
    alone = [
        pipe(samples[start : start + len(array)], text="leisure", language="English") for start in (0, 20000, 40000)
    ]
    assert times(alone[0]) != times(alone[2])
    for left, right in zip(found, alone, strict=True):
        assert_same(left, right)


def test_a_streamed_dataset_that_decodes_says_how_it_need_not(pipe):
    rows = datasets.Dataset.from_list([{"audio": str(RECORDING), "text": TEXT}])

    def streamed(decode):
        cast = rows.cast_column("audio", datasets.Audio(decode=decode))
        return cast.to_iterable_dataset().map(lambda row: {"language": "English"})

    (result,) = pipe(streamed(decode=False))
    assert [chunk["text"] for chunk in result["chunks"]] == WORDS
    if importlib.util.find_spec("torchcodec"):
        (decoded,) = pipe(streamed(decode=True))
        assert decoded["chunks"] == result["chunks"]
        return
    with pytest.raises(ImportError, match=r"cast before map\(\), by cast_column\('audio', Audio\(decode=False\)\)"):
        list(pipe(streamed(decode=True)))


def test_the_warning_goes_by_the_models_languages(pipe, samples, monkeypatch):
    monkeypatch.setattr(pipe.model.config, "support_languages", ["Polish"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe(samples, text="a", language="pl")
    with pytest.warns(UserWarning, match="was not trained on French, so times may be off; it was trained on Polish"):
        pipe(samples, text="a", language="fr")


def test_bad_calls(pipe, samples, rows):
    with pytest.raises(ValueError, match=r"^no 'text'; given are"):
        pipe(samples)
    with pytest.raises(ValueError, match="2 recordings, but text is 1 items"):
        pipe([samples, samples], text=["a"])
    with pytest.raises(ValueError, match="2 recordings, but text is one string"):
        pipe([samples, samples], text="a")
    with pytest.raises(ValueError, match="2 recordings, but language is 3 items"):
        pipe([samples, samples], text=["a", "b"], language=["en"] * 3)
    with pytest.raises(ValueError, match="item 0: a row with a 'text' and text= were both given"):
        pipe(rows[:1], text=["a"])
    with pytest.raises(ValueError, match="one recording, but language="):
        pipe(samples, text="a", language=["en"])
    with pytest.raises(ValueError, match="a dataset's rows hold theirs"):
        pipe(iter(rows), text=["a"])
    with pytest.raises(ValueError, match="audio is None: neither a recording nor rows"):
        pipe(None, text="a")
    with pytest.raises(ValueError, match="2 recordings, but text is a generator, not a list"):
        pipe([samples, samples], text=(text for text in "ab"))
    with pytest.raises(ValueError, match=r"to_dict\('records'\)"):
        pipe(pandas.DataFrame([{"audio": "a.wav", "text": "a"}]))
    with pytest.raises(ValueError, match="'audio' is a list: a row has one recording"):
        pipe({"audio": [{"path": str(RECORDING)}, {"path": str(RECORDING)}], "text": ["a", "b"]})
    with pytest.raises(ValueError, match="language must be a name, a code or None, not ''"):
        pipe({"audio": samples, "text": "a", "language": ""}, language="English")
    with pytest.raises(ValueError, match="neither a recording nor rows"):
        pipe(7, text=None)
    for option in ("txt", "local_files_only"):
        with pytest.raises(TypeError, match=f"no parameter {option}"):
            pipe(samples, **{option: True})
    with pytest.raises(TypeError, match="no parameter chunk_length_s"):
        like(pipe, chunk_length_s=30)
    with pytest.raises(ValueError, match="batch_size=0"):
        pipe(rows, batch_size=0)
    with pytest.raises(ValueError, match="batch_size=1000000000000000000000"):
        pipe(rows, batch_size=10**21)
    with pytest.raises(ValueError, match="num_workers=-1"):
        pipe(rows, num_workers=-1)
    with pytest.raises(ValueError, match="num_workers=2: rows that can only be iterated"):
        list(pipe(iter(rows), num_workers=2))


def test_the_other_task_with_this_class(samples, pipe):
    other = pipeline(
        "token-classification",
        model=str(ALIGNER),
        pipeline_class=ForcedAlignmentPipeline,
        dtype="float32",
        device="cpu",
    )
    assert type(other) is ForcedAlignmentPipeline and type(other.processor) is Qwen3ASRProcessor
    assert_same(other(samples, text=TEXT), pipe(samples, text=TEXT))


def test_the_flat_layout(samples, pipe, tmp_path):
    to_hf(ALIGNER, tmp_path / "hf")
    flat = pipeline("forced-alignment", model=str(tmp_path / "hf"), dtype="float32", device="cpu")
    assert_same(flat(samples, text=TEXT), pipe(samples, text=TEXT))


def test_a_compiled_model_is_taken(samples, pipe):
    compiled = like(pipe, torch.compile(pipe.model, backend="eager"))
    assert_same(compiled(samples, text=TEXT), pipe(samples, text=TEXT))


def test_hub_name(samples, pipe, tmp_path, monkeypatch):
    """A name on the hub, answered from a cache that another process has filled."""
    import huggingface_hub.constants

    name, commit = "someone/an-aligner", "0" * 40
    folder = tmp_path / "models--someone--an-aligner"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    shutil.copytree(ALIGNER, folder / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    named = pipeline("forced-alignment", model=name, dtype="float32", device="cpu")
    assert_same(named(samples, text=TEXT), pipe(samples, text=TEXT))


def test_dtype_and_device_are_passed_on(samples):
    half = pipeline("forced-alignment", model=str(ALIGNER), dtype=torch.bfloat16, device="cpu")
    assert half.dtype == torch.bfloat16 == next(half.model.parameters()).dtype
    assert len(half(samples, text=TEXT)["chunks"]) == len(WORDS)


@pytest.mark.parametrize("given", ["name", "model"])
def test_a_model_stays_where_its_device_map_says(samples, pipe, monkeypatch, given):
    """transformers' own constructor would move it: a map of one device leaves no trace there."""
    monkeypatch.setattr(base, "is_torch_cuda_available", lambda: True)
    options = {"dtype": torch.float32, "device_map": "cpu"}
    if given == "name":
        mapped = pipeline("forced-alignment", model=str(ALIGNER), **options)
    else:
        model = AutoModelForTokenClassification.from_pretrained(ALIGNER, **options)
        mapped = pipeline("forced-alignment", model=model, processor=pipe.processor)
    assert mapped.device.type == mapped.model.device.type == "cpu"
    assert_same(mapped(samples, text=TEXT), pipe(samples, text=TEXT))


def test_a_refused_model_is_not_moved(pipe, monkeypatch):
    monkeypatch.setattr(base, "is_torch_cuda_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda *arguments, **options: pytest.fail("it was moved"))
    with pytest.raises(ValueError, match="needs a processor=Qwen3ASRProcessor"):
        ForcedAlignmentPipeline(model=pipe.model)


def test_training_mode_is_left(pipe, samples):
    expected = pipe(samples, text=TEXT)
    model = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32).train()
    again = like(pipe, model)
    assert not model.training
    assert_same(again(samples, text=TEXT), expected)


def test_saved_equals_loaded(pipe, samples, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert "custom_pipelines" not in json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert list(tmp_path.glob("*.py")) == []
    again = pipeline("forced-alignment", model=str(tmp_path), dtype="float32", device="cpu")
    assert_same(again(samples, text=TEXT), pipe(samples, text=TEXT))


def test_wrong_parts_are_refused(pipe):
    with pytest.raises(ValueError, match="needs a processor=Qwen3ASRProcessor"):
        ForcedAlignmentPipeline(model=pipe.model)
    with pytest.raises(Exception, match="processor"):
        pipeline("forced-alignment", model=pipe.model)
    asr = AutoModelForMultimodalLM.from_pretrained(ALIGNER.parent / "asr")
    with pytest.raises(ValueError, match=r"is a .*ConditionalGeneration, and gives no times.*ForTokenClassification"):
        ForcedAlignmentPipeline(model=asr, processor=pipe.processor)


@pytest.mark.parametrize("task", ["forced-alignment", "token-classification"])
def test_a_refused_checkpoint_is_not_given_to_the_native_class(task, monkeypatch):
    """transformers' pipeline() goes on to the classes that config.architectures names; they would start at random."""
    tried = []
    monkeypatch.setattr(
        transformers.Qwen3ASRForConditionalGeneration, "from_pretrained", lambda *args, **kwargs: tried.append(args)
    )
    with pytest.raises(ValueError, match="asr"):
        pipeline(task, model=str(ALIGNER.parent / "asr"), pipeline_class=ForcedAlignmentPipeline, device="cpu")
    assert tried == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu(pipe, rows):
    on_gpu = pipeline("forced-alignment", model=str(ALIGNER), dtype="float32", device="cuda")
    assert on_gpu.device.type == "cuda"
    for batch_size in (1, 3):  # many batches, of which threads make some ahead, and few
        for result, expected in zip(on_gpu(rows, batch_size=batch_size), pipe(rows), strict=True):
            assert times(result) == times(expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_devices_beside_a_gpu(pipe, samples):
    expected = pipe(samples, text=TEXT)
    for options, device in (({}, "cuda"), ({"device_map": "cpu"}, "cpu"), ({"device_map": "auto"}, "cuda")):
        named = pipeline("forced-alignment", model=str(ALIGNER), dtype="float32", **options)
        model = AutoModelForTokenClassification.from_pretrained(ALIGNER, dtype=torch.float32, **options)
        given = pipeline("forced-alignment", model=model, processor=pipe.processor)
        for made in (named, given):
            assert made.device.type == made.model.device.type == device
            assert times(made(samples, text=TEXT)) == times(expected)
