"""The processor: inputs, words, times, transcripts and files."""

import base64
import functools
import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import Qwen3ASRFeatureExtractor as NativeFeatureExtractor
from transformers import WhisperFeatureExtractor
from transformers.models.qwen3_asr.processing_qwen3_asr import Qwen3ASRProcessor as NativeProcessor

from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths
from transformers_qwen3_asr.processing import chat_templates
from transformers_qwen3_asr.processing.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from transformers_qwen3_asr.processing.processing_qwen3_asr import Qwen3ASRProcessor


def noise(samples, seed=0):
    return (0.1 * np.random.RandomState(seed).randn(samples)).astype(np.float32)


CLIPS = [noise(20000, 1), noise(33000, 2)]


@pytest.fixture(scope="module")
def aligner():
    from conftest import GOLDENS

    return Qwen3ASRProcessor.from_pretrained(GOLDENS / "aligner")


@pytest.fixture(scope="module")
def asr():
    from conftest import GOLDENS

    return Qwen3ASRProcessor.from_pretrained(GOLDENS / "asr")


@pytest.fixture(scope="module")
def native(asr):
    """transformers' own processor with the same tokenizer, and the templates of the -hf checkpoints."""
    return NativeProcessor(NativeFeatureExtractor(), asr.tokenizer, chat_template=chat_templates.HF_ASR)


def frames(inputs, row):
    return inputs["input_features"][row, :, : int(inputs["input_features_mask"][row].sum())]


def row_ids(inputs, row):
    return inputs["input_ids"][row][inputs["attention_mask"][row] == 1].tolist()


# alignment


