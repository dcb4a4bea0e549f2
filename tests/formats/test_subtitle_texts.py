"""Hostile texts in subtitles and label files: what is written is read back, or refused by the cue's number."""

import json
import sys
import tempfile
from pathlib import Path

import pysubs2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformers_qwen3_asr.formats import write_json_lines
from transformers_qwen3_asr.formats.subtitles.layout import subtitle_cues
from transformers_qwen3_asr.formats.subtitles.srt import read_srt
from transformers_qwen3_asr.formats.subtitles.webvtt import read_vtt
from transformers_qwen3_asr.formats.writing import SUBTITLE_SUFFIXES, write_alignment

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "fuzz"))

import hostile_cues

texts = st.lists(st.sampled_from(hostile_cues.PIECES) | st.characters(), min_size=1, max_size=6).map("".join)


def result_of(said, seconds=0.4):
    chunks = [
        {"text": text, "timestamp": (round(i * seconds, 3), round((i + 1) * seconds, 3)), "score": 0.5}
        for i, text in enumerate(said)
    ]
    return {"text": list(said), "chunks": chunks}


@pytest.mark.parametrize("suffix", SUBTITLE_SUFFIXES)
@settings(max_examples=150, deadline=None)
@given(said=st.lists(texts, max_size=4))
def test_what_is_written_is_read_back(suffix, said):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        bad = [hostile_cues.refused(text) for text in said if hostile_cues.cleaned(text)]
        if any(bad):
            with pytest.raises(ValueError, match=rf"a{suffix} cannot be written: cue {bad.index(True) + 1} \("):
                write_alignment(result_of(said), path)
            assert not path.exists()
            return
        write_alignment(result_of(said), path)
        cues = [(400 * i, 400 * (i + 1), hostile_cues.cleaned(text)) for i, text in enumerate(said)]
        hostile_cues.check(path, [cue for cue in cues if cue[2]])


@pytest.mark.parametrize("suffix", SUBTITLE_SUFFIXES)
@pytest.mark.parametrize(
    "text",
    [
        "00:00:01,000 --> 00:00:02,000",
        "00:00:01.000 --> 00:00:02.000",
        "from 00:01.000 to 00:02.000 and 1:2:3,4 to 5:6:7,8",
        "a\ufdd0b\\c",
        "12",
        "-->",
        r"C:\New {b} <i>x</i> &lt; \N",
    ],
)
@pytest.mark.parametrize("cues", ["words", "lines"])
def test_texts_that_were_read_back_otherwise(suffix, text, cues, tmp_path):
    path = write_alignment(result_of(["first", text, "last"]), tmp_path / f"a{suffix}", "words")
    hostile_cues.check(path, [(0, 400, "first"), (400, 800, hostile_cues.cleaned(text)), (800, 1200, "last")])
    if cues == "lines":
        result = result_of(["first", text, "last"])
        path = write_alignment(result, tmp_path / f"b{suffix}", "lines")
        expected = [(round(1000 * cue.start), round(1000 * cue.end), cue.text) for cue in subtitle_cues(result)]
        hostile_cues.check(path, expected)


def test_times_in_srt_are_read_by_default_too(tmp_path):
    """Also by a reader that drops tags: the joiners are all that is more."""
    path = write_alignment(result_of(["00:00:01,000 --> 00:00:02,000"]), tmp_path / "a.srt")
    (event,) = pysubs2.load(str(path)).events
    assert event.plaintext.replace("\u2060", "") == "00:00:01,000 --> 00:00:02,000"
    # one time alone, and times without several, stay as they are
    path = write_alignment(result_of(["at 00:00:01,000", "9:30"]), tmp_path / "a.srt")
    assert "\u2060" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", SUBTITLE_SUFFIXES)
@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
def test_what_no_subtitle_holds_is_named(suffix, bad, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_text("before")
    with pytest.raises(ValueError, match=rf"a{suffix} cannot be written: cue 2 \('a.*b'\) holds the character"):
        write_alignment(result_of(["one", bad]), path)
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("suffix", "hours"), [(".srt", 100), (".vtt", 100), (".ass", 10), (".srt", float("nan")), (".vtt", -1e-6)]
)
def test_times_that_no_cue_has_are_named(suffix, hours, tmp_path):
    result = result_of(["one", "two"])
    result["chunks"][1]["timestamp"] = (hours * 3600, hours * 3600 + 1)
    with pytest.raises(ValueError, match=r"cue 2 \('two'\) has the time"):
        write_alignment(result, tmp_path / f"a{suffix}")
    if hours > 1:
        result["chunks"][1]["timestamp"] = (hours * 3600 - 2, hours * 3600 - 1)
        path = write_alignment(result, tmp_path / f"a{suffix}")
        assert pysubs2.load(str(path)).events[1].end == (hours * 3600 - 1) * 1000


@settings(max_examples=100, deadline=None)
@given(said=st.lists(texts, max_size=4))
@example(said=["\ud800\udc80"])
def test_json_holds_any_text(said):
    # two halves of a surrogate pair side by side are the character for whoever reads JSON
    read = [text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for text in said]
    with tempfile.TemporaryDirectory() as folder:
        path = write_alignment(result_of(said), Path(folder) / "a.json")
        stored = json.loads(path.read_bytes())
        assert stored["text"] == [chunk["text"] for chunk in stored["chunks"]] == read
        path = write_json_lines([{"id": i, "text": text} for i, text in enumerate(said)], Path(folder) / "a.jsonl")
        lines = path.read_bytes().split(b"\n")
        assert [json.loads(line)["text"] for line in lines[:-1]] == read and lines[-1] == b""


def test_json_has_no_numbers_that_are_none(tmp_path):
    result = result_of(["one"])
    result["chunks"][0]["score"] = float("nan")
    with pytest.raises(ValueError, match=r"a\.json cannot be written: .*not JSON compliant"):
        write_alignment(result, tmp_path / "a.json")


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_arrows_and_times_are_labels_again(suffix, tmp_path):
    """By our own reader, too, which takes an arrow between times for a cue that is broken."""
    pytest.importorskip("webvtt", reason="WebVTT needs the extra [labels]")
    said = ["one -->", "two 00:00:01,000 --> 00:00:02,000", "a <- b"]
    path = write_alignment(result_of(said), tmp_path / f"a{suffix}")
    (draft,) = read_srt(path) if suffix == ".srt" else read_vtt(path)
    assert [entry.text.replace("\u2060", "") for entry in draft.entries] == said
    assert [(entry.start, entry.end) for entry in draft.entries] == [(0.0, 0.4), (0.4, 0.8), (0.8, 1.2)]
