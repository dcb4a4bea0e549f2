"""Words that overlap, as people's do: every format, training and evaluation take them; the wrong order is an error."""

import json
import shutil
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from label_samples import labels, recording, triples, write
from labelled_clips import write_clips
from transformers import AutoProcessor
from written_labels import ctm, json_lines, srt, text_grid, vtt, whisper

from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.evaluation import Predictions, evaluate_predictions
from transformers_qwen3_asr.formats import check_row, read_labels
from transformers_qwen3_asr.training import (
    AlignmentMetrics,
    Augmentation,
    Concatenation,
    Gain,
    Noise,
    RowSize,
    Silence,
    SlotCollator,
    Speed,
    slot_classes,
)
from transformers_qwen3_asr.training.augmentation import Clip

#: "it" lies inside "so", "goes" starts with "it" and reaches behind both, "on" ends where "goes" lasts.
OVERLAPPING = (("so", 0.1, 0.9), ("it", 0.3, 0.5), ("goes", 0.3, 1.2), ("on", 1.1, 1.15))
SWAPPED = (("so", 0.1, 0.9), ("goes", 0.4, 1.2), ("it", 0.3, 0.5))


def memory(path, words):
    return [{"audio": str(path.with_suffix(".wav")), "words": labels(*words)}]


@pytest.mark.parametrize("written", [json_lines, whisper, ctm, text_grid, srt, vtt, memory])
def test_every_format_takes_overlaps_and_refuses_the_wrong_order(tmp_path, written):
    recording(tmp_path / "speech.wav")
    [row] = rows = read_labels(written(tmp_path / "speech", OVERLAPPING))
    assert triples(row) == list(OVERLAPPING) and rows.notes == [] and check_row(row) == []
    source = written(tmp_path / "speech", SWAPPED)
    with pytest.raises(ValueError, match=r"word 2 \('it'.* before the start of word 1 \('goes'") as error:
        read_labels(source)
    assert ("row 0" if isinstance(source, list) else str(source)) in str(error.value)


def test_speakers_who_talk_at_once_are_put_in_order(tmp_path):
    recording(tmp_path / "speech.wav")
    path = write(tmp_path / "speech.ctm", "speech A 0.2 1.5 really\nspeech A 1.8 0.2 so\nspeech B 0.5 0.3 yes\n")
    [row] = read_labels(path)
    assert triples(row) == [("really", 0.2, 1.7), ("yes", 0.5, 0.8), ("so", 1.8, 2.0)]


def test_times_shared_out_of_labels_that_overlap_are_checked_again(tmp_path):
    recording(tmp_path / "speech.wav")
    path = json_lines(tmp_path / "speech", (("so it", 0.0, 1.0), ("goes on", 0.9, 2.1)))
    [row] = read_labels(path, share_times=True)
    assert triples(row) == [("so", 0.0, 0.5), ("it", 0.5, 1.0), ("goes", 0.9, 1.7), ("on", 1.7, 2.1)]
    path = json_lines(tmp_path / "speech", (("so it", 0.0, 1.0), ("goes", 0.2, 2.1)))
    with pytest.raises(ValueError, match=r"word 2 \('goes'\) starts at 0.2 s, before the start of word 1 \('it'\)"):
        read_labels(path, share_times=True)
    # the rounding of what is shared out does not leave a very short label
    path = json_lines(tmp_path / "speech", (("so it", 0.12345, 0.12346),))
    [row] = read_labels(path, share_times=True)
    assert triples(row) == [("so", 0.12345, 0.12346), ("it", 0.12346, 0.12346)]


# evaluation


def test_figures_of_overlapping_words_by_hand():
    row = {"id": "a", "audio": "a.wav", "words": labels(*OVERLAPPING)}
    assert evaluate_predictions(Predictions([row]), [row]).metrics["aas_ms"] == 0
    later = {**row, "words": labels(*((text, start, end + 0.1) for text, start, end in OVERLAPPING))}
    metrics = evaluate_predictions(Predictions([later]), [row]).metrics
    assert metrics["aas_ms"] == pytest.approx(50) and metrics["aas_start_ms"] == 0 and metrics["zero_length"] == 0
    with pytest.raises(ValueError, match=r"^a: word 2 \('it'\) starts at 0.3 s, before .* word 1 \('goes'\)"):
        evaluate_predictions(Predictions([row]), [{**row, "words": labels(*SWAPPED)}])
    # an aligner may put words into the wrong order: that is what evaluation is to find out
    right = {**row, "words": labels(("so", 0.1, 0.9), ("goes", 0.9, 1.2), ("it", 1.2, 1.5))}
    swapped = {**row, "words": labels(*SWAPPED)}
    assert evaluate_predictions(Predictions([swapped]), [right]).metrics["over_1s"] == 0


# training


def test_classes_at_the_slots_are_as_the_labels_say():
    assert slot_classes(labels(*OVERLAPPING), 100, 50, 1.2) == [1, 9, 3, 5, 3, 12, 11, 12]
    with pytest.raises(ValueError, match=r"row 0, word 2 \('it'\) .* before the start of word 1 \('goes'\)"):
        slot_classes(labels(*SWAPPED), 100, 50)


def test_trainers_metrics_take_labels_as_they_are():
    said = np.array([[-100, 1, 9, 3, 5, -100]])
    right = SimpleNamespace(predictions=np.array([[0, 1, 4, 4, 5, 0]]), label_ids=said)
    metrics = AlignmentMetrics(100)(right)
    assert metrics["aas_end_ms"] == 250 and metrics["aas_start_ms"] == 50


def overlapping_row(name, seed=0):
    samples = np.random.default_rng(seed).normal(0, 0.05, 24000).astype(np.float32)
    return {"id": name, "audio": (samples, 16000), "language": "English", "words": labels(*OVERLAPPING)}