def test_aligner_inputs(aligner):
    inputs, words = aligner.prepare_forced_aligner_inputs(CLIPS, ["Hello there.", "It's me"], ["en", None])
    assert words == [["Hello", "there"], ["It's", "me"]]
    assert set(inputs) == {"input_ids", "attention_mask", "input_features", "input_features_mask"}
    for row, (clip, row_words) in enumerate(zip(CLIPS, words)):
        ids = row_ids(inputs, row)
        assert ids.count(aligner.audio_token_id) == audio_token_lengths(len(clip) // 160)
        assert ids.count(aligner.timestamp_token_id) == 2 * len(row_words)
        text = aligner.tokenizer.decode(ids)
        pads = "<|audio_pad|>" * audio_token_lengths(len(clip) // 160)
        slots = "".join(f"{word}<timestamp><timestamp>" for word in row_words)
        assert text == f"<|audio_start|>{pads}<|audio_end|>{slots}"  # no chat turns
    assert inputs["attention_mask"][0, 0] == 1  # padded on the right
    assert inputs["attention_mask"][0, -1] == 0
    assert inputs["input_features_mask"].sum(-1).tolist() == [125, 206]

    left, _ = aligner.prepare_forced_aligner_inputs(CLIPS, ["Hello there.", "It's me"], padding_side="left")
    assert left["attention_mask"][0, 0] == 0
    assert [row_ids(left, row) for row in (0, 1)] == [row_ids(inputs, row) for row in (0, 1)]


def test_batch_is_single(aligner):
    batch, words = aligner.prepare_forced_aligner_inputs(CLIPS, ["one two", "three"])
    for row, (clip, text) in enumerate(zip(CLIPS, ["one two", "three"])):
        alone, words_alone = aligner.prepare_forced_aligner_inputs(clip, text)
        assert row_ids(alone, 0) == row_ids(batch, row)
        assert torch.equal(frames(alone, 0), frames(batch, row))
        assert words_alone == [words[row]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_prompts_made_together_are_those_that_the_tokenizer_makes(aligner, side):
    """Each word is tokenised once for all: not where it stands."""
    random = np.random.default_rng(0)
    said = ["the", "old", "house", "isn't", "我", "爱", "naïve", "3rd", "x" * 150, "ไทย", "a"]
    word_lists = [[said[k] for k in random.integers(0, len(said), size)] for size in (9, 1, 30, 4, 0)]
    marks = [None, [True], random.random(30) < 0.5, [True, True, False, False], None]
    counts = [3, 0, 7, 5, 2]
    found = aligner.tokenize_slots(word_lists, counts, side, marks)
    for row, (words, count, slotted) in enumerate(zip(word_lists, counts, marks)):
        prompt = aligner.slot_prompt(words, slotted).replace("<|audio_pad|>", count * "<|audio_pad|>")
        expected = aligner.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert row_ids(found, row) == expected
        first = 0 if side == "right" else -len(expected)
        assert (found["attention_mask"][row].roll(-first)[: len(expected)] == 1).all()
        assert (found["input_ids"][row][found["attention_mask"][row] == 0] == aligner.tokenizer.pad_token_id).all()


def test_a_list_of_words_instead_of_a_text(aligner):
    expected = [["Hello", "there"]]
    for transcript in ("Hello, there!", ["Hello, there!"], ["Hello,", "there!"], [["Hello", "there"]]):
        assert aligner.prepare_forced_aligner_inputs(CLIPS[0], transcript)[1] == expected
    assert aligner.prepare_forced_aligner_inputs(CLIPS, [["a", "b"], "c d"])[1] == [["a", "b"], ["c", "d"]]
    assert aligner.split_words_for_alignment("你好 ok", "zh") == ["你", "好", "ok"]


def test_every_form_of_audio_reaches_the_features(aligner, goldens):
    path = goldens / "clips" / "sense_0890.flac"
    content = path.read_bytes()
    expected, _ = aligner.prepare_forced_aligner_inputs(path, "Unless to be")
    for audio in (str(path), [str(path)], {"bytes": content, "path": None}, base64.b64encode(content).decode()):
        inputs, _ = aligner.prepare_forced_aligner_inputs(audio, ["Unless to be"])
        assert torch.equal(inputs["input_features"], expected["input_features"])


def test_rate_of_samples(aligner):
    expected, _ = aligner.prepare_forced_aligner_inputs((CLIPS[0], 8000), "a")
    inputs, _ = aligner.prepare_forced_aligner_inputs(CLIPS[0], "a", sampling_rate=8000)
    assert torch.equal(inputs["input_features"], expected["input_features"])
    assert inputs["input_features_mask"].sum() == 250
    inputs, _ = aligner.prepare_forced_aligner_inputs(CLIPS[0], "a", audio_kwargs={"sampling_rate": 8000})
    assert inputs["input_features_mask"].sum() == 250
    # what says its rate keeps it
    inputs, _ = aligner.prepare_forced_aligner_inputs([(CLIPS[0], 16000)], "a", sampling_rate=8000)
    assert inputs["input_features_mask"].sum() == 125


def test_n_window_counts_tokens(aligner):
    inputs, _ = aligner.prepare_forced_aligner_inputs(CLIPS[1], "a", n_window=25)
    assert row_ids(inputs, 0).count(aligner.audio_token_id) == audio_token_lengths(206, 25) != audio_token_lengths(206)
    other = Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(n_window=25), aligner.tokenizer)
    assert row_ids(other.prepare_forced_aligner_inputs(CLIPS[1], "a")[0], 0) == row_ids(inputs, 0)
    assert row_ids(other(text="<|audio_pad|>", audio=CLIPS[1]), 0) == [aligner.audio_token_id] * audio_token_lengths(
        206, 25
    )


def test_an_untrained_language_aligns_with_one_warning(aligner):
    with pytest.warns(UserWarning, match="was not trained on Thai") as caught:
        _, words = aligner.prepare_forced_aligner_inputs(CLIPS, ["a b", "c"], "TH")
    assert len(caught) == 1
    assert words == [["a", "b"], ["c"]]
    with pytest.warns(UserWarning, match="not trained on Klingon, Thai") as caught:
        aligner.prepare_forced_aligner_inputs(CLIPS, ["a b", "c"], ["th", "Klingon"])
    assert len(caught) == 1


def test_the_eleven_languages_align_without_a_warning(aligner):
    codes = ["zh", "EN", "yue", "French", "GERMAN", "it", "pt", "Russian", "es", None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for code in codes:
            aligner.prepare_forced_aligner_inputs(CLIPS[0], "one", code)


def test_japanese_and_korean_are_cut_by_name_and_code(aligner, tmp_path):
    pytest.importorskip("nagisa")
    pytest.importorskip("soynlp")
    (tmp_path / "ko.dict").write_text("산책 1 x\n", encoding="utf-8")
    _, words = aligner.prepare_forced_aligner_inputs(
        CLIPS, ["今日は晴れ", "산책하러"], ["JA", "korean"], korean_dictionary=tmp_path / "ko.dict"
    )
    assert words == [["今日", "は", "晴れ"], ["산책", "하러"]]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((CLIPS, ["a"]), {}, ValueError, "1 transcripts were given for 2 recordings"),
        ((CLIPS, ["a", "..."]), {}, ValueError, r"transcript 1 \('...'\) holds no words"),
        ((CLIPS, ["a", "b"], ["en", "fr", "de"]), {}, ValueError, "3 values were given as language"),
        ((CLIPS[0], "a", 3), {}, (ValueError, TypeError), "language|iterable"),
        (([CLIPS[0], np.zeros(0)], ["a", "b"]), {}, ValueError, "audio 1: .*empty"),
        (("no/file.wav", "a"), {}, ValueError, "no/file.wav"),
        ((CLIPS[0], "a"), {"colour": 1}, TypeError, "colour"),
        ((CLIPS[0], "a"), {"padding": False}, ValueError, "padding=True"),
        ((CLIPS[0], "a"), {"padding_side": "top"}, ValueError, "padding_side"),
        ((CLIPS[0], "a"), {"return_tensors": "np"}, ValueError, "return_tensors='pt'"),
        ((CLIPS[0], "a"), {"return_dict": False}, ValueError, "return_dict"),
        ((CLIPS[0], "a"), {"load_audio_backend": "librosa"}, ValueError, "load_audio_backend"),
    ],
)
def test_what_is_wrong_with_aligner_inputs_is_named(aligner, arguments, options, error, message):
    with pytest.raises(error, match=message):
        aligner.prepare_forced_aligner_inputs(*arguments, **options)


def test_an_asr_processor_says_what_it_lacks(asr):
    with pytest.raises(ValueError, match="add_timestamp_token"):
        asr.prepare_forced_aligner_inputs(CLIPS[0], "a")


def test_decoding_equals_transformers_own(aligner, native):
    torch.manual_seed(3)
    decode = functools.partial(aligner.decode_forced_alignment, decoding="argmax")
    inputs, words = aligner.prepare_forced_aligner_inputs(CLIPS, ["a b c d e f g", "h i j k"])
    logits = torch.randn(*inputs["input_ids"].shape, 30)
    token = aligner.timestamp_token_id
    ours = decode(logits, inputs["input_ids"], words, token)
    assert ours == native.decode_forced_alignment(logits, inputs["input_ids"], words, token)
    slots = logits[inputs["input_ids"] == token]
    assert decode(slots, inputs["input_ids"], words, token) == ours
    assert decode(slots, inputs["input_ids"], words) == ours
    faster = decode(logits, inputs["input_ids"], words, token, timestamp_segment_time=20)
    assert faster == native.decode_forced_alignment(logits, inputs["input_ids"], words, token, 20)
    assert faster != ours
    scored = decode(logits, inputs["input_ids"], words, token, return_scores=True)
    assert [{key: item[key] for key in ("text", "start_time", "end_time")} for item in scored[0]] == ours[0]
    assert all(0 < item["score"] < 1 for clip in scored for item in clip)
    with pytest.raises(ValueError, match=r"clip 1 .*two for each of 3 words"):
        decode(logits, inputs["input_ids"], [words[0], ["x"] * 3], token)


def test_aligner_inputs_equal_transformers_own(aligner, goldens):
    native = NativeProcessor(NativeFeatureExtractor(), aligner.tokenizer, chat_template=chat_templates.HF_ALIGNER)
    texts = ["Hello there, it's 42!", "你好 ok"]
    theirs, words = native.prepare_forced_aligner_inputs(CLIPS, texts, ["English", "zh"])
    ours, our_words = aligner.prepare_forced_aligner_inputs(CLIPS, texts, ["English", "zh"])
    assert our_words == words
    for row, clip in enumerate(CLIPS):
        assert row_ids(ours, row) == row_ids(theirs, row)
        # zeros after the shorter clip reach theirs through the transform; and theirs rounds up to a chunk
        valid = len(clip) // 160 - 2
        torch.testing.assert_close(
            ours["input_features"][row, :, :valid], theirs["input_features"][row, :, :valid], atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transcript": ["a", ["b", "?!"]]}, r"transcript 1: word 1 \('\?!'\) holds no letter"),
        ({"transcript": ["a", None]}, "transcript 1 is of type NoneType"),
        ({"transcript": ["a", 3]}, "transcript 1 is of type int"),
        ({"transcript": ["a", " -- "]}, "transcript 1 .* holds no words"),
        ({"transcript": ["a", "b"], "language": ["English", 7]}, "recording 1: language must be"),
    ],
)
def test_the_aligners_errors_name_the_item(aligner, arguments, message):
    for prepare in (aligner.prepare_forced_aligner_inputs, aligner.prepare_vllm_inputs):
        with pytest.raises(ValueError, match=message):
            prepare(CLIPS, **arguments)


