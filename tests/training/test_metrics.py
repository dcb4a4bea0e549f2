"""Figures of alignment: hand numbers, a plain loop, and the same under Trainer."""

import types

import numpy as np
import pytest

from transformers_qwen3_asr.training import AlignmentMetrics, accumulated_average_shift, alignment_metrics

KEYS = (
    "clips words aas_ms median_ms within_20ms within_50ms within_80ms within_100ms over_1s zero_length "
    "on_neighbour f1_20ms aas_start_ms aas_end_ms median_start_ms median_end_ms"
).split()


def test_hand_numbers():
    predicted = [[[100, 500], [600, 600]], [[0, 2100]]]
    reference = [[[80, 550], [600, 680]], [[100, 1000]]]
    # differences of the starts 20, 0, 100; of the ends 50, 80, 1100
    figures = alignment_metrics(predicted, reference)
    assert list(figures) == KEYS
    assert figures == {
        "clips": 2,
        "words": 3,
        "aas_ms": 225.0,
        "median_ms": 65.0,
        "within_20ms": pytest.approx(2 / 6),
        "within_50ms": pytest.approx(3 / 6),
        "within_80ms": pytest.approx(4 / 6),
        "within_100ms": pytest.approx(5 / 6),
        "over_1s": pytest.approx(1 / 6),
        "zero_length": pytest.approx(1 / 3),
        # middles 300, 600, 1050: the last one is outside 100 to 1000
        "on_neighbour": pytest.approx(1 / 3),
        "f1_20ms": 1.0,  # one boundary, at 600
        "aas_start_ms": 40.0,
        "aas_end_ms": 410.0,
        "median_start_ms": 20.0,
        "median_end_ms": 80.0,
    }


def textbook(predicted, reference):
    """The same figures, time by time."""
    starts, ends, short, outside, hits, boundaries = [], [], 0, 0, 0, 0
    for clip, right in zip(predicted, reference):
        found, wanted = {word[0] for word in clip[1:]}, {word[0] for word in right[1:]}
        boundaries += len(found) + len(wanted)
        while pairs := [(abs(a - b), a, b) for a in found for b in wanted if abs(a - b) <= 20]:
            _, a, b = min(pairs)
            found, wanted, hits = found - {a}, wanted - {b}, hits + 1
        for word, truth in zip(clip, right):
            outside += not truth[0] <= (word[0] + word[1]) / 2 <= truth[1]
            starts.append(abs(word[0] - truth[0]))
            ends.append(abs(word[1] - truth[1]))
            short += word[1] <= word[0]
    every = starts + ends

    def median(values):
        values, half = sorted(values), len(values) // 2
        return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2

    figures = {"clips": len(predicted), "words": len(starts)}
    figures |= {"aas_ms": sum(every) / len(every), "median_ms": median(every)}
    for limit in (20, 50, 80, 100):
        figures[f"within_{limit}ms"] = sum(e <= limit for e in every) / len(every)
    figures["over_1s"] = sum(e > 1000 for e in every) / len(every)
    figures["zero_length"] = short / len(starts)
    figures["on_neighbour"], figures["f1_20ms"] = outside / len(starts), 2 * hits / boundaries
    for name, values in (("start", starts), ("end", ends)):
        figures[f"aas_{name}_ms"] = sum(values) / len(values)
        figures[f"median_{name}_ms"] = median(values)
    return figures


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_loop_agrees(seed):
    rng = np.random.default_rng(seed)
    reference = [np.sort(rng.uniform(0, 5000, 2 * n)).reshape(n, 2) for n in rng.integers(1, 9, 12)]
    predicted = [clip + rng.normal(0, 1, clip.shape) * rng.choice([5, 60, 900], clip.shape) for clip in reference]
    predicted[3][0, 1] = predicted[3][0, 0]
    assert alignment_metrics(predicted, reference) == pytest.approx(textbook(predicted, reference))


