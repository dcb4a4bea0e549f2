"""Recordings that are longer than what the model takes: their windows cut, batched with those of others, and put
together by `longform.long_audio`."""

import numbers
import sys
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..alignment.decoding import decode_slots
from ..alignment.durations import letters
from ..alignment.joint_decoding import in_order
from ..alignment.results import ROW_ERRORS
from ..alignment.untranscribed import Levels
from ..alignment.voice_activity import VoiceActivity, heard_in
from ..audio.silences import Shortened, without_long_silences
from ..audio.streams import AudioStream, NotReadTwice
from ..text.words import prompt_text
from .long_audio import Answer, LongAlignment, Window, align_long
from .refinement import FASTEST
from .refining import Hear, aligned_words, refine_long
from .side_choice import choose_sides

#: Audio that a stream keeps behind it, in windows: a search for words looks some windows ahead and comes back.
KEPT_WINDOWS = 4
#: Words that a recording may have besides those that can be heard in it, to be aligned in one piece.
SPARE_WORDS = 200
#: and as many letters, of which fewer are said in a second than this.
SPARE_LETTERS, FASTEST_LETTERS = 2000, 50.0
#: Milliseconds that words which have no room take from the words around them, and the least that each then lasts.
MADE_WAY, LEAST = 160.0, 1.0


def open_long(
    source: Any, rate: int, seconds: float, words: Sequence[str] = ()
) -> tuple[np.ndarray | None, AudioStream | None]:
    """
    A recording of at most `seconds` as its samples at `rate` hertz, as `load_audio` gives them; a longer one as a
    stream, and so one with more `words` than anybody could say in it, of which windows take as many as they can hold.

    Raises `ValueError`, naming the source, where it cannot be decoded.
    """
    stream = AudioStream(source, rate, KEPT_WINDOWS * seconds)
    samples = stream.read(0, int(seconds * rate) + 1)
    if len(samples) > int(seconds * rate):
        return None, stream
    stream.close()
    length, letters = len(samples) / rate, sum(len(prompt_text(word)) for word in words)
    if len(words) > SPARE_WORDS + FASTEST * length or letters > SPARE_LETTERS + FASTEST_LETTERS * length:
        return None, AudioStream(samples, rate, KEPT_WINDOWS * seconds)
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


def least_lengths(times: np.ndarray, end: float, segment_time: float) -> np.ndarray:
    """
    What each word has to last where windows were put together and left some no room: a class.

    Words that have less, one behind the other, share what there is between the words that have it, and `MADE_WAY`
    more: those are words that were not found, and what was found need not make way for all of them.

    Args:
        times: `(words, 2)` milliseconds, never falling.
        end: of the recording, in milliseconds.
        segment_time: milliseconds a class.

    Returns: milliseconds, float64 `(words,)`, at least `LEAST`.
    """
    lengths = np.full(len(times), float(segment_time))
    short = times[:, 1] - times[:, 0] < segment_time - 1e-3
    for first, past in np.flatnonzero(np.diff(short, prepend=False, append=False)).reshape(-1, 2).tolist():
        begin = times[first - 1, 1] if first else 0.0
        room = max(0.0, (times[past, 0] if past < len(times) else end) - begin) + MADE_WAY
        lengths[first:past] = np.clip(room / (past - first), min(LEAST, segment_time), segment_time)
    return lengths