def test_other_errors_name_the_item(aligner, asr):
    with pytest.raises(ValueError, match="word list 1: there are 1 slot marks for 2 words"):
        aligner.tokenize_slots([["a"], ["b", "c"]], [3, 3], slots=[None, [True]])
    with pytest.raises(ValueError, match="recording 1: language 'Klingon' is not known"):
        asr.apply_transcription_request(CLIPS, language=["English", "Klingon"])
    good = {"role": "user", "content": [{"type": "audio", "audio": CLIPS[0]}]}
    bad = {"role": "user", "content": [{"type": "audio"}]}
    with pytest.raises(ValueError, match="message 1: an audio block needs one of"):
        asr.apply_chat_template([good, bad], tokenize=True)
    with pytest.raises(ValueError, match="conversation 1: message 0: an audio block needs one of"):
        asr.apply_chat_template([[good], [bad]], tokenize=True)


def test_add_timestamp_token(goldens, tmp_path):
    processor = Qwen3ASRProcessor.from_pretrained(goldens / "asr")
    assert processor.timestamp_token_id is None
    before = len(processor.tokenizer)
    index = processor.add_timestamp_token()
    assert index == before == processor.timestamp_token_id
    assert processor.add_timestamp_token() == index
    assert len(processor.tokenizer) == before + 1
    inputs, _ = processor.prepare_forced_aligner_inputs(CLIPS[0], "a b")
    assert row_ids(inputs, 0).count(index) == 4
    processor.save_pretrained(tmp_path)
    again = Qwen3ASRProcessor.from_pretrained(tmp_path)
    assert again.timestamp_token_id == index
    assert row_ids(again.prepare_forced_aligner_inputs(CLIPS[0], "a b")[0], 0) == row_ids(inputs, 0)


