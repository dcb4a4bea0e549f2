"""What is written is read by another library, with the same words and times, and with the speakers."""

import csv
import json
import re

import pytest

from transformers_qwen3_asr.formats import read_labels
from transformers_qwen3_asr.formats.writing import write_alignment

WORDS = [("So", 0.1, 0.434), ("it's", 0.434, 0.5), ("wellknown", 0.75, 1.251), ("Ja", 1.9, 3.0)]
MILLISECONDS = [(text, round(1000 * start), round(1000 * end)) for text, start, end in WORDS]
SENTENCES = [("So, it's “well-known”!", 100, 1251), ("Ja.", 1900, 3000)]


def result_of(words=WORDS, speakers=(None, None, None, None)):
    chunks = [
        {"text": text, "timestamp": (start, end), "score": 0.5} | ({"speaker": speaker} if speaker else {})
        for (text, start, end), speaker in zip(words, speakers)
    ]
    return {"text": "So, it's “well-known”! Ja.", "chunks": chunks}


SPOKEN = ("Ann", "Ann", "Ann", "Bob & Co")


def library(name, why):
    return pytest.importorskip(name, reason=f"{why} is read back by {name}")


def test_json(tmp_path):
    stored = json.loads(write_alignment(result_of(speakers=SPOKEN), tmp_path / "a.json").read_text())
    assert list(stored) == ["version", "text", "chunks"] and stored["version"] == 1
    assert [(c["text"], *c["timestamp"]) for c in stored["chunks"]] == WORDS
    assert [c["speaker"] for c in stored["chunks"]] == list(SPOKEN)


