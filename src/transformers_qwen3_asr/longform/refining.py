"""Doubtful words of aligned recordings, heard again in short windows (`longform.refinement`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import pad

from ..alignment.decoding import decode_clips
from ..alignment.durations import letters
from ..alignment.joint_decoding import classes_within
from ..alignment.voice_activity import VoiceActivity, heard_in
from ..audio.silences import Shortened, without_long_silences
from ..audio.streams import AudioStream
from .refinement import LONGEST, Hearing, doubtful_pieces, doubtful_windows, mixture, peaks
from .windows import Window

#: Items with "audio", "words" and "language" in; each with its "aligned" words and the "logits" at its slots out.
Hear = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class OnDevice:
    """Scores that the pipeline's moving of outputs to the CPU passes by."""

    logits: torch.Tensor

    @classmethod
    def of_audio(cls, logits: torch.Tensor, seconds: float, segment_time: float) -> "OnDevice":
        """Scores `(slots, classes)` at the classes of so many seconds alone, without the memory that the others take:
        a model of minutes has many more than a window."""
        return cls(logits[:, : classes_within(1000 * seconds, segment_time, len(logits) // 2)].clone())


def refine(items: Sequence[dict[str, Any]], hear: Hear, segment_time: float, rate: int) -> None:
    """
    Gives items whose words are partly doubtful better "aligned" words.

    Args:
        items: as `hear` returns them. Their "logits" (`OnDevice`, `(2 * words, classes)`) are let go of.
        hear: asks the model; windows of all items are handed over together.
        segment_time: milliseconds a class.
        rate: hertz of the audio.
    """
    found = [found_in(item) for item in items]
    asked = [
        (place, window)
        for place, (item, (times, scores)) in enumerate(zip(items, found, strict=True))
        for window in doubtful_windows(times, scores, len(item["audio"]) / rate, segment_time, "silent" in item)
    ]
    hearings: dict[int, list[Hearing]] = {}
    answers = hear([_cut(items[place], window, rate) for place, window in asked]) if asked else []
    for (place, window), answer in zip(asked, answers, strict=True):
        hearings.setdefault(place, []).append(Hearing(window, answer["logits"].logits, found_in(answer)[1]))
    chosen = [items[place] for place in hearings]
    if chosen:
        mixtures = [_mixed(items[place], found[place][1], heard, segment_time) for place, heard in hearings.items()]
        widest = max(mixed.shape[-1] for mixed in mixtures)
        clips = decode_clips(
            torch.cat([pad(mixed, (0, widest - mixed.shape[-1]), value=-torch.inf) for mixed in mixtures]),
            [len(mixed) for mixed in mixtures],
            [len(item["words"]) for item in chosen],
            segment_time,
            durations=[len(item["audio"]) / rate for item in chosen],
            lengths=[[letters(word) for word in item["words"]] for item in chosen],
            voices=[voice_of(item, rate) for item in chosen],
        )
        for item, (times, scores) in zip(chosen, clips, strict=True):
            item["aligned"] = aligned_words(item["words"], times, scores)
    for item in items:
        del item["logits"]


def voice_of(item: dict[str, Any], rate: int) -> VoiceActivity:
    """Where something is heard in an item's "audio", which is its "voice" where that is known."""
    return item["voice"] if "voice" in item else heard_in(item["audio"], rate)


class Aligned(Protocol):
    """A long recording that is aligned: its `stream`, `words`, `item` with a "language" and the "seconds" of a window,
    how many `seconds` it has, and `times` `(words, 2)` in seconds and `scores` `(words,)`, changed in place."""

    stream: AudioStream
    words: Sequence[str]
    item: dict[str, Any]
    seconds: float
    times: np.ndarray
    scores: np.ndarray


def refine_long(recording: Aligned, hear: Hear, segment_time: float, batch_size: int) -> None:
    """
    `refine` for a recording that was aligned window by window. Pieces with doubtful words are read once more, as much
    at a time as `batch_size` windows have, and heard without their long silences; of what was found before times and
    scores are known (`longform.refinement.peaks`).
    """
    rate, longest = recording.stream.sampling_rate, min(recording.item["seconds"], LONGEST)
    waiting: list[tuple[Window, Shortened, dict[str, Any]]] = []
    seconds = 0.0

    def improve() -> None:
        refine([item for *_, item in waiting], hear, segment_time, rate)
        for piece, heard, item in waiting:
            words, (times, scores) = slice(piece.first, piece.last), found_in(item)
            times = np.minimum(heard.put_back(times), piece.end - piece.start) + piece.start
            recording.times[words], recording.scores[words] = times, scores
        waiting.clear()

    for piece in doubtful_pieces(recording.times, recording.scores, recording.seconds, longest):
        if seconds > batch_size * recording.item["seconds"]:
            improve()
            seconds = 0.0
        heard = without_long_silences(recording.stream.read(round(piece.start * rate), round(piece.end * rate)), rate)
        if len(heard.samples):
            waiting.append((piece, heard, _as_item(recording, piece, heard, segment_time)))
            seconds += len(heard.samples) / rate
    if waiting:
        improve()


def _as_item(recording: Aligned, piece: Window, heard: Shortened, segment_time: float) -> dict[str, Any]:
    """A piece as `refine` takes it: as if the model had heard it and given the times that are known."""
    chosen = slice(piece.first, piece.last)
    words, scores = recording.words[chosen], recording.scores[chosen]
    times = heard.left(recording.times[chosen] - piece.start)
    seconds = len(heard.samples) / recording.stream.sampling_rate
    known = peaks(times, scores, seconds, segment_time)
    return {
        "audio": heard.samples,
        "words": words,
        "language": recording.item["language"],
        "aligned": aligned_words(words, times, scores),
        "logits": OnDevice(known),
        "silent": torch.from_numpy(heard.silent(np.arange(known.shape[-1]) * segment_time / 1000)),
    }


def _mixed(item: dict[str, Any], scores: np.ndarray, hearings: list[Hearing], segment_time: float) -> torch.Tensor:
    mixed = mixture(item["logits"].logits, scores, hearings, segment_time)
    silent = item.get("silent")
    if silent is None or silent.all():
        return mixed
    # no word begins or ends in a silence
    return mixed.masked_fill(silent.to(mixed.device), -torch.inf)


def aligned_words(words: Sequence[str], times: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Words with times `(words, 2)` in seconds and scores `(words,)`, as `decode_forced_alignment` gives them."""
    return [
        {"text": word, "start_time": start, "end_time": end, "score": score}
        for word, (start, end), score in zip(words, times.tolist(), scores.tolist(), strict=True)
    ]


def found_in(item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Times and scores of an item's aligned words."""
    times = [(word["start_time"], word["end_time"]) for word in item["aligned"]]
    return np.array(times).reshape(-1, 2), np.array([word["score"] for word in item["aligned"]])


def _cut(item: dict[str, Any], window, rate: int) -> dict[str, Any]:
    audio = item["audio"][round(window.start * rate) : round(window.end * rate)]
    return {"audio": audio, "words": item["words"][window.first : window.last], "language": item["language"]}
