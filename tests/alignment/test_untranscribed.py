"""Sound where the transcript has no words is found, and what is not such sound is not."""

import numpy as np
import pytest
from readings import READINGS
from transformers import pipeline

from transformers_qwen3_asr.alignment.untranscribed import FRAME, Levels, untranscribed
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.longform.constants import PAUSE

RATE = 16000


def made(*parts: tuple[float, float], rate: int = RATE) -> np.ndarray:
    """Noise in stretches of (seconds, decibels of full scale)."""
    random = np.random.default_rng(0)
    return np.concatenate(
        [10 ** (level / 20) * random.standard_normal(round(seconds * rate)) for seconds, level in parts]
    ).astype(np.float32)


def found(samples: np.ndarray, times, rate: int = RATE):
    levels = Levels(rate)
    levels.note(0, samples)
    return untranscribed(levels.decibels(), np.array(times).reshape(-1, 2))


def near(passages, wanted, within=2 * FRAME):
    assert [words for _, _, words in passages] == [words for _, _, words in wanted]
    for passage, right in zip(passages, wanted, strict=True):
        assert passage[:2] == pytest.approx(right[:2], abs=within)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_before_between_and_behind_words(rate):
    spoken = made(
        (0.2, -80), (1, -20), (0.5, -80), (1, -20), (0.5, -80), (0.8, -25), (0.4, -80), (0.7, -20), rate=rate
    )
    passages = found(spoken, [(1.7, 2.7)], rate)
    near(passages, [(0.2, 1.2, 0), (3.2, 4.0, 1), (4.4, 5.1, 1)])


def test_words_themselves_are_not_it():
    spoken = made((0.2, -80), (1, -20), (0.3, -80), (1, -20), (0.2, -80))
    assert found(spoken, [(0.2, 0.7), (0.7, 1.2), (1.5, 2.5)]) == []
    near(found(spoken, [(0.2, 1.2)]), [(1.5, 2.5, 1)])


def test_short_soft_and_broken_sound_is_not_reported():
    def beside(*parts):
        return found(made((1, -20), (0.3, -80), *parts, (0.3, -80), (1, -20)), [(0, 1)])[:-1]  # the last is speech

    assert beside((0.45, -20)) == []  # a cough
    assert beside((2, -37)) == []  # breath
    assert beside(*[(0.3, -20), (0.3, -80)] * 4) == []  # knocks
    assert len(beside(*[(0.3, -20), (0.1, -80)] * 4)) == 1  # syllables


def test_noise_is_the_floor():
    assert found(made((1, -20), (3, -32), (1, -20)), [(0, 1), (4, 5)]) == []


def test_stretches_in_any_order_and_twice():
    spoken = made((1.0, -20), (0.7, -80), (1.003, -20), (0.5, -80), (1, -20))
    whole, parts = Levels(RATE), Levels(RATE)
    whole.note(0, spoken)
    for first, last in ((40_000, 70_000), (0, 16_000), (15_680, 41_001), (8_000, 20_000)):
        parts.note(first, spoken[first:last])
    assert np.array_equal(whole.decibels(), parts.decibels())
    parts.note(0, spoken[:100])  # less than a frame
    assert np.array_equal(whole.decibels(), parts.decibels())


def test_samples_of_either_precision():
    samples = made((0.5, -30), (0.5, -60))
    found = []
    for dtype in (np.float32, np.float64):
        levels = Levels(RATE)
        levels.note(0, samples.astype(dtype))
        found.append(levels.decibels())
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_what_was_not_read_is_not_reported():
    spoken = made((1, -20), (0.5, -80), (2, -20), (0.5, -80), (1, -20))
    levels = Levels(RATE)
    levels.note(0, spoken[:24_000])
    levels.note(64_000, spoken[64_000:])
    assert untranscribed(levels.decibels(), np.array([(0, 1), (4, 5)])) == []


def test_nothing_to_go_by():
    spoken = made((2, -20))
    assert found(spoken, []) == []
    assert found(spoken[:0], [(0, 1)]) == []
    assert found(spoken, [(5, 6)]) == []
    assert found(np.zeros(32_000, np.float32), [(0, 0.5)]) == []


@pytest.mark.parametrize(("window", "before"), [(None, False), (12, False), (6, True)])
def test_a_reading_that_the_text_leaves_out(window, before):
    pipe = pipeline("forced-alignment", model=resolve_model("tiny-en"), dtype="float32", device="cpu")
    other, told = (load_audio(file) for file, _ in READINGS)
    pause = made((0.8, -70))
    samples = np.concatenate([other, pause, told] if before else [told, pause, other])
    text = READINGS[1][1].capitalize() + "."
    (passage,) = pipe(samples, text=text, language="English", max_align_seconds=window)["untranscribed"]
    start = 0.0 if before else (len(told) + len(pause)) / RATE
    left_out = len(pause) / RATE - PAUSE  # of a window, which is heard no further
    end = min(start + len(other) / RATE, len(samples) / RATE if before else (window or np.inf) + left_out)
    assert passage["timestamp"] == pytest.approx((start, end), abs=0.3)
    assert passage["char_start"] == passage["char_end"] == (0 if before else len(text) - 1)  # before the full stop
    assert pipe(told, text=text, language="English")["untranscribed"] == []
