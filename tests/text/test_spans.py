"""Where words stand in the transcript, and the transcript given back: many languages, and texts made to be nasty."""

import json
import random
import unicodedata

import pytest
from conftest import GOLDENS

from transformers_qwen3_asr.alignment.chunks import UNITS, make_chunks
from transformers_qwen3_asr.text.spans import opens, pieces, whole_text
from transformers_qwen3_asr.text.words import split_words, word_texts

CASES = json.loads((GOLDENS / "words.json").read_text(encoding="utf-8"))["cases"]
NEEDS = {"Japanese": "nagisa", "Korean": "soynlp"}
#: What goes wrong elsewhere: white space of all kinds, marks, joiners, long emoji, ligatures, many scripts.
BITS = [
    *" \n\t\r\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u3000", "\r\n", "\n\n", "\x00", "\ufeff", "\u200b", "\u200d",
    *"abZß19٣'’‘-–—.,!?…;:¿¡\"“”„«»‹›()[]{}$%&#@*/\\_~", "3.14", "e.g.", "Mr.", "it’s", "rock-n-roll", "l’été", "***",
    "cafe\u0301", "e\u0302\u0301", "\u0301", "ﬁ", "ŉ", "İ", "ΐ", "ﷺ", "½", "Ⅷ", "①", "ª",
    "👩\u200d👩\u200d👧", "🇩🇪", "👍🏽", "1\ufe0f\u20e3", "❤\ufe0f", "नमस्ते", "क्\u200dष", "।", "สวัสดี", "ครับ", "น้ำ", "ๆ",
    "مَرْحَبًا", "؟", "می\u200cخواهم", "שָׁלוֹם", *"今天你好很", "\U00020000", "葛\U000e0100", *"。，！？：「」（）《》",
    "ＡＢ１", "ひらがな", "か\u3099", "ｶﾞ", "ﾊﾟ", "㍿", "㌔", "コーヒー", "한국어", "\u1112\u1161\u11ab", "학교에",
]  # fmt: skip
MADE = ["".join(random.Random(seed).choices(BITS, k=1 + seed % 24)) for seed in range(150)]


def timed(words):
    """A time a word, each 0.3 s after the one before, and a score."""
    return [{"start_time": 0.3 * i, "end_time": 0.3 * i + 0.25, "score": i / len(words)} for i in range(len(words))]


def chunks_of(text, language=None, **options):
    words = split_words(text, language)
    return make_chunks(text, words, timed(words), **options)


def needs(language):
    if language in NEEDS:
        pytest.importorskip(NEEDS[language], reason=f"{language} words need {NEEDS[language]}")


def kept(text, language=None):
    """The characters that the aligner keeps, without marks; for Japanese as nagisa rewrites them."""
    if language == "Japanese":
        text = unicodedata.normalize("NFKC", text).replace("İ", "I")
    return "".join(c for c in text if unicodedata.category(c)[0] in "LN" or c == "'")


def check(text, language, unit):
    """All that is promised about chunks and the characters they came from."""
    whole = whole_text(text)
    plain, restored = (chunks_of(text, language, unit=unit, original_text=choice) for choice in (False, True))
    assert len(plain) == len(restored)
    for chunks in (plain, restored):
        starts, ends = ([chunk[name] for chunk in chunks] for name in ("char_start", "char_end"))
        assert starts == sorted(starts) and ends == sorted(ends)
        assert all(0 <= start <= end <= len(whole) for start, end in zip(starts, ends))
        times = [time for chunk in chunks for time in chunk["timestamp"]]
        assert times == sorted(times)
    # joined, the transcript: by the texts, and by the offsets, which leave nothing out
    if restored:
        assert "".join(chunk["text"] for chunk in restored) == whole
        assert [chunk["char_start"] for chunk in restored[1:]] == [chunk["char_end"] for chunk in restored[:-1]]
        assert restored[0]["char_start"] == 0 and restored[-1]["char_end"] == len(whole)
        assert all(whole[chunk["char_start"] : chunk["char_end"]] == chunk["text"] for chunk in restored)
    else:
        assert split_words(text, language) == []
    assert [(c["timestamp"], c["score"]) for c in plain] == [(c["timestamp"], c["score"]) for c in restored]
    for chunk, around in zip(plain, restored):
        own = whole[chunk["char_start"] : chunk["char_end"]]
        if unit in ("sentence", "line"):
            assert own == chunk["text"] == own.strip() != ""
        elif language == "Japanese":
            assert kept(chunk["text"]) in kept(own, language)
        else:
            assert own.startswith(chunk["text"][0]) and kept(own) == kept(chunk["text"]) != ""
        # the chunk's characters are in its piece, if one before did not have them already
        if chunk["char_start"] >= around["char_start"]:
            assert chunk["char_end"] <= around["char_end"]
        else:
            assert language == "Japanese" and unit in ("word", "char")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("language", sorted({case["language"] for case in CASES}))
def test_joined_chunks_are_the_transcript(language, unit):
    needs(language)
    for case in (case for case in CASES if case["language"] == language):
        check(case["text"], language, unit)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("language", [None, "Japanese", "Korean"])
def test_made_texts_come_back(language, unit):
    needs(language)
    for text in MADE:
        check(text, language, unit)


