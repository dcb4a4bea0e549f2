"""Walks along whole recordings, asked of a simulated aligner: one that fits its text, and what a walk has to get
over by itself. Passages that only a text or only the audio has are in `test_search`."""

import numpy as np
import pytest
from simulated_aligner import RATE, Recording, SimulatedAligner, drive, off, speech, walked

from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.longform import walk as walk_module
from transformers_qwen3_asr.longform.rescoring import Allowance, Stretch
from transformers_qwen3_asr.longform.sound import Sound
from transformers_qwen3_asr.longform.walk import Walk
from transformers_qwen3_asr.pipelines.forced_alignment import BUDGET
from transformers_qwen3_asr.text.sentences import SENTENCE_END


def anything(seconds):
    """A recording of which nothing is in the text."""
    return Recording([], np.zeros((0, 2)), speech(int(3 * seconds)).sounds, seconds)


def with_words(recording, words):
    return Recording(words, np.full((len(words), 2), np.nan), recording.sounds, recording.duration)


@pytest.mark.parametrize(("seconds", "segment_time"), [(12.0, 20.0), (30.0, 20.0), (60.0, 80.0)])
def test_every_word_of_ten_minutes_finds_its_place(seconds, segment_time):
    recording = speech(1100, every=5)
    assert recording.duration > 600
    walk, aligner = walked(recording, seconds=seconds, segment_time=segment_time, budget=BUDGET)
    assert off(walk, recording).max() < 0.1 + (segment_time > 20) * segment_time / 1000  # as much as a short pause
    assert np.median(walk.scores) > 0.6 and walk.end <= recording.duration + segment_time / 1000
    assert aligner.heard <= 1.4 * recording.duration
    assert max(len(window.frames) for window in aligner.windows) <= 1000 * seconds / segment_time


@pytest.mark.parametrize(("every", "wrong"), [(2, 0), (15, 0), (10**6, 4)])
def test_pauses_often_rarely_and_never(every, wrong):
    recording = speech(400, seed=1, every=every)
    walk, aligner = walked(recording)
    # without a pause a window ends within a word, and the last ones may be pressed into it
    assert (off(walk, recording) > 0.1).sum() <= wrong and off(walk, recording).max() < 1
    assert aligner.heard < 1.9 * recording.duration


class EarlyStarts(SimulatedAligner):
    """Where it hears the word before a sentence, it takes the sentence's first one for the next before the pause."""

    def __init__(self, recording, firsts):
        super().__init__(recording)
        self.firsts = firsts

    def _found(self, window):
        found = super()._found(window)
        for word in (self.firsts - window.first).tolist():
            if word in found and word - 1 in found:
                end = found[word - 1][1]
                found[word] = end + 1, end + 6
        return found


@pytest.mark.parametrize("mark", [0, 1, SENTENCE_END])
def test_first_words_of_sentences_are_behind_their_pauses(mark):
    recording = speech(300, seed=2, pauses=(1.5, 4.0))
    firsts = 1 + np.flatnonzero(recording.times[1:, 0] - recording.times[:-1, 1] > 1)
    assert len(firsts) > 20
    breaks = np.zeros(300, int)
    breaks[firsts - 1] = mark
    aligner = EarlyStarts(recording, firsts)
    walk = Walk(recording.sound(), recording.words, 12.0, Allowance(6.0), "joint", True, breaks.tolist())
    drive(walk.run(), aligner.answer)
    wrong = np.isin(firsts, np.flatnonzero(off(walk, recording) > 1))
    # the text does not say where a sentence ends, or it does
    assert wrong.mean() > 0.9 if mark < SENTENCE_END else wrong.mean() < 0.1
    assert np.delete(off(walk, recording), firsts).max() < 0.3


