"""Labels in: JSON lines and rows in memory, and where recordings are looked for and how long they are."""

import json
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT
from label_samples import CTM, GOOD, MFA, labels, problems_of, recording, row_of, triples, write

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.formats import LabelRows, audio_duration, read_labels, write_json_lines
from transformers_qwen3_asr.formats.textgrid import read_text_grid
from transformers_qwen3_asr.labels.recordings import _PADDING


@pytest.fixture
def speech(tmp_path):
    """A folder with speech.wav, three seconds."""
    recording(tmp_path / "speech.wav")
    return tmp_path


# JSON lines


def test_json_lines(speech):
    recording(speech / "sub" / "b.wav", 2.0)
    path = write(
        speech / "labels.jsonl",
        json.dumps(row_of(*GOOD, text="So, it goes.", language="en"))
        + "\n\n"
        + json.dumps({"audio": "sub/b.wav", "words": labels(("ja", 0, 1)), "id": "b-7"})
        + "\n",
    )
    rows = read_labels(path, language="German")
    assert rows == [
        {
            "id": f"{path}:1",
            "audio": str(speech / "speech.wav"),
            "text": "So, it goes.",
            "language": "English",
            "words": labels(("So", 0.1, 0.4), ("it", 0.5, 0.75), ("goes", 0.75, 1.25)),
            "duration": 3.0,
        },
        {
            "id": "b-7",
            "audio": str(speech / "sub" / "b.wav"),
            "text": "ja",
            "language": "German",
            "words": labels(("ja", 0, 1)),
            "duration": 2.0,
        },
    ]
    assert isinstance(rows, LabelRows) and rows.problems == rows.notes == []
    assert rows.summary() == "2 rows of 4 words, 0.00 h"


def test_paths_are_relative_to_the_file_or_else_to_the_audio_folder(speech, tmp_path, monkeypatch):
    path = write(tmp_path / "elsewhere" / "labels.jsonl", row_of(*GOOD))
    with pytest.raises(ValueError, match=r"elsewhere/speech\.wav' cannot be read: there is no such file"):
        read_labels(path)
    assert read_labels(path, audio=speech)[0]["audio"] == str(speech / "speech.wav")
    monkeypatch.chdir(path.parent)  # not relative to where the program runs
    recording(path.parent / "speech.wav", 2.0)
    assert read_labels("labels.jsonl")[0]["id"] == "labels.jsonl:1"
    monkeypatch.chdir(tmp_path)
    assert read_labels("elsewhere/labels.jsonl")[0]["duration"] == 2.0


def test_written_json_lines_are_read_again(speech):
    far = recording(speech / "far" / "c.wav")
    rows = [
        {**row_of(*GOOD), "audio": speech / "set" / "a.wav", "language": None, "id": "x"},
        {**row_of(("ÿ", np.float32(0.5), np.float64(1.0))), "audio": str(far), "text": "ÿ!"},
        {**row_of(*GOOD), "audio": "https://example.org/a.wav"},
    ]
    recording(speech / "set" / "a.wav")
    path = write_json_lines(rows, speech / "set" / "labels.jsonl")
    stored = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["audio"] for row in stored] == ["a.wav", str(far), "https://example.org/a.wav"]
    assert "language" not in stored[0] and "ÿ!" in path.read_text(encoding="utf-8")
    write_json_lines(rows[:2], path)
    back = read_labels(path)
    assert [row["id"] for row in back] == ["x", f"{path}:2"]
    assert [triples(row) for row in back] == [list(GOOD), [("ÿ", 0.5, 1.0)]]
    # and what was read is written as it was
    again = write_json_lines(back, speech / "set" / "again.jsonl")
    assert [triples(row) for row in read_labels(again)] == [triples(row) for row in back]


