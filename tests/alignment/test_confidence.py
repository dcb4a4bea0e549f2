"""Scores of words and recordings: what lowers them, and what the bundled aligner's say of texts that are not said."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.alignment.confidence import (
    FEW,
    FITS,
    RecordingFit,
    probabilities_around,
    recording_fit,
    tolerance_radius,
    word_scores,
)
from transformers_qwen3_asr.audio import load_audio

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(("segment_time", "radius"), [(80, 1), (40, 2), (20, 4), (10, 8), (12.5, 6)])
def test_a_words_score_is_the_mass_near_its_end_and_the_next_start(segment_time, radius):
    torch.manual_seed(0)
    log_probabilities = (3 * torch.randn(8, 30)).log_softmax(-1)
    bins = np.array([0, 1, 5, 9, 9, 20, 28, 29])
    probabilities = log_probabilities.exp().double().numpy()
    near = [row[max(0, b - radius) : b + radius + 1].sum() for row, b in zip(probabilities, bins)]
    following = [*near[2::2], near[7]]
    expected = [(near[2 * w] * near[2 * w + 1] ** 2 * following[w] ** 2) ** 0.2 for w in range(4)]
    assert word_scores(probabilities_around(log_probabilities, bins, radius)) == pytest.approx(expected, rel=1e-5)
    assert tolerance_radius(segment_time) == radius
    assert probabilities_around(log_probabilities, bins, radius).sum(-1) == pytest.approx(near, rel=1e-5)


def test_certainty_and_impossibility():
    scores = torch.full((4, 50), -torch.inf)
    scores[range(4), [3, 7, 20, 30]] = 0.0
    assert word_scores(probabilities_around(scores, np.array([3, 7, 20, 30]), 1)).tolist() == [1.0, 1.0]
    first, second = word_scores(probabilities_around(scores, np.array([3, 7, 40, 30]), 1))
    assert 0 < first < 0.01 and 0 < second < first**0.4  # the next word's start is out of place


def times_of(scores):
    return np.arange(2 * len(scores)).reshape(-1, 2) / 10


def test_a_recordings_score_and_its_passages():
    good = np.full(40, 0.95)
    assert recording_fit(good, times_of(good)) == RecordingFit(pytest.approx(0.95), True, [])
    single = good.copy()
    single[7] = 0.05
    assert recording_fit(single, times_of(single)).unfit == []
    passages = good.copy()
    passages[5:11] = [0.1, 0.2, 0.7, 0.1, 0.3, 0.1]
    passages[30:] = 0.2
    fit = recording_fit(passages, times_of(passages))
    assert fit.unfit == [(5, 11), (30, 40)]
    assert fit.score == pytest.approx(passages.mean()) and fit.fits == (fit.score >= FITS)
    foreign = np.full(40, 0.3)
    assert recording_fit(foreign, times_of(foreign)) == RecordingFit(pytest.approx(0.3), False, [(0, 40)])


def test_passages_are_maximal_and_apart():
    """As Ruzzo and Tompa define them: sums of at least the threshold, none could be longer for a larger sum."""
    random = np.random.default_rng(1)
    for _ in range(300):
        scores = random.uniform(size=random.integers(1, 30))
        passages = recording_fit(scores, times_of(scores)).unfit
        evidence = 0.6 - scores
        covered = np.zeros(len(scores), dtype=bool)
        for first, last in passages:
            assert evidence[first:last].sum() >= 1.0 and not covered[first:last].any()
            covered[first:last] = True
            sums = np.cumsum(evidence[first:last])
            assert sums.min() > 0 and sums[-1] == pytest.approx(sums.max())  # no part at either end speaks against it
        runs = [(a, b) for a in range(len(scores)) for b in range(a + 1, len(scores) + 1)]
        best = max(runs, key=lambda run: evidence[slice(*run)].sum())
        if evidence[slice(*best)].sum() >= 1.0 + 1e-9:
            assert covered[slice(*best)].all()


def test_words_that_do_not_last_speak_against_a_text():
    scores, times = np.full(10, 0.9), times_of(np.zeros(10))
    times[2:8, 1] = times[2:8, 0]
    fit = recording_fit(scores, times)
    assert fit.score == pytest.approx(0.36) and not fit.fits and fit.unfit == [(2, 8)]


def test_few_words_fit_only_where_little_else_is_heard():
    for words, fits in ((1, False), (FEW - 1, False), (FEW, True)):
        scores, times = np.full(words, 0.95), times_of(np.zeros(words))
        assert recording_fit(scores, times, 0.1 * words - 0.01).fits
        assert recording_fit(scores, times, 0.1 * words + 0.01).fits == fits


def test_passages_of_a_long_text_take_little_time():
    """100,000 words of which some are doubtful: the way back over all runs would be minutes long."""
    scores = np.where(np.arange(100_000) % 2, 0.55, 0.75)
    scores[5000:5010] = 0.1
    assert recording_fit(scores, times_of(scores)).unfit == [(4999, 5010)]


def test_no_words_and_numbers_that_do_not_fit():
    assert recording_fit([], np.zeros((0, 2))) == RecordingFit(0.0, False, [])
    for scores, times in (([0.5], np.zeros((2, 2))), ([[0.5]], np.zeros((1, 2))), ([], np.zeros(3))):
        with pytest.raises(ValueError, match="do not fit"):
            recording_fit(scores, times)


# the bundled aligner


@pytest.fixture(scope="module")
def align():
    pipe = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), dtype="float32", device="cpu")
    return lambda audio, text: pipe(audio, text=text, language="English")


@pytest.fixture(scope="module")
def reading():
    return load_audio(EXAMPLES / "sense_and_sensibility.flac")


TEXT = (EXAMPLES / "sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
OTHER = (
    "The boats lay on the sand before the rain, and nobody in our village saw that old stone garden again, "
    "but my brother walked home."
)


def scores_of(result):
    return np.array([chunk["score"] for chunk in result["chunks"]])


def test_a_text_that_is_said_fits_and_another_does_not(align, reading):
    right, wrong = align(reading, TEXT), align(reading, OTHER)
    assert right["fits"] and right["unfit"] == [] and right["score"] > 0.65
    assert not wrong["fits"] and wrong["score"] < right["score"] - 0.2
    assert wrong["unfit"]


def test_a_single_word_says_little_of_a_long_recording(align, reading):
    assert not align(reading, "banana")["fits"]
    first = align(reading, TEXT)["chunks"][0]
    end = round(first["timestamp"][1] * 16000)
    alone = align(reading[:end], first["text"])  # and of its own recording much
    assert alone["fits"] and alone["untranscribed"] == []


def test_words_put_in_others_places_score_lower(align, reading):
    right = align(reading, TEXT)
    words = [chunk["text"] for chunk in right["chunks"]]
    lower = []
    for place in range(2, len(words) - 1, 3):
        changed = [*words[:place], "elephants", *words[place + 1 :]]
        lower.append(scores_of(align(reading, changed))[place] - scores_of(right)[place])
    assert np.mean(lower) < -0.2


def test_an_added_passage_is_found(align, reading):
    words = TEXT.split()
    text = " ".join([*words[:10], "boats lay on the sand before the rain came down", *words[10:]])
    result = align(reading, text)
    assert result["unfit"] and result["score"] < align(reading, TEXT)["score"] - 0.1
    for passage in result["unfit"]:
        assert 0 <= passage["timestamp"][0] <= passage["timestamp"][1] <= len(reading) / 16000
        assert text[passage["char_start"] : passage["char_end"]].strip()


def degenerate(reading):
    noise = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    return {
        "silence": (np.zeros(48000, np.float32), "And mister John Dashwood"),
        "noise": (noise, "And mister John Dashwood had then leisure to consider"),
        "a tenth of a second": (reading[:1600], TEXT),
        "a sample": (reading[:1], "leisure"),
        "far too much text": (reading[:32000], " ".join([OTHER] * 6)),
        "a word of 200 letters": (reading, "pneumonoultra" * 15 + "abcde"),
        "much text in 60 ms": (reading[:960], " ".join([TEXT] * 3)),
    }


@pytest.mark.parametrize("case", degenerate(np.zeros(32000)))
@pytest.mark.filterwarnings("error:.*:RuntimeWarning")
def test_what_cannot_be_aligned_is_answered_without_confidence(align, reading, case):
    audio, text = degenerate(reading)[case]
    result = align(audio, text)
    times = np.array([chunk["timestamp"] for chunk in result["chunks"]])
    assert len(times) == len(text.split())
    assert (np.diff(times.ravel()) >= 0).all() and times.min() >= 0 and times.max() <= len(audio) / 16000
    assert np.isfinite(scores_of(result)).all()
    assert not result["fits"] and result["score"] < FITS


def test_too_little_text_is_aligned_within_the_recording(align, reading):
    (chunk,) = align(reading, "And")["chunks"]
    start, end = chunk["timestamp"]
    assert 0 <= start < end <= len(reading) / 16000


def test_scores_of_several_clips_are_those_of_each():
    random = np.random.default_rng(2)
    near = random.dirichlet(np.ones(9), size=14)[:, :3]
    parts = [near[:2], near[2:8], near[8:]]
    together = word_scores(near, np.array([0, 3, 6]))
    assert np.array_equal(together, np.concatenate([word_scores(part) for part in parts]))
    assert not np.array_equal(together, word_scores(near))  # a clip's last word is followed by none
