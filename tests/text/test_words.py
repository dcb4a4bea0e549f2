"""Transcripts into words, against qwen-asr's own cutting and by hand."""

import json
import subprocess
import sys
import unicodedata
import warnings

import pytest
from conftest import GOLDENS

from transformers_qwen3_asr.text import words as words_module
from transformers_qwen3_asr.text.languages import ALIGNER_LANGUAGES, ASR_LANGUAGES, aligner_language, language_name
from transformers_qwen3_asr.text.words import KOREAN_DICTIONARY_VARIABLE, Word, split_words, word_texts

GOLDEN = json.loads((GOLDENS / "words.json").read_text(encoding="utf-8"))
NEEDS = {"Japanese": "nagisa", "Korean": "soynlp"}


@pytest.fixture(scope="module")
def korean_dictionary(tmp_path_factory):
    path = tmp_path_factory.mktemp("korean") / "words.dict"
    path.write_text("\n".join(f"{word} 10 x" for word in GOLDEN["korean_dictionary"]) + "\n\n", encoding="utf-8")
    return path


def without_marks(text):
    return "".join(character for character in text if unicodedata.category(character)[0] != "M")


@pytest.mark.parametrize("language", sorted({case["language"] for case in GOLDEN["cases"]}))
def test_words_are_those_of_qwen_asr(language, korean_dictionary):
    if language in NEEDS:
        pytest.importorskip(NEEDS[language])
    for case in (case for case in GOLDEN["cases"] if case["language"] == language):
        found = split_words(case["text"], language, korean_dictionary)
        # the one difference: marks stay
        assert [without_marks(word.text) for word in found] == case["words"], case["text"]
        if without_marks(case["text"]) == case["text"]:
            assert word_texts(found) == case["words"]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["language"])
def test_offsets_lead_back_to_the_text(case, korean_dictionary):
    if case["language"] in NEEDS:
        pytest.importorskip(NEEDS[case["language"]])
    text, before = case["text"], Word("", 0, 0)
    for word in split_words(text, case["language"], korean_dictionary):
        # one character such as \u337f may become several words in Japanese
        assert word.start >= (before.start if case["language"] == "Japanese" else before.end)
        assert word.start < word.end <= len(text)
        before = word
        span = text[word.start : word.end]
        if case["language"] == "Japanese":  # nagisa writes words in NFKC form
            span = unicodedata.normalize("NFKC", span)
        kept = "".join(ch for ch in span if unicodedata.category(ch)[0] in "LN" or ch == "'")
        if case["language"] == "Japanese":
            assert without_marks(word.text) in kept
        else:
            assert without_marks(word.text) == kept
            assert span[0] == word.text[0]
            assert span[-1] == word.text[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("สวัสดี ครับ", ["สวัสดี", "ครับ"]),
        ("क्\u200dष", ["क्ष"]),  # a joiner is dropped, the mark before it stays
        ("葛\U000e0100飾", ["葛\U000e0100", "飾"]),
        ("1\ufe0f\u20e3 \u2764\ufe0f -\u0301", ["1\ufe0f\u20e3"]),  # marks of dropped characters are dropped
        ("a \u0301b", ["a", "b"]),  # a mark after white space belongs to nothing
    ],
)
def test_combining_marks_stay_with_their_letter(text, expected):
    assert word_texts(split_words(text)) == expected


def test_a_word_spans_what_was_dropped_inside_it():
    assert split_words("rock-n-roll, 你好!") == [Word("rocknroll", 0, 11), Word("你", 13, 14), Word("好", 14, 15)]


def test_japanese_spans_survive_normalisation():
    pytest.importorskip("nagisa")
    text = "ﾊﾞﾅﾅを、か\u3099くと"  # half-width kana and a decomposed one
    found = split_words(text, "Japanese")
    assert found[0] == Word("バナナ", 0, 4)
    assert "".join(word.text for word in found) == "バナナをがくと"
    assert text[found[-1].start : found[-1].end].endswith("と")


def test_known_words_are_cleaned_and_kept_apart():
    found = split_words(["Hello,", "New York", "你好", "it's"])
    assert word_texts(found) == ["Hello", "NewYork", "你好", "it's"]
    joined = "Hello, New York 你好 it's"
    assert [joined[word.start : word.end] for word in found] == ["Hello", "New York", "你好", "it's"]
    with pytest.raises(ValueError, match=r"word 1 \('--'\) holds no letter"):
        split_words(["a", "--"])
    with pytest.raises(ValueError, match="word 0 is of type int"):
        split_words([1])


@pytest.mark.parametrize(("language", "package", "extra"), [("Japanese", "nagisa", "ja"), ("korean", "soynlp", "ko")])
def test_a_missing_splitter_names_its_extra(monkeypatch, language, package, extra):
    words_module._korean_tokenizer.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install transformers-qwen3-asr\[{extra}\]"):
        split_words("テキスト 텍스트", language)


def test_splitters_are_imported_only_for_their_language():
    code = (
        "import sys; from transformers_qwen3_asr.text.words import split_words; split_words('a 你 日本'); "
        "print(sorted({'nagisa', 'soynlp'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_korean_without_a_dictionary_is_said_once(monkeypatch):
    pytest.importorskip("soynlp")
    words_module._korean_tokenizer.cache_clear()
    monkeypatch.delenv(KOREAN_DICTIONARY_VARIABLE, raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = word_texts(split_words("산책하러 갈까요?", "Korean"))
        split_words("오늘", "Korean")
    assert first == ["산책하러", "갈까요"]
    assert [KOREAN_DICTIONARY_VARIABLE in str(warning.message) for warning in caught] == [True]


def test_korean_dictionary_by_argument_and_by_variable(monkeypatch, tmp_path):
    pytest.importorskip("soynlp")
    path = tmp_path / "ko.dict"
    path.write_text("산책하 5 x\n", encoding="utf-8")
    assert word_texts(split_words("산책하러", "Korean", path)) == ["산책하", "러"]
    monkeypatch.setenv(KOREAN_DICTIONARY_VARIABLE, str(path))
    assert word_texts(split_words("산책하러", "KOREAN")) == ["산책하", "러"]
    with pytest.raises(ValueError, match=r"no\.dict"):
        split_words("산책하러", "Korean", tmp_path / "no.dict")


def test_languages_by_name_and_code():
    assert len(ALIGNER_LANGUAGES) == 11
    assert len(ASR_LANGUAGES) == 30
    for code, name in ASR_LANGUAGES.items():
        assert language_name(code.upper()) == language_name(name.lower()) == name
        assert aligner_language(code.title()) == name
    assert language_name(None) is None
    assert aligner_language(None) is None
    assert aligner_language("Klingon") == "Klingon"
    with pytest.raises(ValueError, match="Klingon"):
        language_name("Klingon")
    with pytest.raises(ValueError, match="language must be a name"):
        aligner_language(" ")
