"""What only the text or only the audio has is stepped over, and behind it all is found again. Asked of a simulated
aligner, which gets over a second of foreign sound and three words that are not said."""

import numpy as np
import pytest
from simulated_aligner import Recording, SimulatedAligner, off, speech, walked

from transformers_qwen3_asr.longform.constants import AROUND, EVIDENCE, EVIDENCE_AT_FIRST, FITS
from transformers_qwen3_asr.longform.rescoring import Allowance, Window
from transformers_qwen3_asr.longform.search import Search, _with_next
from transformers_qwen3_asr.longform.window_path import WindowPath, best_run
from transformers_qwen3_asr.longform.windows import Hypothesis, Listener


def lost(walk, recording, by=0.1):
    """The words that are said and are off by more."""
    return np.flatnonzero(off(walk, recording) > by)


def others(seconds, seed=90):
    return speech(int(4 * seconds), seed=seed).sounds


def checked(recording, budget, **more):
    walk, aligner = walked(recording, budget=budget, **more)
    assert aligner.heard <= budget * recording.duration + 12.0
    return walk, aligner


@pytest.mark.parametrize("seed", range(2))
def test_forty_words_that_the_text_lacks(seed):
    recording = speech(500, seed=seed).lacking(250, 290)
    walk, _ = checked(recording, 4.0)
    assert len(lost(walk, recording)) <= 3
    # none is stretched over what is not in the text
    assert (walk.times[:, 1] - walk.times[:, 0]).max() < 2


@pytest.mark.parametrize("seed", range(2))
def test_forty_words_that_nobody_says(seed):
    recording = speech(500, seed=seed).unsaid(300, 40)
    walk, _ = checked(recording, 4.0)
    assert len(lost(walk, recording)) <= 4
    assert np.median(walk.scores[300:340]) < 0.4 < 0.7 < np.median(walk.scores)


@pytest.mark.parametrize("place", [0, 200, 447])
@pytest.mark.parametrize("kind", ["noise", "speech"])
def test_a_minute_of_something_else(place, kind):
    recording = speech(450, seed=4).later(place, 60, others(60) if kind == "speech" else None)
    walk, _ = checked(recording, 8.0)
    assert len(lost(walk, recording)) <= 3
    assert np.diff(walk.times)[walk.scores > 0.4].max() < 2


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_what_comes_first_is_stepped_over(seed):
    """A minute and a half without text, or a minute of text that nobody says, before five minutes of both."""
    for recording in (speech(600, seed=seed).later(0, 90, others(90)), speech(600, seed=seed).unsaid(0, 150)):
        walk, _ = checked(recording, 6.0)
        assert len(lost(walk, recording)) <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_short_recordings_may_take_the_whole_budget(seed):
    """A search takes as long as in long ones."""
    recording = speech(150, seed=seed).unsaid(0, 60)
    walk, aligner = checked(recording, 6.0)
    assert len(lost(walk, recording)) <= 2
    assert aligner.heard > 3.2 * recording.duration


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_text_may_begin_after_minutes(seed):
    """Where half of the budget is used up, and nothing was found yet, the first word is still waited for."""
    sounds = others(240)
    recording = speech(600, seed=seed).later(0, 240, sounds[sounds[:, 1] < 238.5])
    walk, aligner = walked(recording, budget=6.0)
    assert len(lost(walk, recording)) <= 1
    assert 2.2 * recording.duration < aligner.heard < 3.5 * recording.duration


@pytest.mark.parametrize("word", [0, 100])
def test_what_a_search_steps_over_first(word):
    """Of four windows three step over audio or text alone. Behind audio the next word is one of three: the one that a
    window begins with, that behind the words that an anchor leaves, or that behind those that fit. At the beginning
    words fit by chance only, and so may those do that are behind others that do not."""
    recording = speech(400, seed=3)
    listener = Listener(recording.sound(), recording.words, 12.0, Allowance(6.0), [0] * len(recording.words))
    frame = int(50 * recording.times[word, 0])
    listener.sound.reach(frame + 3000)
    places = np.arange(12).reshape(6, 2) * 20
    for first in (0, 3):
        fit = np.zeros(6)
        fit[first : first + 2] = 0.8
        path = WindowPath(6, places, fit, fit, *best_run(fit - FITS))
        window = Window(np.arange(frame, frame + 600), word, word + 30)
        lost = Hypothesis(window, np.zeros((60, 600)), path, frame + 600)
        assert (lost.first, lost.past) == (word + first, word + first + 2)
        _, *asked = Search(listener)._places(lost, frame + 3000, None)
        one, two = [place for some in asked[:15] for place in some[:3]], [some[3] for some in asked[:15]]
        begin = frame + 60 if word and not first else frame  # behind the first words, if they fit
        assert {to for at, to in one if at != begin} == ({word, lost.past, word + AROUND} if word else {0})
        assert {at for at, to in one if to > word + AROUND and to != lost.past} == {begin}
        assert all(at > frame and to >= word + AROUND for at, to in two)