def test_sentences_that_begin_behind_a_pause_change_no_windows():
    recording = speech(200, seed=2, pauses=(0.7, 1.5), every=3)
    gaps = np.append(recording.times[1:, 0] - recording.times[:-1, 1], 0.0)
    asked = []
    for breaks in (np.zeros(200, int), SENTENCE_END * (gaps > 0.7)):
        aligner = SimulatedAligner(recording)
        walk = Walk(recording.sound(), recording.words, 12.0, Allowance(6.0), "joint", False, breaks.tolist())
        drive(walk.run(), aligner.answer)
        asked.append([(window.first, window.past, window.frames[0]) for window in aligner.windows])
    assert asked[0] == asked[1] and len(asked[0]) > 5


def test_each_stretch_knows_where_its_words_may_pause(monkeypatch):
    recording = speech(200, seed=1)
    breaks = (np.random.default_rng(0).random(200) < 0.2).tolist()
    made = []

    def noted(*given):
        made.append(Stretch(*given))
        return made[-1]

    monkeypatch.setattr(walk_module, "Stretch", noted)
    walk = Walk(recording.sound(), recording.words, 12.0, Allowance(3.0), "joint", True, breaks)
    drive(walk.run(), SimulatedAligner(recording).answer)
    assert len(made) > 3 and sum(len(stretch.words) for stretch in made) == 200
    assert all(stretch.breaks == breaks[stretch.first :][: len(stretch.words)] for stretch in made)


def test_long_pauses_are_not_heard():
    recording = speech(200, seed=2, pauses=(5.0, 40.0), every=15)
    walk, aligner = walked(recording)
    assert off(walk, recording).max() < 0.1
    assert aligner.heard < 2 * (recording.sounds[:, 1] - recording.sounds[:, 0]).sum() < recording.duration


def test_nothing_is_asked_again_without_need():
    recording = speech(200, seed=3)
    again, once = walked(recording), walked(recording, again=False)
    assert off(once[0], recording).max() < 0.15
    assert len(once[1].windows) <= len(again[1].windows)
    argmax, _ = walked(recording, again=False, decoding="argmax")
    assert (off(argmax, recording) > 0.1).mean() < 0.02


def test_windows_that_are_not_understood_spoil_little():
    for seed in range(3):
        recording = speech(400, seed=seed)
        walk, _ = walked(recording, SimulatedAligner(recording, lost=0.15, seed=seed), budget=6.0)
        assert (off(walk, recording) > 0.5).mean() < 0.03


def test_words_here_and_there_that_are_not_said_or_lacking():
    recording = speech(500, seed=4)
    for place in range(30, 450, 40):
        recording = recording.unsaid(place, 1 + place % 2)
        recording = recording.lacking(place + 20, place + 21)
    walk, _ = walked(recording)
    errors = off(walk, recording)
    said = np.isfinite(errors)
    # a word beside may take some of the sound that is left over
    assert (errors[said] > 0.5).sum() <= 2 and (errors[said] > 0.1).mean() < 0.05
    assert np.median(walk.scores[~said]) < 0.5 < np.median(walk.scores[said])


def test_a_text_that_repeats_itself():
    """The aligner takes the words of one verse for those of another where a window begins there."""
    verse = speech(60, seed=5)
    times = np.concatenate([verse.times + k * (verse.duration + 0.5) for k in range(6)])
    recording = Recording(verse.words * 6, times, times, 6 * (verse.duration + 0.5))

    class Verses(SimulatedAligner):
        def _found(self, window):
            own, count = super()._found(window), len(verse.words)
            if own:
                return own
            for shift in (-1, 1, 2):
                moved = window.first + shift * count
                if 0 <= moved < len(self.times):
                    other = type(window)(window.frames, moved, min(window.past + shift * count, len(self.times)))
                    if found := super()._found(other):
                        return found
            return {}

    walk, _ = walked(recording, Verses(recording))
    assert off(walk, recording).max() < 0.1


def test_what_comes_behind_the_text_costs_nothing():
    recording = speech(300, seed=6)
    alone = walked(recording)[1].heard
    more = recording.later(300, 1200, speech(3000, seed=7).sounds)
    walk, aligner = walked(more)
    assert off(walk, more).max() < 0.1
    assert aligner.heard < alone + 60 and max(window.frames[-1] for window in aligner.windows) * 0.02 < (
        recording.duration + 60
    )
    assert walk.end < recording.duration + 60