def test_boundaries_are_matched_one_to_one_and_closest_first():
    def starts(*times):
        return [[[time, time] for time in (0, *times)]]

    assert alignment_metrics(starts(100, 200), starts(120, 221))["f1_20ms"] == 0.5
    # both found boundaries are near the first, which is used once
    assert alignment_metrics(starts(100, 110), starts(105, 300))["f1_20ms"] == 0.5
    # 118 goes to 130, which is closest, so that 100 and 148 are left alone
    assert alignment_metrics(starts(118, 148), starts(100, 130))["f1_20ms"] == 0.5
    # what stands twice counts once: hits 1 of 1 found and 2 wanted
    assert alignment_metrics(starts(100, 100), starts(100, 300))["f1_20ms"] == pytest.approx(2 / 3)
    assert alignment_metrics([[[0, 100]]], [[[0, 100]]])["f1_20ms"] == 0.0  # a single word has no boundary


def test_limits_are_met_in_spite_of_rounding():
    # 0.56 * 1000 - 0.48 * 1000 is 80.00000000000006 to a computer
    figures = alignment_metrics([[[0.56 * 1000, 1100.1 + 1000]]], [[[0.48 * 1000, 1100.1]]])
    assert figures["within_80ms"] == 0.5
    assert figures["over_1s"] == 0.0
    assert alignment_metrics([[[0, 1001]]], [[[0, 0]]])["over_1s"] == 0.5


def test_clips_without_words_count_as_clips():
    figures = alignment_metrics([np.zeros((0, 2)), [[0, 10]]], [[], [[0, 30]]])
    assert (figures["clips"], figures["words"], figures["aas_ms"]) == (2, 1, 10.0)


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [
        ([[[0, 1]]], [[[0, 1]], [[0, 1]]], "predictions for 1 clips and references for 2"),
        ([[[0, 1]], [[0, 1]]], [[[0, 1]], [[0, 1], [1, 2]]], "clip 1: 1 predicted words for 2 reference words"),
        ([[[0, 1]], [0, 1]], [[[0, 1]], [[0, 1]]], r"clip 1: predicted times have the shape \(2,\)"),
        ([[[0, 1]]], [[[0, float("nan")]]], "clip 0: reference times are not all finite"),
        ([], [], "no times"),
        ([[]], [[]], "no times"),
    ],
)
def test_what_does_not_fit_is_named(predicted, reference, message):
    with pytest.raises(ValueError, match=message):
        alignment_metrics(predicted, reference)


def test_the_short_summary_agrees_with_the_long():
    predicted, reference = [[[0, 500], [480, 900]]], [[[0, 420], [320, 500]]]
    short = accumulated_average_shift([0, 80, 160, 400])
    long = alignment_metrics(predicted, reference)
    assert short == {name: long[name] for name in ("aas_ms", "median_ms", "within_80ms")}


def test_classes_are_repaired_and_scaled():
    # 80 ms a class: the first word's end, class 9, is out of order and takes its left neighbour's 1
    classes = np.array([[-100, 1, 9, -100, 4, 5], [2, -100, 4, -100, -100, -100]])
    labels = np.array([[-100, 1, 3, -100, 4, 5], [2, -100, 5, -100, -100, -100]])
    figures = AlignmentMetrics(80)(types.SimpleNamespace(predictions=classes, label_ids=labels))
    assert figures == alignment_metrics(
        [[[80, 80], [320, 400]], [[160, 320]]], [[[80, 240], [320, 400]], [[160, 400]]]
    )
    assert list(figures) == KEYS


@pytest.mark.parametrize("segment_time", [80, 20, 12.5])
def test_a_perfect_model_has_no_error(segment_time):
    labels = np.array([[-100, 0, 3, 3, 7, -100]])
    figures = AlignmentMetrics(segment_time)(types.SimpleNamespace(predictions=labels, label_ids=labels))
    assert figures["aas_ms"] == 0.0


def test_half_a_word_and_no_class_are_errors():
    labels = np.array([[-100, 1, 3, 4]])
    with pytest.raises(ValueError, match="clip 0 has labels at 3 slots"):
        AlignmentMetrics(80)(types.SimpleNamespace(predictions=labels, label_ids=labels))
    with pytest.raises(ValueError, match="above 0"):
        AlignmentMetrics(0)
