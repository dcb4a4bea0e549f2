"""Words of which several windows know something, and words in doubt that are asked for again."""

from dataclasses import replace

import numpy as np
import pytest
from readings import RATE, READINGS, joined, times_of
from simulated_aligner import drive

from transformers_qwen3_asr.alignment import decoding
from transformers_qwen3_asr.alignment.durations import SPOKEN, letters
from transformers_qwen3_asr.alignment.untranscribed import FRAME
from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.evaluation.comparing import evaluate_aligner
from transformers_qwen3_asr.longform import rescoring
from transformers_qwen3_asr.longform.rescoring import Allowance, Posterior, Stretch, Window, rescore, word_weights
from transformers_qwen3_asr.text.sentences import SENTENCE_END


def evenly(count, each=0.5):
    """Times of `count` words of `each` seconds, with a tenth of a second between them."""
    starts = np.arange(count) * (each + 0.1)
    return np.stack([starts, starts + each], 1)


def stretch_of(words, seconds, first=0, frames=None, **more):
    """A stretch of which nothing is known, with sound all over."""
    frames = np.arange(round(50 * seconds)) if frames is None else frames
    voice = VoiceActivity(np.ones(len(frames), bool), np.zeros(len(frames), bool))
    return Stretch(frames, first, ["words"] * words, voice, 20.0, **more)


def peaks(times, frames, share=0.9):
    """Probabilities of words at `times` in seconds of `frames` that follow each other."""
    answer = np.full((2 * len(times), frames), (1 - share) / frames)
    answer[np.arange(2 * len(times)), np.round(50 * times.ravel()).astype(int)] += share
    return answer


def spans(windows):
    return [(window.first, window.past) for window in windows]


def test_a_mixture_is_the_weighted_mean_of_what_was_heard():
    random = np.random.default_rng(0)
    stretch = stretch_of(3, 2.0, first=5, frames=np.r_[100:140, 160:220])

    def posterior(frames, first, past):
        answer = random.dirichlet(np.ones(len(frames)), 2 * (past - first))
        return Posterior(Window(frames, first, past), answer, random.uniform(0.1, 1, past - first))

    # of more audio and words than the stretch has, of some of them, and of none
    wide = posterior(np.r_[90:140, 160:230], 3, 9)
    narrow = posterior(np.r_[130:140, 160:170], 6, 7)
    stretch.posteriors += [wide, narrow, posterior(np.arange(300, 320), 5, 8), posterior(np.arange(100, 140), 9, 12)]
    expected = np.repeat(wide.weights[2:5], 2)[:, None] * wide.probabilities[4:10, 10:110]
    expected[2:4, 30:50] += narrow.weights[0] * narrow.probabilities
    assert np.allclose(stretch.mixture(), expected, atol=1e-9)


def test_hearings_that_are_sure_decide():
    words, frames = 4, 150
    right, wrong = evenly(words), evenly(words) + 0.5
    for sure, expected in ((0.9, right), (0.02, wrong)):
        stretch = stretch_of(words, 3.0)
        window = Window(stretch.frames, 0, words)
        stretch.posteriors += [Posterior(window, peaks(wrong, frames), np.full(words, 0.2))]
        stretch.posteriors += [Posterior(window, peaks(right, frames), np.full(words, sure))]
        assert np.abs(stretch.decoded()[0] - expected).max() < 0.02


def test_words_beside_those_that_were_not_found_are_not_believed():
    scores = np.array([0.9, 0.9, 0.9, 0.01, 0.9])
    found = word_weights(scores)
    assert found[:2] == pytest.approx([0.81, 0.81], abs=0.01)
    assert found[2] < 0.1 and found[4] < 0.1 and found[3] < 0.1
    assert word_weights(np.zeros(2)).min() > 0 and len(word_weights(np.zeros(0))) == 0