@pytest.mark.parametrize("template", [None, chat_templates.PUBLISHED, chat_templates.HF_ASR])
def test_an_aligners_template_keeps_the_transcript(aligner, template, tmp_path):
    """The published template drops it, and with it what vLLM's /pooling is sent as messages."""
    words = ["What", "is", "said"]
    content = [{"type": "audio"}, *({"type": "text", "text": word} for word in words)]
    processor = Qwen3ASRProcessor(aligner.feature_extractor, aligner.tokenizer, chat_template=template)
    processor.save_pretrained(tmp_path)
    for one in (processor, Qwen3ASRProcessor.from_pretrained(tmp_path)):
        rendered = one.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        assert rendered == aligner.slot_prompt(words)


def test_a_template_of_ones_own_is_kept(aligner, tmp_path):
    processor = Qwen3ASRProcessor(aligner.feature_extractor, aligner.tokenizer, chat_template="{{ messages }}")
    processor.save_pretrained(tmp_path)
    assert Qwen3ASRProcessor.from_pretrained(tmp_path).chat_template == "{{ messages }}"


def test_a_recogniser_that_becomes_an_aligner_gets_its_template(goldens, tmp_path):
    processor = Qwen3ASRProcessor.from_pretrained(goldens / "asr")
    processor.chat_template = chat_templates.PUBLISHED
    processor.add_timestamp_token()
    processor.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "chat_template.json").read_text())["chat_template"] == chat_templates.HF_ALIGNER


# transcription


