"""The command `qwen3-asr evaluate`: the bundled aligner and predictions against labels, words heard one by one."""

import json
import shutil

import pytest
from conftest import GOLDENS
from labelled_readings import EXAMPLES, readings

from transformers_qwen3_asr.cli.main import main

RECORDING = EXAMPLES / "sense_and_sensibility.flac"
ASR = GOLDENS / "asr"
ON_CPU = ("--device", "cpu", "--dtype", "float32")


def run(*arguments):
    """Runs `evaluate`; gives the exit status."""
    try:
        return main(["evaluate", *map(str, arguments)])
    except SystemExit as exit:
        return exit.code


@pytest.fixture
def labels(tmp_path):
    """A label file with the reading, and with its first words as a recording of their own, in another language."""
    (reading,) = readings()
    shutil.copy(RECORDING, tmp_path / "reading.flac")
    shutil.copy(RECORDING, tmp_path / "again.flac")
    rows = [
        {**reading, "audio": "reading.flac", "id": None},
        {**reading, "audio": "again.flac", "id": "again", "language": "French"},
    ]
    return written(tmp_path / "labels.jsonl", rows)


def written(path, rows):
    lines = (json.dumps({key: value for key, value in row.items() if value is not None}) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def fails(capsys):
    """Runs a call that must fail with status 2 and one line on stderr, without output; gives the line."""

    def check(*arguments):
        assert run(*arguments) == 2
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith(("[transformers]", "\r"))]
        assert len(lines) == 1 and captured.out == "", captured
        assert lines[0].startswith("qwen3-asr evaluate: error: ")
        return lines[0]

    return check


def table(text):
    """The table's lines by their first word, as lists of words; headings that hold spaces do not matter."""
    return {line.split()[0]: line.split() for line in text.splitlines()}


def test_a_model_against_labels(labels, tmp_path, capsys):
    json_file, picture = tmp_path / "new" / "found.json", tmp_path / "errors.png"
    assert run("--model", "tiny-en", "--data", labels, *ON_CPU, "--json", json_file, "--plot", picture) == 0
    captured = capsys.readouterr()
    found = json.loads(json_file.read_text(encoding="utf-8"))
    assert (found["model"], found["data"]) == ("tiny-en", [str(labels)])
    assert (found["clips"], found["words"]) == (2, 44)
    assert 0 < found["median_ms"] <= found["aas_ms"] < 150
    for key in ("within_20ms", "within_50ms", "within_80ms", "within_100ms", "over_1s", "zero_length"):
        assert 0 <= found[key] <= 1
    assert found["within_20ms"] < found["within_80ms"]
    assert found["aas_ms"] == pytest.approx((found["aas_start_ms"] + found["aas_end_ms"]) / 2)
    low, high = found["aas_ms_interval"]
    assert low <= found["aas_ms"] <= high
    assert sorted(found["languages"]) == ["English", "French"]
    # the same recording: the language says only how words are cut
    assert found["languages"]["French"]["aas_ms"] == found["languages"]["English"]["aas_ms"]
    assert [row["id"].rsplit("/")[-1] for row in found["rows"]] == ["labels.jsonl:1", "again"]
    lines = table(captured.out)
    assert list(lines) == ["language", "English", "French", "all"]
    assert lines["all"][1:4] == ["2", "44", f"{found['aas_ms']:.1f}"]
    (note,) = captured.err.splitlines()
    assert note.startswith("qwen3-asr: note: the aligner was not trained on French")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_align_wrote_is_what_the_model_says(labels, tmp_path, capsys):
    data = written(tmp_path / "english.jsonl", [{**row, "language": "English"} for row in rows_of(labels)])
    (text,) = {row["text"] for row in rows_of(data)}
    recordings = [tmp_path / "reading.flac", tmp_path / "again.flac"]
    align = ["align", *recordings, "--text", text, "--text", text, "--language", "English", "--model", "tiny-en"]
    assert main([*map(str, align), "--output", f"{tmp_path}/aligned/", *ON_CPU]) == 0
    assert (
        main([*map(str, [align[0], align[1], *align[3:5], *align[7:]]), "--output", f"{tmp_path}/reading.json"]) == 0
    )
    outputs = {}
    for name, times in {
        "model": ["--model", "tiny-en", *ON_CPU],
        "folder": ["--predictions", tmp_path / "aligned"],
    }.items():
        capsys.readouterr()
        assert run(*times, "--data", data, "--json", tmp_path / f"{name}.json") == 0
        outputs[name] = capsys.readouterr().out, json.loads((tmp_path / f"{name}.json").read_text())
    assert outputs["model"][0] == outputs["folder"][0] != ""
    assert outputs["model"][1]["aas_ms"] == pytest.approx(outputs["folder"][1]["aas_ms"])
    assert outputs["folder"][1]["predictions"] == str(tmp_path / "aligned")
    # one file serves one recording
    one = written(tmp_path / "one.jsonl", rows_of(data)[:1])
    assert run("--predictions", tmp_path / "reading.json", "--data", one) == 0
    assert table(capsys.readouterr().out)["English"][1:3] == ["1", "22"]


