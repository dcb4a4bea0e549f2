"""Results to files: what is written is read back, by the json module and by pysubs2."""

import json
import math

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformers_qwen3_asr.alignment.chunks import make_chunks
from transformers_qwen3_asr.formats.spoken import Spoken
from transformers_qwen3_asr.formats.subtitles.layout import CueLimits, subtitle_cues
from transformers_qwen3_asr.formats.writing import SUBTITLE_SUFFIXES, SUFFIXES, write_alignment
from transformers_qwen3_asr.text.words import split_words


def make_result(text, words, seconds=0.4, pauses=()):
    """A result whose words follow each other, each `seconds` long, with a pause of 1.5 s before those in `pauses`."""
    chunks, time = [], 0.0
    for number, word in enumerate(words):
        time += 1.5 if number in pauses else 0.0
        chunks.append({"text": word, "timestamp": (round(time, 3), round(time + seconds, 3)), "score": 0.5})
        time += seconds
    return {"text": text, "chunks": chunks}


SPOKEN = make_result(
    "Don't panic: it's “well-known”. So it is!", ["Don't", "panic", "it's", "wellknown", "So", "it", "is"]
)


def test_json_is_the_result(tmp_path):
    path = write_alignment(SPOKEN, tmp_path / "new" / "folder" / "a.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["text"] == SPOKEN["text"]
    assert [tuple(chunk["timestamp"]) for chunk in stored["chunks"]] == [c["timestamp"] for c in SPOKEN["chunks"]]
    assert [chunk["score"] for chunk in stored["chunks"]] == [0.5] * 7
    assert "“well-known”" in path.read_text(encoding="utf-8")  # not as escapes


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".ass", ".SRT"])
def test_subtitles_have_a_cue_a_word(tmp_path, suffix):
    path = write_alignment(SPOKEN, tmp_path / f"a{suffix}")
    events = pysubs2.load(str(path), format_=suffix[1:].lower()).events
    assert [event.plaintext for event in events] == [chunk["text"] for chunk in SPOKEN["chunks"]]
    assert [(e.start, e.end) for e in events][:3] == [(0, 400), (400, 800), (800, 1200)]


def test_srt_bytes(tmp_path):
    result = make_result("Ja, ÿ!", ["Ja", "ÿ"], seconds=3600.04)
    text = write_alignment(result, tmp_path / "a.srt").read_text(encoding="utf-8")
    assert text.split("\n\n") == [
        "1\n00:00:00,000 --> 01:00:00,040\nJa",
        "2\n01:00:00,040 --> 02:00:00,080\nÿ",
        "",
    ]


def test_lines_restore_the_text_and_end_after_sentences():
    cues = subtitle_cues(SPOKEN)
    assert [cue.text for cue in cues] == ["Don't panic: it's “well-known”.", "So it is!"]
    assert [(cue.start, cue.end) for cue in cues] == [(0.0, 1.6), (1.6, 2.8)]


def test_opening_marks_stay_with_their_word():
    cues = subtitle_cues(make_result("He said. “Go (now)”", ["He", "said", "Go", "now"]))
    assert [cue.text for cue in cues] == ["He said.", "“Go (now)”"]


PIECES = ("a", "Mr.", "“so", "it”.", "end!", "«x»", "No.", "5", "你", "好。", "e.g.", "Go.", "—")


@given(words=st.lists(st.sampled_from(PIECES), min_size=1, max_size=30), space=st.sampled_from([" ", "\n", "\n\n"]))
def test_sentences_are_lines_without_limits(words, space):
    result = aligned(space.join(["go", *words]))
    lines = Spoken("a", result).lines(sentences=True)
    expected = subtitle_cues(result, CueLimits(max_line_length=10**6, max_lines=1, max_cue_seconds=math.inf))
    assert [(line.text, line.start, line.end) for line in lines] == [(c.text, c.start, c.end) for c in expected]
    assert [word.start for line in lines for word in line.words] == [c["timestamp"][0] for c in result["chunks"]]


def test_words_that_are_not_in_the_text_are_kept_as_they_are():
    cues = subtitle_cues(make_result("ｈａｌｌｏ　ｄａ", ["hallo", "da"]))
    assert [cue.text for cue in cues] == ["hallo da"]
    assert [cue.text for cue in subtitle_cues(make_result(["hallo", "da"], ["hallo", "da"]))] == ["hallo da"]


def aligned(text, original_text=False, unit="word", language=None):
    """A result as the pipeline gives it, half a second a word."""
    words = split_words(text, language)
    times = [{"start_time": 0.5 * i, "end_time": 0.5 * i + 0.5, "score": 0.5} for i in range(len(words))]
    return {"text": text, "chunks": make_chunks(text, words, times, unit, original_text)}