@pytest.mark.parametrize("template", [chat_templates.PUBLISHED, chat_templates.HF_ASR], ids=["published", "hf"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"language": "en"},
        {"language": ["Chinese", None]},
        {"prompt": "rare words"},
        {"prompt": ["one", None], "language": "yue"},
    ],
    ids=str,
)
def test_transcription_requests_equal_transformers_own(asr, native, template, options):
    ours = Qwen3ASRProcessor(asr.feature_extractor, asr.tokenizer, chat_template=template)
    theirs = native.apply_transcription_request(CLIPS, **options)
    inputs = ours.apply_transcription_request(CLIPS, **options)
    assert torch.equal(inputs["input_ids"], theirs["input_ids"])  # padded on the left, both
    assert torch.equal(inputs["attention_mask"], theirs["attention_mask"])
    assert torch.equal(frames(inputs, 1), frames(theirs, 1)[:, :206])
    prompts = ours.apply_transcription_request(CLIPS, tokenize=False, **options)
    again = ours(text=prompts, audio=CLIPS)
    assert torch.equal(again["input_ids"], inputs["input_ids"])


def test_transcription_requests_that_cannot_be(asr, aligner):
    with pytest.raises(ValueError, match="Klingon"):
        asr.apply_transcription_request(CLIPS[0], language="Klingon")
    with pytest.raises(ValueError, match="1 values were given as prompt for 2"):
        asr.apply_transcription_request(CLIPS, prompt=["one"])
    of_hf = Qwen3ASRProcessor(aligner.feature_extractor, aligner.tokenizer)
    assert of_hf.chat_template == chat_templates.HF_ALIGNER
    with pytest.raises(ValueError, match="aligner's processor"):
        of_hf.apply_transcription_request(CLIPS[0])


def test_decode_formats_equal_transformers_own(asr, native):
    texts = ["language English<asr_text>Hello there.<|im_end|>", "plain", "language None<asr_text>"]
    ids = [asr.tokenizer(text)["input_ids"] for text in texts]
    for return_format in ("raw", "parsed", "transcription_only"):
        for one in (*ids, ids):
            assert asr.decode(one, return_format=return_format) == native.decode(one, return_format=return_format)
    assert asr.decode(ids[0], return_format="parsed") == {"language": "English", "transcription": "Hello there."}
    with pytest.raises(ValueError, match="return_format"):
        asr.decode(ids[0], return_format="other")


def test_labels_equal_transformers_own(asr, native):
    prompts = ["<|audio_pad|> one", "<|audio_pad|> two three"]
    ours = asr(text=prompts, audio=CLIPS, output_labels=True)
    theirs = native(text=prompts, audio=CLIPS, output_labels=True)
    assert torch.equal(ours["labels"], theirs["labels"])
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    assert (ours["labels"] == -100).any()


def test_chat_template_takes_every_form_of_audio(asr, goldens):
    path = goldens / "clips" / "sense_0890.flac"
    content = path.read_bytes()
    expected = asr.apply_transcription_request(str(path))
    decoder = SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(CLIPS[0])[None], sample_rate=16000)
    )
    blocks = [
        {"type": "audio", "audio": str(path)},
        {"type": "audio", "path": str(path)},
        {"type": "audio", "url": path.as_uri()},
        {"type": "audio_url", "audio_url": {"url": path.as_uri()}},
        {"type": "audio", "base64": base64.b64encode(content).decode()},
        {"type": "audio", "bytes": content},
    ]
    for block in blocks:
        conversation = [{"role": "user", "content": [block]}]
        inputs = asr.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True, return_dict=True)
        assert torch.equal(inputs["input_ids"], expected["input_ids"])
        assert torch.equal(inputs["input_features"], expected["input_features"])
        assert set(conversation[0]["content"][0]) == set(block)  # what was given stays as it was
    conversation = [{"role": "user", "content": [{"type": "audio", "audio": decoder}]}]
    inputs = asr.apply_chat_template([conversation] * 2, tokenize=True, return_dict=True)
    assert inputs["input_ids"].shape[0] == 2
    assert asr.apply_chat_template(conversation).startswith("<|im_start|>system\n")
    with pytest.raises(ValueError, match="needs one of audio"):
        asr.apply_chat_template([{"role": "user", "content": [{"type": "audio"}]}], tokenize=True)


