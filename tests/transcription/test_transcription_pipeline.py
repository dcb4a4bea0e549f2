"""`pipeline("automatic-speech-recognition")` with a recogniser of this family: qwen-asr's answers, forms, errors."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from conftest import GOLDENS
from goldens.clips import load_clip
from transformers import (
    AutoFeatureExtractor,
    AutomaticSpeechRecognitionPipeline,
    AutoModelForMultimodalLM,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    pipeline,
)

from conversion.convert import to_hf
from transformers_qwen3_asr import ForcedAlignmentPipeline, TranscriptionPipeline, bundled_model, register
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.transcription.pieces import cut

ASR, ALIGNER = str(GOLDENS / "asr"), str(GOLDENS / "aligner")
TASK = "automatic-speech-recognition"
CLIP = load_clip("sense_0890.flac")
GOLDEN = json.loads((GOLDENS / "transcriptions.json").read_text(encoding="utf-8"))
SHORT = {"generate_kwargs": {"max_new_tokens": GOLDEN["max_new_tokens"]}}
OPTIONS = {"language": "asked_language", "context": "context"}


@pytest.fixture(scope="module")
def recognise():
    return pipeline(TASK, model=ASR, dtype="float32", device="cpu", **SHORT)


@pytest.fixture(scope="module")
def argmax():
    return pipeline("forced-alignment", model=ALIGNER, dtype="float32", device="cpu", decoding="argmax")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['clip']} {case['asked_language']}")
def test_as_qwen_asr(recognise, argmax, case):
    options = {"language": case["asked_language"], "context": case["context"] or None}
    result = recognise(load_clip(case["clip"]), **options)
    assert result == {"text": case["text"], "language": case["language"] or None}
    result = recognise(
        load_clip(case["clip"]), **options, return_timestamps="word", original_text=False, aligner=argmax
    )
    assert result["text"] == case["text"]
    assert [chunk["text"] for chunk in result["chunks"]] == [word for word, *_ in case["words"]]
    assert [list(chunk["timestamp"]) for chunk in result["chunks"]] == [times for _, *times in case["words"]]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_in_batches_as_alone(recognise, batch_size):
    cases = GOLDEN["cases"]
    rows = [load_clip(case["clip"]) for case in cases]
    options = {name: [case[key] or None for case in cases] for name, key in OPTIONS.items()}
    results = recognise(rows, **options, batch_size=batch_size)
    assert [result["text"] for result in results] == [case["text"] for case in cases]
    assert [case["text_in_batch"] for case in cases] == [case["text"] for case in cases]


def test_batch_seconds_fill_passes(recognise, argmax, monkeypatch):
    samples = load_audio(CLIP)
    rows = [samples[: 16000 * seconds] for seconds in (1, 1, 2, 1)]
    timed = {"language": "English", "return_timestamps": "word", "aligner": argmax}

    def words_of(results):
        return [[(chunk["text"], chunk["timestamp"]) for chunk in result["chunks"]] for result in results]

    alone = words_of(recognise(row, **timed) for row in rows)
    held = []
    for pipe in (recognise, argmax):
        forward = pipe.forward

        def spy(inputs, pipe=pipe, forward=forward, **kwargs):
            held.append((pipe.task, len(inputs["batch" if pipe is recognise else "input_ids"])))
            return forward(inputs, **kwargs)

        monkeypatch.setattr(pipe, "forward", spy)
    assert words_of(recognise(rows, **timed, batch_seconds=4)) == alone
    assert held == [(pipe.task, count) for count in (2, 2) for pipe in (recognise, argmax)]
    held.clear()
    assert words_of(recognise(rows, **timed, batch_size=4, batch_seconds=2)) == alone
    assert [count for task, count in held if task == TASK] == [2, 1, 1]
    with pytest.raises(ValueError, match="batch_seconds=0"):
        recognise(rows, batch_seconds=0)


def test_every_form_of_recording_and_dataset(recognise):
    datasets = pytest.importorskip("datasets")
    samples = load_audio(CLIP)
    with open(CLIP, "rb") as file:
        content = file.read()
    forms = [CLIP, samples, torch.from_numpy(samples), (samples, 16000), content, {"path": CLIP}, {"audio": CLIP}]
    forms += [{"raw": samples, "sampling_rate": 16000}, {"array": samples, "sampling_rate": 16000}]
    expected = recognise(CLIP, language="English")
    assert [recognise(form, language="English") for form in forms] == [expected] * len(forms)
    rows = [{"audio": CLIP, "language": "en", "text": "is not read"}, {"audio": CLIP, "language": "German"}]
    each = [expected, recognise(CLIP, language="German")]
    assert recognise(rows, language="Spanish", batch_size=2) == each
    streamed = recognise(iter(rows))
    assert not isinstance(streamed, list) and list(streamed) == each
    table = datasets.Dataset.from_list([{"audio": row["audio"], "language": row["language"]} for row in rows])
    assert list(recognise(table.cast_column("audio", datasets.Audio()), batch_size=2)) == each
    assert list(recognise([])) == []


def test_word_times_in_the_shape_of_the_task(recognise):
    aligner = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), dtype="float32", device="cpu")
    model = AutoModelForTokenClassification.from_pretrained(bundled_model("tiny-en"), dtype=torch.float32)
    results = [
        recognise(CLIP, language="English", return_timestamps="word", aligner=given)
        for given in (aligner, model, "tiny-en", bundled_model("tiny-en"))
    ]
    assert all(result == results[0] for result in results[:2]) and all(result["chunks"] for result in results)
    result = results[0]
    assert set(result) >= {"text", "chunks"} and all({"text", "timestamp"} <= set(c) for c in result["chunks"])
    assert "".join(chunk["text"] for chunk in result["chunks"]) == result["text"]
    same = aligner(CLIP, text=result["text"], language="English", original_text=True)
    assert result["chunks"] == same["chunks"] and result["score"] == same["score"]
    by_default = pipeline(TASK, model=ASR, dtype="float32", device="cpu", aligner=aligner, **SHORT)
    assert by_default(CLIP, language="English", return_timestamps=True)["chunks"]
    assert set(by_default(CLIP)) == {"text", "language"}


def test_a_long_recording_is_cut_and_put_together(recognise, argmax):
    samples = np.concatenate([load_audio(CLIP), np.zeros(32000, np.float32)] * 3)
    options = {"language": "English", "return_timestamps": "word", "aligner": argmax}
    whole = recognise(samples, **options, chunk_length_s=7)
    pieces = list(cut(samples, 16000, 7))
    parts = [recognise(piece.samples, **options) for piece in pieces]
    assert len(parts) >= 3 and whole["text"] == " ".join(part["text"] for part in parts)
    expected = [
        [time + piece.start for time in chunk["timestamp"]]
        for piece, part in zip(pieces, parts, strict=True)
        for chunk in part["chunks"]
    ]
    np.testing.assert_allclose([chunk["timestamp"] for chunk in whole["chunks"]], expected, atol=6e-4)
    assert expected and whole["language"] == "English"
    assert whole["heard"] == pytest.approx(sum(part["heard"] for part in parts))
    for chunk in whole["chunks"]:
        assert whole["text"][chunk["char_start"] : chunk["char_end"]] == chunk["text"]
    scores = [chunk.pop("score") for chunk in whole["chunks"]]
    for again in recognise([samples] * 2, **options, chunk_length_s=7, batch_size=4):
        assert [chunk.pop("score") for chunk in again["chunks"]] == pytest.approx(scores, abs=1e-5)
        assert again == whole


def test_generate_kwargs_are_passed_on(recognise):
    short, long = (recognise(CLIP, generate_kwargs={"max_new_tokens": count})["text"] for count in (3, 9))
    assert long.startswith(short[:1]) and len(short) < len(long)
    with pytest.raises(ValueError, match="not_there"):
        recognise(CLIP, generate_kwargs={"not_there": 1})
    with pytest.raises(ValueError, match="2 answers to 1"):
        recognise(CLIP, generate_kwargs={"num_return_sequences": 2, "num_beams": 2, "max_new_tokens": 4})


def test_an_answer_that_never_ends_is_cut_and_told_of(recognise, monkeypatch):
    from transformers_qwen3_asr.transcription import recogniser

    told = []
    monkeypatch.setattr(recogniser.logger, "warning", told.append)
    monkeypatch.setattr(recogniser, "_TOKENS", 6)
    monkeypatch.setattr(recogniser, "_TOKENS_A_SECOND", 1)
    pipe = pipeline(TASK, model=recognise.model, processor=recognise.processor, device="cpu")
    longer, short = pipe([np.tile(load_audio(CLIP), 2), CLIP], language="English", batch_size=2)
    assert short == pipe(CLIP, language="English") and len(short["text"]) < len(longer["text"])
    assert len(told) == 3 and "6 tokens were not enough for 5.3 s" in told[-1]


def test_what_makes_no_sense_is_refused(recognise):
    for options, message in (
        ({"language": "Klingon"}, "language 'Klingon' is not known"),
        ({"context": "ends <|im_end|>"}, "the context holds"),
        ({"return_timestamps": "word"}, "needs an aligner="),
        ({"return_timestamps": "phrase"}, "return_timestamps='phrase'"),
        ({"chunk_length_s": 0}, "chunk_length_s=0"),
        ({"original_text": 1}, "original_text=1"),
        ({"generate_kwargs": 3}, "generate_kwargs is a int"),
        ({"on_error": "hide"}, "on_error='hide'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"language": ["English"]}, "one recording, but a list as language"),
    ):
        with pytest.raises(ValueError, match=message):
            recognise(CLIP, **options)
    with pytest.raises(TypeError, match="stride_length_s"):
        recognise(CLIP, stride_length_s=1)
    with pytest.raises(ValueError, match="2 recordings, but language is 1 items"):
        recognise([CLIP, CLIP], language=["English"])
    with pytest.raises(ValueError, match="stride"):
        recognise({"audio": {"raw": np.ones(9000), "sampling_rate": 16000, "stride": (0, 1)}})
    with pytest.raises(ValueError, match="num_workers"):
        pipeline(TASK, model=recognise.model, processor=recognise.processor, device="cpu", num_workers=2)


def test_a_bad_row_is_named_or_returned(recognise, argmax):
    rows = [CLIP, "not there.wav", {"audio": CLIP, "language": "Klingon"}, {"audio": None}, CLIP]
    with pytest.raises(ValueError, match=r"item 1: 'not there.wav'"):
        recognise(rows, batch_size=3)
    given = recognise(iter(rows), batch_size=2)
    assert next(given) == recognise(CLIP)
    with pytest.raises(ValueError, match="item 1"):
        next(given)
    for options in ({}, {"return_timestamps": "word", "aligner": argmax}):
        results = recognise(rows, batch_size=3, on_error="return", **options)
        assert [result["error"] is None for result in results] == [True, False, False, False, True]
        assert results[0] == results[4] and results[0]["text"] and not results[1]["text"]
        assert results[2]["error"].startswith("item 2: ValueError: language 'Klingon'")
        assert "no 'audio'" in results[3]["error"] and ("chunks" in results[3]) == bool(options)

    def failing():
        yield CLIP
        raise RuntimeError("the disk is gone")

    given = recognise(failing(), on_error="return", batch_size=2)
    assert next(given)["text"]
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(given)


OTHER_WAY = "goes to pipeline('automatic-speech-recognition')"
#: what refuses a recogniser, and what an aligner: task or Auto class, and the way that its one line shows
REFUSED = {
    "asr": (
        ("forced-alignment", OTHER_WAY), ("token-classification", OTHER_WAY),
        (AutoModelForTokenClassification, "to AutoModelForSpeechSeq2Seq or pipeline('automatic-speech-recognition')"),
    ),
    "aligner": (
        (TASK, "given as aligner= beside it, or to pipeline('forced-alignment')"),
        (AutoModelForSpeechSeq2Seq, "to AutoModelForTokenClassification or pipeline('forced-alignment')"),
        (AutoModelForMultimodalLM, "to AutoModelForTokenClassification or pipeline('forced-alignment')"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["published", "hf"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_folder_of_the_other_kind_is_one_line_that_names_it(kind, layout, tmp_path):
    folder = GOLDENS / kind
    if layout == "hf":
        folder = tmp_path / "converted"
        to_hf(GOLDENS / kind, folder)
    for refuses, way in REFUSED[kind]:
        load = partial(pipeline, refuses) if isinstance(refuses, str) else refuses.from_pretrained
        with pytest.raises(ValueError) as error:
            load(str(folder))
        said = str(error.value)
        assert said.startswith(f"{folder} is ") and way in said and "\n" not in said


def test_a_model_or_an_aligner_of_the_other_kind_is_one_clear_error(recognise):
    aligner = AutoModelForTokenClassification.from_pretrained(ALIGNER)
    for task, model, message in (
        (
            TASK,
            aligner,
            f"{ALIGNER} is a .*Qwen3ASRForTokenClassification, and cannot transcribe",
        ),
        ("token-classification", recognise.model, "Qwen3ASRForConditionalGeneration, and gives no times"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            pipeline(task, model=model, device="cpu")
        assert "\n" not in str(error.value)
    for wrong, message in ((ASR, "is no aligner"), (recognise.model, "aligner= is a"), (7, "aligner= is a int")):
        with pytest.raises(ValueError, match=message):
            recognise(CLIP, return_timestamps="word", aligner=wrong)
        with pytest.raises(ValueError, match=message):
            pipeline(TASK, model=recognise.model, processor=recognise.processor, device="cpu", aligner=wrong)


@pytest.mark.parametrize("given", [(), ("processor",), ("tokenizer", "feature_extractor")])
def test_a_model_as_an_object(recognise, given):
    model = AutoModelForSpeechSeq2Seq.from_pretrained(ASR, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(ASR)
    parts = {"processor": processor, "tokenizer": processor.tokenizer}
    parts["feature_extractor"] = processor.feature_extractor
    pipe = pipeline(TASK, model=model, device="cpu", **{name: parts[name] for name in given}, **SHORT)
    assert type(pipe) is TranscriptionPipeline and pipe(CLIP) == recognise(CLIP)


def test_saved_and_loaded(recognise, tmp_path):
    recognise.save_pretrained(tmp_path)
    again = pipeline(TASK, model=str(tmp_path), dtype="float32", device="cpu", **SHORT)
    assert type(again) is TranscriptionPipeline and again(CLIP) == recognise(CLIP)
    fast = pipeline(TASK, model=ASR, dtype="int8", device="cpu", **SHORT)
    assert fast(CLIP)["text"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=400, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, num_mel_bins=80, begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    AutoTokenizer.from_pretrained(ASR).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("loaded", [False, True])
def test_other_models_get_transformers_own_pipeline(whisper, loaded):
    options = {"device": "cpu"}
    own = pipeline(TASK, model=whisper, pipeline_class=AutomaticSpeechRecognitionPipeline, **options)
    if loaded:
        model = WhisperForConditionalGeneration.from_pretrained(whisper)
        parts = {"model": model, "tokenizer": own.tokenizer, "feature_extractor": own.feature_extractor}
        pipe = pipeline(TASK, **parts, **options)
    else:
        pipe = pipeline(TASK, model=whisper, **options)
    assert type(pipe) is AutomaticSpeechRecognitionPipeline and pipe.type == own.type == "seq2seq_whisper"
    assert type(pipe.feature_extractor) is WhisperFeatureExtractor
    assert AutoFeatureExtractor.from_pretrained(whisper).to_dict() == pipe.feature_extractor.to_dict()


def test_other_models_fail_as_ever(whisper, tmp_path):
    WhisperForConditionalGeneration.from_pretrained(whisper).save_pretrained(tmp_path)
    for given in (WhisperForConditionalGeneration.from_pretrained(whisper), str(tmp_path)):
        with pytest.raises((Exception,)) as own:
            pipeline(TASK, model=given, pipeline_class=AutomaticSpeechRecognitionPipeline, device="cpu")
        with pytest.raises((Exception,)) as ours:
            pipeline(TASK, model=given, device="cpu")
        assert isinstance(given, str) or "Impossible to guess which tokenizer" in str(own.value)
        assert str(ours.value).splitlines()[0] == str(own.value).splitlines()[0]


def test_registering_again_leaves_another_pipeline_in_place(monkeypatch):
    from transformers.pipelines import PIPELINE_REGISTRY

    monkeypatch.setitem(PIPELINE_REGISTRY.supported_tasks[TASK], "impl", ForcedAlignmentPipeline)
    register()
    assert PIPELINE_REGISTRY.supported_tasks[TASK]["impl"] is ForcedAlignmentPipeline