def test_rows_that_cannot_be_written_are_named(tmp_path):
    for row, message in (
        ({"audio": np.zeros(3), "id": "n"}, r"row 2 \(id 'n'\): its audio is of type ndarray"),
        (row_of(("a", float("nan"), 1.0)), "row 2 cannot be written as JSON"),
        ({"audio": "a.wav", "words": object()}, "row 2 cannot be written as JSON: object"),
    ):
        with pytest.raises(ValueError, match=message):
            write_json_lines([row_of(*GOOD), row], tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


# rows in memory


def test_rows_of_any_iterable(speech):
    rows = [
        {"audio": (np.zeros(16000, np.float32), 16000), "words": labels(*GOOD[:2]), "text": "So it"},
        {"audio": {"path": str(speech / "speech.wav"), "bytes": None}, "words": labels(*GOOD), "id": 7},
        {"audio": {"bytes": (speech / "speech.wav").read_bytes()}, "words": labels(*GOOD)},
    ]
    read = read_labels(iter(rows), language="en")
    assert [row["duration"] for row in read] == [1.0, 3.0, 3.0]
    assert [row["id"] for row in read] == ["row 0", "7", "row 2"]
    assert read[1]["audio"] == str(speech / "speech.wav") and read[0]["audio"] is rows[0]["audio"]
    assert triples(read[0]) == [("So", 0.1, 0.4), ("it", 0.5, 0.75)]


def test_a_dataset_with_recordings_inside(speech):
    from datasets import Audio, Dataset

    words = [labels(*GOOD), labels(("late", 2.5, 3.5))]
    wav = {"path": None, "bytes": (speech / "speech.wav").read_bytes()}
    data = Dataset.from_dict({"audio": [wav, wav], "words": words, "text": ["So it goes", "late"]})
    data = data.cast_column("audio", Audio())
    rows, problems = problems_of(data)
    assert problems == ["row 1: word 0 ('late') ends at 3.5 s, but the audio is 3.000 s long"]
    [row] = rows
    assert triples(row)[0] == ("So", 0.1, 0.4) and row["duration"] == 3.0
    # nothing is decoded or kept in memory before it is asked for
    source = pickle.loads(pickle.dumps(row["audio"]))
    np.testing.assert_array_equal(load_audio(source), load_audio(speech / "speech.wav"))
    with pytest.raises(ValueError, match=r"row 1 \(id 'row 0'\): its audio is of type StoredRecording; only a path"):
        write_json_lines(rows, speech / "x.jsonl")


def test_a_dataset_with_recordings_beside(speech):
    from datasets import Audio, Dataset

    paths = [str(speech / "speech.wav"), None]
    data = Dataset.from_dict({"audio": paths, "words": [labels(*GOOD)] * 2}).cast_column("audio", Audio())
    rows, problems = problems_of(data)
    assert [row["audio"] for row in rows] == paths[:1]
    assert problems == ["row 1: it names no audio"]


def test_a_dataset_of_paths_and_one_that_streams(speech):
    from datasets import Dataset

    row = {"audio": "speech.wav", "words": {"text": ["so"], "start": [0.5], "end": [1.0]}, "language": "German"}
    data = Dataset.from_list([row])
    for source in (data, data.to_iterable_dataset(), data.with_format("torch")):
        rows = read_labels(source, audio=speech)
        assert triples(rows[0]) == [("so", 0.5, 1.0)] and rows[0]["language"] == "German"
        assert rows[0]["audio"] == str(speech / "speech.wav")


# where recordings and files are looked for


def test_a_folder_of_labels_and_a_folder_of_recordings(tmp_path):
    """As MFA has them: the same tree twice; names that occur twice are told apart by their folder."""
    for name, seconds in (("ann/x", 2.5), ("bob/x", 3.0), ("bob/y", 3.0)):
        recording(tmp_path / "corpus" / f"{name}.wav", seconds)
        write(tmp_path / "corpus" / f"{name}.lab", "Don't say hello")
        grid = MFA if seconds == 3.0 else MFA.replace("3.0", "2.5")
        write(tmp_path / "aligned" / f"{name}.TextGrid", grid)
    rows = read_labels(tmp_path / "aligned", audio=tmp_path / "corpus")
    assert [Path(row["audio"]).relative_to(tmp_path).as_posix() for row in rows] == [
        "corpus/ann/x.wav",
        "corpus/bob/x.wav",
        "corpus/bob/y.wav",
    ]
    assert [row["duration"] for row in rows] == [2.5, 3.0, 3.0]
    assert {row["text"] for row in rows} == {"Don't say hello"}  # of the .lab files beside the recordings
    # files by themselves: a unique name is found below the folder, another one is not guessed
    [row] = read_labels(tmp_path / "aligned/bob/y.TextGrid", audio=tmp_path / "corpus")
    assert row["audio"].endswith("bob/y.wav")
    with pytest.raises(ValueError, match=r"2 recordings are called 'x'"):
        read_labels(tmp_path / "aligned/bob/x.TextGrid", audio=tmp_path / "corpus")
    several = [tmp_path / "aligned/ann/x.TextGrid", tmp_path / "aligned/bob/x.TextGrid"]
    _, problems = problems_of(several)
    assert [f"{path}: there is no recording 'x' in {path.parent}" for path in several] == problems


def test_sources_that_do_not_fit(speech):
    write(speech / "speech.srt", "1\n00:00:00,100 --> 00:00:00,400\nSo\n")
    write(speech / "a.ctm", CTM)
    empty = speech / "empty"
    empty.mkdir()
    for source, options, message in (
        (speech / "no.jsonl", {}, "there is no label file .*no.jsonl"),
        (speech / "speech.wav", {}, r"the extension '\.wav' is not one of label files"),
        (speech, {}, r"labels in several formats \(1 of jsonl, 1 of ctm, 1 of srt\): say format="),
        (empty, {}, "holds no label files"),
        (speech, {"format": "vtt"}, "holds no label files of the format vtt"),
        (speech / "speech.srt", {"format": "mlf"}, "format='mlf': known are jsonl, textgrid, ctm"),
        (speech / "speech.srt", {"format": "rows"}, "format='rows' is for rows in memory"),
        (speech / "speech.srt", {"tier": "words"}, "tier='words' is for TextGrid files"),
        (speech / "speech.srt", {"audio": speech / "no"}, "there is no file and no folder"),
        (
            [speech / "speech.srt"] * 2,
            {"audio": speech / "speech.wav"},
            "is one recording, but there are 2 label files",
        ),
        (speech / "a.ctm", {"audio": speech / "speech.wav"}, r"is one recording, but .*a\.ctm has labels of 2"),
        ([row_of(*GOOD)], {"format": "ctm"}, "format='ctm' is for files"),
        ([row_of(*GOOD)], {"tier": "words"}, "tier='words' is for TextGrid files"),
        (
            [row_of(*GOOD)],
            {"audio": speech / "speech.wav"},
            "it names its audio, so that audio=.* can only be a folder",
        ),
        ({"train": [row_of(*GOOD)]}, {}, "labels are a mapping with the keys .'train'."),
        (5, {}, "labels must be a path, paths or rows, not int"),
        ([], {}, "the list holds no rows"),
        (write(speech / "no.ndjson", "\n"), {}, "no.ndjson holds no rows"),
    ):
        with pytest.raises(ValueError, match=message):
            read_labels(source, **options)
    with pytest.raises(ValueError, match="several formats"):
        read_labels(speech, on_error="skip")  # a wrong call is no bad row
    [row] = read_labels(speech, format="srt")
    assert triples(row) == [("So", 0.1, 0.4)]
    recording(speech / "elsewhere" / "other name.wav")
    [row] = read_labels(speech / "speech.srt", audio=speech / "elsewhere" / "other name.wav")
    assert row["audio"].endswith("other name.wav")


def test_files_that_are_no_text_are_named(speech):
    (speech / "speech.ctm").write_bytes(b"speech 1 0 1 caf\xe9\n")
    with pytest.raises(ValueError, match=r"speech\.ctm: line 1 is not UTF-8"):
        read_labels(speech / "speech.ctm")
    (speech / "speech.ctm").write_bytes(b"\xef\xbb\xbfspeech 1 0 1 so\nspeech 1 1 1 caf\xe9\n")
    with pytest.raises(ValueError, match=r"speech\.ctm: line 2 is not UTF-8"):
        read_labels(speech / "speech.ctm")
    (speech / "speech.ctm").write_bytes("speech 1 0 1 so\nspeech 1".encode("utf-16") + b"\x00")
    with pytest.raises(ValueError, match=r"speech\.ctm: line 2 is not UTF-16, as its first bytes say"):
        read_labels(speech / "speech.ctm")


def test_json_lines_in_utf16_are_read(speech):
    path = write(speech / "labels.jsonl", json.dumps(row_of(*GOOD)), encoding="utf-16")
    assert triples(read_labels(path)[0]) == list(GOOD)


def test_names_that_no_file_can_have(speech):
    """Names of files end at 255 characters, where asking for one is an error of the operating system."""
    long = "x" * 300
    good = row_of(*GOOD)
    path = write(speech / "labels.jsonl", "\n".join(map(json.dumps, [{**good, "audio": f"{long}.wav"}, good])))
    rows, problems = problems_of(path)
    assert len(rows) == 1 and len(problems) == 1
    assert problems[0].startswith(f"{path}:1: ") and f"{long}.wav' cannot be read" in problems[0]
    # a transcript is looked for by the name that a CTM gives its recording
    with pytest.raises(ValueError, match="there is no recording 'xxx"):
        read_labels(write(speech / "a.ctm", f"{long} 1 0 1 so\n"))
    [row] = read_labels(write(speech / "a.ctm", f"{long} 1 0 1 so\n"), audio=speech / "speech.wav")
    assert row["text"] == "so"
    with pytest.raises(ValueError, match="there is no label file 'xxx"):
        read_labels(f"{long}.jsonl")
    with pytest.raises(ValueError, match="there is no file and no folder 'xxx"):
        read_labels(path, audio=long)


# durations


def encode(path, codec, samples, rate=16000):
    with av.open(str(path), "w") as container:
        try:
            stream = container.add_stream(codec, rate=rate, layout="mono")
        except (av.FFmpegError, ValueError) as error:
            pytest.skip(f"this FFmpeg does not encode {codec}: {error}")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in (frame, None):
            for packet in stream.encode(part):
                container.mux(packet)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "mp3"), ("ogg", "libopus"), ("m4a", "aac")])