def test_assistant_masks(asr):
    processor = Qwen3ASRProcessor(asr.feature_extractor, asr.tokenizer, chat_template=chat_templates.HF_ASR)
    conversation = [
        {"role": "user", "content": [{"type": "audio", "audio": CLIPS[0]}]},
        {"role": "assistant", "content": [{"type": "text", "text": "language English<asr_text>ab"}]},
    ]
    options = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}
    if not hasattr(NativeProcessor, "_adjust_assistant_masks_indices"):  # transformers 5.17 marks other tokens
        with pytest.raises(NotImplementedError, match="newer version"):
            processor.apply_chat_template([conversation], **options)
        return
    out = processor.apply_chat_template([conversation], **options)
    mask = torch.as_tensor(out["assistant_masks"])[0].bool()
    assert asr.tokenizer.decode(out["input_ids"][0][mask]).startswith("language English<asr_text>ab")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text": "<|audio_pad|><|audio_pad|>", "audio": CLIPS[0]}, ValueError, "audio_pad"),
        ({"text": ["<|audio_pad|><|audio_pad|>", "x"], "audio": CLIPS}, ValueError, "prompt 0 holds 2"),
        ({"text": ["<|audio_pad|>", "x"], "audio": CLIPS}, ValueError, "audio_pad"),
        ({"text": "<|audio_pad|>"}, ValueError, "audio_pad"),
        ({"text": "<|audio_pad|>", "audio": CLIPS[0], "colour": 1}, TypeError, "colour"),
        ({"text": "<|audio_pad|>", "audio": CLIPS[0], "images": [1]}, TypeError, "images"),
        ({"text": "<|audio_pad|>", "audio": CLIPS[0], "return_tensors": "np"}, ValueError, "return_tensors"),
        ({"text": "<|audio_pad|>", "audio": CLIPS[0], "audio_kwargs": {"pitch": 1}}, TypeError, "pitch"),
        (
            {"text": "<|audio_pad|>", "audio": CLIPS[0], "audio_kwargs": {"return_attention_mask": False}},
            ValueError,
            "return_attention_mask",
        ),
    ],
)
def test_what_is_wrong_with_a_call_is_named(asr, options, error, message):
    with pytest.raises(error, match=message):
        asr(**options)


def test_padding_of_a_call(asr):
    prompts = ["<|audio_pad|> one", "<|audio_pad|> two three four"]
    left = asr(text=prompts, audio=[CLIPS[0], CLIPS[0]])
    assert left["attention_mask"][0, 0] == 0
    right = asr(text=prompts, audio=[CLIPS[0], CLIPS[0]], padding_side="right")
    assert right["attention_mask"][0].tolist() == left["attention_mask"][0].flip(0).tolist()
    long = asr(text=prompts, audio=[CLIPS[0], CLIPS[0]], padding="max_length", max_length=200)
    assert long["input_ids"].shape[1] == 200
    assert long["input_features_mask"].sum(-1).tolist() == [125, 125]  # a length in tokens is not one in samples


@pytest.mark.parametrize(
    ("flat", "part", "named"),
    [
        (
            {"padding": "max_length"},
            {"text_kwargs": {"padding": False}},
            "padding .*'max_length'.* text_kwargs as False",
        ),
        ({"padding": True}, {"text_kwargs": {"padding": True}}, "padding"),
        ({"n_window": 50}, {"audio_kwargs": {"n_window": 25}}, "n_window .* audio_kwargs"),
    ],
)
def test_an_argument_that_is_given_twice_is_refused(asr, aligner, flat, part, named):
    with pytest.raises(ValueError, match=named):
        asr(text="<|audio_pad|> one", audio=CLIPS[0], **flat, **part)
    with pytest.raises(ValueError, match=named):
        aligner.prepare_forced_aligner_inputs(CLIPS[0], "one", **flat, **part)


def test_padding_in_text_kwargs(asr):
    prompts = ["<|audio_pad|> one", "<|audio_pad|> two three four"]
    options = {"padding": "max_length", "max_length": 200}
    nested = asr(text=prompts, audio=[CLIPS[0], CLIPS[0]], text_kwargs=options)
    flat = asr(text=prompts, audio=[CLIPS[0], CLIPS[0]], **options)
    assert nested.keys() == flat.keys()
    assert all(torch.equal(value, flat[name]) for name, value in nested.items())
    assert nested["input_ids"].shape[1] == 200