@pytest.mark.parametrize("unit", UNITS)
def test_known_words_come_back(unit):
    for text in MADE:
        words = [word for word in text.split(" ") if kept(word)]
        check(words, None, unit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic: it's “well-known”.", ["Don't ", "panic: ", "it's ", "“well-known”."]),
        ("He said \"go\" (now), 'so'!", ["He ", "said ", '"go" ', "(now), ", "'so'!"]),
        ("¿Qué? ¡Sí! #tag -5 $3.14 …", ["¿Qué? ", "¡Sí! ", "#tag ", "-5 ", "$3.14 …"]),
        ("  one – two\n— three\n\n  four  ", ["  one – ", "two\n", "— three\n\n  ", "four  "]),
        ("Il dit : « Bon » et", ["Il ", "dit : ", "« Bon » ", "et"]),
        ("„Komm“ rief »sie« laut", ["„Komm“ ", "rief ", "»sie« ", "laut"]),
        ("他说：“你好。”（笑）", ["他", "说：", "“你", "好。”", "（笑）"]),
        ('他说:"好"了', ["他", "说:", '"好"', "了"]),
        ("用iPhone15 Pro", ["用", "iPhone15 ", "Pro"]),
        ("it’s 😀 rock-n-roll👍", ["it’s 😀 ", "rock-n-roll👍"]),
        ("cafe\u0301 नमस्ते।", ["cafe\u0301 ", "नमस्ते।"]),
    ],
)
def test_which_piece_the_marks_go_with(text, expected):
    assert [chunk["text"] for chunk in chunks_of(text, original_text=True)] == expected


def test_the_aligners_words_are_the_default():
    chunks = chunks_of("It’s “well-known”, no?")
    assert [chunk["text"] for chunk in chunks] == ["Its", "wellknown", "no"]
    assert [(chunk["char_start"], chunk["char_end"]) for chunk in chunks] == [(0, 4), (6, 16), (19, 21)]


def test_known_words_are_cut_where_they_were_given():
    words = ["(Hello,", "New York ", " —x", "it’s…"]
    chunks = chunks_of(words, original_text=True)
    assert [chunk["text"] for chunk in chunks] == ["(Hello, ", "New York  ", " —x ", "it’s…"]
    assert "".join(chunk["text"] for chunk in chunks) == " ".join(words)
    plain = chunks_of(words)
    assert [chunk["text"] for chunk in plain] == ["Hello", "NewYork", "x", "its"]
    assert [" ".join(words)[chunk["char_start"] : chunk["char_end"]] for chunk in plain] == [
        *("Hello", "New York", "x", "it’s")
    ]


def test_japanese_characters_that_become_several():
    needs("Japanese")
    text = "㍿と５㌔、ｶﾞｽ"
    chunks = chunks_of(text, "Japanese", original_text=True)
    assert "".join(chunk["text"] for chunk in chunks) == text
    assert "".join(word_texts(split_words(text, "Japanese"))) == "株式会社と5キロガス"
    by_character = chunks_of(text, "Japanese", unit="char")
    kilo = next(chunk for chunk in by_character if chunk["text"] == "キロ")
    assert text[kilo["char_start"] : kilo["char_end"]] == "㌔"
    ga = next(chunk for chunk in by_character if chunk["text"] == "ガ")
    assert text[ga["char_start"] : ga["char_end"]] == "ｶﾞ"


def test_korean_words_cut_by_a_dictionary(tmp_path):
    needs("Korean")
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("대한민국 1\n서울 1\n", encoding="utf-8")
    text = "대한민국의 수도는 서울입니다!”"
    words = split_words(text, "Korean", dictionary)
    assert word_texts(words) == ["대한민국", "의", "수도는", "서울", "입니다"]
    chunks = make_chunks(text, words, timed(words), original_text=True)
    assert [chunk["text"] for chunk in chunks] == ["대한민국", "의 ", "수도는 ", "서울", "입니다!”"]


@pytest.mark.parametrize("text", ["", " \n ", "*** …!", [], "“ ”"])
def test_without_words_there_are_no_pieces(text):
    assert split_words(text) == []
    assert pieces(text, []) == []
    for unit in UNITS:
        assert chunks_of(text, unit=unit, original_text=True) == chunks_of(text, unit=unit) == []


@pytest.mark.parametrize("text", ["a" * 200, "字" * 200, "n\u0303" * 200, "-x" * 200, "가" * 200, "कि" * 200])
def test_very_long_words(text):
    for language in (None, "Japanese", "Korean"):
        needs(language)
        for unit in UNITS:
            check(text, language, unit)


def test_marks_that_open():
    def opening(text):
        return [i for i in range(len(text)) if opens(text, i)]

    assert opening("“a” ‘b’ (c) «d» ‹e›") == [0, 4, 8, 12, 16]
    assert opening("„a“ ‚b‘ »c« ›d‹") == [0, 4, 8, 12]
    assert opening("”a” « b » \"c\" 'd' it's it’s") == [0, 4, 10, 14]
    assert opening('好“好”"好"好') == [1, 4]
    assert opening('¿a? ¡b! ["c"]') == [0, 4, 8, 9]
    assert opening("a.,;:!?-– ") == []
