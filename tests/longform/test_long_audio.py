"""The window logic of long recordings against a simulated aligner, which knows the truth and has known faults."""

import numpy as np
import pytest
from simulated_aligner import SimulatedAligner, drive

from transformers_qwen3_asr.longform.long_audio import Answer, Window, align_long
from transformers_qwen3_asr.longform.window_fit import Levels, fitting_runs, pause_anchor, words_within
from transformers_qwen3_asr.longform.windows import Listener
from transformers_qwen3_asr.longform.word_times import WordTimes


def speech(count=900, seed=0, pauses=(0.2, 10.0), every=15):
    """Words of 1 to 9 letters at 12 to 18 letters a second, `(words, 2)` seconds; a pause after every 15th or so."""
    random = np.random.default_rng(seed)
    times, words, at = [], [], 0.3
    for _ in range(count):
        word = "a" * random.integers(1, 10)
        length = (len(word) + 1) / random.uniform(12, 18)
        words.append(word)
        times.append((at, at + length))
        at += length + (random.uniform(*pauses) if random.random() < 1 / every else 0)
    return np.array(times), words, at + 1


def later(times, place, seconds):
    """The same with `seconds` of something else before the word at `place`."""
    times = times.copy()
    times[place:] += seconds
    return times


def aligned(times, words, duration, seconds=30, **faults):
    """The result, the words said that are more than 0.1 s and more than 1 s off, and the aligner."""
    aligner = SimulatedAligner(times, duration, **faults)
    result, _ = drive(align_long(words, seconds), aligner.answer)
    assert result.times.shape == (len(words), 2) and result.scores.shape == (len(words),)
    assert np.isfinite(result.times).all() and (np.diff(result.times.reshape(-1)) >= 0).all()
    assert result.times.min() >= 0 and result.times.max() <= duration + 1e-6
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert result.windows == len(aligner.windows)
    assert all(window.end - window.start <= seconds + 1e-9 for window in aligner.windows)
    errors = np.abs(result.times - times)[np.isfinite(times[:, 0])].max(1)
    return result, int((errors > 0.1).sum()), int((errors > 1).sum()), aligner


@pytest.mark.parametrize("seconds", [15, 30, 180])
@pytest.mark.parametrize("plateau", ["end", "collapse"])
def test_every_word_finds_its_place(seconds, plateau):
    times, words, duration = speech()
    result, off, _, _ = aligned(times, words, duration, seconds, plateau=plateau)
    # of pauses as long as two thirds of a window some words beside them are lost
    assert off <= (6 if seconds == 15 else 3)
    assert np.median(result.scores) > 0.3
    # with words that do not fit, windows overlap; by how much is what the search for anchors costs. Where pauses last
    # as long as two thirds of a window, there is some searching besides
    assert result.windows <= (3.0 if seconds == 15 else 2.0) * duration / seconds + 4


@pytest.mark.parametrize("scale", [0.05, 0.4, 1.0])
def test_how_large_scores_are_does_not_matter(scale):
    times, words, duration = speech(400)
    _, off, _, _ = aligned(times, words, duration, scale=scale)
    assert off == 0


@pytest.mark.parametrize("place", [0, 450, 895])
@pytest.mark.parametrize("seconds", [20, 60, 240])
def test_what_the_text_does_not_have_is_stepped_over(place, seconds):
    times, words, duration = speech()
    _, _, off, _ = aligned(later(times, place, seconds), words, duration + seconds)
    assert off <= 1


def test_the_place_is_found_again_after_several_passages_in_a_row():
    times, words, duration = speech()
    added = 0
    for place, seconds in ((200, 45), (212, 70), (230, 35), (231, 50), (600, 100), (640, 25)):
        times, added = later(times, place, seconds), added + seconds
    result, _, off, _ = aligned(times, words, duration + added)
    # of the few words between two passages some may be lost, and nothing behind them
    assert off <= 25
    errors = np.abs(result.times - times).max(1)
    assert (errors[:195] < 0.1).all() and (errors[250:595] < 0.1).all() and (errors[645:] < 0.1).all()
    # what the text lacks is a gap between words, over which none is stretched
    assert (result.times[:, 1] - result.times[:, 0]).max() < 3
    assert result.windows < 20 * (duration + added) / 30