def test_windows_lie_around_doubtful_words_and_at_both_ends_of_where_they_may_be():
    times, scores = evenly(30), np.full(30, 0.9)
    times[16:] += 4.0  # behind the run there is room for more than its words
    stretch = stretch_of(30, 22.0)
    assert stretch.doubtful(times, scores, False, False) == stretch.doubtful(times, scores, True, False) == []
    scores[12:16] = 0.6, 0.1, 0.6, 0.6  # not sure, one of them in doubt
    around, need = rescoring.AROUND, 4 * SPOKEN / 1000 * letters("words")
    (whole,) = stretch.doubtful(times, scores, False, False)
    assert spans([whole]) == [(12 - around, 16 + around)]
    first, last = (times[7, 1] + times[8, 0]) / 2, (times[19, 1] + times[20, 0]) / 2
    assert whole.frames[[0, -1]] * 0.02 == pytest.approx([first, last], abs=0.021)
    found = stretch.doubtful(times, scores, True, False)
    assert spans(found) == [(12, 16 + around), (12 - around, 16)] * 3
    lengths = [rescoring.TEMPO * need, need, need / rescoring.TEMPO]
    assert [times[16, 0] - one.frames[0] * 0.02 for one in found[::2]] == pytest.approx(lengths, abs=0.021)
    assert [(one.frames[-1] + 1) * 0.02 - times[11, 1] for one in found[1::2]] == pytest.approx(lengths, abs=0.021)
    assert found[0].frames[-1] == whole.frames[-1] and found[1].frames[0] == whole.frames[0]
    # silence is no room: as much more of the recording is heard
    stretch.voice.silence[round(times[15, 1] / FRAME) : round(times[16, 0] / FRAME)] = True
    begins = [one.frames[0] * 0.02 for one in stretch.doubtful(times, scores, True, False)[::2]]
    assert begins == pytest.approx([times[15, 1] - length for length in lengths if length < 0.8 * 2.5], abs=0.041)
    # a sure word parts two runs
    scores[[14, 15]] = 0.9, 0.1
    assert spans(stretch.doubtful(times, scores, False, False)) == [(8, 18), (11, 20)]
    # near one in doubt there may be a run that has none
    scores[17:20] = 0.5
    assert spans(stretch.doubtful(times, scores, False, False)) == [(8, 18), (11, 20)]
    assert spans(stretch.doubtful(times, scores, False, True))[-1] == (13, 24)
    scores[17:20] = 0.9
    # and there is a run without any in doubt, or one that is far from those
    assert stretch.doubtful(times, scores.clip(0.5), True, False) == []
    scores = np.full(30, 0.6)
    scores[3] = 0.1
    assert spans(stretch.doubtful(times, scores, False, False)) == [(0, 3 + around + 1 + around)]


def test_words_that_are_not_sure_are_in_doubt_together():
    """As one word in doubt is, as far below `SURE` as several are if that is added up."""
    stretch, times, scores = stretch_of(30, 22.0), evenly(30), np.full(30, 0.9)
    times[16:] += 4.0
    short = rescoring.SURE - rescoring.DOUBTFUL
    for below, asked in ((short / 4 - 0.01, []), (short / 4 + 0.01, [(12 - 4, 16 + 4)])):
        scores[12:16] = rescoring.SURE - below
        assert spans(stretch.doubtful(times, scores, False, True)) == asked
        assert spans(stretch.doubtful(times, scores, True, True)) == [(12, 16 + 4), (12 - 4, 16)] * 3 * len(asked)
        for cut in (False, True):
            assert stretch.doubtful(times, scores, cut, False) == []
    # what is near a word in doubt is asked for by itself, too: the whole run may be too long for a window
    scores[3:] = 0.6
    scores[3] = 0.1
    near, whole = (3 - 3, 3 + 4 + 1 + 4), (3 - 3, 30)
    assert spans(stretch.doubtful(times, scores, False, True)) == [near, whole]
    stretch.longest = 12.0
    assert spans(stretch.doubtful(times, scores, False, True)) == [near]