def test_label_files_as_predictions(labels, tmp_path, capsys):
    assert run("--predictions", labels, "--data", labels, "--json", tmp_path / "same.json") == 0
    same = json.loads((tmp_path / "same.json").read_text())
    assert (same["aas_ms"], same["within_20ms"], same["zero_length"]) == (0, 1, 0)
    rows = rows_of(labels)
    late = [
        {**row, "words": [{**w, "start": w["start"] + 0.03, "end": w["end"] + 0.05} for w in row["words"]]}
        for row in rows
    ]
    predicted = written(tmp_path / "late.jsonl", late)
    assert run("--predictions", predicted, "--data", labels, "--json", tmp_path / "late.json") == 0
    found = json.loads((tmp_path / "late.json").read_text())
    assert found["aas_start_ms"] == pytest.approx(30) and found["aas_end_ms"] == pytest.approx(50)
    assert found["aas_ms_interval"] == pytest.approx([40, 40])
    # CTM: a recording's stem, channel, start, duration, word; recordings are not opened, and need not be there
    ctm = tmp_path / "elsewhere" / "words.ctm"
    ctm.parent.mkdir()
    ctm.write_text(
        "".join(
            f"{stem} 1 {word['start']:.3f} {word['end'] - word['start'] + 0.01:.3f} {word['text']}\n"
            for stem in ("again", "reading")
            for word in rows[0]["words"]
        )
    )
    assert run("--predictions", ctm, "--data", labels, "--json", tmp_path / "ctm.json") == 0
    found = json.loads((tmp_path / "ctm.json").read_text())
    assert found["aas_start_ms"] == pytest.approx(0) and found["aas_end_ms"] == pytest.approx(10)
    capsys.readouterr()


def test_without_labels_words_are_transcribed(labels, tmp_path, capsys):
    rows = [{key: value for key, value in row.items() if key != "words"} for row in rows_of(labels)]
    data = written(tmp_path / "texts.jsonl", rows[:1])
    json_file = tmp_path / "heard.json"
    arguments = ["--asr-model", ASR, "--data", data, *ON_CPU, "--json", json_file]
    assert run("--model", "tiny-en", *arguments, "--batch-size", 4) == 0
    first = capsys.readouterr().out
    found = json.loads(json_file.read_text(encoding="utf-8"))
    assert (found["clips"], found["words"], found["asr_model"]) == (1, 22, str(ASR))
    assert found["wer"] >= 0.5 and found["cer"] >= 0.5  # random weights know no word
    assert 0 <= found["zero_length"] <= found["silent"] <= 1
    (row,) = found["rows"]
    assert [word["text"] for word in row["words"]] == rows[0]["text"].split()
    assert any(word["heard"] for word in row["words"])
    assert table(first)["English"][1:3] == ["1", "22"]
    # the times of predictions instead of a model's
    assert run("--predictions", labels, *arguments) == 0
    found = json.loads(json_file.read_text(encoding="utf-8"))
    assert found["words"] == 22 and found["zero_length"] == 0
    capsys.readouterr()


def test_bad_rows_are_named_or_left_out(labels, tmp_path, fails, capsys):
    rows = rows_of(labels)
    (tmp_path / "noise.wav").write_bytes(b"this is no recording")
    late = [{**word, "end": word["end"] + 99} if word["text"] == "them" else word for word in rows[0]["words"]]
    for number, (change, message) in enumerate(
        [
            ({"words": late}, "the audio is 7.1"),
            ({"audio": "nowhere.flac"}, "nowhere.flac"),
            ({"audio": "noise.wav"}, "noise.wav"),
            ({"text": "other words"}, "transcript"),
            ({"words": []}, "words"),
        ]
    ):
        data = written(tmp_path / f"bad{number}.jsonl", [rows[1], {**rows[0], **change}])
        line = fails("--model", "tiny-en", "--data", data, *ON_CPU)
        assert f"bad{number}.jsonl:2" in line and message in line, line
        assert run("--model", "tiny-en", "--data", data, *ON_CPU, "--on-bad-row", "skip") == 0
        captured = capsys.readouterr()
        assert table(captured.out)["French"][1] == "1"
        told = [line for line in captured.err.splitlines() if line.startswith("qwen3-asr evaluate: left out: ")]
        assert told and all(f"bad{number}.jsonl:2" in line for line in told)


@pytest.mark.filterwarnings("error")  # what is left out is told once
def test_many_rows_left_out(labels, tmp_path, capsys):
    rows = rows_of(labels)
    predicted = written(tmp_path / "predicted.jsonl", rows[:1])
    data = written(tmp_path / "many.jsonl", [rows[0], *[{**rows[1], "id": f"lost{i}"} for i in range(12)]])
    written(tmp_path / "broken.jsonl", [{**rows[1], "text": "other words"}])
    arguments = ["--predictions", predicted, "--data", data, tmp_path / "broken.jsonl", "--on-bad-row", "skip"]
    assert run(*arguments, "--json", tmp_path / "found.json") == 0
    captured = capsys.readouterr()
    assert table(captured.out)["English"][1] == "1"
    *lines, last = captured.err.splitlines()
    assert "broken.jsonl:1" in lines[0] and "lost0: " in lines[1] and "lost8: " in lines[9] and len(lines) == 10
    assert last == f"qwen3-asr evaluate: left out: and 3 more; all are in {tmp_path / 'found.json'}"
    assert len(json.loads((tmp_path / "found.json").read_text())["left_out"]) == 13


