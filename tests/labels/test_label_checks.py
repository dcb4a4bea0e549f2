"""Every check of a labelled row, and both ways to meet a bad one."""

import json

import pytest
from label_samples import GOOD, SECONDS, labels, problems_of, recording, row_of, triples, write

from transformers_qwen3_asr.formats import check_row, read_labels
from transformers_qwen3_asr.labels.rows import join_texts


@pytest.fixture
def speech(tmp_path):
    """A folder with speech.wav, three seconds."""
    recording(tmp_path / "speech.wav")
    return tmp_path


# the checks


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        (row_of(("a", None, None), ("b", 1, 2), ("c", None, None)), ["without times: word 0 ('a'), word 2 ('c')"]),
        (row_of(("a", "0.1", 0.5)), ["word 0 ('a'): its start must be a number of seconds, not '0.1'"]),
        (row_of(("a", 0.1, float("nan"))), ["word 0 ('a'): its end must be a number of seconds, not nan"]),
        (row_of(("a", True, 2)), ["word 0 ('a'): its start must be a number of seconds, not True"]),
        (row_of(("a", 0.1, 10**400)), [f"word 0 ('a'): its end must be a number of seconds, not 1{'0' * 79}"]),
        (row_of(("a", -0.1, 0.5)), ["word 0 ('a') starts before the audio, at -0.1 s"]),
        (row_of(("a", 0.6, 0.5)), ["word 0 ('a') ends at 0.5 s, before its start at 0.6 s"]),
        (
            row_of(("a", 1.0, 1.5), ("b", 0.2, 0.5)),
            [
                "word 1 ('b') starts at 0.2 s, before the start of word 0 ('a') in front of it, 1 s: words must be in "
                "order of time"
            ],
        ),
        (
            row_of(("a", 0.2, 2.5), ("b", 0.4, 0.6), ("c", 0.3, 2.9)),  # overlaps are no problem, order is
            [
                "word 2 ('c') starts at 0.3 s, before the start of word 1 ('b') in front of it, 0.4 s: words must be "
                "in order of time"
            ],
        ),
        (row_of(("a", 2.5, 3.05)), ["word 0 ('a') ends at 3.05 s, but the audio is 3.000 s long"]),
        (row_of(("a", 0, 1), text=" \n"), ["the transcript is empty"]),
        (row_of(("a", 0, 1), text="…!"), ["the transcript ('…!') holds no word"]),
        (row_of(("a", 0, 1), text=5), ["text must be a string, not int"]),
        (row_of(("…", 0, 1), text="a"), ["it holds no words with times"]),
        (row_of(), ["it holds no words with times"]),
        ({"audio": "speech.wav", "text": "a"}, ["it holds no words with times"]),
        (row_of(*GOOD, text="So it went"),
         ["word 2 ('goes') is not in the transcript, which says 'went' (its word 2) there"]),
        (row_of(*GOOD, text="So goes"),
         ["word 1 ('it') is not in the transcript there: it goes on with 'goes' (its word 1)"]),
        (row_of(*GOOD, text="So it"),
         ["word 2 ('goes') is not in the transcript there: it goes on with nothing more"]),
        (row_of(*GOOD, text="So then it goes"),
         ["the transcript holds 'then' (its word 1), which no label stands for"]),
        (row_of(*GOOD, text="it So goes"),
         ["word 0 ('so') is not in the transcript there: it goes on with 'it' (its word 0)"]),
        (
            row_of(("well", 0, 1), ("known", 1, 2), ("so", 2, 2.1), text="well-known to"),
            ["word 2 ('so') is not in the transcript, which says 'to' (its word 1) there"],
        ),
        (row_of(("New York", 0, 1)), ["word 0 ('New York') is 2 words to the aligner (New, York); give each its own "
                                      "times, or read with share_times"]),
        (
            row_of(("New York", None, None)),
            ["without times: word 0 ('New York')",
             "word 0 ('New York') is 2 words to the aligner (New, York); give each its own times, or read with "
             "share_times"],
        ),
        ({"audio": "speech.wav", "words": "a b"}, ["words must be a list of {'text', 'start', 'end'}, not str"]),
        ({"audio": "speech.wav", "words": [{"start": 0, "end": 1}]},
         ["word 0 has no text: it holds {'start': 0, 'end': 1}"]),
        ({"audio": "speech.wav", "words": {"text": ["a"], "start": []}}, ["words holds columns of different lengths: "
                                                                         "{'text': 1, 'start': 0}"]),
        ({"audio": "speech.wav", "words": {"text": "a", "start": 0.1, "end": 0.2}},
         ["words must be a list of {'text', 'start', 'end'}, not one object that holds 'a'"]),
        ({"audio": "speech.wav", "words": {"start": 0.1, "end": 0.2}},
         ["words must be a list of {'text', 'start', 'end'}, not one object that holds 0.1"]),
        (row_of(("a", 0, 1), language=" "), ["language must be a name, a code or None, not ' '"]),
    ],
)  # fmt: skip
def test_each_check(speech, row, problems):
    assert check_row(row, SECONDS) == problems
    path = write(speech / "labels.jsonl", json.dumps(row_of(*GOOD)) + "\n" + json.dumps({**row, "id": "x"}))
    rows, found = problems_of(path)
    assert found == [f"{path}:2 (id 'x'): {problem}" for problem in problems]
    assert len(rows) == 1 and rows.skipped == 1 and "1 row left out (first: " in rows.summary()
    with pytest.raises(ValueError, match=r"1 of 2 rows of .*labels\.jsonl are bad"):
        read_labels(path)


