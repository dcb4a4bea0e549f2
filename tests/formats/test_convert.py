"""`convert`: any format that is read into any that is written, with the same words and times."""

import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_samples import CTM, MFA, recording, write

from transformers_qwen3_asr.formats import convert, read_labels
from transformers_qwen3_asr.formats.reading import read_spoken
from transformers_qwen3_asr.formats.writing import WRITTEN, write_alignment

#: What a file is -> format, cues.
KINDS = {name: (name, "words") for name in WRITTEN} | {"tags": ("vtt", "karaoke"), "karaoke": ("ass", "karaoke")}
#: Seconds by which a time may be another, where it is more than half a millisecond.
RESOLUTION = {"ass": 0.01, "karaoke": 0.01}
NEEDED = {"textgrid": "praatio", "eaf": "pympi", "vtt": "webvtt", "tags": "webvtt"}
#: None that .srt takes for a tag or a character reference, and no marks of pauses.
TEXTS = r"""so it's Straße 字 한국 é a,b "q" {x} a\b R&D [[x]]y 1995 ;; »""".split()


def needs(kind):
    if kind in NEEDED:
        pytest.importorskip(NEEDED[kind], reason=f"{kind} needs the extra [labels]")


@st.composite
def spoken_words(draw):
    time, words = 0, []
    for _ in range(draw(st.integers(1, 8))):
        start = time + draw(st.sampled_from([0, 0, 1, 37, 240, 1500, 70_000]))
        time = start + draw(st.integers(20, 900))
        words.append((draw(st.sampled_from(TEXTS)), start / 1000, time / 1000))
    return words


def result_of(words):
    chunks = [{"text": text, "timestamp": (start, end), "score": 0.5} for text, start, end in words]
    return {"text": " ".join(text for text, _, _ in words), "chunks": chunks}


def words_in(path, kind):
    (spoken,) = read_spoken(path, KINDS[kind][0])
    return [(word.text.replace("\u2060", ""), word.start, word.end) for word in spoken.words]


@pytest.mark.parametrize("source", KINDS)
@settings(max_examples=4, deadline=None)
@given(words=spoken_words())
def test_any_into_any(source, words):
    needs(source)
    with tempfile.TemporaryDirectory() as folder:
        one = write_alignment(result_of(words), Path(folder) / "one", KINDS[source][1], KINDS[source][0])
        for target, (format, cues) in KINDS.items():
            if target in NEEDED and find_spec(NEEDED[target]) is None:
                continue  # which its own test tells
            other = Path(folder) / f"two.{target}"
            convert(one, other, source_format=KINDS[source][0], format=format, cues=cues)
            found = words_in(other, target)
            assert [text for text, _, _ in found] == [text for text, _, _ in words], (source, target)
            allowed = RESOLUTION.get(source, 0.0006) + RESOLUTION.get(target, 0.0006)
            for (_, start, end), (_, begin, stop) in zip(found, words, strict=True):
                assert abs(start - begin) <= allowed and abs(end - stop) <= allowed, (source, target)


@pytest.mark.parametrize("target", ["srt", "vtt", "ass", "csv"])
@pytest.mark.parametrize("source", ["srt", "vtt", "ass"])
def test_cues_keep_their_line_breaks(source, target, tmp_path):
    needs(source)
    one = tmp_path / f"one.{source}"
    subtitles = pysubs2.SSAFile()
    for number, text in enumerate((r"Two\Nlines, and", "one.")):
        subtitles.append(pysubs2.SSAEvent(start=1000 * number, end=1000 * number + 900, text=text))
    subtitles.save(str(one))
    other = convert(one, tmp_path / f"two.{target}")
    if target == "csv":  # a cue is a row, on one line
        assert other.read_text().splitlines()[1].endswith('"Two lines, and"')
    else:
        assert [event.plaintext for event in pysubs2.load(str(other)).events] == ["Two\nlines, and", "one."]


