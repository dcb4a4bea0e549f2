"""Options of train and evaluate that are about reading labels: the tier of a TextGrid, phrases as labels."""

import json

import pytest
from labelled_clips import demo_words, write_wave

from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.training.data import read_rows
from transformers_qwen3_asr.training.settings import FineTuningSettings

HEAD = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {end}
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "{tier}"
        xmin = 0
        xmax = {end}
        intervals: size = {count}
"""
NOTES = """    item [2]:
        class = "IntervalTier"
        name = "NOTES"
        xmin = 0
        xmax = {end}
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = {end}
            text = "recorded at home"
"""
INTERVAL = """        intervals [{number}]:
            xmin = {start}
            xmax = {end}
            text = "{text}"
"""


@pytest.fixture
def text_grid(tmp_path):
    """The demo recording's words in a tier called ORT, beside a tier of notes."""
    samples, words = demo_words()
    length = len(samples) / 16000
    intervals, last = [], 0.0
    for word in [*words, {"text": "", "start": length, "end": length}]:
        if word["start"] > last:
            intervals.append((last, word["start"], ""))
        if word["end"] > word["start"]:
            intervals.append((word["start"], word["end"], word["text"]))
            last = word["end"]
    write_wave(tmp_path / "demo.wav", samples)
    (tmp_path / "demo.txt").write_text(" ".join(text for *_, text in intervals if text), encoding="utf-8")
    lines = HEAD.format(end=length, tier="ORT", count=len(intervals))
    for number, (start, end, text) in enumerate(intervals, 1):
        lines += INTERVAL.format(number=number, start=start, end=end, text=text)
    path = tmp_path / "demo.TextGrid"
    lines += NOTES.format(end=length)
    path.write_text(lines, encoding="utf-8")
    return path


def test_the_tier_is_named(text_grid, capsys):
    call = ["evaluate", "--model", "tiny-en", "--data", str(text_grid), "--language", "English", "--device", "cpu"]
    assert main(call) == 2
    assert "ORT" in capsys.readouterr().err
    assert main([*call, "--tier", "ORT"]) == 0
    assert "English" in capsys.readouterr().out


def test_training_reads_the_tier(text_grid):
    settings = FineTuningSettings("tiny-en", [str(text_grid)], "out", language="English", tier="ORT")
    (row,) = read_rows(settings, "train", True, print)
    assert len(row["words"]) > 10


def test_the_time_of_a_phrase_is_divided_when_asked_for(tmp_path):
    samples, _ = demo_words()
    write_wave(tmp_path / "a.wav", samples)
    row = {"audio": "a.wav", "text": "你好吗", "language": "Chinese"}
    row["words"] = [{"text": "你好", "start": 0.5, "end": 0.9}, {"text": "吗", "start": 1.0, "end": 1.2}]
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.jsonl:1.*你好"):
        read_rows(FineTuningSettings("tiny-en", [str(path)], "out"), "train", True, print)
    (found,) = read_rows(FineTuningSettings("tiny-en", [str(path)], "out", share_times=True), "train", True, print)
    assert [w["text"] for w in found["words"]] == ["你", "好", "吗"]
    assert [w["start"] for w in found["words"]] == pytest.approx([0.5, 0.7, 1.0])