@pytest.mark.parametrize("original_text", [False, True])
@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It’s ‘here’. «Now», Mr. Bo\n— go!", ["It’s ‘here’.", "«Now», Mr. Bo — go!"]),
        (["It’s", "‘here’.", "«Now», Mr.", "Bo", "— go!"], ["It’s ‘here’.", "«Now», Mr. Bo — go!"]),
        ("他说：“你好。”（笑）真的？", ["他说：“你好。”", "（笑）真的？"]),
        ("cafe\u0301 नमस्ते। ya", ["cafe\u0301 नमस्ते।", "ya"]),
        ("2,5 e-mails — 3.14!", ["2,5 e-mails — 3.14!"]),
    ],
)
def test_lines_are_cut_by_offsets(text, expected, unit, original_text):
    assert [cue.text for cue in subtitle_cues(aligned(text, original_text, unit))] == expected


def test_offsets_find_words_that_searching_would_not():
    pytest.importorskip("nagisa", reason="Japanese words need the extra [ja]")
    result = aligned("ﾊﾞﾅﾅと㌔。ＡＢ！", language="Japanese")
    assert [chunk["text"] for chunk in result["chunks"]] == ["バナナ", "と", "キロ", "AB"]
    assert [cue.text for cue in subtitle_cues(result)] == ["ﾊﾞﾅﾅと㌔。", "ＡＢ！"]


def test_a_cue_a_sentence_or_line(tmp_path):
    text = "  One, “two”.\n***\nThree\nfour."
    for unit, original_text, expected in (
        ("sentence", False, ["One, “two”.", "*** Three four."]),
        ("sentence", True, ["One, “two”.", "*** Three four."]),
        ("line", False, ["One, “two”.", "Three", "four."]),
        ("line", True, ["One, “two”. ***", "Three", "four."]),
    ):
        path = write_alignment(aligned(text, original_text, unit), tmp_path / "a.srt")
        events = pysubs2.load(str(path)).events
        assert [event.plaintext for event in events] == expected
        assert (events[0].start, events[0].end) == (0, 1000) and events[-1].end == 2000


def test_json_of_any_unit_gives_the_text_back(tmp_path):
    text = "\ufeff “One”, it’s\n\n***\n👍🏽 二三… "
    for unit in ("word", "char", "sentence", "line"):
        path = write_alignment(aligned(text, True, unit), tmp_path / "a.json")
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert "".join(chunk["text"] for chunk in stored["chunks"]) == stored["text"] == text


def test_braces_survive(tmp_path):
    result = make_result("a {b} c", ["a", "b", "c"])
    srt = write_alignment(result, tmp_path / "a.srt", cues="lines").read_text(encoding="utf-8")
    assert "a {b} c" in srt
    assert r"a \{b} c" in write_alignment(result, tmp_path / "a.ass", cues="lines").read_text(encoding="utf-8")


def test_what_means_something_to_a_format_is_text(tmp_path):
    said = r"Open C:\New\home, AT&T <noise> <i>x</i> a --> b"
    result = make_result(said, ["Open"])
    result["chunks"][0]["text"] = said
    written = {s: write_alignment(result, tmp_path / f"a{s}").read_text(encoding="utf-8") for s in SUBTITLE_SUFFIXES}
    assert said in written[".srt"].splitlines()
    cue = r"Open C:\New\home, AT&amp;T &lt;noise&gt; &lt;i&gt;x&lt;/i&gt; a --&gt; b"
    assert cue in written[".vtt"].splitlines()
    (event,) = pysubs2.SSAFile.from_string(written[".ass"]).events
    assert event.plaintext.replace("\u2060", "") == said and "\n" not in event.plaintext


def test_a_cue_of_webvtt_ends_after_it_starts(tmp_path):
    result = make_result("a", ["a"], seconds=0.0)
    assert "00:00:00.000 --> 00:00:00.001" in write_alignment(result, tmp_path / "a.vtt").read_text(encoding="utf-8")


def test_no_words_is_an_empty_file_of_its_kind(tmp_path):
    pytest.importorskip("praatio", reason="TextGrid needs the extra [labels]")
    pytest.importorskip("pympi", reason="ELAN needs the extra [labels]")
    result = {"text": "", "chunks": []}
    assert Spoken("a", result).words == subtitle_cues(result) == []
    for suffix in SUFFIXES:
        assert write_alignment(result, tmp_path / f"a{suffix}").is_file()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"version": 1, **result}


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"unknown extension '.txt'; known are .jsonl, .*\.json, \.srt"):
        write_alignment(SPOKEN, tmp_path / "a.txt")
    with pytest.raises(ValueError, match="cues='word'"):
        write_alignment(SPOKEN, tmp_path / "a.srt", cues="word")
    with pytest.raises(ValueError, match=r"a \.json file holds the words"):
        write_alignment(SPOKEN, tmp_path / "a.json", cues="lines")
    assert list(tmp_path.iterdir()) == []