@pytest.mark.parametrize("seconds", [0, 20, 60])
def test_a_chapter_that_nobody_says(seconds):
    """Four minutes of text without audio, and at the same place audio without text."""
    times, words, duration = speech(1200)
    times = later(times, 500, seconds)
    times = np.insert(times, [500] * 600, np.nan, axis=0)
    words = words[:500] + ["unsaid"] * 600 + words[500:]
    result, _, off, _ = aligned(times, words, duration + seconds)
    assert off <= 40
    assert np.median(result.scores[500:1100]) < 0.3 and np.median(result.scores[1100:]) > 0.6
    assert result.windows < 20 * (duration + seconds) / 30


def test_the_rest_is_not_given_up_behind_a_few_words_between_two_passages():
    """Which an aligner that gets over hardly anything hears only in a window that begins with them, behind a pause."""
    times, words, duration = speech()
    for place, seconds in ((450, 17), (462, 20)):
        times, duration = later(times, place, seconds), duration + seconds
    times[[451, 454, 457]] = np.nan
    _, _, off, _ = aligned(times, words, duration, reach=0.5, silences=True)
    assert off <= 40  # of nine hundred


def test_a_few_words_elsewhere_are_not_believed():
    """In what the text lacks the next six words are said, too, and others follow."""
    times, words, duration = speech()
    times = later(times, 450, 60)
    decoy = np.full_like(times, np.nan)
    begin = times[449, 1] + 25
    decoy[450:456] = times[450:456] - times[450, 0] + begin
    real, other = SimulatedAligner(times, duration + 60), SimulatedAligner(decoy, duration + 60)

    def answer(window):
        heard = real.answer(window)
        told = 440 < window.first <= 450 and window.start <= begin < window.end
        return other.answer(window) if told and times[450, 0] > heard.end else heard

    result, _ = drive(align_long(words, 30), answer)
    assert len(other.windows) > 3
    errors = np.abs(result.times - times).max(1)
    assert (errors[445:460] < 0.1).all() and (errors > 1).sum() <= 10


def test_what_comes_behind_the_text_costs_nothing():
    times, words, duration = speech()
    alone = aligned(times, words, duration)[0].windows
    result, off, _, aligner = aligned(times, words, duration + 3600)
    assert off == 0 and result.windows <= alone + 2
    assert max(window.end for window in aligner.windows) < duration + 60


@pytest.mark.parametrize(("place", "count"), [(0, 100), (450, 30), (450, 150), (900, 400)])
def test_what_nobody_says_costs_few_words_around_it_their_places(place, count):
    times, words, duration = speech()
    times = np.insert(times, [place] * count, np.nan, axis=0)
    words = words[:place] + ["unsaid"] * count + words[place:]
    result, _, off, _ = aligned(times, words, duration)
    assert off <= 20
    said = np.isfinite(times[:, 0])
    assert np.median(result.scores[~said]) < np.median(result.scores[said]) / 3


def test_behind_a_passage_that_is_not_understood_the_place_is_found_at_the_next_pause():
    """Windows that begin before or in two clips have nothing of them and of what follows; and an aligner that gets
    over nothing else needs windows that begin where a clip does, with its words."""
    times, words, duration = clips()
    hard, past = 280, 308
    real = SimulatedAligner(times, duration, reach=1.0, silences=True)
    lost = SimulatedAligner(times, duration, lost=1.0, silences=True)

    def answer(window):
        inside = times[hard - 14, 0] - 1 < window.start < times[past, 0] - 1 and window.first < past
        return (lost if inside else real).answer(window)

    result, _ = drive(align_long(words, 30), answer)
    errors = np.abs(result.times - times).max(1)
    assert (errors[: hard - 28] < 0.1).all() and (errors[past + 14 :] < 0.1).all()


def test_wrong_words_and_lost_windows_spoil_little():
    times, words, duration = speech()
    times[np.random.default_rng(1).random(len(times)) < 0.05] = np.nan
    _, _, off, _ = aligned(times, words, duration)
    assert off == 0
    times, words, duration = speech(seed=3)
    for seed in range(3):
        _, _, off, _ = aligned(times, words, duration, lost=0.1, plateau="collapse", seed=seed)
        assert off <= 0.03 * len(words)


def clips(count=60, size=14, seed=0):
    """`speech` with a pause of 1 to 8 s after every 14 words."""
    times, words, _ = speech(count * size, seed)
    times = times - np.r_[0, np.maximum(times[1:, 0] - times[:-1, 1], 0)].cumsum()[:, None]
    times += np.repeat(np.random.default_rng(seed).uniform(1, 8, count).cumsum(), size)[:, None]
    return times, words, times[-1, 1] + 1