@pytest.mark.parametrize("clips", [CLIPS[:1], CLIPS[:2], [CLIPS[0][:16000]]])
def test_features_come_in_whole_chunks(asr, aligner, clips):
    """As transformers' own encoder takes them. What is filled in is zero and masked; the extractor's frames stay."""
    expected = asr.feature_extractor(clips, sampling_rate=16000)
    frames = expected["input_features"].shape[-1]
    for inputs in (
        asr(text=["<|audio_pad|>"] * len(clips), audio=clips),
        asr.apply_transcription_request(clips),
        aligner.prepare_forced_aligner_inputs(clips, ["one"] * len(clips))[0],
    ):
        assert inputs["input_features"].shape[-1] == -(-frames // 100) * 100
        assert inputs["input_features_mask"].shape == inputs["input_features"][:, 0].shape
        for name in ("input_features", "input_features_mask"):
            assert torch.equal(inputs[name][..., :frames], expected[name])
            assert not inputs[name][..., frames:].any()
    odd = asr(text=["<|audio_pad|>"] * len(clips), audio=clips, n_window=30)
    assert odd["input_features"].shape[-1] % 60 == 0


# files


def test_saved_is_loaded(aligner, asr, tmp_path):
    for name, processor in (("aligner", aligner), ("asr", asr)):
        processor.save_pretrained(tmp_path / name)
        again = Qwen3ASRProcessor.from_pretrained(tmp_path / name)
        assert again.to_dict() == processor.to_dict()
        assert again.chat_template == processor.chat_template
        assert again.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
        assert again.timestamp_token_id == processor.timestamp_token_id
        assert isinstance(again.feature_extractor, Qwen3ASRFeatureExtractor)
        text = "Hello <timestamp> 你好 <|audio_pad|><asr_text>"
        assert again.tokenizer(text)["input_ids"] == processor.tokenizer(text)["input_ids"]


def test_the_published_layout_is_written_as_it_was_read(aligner, goldens, tmp_path):
    aligner.save_pretrained(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json"} <= written
    assert "processor_config.json" not in written
    for name in ("preprocessor_config.json", "chat_template.json", "vocab.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((goldens / "aligner" / name).read_text())
    read = json.loads((goldens / "aligner" / "tokenizer_config.json").read_text())
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text())
    # transformers 4 has the named tokens from here alone
    assert saved["extra_special_tokens"] == read["extra_special_tokens"]
    assert saved["added_tokens_decoder"] == read["added_tokens_decoder"]
    assert saved["tokenizer_class"] == "Qwen2Tokenizer"


def test_the_real_files_are_written_as_they_were_read(shared, tmp_path):
    for name in ("aligner", "asr"):
        folder = shared / "reference" / name
        Qwen3ASRProcessor.from_pretrained(folder).save_pretrained(tmp_path / name)
        same = ("preprocessor_config.json", "vocab.json", "merges.txt")
        # the aligner's published template would drop the transcript
        for file in same if name == "aligner" else (*same, "chat_template.json"):
            assert (tmp_path / name / file).read_bytes() == (folder / file).read_bytes(), file
        read = json.loads((folder / "tokenizer_config.json").read_text())
        saved = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        # transformers 5.17 forgets additional_special_tokens when it loads; they change nothing in a fast tokenizer
        saved.setdefault("additional_special_tokens", read["additional_special_tokens"])
        assert saved == read


def test_time_of_a_class_is_kept(aligner, goldens, tmp_path):
    processor = Qwen3ASRProcessor(aligner.feature_extractor, aligner.tokenizer, timestamp_segment_time=20)
    processor.save_pretrained(tmp_path)
    assert Qwen3ASRProcessor.from_pretrained(tmp_path).timestamp_segment_time == 20
    assert Qwen3ASRProcessor.from_pretrained(tmp_path, timestamp_segment_time=40).timestamp_segment_time == 40
    aligner.save_pretrained(tmp_path)  # over the old file
    assert Qwen3ASRProcessor.from_pretrained(tmp_path).timestamp_segment_time == aligner.timestamp_segment_time
    with pytest.raises(ValueError, match="timestamp_segment_time"):
        Qwen3ASRProcessor(aligner.feature_extractor, aligner.tokenizer, timestamp_segment_time=0)


def test_time_of_a_class_comes_from_the_models_config(aligner, tmp_path):
    aligner.save_pretrained(tmp_path)
    config = {"model_type": "qwen3_asr", "timestamp_segment_time": 25}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Qwen3ASRProcessor.from_pretrained(tmp_path).timestamp_segment_time == 25


def test_several_chat_templates_cannot_be_saved(aligner, tmp_path):
    processor = Qwen3ASRProcessor(
        aligner.feature_extractor, aligner.tokenizer, chat_template={"default": "a", "other": "b"}
    )
    with pytest.raises(ValueError, match=r"\['default', 'other'\]"):
        processor.save_pretrained(tmp_path)


@pytest.mark.parametrize("other", [WhisperFeatureExtractor(feature_size=128), NativeFeatureExtractor(min_length=100)])
def test_settings_of_another_extractor_are_taken_over(aligner, other):
    processor = Qwen3ASRProcessor(other, aligner.tokenizer)
    assert isinstance(processor.feature_extractor, Qwen3ASRFeatureExtractor)
    assert processor.feature_extractor.min_length == getattr(other, "min_length", 8000)
    assert processor.feature_extractor.feature_size == 128


def test_hf_files_load(aligner, goldens, tmp_path):
    """A -hf folder: processor_config.json names transformers' own classes, the template lies in a .jinja file."""
    aligner.tokenizer.save_pretrained(tmp_path)
    native = NativeProcessor(
        NativeFeatureExtractor(), aligner.tokenizer, chat_template=chat_templates.HF_ALIGNER, timestamp_segment_time=20
    )
    native.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "processor_config.json").read_text())["feature_extractor"]
    loaded = Qwen3ASRProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded.feature_extractor, Qwen3ASRFeatureExtractor)
    assert loaded.chat_template == chat_templates.HF_ALIGNER
    assert loaded.timestamp_segment_time == 20
    assert loaded.timestamp_token_id == aligner.timestamp_token_id
    ours, _ = loaded.prepare_forced_aligner_inputs(CLIPS[0], "a b")
    assert row_ids(ours, 0) == row_ids(aligner.prepare_forced_aligner_inputs(CLIPS[0], "a b")[0], 0)