def test_words_may_pause_behind_punctuation():
    """The second word is before the silence or behind it; the model says the former, by a little."""
    found = []
    for breaks in (None, [True, False, False]):
        stretch = stretch_of(3, 3.0, breaks=breaks)
        stretch.voice.speech[:], stretch.voice.silence[55:110] = False, True
        answer = peaks(np.array([[0.2, 0.6], [0.6, 1.0], [2.6, 2.96]]), 150, 0.5)
        answer[2, 115], answer[3, 130] = 0.2, 0.2
        stretch.add(Window(stretch.frames, 0, 3), answer)
        found.append(stretch.decoded()[0][1])
    assert np.array(found) == pytest.approx(np.array([[0.6, 1.0], [2.3, 2.6]]), abs=0.011)


def before_a_pause(pause=7, seconds=1.0, words=20):
    """Times of words with a pause before one of them, and breaks: a sentence ends behind the fifth."""
    times = evenly(words)
    times[pause:] += seconds - 0.1
    return times, SENTENCE_END * (np.arange(words) == 4)


def test_first_words_of_a_sentence_are_asked_for_from_the_pause_behind_them():
    times, breaks = before_a_pause()
    stretch = stretch_of(20, 15.0, first=50, breaks=breaks)
    (window,) = stretch.sentence_starts(times)
    assert spans([window]) == [(55, 57 + 2 * rescoring.AROUND)]  # what is asked for, and some that are known
    begin, end = times[6, 1] + rescoring.PAUSE / 2, times[14, 1] + rescoring.PAUSE / 2
    assert window.frames[[0, -1]] * 0.02 == pytest.approx([begin, end], abs=0.021)
    # of a longer pause, or what is taken for one, as much as the two words need that may be behind it
    later, _ = before_a_pause(seconds=3.0)
    (window,) = stretch.sentence_starts(later)
    need = rescoring.TEMPO * 10 * SPOKEN / 1000 + rescoring.PAUSE / 2
    assert window.frames[0] * 0.02 == pytest.approx(later[7, 0] - need, abs=0.021)
    (window,) = stretch.sentence_starts(times)
    # no question is asked twice, and where the words end there are fewer
    stretch.add(window, np.full((20, len(window.frames)), 1 / len(window.frames)), True)
    assert stretch.sentence_starts(times) == []
    assert spans(stretch_of(9, 8.0, breaks=breaks[:9]).sentence_starts(times[:9])) == [(5, 9)]


def test_sentences_are_not_asked_for_where_pauses_are_as_expected():
    times, breaks = before_a_pause()
    # nothing is known of breaks, or there is none, only a comma, or one behind the last word only
    for known in (None, np.zeros(20, int), breaks == SENTENCE_END, SENTENCE_END * (np.arange(20) == 19)):
        assert stretch_of(20, 15.0, breaks=known).sentence_starts(times) == []
    times, breaks = before_a_pause(pause=5 + rescoring.AROUND)
    assert len(stretch_of(20, 15.0, breaks=breaks).sentence_starts(times)) == 1
    # the pause is at the break, before it, too far behind it or too short
    for pause, seconds in ((5, 1.0), (4, 1.0), (6 + rescoring.AROUND, 1.0), (7, 1.5 * rescoring.PAUSE)):
        times, breaks = before_a_pause(pause, seconds)
        assert stretch_of(20, 15.0, breaks=breaks).sentence_starts(times) == []
    times, breaks = before_a_pause()
    times[5:] += rescoring.PAUSE  # there is one at the break, too
    assert stretch_of(20, 15.0, breaks=breaks).sentence_starts(times) == []


