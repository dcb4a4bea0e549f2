"""Words with times from Whisper's relatives, subtitles, and this package's own aligner."""

import json
from pathlib import Path

import pytest
from label_samples import labels, problems_of, recording, triples, write

from transformers_qwen3_asr.alignment.chunks import make_chunks
from transformers_qwen3_asr.formats import read_labels
from transformers_qwen3_asr.formats.writing import write_alignment
from transformers_qwen3_asr.text.words import split_words


@pytest.fixture
def speech(tmp_path):
    """A folder with speech.wav, three seconds."""
    recording(tmp_path / "speech.wav")
    return tmp_path


# Whisper's relatives

WHISPERX = {
    "segments": [
        {
            "start": 0.1,
            "end": 1.25,
            "text": " So, it - goes.",
            "words": [
                {"word": "So,", "start": 0.1, "end": 0.4, "score": 0.9},
                {"word": "it", "start": 0.5, "end": 0.75, "score": 0.8, "speaker": "SPEAKER_00"},
                {"word": "-"},
                {"word": "goes.", "start": 0.75, "end": 1.25, "score": 0.8},
            ],
        },
        {"start": 1.5, "end": 2.0, "text": " On.", "words": [{"word": "On.", "start": 1.5, "end": 2.0, "score": 1.0}]},
    ],
    "word_segments": [{"word": "So,", "start": 0.1, "end": 0.4, "score": 0.9}],
    "language": "en",
}
SAID = [("So", 0.1, 0.4), ("it", 0.5, 0.75), ("goes", 0.75, 1.25), ("On", 1.5, 2.0)]


def test_whisperx(speech):
    path = write(speech / "speech.json", WHISPERX)
    rows = read_labels(path)
    assert triples(rows[0]) == SAID and rows[0]["text"] == "So, it - goes. On." and rows[0]["language"] == "English"
    assert [note.message for note in rows.notes] == ["left out, because it holds no letter: word 2 ('-', segment 0)"]


def openai_whisper(key="word", **top):
    words = [(" So,", 0.1, 0.4), (" it", 0.5, 0.75), (" goes.", 0.75, 1.25), (" On.", 1.5, 2.0)]
    words = [{key: text, "start": start, "end": end, "probability": 0.9} for text, start, end in words]
    segments = [
        {
            "id": 0,
            "seek": 0,
            "start": 0.1,
            "end": 1.25,
            "text": " So, it goes.",
            "tokens": [50364],
            "words": words[:3],
        },
        {"id": 1, "seek": 0, "start": 1.5, "end": 2.0, "text": " On.", "tokens": [50364], "words": words[3:]},
    ]
    return {"segments": segments, "language": "en", **top}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("speech.json", openai_whisper(text=" So, it goes. On.")),
        ("speech.wav.words.json", openai_whisper("text", text=" So, it goes. On.")),  # whisper-timestamped
        ("speech.json", openai_whisper()["segments"]),  # faster-whisper's segments, dumped
        ("speech.json", [word for segment in openai_whisper()["segments"] for word in segment["words"]]),
        (
            "speech.json",  # OpenAI's API
            {
                "task": "transcribe",
                "language": "english",
                "duration": 3.0,
                "text": "So, it goes. On.",
                "words": [{"word": word, "start": start, "end": end} for word, start, end in SAID],
                "segments": [{"id": 0, "start": 0.1, "end": 2.0, "text": " So, it goes. On."}],
            },
        ),
        (
            "speech.json",  # transformers' pipeline
            {"text": " So, it goes. On.", "chunks": [{"text": w, "timestamp": [s, e]} for w, s, e in SAID]},
        ),
    ],
)
def test_whisper_and_its_relatives(speech, name, content):
    rows = read_labels(write(speech / name, content))
    assert triples(rows[0]) == SAID and rows[0]["text"] == "So, it goes. On." and rows.notes == []
    assert Path(rows[0]["audio"]).name == "speech.wav"


