"""One loop that asks the model again: for the next windows of long recordings, and for words of short ones that are in
doubt. What several of them want at the same time shares forward passes."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from ..alignment.chunks import aligned_words
from ..alignment.joint_decoding import classes_within
from ..results import ROW_ERRORS
from .rescoring import DOUBTFUL, Allowance, Posterior, Stretch, Window, rescore, word_weights

#: Scores `(slots, classes)` of items with "audio" and "words".
Score = Callable[[list[dict[str, Any]]], list[torch.Tensor]]


class Asker(Protocol):
    """A recording whose `item` has "words", the `samples` of its windows, and a generator that asks for them and
    returns what is to be put into the item."""

    item: dict[str, Any]

    def asking(self) -> Generator[list[Window], list[np.ndarray], dict[str, Any]]: ...

    def samples(self, window: Window) -> np.ndarray: ...

    def close(self) -> None: ...


class ShortRecording:
    """
    A recording that was heard in one piece, and is asked about again where its words are in doubt.

    Args:
        item: with "audio", its "voice", "words", "breaks", "aligned" words and the seconds "heard".
        logits: `(slots, classes)`, on any device.
        rate: hertz of the audio.
        segment_time: milliseconds a class.
        budget: how often the model may be given the recording's audio, the first time included.
    """

    def __init__(self, item: dict[str, Any], logits: torch.Tensor, rate: int, segment_time: float, budget: float):
        self.item, self._size = item, rate * segment_time / 1000
        seconds, words = len(item["audio"]) / rate, item["words"]
        count = min(classes_within(1000 * seconds, segment_time, len(words)), logits.shape[-1])
        frames = np.arange(count)
        stretch = Stretch(frames, 0, words, item["voice"], segment_time, breaks=item["breaks"])
        scores = np.array([word["score"] for word in item["aligned"]])
        probabilities = logits.float().softmax(-1)[:, :count].cpu().numpy()
        stretch.posteriors.append(Posterior(Window(frames, 0, len(words)), probabilities, word_weights(scores)))
        self._stretch, self._allowance = stretch, Allowance(budget, item["heard"], seconds, seconds, True)

    def asking(self) -> Generator[list[Window], list[np.ndarray], dict[str, Any]]:
        times, scores = yield from rescore(self._stretch, self._allowance)
        if len(self._stretch.posteriors + self._stretch.starts) == 1:
            return {}
        return {"aligned": aligned_words(self.item["words"], times, scores), "heard": self._allowance.heard}

    def samples(self, window: Window) -> np.ndarray:
        first, past = round(window.frames[0] * self._size), round((window.frames[-1] + 1) * self._size)
        return self.item["audio"][first:past]

    def close(self) -> None:
        pass


def in_doubt(item: dict[str, Any]) -> bool:
    """Whether any of an item's "aligned" words is."""
    return any(word["score"] < DOUBTFUL for word in item["aligned"])


def ask(recordings: Sequence[Asker], score: Score, batch_size: int) -> None:
    """
    Answers what recordings ask for, in forward passes of up to `batch_size` windows, and puts what comes of it into
    their items. One whose audio cannot be read gets that as its "error"; the others are not disturbed.
    """
    try:
        talks = [_Talk(recording) for recording in recordings]
        wanted = deque((talk, place) for talk in talks for place in talk.go_on())
        while wanted:
            batch: list[tuple[_Talk, int, dict[str, Any]]] = []
            while wanted and len(batch) < batch_size:
                talk, place = wanted.popleft()
                if (item := talk.cut(place)) is not None:
                    batch.append((talk, place, item))
            batch = [entry for entry in batch if not entry[0].done]
            if batch:
                answers = score([item for *_, item in batch])
                for (talk, place, _), logits in zip(batch, answers, strict=True):
                    talk.take(place, logits)
            for talk in talks:
                if not talk.done and all(answer is not None for answer in talk.answers):
                    wanted.extend((talk, place) for place in talk.go_on())
    finally:
        for recording in recordings:
            recording.close()


class _Talk:
    """What a recording asks, and the answers so far."""

    def __init__(self, recording: Asker):
        self.recording, self.done = recording, False
        self._asking = recording.asking()
        self._windows: list[Window] = []
        self.answers: list[np.ndarray] | None = None

    def go_on(self) -> list[int]:
        """Hands over the answers; the places of the windows that are wanted next, none when it is done."""
        try:
            self._windows = self._asking.send(self.answers)
        except StopIteration as stop:
            self.recording.item.update(stop.value)
            self.done = True
            return []
        except ROW_ERRORS as error:
            return self._fail(error)
        self.answers = [None] * len(self._windows)
        return list(range(len(self._windows)))

    def _fail(self, error: Exception) -> list[int]:
        self.recording.item["error"], self.done = error, True
        return []

    def cut(self, place: int) -> dict[str, Any] | None:
        """A window as the model takes it; `None` where it cannot be had."""
        if self.done:
            return None
        window, item = self._windows[place], self.recording.item
        try:
            audio = self.recording.samples(window)
        except ROW_ERRORS as error:
            self._fail(error)
            return None
        return {"audio": audio, "words": item["words"][window.first : window.past]}

    def take(self, place: int, logits: torch.Tensor) -> None:
        """What the model said to a window: `(slots, classes)`."""
        frames = len(self._windows[place].frames)
        probabilities = logits.float().softmax(-1)[:, :frames].cpu().numpy()
        missing = frames - probabilities.shape[1]  # classes that the model does not have
        self.answers[place] = np.pad(probabilities, ((0, 0), (0, missing))) if missing > 0 else probabilities
