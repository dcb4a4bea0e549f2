"""Cues of subtitles: where they end, how their lines are broken, and that no limit is exceeded."""

import math
import re

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_writers import aligned, make_result

from transformers_qwen3_asr.formats.subtitles.layout import CueLimits, subtitle_cues
from transformers_qwen3_asr.formats.writing import write_alignment
from transformers_qwen3_asr.text.spans import columns

WORDS = "one two three four five six".split()
TEXT = " ".join(WORDS)


def texts(result, **limits) -> list[str]:
    return [cue.text for cue in subtitle_cues(result, CueLimits(**limits))]


def test_cues_end_at_pauses_widths_and_durations():
    assert texts(make_result(TEXT, WORDS, pauses=(3,))) == ["one two three", "four five six"]
    assert texts(make_result(TEXT, WORDS), max_line_length=13, max_lines=1) == ["one two three", "four five six"]
    assert texts(make_result(TEXT, WORDS), max_line_length=13) == ["one two three\nfour five six"]
    assert texts(make_result(TEXT, WORDS, seconds=2.0)) == ["one two three", "four five six"]
    assert texts(make_result(TEXT, WORDS), max_cue_seconds=1.3) == ["one two three", "four five six"]
    assert texts(make_result(TEXT, WORDS), max_line_length=1, max_lines=1) == WORDS


def test_clauses_and_short_pauses_are_better_places():
    text = "When the rain had stopped at last, they went down to the river and looked for the boat that they had left"
    assert (
        texts(make_result(text, text.replace(",", "").split(), seconds=0.3))[0] == "When the rain had stopped at last,"
    )
    plain = make_result(text.replace(",", ""), text.replace(",", "").split(), seconds=0.3)
    assert texts(plain)[0] != "When the rain had stopped at last"
    for chunk in plain["chunks"][7:]:  # 0.4 s after "last"
        start, end = chunk["timestamp"]
        chunk["timestamp"] = (start + 0.4, end + 0.4)
    assert texts(plain)[0] == "When the rain had stopped at last"


def test_lines_of_a_cue_are_even_and_end_behind_clauses():
    text = "He said that it was too late to go there now"
    assert texts(aligned(text), max_line_length=42) == ["He said that it was too\nlate to go there now"]
    text = "It was late, so we all went back home again."
    assert texts(aligned(text), max_line_length=40) == ["It was late,\nso we all went back home again."]


def test_lines_are_shorter_where_letters_are_wide():
    text = "今天天气很好我们一起去公园散步然后回家吃饭再看一部很长的电影"
    (cue,) = subtitle_cues(make_result(text, list(text), seconds=0.1))
    assert cue.text.replace("\n", "") == text and max(map(columns, cue.text.split("\n"))) <= 32
    assert texts(make_result(text[:6], list(text[:6])), max_line_length=6, max_lines=1) == ["今天天", "气很好"]


def test_cues_keep_a_gap():
    result = make_result(TEXT + ".", WORDS, seconds=0.2)
    cues = subtitle_cues(result, CueLimits(max_line_length=9, max_lines=1, min_gap=0.08))
    usual = subtitle_cues(result, CueLimits(max_line_length=9, max_lines=1))
    assert [cue.start for cue in cues] == [cue.start for cue in usual] and len(cues) > 2
    for cue, following, before in zip(cues, cues[1:], usual):
        assert following.start - cue.end == pytest.approx(0.08) and cue.end < before.end
    assert cues[-1] == usual[-1]
    far = subtitle_cues(result, CueLimits(max_line_length=9, max_lines=1, min_gap=10))
    kept = [(cue.end - cue.start) / (before.end - before.start) for cue, before in zip(far[:-1], usual)]
    assert kept == pytest.approx([0.5] * (len(far) - 1))


PIECES = ("a", "Mr.", "“so", "it”,", "end!", "«x»", "5", "你", "好。", "wonderfully", "—", "(and", "so)")


@given(
    words=st.lists(st.sampled_from(PIECES), min_size=1, max_size=40),
    space=st.sampled_from([" ", "\n"]),
    length=st.integers(1, 30),
    lines=st.integers(1, 3),
    seconds=st.floats(0.2, 8),
)
def test_no_limit_is_exceeded_but_by_one_word(words, space, length, lines, seconds):
    result = aligned(space.join(["go", *words]))
    limits = CueLimits(max_line_length=length, max_lines=lines, max_cue_seconds=seconds)
    cues = subtitle_cues(result, limits)
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join(result["text"].split())
    begins = {chunk["timestamp"][0] for chunk in result["chunks"]}
    ends = {chunk["timestamp"][1] for chunk in result["chunks"]}
    one_word = 0.5 + 1e-9  # as long as each lasts
    for cue, following in zip(cues, [*cues[1:], None]):
        assert cue.start in begins and cue.end in ends and (following is None or cue.end <= following.start)
        assert cue.end - cue.start <= max(seconds, one_word) + 1e-9
        shown = cue.text.split("\n")
        assert 1 <= len(shown) <= lines and all(shown)
        for line in shown:
            assert columns(line) <= length or len(re.findall(r"\w+", line)) <= 2  # a word, with marks of its own


def test_a_long_text_without_marks_takes_no_longer_than_its_length():
    words = ["word"] * 20_000
    cues = subtitle_cues(make_result(" ".join(words), words, seconds=0.01))
    assert sum(len(cue.text.split()) for cue in cues) == len(words) and len(cues) < 1300


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_lines": 0}, "max_lines=0"),
        ({"max_line_length": 2.5}, "max_line_length=2.5"),
        ({"max_cue_seconds": math.nan}, "max_cue_seconds=nan"),
        ({"min_gap": -1}, "min_gap=-1"),
    ],
)
def test_limits_that_are_none(limits, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CueLimits(**limits)


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".ass"])
@pytest.mark.parametrize("cues", ["lines", "karaoke"])
def test_lines_are_read_back(suffix, cues, tmp_path):
    if suffix == ".srt" and cues == "karaoke":
        return
    result = make_result("One two, three; four five \\six", ["One", "two", "three", "four", "five", "six"])
    path = write_alignment(result, tmp_path / f"a{suffix}", cues, limits=CueLimits(max_line_length=15))
    if (suffix, cues) == (".vtt", "karaoke"):  # pysubs2 takes times inside for cues
        shown = re.sub("<[^>]*>", "", path.read_text(encoding="utf-8").split("\n", 4)[4])
    else:
        (event,) = pysubs2.load(str(path)).events
        shown = event.plaintext.replace("\u2060", "")
    assert shown.strip() == "One two, three;\nfour five \\six"


def test_what_has_no_lines_has_no_breaks(tmp_path):
    result = make_result(TEXT, WORDS)
    path = write_alignment(result, tmp_path / "a.tsv", "lines", limits=CueLimits(max_line_length=13))
    assert path.read_text().splitlines()[1:] == ["0\t2400\tone two three four five six"]


def test_limits_without_cues(tmp_path):
    with pytest.raises(ValueError, match="limits of cues are for"):
        write_alignment(make_result(TEXT, WORDS), tmp_path / "a.srt", limits=CueLimits())
    with pytest.raises(ValueError, match="min_gap is for"):
        write_alignment(make_result(TEXT, WORDS), tmp_path / "a.ass", "karaoke", limits=CueLimits(min_gap=0.1))