def test_pauses_behind_first_words_are_as_long_as_in_the_recording():
    """The model hears only their edges."""
    times, breaks = before_a_pause(seconds=1.2 * rescoring.PAUSE)
    middle = round(50 * (times[7, 0] - rescoring.PAUSE / 2))
    for left_out in (0, 100):
        frames = np.r_[:middle, middle + left_out : 750]
        asked = stretch_of(20, 15.0, frames=frames, breaks=breaks).sentence_starts(times)
        assert len(asked) == (left_out > 0)


def test_first_words_that_were_asked_for_count_as_much_as_all_other_hearings():
    wrong, breaks = before_a_pause(seconds=3.0)
    right = wrong.copy()
    right[5:8] = right[7, 0] + np.array([[0.0, 0.2], [0.2, 0.4], [0.4, 0.5]])  # behind the pause

    def told(window):
        times = right[window.first : window.past] - window.frames[0] * 0.02
        return peaks(times.clip(0, (len(window.frames) - 1) * 0.02), len(window.frames))

    for count in (1, 3):
        stretch, asked = stretch_of(20, 15.0, breaks=breaks), []
        window = Window(stretch.frames, 0, 20)
        stretch.posteriors += [Posterior(window, peaks(wrong, 750), np.full(20, 0.6))] * count
        assert np.abs(stretch.decoded()[0] - wrong).max() < 0.03
        times, _ = drive(rescore(stretch, Allowance(9.0, 30.0, 15.0, 15.0)), noted(told, asked))
        assert spans(asked) == [(5, 15)]
        assert np.abs(times - right).max() < 0.03
        # also those that come behind them
        for _ in range(3):
            stretch.add(window, peaks(wrong, 750))
        assert np.abs(stretch.decoded()[0] - right).max() < 0.03


def test_first_words_are_asked_for_once_more_where_words_in_doubt_were_put_before_the_pause():
    """At first they are right, but in doubt. Asked for again with those before them, they are mistaken."""
    wrong, breaks = before_a_pause(seconds=3.0)
    right = wrong.copy()
    right[5:8] = right[7, 0] + np.array([[0.0, 0.2], [0.2, 0.4], [0.4, 0.5]])

    def told(window):
        times = right if window.first == 5 and window.frames[0] * 0.02 > right[4, 1] + 1 else wrong
        inside = (times[window.first : window.past] - window.frames[0] * 0.02).clip(
            0, len(window.frames) * 0.02 - 0.02
        )
        return peaks(inside, len(window.frames))

    stretch, asked = stretch_of(20, 15.0, breaks=breaks), []
    answer = peaks(right, 750)
    answer[10:14] = peaks(right[5:7], 750, 0.15)
    stretch.posteriors.append(Posterior(Window(stretch.frames, 0, 20), answer, np.full(20, 0.5)))
    times, _ = drive(rescore(stretch, Allowance(9.0, 0.0, 15.0, 15.0)), noted(told, asked))
    assert spans(asked)[0] != (5, 15) and spans(asked)[-1] == (5, 15)
    assert np.abs(times - right).max() < 0.03


def test_windows_of_a_stretch_are_the_recordings_frames_and_words():
    frames = np.r_[1000:1200, 1500:1700]
    stretch = stretch_of(12, 8.0, first=70, frames=frames)
    scores = np.full(12, 0.9)
    scores[6] = 0.1
    windows = stretch.doubtful(evenly(12), scores, False, False) + stretch.doubtful(evenly(12), scores, True, False)
    assert len(windows) > 1
    for window in windows:
        assert 70 <= window.first < window.past <= 82
        assert np.isin(window.frames, frames).all() and (np.diff(window.frames) > 0).all()