@pytest.mark.parametrize("name", ["Qwen3-ForcedAligner-0.6B-hf", "Qwen3-ASR-0.6B-hf"])
def test_the_published_hf_files_load(shared, tmp_path, name):
    reference = Qwen3ASRProcessor.from_pretrained(shared / "reference" / ("aligner" if "Aligner" in name else "asr"))
    reference.tokenizer.save_pretrained(tmp_path)
    for path in (shared / "checkpoints" / "side_files" / name).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    processor = Qwen3ASRProcessor.from_pretrained(tmp_path)
    assert isinstance(processor.feature_extractor, Qwen3ASRFeatureExtractor)
    assert processor.timestamp_segment_time == 80
    expected = chat_templates.HF_ALIGNER if "Aligner" in name else chat_templates.HF_ASR
    assert processor.chat_template == expected
    if "Aligner" in name:
        ours = processor.prepare_forced_aligner_inputs(CLIPS[0], "a b")[0]
        theirs = reference.prepare_forced_aligner_inputs(CLIPS[0], "a b")[0]
    else:
        ours = processor.apply_transcription_request(CLIPS[0], "en")
        theirs = reference.apply_transcription_request(CLIPS[0], "en")
    assert torch.equal(ours["input_ids"], theirs["input_ids"])


def test_templates_are_the_published_ones(shared):
    for name in ("Qwen3-ForcedAligner-0.6B", "Qwen3-ASR-0.6B", "Qwen3-ASR-1.7B"):
        folder = shared / "checkpoints" / "side_files" / name
        assert json.loads((folder / "chat_template.json").read_text())["chat_template"] == chat_templates.PUBLISHED
        hf = chat_templates.HF_ALIGNER if "Aligner" in name else chat_templates.HF_ASR
        assert (folder.parent / f"{name}-hf" / "chat_template.jinja").read_text() == hf
