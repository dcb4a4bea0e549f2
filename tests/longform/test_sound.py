"""A recording in frames: what is speech, what is heard of its pauses, and how far it is read."""

import numpy as np
import pytest
from simulated_aligner import RATE, Recording

from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.longform.sound import Sound, runs

#: Speech, a long pause, speech, a lull, speech.
SOUNDS = np.array([(0.0, 3.0), (8.0, 10.0), (10.16, 13.0)])


def sound_of(sounds=SOUNDS, duration=13.0, segment_time=20.0):
    return Recording([], np.zeros((0, 2)), sounds, duration).sound(segment_time)


@pytest.mark.parametrize("segment_time", [20.0, 80.0])
def test_frames_and_seconds(segment_time):
    sound = sound_of(segment_time=segment_time)
    assert sound.seconds(100) == pytest.approx(segment_time / 10)
    assert sound.frames(8.0) == 8000 / segment_time and sound.frames(0.0) == 1
    end = sound.reach(10**6)
    assert end == int(np.ceil(13000 / segment_time))  # what is begun is a frame


@pytest.mark.parametrize("segment_time", [20.0, 80.0])
def test_of_a_pause_only_its_edges_are_heard(segment_time):
    sound = sound_of(segment_time=segment_time)
    end = sound.reach(10**6)
    (pause,) = sound.pauses_in(sound.voice(0, end)[1]) * segment_time / 1000
    assert pause == pytest.approx([3.0, 8.0], abs=0.081)
    frames, (speech, silence) = sound.heard(0, end), sound.voice(0, end)
    assert (np.diff(frames) > 0).all()
    ((gap,),) = [np.flatnonzero(np.diff(frames) > 1)]  # the lull is heard whole
    assert frames[gap] * segment_time / 1000 == pytest.approx(3.15, abs=0.1)
    assert frames[gap + 1] * segment_time / 1000 == pytest.approx(7.85, abs=0.1)
    assert not (speech & silence).any()
    inside = (np.arange(end) * segment_time / 1000 > 8.1) & (np.arange(end) * segment_time / 1000 < 9.9)
    assert speech[inside].mean() > 0.6 and not silence[inside].any()
    # it does not depend on where one begins to look, if that is not in the pause
    assert np.array_equal(sound.heard(end // 13, end), frames[frames >= end // 13])


@pytest.mark.parametrize("segment_time", [20.0, 80.0])
def test_samples_of_frames_are_the_recordings(segment_time):
    sound, whole = sound_of(segment_time=segment_time), Recording([], np.zeros((0, 2)), SOUNDS, 13.0).samples()
    size = round(RATE * segment_time / 1000)
    frames = np.r_[10:20, 30:31, 50:53]
    expected = np.concatenate([whole[frame * size : (frame + 1) * size] for frame in frames])
    assert np.array_equal(sound.samples(frames), expected)


def test_fractional_frames_neither_lose_nor_repeat_samples():
    samples = np.arange(5000, dtype=np.float32) / 5000
    sound = Sound(AudioStream(samples, 1000), 12.5)
    frames = np.arange(0, 400)
    parts = [sound.samples(frames[k : k + 7]) for k in range(0, 400, 7)]
    assert np.array_equal(np.concatenate(parts), samples)


class Counted(AudioStream):
    most = 0

    def read(self, start, stop):
        self.most = max(self.most, stop)
        return super().read(start, stop)


def test_it_is_read_as_it_is_needed():
    samples = Recording([], np.zeros((0, 2)), SOUNDS, 13.0).samples()
    stream = Counted(samples, RATE)
    sound = Sound(stream, 20.0)
    assert stream.most == 0
    assert sound.reach(100) == 100 and 2 * RATE <= stream.most < 4 * RATE
    assert np.isnan(sound.levels.decibels()).sum() == 0 and len(sound.levels.decibels()) < 200
    assert not sound.is_end(100)
    assert sound.reach(649) == 649 and not sound.is_end(649)
    assert sound.reach(700) == 650 and sound.is_end(650)


@pytest.mark.parametrize("size", [RATE - 1, RATE, RATE + 1])  # of blocks that are read at once, which last a second
def test_the_end_is_known_whatever_the_length(size):
    sound = Sound(AudioStream(np.full(size, 0.1, np.float32), RATE), 20.0)
    end = -(-size // 320)
    assert sound.reach(1000) == end and sound.is_end(end) and not sound.is_end(end - 1)
    first, past = (sound.samples(np.array([k])) for k in (0, end - 1))
    assert len(first) == 320 and 0 < len(past) <= 320


@pytest.mark.parametrize("segment_time", [20.0, 80.0])
def test_the_voice_of_a_clip_is_that_of_what_is_heard(segment_time):
    """In steps as long as levels, however long the model's classes are. A pause counts with all of it."""
    sound = sound_of(segment_time=segment_time)
    end = sound.reach(10**6)
    frames = sound.heard(0, end)
    speech, silence = (part[frames] for part in sound.voice(0, end))
    voice, steps = sound.clip_voice(frames), round(segment_time / 20)
    assert np.array_equal(voice.speech, np.repeat(speech, steps))
    whole = np.repeat(silence, steps).astype(float)
    whole[steps - 1 :: steps] += steps * (np.diff(frames, append=frames[-1] + 1) - 1)
    assert np.array_equal(voice.silence, whole) and voice.silence.max() > steps


def test_runs():
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert runs(np.zeros(3, bool)).shape == runs(np.zeros(0, bool)).shape == (0, 2)
