"""Words as sentences, lines and characters: where they are cut, and the times and scores they get."""

import itertools

import pytest

from transformers_qwen3_asr.alignment.chunks import make_chunks
from transformers_qwen3_asr.text.sentences import sentence_ends
from transformers_qwen3_asr.text.words import split_words


def sentences(text):
    ends = [0, *sentence_ends(text), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def chunks_of(text, times=None, scores=None, language=None, **options):
    """Chunks of words with the given times and scores; if none are given, half a second each and scores of 0.5."""
    words = split_words(text, language)
    times = times or [(0.5 * i, 0.5 * i + 0.5) for i in range(len(words))]
    scores = scores or [0.5] * len(words)
    aligned = [
        {"start_time": start, "end_time": end, "score": score}
        for (start, end), score in zip(times, scores, strict=True)
    ]
    return make_chunks(text, words, aligned, **options)


@pytest.mark.parametrize(
    "expected",
    [
        ["One. ", "Two! ", "Three? ", "Four… ", "Five?! ", "Six"],
        ["Mr. Ann B. Smith lives at 3.14 example.com, e.g. in the U.S. Army. ", "No. 5 is No. ", "It is Jan. 3."],
        ["So it is I. ", "(Really?) ", "[Yes.] ", "It is 1999. ", "Then."],
        ["“Go!” he said. ", "“Really?”, Ann asked. ", "“No.” ", "“Why?” ", "'Ask!' ", '"Or." ', "So."],
        ["Well… perhaps. ", "Apples, pears, etc. and nuts. ", "What?! ", "End."],
        ["1. First.\n", "2. Second.\n", "3. Third"],
        ["A title\n\n", "One line\nof two. ", "And\r\n\r\n", "a last"],
        ["no capitals here. ", "are there? ", "none! ", "none"],
        ["„Komm.“ ", "Dann ging er. ", "»Hallo!« sagte sie, bzw. rief: z. B. heute, d. h. jetzt. ", "Gut."],
        ["« Quoi ? » ", "Il part. ", "« Bon ! » dit-il. ", "Mme Vic est M. Vic."],
        ["¿Qué? ", "¡Sí! ", "El Sr. Gómez no está."],
        ["Это я. ", "Он на ул. Ленина, т. е. там. ", "Да!"],
        ["他说：“你好。”", "然后走了！", "真的？", "「是。」", "用3.14。", "OK.", "好"],
        ['他说："你好。"', '"对。"', "（是。）", "走"],
        ["今日は晴れ。", "明日は？", "３．１４です！", "はい"],
        ["नमस्ते। ", "आप कैसे हैं? ", "ठीक॥ ", "हाँ"],
        ["مرحبا! ", "كيف حالك؟ ", "جيد۔ ", "نعم"],
        ["ሰላም። ", "እንዴት ነህ፧ ", "ደህና"],
        ["Բարեւ։ ", "Այո"],
        ["네. ", "그래요! ", "네"],
        ["สวัสดีครับ ไปไหน"],
        ["."],
        [""],
    ],
    ids=lambda expected: expected[0][:20],
)
def test_sentences(expected):
    assert sentences("".join(expected)) == expected


def test_sentences_have_their_words_times_and_mean_score():
    text = "“One two,” she. Three!\n— Four."
    times = [(0.1, 0.4), (0.4, 0.4), (0.6, 1.6), (2.0, 2.5), (3.0, 3.1)]
    chunks = chunks_of(text, times, [0.9, 0.3, 0.6, 1.0, 0.2], unit="sentence")
    # the mean counts the word of no length as much as the others
    assert [chunk.pop("score") for chunk in chunks] == pytest.approx([0.6, 1.0, 0.2])
    assert chunks == [
        {"text": "“One two,” she.", "timestamp": (0.1, 1.6), "char_start": 0, "char_end": 15},
        {"text": "Three!", "timestamp": (2.0, 2.5), "char_start": 16, "char_end": 22},
        {"text": "— Four.", "timestamp": (3.0, 3.1), "char_start": 23, "char_end": 30},
    ]


def test_lines_are_the_transcripts_own():
    text = "***\nThe first, \n  the second\n\n…\r\nThird\u2028fourth\n♪\n"
    chunks = chunks_of(text, unit="line")
    assert [chunk["text"] for chunk in chunks] == ["The first,", "the second", "Third", "fourth"]
    assert [chunk["timestamp"] for chunk in chunks] == [(0.0, 1.0), (1.0, 2.0), (2.0, 2.5), (2.5, 3.0)]
    restored = chunks_of(text, unit="line", original_text=True)
    assert [chunk["text"] for chunk in restored] == [
        *("***\nThe first, \n", "  the second\n\n…\r\n", "Third\u2028", "fourth\n♪\n")
    ]


def test_marks_alone_are_no_sentence():
    chunks = chunks_of("… Wait . . . What?! !! *", unit="sentence")
    assert [chunk["text"] for chunk in chunks] == ["… Wait . . .", "What?! !! *"]
    assert chunks_of("…\n*** !", unit="sentence") == chunks_of("…\n*** !", unit="line") == []


def test_known_words_are_not_torn():
    words = ["Mr. X.", "Stop. Now", "go\non", "then.", "End"]
    chunks = chunks_of(words, unit="sentence")
    assert [chunk["text"] for chunk in chunks] == ["Mr. X. Stop. Now go\non then.", "End"]
    assert [chunk["text"] for chunk in chunks_of(words, unit="line")] == [" ".join(words)]


def test_characters_share_a_words_time():
    text = "Don’t, 5-6 e\u0301a 天"
    chunks = chunks_of(text, [(0.0, 0.4), (0.5, 0.5), (1.0, 1.3), (2.0, 2.2)], [0.1, 0.2, 0.3, 0.4], unit="char")
    assert [(chunk["text"], *chunk["timestamp"], chunk["score"]) for chunk in chunks] == [
        *[("D", 0.0, 0.1, 0.1), ("o", 0.1, 0.2, 0.1), ("n", 0.2, 0.3, 0.1), ("t", 0.3, 0.4, 0.1)],
        *[("5", 0.5, 0.5, 0.2), ("6", 0.5, 0.5, 0.2)],
        *[("e\u0301", 1.0, 1.15, 0.3), ("a", 1.15, 1.3, 0.3), ("天", 2.0, 2.2, 0.4)],
    ]
    assert [text[chunk["char_start"] : chunk["char_end"]] for chunk in chunks] == [chunk["text"] for chunk in chunks]
    restored = chunks_of(text, unit="char", original_text=True)
    assert [chunk["text"] for chunk in restored] == ["D", "o", "n’", "t, ", "5-", "6 ", "e\u0301", "a ", "天"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("क्\u200dषि न\u093fमि", ["क्", "षि", "नि", "मि"]),
        ("น้ำดื่ม", ["น้ำ", "ดื่", "ม"]),
        ("e\u0302\u0301u\u0308", ["e\u0302\u0301", "u\u0308"]),  # Vietnamese, decomposed
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["\u1112\u1161\u11ab", "\u1100\u1173\u11af"]),  # Korean, decomposed
        ("مَرْحَبًا", ["مَ", "رْ", "حَ", "بً", "ا"]),
        ("葛\U000e0100飾", ["葛\U000e0100", "飾"]),
    ],
)
def test_marks_stay_with_their_character(text, expected):
    assert [chunk["text"] for chunk in chunks_of(text, unit="char")] == expected


