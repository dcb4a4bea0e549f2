"""Texts that mean harm: none becomes an order to the model, and none costs more than its length and the audio's."""

import dataclasses
import threading
import types

import numpy as np
import pytest
from transformers import AutoProcessor

from transformers_qwen3_asr.text.words import LONGEST_WORD, MOST_MARKS, prompt_text, split_words, word_texts
from transformers_qwen3_asr.training.transcription_collator import TranscriptionCollator, transcription_sizes

RATE = 16000
AUDIO = np.zeros(RATE, np.float32)
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>"),
    "<asr_text>",
)


@pytest.fixture(scope="module")
def asr(goldens):
    return AutoProcessor.from_pretrained(goldens / "asr")


@pytest.fixture(scope="module")
def aligner(goldens):
    return AutoProcessor.from_pretrained(goldens / "aligner")


@pytest.mark.parametrize("token", SPECIAL)
@pytest.mark.parametrize("around", ["{}", "about {} and more", "a{}b", "\u202e{}\u200b", "{}{}"])
def test_control_tokens_in_a_prompt_are_refused(asr, token, around):
    text = around.replace("{}", token)
    with pytest.raises(ValueError, match=r"prompt 1 holds .*: control tokens") as error:
        asr.apply_transcription_request([AUDIO, AUDIO], prompt=["fine", text])
    assert token in str(error.value)
    for content in (text, [{"type": "text", "text": text}]):
        conversation = [
            {"role": "system", "content": content},
            {"role": "user", "content": [{"type": "audio", "audio": AUDIO}]},
        ]
        for tokenize in (True, False):
            with pytest.raises(ValueError, match="conversation 1, the system's text holds"):
                asr.apply_chat_template([conversation[1:], conversation], tokenize=tokenize)
    with pytest.raises(ValueError, match="is not known"):
        asr.apply_transcription_request(AUDIO, language=f"English{text}")


def test_tokens_that_blocks_make_together_are_refused(asr):
    halves = [{"type": "text", "text": "<|im_"}, {"type": "text", "text": "end|>"}]
    for conversation in (
        [{"role": "system", "content": halves}],
        [{"role": "system", "content": [halves[0]]}, {"role": "system", "content": [halves[1]]}],
    ):
        with pytest.raises(ValueError, match=r"the system's text holds <\|im_end\|>"):
            asr.apply_chat_template(conversation, tokenize=False)


def test_messages_that_are_objects_are_looked_at_as_well(asr):
    message = dataclasses.make_dataclass("Message", ["role", "content"])
    block = dataclasses.make_dataclass("Block", ["type", "text"])
    chat = types.SimpleNamespace(messages=[message("system", [block("text", "hello")])])
    assert "hello" in asr.apply_chat_template(chat, tokenize=False)
    for content in ("a<|im_end|>", [block("text", "a<|im_end|>")]):
        with pytest.raises(ValueError, match=r"^the system's text holds <\|im_end\|>"):
            asr.apply_chat_template([message("system", content)], tokenize=False)
        chat.messages = [message("system", content)]
        with pytest.raises(ValueError, match=r"^conversation 1, the system's text holds <\|im_end\|>"):
            asr.apply_chat_template([[message("system", "hello")], chat], tokenize=False)


def test_what_only_looks_like_a_token_is_text(asr):
    plain = asr.apply_transcription_request(AUDIO, prompt="a")["input_ids"]
    control = set(asr.tokenizer.added_tokens_decoder)
    for text in (
        "<|im_",
        "im_end|>",
        "< |im_end| >",
        "<|IM_END|>",
        "&lt;|im_end|&gt;",
        "<|im\u200b_end|>",
        "\0",
        "{{ x }}",
    ):
        ids = asr.apply_transcription_request(AUDIO, prompt=text)["input_ids"]
        assert sum(int(i) in control for i in ids[0]) == sum(int(i) in control for i in plain[0])


def test_an_assistants_turn_may_hold_its_tag_and_no_other(asr):
    answer = [{"role": "assistant", "content": "language English<asr_text>hello"}]
    assert isinstance(asr.apply_chat_template(answer, tokenize=False), str)
    with pytest.raises(ValueError, match=r"the assistant's text holds <\|im_end\|>"):
        asr.apply_chat_template([{"role": "assistant", "content": "<asr_text>a<|im_end|>"}], tokenize=False)


@pytest.mark.parametrize("prompt", [5, ["a", 5], b"a", ["ok", "\ud800"]])
def test_prompts_that_are_no_text(asr, prompt):
    with pytest.raises(ValueError, match="prompt"):
        asr.apply_transcription_request([AUDIO, AUDIO], prompt=prompt)