def test_augmented_words_overlap_as_before():
    rows = [overlapping_row(name, seed) for seed, name in enumerate("abc")]
    join = Concatenation(rows, [RowSize(1.5, 20)] * 3, 8.0, probability=1.0)
    steps = [join, Speed((1.1, 1.1)), Silence((0.5, 0.5), (0.1, 0.1)), Gain(), Noise()]
    clip = Clip.of_row(rows[0], rows[0]["audio"][0], 16000, "a")
    made = Augmentation(steps)(clip, np.random.default_rng(0))
    assert len(made.words) > 4 and len(made.words) % 4 == 0
    for at in range(0, len(made.words), 4):
        times = np.array([(word["start"], word["end"]) for word in made.words[at : at + 4]])
        wanted = np.array([word[1:] for word in OVERLAPPING])
        assert np.allclose(times - times[0, 0], (wanted - wanted[0, 0]) / 1.1)
    rows[1]["words"] = labels(*SWAPPED)
    rows[2]["words"] = labels(*SWAPPED)
    with pytest.raises(ValueError, match=r"[bc] \(joined\), word 2 \('it'\) .* before the start of word 1 \('goes'\)"):
        Augmentation(steps)(clip, np.random.default_rng(0))


def test_noise_hears_what_two_words_share_once():
    samples = np.full(24000, 0.1, dtype=np.float32)
    samples[4800:8000] = 0.5  # "it", which lies in "so" and in "goes"
    clip = Clip.of_row({"words": labels(*OVERLAPPING)}, samples, 16000, "a")
    made = Noise((10, 10), kinds=["white"]).apply(clip, np.random.default_rng(0), 60.0)
    power = np.mean(samples[1600:19200].astype(np.float64) ** 2)
    ratio = 10 * np.log10(power / np.mean((made.samples.astype(np.float64) - samples) ** 2))
    assert np.abs(made.samples).max() < 1 and ratio == pytest.approx(10, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_collated_labels_are_those_of_the_slots(share):
    processor = AutoProcessor.from_pretrained(resolve_model("tiny-en"))
    collator = SlotCollator(
        processor, timestamp_segment_time=100, classify_num=50, slot_sample_share=share, slot_word_share=0.5
    )
    batch = collator([overlapping_row("a"), overlapping_row("b")])
    pairs = {(1, 9), (3, 5), (3, 12), (11, 12)}
    for row in batch["labels"]:
        found = [tuple(pair) for pair in row[row != -100].view(-1, 2).tolist()]
        assert len(found) == (2 if share else 4) and set(found) <= pairs


# the commands


def clips_that_overlap(folder):
    """Clips of the demo recording with every word's end 0.1 s into the next word."""
    path = write_clips(folder, 3)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        for word, following in zip(row["words"], row["words"][1:]):
            word["end"] = round(following["start"] + 0.1, 3)
    assert sum(len(row["words"]) > 1 for row in rows) > 1
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluated(data, tmp_path, *more):
    report = tmp_path / "report.json"
    assert main(["evaluate", "--data", str(data), "--json", str(report), *map(str, more)]) == 0
    return json.loads(report.read_text())


def test_the_commands_take_overlapping_rows(tmp_path, capsys):
    data = clips_that_overlap(tmp_path / "clips")
    device = ("--device", "cpu", "--dtype", "float32", "--no-refine")
    metrics = evaluated(data, tmp_path, "--model", "tiny-en", *device)
    assert metrics["clips"] == 3 and metrics["aas_ms"] < 200
    # against themselves, as the predictions of another aligner
    shutil.copy(data, tmp_path / "clips" / "found.jsonl")
    found = evaluated(data, tmp_path, "--predictions", tmp_path / "clips" / "found.jsonl")
    assert found["aas_ms"] == 0
    arguments = ["--train", str(data), "--eval", str(data), "--output", str(tmp_path / "out"), "--max-steps", "1",
                 "--join", "0.5", "--speed", "0.5", "--noise", "0.5", "--slot-sample-share", "0.5"]  # fmt: skip
    assert main(["train", "--model", "tiny-en", "--use-cpu", "--batch-size", "3", *arguments]) == 0


# people


@pytest.fixture
def people(shared):
    path = shared / "human" / "dev" / "labels.jsonl"
    if not path.is_file():
        pytest.skip("../shared/human/dev, speech of people, is not here")
    return path


def test_people_are_read_as_they_are(people):
    lines = [json.loads(line) for line in people.read_text(encoding="utf-8").splitlines()]
    rows = read_labels(people)
    assert len(rows) == len(lines) == 96
    overlapping = joined = 0
    for row, line in zip(rows, lines, strict=True):
        times = [(word["start"], word["end"]) for word in row["words"]]
        said = [(word["start"], word["end"]) for word in line["words"]]
        joined += len(said) - len(times)
        assert set(sum(times, ())) <= set(sum(said, ())) and check_row(row, row["duration"]) == []
        overlapping += any(following[0] < end - 1e-6 for (_, end), following in pairwise(times))
    assert overlapping == 13 and joined == 1  # "anti", "slavery" are one word of their transcript


@pytest.mark.slow
def test_people_are_evaluated_and_may_be_trained_on(people, tmp_path):
    """Two steps, to see that they can be taken; what was trained goes with the test's folder."""
    device = ("--device", "cpu", "--dtype", "float32", "--no-refine")
    report = evaluated(people, tmp_path, "--model", "tiny-en", *device)
    assert report["clips"] == 96 and report["left_out"] == []
    arguments = ["--train", str(people), "--output", str(tmp_path / "out"), "--max-steps", "2"]
    assert main(["train", "--model", "tiny-en", "--use-cpu", "--batch-size", "48", *arguments]) == 0