@pytest.mark.parametrize("form", ["path", "bytes", "dataset"])
def test_labels_behind_what_is_decoded_are_found(tmp_path, suffix, codec, rate, form):
    """Packets hold the encoder's delay and padding, so that they last longer than what training will decode."""
    path = tmp_path / f"a.{suffix}"
    tone = np.sin(np.arange(round(1.4 * rate)) * 0.2).astype(np.float32) / 2
    encode(path, codec, tone, rate)
    decoded = len(load_audio(path, 16000)) / 16000
    stated = audio_duration(path)
    if suffix == "mp3" and rate == 16000:
        assert decoded == 1.4 and stated == pytest.approx(1.476)
    audio = str(path) if form == "path" else {"bytes": path.read_bytes(), "path": None}

    def read(end):
        rows = [{"audio": audio, "words": labels(("a", 0.5, end))}]
        if form == "dataset":
            datasets = pytest.importorskip("datasets", reason="needs datasets")
            rows = datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio(decode=False))
        return read_labels(rows)

    assert stated - decoded < _PADDING
    for end in (decoded + 0.05, max(stated, decoded + 0.05)):
        with pytest.raises(ValueError, match=rf"ends at .* but the audio is {decoded:.3f} s long"):
            read(end)
    [row] = read(decoded + 0.03)
    assert row["duration"] == row["words"][0]["end"] == decoded
    # far from the end nothing is decoded
    assert read(1.0)[0]["duration"] == stated