def test_a_good_row_has_no_problems():
    assert check_row(row_of(*GOOD, text="“So”, it GOES…", language="en"), SECONDS) == []
    assert check_row(row_of(*GOOD)) == []


def test_rounding_is_taken_out(speech):
    path = write(
        speech / "labels.jsonl", row_of(("a", 0.5, 1.009), ("—", 1.0, 1.5), ("b", 1.0, 2.0), ("c", 2.1, 3.04))
    )
    rows = read_labels(path)
    assert triples(rows[0]) == [("a", 0.5, 1.009), ("b", 1.0, 2.0), ("c", 2.1, 3.0)]
    assert [note.message for note in rows.notes] == [
        "1 word ends moved back to the end of the audio, by 40 ms",
        "left out, because it holds no letter: word 1 ('—')",
    ]
    assert check_row(rows[0], SECONDS) == []
    # without the audio, nothing is compared with it
    write(path, row_of(("a", 0.5, 1.009), ("c", 2.1, 9.0)))
    assert triples(read_labels(path, check_audio=False)[0]) == [("a", 0.5, 1.009), ("c", 2.1, 9.0)]
    assert "duration" not in read_labels(path, check_audio=False)[0]


def test_labels_that_are_cut_otherwise_are_joined(speech):
    words = [
        ("l'", 0.1, 0.2),
        ("homme", 0.2, 0.6),
        ("rock", 0.7, 0.9),
        ("-n-", 0.9, 1.0),
        ("Roll", 1.0, 1.4),
        ("STRASSE", 2, 3),
    ]
    path = write(speech / "labels.jsonl", row_of(*words, text="L’homme: rock-n-roll (Straße)"))
    rows = read_labels(path)
    assert triples(rows[0]) == [("Lhomme", 0.1, 0.6), ("rocknroll", 0.7, 1.4), ("Straße", 2, 3)]
    assert [note.message for note in rows.notes] == [
        "joined into one word: word 0 (\"l'\") … 'homme' are 'Lhomme', word 2 ('rock') … 'Roll' are 'rocknroll'"
    ]


def test_japanese_characters_are_joined_into_words(speech):
    pytest.importorskip("nagisa", reason="Japanese words need nagisa")
    text = "今日は晴れです。"
    words = [(character, 0.1 * i, 0.1 * i + 0.1) for i, character in enumerate(text[:-1])]
    [row] = read_labels(
        [{"audio": str(speech / "speech.wav"), "language": "ja", "words": labels(*words), "text": text}]
    )
    assert "".join(word["text"] for word in row["words"]) == text[:-1] and len(row["words"]) < len(words)
    assert row["words"][0]["start"] == 0.0 and row["words"][-1]["end"] == words[-1][2]


def test_joined_texts_are_spaced_as_their_language_is():
    assert join_texts([" So", "it", "—", "goes", "!"]) == "So it — goes!"
    assert join_texts(["今天", "天气", "。", "like", "你"]) == "今天天气。 like 你"
    assert join_texts(["오늘은", "날씨가"]) == "오늘은 날씨가"