def test_whisper_in_chinese_has_a_character_or_a_phrase_a_word(speech):
    words = [{"word": "今天", "start": 0.2, "end": 0.6}, {"word": "好。", "start": 0.6, "end": 0.9}]
    content = {"text": "今天好。", "language": "zh", "segments": [{"text": "今天好。", "words": words}]}
    path = write(speech / "speech.json", content)
    _, problems = problems_of(path)
    assert problems == [
        f"{path}: word 0 ('今天', segment 0) is 2 words to the aligner (今, 天); give each its own times, "
        "or read with share_times"
    ]
    rows = read_labels(path, share_times=True)
    assert triples(rows[0]) == [("今", 0.2, 0.4), ("天", 0.4, 0.6), ("好", 0.6, 0.9)]
    assert rows[0]["language"] == "Chinese" and "its time was shared out among them" in rows.notes[0].message


def test_whisper_problems(speech):
    path = speech / "speech.json"
    late = json.loads(json.dumps(WHISPERX))
    del late["segments"][0]["words"][0]["end"], late["segments"][1]["words"][0]["start"]
    del late["segments"][1]["words"][0]["end"]
    without = {"text": "So it goes.", "segments": [{"text": " So it goes.", "start": 0, "end": 1}]}
    for content, message in (
        (late, r"without times: word 4 \('On.', segment 1\)"),
        (late, r"word 0 \('So,', segment 0\): its end must be a number of seconds, not None"),
        (without, r"no words with times in segment 0 \('So it goes.'\): Whisper needs word_timestamps=True"),
        ({"segments": [{"words": ["so"]}]}, "segment 0: word 0 must be a mapping"),
        ({"segments": [3]}, "segment 0 is no object: 3"),
        (
            {"segments": [{"text": "a", "words": {"word": "a", "start": 0.1, "end": 0.2}}]},
            r"segment 0: words must be a list of .*, not one object that holds 'a'",
        ),
        ("[" * 100_000, "is no JSON that can be read: it is nested too deeply"),
        ('{"words": ' + "1" * 5000 + "}", "is no JSON that can be read: Exceeds the limit"),
        ({"text": "so"}, r"holds no 'segments', 'words' or 'chunks' with word times: its keys are text"),
        ({"segments": []}, "it holds no words with times"),
        ("[1, 2]", "it is no object"),
        ('{"text": 3', "line 1 is no JSON"),
        ('{"audio": 1}\n{"audio": 2}', "line 2 is no JSON: Extra data; .* say format='jsonl'"),
        ({"text": "", "segments": openai_whisper()["segments"][:0], "words": labels(*SAID)}, "no words with times"),
    ):
        write(path, content)
        _, problems = problems_of(path)
        assert any(problem.startswith(f"{path}: ") for problem in problems)
        with pytest.raises(ValueError, match=message):
            read_labels(path)


# our own files

ALIGNED = {
    "text": "So, it's well-known. {Go} 7!",
    "chunks": [
        {"text": "So", "timestamp": (0.08, 0.4), "score": 0.9},
        {"text": "it's", "timestamp": (0.4, 0.64), "score": 0.9},
        {"text": "wellknown", "timestamp": (0.72, 1.52), "score": 0.9},
        {"text": "Go", "timestamp": (1.52, 1.52), "score": 0.2},
        {"text": "7", "timestamp": (1.6, 3.0), "score": 0.9},
    ],
}


@pytest.mark.parametrize("suffix", ["json", "srt", "vtt"])
def test_what_the_aligner_writes_is_read(speech, suffix):
    path = write_alignment(ALIGNED, speech / f"speech.{suffix}")
    [row] = read_labels(path)
    chunks = [(chunk["text"], *chunk["timestamp"]) for chunk in ALIGNED["chunks"]]
    if suffix == "vtt":
        chunks[3] = ("Go", 1.52, 1.521)  # a cue of WebVTT ends after it starts
    assert triples(row) == chunks
    assert row["text"] == (ALIGNED["text"] if suffix == "json" else "So it's wellknown Go 7")
    write(speech / "speech.txt", ALIGNED["text"])
    assert read_labels(path)[0]["text"] == ALIGNED["text"]
    assert read_labels(path)[0]["words"] == row["words"]


