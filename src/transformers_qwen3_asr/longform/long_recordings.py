"""Recordings that are longer than what the model takes, opened and put together; `walk` aligns them."""

import numbers
import sys
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from ..alignment.chunks import aligned_words
from ..alignment.joint_decoding import in_order
from ..audio.decoding import is_encoded, load_audio, unwrapped
from ..audio.streams import AudioStream
from ..text.words import prompt_text
from .constants import HORIZON, SHORT_WINDOW, WINDOW_PART
from .rescoring import Allowance, Window
from .sound import Sound
from .walk import Walk

#: Letters that a recording may have and still be aligned in one piece: so many, and so many more for each second. Each
#: word counts as so many letters more. Nobody says half as many.
SPARE_LETTERS, FASTEST_LETTERS, WORD = 2000, 100.0, 5
#: Milliseconds that all words without room share, and the least that each of them gets.
MADE_WAY, LEAST = 160.0, 1.0


def open_long(
    source: Any, rate: int, seconds: float, words: Sequence[str] = (), copy: bool = True
) -> tuple[np.ndarray | None, AudioStream | None]:
    """
    Opens a recording. Returns `(samples, None)` for one of at most `seconds`, with samples at `rate` hertz as
    `load_audio` gives them, and `(None, stream)` for a longer one. So it does for one with more `words` than anybody
    could say in it, which is aligned in windows. `copy` is as in `load_audio`.

    Raises `ValueError`, naming the source, where it cannot be decoded.
    """
    kept = 2 * (HORIZON + seconds)  # a search looks so far ahead, and comes back to what is not aligned
    source = unwrapped(source)
    if is_encoded(source):
        stream = AudioStream(source, rate, kept)
        samples = stream.read(0, int(seconds * rate) + 1)
    else:  # in memory already
        stream, samples = None, load_audio(source, rate, copy=copy)
    if len(samples) > int(seconds * rate):
        return None, stream or AudioStream(samples, rate, kept)
    if stream:
        stream.close()
    letters = sum(WORD + len(prompt_text(word)) for word in words)
    if letters > SPARE_LETTERS + FASTEST_LETTERS * len(samples) / rate:
        return None, AudioStream(samples, rate, kept)
    return samples, None


def window_limit(given: float | None, config: Any) -> float:
    """
    Seconds of the longest recording that is aligned in one piece: `given`, or what the config says.

    Raises `ValueError` where the model's time classes do not reach so far, or it is less than a second.
    """
    if given is None:
        return config.align_seconds
    reach = config.num_labels * config.timestamp_segment_time / 1000
    if isinstance(given, bool) or not isinstance(given, numbers.Real) or not 1 <= given <= reach:
        raise ValueError(
            f"max_align_seconds={given!r}: from 1 to {reach:g} seconds are possible, as far as the model's "
            f"{config.num_labels} time classes of {config.timestamp_segment_time:g} ms reach"
        )
    return float(given)


def least_lengths(times: np.ndarray, segment_time: float) -> np.ndarray:
    """
    What each word has to last, milliseconds `(words,)`, where windows were put together and left some no room: a class
    of `segment_time` milliseconds. Words at `times` `(words, 2)`, in milliseconds, that have less were not found, and
    share `MADE_WAY`: what was found need not make way for all of them.
    """
    short = times[:, 1] - times[:, 0] < segment_time - 1e-3
    return np.where(short, np.clip(MADE_WAY / max(1, short.sum()), LEAST, segment_time), segment_time)


class LongRecording:
    """
    A recording that is read while it is aligned.

    Args:
        item: what the pipeline's `preprocess` made, with "stream", "words", "breaks", "seconds" (that
            the model takes) and "progress" (whether to draw a bar).
        segment_time: milliseconds a class of the model.
        decoding: see `alignment.decoding.decode_slots`.
        budget: how often the model may be given the recording's audio, where it has to be asked again.
        again: whether words in doubt are asked for again.
    """

    def __init__(self, item: dict[str, Any], segment_time: float, decoding: str, budget: float, again: bool):
        self.item, self.decoding = item, decoding
        self.sound = Sound(item["stream"], segment_time)
        seconds = min(item["seconds"], max(SHORT_WINDOW, WINDOW_PART * item["seconds"]))
        self.allowance = Allowance(budget)
        words, breaks = item["words"], item["breaks"]
        # where a person looks on; below the bar of recordings that the command draws
        hidden = None if item.get("progress") else True
        self._bar = tqdm(total=len(words), unit="word", file=sys.stderr, disable=hidden, leave=False)
        self._walk = Walk(self.sound, words, seconds, self.allowance, decoding, again, breaks, self._show)

    def _show(self, seconds: float, words: int) -> None:
        self._bar.set_postfix_str(f"{int(seconds) // 60}:{int(seconds) % 60:02d} of audio", refresh=False)
        self._bar.update(words - self._bar.n)

    def asking(self) -> Generator[list[Window], list[np.ndarray], dict[str, Any]]:
        """Asks for windows; returns what the item then has: its "aligned" words, "levels" and seconds "heard"."""
        yield from self._walk.run()
        levels = self.sound.levels
        levels.forget(self._walk.end)  # what a search has read ahead
        return {"aligned": self._aligned(), "levels": levels, "heard": self.allowance.heard}

    def samples(self, window: Window) -> np.ndarray:
        return self.sound.samples(window.frames)

    def _aligned(self) -> list[dict[str, Any]]:
        """Words with times, as `decode_forced_alignment` gives them: "joint" leaves none shorter than a class, but
        where so many stand together that the words around them would have to make way for them."""
        times, segment_time = self._walk.times, self.sound.segment_time
        limit = np.floor(1000 * self._walk.end + 1e-6)
        times = np.minimum(times, limit / 1000)
        if self.decoding == "joint" and len(times):
            lengths = least_lengths(1000 * times, segment_time)
            if lengths.sum() <= limit:
                ordered = in_order(1000 * times.ravel() / segment_time, segment_time, limit, lengths / segment_time)
                times = ordered.reshape(-1, 2) / 1000
        return aligned_words(self.item["words"], np.round(times, 3), self._walk.scores)

    def close(self) -> None:
        """Lets go of files and of the bar."""
        self.sound.stream.close()
        self._bar.close()
