"""Speakers: turns of an RTTM file, and words with their speakers from one format to another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_samples import recording, write

from transformers_qwen3_asr.formats import convert, read_labels
from transformers_qwen3_asr.formats.reading import read_spoken
from transformers_qwen3_asr.formats.rttm import Turn, read_rttm, with_speakers
from transformers_qwen3_asr.formats.table import TABLE
from transformers_qwen3_asr.formats.writing import write_alignment
from transformers_qwen3_asr.labels.rows import Entry

RTTM = """;; made by hand
SPKR-INFO speech 1 <NA> <NA> <NA> unknown ann <NA> <NA>
SPEAKER speech 1 0.00 1.10 <NA> <NA> ann <NA> <NA>
SPEAKER speech 1 1.00 1.00 <NA> <NA> bob 0.9 <NA>
SPEAKER other 1 0.00 9.00 <NA> <NA> eve <NA> <NA>
"""
WORDS = [("So", 0.1, 0.4), ("it", 0.5, 0.75), ("is", 0.9, 1.05), ("Well", 1.0, 1.5), ("known", 2.5, 2.75)]
SAID = ["ann", "ann", "ann", "bob", None]


def result_of(words=WORDS):
    return {"text": "So it is. Well known.", "chunks": [{"text": t, "timestamp": (s, e)} for t, s, e in words]}


def test_turns_of_each_recording(tmp_path):
    turns = read_rttm(write(tmp_path / "a.rttm", RTTM))
    assert turns == {"speech": [Turn(0, 1.1, "ann"), Turn(1, 2, "bob")], "other": [Turn(0, 9, "eve")]}


def test_turns_as_another_library_reads_them(tmp_path):
    meeteval = pytest.importorskip("meeteval.io", reason="an .rttm is read by meeteval.io, too")
    path = write(tmp_path / "a.rttm", "".join(RTTM.splitlines(keepends=True)[2:]))
    found = {}
    for line in meeteval.RTTM.load(path).lines:
        start = float(line.begin_time)
        found.setdefault(line.filename, []).append(Turn(start, start + float(line.duration), line.speaker_id))
    assert found == read_rttm(path)


turns = st.lists(
    st.builds(
        lambda start, length, who: Turn(start, start + length, who), *[st.integers(0, 40)] * 2, st.sampled_from("abc")
    )
)


@given(turns=turns, start=st.integers(0, 50), length=st.integers(0, 9))
def test_a_word_is_said_by_who_speaks_longest(turns, start, length):
    turns = sorted(turns)
    [word] = with_speakers([Entry("so", start, start + length, speaker="before")], turns)
    shared = {}
    for turn in turns:
        both = min(turn.end, start + length) - max(turn.start, start)
        if both > 0 or (both == 0 and length == 0):
            shared[turn.speaker] = shared.get(turn.speaker, 0) + both
    if not shared:
        assert word.speaker is None
    else:
        assert shared[word.speaker] == max(shared.values())


def test_who_breaks_in_is_heard():
    [word] = with_speakers([Entry("so", 1.0, 2.0)], [Turn(0, 9, "ann"), Turn(0.5, 2.5, "bob")])
    assert word.speaker == "bob"


@pytest.mark.parametrize("kind", [format for format in TABLE if format.speakers and format.name != "rttm"])
def test_words_have_their_speakers_in_every_format(kind, tmp_path):
    needed = {"textgrid": "praatio", "eaf": "pympi", "vtt": "webvtt"}.get(kind.name)
    if needed:
        pytest.importorskip(needed, reason=f"{kind.name} needs the extra [labels]")
    rttm = write(tmp_path / "a.rttm", RTTM)
    words = [*WORDS[:3], ("Well", 1.05, 1.5), WORDS[4]]
    source = write_alignment(result_of(words), tmp_path / "speech.json")
    for cues in ("words", "karaoke") if kind.write_karaoke else ("words",):
        path = convert(source, tmp_path / "b", rttm=rttm, format=kind.name, cues=cues)
        (spoken,) = read_spoken(path, kind.name)
        assert [word.speaker for word in spoken.words] == SAID
        again = convert(path, tmp_path / "c.json", source_format=kind.name)
        assert [word.speaker for word in read_spoken(again)[0].words] == SAID


def test_lines_are_one_speakers(tmp_path):
    source = write_alignment(result_of(), tmp_path / "speech.json")
    rttm = write(tmp_path / "a.rttm", RTTM)
    path = convert(source, tmp_path / "a.tsv", cues="lines", rttm=rttm)
    assert [(word.text, word.start, word.end, word.speaker) for word in read_spoken(path)[0].words] == [
        ("So it is.", 0.1, 1.05, "ann"),
        ("Well", 1.0, 1.5, "bob"),
        ("known.", 2.5, 2.75, None),
    ]


def test_speakers_do_not_harm_labels(tmp_path):
    recording(tmp_path / "speech.wav")
    source = write_alignment(result_of(), tmp_path / "speech.json")
    for target in ("speech.ass", "speech.csv", "speech.aud"):
        path = convert(source, tmp_path / target, rttm=write(tmp_path / "a.rttm", RTTM))
        [row] = read_labels(path)
        assert [(word["text"], word["start"], word["end"]) for word in row["words"]] == WORDS
    (tmp_path / "speech.ass").unlink()
    [row] = read_labels(tmp_path)  # a folder that holds tables, too, is one of labels still
    assert row["id"] == str(source)


def test_turns_that_another_library_writes(tmp_path):
    meeteval = pytest.importorskip("meeteval.io", reason="an .rttm is written by meeteval")
    line = meeteval.RTTM.line_cls
    made = [
        line(filename="speech", channel="1", begin_time=0.25, duration=1.5, speaker_id="ann"),
        line(filename="speech", channel="1", begin_time=1.0, duration=0.125, speaker_id="bob"),
    ]
    meeteval.RTTM(made).dump(str(tmp_path / "a.rttm"))
    assert read_rttm(tmp_path / "a.rttm") == {"speech": [Turn(0.25, 1.75, "ann"), Turn(1.0, 1.125, "bob")]}


def test_turns_are_no_words_and_are_not_written(tmp_path):
    turns = write(tmp_path / "a.rttm", RTTM)
    words = write_alignment(result_of(), tmp_path / "speech.json")
    for source, target, named in (
        (turns, tmp_path / "b.json", turns),
        (words, tmp_path / "b.rttm", tmp_path / "b.rttm"),
    ):
        with pytest.raises(
            ValueError, match=r"\.rttm: such a file holds turns of speakers and no words; .*--rttm"
        ) as error:
            convert(source, target)
        assert str(error.value).startswith(str(named)) and not target.exists()


def test_bad_turns_are_named(tmp_path):
    source = write_alignment(result_of(), tmp_path / "speech.json")
    for content, options, message in (
        (RTTM.replace("speech", "meeting"), {}, r"a\.rttm has no turns of 'speech', but of 'meeting', 'other'"),
        (RTTM.replace(" 0.00 1.10", " 60.00 1.10").replace(" 1.00 1.00", " 70.00 1.00"), {}, "of another recording"),
        (
            RTTM.replace("0.00 1.10", "soon 1.10"),
            {},
            r"a\.rttm: line 3: start and duration must be seconds, not 'soon'",
        ),
        (
            RTTM.replace("0.00 1.10", "0.00 -1"),
            {},
            r"a\.rttm: line 3: start and duration must be seconds, not '0\.00'",
        ),
        ("SPEAKER speech 1 0.1\n", {}, r"a\.rttm: line 1 holds 4 fields"),
        ("speech 1 0.1 0.2 so\n", {}, r"a\.rttm holds no turns"),
        (RTTM, {"recording": "x"}, r"a\.rttm has no turns of 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(source, tmp_path / "b.csv", rttm=write(tmp_path / "a.rttm", content), **options)
    for target in ("b.srt", "b.ctm"):
        with pytest.raises(ValueError, match=rf"{target} has no place for speakers"):
            convert(source, tmp_path / target, rttm=tmp_path / "a.rttm")
    assert not list(tmp_path.glob("b.*"))


def test_another_name_in_the_rttm(tmp_path):
    source = write_alignment(result_of(), tmp_path / "speech.json")
    rttm = write(tmp_path / "a.rttm", RTTM)
    path = convert(source, tmp_path / "b.csv", rttm=rttm, recording="other")
    assert {word.speaker for word in read_spoken(path)[0].words} == {"eve"}


def test_names_that_a_format_cannot_have(tmp_path):
    result = result_of()
    result["chunks"][0]["speaker"] = "a, b"
    with pytest.raises(ValueError, match=r"a\.ass cannot be written: cue 1 \('So'\) is said by 'a, b'"):
        write_alignment(result, tmp_path / "a.ass")
    result["chunks"][0]["speaker"] = "a\0"
    for name in ("a.srt", "a.csv", "a.aud"):
        with pytest.raises(ValueError, match=r"\('So'\) holds the character"):
            write_alignment(result, tmp_path / name)