def test_words_that_were_given_as_a_list(speech):
    path = write_alignment({**ALIGNED, "text": ["So,", "it's", "well-known", "{Go}", "7"]}, speech / "speech.json")
    assert len(read_labels(path)[0]["words"]) == 5


def aligned(text, **options):
    """The result of a text, half a second a word."""
    words = split_words(text)
    times = [{"start_time": 0.5 * i, "end_time": 0.5 * i + 0.4, "score": 0.9} for i in range(len(words))]
    return {"text": text, "chunks": make_chunks(text, words, times, **options)}


@pytest.mark.parametrize("text", ["So, it’s “well-known”.\n7 (go)!", ["So,", "it’s", "“well-known”.", "7", "(go)!"]])
@pytest.mark.parametrize("suffix", ["json", "srt", "vtt"])
def test_the_original_text_is_read_as_its_words(speech, text, suffix):
    path = write_alignment(aligned(text, original_text=True), speech / f"speech.{suffix}")
    [row] = read_labels(path)
    assert triples(row) == [(c["text"], *c["timestamp"]) for c in aligned(text)["chunks"]]
    assert row["text"].split() == "So, it’s “well-known”. 7 (go)!".split()


@pytest.mark.parametrize("text", ["So, it’s “well-known”.\n7 (go)!", ["So,", "it’s", "“well-known”.", "7", "(go)!"]])
@pytest.mark.parametrize("original_text", [False, True])
def test_characters_are_joined_to_words_again(speech, text, original_text):
    result = aligned(text, unit="char", original_text=original_text)
    [row] = read_labels(write_alignment(result, speech / "speech.json"))
    assert triples(row) == [(c["text"], *c["timestamp"]) for c in aligned(text)["chunks"]]


@pytest.mark.parametrize("text", ["So it is. Go on", ["So", "it", "is.", "Go", "on"]])
@pytest.mark.parametrize("unit", ["sentence", "line"])
def test_sentences_and_lines_are_refused(speech, text, unit):
    path = write_alignment(aligned(text, unit=unit), speech / "speech.json")
    with pytest.raises(ValueError, match=r"word 0 \('So it is.*'\) is [35] words to the aligner"):
        read_labels(path)
    [row] = read_labels(path, share_times=True)  # asked for, their times are shared out
    assert [word["text"] for word in row["words"]] == ["So", "it", "is", "Go", "on"]


def test_the_pipelines_results_are_rows(speech):
    [row] = read_labels([{"audio": str(speech / "speech.wav"), "language": "English", **ALIGNED}])
    assert triples(row)[2] == ("wellknown", 0.72, 1.52) and row["id"] == "row 0"


# subtitles


def test_subtitles_of_lines_are_refused(speech):
    for suffix in ("srt", "vtt"):
        path = write_alignment(ALIGNED, speech / f"speech.{suffix}", cues="lines")
        with pytest.raises(ValueError, match=r"word 0 \(\"So, it's well-known.\", cue 1\) is 3 words to the aligner"):
            read_labels(path)


def test_srt_as_people_have_it(speech):
    """Tags, a byte order mark, Windows lines, no number before the last cue's end, a year as the last word."""
    content = (
        "\ufeff1\n00:00:00,100 --> 00:00:00,400\n{\\an8}<i>So,</i>\n\n2\n00:00:00,500 --> 00:00:00,750\n1995\n\n"
        "3\n00:00:00,750 --> 00:00:01,250\n-\n1996"
    ).replace("\n", "\r\n")
    [row] = read_labels(write(speech / "speech.srt", content))
    assert triples(row) == [("So", 0.1, 0.4), ("1995", 0.5, 0.75), ("1996", 0.75, 1.25)]