def test_json_is_a_table_of_chunks(tmp_path):
    datasets = library("datasets", "a .json")
    path = write_alignment(result_of(speakers=SPOKEN), tmp_path / "a.json")
    rows = datasets.load_dataset(
        "json", data_files=str(path), field="chunks", split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [(row["text"], *row["timestamp"]) for row in rows] == WORDS
    assert rows["speaker"][:] == list(SPOKEN)


def test_json_lines(tmp_path):
    datasets = library("datasets", "a .jsonl")
    path = write_alignment(result_of(), tmp_path / "a.jsonl")
    [row] = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
    assert [(word["text"], word["start"], word["end"]) for word in row["words"]] == WORDS


def test_whispers_json(tmp_path):
    """As openai-whisper's and WhisperX's own code goes through it; to install either would be too much."""
    path = write_alignment(result_of(speakers=SPOKEN), tmp_path / "a.json", format="whisper")
    stored = json.loads(path.read_text())
    for segment, (text, start, end) in zip(stored["segments"], SENTENCES, strict=True):
        assert (segment["text"], segment["start"], segment["end"]) == (text, start / 1000, end / 1000)
        assert "".join(word["word"] for word in segment["words"]).strip() == text  # openai-whisper joins them so
    words = [word for segment in stored["segments"] for word in segment["words"]]
    assert [(word["start"], word["end"]) for word in words] == [(start, end) for _, start, end in WORDS]
    assert [word["word"] for word in words] == ["So,", " it's", " “well-known”!", " Ja."]
    # stable-ts, which goes on with openai-whisper's words, takes no key that these have not
    assert all(set(word) == {"word", "start", "end", "probability", "speaker"} for word in words)
    every = stored["word_segments"]
    assert [word["word"] for word in every] == ["So,", "it's", "“well-known”!", "Ja."]
    assert [word["score"] for word in every] == [word["probability"] for word in words] == [0.5] * 4
    assert [word["speaker"] for word in every] == list(SPOKEN)
    assert [segment["speaker"] for segment in stored["segments"]] == ["Ann", "Bob & Co"]


def test_whispers_json_is_read_by_pysubs2(tmp_path):
    """As it reads what openai-whisper's `transcribe` returns; to others it makes subtitles of it."""
    pysubs2 = library("pysubs2", "Whisper's JSON")
    path = write_alignment(result_of(speakers=SPOKEN), tmp_path / "a.json", format="whisper")
    events = pysubs2.load_from_whisper(json.loads(path.read_text())).events
    assert [(event.plaintext, event.start, event.end) for event in events] == SENTENCES


def test_words_of_whispers_json_are_read_by_auto_subs(tmp_path):
    """It makes subtitles of openai-whisper's words, and checks their keys. It is not among the extras, since it asks
    for versions of pydantic and regex that others here have left behind."""
    autosubs = library("autosubs", "words of Whisper's JSON (pip install --no-deps auto-subs)")
    path = write_alignment({**result_of(), "language": "English"}, tmp_path / "a.json", format="whisper")
    segments = json.loads(autosubs.generate(path, "json"))["segments"]
    words = [(word["word"].strip(), word["start"], word["end"]) for segment in segments for word in segment["words"]]
    said = ["So,", "it's", "“well-known”!", "Ja."]
    assert words == [(text, start, end) for text, (_, start, end) in zip(said, WORDS, strict=True)]


def test_srt(tmp_path):
    srt = library("srt", "an .srt")
    cues = list(srt.parse(write_alignment(result_of(), tmp_path / "a.srt").read_text()))
    found = [(c.content, c.start.total_seconds(), c.end.total_seconds()) for c in cues]
    assert found == WORDS and [c.index for c in cues] == [1, 2, 3, 4]


@pytest.mark.parametrize("speakers", [(None,) * 4, SPOKEN])
def test_webvtt(tmp_path, speakers):
    webvtt = library("webvtt", "a .vtt")
    for cues, expected in (("words", MILLISECONDS), ("lines", SENTENCES), ("karaoke", SENTENCES)):
        path = write_alignment(result_of(speakers=speakers), tmp_path / "a.vtt", cues)
        captions = webvtt.read(path).captions
        found = [(c.text, c.start_time.in_milliseconds(), c.end_time.in_milliseconds()) for c in captions]
        assert found == expected
        said = list(speakers) if cues == "words" else [speakers[0], speakers[-1]]
        assert [c.voice and c.voice.replace("&amp;", "&") for c in captions] == said
    # no library reads times inside a cue: as the standard says, in order, and within the cue
    stamps = re.findall(r"<(\d+):(\d+):(\d+\.\d+)>", path.read_text())
    assert [float(seconds) for _, _, seconds in stamps] == [0.434, 0.5, 0.75]


@pytest.mark.parametrize("speakers", [("",) * 4, ("Ann", "Ann", "Ann", "Bob & Co")])
def test_ass(tmp_path, speakers):
    ass = library("ass", "an .ass")
    for cues, expected in (("words", MILLISECONDS), ("lines", SENTENCES), ("karaoke", SENTENCES)):
        path = write_alignment(result_of(speakers=speakers), tmp_path / "a.ass", cues)
        with path.open(encoding="utf-8-sig") as file:
            events = list(ass.parse(file).events)
        assert [re.sub(r"\{.*?\}", "", event.text) for event in events] == [text for text, _, _ in expected]
        for event, (_, start, end) in zip(events, expected):
            times = event.start.total_seconds(), event.end.total_seconds()
            assert times == pytest.approx((start / 1000, end / 1000), abs=0.0051)
        assert [event.name for event in events] == (list(speakers) if cues == "words" else [speakers[0], speakers[-1]])
    assert events[0].text == r"{\k33}So, {\k7}it's {\k25}{\k50}“well-known”!" and events[1].text == r"{\k110}Ja."


def tiers_of(speakers):
    """What a TextGrid and an .eaf hold: words and sentences, in tiers of each speaker's where they are known."""
    lines = [(text, start / 1000, end / 1000) for text, start, end in SENTENCES]
    if speakers[0] is None:
        return {"words": WORDS, "sentences": lines}
    names = ["Ann - words", "Bob & Co - words", "Ann - sentences", "Bob & Co - sentences"]
    return dict(zip(names, (WORDS[:3], WORDS[3:], lines[:1], lines[1:])))


@pytest.mark.parametrize("speakers", [(None,) * 4, SPOKEN])
def test_text_grid(tmp_path, speakers):
    library("praatio", "a TextGrid is written by praatio, and")
    textgrid = library("textgrid", "a TextGrid")
    grid = textgrid.TextGrid.fromFile(str(write_alignment(result_of(speakers=speakers), tmp_path / "a.TextGrid")))
    tiers = {tier.name: [(i.mark, float(i.minTime), float(i.maxTime)) for i in tier if i.mark] for tier in grid}
    assert tiers == tiers_of(speakers)
    assert float(grid.maxTime) == 3.0


@pytest.mark.parametrize("speakers", [(None,) * 4, SPOKEN])
def test_elan(tmp_path, speakers):
    library("pympi", "an .eaf is written by pympi, and")
    elan = library("speach.elan", "an .eaf")
    document = elan.read_eaf(str(write_alignment(result_of(speakers=speakers), tmp_path / "a.eaf")))
    tiers = {t.ID: [(a.text, round(a.from_ts.sec, 6), round(a.to_ts.sec, 6)) for a in t] for t in document}
    assert tiers == tiers_of(speakers)
    if speakers[0] is not None:
        assert [tier.participant for tier in document] == ["Ann", "Bob & Co"] * 2


def test_ctm(tmp_path):
    meeteval = library("meeteval.io", "a .ctm")
    lines = meeteval.CTM.load(write_alignment(result_of(), tmp_path / "my talk.ctm")).lines
    found = [(line.word, float(line.begin_time), float(line.begin_time + line.duration)) for line in lines]
    assert found == WORDS and {line.filename for line in lines} == {"my_talk"}
    assert [float(line.confidence) for line in lines] == [0.5] * 4


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
@pytest.mark.parametrize("speakers", [(None,) * 4, SPOKEN])
def test_tables(tmp_path, suffix, speakers):
    pandas = library("pandas", f"a {suffix}")
    how = {"sep": "\t", "quoting": csv.QUOTE_NONE} if suffix == ".tsv" else {}
    for cues, expected in (("words", MILLISECONDS), ("lines", SENTENCES)):
        table = pandas.read_csv(write_alignment(result_of(speakers=speakers), tmp_path / f"a{suffix}", cues), **how)
        assert list(zip(table["text"], table["start"], table["end"])) == expected
        assert list(table.columns) == ["start", "end", "text", *(["speaker"] if speakers[0] else [])]
    if speakers[0]:
        assert list(table["speaker"]) == ["Ann", "Bob & Co"]


def test_audacity(tmp_path):
    """Where its labels go, Audacity's manual says: start, end, label, between tabs."""
    pandas = library("pandas", "a label track")
    path = write_alignment(result_of(speakers=SPOKEN), tmp_path / "labels.txt", format="audacity")
    table = pandas.read_csv(path, sep="\t", header=None, quoting=csv.QUOTE_NONE)
    assert list(zip(table[0], table[1])) == [(start, end) for _, start, end in WORDS]
    assert list(table[2]) == ["[[Ann]]So", "[[Ann]]it's", "[[Ann]]wellknown", "[[Bob & Co]]Ja"]


def test_what_others_write_is_read(tmp_path):
    """The other way round: the library writes, and we read."""
    pympi, srt = library("pympi", "an .eaf of pympi's"), library("srt", "an .srt of srt's")
    ass, textgrid = library("ass", "an .ass of ass's"), library("textgrid", "a TextGrid of textgrid's")
    from datetime import timedelta

    eaf = pympi.Eaf()
    grid, tier = textgrid.TextGrid(maxTime=3.0), textgrid.IntervalTier("English/word", maxTime=3.0)
    document, cues = ass.Document(), []
    for text, start, end in MILLISECONDS:
        eaf.add_annotation("default", start, end, text)
        tier.add(start / 1000, end / 1000, text)
        times = {"start": timedelta(milliseconds=start), "end": timedelta(milliseconds=end)}
        cues.append(srt.Subtitle(1, content=text, **times))
        document.events.append(ass.Dialogue(text=text, **times))
    grid.append(tier)
    grid.append(textgrid.IntervalTier("English", maxTime=3.0))
    eaf.to_file(tmp_path / "a.eaf")
    grid.write(str(tmp_path / "a.TextGrid"))
    (tmp_path / "a.srt").write_text(srt.compose(cues))
    with (tmp_path / "a.ass").open("w", encoding="utf-8-sig") as file:
        document.dump_file(file)
    from label_samples import recording, triples

    recording(tmp_path / "a.wav")
    for name in ("a.eaf", "a.TextGrid", "a.srt", "a.ass"):
        [row] = read_labels(tmp_path / name)
        expected = [
            (text, pytest.approx(start, abs=0.0051), pytest.approx(end, abs=0.0051)) for text, start, end in WORDS
        ]
        assert triples(row) == (WORDS if name != "a.ass" else expected), name