@pytest.mark.parametrize("seed", range(3))
def test_words_on_the_wrong_side_of_a_silence_are_put_right(seed):
    """Windows of many words have words on the wrong side of half of the pauses; the sound that is left without a word
    there gives them away."""
    times, words, duration = clips(seed=seed)
    right = aligned(times, words, duration, silences=True)[0].windows
    _, _, far, _ = aligned(times, words, duration, hasty=50)
    result, _, rest, _ = aligned(times, words, duration, hasty=50, silences=True)
    assert far >= 20 and rest <= 3
    assert result.windows <= right + 35  # of sixty pauses


def test_silences_cost_nothing_where_all_is_right():
    times, words, duration = clips()
    without = aligned(times, words, duration)[0].windows
    result, off, _, _ = aligned(times, words, duration, silences=True)
    assert off == 0 and result.windows <= without + 2


def test_a_text_of_something_else_ends_soon_and_scores_low():
    times, words, duration = speech()
    result, _, _, _ = aligned(np.full_like(times, np.nan), words, duration)
    assert np.median(result.scores) < 0.4
    assert result.windows < 20 * duration / 30


def test_few_words_none_and_too_many():
    times, words, duration = speech()
    result, off, _, aligner = aligned(times[:3], words[:3], duration)
    assert off == 0 and len(aligner.windows) == 2
    result, _ = drive(align_long([], 30), lambda window: pytest.fail("there is nothing to ask"))
    assert result.times.shape == (0, 2) and result.windows == 0
    # thousands of words for a minute: all have a place, and those that no audio is left for score 0
    result, _, _, _ = aligned(np.full((5000, 2), np.nan), ["word"] * 5000, 60.0)
    assert np.median(result.scores) == 0 and result.times[-1, 1] == pytest.approx(60.0, abs=1e-6)
    result, _, _, _ = aligned(np.array([[1.0, 9.0]]), ["a" * 200], 70.0)
    assert result.times[0] == pytest.approx([1.0, 9.0], abs=0.1)


def test_audio_that_turns_out_empty():
    answer = Answer(end=0.0, final=True, decode=lambda count, fit: pytest.fail("nothing was heard"))
    result, rounds = drive(align_long(["a", "b"], 30), lambda window: answer)
    assert rounds == 1
    assert result.times.tolist() == [[0, 0], [0, 0]] and result.scores.tolist() == [0, 0]


def test_progress_reaches_the_last_word():
    times, words, duration = speech()
    told = []
    drive(align_long(words, 30, lambda *place: told.append(place)), SimulatedAligner(times, duration).answer)
    assert told == sorted(told)
    assert told[-1][1] == len(words) and told[-1][0] <= duration


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan")])
def test_windows_too_short_to_align_in(seconds):
    with pytest.raises(ValueError, match="too short to align in"):
        align_long(["a"], seconds)


def test_runs_against_every_way_to_divide_words():
    """The best sum of evidence, less 1.5 a change, of all 2^n divisions into words that fit and words that do not."""
    random = np.random.default_rng(5)
    for _ in range(30):
        evidence = random.uniform(-1, 1, 9)
        best, states = -np.inf, None
        for number in range(2**9):
            fits = np.array([number >> i & 1 for i in range(9)])
            value = evidence[fits == 1].sum() - 1.5 * np.abs(np.diff(fits)).sum()
            if value > best + 1e-12:
                best, states = value, fits
        runs = fitting_runs(evidence)
        found = np.zeros(9, int)
        for first, past in runs:
            found[first:past] = 1
        assert found.tolist() == states.tolist()
    assert fitting_runs(np.zeros(0)) == [] and fitting_runs(-np.ones(4)) == []


def test_anchors_stand_at_pauses_among_words_that_fit():
    times = np.array([(i, i + 0.9) for i in range(20)], float)
    times[14:] += 2
    evidence = np.ones(20)
    assert pause_anchor(times, evidence, (0, 20), 30, open_end=False) == 14
    assert pause_anchor(times, evidence, (0, 20), 12.5, open_end=False) == 12  # the pause is too late
    evidence[14] = -1
    assert pause_anchor(times, evidence, (0, 20), 30, open_end=False) not in (14, 15, None)
    assert pause_anchor(times, evidence, (3, 4), 30, open_end=True) is None


def test_words_that_crowd_fit_nowhere():
    levels = Levels(null=0.1, good=0.9)
    times = np.stack([np.arange(30) / 3, np.arange(30) / 3 + 0.3], 1)
    times[20:] = times[20, 0] + np.arange(10)[:, None] * 0.02
    evidence = levels.evidence(times, np.full(30, 0.9), np.full(30, 5), end=20.0)
    assert (evidence[:20] == 1).all() and (evidence[24:] == -1).all()
    at_the_end = levels.evidence(times, np.full(30, 0.9), np.full(30, 5), end=float(times[10, 0]))
    assert (at_the_end[:10] == 1).all() and (at_the_end[10:] == -1).all()