def test_bad_predictions(labels, tmp_path, fails):
    rows = rows_of(labels)
    missing = written(tmp_path / "missing.jsonl", rows[1:])
    assert "labels.jsonl:1: " in (line := fails("--predictions", missing, "--data", labels))
    assert "holds no prediction for it" in line
    other = [{"text": "others", "start": 0.1, "end": 0.2}]
    predicted = written(tmp_path / "other.jsonl", [rows[0], {**rows[1], "words": other}])
    line = fails("--predictions", predicted, "--data", labels)
    assert "again: " in line and "'others'" in line
    assert "no such file or folder" in fails("--predictions", tmp_path / "nowhere.json", "--data", labels)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    assert "broken.json" in fails("--predictions", tmp_path / "broken.json", "--data", labels)
    (tmp_path / "empty").mkdir()
    assert "holds no predictions" in fails("--predictions", tmp_path / "empty", "--data", labels)
    assert "its extension is not one of" in fails("--predictions", RECORDING, "--data", labels)


def test_calls_that_make_no_sense(labels, tmp_path, fails, monkeypatch):
    data = ("--data", labels)
    assert "one of the arguments --model --predictions is required" in fails(*data)
    assert "not allowed with" in fails("--model", "tiny-en", "--predictions", labels, *data)
    assert "--data" in fails("--model", "tiny-en")
    for option, value in (("--batch-size", 2), ("--device", "cpu"), ("--dtype", "float32")):
        assert f"{option} is for models" in fails("--predictions", labels, *data, option, value)
    assert "--batch-size" in fails("--model", "tiny-en", *data, "--batch-size", 0)
    assert "--plot draws errors against labels" in fails(
        "--model", "tiny-en", *data, "--asr-model", ASR, "--plot", tmp_path / "x.png"
    )
    assert "--plot: " in fails("--model", "nowhere", *data, "--plot", tmp_path / "x.doc")
    assert "cannot be written (Is a directory)" in fails("--model", "nowhere", *data, "--json", tmp_path)
    (tmp_path / "file").write_text("x")
    assert "cannot be written" in fails("--model", "nowhere", *data, "--json", tmp_path / "file" / "x.json")
    assert f"--model {tmp_path}: " in fails("--model", tmp_path, *data)
    assert "--device abacus: " in fails("--model", "tiny-en", *data, "--device", "abacus")
    assert f"--asr-model {tmp_path}: " in fails("--model", "tiny-en", *data, *ON_CPU, "--asr-model", tmp_path)
    assert "tiny-en is an aligner" in fails("--model", "tiny-en", *data, *ON_CPU, "--asr-model", "tiny-en")
    assert "there is no label file" in fails("--model", "tiny-en", "--data", tmp_path / "nowhere.jsonl", *ON_CPU)
    empty = written(tmp_path / "empty.jsonl", [])
    assert "empty.jsonl holds no rows" in fails("--model", "tiny-en", "--data", empty, *ON_CPU)


def test_a_plot_without_matplotlib_is_refused_before_anything_slow(labels, fails, monkeypatch):
    from transformers_qwen3_asr.pictures import figures

    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    # the model is not looked for: there is none of this name
    line = fails("--model", "nowhere", "--data", labels, "--plot", "errors.png")
    assert line.endswith("a plot needs matplotlib: pip install 'transformers-qwen3-asr[plot]'")


def test_labels_of_another_format_and_language(tmp_path, capsys):
    (reading,) = readings()
    shutil.copy(RECORDING, tmp_path / "speech.flac")
    labels = tmp_path / "labels" / "speech.ctm.txt"
    labels.parent.mkdir()
    labels.write_text(
        "".join(f"speech 1 {w['start']:.2f} {w['end'] - w['start']:.2f} {w['text']}\n" for w in reading["words"])
    )
    arguments = ["--data", labels, "--format", "ctm", "--audio", tmp_path, "--language", "de"]
    assert run("--model", "tiny-en", *arguments, *ON_CPU, "--json", tmp_path / "found.json") == 0
    assert table(capsys.readouterr().out)["German"][1:3] == ["1", "22"]
    assert json.loads((tmp_path / "found.json").read_text())["aas_ms"] < 150


def test_decodings_are_chosen(labels, tmp_path, fails, capsys):
    figures = {}
    for name in (None, "joint", "argmax"):
        file = tmp_path / f"{name}.json"
        options = ["--decoding", name] if name else []
        assert run("--model", "tiny-en", "--data", labels, "--device", "cpu", "--json", file, *options) == 0
        figures[name] = json.loads(file.read_text(encoding="utf-8"))["aas_ms"]
    assert figures[None] == figures["joint"] != figures["argmax"]
    capsys.readouterr()
    line = fails("--predictions", labels, "--data", labels, "--decoding", "joint")
    assert "--decoding is for a model's times" in line