def test_rows_without_words_where_none_are_needed(speech):
    path = write(speech / "asr.jsonl", {"audio": "speech.wav", "text": "Only text."})
    [row] = read_labels(path, require_words=False)
    assert row["words"] == [] and row["text"] == "Only text." and row["duration"] == 3.0
    write(path, {"audio": "speech.wav", "text": ""})
    with pytest.raises(ValueError, match="the transcript is empty"):
        read_labels(path, require_words=False)
    # words that are there are still checked
    write(path, row_of(*GOOD, text="something else"))
    with pytest.raises(ValueError, match="is not in the transcript"):
        read_labels(path, require_words=False)


def test_what_python_does_not_spell_out_is_a_problem_as_well():
    """Integers of over 4300 digits have no `repr`, and neither have lists nested as deep as calls may be."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for end, kind in ((10**5000, "int"), (deep, "list")):
        [problem] = check_row({"words": [{"text": "a", "start": 0.1, "end": end}]})
        assert problem == (
            "word 0 ('a'): its end must be a number of seconds, not something of type "
            f"{kind} that is too long to be shown"
        )


# bad rows


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"words": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is no JSON that can be read: it is nested too"),
        (b'{"words": ' + b"1" * 5000 + b"}", "it is no JSON that can be read: Exceeds the limit"),
        (b'{"text": "caf\xe9"}', "it is not UTF-8: invalid continuation byte at byte 13 of the line"),
    ],
)
def test_a_line_that_cannot_be_read_is_one_bad_row(speech, line, problem):
    good = json.dumps(row_of(("Café", 0.1, 0.4)), ensure_ascii=False).encode()
    path = speech / "labels.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([good, line, good]) + b"\n")
    rows, problems = problems_of(path)
    assert [row["id"] for row in rows] == [f"{path}:1", f"{path}:3"] and triples(rows[1]) == [("Café", 0.1, 0.4)]
    assert len(problems) == 1 and problems[0].startswith(f"{path}:2: {problem}")


def test_repeated_ids_are_noted(speech):
    first = write(speech / "a.jsonl", json.dumps(row_of(*GOOD, id="x")) + "\n" + json.dumps(row_of(*GOOD)))
    second = write(speech / "b.jsonl", json.dumps(row_of(*GOOD, id="y")) + "\n" + json.dumps(row_of(*GOOD, id="x")))
    assert read_labels(first).notes == []
    rows = read_labels([first, second])
    assert len(rows) == 4
    assert [str(note) for note in rows.notes] == [
        f"{second}:2 (id 'x'): its id is that of {first}:1, too, so that it names neither of them"
    ]
    assert "1 row with notes" in rows.summary()


def test_all_bad_rows_are_named_at_once(speech):
    bad = json.dumps(row_of(("late", 5, 6)))
    path = write(speech / "labels.jsonl", "\n".join([json.dumps(row_of(*GOOD)), "{", "[1]", *[bad] * 11]))
    with pytest.raises(ValueError) as error:
        read_labels(path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"13 of 14 rows of {path} are bad:"
    assert lines[1].startswith(f"  {path}:2: it is no JSON: ") and lines[2].startswith(f"  {path}:3: a row must be an")
    assert len(lines) == 12 and lines[-1] == "  and 3 more problems"
    rows, problems = problems_of(path)
    assert len(rows) == 1 and len(problems) == rows.skipped == 13  # all of them are kept
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', not 'ignore'"):
        read_labels(path, on_error="ignore")


def test_a_row_with_many_problems_says_how_many(speech):
    path = write(speech / "labels.jsonl", row_of(*[("w", -1.0, -2.0)] * 9))
    _, problems = problems_of(path)
    assert len(problems) == 6 and problems[-1] == f"{path}:1: and 13 more in this row"


def test_recordings_that_cannot_be_read(speech):
    write(speech / "text.wav", "no audio")
    path = write(speech / "labels.jsonl", {**row_of(*GOOD), "audio": "text.wav"})
    with pytest.raises(ValueError, match=r"labels\.jsonl:1: .*text\.wav' cannot be read"):
        read_labels(path)
    for audio, message in ((None, "it names no audio"), ({"path": None}, "its audio is empty"), (5, "the samples")):
        with pytest.raises(ValueError, match=message):
            read_labels([{**row_of(*GOOD), "audio": audio}])
