"""The best path through a window against all paths there are."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity
from transformers_qwen3_asr.longform.constants import GUESS
from transformers_qwen3_asr.longform.window_path import best_run, window_path

SILENT = VoiceActivity(np.zeros(1, dtype=bool), np.zeros(1, dtype=bool))  # nothing is known of what is heard


def gains(probabilities):
    return np.log(GUESS + (1 - GUESS) * probabilities * probabilities.shape[1])


def worth(gain, places):
    rows = np.arange(2 * len(places))
    return float(gain[rows, places.ravel()].sum())


def every_path(count, frames, lasting):
    for flat in combinations_with_replacement(range(frames), 2 * count):
        places = np.array(flat, dtype=int).reshape(-1, 2)
        if (places[:, 1] - places[:, 0] >= lasting[:count]).all():
            yield places


@pytest.mark.parametrize("seed", range(12))
def test_against_every_path(seed):
    """Words may be placed behind the window, too, where they are worth nothing."""
    random, words, frames = np.random.default_rng(seed), 3, 6
    probabilities, lasting = random.dirichlet(np.full(frames, 0.4), 2 * words), random.integers(1, 3, words)
    if seed % 2:  # words behind the end
        probabilities[-2:] = probabilities[-2:] * 0.02 + 0.98 / frames
    room = int(lasting.sum()) + 1
    gain = np.pad(gains(probabilities), ((0, 0), (0, room)))
    best = max(every_path(words, frames + room, lasting), key=lambda path: worth(gain, path))
    path = window_path(probabilities, SILENT, lasting, 80.0)
    assert path.count == int((best[:, 1] < frames).sum()) and path.places.shape == (path.count, 2)
    assert (np.diff(path.places.ravel()) >= 0).all()
    assert (path.places[:, 1] - path.places[:, 0] >= lasting[: path.count]).all()
    assert worth(gain, path.places) == pytest.approx(worth(gain, best[: path.count]))


def test_a_free_end_leaves_out_what_is_not_said():
    frames, said = 100, [(5, 15), (15, 30), (40, 60)]
    probabilities = np.full((12, frames), 0.1 / frames)
    for slot, place in enumerate(np.ravel(said)):
        probabilities[slot, place] += 0.9
    probabilities[6:] = 1 / frames  # of which nothing is known
    some = window_path(probabilities, SILENT, np.full(6, 3), 20.0)
    assert some.places[:3].tolist() == [list(pair) for pair in said]
    assert (some.first, some.past) == (0, 3) and some.evidence > 1
    # what is behind the end is piled up there: one word may end so, but it does not fit
    probabilities[6:] = 1e-6
    probabilities[6:, -1] = 1
    piled = window_path(probabilities, SILENT, np.full(6, 3), 20.0)
    assert piled.count <= 4 and (piled.first, piled.past) == (0, 3)


def test_fit_is_nothing_for_a_guess_and_one_for_what_is_certain():
    for frames in (50, 600):
        path = window_path(np.full((4, frames), 1 / frames), SILENT, np.ones(2, int), 20.0)
        assert path.fit == pytest.approx([0, 0], abs=1e-6) and path.evidence == 0 and path.first == path.past
        certain = np.zeros((4, frames))
        certain[np.arange(4), [3, 9, 20, 33]] = 1
        path = window_path(certain, SILENT, np.ones(2, int), 20.0)
        assert path.places.tolist() == [[3, 9], [20, 33]]
        assert path.fit == pytest.approx([1, 1], abs=0.05) and path.scores == pytest.approx([1, 1])


def heard(frames, *spoken):
    speech = np.zeros(frames, dtype=bool)
    for first, past in spoken:
        speech[first:past] = True
    return VoiceActivity(speech, ~speech)


def test_sound_decides_between_places_that_are_as_good():
    frames = 60
    probabilities = np.full((4, frames), 1e-4)
    probabilities[0, [10, 30]], probabilities[1, [20, 40]] = 0.45, 0.45
    probabilities[2, 45], probabilities[3, 50] = 0.9, 0.9
    for begin, places in ((10, [10, 20]), (30, [30, 40])):
        found = window_path(probabilities, heard(frames, (begin, begin + 10), (45, 50)), np.ones(2, int), 20.0)
        assert found.places.tolist() == [places, [45, 50]]


@pytest.mark.parametrize("segment_time", [20.0, 80.0])
def test_no_word_takes_speech_that_has_no_words(segment_time):
    frames = 500
    probabilities = np.full((4, frames), 0.1 / frames)
    probabilities[np.arange(4), [10, 30, 35, 60]] += 0.9
    voice = heard(round(frames * segment_time / 20), (0, round(frames * segment_time / 20)))
    found = window_path(probabilities, voice, np.ones(2, int), segment_time)
    assert found.places.tolist() == [[10, 30], [35, 60]] and found.past == 2


def test_windows_that_have_hardly_a_frame():
    """Fewer frames than a word lasts, and than all of them last."""
    for frames in (1, 2, 3, 6):
        probabilities = np.full((10, frames), 1 / frames)
        probabilities[:2] = 0
        probabilities[0, 0] = probabilities[1, -1] = 1
        path = window_path(probabilities, SILENT, np.full(5, 4), 20.0)
        assert path.places.tolist() == ([[0, 5]] if frames > 4 else [])
        assert path.scores.shape == path.fit.shape == (path.count,) and (path.evidence > 0) == (frames > 4)


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_runs_against_every_run(size):
    random = np.random.default_rng(size)
    for _ in range(40):
        values = random.normal(0, 1, size).round(1)
        first, past, total = best_run(values)
        best = max([0.0, *(values[a:b].sum() for a in range(size) for b in range(a + 1, size + 1))])
        assert total == pytest.approx(best) and values[first:past].sum() == pytest.approx(best)
        assert 0 <= first <= past <= size and (first < past) == (best > 1e-9)
    assert best_run(-np.ones(4))[2] == 0
