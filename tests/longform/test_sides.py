"""Words of long recordings that stand on the wrong side of a silence: what is asked about them, and who is moved."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from readings import RATE, READINGS, times_of
from test_refinement import evenly

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.longform.pause_excerpts import Found, Place, places
from transformers_qwen3_asr.longform.refining import OnDevice
from transformers_qwen3_asr.longform.side_choice import choose_sides
from transformers_qwen3_asr.longform.side_odds import AROUND, STAGES, across_odds, beside_odds, pauses


def test_pauses_have_what_is_around_them():
    times = evenly(40)
    times[20:] += 5.0
    ((border, pause),) = pauses(times, 40.0, 15.0).items()
    assert border == 20 and pause.words == range(20 - AROUND, 20 + AROUND)
    assert pause.before == pytest.approx((times[8, 0] - 0.05, times[19, 1] + (times[20, 0] - times[19, 1]) / 2))
    assert pause.behind == pytest.approx((pause.before[1], times[31, 1] + 0.05))
    assert pause.whole
    times[20:] += 5.0  # longer than what is heard of it
    pause = pauses(times, 40.0, 15.0)[20]
    assert pause.before[1] == pytest.approx(times[19, 1] + 3.0)
    assert pause.behind[0] == pytest.approx(times[20, 0] - 3.0)
    assert not pause.whole
    assert pauses(times, 40.0, 5.0)[20].words == range(17, 23)  # no more words than are heard
    assert pauses(times, 40.0, 3.2) == {}  # none
    assert pauses(evenly(20), 12.0, 15.0) == {} and pauses(np.zeros((0, 2)), 1.0, 15.0) == {}


def test_what_is_said_on_both_sides_decides():
    assert across_odds(np.array([0.9, 0.9]), np.array([0.1, 0.1])) < 0 == across_odds(np.ones(2) / 2, np.ones(2) / 2)
    assert across_odds(np.array([0.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(0.6 * np.log(1e4), rel=1e-3)
    # behind the pause the word and its neighbour score well, and without it the neighbour badly; before it the reverse
    behind, before = ([0.9, 0.9], [0.1]), ([0.8, 0.3, 0.1], [0.8, 0.9])
    assert beside_odds(before, behind) > max(stage.least for stage in STAGES)
    swapped = (behind[0][::-1], behind[1]), (before[0][::-1], before[1][::-1])
    assert beside_odds(*swapped) == pytest.approx(-beside_odds(before, behind))
    assert beside_odds(([0.5], []), ([0.5], [])) == 0  # words alone


def as_aligned(samples, words, times):
    return SimpleNamespace(
        stream=AudioStream(samples, RATE),
        words=words,
        item={"language": "English", "seconds": 30.0},
        seconds=len(samples) / RATE,
        times=times.copy(),
        scores=np.full(len(words), 0.9),
    )


def test_excerpts_are_cut_at_the_silence_and_not_at_the_words():
    """A word that is put on the wrong side is heard where it is said."""
    noise = np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32) * 0.1
    noise[8 * RATE : 12 * RATE] *= 1e-3
    times = np.stack([np.arange(10) * 0.5 + 4.5, np.arange(10) * 0.5 + 4.9], 1)
    times[6:] += 6.0  # the first behind the pause begins a second and a half after the silence
    recording = as_aligned(noise, ["word"] * 10, times)
    ((place,),) = places(recording, 200.0)
    assert place.border == 6 and (len(place.before) / RATE + place.since) == pytest.approx(9.0, abs=0.05)
    behind = place.excerpt_behind(6, 5)
    assert behind.start == pytest.approx(11.0, abs=0.05) and behind.words == range(6, 10)
    before = place.excerpt_before(7, 3)
    assert before.words == range(3, 7) and before.start == pytest.approx(times[3, 0] - 0.05)
    across = place.excerpt_across(3, 2)
    assert across.words == range(3, 8)
    # 0.6 s of the silence on each side
    assert across.middle == pytest.approx(8.6 - before.start, abs=0.05)
    assert len(across.samples) / RATE - across.middle == pytest.approx(times[8, 0] - 0.05 - 11.4, abs=0.05)
    loud = as_aligned(np.full(20 * RATE, 0.1, np.float32), ["word"] * 10, times)
    assert list(places(loud, 200.0)) == []  # nothing is known of a pause without a silence


def moved(times, border, word, there, left):
    recording = SimpleNamespace(times=times.copy(), scores=np.full(len(times), 0.9))
    place = Place(recording, border, range(len(times)), *[None] * 5)
    return place.move(word, there, left), recording


def test_words_that_are_moved_make_room():
    times = evenly(8)
    times[4:] += 5.0
    found = np.array([[7.1, 7.35], [7.4, 7.9], [8.0, 8.5]])
    there = Found(3, found, np.array([0.5, 0.6, 0.7]))
    none = Found(3, np.zeros((0, 2)), np.zeros(0))
    # from before the pause to behind it: there is room, and nothing else is touched
    words, recording = moved(times, 4, 3, there, none)
    assert words == {3} and recording.times[3].tolist() == [7.1, 7.35] and recording.scores[3] == 0.5
    assert np.array_equal(np.delete(recording.times, 3, 0), np.delete(times, 3, 0))
    # the word there begins too early, and gets what it had beside this one; the next stays
    there = Found(3, np.array([[7.2, 7.55], [7.65, 8.0], [8.0, 8.5]]), there.scores)
    words, recording = moved(times, 4, 3, there, none)
    assert words == {3, 4}
    assert recording.times[3:6].tolist() == [[7.2, 7.55], [7.65, 8.0], times[5].tolist()]
    assert recording.scores[3:6].tolist() == [0.5, 0.6, 0.9]
    # all that was heard there would be in the way of the next, or the next would go far
    for late in (Found(3, found + 1.0, there.scores), Found(3, found + np.array([[0], [3.0], [3.0]]), there.scores)):
        late.times[0] = 7.2, 7.5
        words, recording = moved(times, 4, 3, late, none)
        assert not words and np.array_equal(recording.times, times) and (recording.scores == 0.9).all()
    # the neighbour that is left gets its own time, unless that is elsewhere
    for shift, changes in ((0.1, True), (-3.0, False)):
        left = Found(1, times[1:3] + shift, np.array([0.3, 0.4]))
        words, recording = moved(times, 4, 3, Found(3, found, there.scores), left)
        assert words == ({2, 3} if changes else {3})
        assert np.array_equal(recording.times[2], times[2] + (shift if changes else 0))
        assert recording.scores[2] == (0.4 if changes else 0.9)
    # and from behind it to before it
    earlier = Found(3, np.array([[2.0, 2.3], [2.4, 2.9]]), np.array([0.5, 0.6]))
    words, recording = moved(times, 4, 4, earlier, none)
    assert words == {4} and recording.times[4].tolist() == [2.4, 2.9]
    assert recording.times[3].tolist() == times[3].tolist()
    # where the neighbour that it leaves is put ahead of it, there is no room
    alone = np.array([[0.0, 0.4], [0.5, 1.0], [5.0, 5.2], [5.25, 5.4], [8.0, 8.5]])
    words, recording = moved(
        alone,
        2,
        2,
        Found(0, np.array([[0.0, 0.4], [0.5, 1.0], [5.5, 6.1]]), np.full(3, 0.8)),
        Found(3, np.array([[7.6, 7.9], [8.0, 8.5]]), np.full(2, 0.8)),
    )
    assert not words and np.array_equal(recording.times, alone)


def at_random(random, segment_time=20.0):
    """Answers of a model that is sure of anything."""

    def hear(items):
        for item in items:
            seconds, slots = len(item["audio"]) / RATE, 2 * len(item["words"])
            logits = random.normal(0, 1, (slots, 1500)).astype(np.float32)
            at = np.sort(random.integers(0, max(1, int(1000 * seconds / segment_time)), slots))
            logits[np.arange(slots), at] += 12.0
            item["logits"] = OnDevice.of_audio(torch.from_numpy(logits), seconds, segment_time)
        return items

    return hear


def test_words_keep_their_order_whatever_is_said():
    changed = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        seconds, count = random.uniform(10, 30), int(random.integers(2, 30))
        samples = random.normal(0, 0.1, int(seconds * RATE)).astype(np.float32)
        for begin in random.uniform(0, seconds, 3):  # silences, in which words may lie
            samples[int(begin * RATE) : int((begin + random.uniform(1, 8)) * RATE)] *= 1e-3
        lengths = random.choice([0.02, 0.2, 0.4], count)
        starts = np.cumsum(random.choice([0, 0, 0.05, 1.2, 2, 5], count) + np.append(0, lengths[:-1]))
        times = np.minimum(np.stack([starts, starts + lengths], 1), seconds)
        recording = as_aligned(samples, ["word"] * count, times)
        choose_sides(recording, at_random(random), 20.0, 8)
        assert (np.diff(recording.times.ravel()) >= -1e-9).all()
        assert recording.times.min() >= 0 and recording.times.max() <= seconds + 1e-6
        changed.append(not np.array_equal(recording.times, times))
    assert sum(changed) > 2


def sided(pipe, samples, words, times):
    """Times of a recording after its sides were chosen."""
    recording = as_aligned(samples, words, times)
    choose_sides(recording, pipe._heard, pipe.model.config.timestamp_segment_time, 8)
    assert (np.diff(recording.times.ravel()) >= 0).all()
    return recording.times


def test_words_come_back_over_a_silence(pipe):
    """Of a reading that is cut open between two words, with the one or the other put on the wrong side."""
    path, text = READINGS[0]
    samples, words = load_audio(path), text.split()
    times = times_of(pipe(samples, text=words))
    silence = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32) * 1e-4
    back = []
    for behind in range(2, len(words) - 2, 4):
        cut = round((times[behind - 1, 1] + times[behind, 0]) / 2 * RATE)
        longer = np.concatenate([samples[:cut], silence, samples[cut:]])
        expected = times.copy()
        expected[behind:] += 4.0
        assert np.abs(sided(pipe, longer, words, expected) - expected).max() < 0.3
        early, late = expected.copy(), expected.copy()
        early[behind] = expected[behind - 1, 1] + [0.0, 0.2]
        late[behind - 1] = expected[behind, 0] - [0.2, 0.0]
        for place, wrong in ((behind, early), (behind - 1, late)):
            found = sided(pipe, longer, words, wrong)
            back.append(np.abs(found[place] - expected[place]).max() < 0.3)
            assert back[-1] or np.array_equal(found, wrong)
    assert np.mean(back) > 0.8


def test_words_alone_between_pauses_keep_their_order(pipe):
    """They are asked about on three sides."""
    path, text = READINGS[0]
    samples, words = load_audio(path), text.split()
    times = times_of(pipe(samples, text=words))
    random = np.random.default_rng(0)
    silence, burst = random.standard_normal(2 * RATE) * 1e-4, random.standard_normal(RATE * 2 // 5) * 0.1
    away, back = [], []
    for behind in range(3, len(words) - 3, 3):
        cut = round((times[behind - 1, 1] + times[behind, 0]) / 2 * RATE)
        longer = np.concatenate([samples[:cut], silence, burst, silence, samples[cut:]]).astype(np.float32)
        expected = times.copy()
        expected[behind:] += 4.4
        at = cut / RATE + 2.0
        for word in (behind - 1, behind):
            wrong = expected.copy()
            wrong[word] = at, at + 0.4
            found = sided(pipe, longer, words, wrong)
            assert (found[:, 1] > found[:, 0]).all()
            away.append(np.abs(found - expected).max(1) > np.abs(wrong - expected).max(1) + 0.5)
            back.append(np.abs(found[word] - expected[word]).max() < 0.3)
    assert not np.any(away)
    assert np.mean(back) > 0.6
