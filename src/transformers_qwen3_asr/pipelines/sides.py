"""Words of long recordings that stand on the wrong side of a silence, found and moved (`alignment.sides`)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..alignment.decoding import decode_slots
from ..alignment.pace import letters
from ..alignment.sides import FOUND, Side, is_missed, sides
from ..alignment.windows import Window
from .refining import Aligned, Hear
from .silences import without_long_silences

#: Seconds from a window's edge in the pause where it has to be silent.
_EDGE = 0.1
#: Seconds that are left of a word beside one that is moved.
_LEAST = 0.04


def choose_sides(recording: Aligned, hear: Hear, segment_time: float, batch_size: int) -> None:
    """
    Moves words beside pauses to the other side where they are found there, and not where they are; one at a pause.
    Only pauses count that are silent where windows begin or end in them (`silences`). Arguments as of
    `refining.refine_long`.
    """
    for group in _groups(recording, batch_size):
        there = _found(recording, [(side, side.other) for side in group], hear, segment_time)
        likely = [entry for entry in there if entry[2][entry[0].word - entry[0].other.first] >= FOUND]
        here = _found(recording, [(side, side.own) for side, *_ in likely], hear, segment_time)
        missed = {(side.word, side.later) for side, _, scores in here if is_missed(side, scores)}
        moved: set[int] = set()
        for side, times, scores in likely:
            if (side.word, side.later) in missed and side.pause not in moved:
                _move(recording, side, times, scores)
                moved.add(side.pause)


def _groups(recording: Aligned, batch_size: int) -> Iterator[list[Side]]:
    """Sides whose windows are near enough to each other to be read again without going back far, and which have no
    more audio than `batch_size` windows."""
    group, seconds = [], 0.0
    for side in sides(recording.times, recording.seconds, recording.item["seconds"]):
        length = side.other.end - side.other.start
        far = group and side.own.end - group[0].own.start > recording.item["seconds"]
        if group and (far or seconds + length > batch_size * recording.item["seconds"]):
            yield group
            group, seconds = [], 0.0
        group.append(side)
        seconds += length
    if group:
        yield group


def _found(
    recording: Aligned, asked: Sequence[tuple[Side, Window]], hear: Hear, segment_time: float
) -> list[tuple[Side, np.ndarray, np.ndarray]]:
    """Sides with the times (seconds of the recording) and scores of the words of their windows."""
    rate, items = recording.stream.sampling_rate, []
    for side, window in asked:
        heard = without_long_silences(
            recording.stream.read(round(window.start * rate), round(window.end * rate)), rate
        )
        # a window behind the pause begins in it, one before it ends in it
        begins = side.later == (window is side.other)
        if heard.silent(np.array([_EDGE if begins else len(heard.samples) / rate - _EDGE])).all():
            words = recording.words[window.first : window.last]
            item = {"audio": heard.samples, "words": words, "language": recording.item["language"]}
            items.append((side, window, heard, item))
    found = []
    answers = hear([item for *_, item in items]) if items else []
    for (side, window, heard, item), answer in zip(items, answers, strict=True):
        logits = answer["logits"].logits
        silent = heard.silent(np.arange(logits.shape[-1]) * segment_time / 1000)
        logits = logits.masked_fill(torch.from_numpy(silent).to(logits.device), -torch.inf)
        length, lengths = len(heard.samples) / rate, [letters(word) for word in item["words"]]
        times, scores = decode_slots(logits, None, segment_time, duration=length, lengths=lengths)
        found.append((side, np.minimum(heard.put_back(times), window.end - window.start) + window.start, scores))
    return found


def _move(recording: Aligned, side: Side, times: np.ndarray, scores: np.ndarray) -> None:
    """Gives a word the place that it has in the window on the other side, and its neighbour there what is left; but
    where nothing is left."""
    word, place = side.word, side.word - side.other.first
    start, end = times[place]
    if side.later:  # from before the pause to behind it
        past = min(end, recording.times[word + 1, 1] - _LEAST)
        if start + _LEAST > past:
            return
        recording.times[word + 1, 0] = max(recording.times[word + 1, 0], past)
        recording.times[word] = start, past
    else:
        past = max(start, recording.times[word - 1, 0] + _LEAST)
        if past + _LEAST > end:
            return
        recording.times[word - 1, 1] = min(recording.times[word - 1, 1], past)
        recording.times[word] = past, end
    recording.scores[word] = scores[place]