def test_srt_that_cannot_be_read(speech):
    content = "1\n00:00:00,100 --> 00:00:00,400\nSo\n\n2\n00:0x:00,500 --> 00:00:00,750\nit\n"
    with pytest.raises(ValueError, match=r"speech\.srt: the cue behind cue 1 cannot be read"):
        read_labels(write(speech / "speech.srt", content))
    with pytest.raises(ValueError, match=r"speech\.srt: it holds no words"):
        read_labels(write(speech / "speech.srt", "nothing"))


def test_vtt_with_times_inside_a_cue(speech):
    content = (
        "WEBVTT - a title\nKind: captions\n\nNOTE two <00:00:00.000> comments --\nSTYLE\n\nfirst\n"
        "00:00.100 --> 00:01.250 align:start position:0%\n"
        "<v Ann>So, <00:00:00.500>it<00:00:00.750><c> goes &amp;</c>\n\n"
        "00:00:01.500 --> 00:00:02.000\nOn\n"
    )
    [row] = read_labels(write(speech / "speech.vtt", content))
    assert triples(row) == [("So", 0.1, 0.5), ("it", 0.5, 0.75), ("goes", 0.75, 1.25), ("On", 1.5, 2.0)]
    assert row["text"] == "So, it goes & On"


def test_vtt_that_rolls_up(speech):
    """YouTube shows each line again above the next one, and once in between."""
    content = (
        "WEBVTT\nKind: captions\nLanguage: en\n\n00:00:00.100 --> 00:00:01.240 align:start position:0%\n \n"
        "so<00:00:00.500><c> it</c><00:00:00.750><c> goes</c>\n\n"
        "00:00:01.240 --> 00:00:01.250 align:start position:0%\nso it goes\n \n\n"
        "00:00:01.250 --> 00:00:02.000 align:start position:0%\nso it goes\non<00:00:01.500><c> and</c>\n\n"
        "00:00:02.000 --> 00:00:02.010 align:start position:0%\non and\n \n\n"
        "00:00:02.010 --> 00:00:02.500 align:start position:0%\non and\non\n"
    )
    [row] = read_labels(write(speech / "speech.vtt", content))
    assert row["text"] == "so it goes on and on"
    assert [word[1] for word in triples(row)] == [0.1, 0.5, 0.75, 1.25, 1.5, 2.01]


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_highlighted_words(speech, suffix):
    """Whisper's --highlight_words True: the line once for each word and once for each pause; a line said twice."""
    cues = []
    for shift in (0.0, 1.4):
        for start, end, line in (
            (0.0, 0.1, "So, it goes."),
            (0.1, 0.4, "<u>So,</u> it goes."),
            (0.4, 0.5, "So, it goes."),
            (0.5, 0.75, "So, <u>it</u> goes."),
            (0.75, 1.25, "So, it <u>goes.</u>"),
        ):
            cues.append((start + shift, end + shift, line))

    def stamp(seconds):
        return f"00:00:0{seconds:.3f}".replace(".", "," if suffix == "srt" else ".")

    blocks = [f"{n}\n{stamp(start)} --> {stamp(end)}\n{line}\n" for n, (start, end, line) in enumerate(cues, 1)]
    path = write(speech / f"speech.{suffix}", ("WEBVTT\n\n" if suffix == "vtt" else "") + "\n".join(blocks))
    [row] = read_labels(path)
    assert row["text"] == "So, it goes. So, it goes."
    assert triples(row)[:3] == [("So", 0.1, 0.4), ("it", 0.5, 0.75), ("goes", 0.75, 1.25)]
    assert triples(row)[3:] == [("So", 1.5, 1.8), ("it", 1.9, 2.15), ("goes", 2.15, 2.65)]


def test_vtt_that_cannot_be_read(speech):
    for content in ("00:00.100 --> 00:01.250\nSo\n", "WEBVTT\n\n00:00.1 --> 00:01.250\nSo\n"):
        with pytest.raises(ValueError, match=r"speech\.vtt: cannot be read as WebVTT"):
            read_labels(write(speech / "speech.vtt", content))