def test_of_two_that_fit_together_more_is_asked():
    """Half as much evidence of a window counts together with that of one that has the next words; of hundreds of
    windows two are so by chance sooner than one is all alone."""
    recording = speech(400, seed=3)
    search = Search(Listener(recording.sound(), recording.words, 12.0, Allowance(6.0), [0] * len(recording.words)))

    def hyp(frame, word, evidence):
        places, fit = np.arange(6).reshape(3, 2) * 20, np.full(3, FITS + evidence / 3 + 1e-6)
        path = WindowPath(3, places, fit, fit, *best_run(fit - FITS))
        window = Window(np.arange(frame, frame + 200), word, word + 8)
        return Hypothesis(window, np.zeros((16, 200)), path, frame + 200)

    def believed(lost, *hyps):
        return _with_next(hyps[0], hyps) >= search._needed(lost, hyps[0])

    lost, start = hyp(5000, 100, 0.3), hyp(0, 0, 0.3)
    assert believed(lost, hyp(6000, 100, EVIDENCE)) and not believed(start, hyp(6000, 0, EVIDENCE))
    for evidence in (EVIDENCE / 2, 0.8, 0.95):  # two of them are as much as one that is believed
        assert not believed(lost, hyp(6000, 100, evidence), hyp(6200, 103, evidence))
    together = hyp(6000, 100, EVIDENCE_AT_FIRST / 2), hyp(6200, 103, EVIDENCE_AT_FIRST / 2)
    assert believed(lost, *together) and not believed(lost, together[0], hyp(5000, 103, 1.4))
    assert not believed(lost, hyp(6000, 100, 0.7), hyp(6200, 103, 1.4))


def test_a_posterior_of_words_up_to_one():
    """None where that is before the window, which a search may have gone back behind."""
    fit = np.full(3, 0.9)
    path = WindowPath(3, np.arange(6).reshape(3, 2), fit, fit, *best_run(fit - FITS))
    hyp = Hypothesis(Window(np.arange(50), 10, 14), np.ones((8, 50)), path, 50)
    for past, count in ((None, 3), (99, 3), (12, 2), (10, 0), (4, 0)):
        known = hyp.posterior(past)
        assert (known.window.first, known.window.past) == (10, 10 + count)
        assert len(known.probabilities) == 2 * count and len(known.weights) == count


def test_both_at_the_same_place():
    """Other words are said than those of the text, and not as many."""
    recording = speech(600, seed=5).later(300, 20, others(20)).unsaid(300, 30)
    walk, _ = checked(recording, 6.0)
    assert len(lost(walk, recording)) <= 4


def test_several_passages_in_a_row():
    recording = speech(1200, seed=6)
    for place, seconds in ((900, 20), (620, 15), (600, 25), (580, 15), (200, 30)):
        recording = recording.later(place, seconds, others(seconds, seed=place))
    walk, _ = checked(recording, 4.0)
    # of the few words between two passages some may be lost, and nothing before or behind
    assert {*lost(walk, recording)} <= {199, *range(578, 623), 899, 900}
    assert len(lost(walk, recording)) <= 25


def test_a_chapter_that_nobody_says():
    """A minute of text."""
    recording = speech(700, seed=7).unsaid(400, 150)
    walk, _ = checked(recording, 4.0)
    assert len(lost(walk, recording)) <= 10
    assert np.median(walk.scores[400:550]) < 0.3 and np.median(walk.scores[550:]) > 0.6


def test_a_chapter_that_the_text_lacks():
    """Four minutes of audio."""
    recording = speech(1300, seed=8).lacking(400, 1000)
    walk, _ = checked(recording, 6.0)
    assert len(lost(walk, recording)) <= 10


def test_a_few_words_elsewhere_are_not_believed():
    """In what the text lacks words of it are said, too, but others follow."""
    recording = speech(600, seed=9).later(300, 60, others(60))
    begin = recording.times[299, 1] + 20.0
    decoy = np.full_like(recording.times, np.nan)
    decoy[300:303] = recording.times[300:303] - recording.times[300, 0] + begin
    sounds = recording.sounds[(recording.sounds[:, 1] < begin - 0.3) | (recording.sounds[:, 0] > begin + 3.0)]
    sounds = np.concatenate([sounds, decoy[300:303]])
    heard = Recording(recording.words, recording.times, sounds[np.argsort(sounds[:, 0])], recording.duration)
    real = SimulatedAligner(heard)
    other = SimulatedAligner(Recording(heard.words, decoy, heard.sounds, heard.duration))
    told = []

    class Both:
        heard = 0.0

        def answer(self, window):
            begins, ends = window.frames[0] * 0.02, window.frames[-1] * 0.02
            decoyed = begins < begin < ends and window.first <= 300 and ends < recording.times[300, 0]
            told.append(decoyed)
            aligner = other if decoyed else real
            answer = aligner.answer(window)
            Both.heard = real.heard + other.heard
            return answer

    walk, _ = checked(heard, 6.0, aligner=Both())
    assert any(told)
    assert len(lost(walk, heard)) <= 5


def test_without_an_allowance_nothing_is_searched():
    recording = speech(400, seed=10).later(200, 30, others(30))
    walk, aligner = walked(recording, budget=1.0)
    assert aligner.heard <= 1.3 * recording.duration  # windows overlap
    assert len(lost(walk, recording)) < 300  # what comes before is where it is


def test_more_allowance_never_costs_words():
    recording = speech(400, seed=11).later(300, 30, others(30)).lacking(150, 170).unsaid(80, 20)
    counts = [len(lost(walked(recording, budget=budget)[0], recording)) for budget in (1.0, 3.0, 6.0)]
    assert counts[0] >= counts[1] >= counts[2] and counts[2] <= 8


def test_what_the_budget_does_not_reach_is_said_to_be_doubtful():
    """Half of the recording is of something else, and so is the text there."""
    said = speech(800, seed=12)
    times = said.times.copy()
    times[200:600] = np.nan
    recording = Recording(said.words, times, said.sounds, said.duration)
    walk, _ = checked(recording, 4.0)
    assert np.median(walk.scores[210:590]) < 0.3
    assert len(lost(walk, recording)) == 0 or np.median(walk.scores[lost(walk, recording)]) < 0.3
