"""Where something is heard, what that is worth to a word's place, and the best path with it against all paths."""

import itertools

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment.decoding import decode_batch, decode_slots
from transformers_qwen3_asr.alignment.durations import pause_costs
from transformers_qwen3_asr.alignment.joint_decoding import joint_bins, with_favour
from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity, heard_in, voice_activity

RATE = 16000


def noise(seconds, level, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def activity(*stretches):
    """Of stretches (seconds, what is heard)."""
    frames = np.concatenate([np.full(round(seconds / 0.02), what) for seconds, what in stretches])
    return VoiceActivity(frames == "speech", frames == "silence")


def scored(*places):
    """Scores of 150 classes that are sure of a class for each slot, or of none."""
    logits = torch.full((len(places), 150), -10.0)
    for slot, place in enumerate(places):
        if place is not None:
            logits[slot, place] = 5.0
    return logits


@pytest.mark.parametrize("room", [0.0, 1e-4, 3e-3])
def test_speech_and_silence_are_told_apart(room):
    samples = np.concatenate([noise(1, room), noise(2, 0.1), noise(0.06, room), noise(1, 0.1), noise(6, room)])
    found = heard_in(samples, RATE)
    assert len(found.speech) == 503
    assert found.speech[51:149].mean() > 0.97 and found.speech[154:202].mean() > 0.97
    assert not found.speech[1:49].any() and found.silence[1:49].all() and found.silence[206:-1].all()
    assert not found.silence[150:153].any()  # a lull of 60 ms is none
    assert not (found.speech & found.silence).any()


def test_levels_that_are_not_known_are_neither():
    levels = np.array([-60.0] * 20 + [np.nan] * 10 + [-20.0] * 20)
    found = voice_activity(levels)
    assert found.silence.tolist() == [True] * 20 + [False] * 30 and found.speech.tolist() == [False] * 30 + [True] * 20
    for levels in (np.zeros(0), np.full(9, np.nan)):
        found = voice_activity(levels)
        assert not found.speech.any() and not found.silence.any() and len(found.speech) == len(levels)
        assert found.favour(5, 20.0).tolist() == [0] * 5


def test_favour_grows_in_speech_and_falls_in_silence():
    found = activity((1.0, "speech"), (0.5, "lull"), (1.0, "silence"), (0.5, "speech"))
    favour = found.favour(5, 1000.0)
    assert favour == pytest.approx([0, 7, 3.5, 3.5, 3.5])  # 3.5 s: the recording is over after 3 s
    assert found.favour(151, 20.0)[[0, 50, 75, 125, 150]] == pytest.approx([0, 7, 7, 0, 3.5])
    assert found.favour(2, 80.0)[1] == pytest.approx(0.56)


def test_speech_that_the_text_leaves_out_counts_as_silence():
    voice = activity(
        (0.4, "speech"), (0.2, "silence"), (0.7, "speech"), (0.3, "silence"), (0.3, "speech"), (0.6, "speech")
    )
    # before the first word 0.4 s, between the words 0.7 s, behind the last one 0.6 s
    found = voice.beside(np.array([[0.4, 0.6], [1.6, 1.9]]))
    assert found.speech.tolist() == [True] * 20 + [False] * 60 + [True] * 15 + [False] * 30
    assert found.silence.tolist() == [False] * 20 + [True] * 60 + [False] * 15 + [True] * 30
    none = voice.beside(np.zeros((0, 2)))
    assert not none.speech.any() and none.silence.all()


def test_a_word_is_not_drawn_out_over_a_passage_that_the_text_leaves_out():
    logits = torch.full((4, 150), -3.0)
    for slot, place in enumerate((10, 30, 110, 130)):
        logits[slot, place] = 3.0
    voice = activity((0.2, "silence"), (2.4, "speech"), (0.4, "silence"))
    found, _ = decode_slots(logits, 2, 20, voice=voice)
    assert found == pytest.approx(np.array([[0.2, 0.6], [2.2, 2.6]]), abs=0.011)
    # a third of a second is less than a passage: the word before it may have it
    short = activity((0.2, "silence"), (0.74, "speech"), (1.26, "silence"), (0.4, "speech"), (0.4, "silence"))
    assert decode_slots(0.3 * logits, 2, 20, voice=short)[0][0, 1] == pytest.approx(0.94, abs=0.021)


def test_a_word_takes_the_side_of_a_silence_where_something_is_heard():
    """The model has the second word before the silence by a nat; the sound behind it would have no word."""
    logits = scored(10, 30, None, None, 140, 148)
    logits[2, 31], logits[3, 40] = 1.0, 1.0
    logits[2, 120], logits[3, 140] = 0.5, 0.5
    voice = activity((0.2, "silence"), (0.4, "speech"), (1.8, "silence"), (0.6, "speech"))
    without, _ = decode_slots(logits, 3, 20)
    assert without[1] == pytest.approx([0.62, 0.8], abs=0.011)
    found, _ = decode_slots(logits, 3, 20, voice=voice)
    assert found[1] == pytest.approx([2.4, 2.8], abs=0.011) and np.array_equal(found[[0, 2]], without[[0, 2]])
    # what is much surer stays
    logits[2, 31] = logits[3, 40] = 6.0
    assert np.array_equal(decode_slots(logits, 3, 20, voice=voice)[0], decode_slots(logits, 3, 20)[0])


def test_the_path_is_the_best_of_all():
    random = np.random.default_rng(0)
    for _ in range(300):
        words, bins = int(random.integers(1, 4)), 9
        scores = random.normal(size=(2 * words, bins)) * random.choice([0.1, 1, 10])
        favour = np.cumsum(random.normal(size=bins)).astype(np.float32)
        lasting = random.integers(1, 4, words)
        if lasting.sum() >= bins:
            continue
        pauses = random.uniform(0, 3, (2, words)) * (random.random(words) < 0.8) if random.random() < 0.8 else None
        path = joint_bins(with_favour(torch.from_numpy(scores), favour), lasting=lasting, pauses=pauses)

        def worth(starts, ends, scores=scores, favour=favour, pauses=pauses):
            placed = scores[::2][range(len(starts)), starts] + scores[1::2][range(len(ends)), ends]
            each, most = np.zeros((2, len(starts) - 1)) if pauses is None else pauses[:, :-1]
            cost = np.minimum(each * np.subtract(starts[1:], ends[:-1]), most)
            return placed.sum() + (favour[list(ends)] - favour[list(starts)]).sum() - cost.sum()

        best = max(
            worth(taken[::2], taken[1::2])
            for taken in itertools.combinations_with_replacement(range(bins), 2 * words)
            if all(b - a >= least for a, b, least in zip(taken[::2], taken[1::2], lasting))
        )
        assert (path[1::2] - path[::2] >= lasting).all() and (np.diff(path) >= 0).all()
        assert worth(path[::2].tolist(), path[1::2].tolist()) == pytest.approx(best, abs=1e-6)


def test_voices_are_counted_like_clips():
    with pytest.raises(ValueError, match="1 voices for 2 clips"):
        decode_batch(torch.zeros(4, 7), None, [1, 1], 9, voices=[None])


def test_of_two_places_a_word_takes_the_one_beside_another():
    """The model has the second word alone in the middle of a pause by a nat."""
    logits = scored(10, 30, None, None, 120, 140)
    logits[2, 60], logits[3, 75] = 1.5, 1.5
    logits[2, 105], logits[3, 120] = 1.0, 1.0
    assert decode_slots(logits, 3, 20)[0][1] == pytest.approx([1.2, 1.5], abs=0.011)
    voice = activity((1.5, "lull"), (0.6, "silence"), (0.9, "lull"))
    found, _ = decode_slots(logits, 3, 20, voice=voice)
    assert found == pytest.approx(np.array([[0.2, 0.6], [2.1, 2.4], [2.4, 2.8]]), abs=0.011)
    # a short pause costs less than a long one, and a long one no more than 2 nats
    assert pause_costs(2, 20.0, None) == pytest.approx(np.array([[0.4, 0.4], [2, 2]]))
    assert pause_costs(1, 200.0, [False]) == pytest.approx(np.array([[4], [2]]))


def test_a_pause_behind_punctuation_costs_nothing():
    """The model has the second word before a pause by a nat, where the third follows: "one. Two three"."""
    logits = scored(10, 30, None, None, 130, 148)
    logits[2, 30], logits[3, 50] = 1.5, 1.5
    logits[2, 115], logits[3, 130] = 1.0, 1.0
    voice = activity((1.1, "lull"), (1.1, "silence"), (0.8, "lull"))
    beside = decode_slots(logits, 3, 20, voice=voice)[0]
    assert beside[1] == pytest.approx([0.6, 1.0], abs=0.011)
    assert np.array_equal(decode_slots(logits, 3, 20, voice=voice, breaks=[False] * 3)[0], beside)
    found = decode_slots(logits, 3, 20, voice=voice, breaks=[True, False, False])[0]
    assert found[1] == pytest.approx([2.3, 2.6], abs=0.011) and np.array_equal(found[[0, 2]], beside[[0, 2]])
    # without it a pause on either side costs as much
    assert np.array_equal(decode_slots(logits, 3, 20, voice=voice, breaks=[True, True, False])[0], beside)
    for heard in (voice, None):
        with pytest.raises(ValueError, match="clip 7: 3 words, but 2 breaks"):
            decode_slots(logits, 3, 20, "clip 7", voice=heard, breaks=[True, False])
    with pytest.raises(ValueError, match="1 lists of breaks for 2 clips"):
        decode_batch(torch.zeros(4, 7), None, [1, 1], 9, breaks=[None])


def test_what_is_heard_does_not_change_argmax():
    logits = torch.randn(8, 100, generator=torch.Generator().manual_seed(0))
    voice = activity((1.0, "silence"), (1.0, "speech"))
    for one, other in zip(*(decode_slots(logits, 4, 20, decoding="argmax", voice=v) for v in (voice, None))):
        assert np.array_equal(one, other)