def test_control_tokens_in_words_are_refused_or_taken_out(aligner):
    words = word_texts(split_words("a <timestamp> b <|im_end|> c <|audio_pad|>"))
    assert words == ["a", "timestamp", "b", "imend", "c", "audiopad"]
    slots = aligner.tokenize_slots([words], [3])["input_ids"] == aligner.timestamp_token_id
    assert slots.sum() == 2 * len(words)
    for word in ("<timestamp>", "a<|audio_pad|>", "<|im_end|>"):
        with pytest.raises(ValueError, match="word list 1: the word"):
            aligner.tokenize_slots([["a"], ["b", word]], [3, 3])


def test_transcripts_and_languages_to_learn_from(asr):
    collator = TranscriptionCollator(asr)
    good = {"audio": (AUDIO, RATE), "text": "hello", "language": "English"}
    for key in ("text", "language"):
        for value in ("a<|im_end|>b", "<asr_text>", "\ud800"):
            with pytest.raises(ValueError, match="row 1 "):
                collator([good, {**good, "id": "x", key: value}])
    with pytest.raises(ValueError, match=r"row 0: its (text|language) holds '\\ud800'"):
        transcription_sizes([{**good, "duration": 1.0, "text": "\ud800"}], asr)


# cost


NEEDS = {"Japanese": "nagisa", "Korean": "soynlp"}


def within(seconds, function):
    """What a function returns; fails where it takes longer."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, f"it takes more than {seconds} s, or failed"
    return results[0]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("가\u200b" * 50_000, "Korean"),
        ("か" + "\u3099" * 50_000, "Japanese"),
        ("e" + "\u0301" * 50_000, None),
        ("a " * 50_000, None),
        ("a" * 100_000, None),
    ],
    ids=["Korean", "Japanese", "marks", "words", "letters"],
)
def test_texts_are_split_in_the_time_of_their_length(text, language):
    """Korean beginnings, and Japanese marks, were tried anew with each character: a minute and more."""
    if language in NEEDS:
        pytest.importorskip(NEEDS[language], reason=f"{language} words need {NEEDS[language]}")
    assert within(45, lambda: split_words(text, language))


def test_korean_words_are_cut_as_before(tmp_path):
    pytest.importorskip("soynlp")
    (tmp_path / "words").write_text("한국 1\n사람들 1\n")
    text = "한국어를 사람들이 " + "한국" + "말" * 300
    assert word_texts(split_words(text, "Korean", tmp_path / "words")) == [
        *("한국", "어를", "사람들", "이", "한국"),
        "말" * 300,
    ]


def test_words_in_prompts_are_no_longer_than_words_are():
    assert prompt_text("hello") == "hello"
    assert prompt_text("q\u0323\u0307") == "q\u0323\u0307"
    assert prompt_text("e" + "\u0301" * 200 + "a") == "e" + "\u0301" * MOST_MARKS + "a"
    both = prompt_text("a" * 5000 + "b" * 5000)
    assert both == "a" * (LONGEST_WORD // 2) + "b" * (LONGEST_WORD // 2)
    thai = "สวัสดีครับผมชื่อสมชายและผมอยู่ที่กรุงเทพมหานคร"
    assert prompt_text(thai) == thai


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a" * 10_000 + " hello", 2),
        ("e" + "\u0301" * 10_000 + " hello", 2),
        (("e" + "\u0301" * 200 + " ") * 100, 100),
        (("a" * 1000 + " ") * 25, 25),
        ("a " * 10_000, 10_000),
        ("\u0301" * 5000 + " a", 1),
        ("\u200b" * 5000 + " a\0\u202eb", 1),
    ],
)
def test_what_the_model_is_asked_is_bounded(pipe, monkeypatch, text, words):
    """Tokens, and the longest prompt, since attention takes its square: 10,000 letters were asked ten times."""
    sizes, forward = [], type(pipe.model).forward

    def counting(self, *args, **kwargs):
        sizes.append(tuple(kwargs["input_ids"].shape))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pipe.model), "forward", counting)
    seconds = 4
    noise = np.random.default_rng(0).normal(0, 0.05, seconds * RATE).astype(np.float32)
    result = pipe((noise, RATE), text=text, language="English")
    assert len(result["chunks"]) == words
    times = [time for chunk in result["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= seconds
    assert max(length for _, length in sizes) < 4000
    assert sum(rows * length for rows, length in sizes) < 20 * (len(text) + 13 * seconds) + 20_000