def test_two_words_and_fifteen_minutes_of_silence():
    times = np.array([[880.0, 880.4], [880.4, 880.9]])
    said = Recording(["hello", "you"], times, times, 900.0)
    walk, aligner = walked(said)
    assert off(walk, said).max() < 0.1 and aligner.heard < 30
    nobody = Recording(["hello", "you"], np.full((2, 2), np.nan), np.zeros((0, 2)), 900.0)
    walk, aligner = walked(nobody)
    assert walk.scores.max() < 0.6 and aligner.heard < 30


@pytest.mark.parametrize("sounds", [np.array([[0.0, 900.0]]), speech(2000).sounds[:1700]])
def test_two_words_and_fifteen_minutes_of_something_else(sounds):
    nobody = Recording(["hello", "you"], np.full((2, 2), np.nan), sounds, 900.0)
    walk, aligner = walked(nobody)
    assert walk.scores.max() < 0.5
    assert aligner.heard <= 900.0


@pytest.mark.parametrize("budget", [1.0, 2.5, 6.0])
def test_a_text_of_something_else_ends_within_half_of_the_budget(budget):
    recording = anything(300.0)
    walk, aligner = walked(with_words(recording, speech(700, seed=8).words), budget=budget)
    assert np.quantile(walk.scores, 0.9) < 0.4
    assert aligner.heard <= max(1.0, budget / 2) * 300.0 + 12.0


def test_few_words_none_and_too_many():
    recording = speech(400, seed=9)
    few = Recording(recording.words[:3], recording.times[:3], recording.sounds, recording.duration)
    walk, aligner = walked(few)
    assert off(walk, few).max() < 0.1 and aligner.heard <= 30
    walk, aligner = walked(Recording([], np.zeros((0, 2)), recording.sounds, recording.duration))
    assert aligner.windows == [] and walk.times.shape == (0, 2)
    # thousands of words for a minute: all have a place, and those that no audio is left for score 0
    minute = speech(150, seed=10)
    many = minute.unsaid(150, 4000)
    walk, aligner = walked(many)
    assert off(walk, many)[:140].max() < 0.1
    assert np.median(walk.scores[150:]) < 0.4
    assert aligner.heard <= 3 * minute.duration + 12
    assert max(window.past - window.first for window in aligner.windows) < 300


def test_audio_that_turns_out_empty():
    class Empty(AudioStream):
        def read(self, start, stop):
            return np.zeros(0, np.float32)

    sound = Sound(Empty(np.ones(10, np.float32), RATE), 20.0)
    told = []
    walk = Walk(sound, ["a", "b"], 12.0, Allowance(3.0), "joint", True, [False] * 2, lambda *place: told.append(place))
    assert drive(walk.run(), lambda window: pytest.fail("there is nothing to hear")) is None
    assert walk.times.tolist() == [[0, 0], [0, 0]] and walk.scores.tolist() == [0, 0]
    assert told[-1] == (0.0, 2)


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.3, 1.0])
def test_audio_of_less_than_a_word(seconds):
    recording = Recording(["hello"] * 4, np.full((4, 2), np.nan), np.array([[0.0, seconds]]), seconds)
    walk, aligner = walked(recording)
    assert walk.times.max() <= seconds + 0.02 and aligner.heard < 10


def test_windows_are_asked_together_and_their_order_does_not_matter():
    recording = speech(300, seed=11).later(150, 40, speech(200, seed=12).sounds)
    rounds = []
    sound = recording.sound()
    walk = Walk(sound, recording.words, 12.0, Allowance(3.0), "joint", True, [False] * len(recording.words))
    drive(walk.run(), SimulatedAligner(recording).answer, rounds)
    other, _ = walked(recording)  # a new aligner, whose answers do not depend on what was asked before
    assert np.array_equal(walk.times, other.times) and np.array_equal(walk.scores, other.scores)
    assert max(rounds) > 1 and sum(rounds) > 1.3 * len(rounds)