class LongRecording:
    """
    One recording on its way through its windows.

    Args:
        item: what the pipeline's `preprocess` made, with "stream", "words", "language", "seconds" (a window's) and
            "progress" (whether to draw a bar).
        segment_time: milliseconds a class of the model.
        decoding: see `alignment.decoding.decode_slots`.
    """

    def __init__(self, item: dict[str, Any], segment_time: float, decoding: str):
        self.item, self.segment_time, self.decoding = item, segment_time, decoding
        self.stream: AudioStream = item["stream"]
        self.words: Sequence[str] = item["words"]
        self.result: LongAlignment | None = None
        self.levels = Levels(self.stream.sampling_rate)
        self._end = 0.0  # seconds that were heard
        self._bar = _bar(len(self.words)) if item.get("progress") else None
        self._steps = align_long(self.words, item["seconds"], self._show)
        self._windows: list[Window] = []
        self._answers: list[Answer | None] = []
        self._heard: dict[int, Shortened] = {}

    def _show(self, seconds: float, words: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{int(seconds) // 60}:{int(seconds) % 60:02d} of audio", refresh=False)
            self._bar.update(words - self._bar.n)

    def begin(self) -> list[int]:
        """The first windows that are wanted."""
        return self._want(lambda: next(self._steps))

    def _want(self, step: Callable[[], list[Window]]) -> list[int]:
        try:
            self._windows = step()
        except StopIteration as stop:
            self.result = stop.value
            return []
        self._answers = [None] * len(self._windows)
        return list(range(len(self._windows)))

    def cut(self, place: int) -> dict[str, Any] | None:
        """A wanted window as an item for the model; `None`, and answered already, where it has no audio."""
        window, rate = self._windows[place], self.stream.sampling_rate
        first, stop = round(window.start * rate), round(window.end * rate)
        samples = self.stream.read(first, min(stop, first + int(self.item["seconds"] * rate)))
        self.levels.note(first, samples)
        end = (first + len(samples)) / rate
        self._end = max(self._end, end)
        final = self.stream.samples is not None and first + len(samples) >= self.stream.samples
        if not len(samples):
            self._answers[place] = Answer(end=window.start, final=True, decode=_no_words)
            return None
        self._answers[place] = Answer(end=end, final=final, decode=_no_words)
        self._heard[place] = without_long_silences(samples, rate)
        audio = self._heard[place].samples
        return {"audio": audio, "words": self._told(window), "language": self.item["language"]}

    def _told(self, window: Window) -> Sequence[str]:
        words = self.words[window.first : window.last]
        return words[::-1] if window.backwards else words

    def take(self, place: int, logits: torch.Tensor) -> None:
        """What the model said to a window: `(slots, classes)`."""
        window, answer = self._windows[place], self._answers[place]
        start = round(window.start * self.stream.sampling_rate) / self.stream.sampling_rate
        heard = self._heard.pop(place)
        silent = heard.silent(np.arange(logits.shape[-1]) * self.segment_time / 1000)
        if silent.any():
            # no word begins or ends in a silence: what the model says of those classes does not count
            logits = logits.masked_fill(torch.from_numpy(silent).to(logits.device), -torch.inf)
        voice = heard_in(heard.samples, self.stream.sampling_rate)
        decode = partial(self._decoded, logits, heard, voice, self._told(window), start, answer.end - start)
        silences = heard.whole_silences() + start
        self._answers[place] = Answer(end=answer.end, final=answer.final, decode=decode, silences=silences)

    def _decoded(
        self,
        logits: torch.Tensor,
        heard: Shortened,
        voice: VoiceActivity,
        words: Sequence[str],
        start: float,
        duration: float,
        count: int,
        fit: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        if not count:
            return _no_words(count, fit)
        seconds = len(heard.samples) / self.stream.sampling_rate
        name = f"the audio from {start:.1f} s"
        times, scores = decode_slots(
            logits[: 2 * count],
            count,
            self.segment_time,
            name,
            decoding=self.decoding,
            duration=seconds,
            lengths=[letters(word) for word in words[:count]] if fit else None,
            voice=voice,
        )
        return np.minimum(heard.put_back(np.minimum(times, seconds)), duration) + start, scores

    def go_on(self) -> list[int]:
        """Once all windows are answered: the next that are wanted. None when the recording is done."""
        return self._want(lambda: self._steps.send(self._answers))

    @property
    def times(self) -> np.ndarray:
        """Of all words, `(words, 2)` seconds, once the recording is done."""
        return self.result.times

    @property
    def scores(self) -> np.ndarray:
        return self.result.scores

    @property
    def seconds(self) -> float:
        """Up to where the recording was heard: where the text ends in it, or at its end."""
        return self._end

    def aligned(self) -> list[dict[str, Any]]:
        """Words with times, as `decode_forced_alignment` gives them: "joint" leaves none shorter than a class, but
        where so many stand together that the words around them would have to make way for them."""
        times = self.result.times
        limit = np.floor(1000 * self._end + 1e-6)
        if self.decoding == "joint" and len(times):
            lengths = least_lengths(1000 * times, limit, self.segment_time)
            if lengths.sum() <= limit:
                places = 1000 * times.ravel() / self.segment_time
                ordered = in_order(places, self.segment_time, limit, lengths / self.segment_time)
                times = ordered.reshape(-1, 2) / 1000
        return aligned_words(self.words, np.round(times, 3), self.result.scores)

    def close(self) -> None:
        """Lets go of files and of the bar."""
        self.stream.close()
        if self._bar is not None:
            self._bar.close()


def align_recordings(
    items: Sequence[dict[str, Any]],
    score: Callable[[list[dict[str, Any]]], list[torch.Tensor]],
    segment_time: float,
    decoding: str,
    batch_size: int,
    again: Hear | None = None,
) -> None:
    """
    Gives each long item its "aligned" words and the "levels" of what was heard. Windows that are wanted at the same
    time, of one recording or of several, share forward passes of up to `batch_size`.

    An item whose audio cannot be read gets that as its "error"; the others are aligned all the same.

    `score` takes items with "audio", "words" and "language" and returns each one's `(slots, classes)` logits;
    `segment_time` and `decoding` are `LongRecording`'s. By `again` doubtful words are heard once more
    (`refining.refine_long`).
    """
    recordings = [LongRecording(item, segment_time, decoding) for item in items]
    try:
        wanted = deque((number, place) for number, recording in enumerate(recordings) for place in recording.begin())
        left = [len(recording._windows) for recording in recordings]
        while wanted:
            batch = []
            while wanted and len(batch) < batch_size:
                number, place = wanted.popleft()
                if "error" in items[number]:
                    continue
                try:
                    window = recordings[number].cut(place)
                except ROW_ERRORS as error:
                    items[number]["error"] = error
                    batch = [entry for entry in batch if entry[0] != number]
                    continue
                if window is not None:
                    batch.append((number, place, window))
                left[number] -= 1
            if batch:
                logits = score([window for _, _, window in batch])
                for (number, place, _), values in zip(batch, logits, strict=True):
                    recordings[number].take(place, values)
            for number, recording in enumerate(recordings):
                if not left[number] and recording.result is None and "error" not in items[number]:
                    places = recording.go_on()
                    left[number] = len(places)
                    wanted.extend((number, place) for place in places)
        for recording in recordings:
            if "error" in recording.item:
                continue
            try:
                if again is not None:
                    _hear_again(recording, again, segment_time, batch_size)
                recording.item.update(aligned=recording.aligned(), levels=recording.levels)
            except ROW_ERRORS as error:  # read a second time, it is not what it was
                recording.item["error"] = error
    finally:
        for recording in recordings:
            recording.close()


def _hear_again(recording: LongRecording, again: Hear, segment_time: float, batch_size: int) -> None:
    """Improves what is doubtful, where the recording can be read twice; what was found stays otherwise."""
    try:
        choose_sides(recording, again, segment_time, batch_size)
        refine_long(recording, again, segment_time, batch_size)
    except NotReadTwice as error:
        warnings.warn(f"{error}; doubtful words are not heard again", stacklevel=2)


def _no_words(count: int, fit: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, 2)), np.zeros(0)


def _bar(words: int):
    from tqdm import tqdm

    # where a person looks on; below the bar of recordings that the command draws
    return tqdm(total=words, unit="word", file=sys.stderr, disable=None, leave=False)