def test_japanese_characters_are_shares_of_words():
    pytest.importorskip("nagisa", reason="Japanese words need the extra [ja]")
    words = chunks_of("今日はﾊﾞﾅﾅ", language="Japanese")
    assert [word["text"] for word in words] == ["今日", "は", "バナナ"]
    characters = chunks_of("今日はﾊﾞﾅﾅ", language="Japanese", unit="char")
    assert [chunk["text"] for chunk in characters] == [*"今日はバナナ"]
    assert [chunk["timestamp"] for chunk in characters[:3]] == [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
    restored = chunks_of("今日はﾊﾞﾅﾅ", language="Japanese", unit="char", original_text=True)
    assert [chunk["text"] for chunk in restored] == ["今", "日", "は", "ﾊﾞ", "ﾅ", "ﾅ"]


def test_shares_stay_inside_a_word_of_no_round_length():
    chunks = chunks_of("abcdefg", [(1.23456789, 1.23461)], unit="char")
    times = [time for chunk in chunks for time in chunk["timestamp"]]
    assert times == sorted(times) and times[0] == 1.23456789 and times[-1] == 1.23461
    long = chunks_of("x" * 200, [(0.0, 1.0)], unit="char")
    assert len(long) == 200 and long[99]["timestamp"] == (0.495, 0.5)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="return_timestamps='phrase': known are word, char, sentence, line"):
        chunks_of("a", unit="phrase")
    with pytest.raises(ValueError, match="original_text='yes': True or False"):
        chunks_of("a", original_text="yes")
    with pytest.raises(ValueError, match="2 words do not fit the times of 1"):
        make_chunks("a b", split_words("a b"), [{"start_time": 0.0, "end_time": 1.0, "score": 1.0}])