def test_windows_of_short_and_hopeless_recordings():
    low, clip = np.full(3, 0.1), stretch_of(3, 1.8)
    (whole,) = clip.doubtful(evenly(3), low, False, False)
    assert spans([whole]) == [(0, 3)] and len(whole.frames) == 90
    # no question is asked twice
    clip.posteriors.append(Posterior(Window(clip.frames, 0, 3), peaks(evenly(3), 90), np.ones(3)))
    assert clip.doubtful(evenly(3), low, False, False) == []
    assert all(len(window.frames) < 85 for window in clip.doubtful(evenly(3), low, True, False))
    # of more words than can be said, the first and the last that can
    crowded = stretch_of(40, 3.0)
    head, tail = crowded.doubtful(evenly(40, each=0.05) * 0.5, np.full(40, 0.1), False, False)
    most = rescoring.TEMPO * 3.0 / (letters("words") * SPOKEN / 1000)
    assert head.first == 0 and head.past == pytest.approx(most, abs=1) and tail.past == 40
    assert tail.past - tail.first == pytest.approx(most, abs=1) and len(head.frames) == len(tail.frames) == 150
    # one at least
    long = replace(stretch_of(2, 0.6), words=["internationalisation"] * 2)
    assert spans(long.doubtful(evenly(2, each=0.2), np.full(2, 0.1), False, False)) == [(0, 1), (1, 2)]
    # more words than anybody says, and more audio than a window is worth
    crowded = stretch_of(500, 2.0)
    assert all(w.past - w.first <= 15 * 2.0 for w in crowded.doubtful(np.zeros((500, 2)), np.zeros(500), True, False))
    for longest, most in ((12.0, 10), (30.0, 40), (float("inf"), 190)):  # four words on either side are asked for, too
        long = stretch_of(200, 120.0, longest=longest)
        for count in (10, 40, 190):
            scores = np.repeat([0.9, 0.1, 0.9], [5, count, 195 - count])
            asked = long.doubtful(evenly(200), scores, False, False)
            assert bool(asked) == (count <= most)
            assert all(len(window.frames) * 0.02 <= longest for window in asked)


def test_times_go_back_into_a_recording_from_which_pauses_were_left_out():
    frames = np.r_[100:150, 300:400]  # a second at 2 s, two at 6 s
    stretch = stretch_of(5, 3.0, frames=frames)
    times = np.array([[0.0, 0.5], [0.5, 1.0], [1.0, 1.5], [0.4, 1.1], [0.9, 1.6]])
    expected = [[2.0, 2.5], [2.5, 3.0], [6.0, 6.5], [2.4, 3.0], [6.0, 6.6]]  # cut to where more of it is
    assert stretch.seconds(times) == pytest.approx(np.array(expected), abs=1e-6)
    assert stretch.seconds(np.array([[2.98, 3.0]])) == pytest.approx(np.array([[7.98, 8.0]]))
    # what decoding makes finer than a frame stays so
    assert stretch.seconds(np.array([[0.013, 1.017]]))[0, 0] == pytest.approx(2.013)
    every = np.sort(np.random.default_rng(0).uniform(0, 3, (40, 2)), 1)
    found = stretch.seconds(every)
    assert (found[:, 1] >= found[:, 0]).all()
    inside = (np.floor(50 * found) / 50)[..., None]
    assert ((inside >= 2 - 1e-6) & (inside <= 3) | (inside >= 6 - 1e-6) & (inside <= 8)).all()


def doubted(words=20):
    """A stretch of which a word was not understood, and an aligner that knows it."""
    stretch = stretch_of(words, 0.6 * words)
    answer = peaks(evenly(words), len(stretch.frames))
    answer[20:22] = 1 / len(stretch.frames)
    answer[22] = 1 / len(stretch.frames)
    window = Window(stretch.frames, 0, words)
    scores = np.full(words, 0.9)
    scores[10:12] = 0.01
    stretch.posteriors.append(Posterior(window, answer, word_weights(scores)))

    def told(window):
        times = evenly(words)[window.first : window.past] - window.frames[0] * 0.02
        places = np.round(50 * times.ravel())
        answer = np.full((len(places), len(window.frames)), 0.1 / len(window.frames))
        inside = (places >= 0) & (places < len(window.frames))
        answer[np.flatnonzero(inside), places[inside].astype(int)] += 0.9
        return answer

    return stretch, told