@pytest.mark.parametrize("kind", KINDS)
def test_words_without_length_keep_their_order(kind, tmp_path):
    """Where a format has none, they last a unit of its, and what is behind waits."""
    needs(kind)
    words = [("one", 1.0, 1.0), ("two", 1.0, 1.0), ("three", 1.0, 1.5), ("four", 1.5, 1.5)]
    found = words_in(write_alignment(result_of(words), tmp_path / "a", KINDS[kind][1], KINDS[kind][0]), kind)
    assert [text for text, _, _ in found] == ["one", "two", "three", "four"]
    for (_, start, end), (_, begin, stop) in zip(found, words):
        assert abs(start - begin) <= 0.03 and abs(end - stop) <= 0.03


WHISPERX = {
    "segments": [
        {
            "start": 0.1,
            "end": 0.8,
            "text": " Well, it is.",
            "speaker": "ann",
            "words": [
                {"word": "Well,", "start": 0.1, "end": 0.3, "score": 0.9, "speaker": "ann"},
                {"word": "it", "start": 0.4, "end": 0.5, "score": 0.8, "speaker": "ann"},
                {"word": "is.", "start": 0.5, "end": 0.8, "score": 0.7, "speaker": "ann"},
            ],
        },
        {
            "start": 1.0,
            "end": 1.6,
            "text": " Not in 1995.",
            "speaker": "bob",
            "words": [
                {"word": "Not", "start": 1.0, "end": 1.2, "score": 0.9, "speaker": "bob"},
                {"word": "in", "start": 1.2, "end": 1.3, "score": 0.9, "speaker": "bob"},
                {"word": "1995."},
            ],
        },
    ],
    "word_segments": [],
    "language": "en",
}


def cues_in(path):
    return [(word.text, word.start, word.end) for word in read_spoken(path)[0].words]


def test_lines_are_those_of_the_file(tmp_path):
    for kind in NEEDED:
        needs(kind)
    path = write(tmp_path / "a.json", WHISPERX)
    with pytest.raises(ValueError, match=r"a\.json: without times: word 5 \('1995\.', segment 1\)"):
        convert(path, tmp_path / "a.srt")
    lines = [("Well, it is.", 0.1, 0.8), ("Not in 1995.", 1.0, 1.6)]
    # lines need no times of their words
    assert cues_in(convert(path, tmp_path / "a.srt", cues="lines")) == lines
    WHISPERX["segments"][1]["words"][2] |= {"start": 1.3, "end": 1.6}
    path = write(tmp_path / "a.json", WHISPERX)
    for target, cues in (("b.vtt", "karaoke"), ("b.ass", "karaoke"), ("b.TextGrid", "words"), ("b.eaf", "words")):
        other = convert(path, tmp_path / target, cues=cues)
        assert len(cues_in(other)) == 6
        assert cues_in(convert(other, tmp_path / "c.tsv", cues="lines")) == lines
    del WHISPERX["segments"][1]["words"][2]["start"], WHISPERX["segments"][1]["words"][2]["end"]


def test_segments_without_words_are_cues(tmp_path):
    segments = [{key: segment[key] for key in ("start", "end", "text")} for segment in WHISPERX["segments"]]
    path = write(tmp_path / "a.json", {"segments": segments})
    assert cues_in(convert(path, tmp_path / "a.srt")) == [("Well, it is.", 0.1, 0.8), ("Not in 1995.", 1.0, 1.6)]
    with pytest.raises(ValueError, match="Whisper needs word_timestamps=True"):
        read_labels(path)  # as labels of words they are nothing


def test_cues_of_several_words_are_sentences_of_a_grid(tmp_path):
    pytest.importorskip("praatio", reason="TextGrid needs the extra [labels]")
    path = write(tmp_path / "a.srt", "1\n00:00:00,100 --> 00:00:00,400\nSo it is.\n")
    grid = convert(path, tmp_path / "a.TextGrid")
    assert '"sentences"' in grid.read_text() and '"words"' not in grid.read_text()
    assert cues_in(convert(grid, tmp_path / "b.srt")) == [("So it is.", 0.1, 0.4)]