@pytest.mark.parametrize(("suffix", "codec"), [("flac", None), ("mp3", "mp3"), ("ogg", "libopus"), ("mp4", "aac")])
def test_durations_without_decoding(tmp_path, suffix, codec):
    source = ROOT / "examples" / "sense_and_sensibility.flac"
    path = tmp_path / f"a.{suffix}"
    if codec is None:
        path.write_bytes(source.read_bytes())
    else:
        encode(path, codec, load_audio(source, 16000))
    decoded = len(load_audio(path, 16000)) / 16000
    assert audio_duration(path) == pytest.approx(decoded, abs=0.12)
    assert audio_duration(path.read_bytes()) == audio_duration(str(path)) == audio_duration({"path": str(path)})
    if codec is None:
        assert audio_duration(path) == decoded


def test_what_the_container_says_is_not_held_against_a_label(tmp_path):
    """Where a label lies behind the stated duration, the recording is decoded before the label is called wrong."""
    content = bytearray((ROOT / "examples" / "sense_and_sensibility.flac").read_bytes())
    content[22:26] = (16000).to_bytes(4, "big")  # of a file whose header says one second, such as a broken stream's
    path = tmp_path / "a.flac"
    path.write_bytes(content)
    assert audio_duration(path) == 1.0
    for end, duration in ((0.9, 1.0), (7.1, 7.1)):
        [row] = read_labels([{"audio": str(path), "words": labels(("a", 0.5, end))}])
        assert row["duration"] == pytest.approx(duration)
    for source in (tmp_path / "no.wav", str(tmp_path / "no.wav")):
        with pytest.raises(ValueError, match="there is no such file"):
            audio_duration(source)


# and into training


def test_rows_go_into_the_collator(speech, goldens):
    from transformers import AutoProcessor

    from transformers_qwen3_asr.training import SlotCollator

    processor = AutoProcessor.from_pretrained(goldens / "aligner")
    path = write(speech / "speech.TextGrid", MFA)
    rows = read_labels(path, language="English")
    batch = SlotCollator(processor, classify_num=60)(rows)
    found = batch["labels"][batch["labels"] != -100].tolist()
    assert found == [4, 9, 9, 15, 19, 25]  # 0.33 0.71 0.71 1.2 1.5 1.98 seconds over 0.08


def test_text_grid_readers_drafts_name_intervals(speech):
    [draft] = read_text_grid(write(speech / "speech.TextGrid", MFA))
    assert [entry.place for entry in draft.entries] == ["interval 2", "interval 3", "interval 5"]