def noted(told, asked):
    """An aligner that also writes down what it was asked."""
    return lambda window: asked.append(window) or told(window)


def test_what_is_in_doubt_is_asked_as_far_as_the_allowance_goes():
    stretch, told = doubted()
    before = stretch.decoded()
    assert before[1].min() < rescoring.DOUBTFUL
    for limit in (1.0, 1.2, 1.5, 2.0, 5.0):
        stretch, told = doubted()
        allowance, asked = Allowance(limit, 12.0, 12.0, 12.0, True), []
        times, scores = drive(rescore(stretch, allowance), noted(told, asked))
        assert allowance.heard == pytest.approx(12.0 + sum(len(window.frames) for window in asked) * 0.02)
        assert allowance.heard <= limit * 12.0 + 1e-6
        if limit == 1.0:
            assert asked == [] and np.array_equal(times, before[0])
        if limit == 5.0:
            assert asked and scores.min() > rescoring.DOUBTFUL and np.abs(times - evenly(20)).max() < 0.03
    stretch, _ = doubted()
    times, _ = drive(rescore(stretch, Allowance(9.0, 0.0, 12.0), again=False), lambda window: pytest.fail("asked"))
    assert np.array_equal(times, before[0])


@pytest.mark.parametrize(("limit", "count"), [(1.4, 0), (1.5, 1), (1.9, 1), (2.0, 2)])
def test_of_several_windows_as_many_are_asked_as_the_allowance_goes_for(limit, count):
    stretch, told = doubted()
    windows = [Window(np.arange(at, 300 + at), 0, 9) for at in (0, 9)]
    stretch.doubtful = lambda times, scores, cut, together: [] if cut else windows
    allowance, asked = Allowance(limit, 12.0, 12.0, 12.0, True), []  # of which a window takes a half
    drive(rescore(stretch, allowance), noted(told, asked))
    assert len(asked) == count and allowance.heard == 12.0 + 6.0 * count


def test_words_count_together_while_little_was_heard():
    """Up to a fifth of what may be heard up to the stretch's end, at 12 s of a recording of which more is known."""
    found = []
    for heard in (0.0, 14.2, 14.5):
        stretch, told = doubted()
        stretch.doubtful = lambda times, scores, cut, together: found.append(together) or []
        drive(rescore(stretch, Allowance(6.0, heard, 300.0, 20.0, True)), told)
    assert found == [True, True, True, True, False, False]


def test_short_windows_cost_what_they_are_filled_up_to():
    stretch, told = doubted()
    windows = [Window(np.arange(at, 16 + at), 0, 9) for at in (0, 9, 20, 40)]  # 0.32 s of audio in each
    stretch.doubtful = lambda times, scores, cut, together: [] if cut else windows
    allowance, asked = Allowance(1.0, 10.6, 12.0, 12.0, True), []
    drive(rescore(stretch, allowance), noted(told, asked))
    assert len(asked) == 2 and allowance.heard == pytest.approx(10.6 + 2 * 0.5)
    assert Window(np.arange(26), 0, 9).given(20.0) == 0.52 and Window(np.arange(26), 0, 9).given(10.0) == 0.5


def test_an_allowance():
    allowance = Allowance(4.0)
    assert allowance.left() == 0
    allowance.known, allowance.heard, allowance.done = 1000.0, 30.0, 20.0
    assert allowance.left() == 2000 - 30 - 980  # half of it, and what is ahead is heard in any case
    allowance.fits = True
    assert allowance.left() == 4000 - 30 - 980
    # a search takes as long in short recordings
    for known, expected in ((100.0, 400), (150.0, 600), (200.0, 600), (300.0, 600), (301.0, 602)):
        assert Allowance(4.0, known=known, done=known).left() == expected


# of real speech, with the bundled aligner