def test_several_recordings(tmp_path):
    path = write(tmp_path / "a.ctm", CTM)
    rows = convert(path, tmp_path / "a.jsonl")
    assert [spoken.name for spoken in read_spoken(convert(rows, tmp_path / "b.ctm"))] == ["speech", "other"]
    message = r"a\.ctm holds 2 recordings \('speech', 'other'\), and .*a\.srt has one: say recording="
    with pytest.raises(ValueError, match=message):
        convert(path, tmp_path / "a.srt")
    with pytest.raises(ValueError, match=r"a\.ctm has no recording 'x', but 'speech', 'other'"):
        convert(path, tmp_path / "a.srt", recording="x")
    assert [text for text, _, _ in cues_in(convert(path, tmp_path / "a.srt", recording="other"))] == ["well", "yes"]


def test_rows_name_the_recording_beside(tmp_path):
    recording(tmp_path / "speech.wav")
    path = write(tmp_path / "speech.srt", "1\n00:00:00,100 --> 00:00:00,400\nSo\n")
    [row] = read_labels(convert(path, tmp_path / "rows" / "a.jsonl"))
    assert row["audio"] == str(tmp_path / "speech.wav") and row["words"] == [{"text": "So", "start": 0.1, "end": 0.4}]


def test_marks_that_are_left_out_are_told(tmp_path):
    pytest.importorskip("praatio", reason="TextGrid needs the extra [labels]")
    path = write(tmp_path / "speech.TextGrid", MFA.replace('"sil"', '"[laughter]"'))
    with pytest.warns(
        UserWarning, match=r"speech\.TextGrid: left out, because it is a mark and no word: '\[laughter\]'"
    ):
        convert(path, tmp_path / "a.srt")


OVERLAP = "1\n00:00:00,100 --> 00:00:01,400\nSo\n\n2\n00:00:01,000 --> 00:00:02,000\nit\n"
TWICE = [("one", 0.0, 1.0), ("two", 0.5, 1.5)]


def test_bad_files_are_named(tmp_path):
    pytest.importorskip("praatio", reason="TextGrid needs the extra [labels]")
    pytest.importorskip("pympi", reason="ELAN needs the extra [labels]")
    target = tmp_path / "out.csv"
    tiers = MFA.replace('name = "words"', 'name = "palavras"')
    eaf = write_alignment(result_of([("so", 0.1, 0.5)]), tmp_path / "good.eaf").read_text()
    ass = write_alignment(result_of([("so", 0.1, 0.5)]), tmp_path / "good.ass").read_text()
    for name, content, message in (
        ("a.srt", OVERLAP, r"a\.srt: cue 2 \('it'\) begins at 1 s, before cue 1 has ended at 1\.4 s"),
        ("a.srt", "1\n00:00:00,900 --> 00:00:00,400\nSo\n", r"a\.srt: word 0 \('So', cue 1\) ends at 0\.4 s, before"),
        ("a.srt", "", r"a\.srt: it holds nothing with times"),
        ("a.srt", "so\0".encode("utf-16-le"), r"a\.srt: line 1 holds NUL; if the file is UTF-16 without its mark"),
        (
            "a.TextGrid",
            tiers,
            r"a\.TextGrid has no interval tier 'words' or 'NAME - words'; it has 'palavras'",
        ),
        ("a.eaf", "<a", r"a\.eaf cannot be read as an ELAN file"),
        ("a.eaf", eaf.replace('"words"', '"w"'), r"a\.eaf has no tier of annotations with times 'words'.*'sentences'"),
        ("a.eaf", eaf.replace(' TIME_VALUE="100"', ""), r"a\.eaf: the annotation 'so' of 'words' has no time"),
        ("a.ass", "so", r"a\.ass cannot be read as ASS"),
        ("a.ass", ass.replace("0:00:00.10", "soon"), r"a\.ass (is damaged|cannot be read)"),
        ("a.tsv", "a\tb\n1\t2\n", r"a\.tsv: line 1 has no column start, end, text"),
        ("a.tsv", "start\tend\ttext\n100\t200\n", r"a\.tsv: line 2 holds 2 fields, and the first 3"),
        (
            "a.csv",
            "start,end,text\n0.1,0.2,so\n",
            r"a\.csv: line 2: start must be a whole number of milliseconds",
        ),
        ("a.csv", 'start,end,text\n1,2,"so\n', r"a\.csv: line 2 cannot be read"),
        ("a.aud", "0.1\t0.2\tso\n0.3 0.4 it\n", r"a\.aud: line 2 is no label of Audacity"),
        (
            "a.ctm",
            "speech 1 0.1 0.2 so\nspeech 1 soon 0.2 it\n",
            r"a\.ctm:1: line 2 \('it'\): start and duration",
        ),
        (
            "a.json",
            '{"version": 2, "text": "a", "chunks": []}',
            r"a\.json is of version 2 of this format, and 1 is",
        ),
        ("a.json", '{"segments": [5]}', r"a\.json: segment 0 is no object"),
        ("a.jsonl", '{"words": 5}', r"a\.jsonl:1: words must be a list"),
        ("a.txt", "so", r"a\.txt: the extension '\.txt' is not one of label files"),
    ):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ValueError, match=message) as error:
            convert(path, target)
        assert "\n" not in str(error.value) and not target.exists(), name


