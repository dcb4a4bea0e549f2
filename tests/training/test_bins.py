"""Classes of 20 or 40 ms instead of 80: changed, trained, saved, loaded and decoded."""

import json

import numpy as np
import pytest
import torch
from goldens.clips import load_clip
from tiny import tiny_config
from transformers import AutoModelForTokenClassification, AutoProcessor, pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.models.modeling_qwen3_asr import Qwen3ASRForTokenClassification
from transformers_qwen3_asr.training import SlotCollator, change_bins
from transformers_qwen3_asr.training.bins import interpolated_rows

TEXT = "and mister john dashwood had then leisure"
# seconds; off every grid of 20 ms
WORDS = [
    (0.213, 0.371),
    (0.371, 0.628),
    (0.647, 0.985),
    (0.985, 1.572),
    (1.589, 1.847),
    (1.853, 2.237),
    (2.251, 2.708),
]


def row():
    words = [
        {"text": text, "start": start, "end": end} for text, (start, end) in zip(TEXT.split(), WORDS, strict=True)
    ]
    audio = load_audio(load_clip("sense_0870.flac"))[: int(2.8 * 16000)]
    return {"audio": {"array": audio, "sampling_rate": 16000}, "words": words, "language": "English"}


def test_rows_are_read_between_their_neighbours():
    weight = torch.tensor([[0.0, 8.0], [4.0, 0.0], [6.0, -2.0]])
    # 80 ms -> 20 ms: four rows from one to the next, and the last one stays behind the end
    rows = interpolated_rows(weight, 80, 20, 11)
    assert rows[:5].tolist() == [[0, 8], [1, 6], [2, 4], [3, 2], [4, 0]]
    assert rows[5].tolist() == [4.5, -0.5]
    assert rows[8:].tolist() == [[6, -2]] * 3
    # and coarser again: every fourth
    assert torch.equal(interpolated_rows(rows, 20, 80, 3), weight)


def test_the_finer_model_says_what_the_coarse_one_said():
    torch.manual_seed(0)
    model = Qwen3ASRForTokenClassification(tiny_config(classes=50)).eval()
    old = model.thinker.lm_head.weight.detach().clone()
    assert change_bins(model, 20) is model
    assert model.config.num_labels == model.config.thinker_config.classify_num == model.num_labels == 200
    assert model.config.timestamp_segment_time == 20
    assert torch.equal(model.thinker.lm_head.weight[::4], old)
    change_bins(model, 40, 60)
    assert model.thinker.lm_head.weight.shape == (60, old.shape[1])
    assert torch.equal(model.thinker.lm_head.weight[::2], old[:30])
    assert model.thinker.lm_head.weight.requires_grad


@pytest.mark.parametrize(
    ("time", "classes", "message"),
    [
        (0, None, "must be positive, not 0"),
        (12.5, None, "whole milliseconds, not 12.5"),
        (20, 1, "at least 2, not 1"),
        (20, 10.5, "at least 2, not 10.5"),
    ],
)
def test_wrong_bins_are_named(time, classes, message):
    model = Qwen3ASRForTokenClassification(tiny_config())
    with pytest.raises(ValueError, match=message):
        change_bins(model, time, classes)
    assert model.config.num_labels == 50


@pytest.mark.parametrize("time", [20, 40])
def test_finer_bins_train_save_load_and_decode(tmp_path, time):
    folder = bundled_model("tiny-en")
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)
    # coarse classes first, so that the fine times have to be learned here
    change_bins(change_bins(model, 80), time)
    processor.timestamp_segment_time = time
    batch = SlotCollator(processor, classify_num=model.config.num_labels)([row()])
    wanted = batch["labels"][batch["labels"] != -100]
    assert wanted.tolist() == [int(second * 1000 / time + 0.5) for pair in WORDS for second in pair]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(40):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["timestamp_segment_time"] == time
    assert config["thinker_config"]["classify_num"] == model.config.num_labels
    again = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert AutoProcessor.from_pretrained(tmp_path).timestamp_segment_time == time
    assert torch.equal(again.thinker.lm_head.weight, model.thinker.lm_head.weight)

    processor = AutoProcessor.from_pretrained(tmp_path)
    pipe = pipeline("forced-alignment", model=again, processor=processor, device="cpu")
    found = np.array([chunk["timestamp"] for chunk in pipe(row()["audio"], text=TEXT, language="English")["chunks"]])
    assert np.abs(found - np.array(WORDS)).max() <= time / 2000 + 1e-6
    assert not np.allclose(found % 0.08, 0)  # a grid of 80 ms could not say these times