def test_words_far_above_those_from_elsewhere_fit():
    """As in noise: what is said scores from 0.2 to 0.9, what is not 0.05."""
    times = np.stack([np.arange(40) / 3, np.arange(40) / 3 + 0.3], 1)
    scores = np.r_[np.tile([0.9, 0.25, 0.6, 0.45], 5), np.full(20, 0.05)]
    evidence = Levels(null=0.05, good=0.85).evidence(times, scores, np.full(40, 5), end=20.0)
    assert evidence[:20].sum() > 8 and (evidence[20:] < -0.9).all()
    assert fitting_runs(evidence) == [(0, 20)]


def test_where_words_score_high_a_low_score_is_worth_a_doubt():
    """What 0.3 says of a word depends on what the words of the recording score that fit."""
    times = np.stack([np.arange(40) / 3, np.arange(40) / 3 + 0.3], 1)
    found = []
    for low in (0.8, 0.2):
        levels = Levels(null=0.03, good=0.9)
        levels.learn(np.tile([0.9, 0.9, 0.9, low], 10), times, np.full(40, 5))
        found.append(levels.evidence(times[:1], np.array([0.35]), np.array([5]), end=20.0)[0])
    assert found[0] < 0 < found[1]


def test_pace_and_scores_are_learned():
    times, words, _ = speech(200)
    levels = Levels(null=0.1, good=0.3)
    levels.learn(np.full(200, 0.8), times, np.array([len(word) + 1 for word in words]))
    assert levels.good == pytest.approx(0.8)
    assert 12 < levels.pace < 18


def test_words_within_an_amount():
    assert words_within([5] * 10, 2, 15, 1) == 5
    assert words_within([5] * 10, 2, 1000, 1) == 10
    assert words_within([500] * 10, 8, 15, 1) == 9
    assert words_within([500] * 10, 2, 15, 3) == 5


def test_beside_the_first_window_words_are_heard_that_do_not_belong_there():
    _, words, _ = speech(300)
    windows = next(align_long(words, 30))
    assert len(windows) == 2 and windows[0] == Window(0.0, 30.0, 0, windows[0].last)
    assert windows[1] == Window(0.0, 30.0, 300 - windows[0].last // 2, 300)
    windows = next(align_long(words[:50], 30))
    assert windows == [Window(0.0, 30.0, 0, 50), Window(0.0, 30.0, 0, 50, backwards=True)]


def test_words_apart_from_their_neighbours_are_looked_for_closely():
    """Between two places that are sure, three words are said at once, and nine after 20 s of something else; and the
    aligner gets over nothing that the text lacks, nor over words that are not said."""
    units = np.full(20, 6.0)
    truth = 0.4 * np.arange(20)[:, None] + [0.0, 0.4]
    truth[7:] += 20
    listener = Listener(units, 30.0)
    listener.levels.null, listener.levels.good = 0.05, 0.9
    words = WordTimes(listener)

    def answer(window):
        said = truth[window.first : window.last]
        besides = window.end - window.start - (said[-1, 1] - said[0, 0])
        gaps = (said[1:, 0] - said[:-1, 1]).max(initial=0)
        fits = said[0, 0] >= window.start - 1e-6 and said[-1, 1] <= window.end + 1e-6 and max(besides, gaps) < 2
        spread = np.linspace(window.start, window.end, len(said) + 1)
        times = said if fits else np.stack([spread[:-1], spread[1:]], 1)
        scores = np.full(len(said), 0.9 if fits else 0.03)
        return Answer(end=window.end, final=False, decode=lambda count, fit: (times[:count], scores[:count]))

    for first, last in ((0, 4), (16, 20)):
        window = Window(truth[first, 0], truth[last - 1, 1], first, last)
        words.keep(listener.judged(window, answer(window)))
    steps = words.settle(20, truth[-1, 1])
    try:
        windows, asked = next(steps), []
        while True:
            asked += windows
            windows = steps.send([answer(window) for window in windows])
    except StopIteration:
        pass
    assert all(truth[3, 1] - 1e-6 <= w.start < w.end <= truth[17, 1] + 1e-6 for w in asked)
    assert len(set(asked)) == len(asked) < 40
    np.testing.assert_allclose(words.times, truth, atol=1e-6)