def errors(pipe, samples, words, expected, **keywords):
    """Of every two words in a row that are missing: seconds that the times of the others are off, on average."""
    found = []
    for missing in range(len(words) - 2):
        kept = [i for i in range(len(words)) if i not in (missing, missing + 1)]
        result = pipe(samples, text=[words[i] for i in kept], **keywords)
        found.append(np.abs(times_of(result) - expected[kept]).mean())
    return np.array(found)


def test_words_beside_missing_ones_are_found(pipe):
    """Where the others are is known from the whole text."""
    plain, refined = [], []
    for path, text in READINGS:
        samples, words = load_audio(path), text.split()
        expected = times_of(pipe(samples, text=words, refine=False))
        plain.append(errors(pipe, samples, words, expected, refine=False))
        refined.append(errors(pipe, samples, words, expected))
    plain, refined = np.concatenate(plain), np.concatenate(refined)
    assert refined.mean() < 0.9 * plain.mean()
    assert (refined < plain - 0.02).sum() > 2 * (refined > plain + 0.02).sum()


def test_words_of_long_recordings_are_asked_again_too(pipe, readings):
    off = {False: [], True: []}
    for seed in range(2):
        samples, words, expected = joined(readings, 60, seed=seed)
        kept = [i for i in range(len(words)) if i % 12 not in (4, 5)]
        for refine, found in off.items():
            result = pipe(samples, text=[words[i] for i in kept], refine=refine)
            times = times_of(result)
            assert (np.diff(times.ravel()) >= 0).all() and times.max() <= len(samples) / RATE
            assert (times[:, 1] - times[:, 0]).min() > 0
            found.append(np.abs(times - expected[kept]).mean())
    assert np.mean(off[True]) < np.mean(off[False])


def test_all_at_once_is_the_same(pipe, monkeypatch):
    """As on a GPU, where the clips of a batch are decoded together."""
    rows = [{"audio": load_audio(path), "text": text.split()[::2]} for path, text in READINGS]
    expected = pipe(rows, batch_size=2)
    monkeypatch.setattr(decoding, "_in_few_calls", lambda logits, counts: True)
    for result, alone in zip(pipe(rows, batch_size=2), expected, strict=True):
        assert np.allclose(times_of(result), times_of(alone), atol=2e-3)
        assert result["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_sure_recordings_are_not_heard_again(pipe, readings):
    results = [pipe(samples, text=words) for samples, words, _ in readings]
    place = max(range(len(results)), key=lambda k: min(chunk["score"] for chunk in results[k]["chunks"]))
    (samples, words, _), sure = readings[place], results[place]
    assert sure == pipe(samples, text=words, refine=False)
    assert sure["heard"] == pytest.approx(len(samples) / RATE, abs=1e-3)
    doubtful = pipe(samples, text=words[::2])
    assert doubtful["heard"] > sure["heard"]
    assert pipe(samples, text=words[::2], refine=False)["heard"] == sure["heard"]


def test_options(pipe, readings):
    samples, words, _ = readings[0]
    with pytest.raises(ValueError, match="refine=True goes with decoding='joint', not with 'argmax'"):
        pipe(samples, text=words, decoding="argmax", refine=True)
    with pytest.raises(ValueError, match="refine='no': True or False"):
        pipe(samples, text=words, refine="no")
    half = words[::2]
    plain = pipe(samples, text=half, refine=False)
    assert pipe(samples, text=half) == pipe(samples, text=half, refine=True) != plain
    argmax = pipe(samples, text=half, decoding="argmax")
    assert argmax == pipe(samples, text=half, decoding="argmax", refine=False)
    row = {
        "audio": samples,
        "text": " ".join(half),
        "words": [
            {"text": word, "start": float(start), "end": float(end)}
            for word, (start, end) in zip(half, times_of(plain), strict=True)
        ],
    }
    figures = [
        evaluate_aligner(pipe.model, pipe.processor, [row], refine=refine).metrics["aas_ms"]
        for refine in (False, None)
    ]
    assert figures[0] < 1 < figures[1]