def test_calls_that_make_no_sense(tmp_path):
    path = write(tmp_path / "a.srt", "1\n00:00:00,100 --> 00:00:00,400\nSo\n")
    for target, options, message in (
        ("b.txt", {}, r"b\.txt: unknown extension '\.txt'; known are \.jsonl"),
        ("b.rttm", {}, r"b\.rttm: such a file holds turns of speakers and no words"),
        ("b.srt", {"format": "mp3"}, "format='mp3': known are jsonl, "),
        ("b.srt", {"source_format": "rows"}, "source_format='rows': known are jsonl, "),
        ("b.srt", {"cues": "karaoke"}, r"b\.srt: cues='karaoke' is for \.vtt and \.ass"),
        ("b.json", {"cues": "lines"}, r"b\.json: cues='lines' is for subtitles"),
        ("b.csv", {"tier": "x"}, "tier='x' is for TextGrid files and ELAN's, and .* is read as srt"),
        ("b.csv", {"source_format": "ctm"}, r"a\.srt:1: line 1 holds 1 fields"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(path, tmp_path / target, **options)
    with pytest.raises(ValueError, match=r"there is no file .*none"):
        convert(tmp_path / "none.srt", tmp_path / "b.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["a.srt"]


@pytest.mark.parametrize(
    ("kind", "needed"), [("textgrid", "praatio"), ("eaf", "pympi"), ("tags", None), ("karaoke", None)]
)
def test_two_words_at_a_time_are_refused_where_one_has_room(kind, needed, tmp_path):
    if needed:
        pytest.importorskip(needed, reason=f"{kind} needs the extra [labels]")
    with pytest.raises(
        ValueError, match=r"word 2 \('two'\) begins at 0\.5 s, before the one in front of it has ended"
    ):
        write_alignment(result_of(TWICE), tmp_path / "a", KINDS[kind][1], KINDS[kind][0])
    assert not (tmp_path / "a").exists()


def test_a_word_of_a_ctm_is_one(tmp_path):
    with pytest.raises(ValueError, match=r"a\.ctm cannot be written: word 1 \('New York'\) is several words"):
        write_alignment(result_of([("New York", 0.1, 0.4)]), tmp_path / "a.ctm")


PIECES = rb"""nan inf -1 1e999 null true " < > { } \k --> , ;; [[a]] <v Dialogue: 99999999999999999999""".split()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from([*PIECES, b"\0", b"\xff", b"\t", b"\n", b""])),
        min_size=1,
        max_size=3,
    )
)
def test_spoiled_files_are_refused_or_read(kind, changes):
    needs(kind)
    words = [("So", 0.1, 0.4), ("it's", 0.5, 0.75), ("known", 2.5, 2.75)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_alignment(result_of(words), Path(folder) / "spoiled", KINDS[kind][1], KINDS[kind][0])
        content = path.read_bytes()
        for place, length, piece in changes:
            start = round(place * len(content))
            content = content[:start] + piece + content[start + length :]
        path.write_bytes(content)
        try:
            convert(path, Path(folder) / "out.json", source_format=KINDS[kind][0])
            return
        except ValueError as error:
            message = str(error)
        assert "spoiled" in message or "out.json" in message
        assert not (Path(folder) / "out.json").exists()
