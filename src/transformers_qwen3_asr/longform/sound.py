"""A long recording in frames as long as the model's classes, read as they are needed."""

import numpy as np

from ..alignment.untranscribed import FRAME, Levels
from ..alignment.voice_activity import VoiceActivity, voice_activity
from ..audio.streams import AudioStream
from .constants import PAUSE, VOICE_CONTEXT


class Sound:
    """
    Args:
        stream: the recording.
        segment_time: milliseconds a frame.

    Frames are counted from the recording's beginning. `levels` are those of all that was read.
    """

    def __init__(self, stream: AudioStream, segment_time: float):
        self.stream, self.segment_time = stream, segment_time
        self.levels = Levels(stream.sampling_rate)
        self._size = stream.sampling_rate * segment_time / 1000
        self._read, self._ended = 0, False  # samples, and whether that is all of them

    def seconds(self, frames: float) -> float:
        return frames * self.segment_time / 1000

    def frames(self, seconds: float) -> int:
        return max(1, round(1000 * seconds / self.segment_time))

    @property
    def length(self) -> float:
        """Seconds that were read."""
        return self._read / self.stream.sampling_rate

    def reach(self, frame: int) -> int:
        """Reads up to `frame`; returns up to which frame there is audio, which is less at the recording's end."""
        block = 50 * round(FRAME * self.stream.sampling_rate)
        while not self._ended and self._read < self._sample(frame):
            some = self.stream.read(self._read, self._read + block)
            self.levels.note(self._read, some)
            self._read += len(some)
            self._ended = len(some) < block
        return min(frame, int(np.ceil(self._read / self._size - 1e-6)))

    def is_end(self, frame: int) -> bool:
        """Whether the recording ends at `frame`, up to which it was read."""
        return self.reach(frame + 1) <= frame

    def _sample(self, frame: int) -> int:
        return round(frame * self._size)

    def samples(self, frames: np.ndarray) -> np.ndarray:
        """The samples of `frames` `(frames,)`, which rise, one behind the other."""
        runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        return np.concatenate([self.stream.read(self._sample(run[0]), self._sample(run[-1] + 1)) for run in runs])

    def voice(self, first: int, past: int) -> tuple[np.ndarray, np.ndarray]:
        """In which of the frames from `first` to `past - 1`, all of them read, there is speech, and in which silence:
        two of `(past - first,)` bool."""
        step = self.segment_time / (1000 * FRAME)  # levels a frame
        begin = max(0, int(first * step - VOICE_CONTEXT / FRAME))
        found = voice_activity(self.levels.decibels()[begin : int(past * step + VOICE_CONTEXT / FRAME)])
        count = len(found.speech)
        edges = np.minimum(np.floor(np.arange(first, past + 1) * step + 1e-6).astype(int) - begin, count)
        until = np.maximum(edges[1:], np.minimum(edges[:-1] + 1, count))
        speech, silence = (np.append(0, np.cumsum(part)) for part in (found.speech, found.silence))
        quiet = silence[until] - silence[edges[:-1]] == until - edges[:-1]
        return speech[until] > speech[edges[:-1]], quiet & (until > edges[:-1])

    def pauses_in(self, silence: np.ndarray) -> np.ndarray:
        """First and past the last of each pause, `(pauses, 2)`, of frames of which `silence` is known."""
        found = runs(silence)
        return found[(found[:, 1] - found[:, 0]) * self.segment_time >= 1000 * PAUSE]

    def heard(self, first: int, past: int) -> np.ndarray:
        """The frames from `first` to `past - 1` that the model hears, `(frames,)`: of pauses only their edges."""
        silence = self.voice(first, past)[1]
        keep = np.ones(past - first, dtype=bool)
        kept = self.frames(PAUSE / 2)
        for begin, end in self.pauses_in(silence):
            keep[begin + kept : max(begin + kept, end - kept)] = False
        return first + np.flatnonzero(keep)

    def clip_voice(self, frames: np.ndarray) -> VoiceActivity:
        """What is heard in `frames`, which rise, one behind the other, as decoding takes it. A word that reaches
        across a pause covers all of it, also what is not in `frames`."""
        speech, silence = self.voice(int(frames[0]), int(frames[-1]) + 1)
        step = 1000 * FRAME / self.segment_time  # frames a level
        levels = np.arange(int(np.ceil(len(frames) / step - 1e-6)))
        at = np.minimum((levels * step + 1e-6).astype(int), len(frames) - 1)
        left_out = np.diff(frames, append=frames[-1] + 1) - 1  # behind each
        is_last = np.diff(at, append=len(frames)) > 0  # of its frame
        chosen = frames[at] - frames[0]
        return VoiceActivity(speech[chosen], silence[chosen] + np.where(is_last, left_out[at] / step, 0))


def runs(where: np.ndarray) -> np.ndarray:
    """First and past the last of each run that is true, `(runs, 2)`."""
    return np.flatnonzero(np.diff(where.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
