"""
Joint decoding of all clips of a batch together, for scores that lie on a GPU.

There every call and every wait for an answer takes longer than its work. Here the number of both depends on the
longest clip, and hardly on how many clips there are: what clips have in common is a row of slots, one clip behind the
other. Scores stay where they are; best classes, paths and the probabilities around them are all that is fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .confidence import tolerance_radius, word_scores
from .durations import pause_costs, shortest_lengths
from .joint_decoding import (
    classes_within,
    first_classes,
    in_step,
    joint_bins,
    joint_times,
    never_falling,
    shifted_rows,
    with_room,
)
from .voice_activity import VoiceActivity

#: How many float32 scores are normalised at once; with what that takes on the way, 64 MiB.
NORMALISED = 2**23
#: How many scores clips may have in one search; with where each column comes from, 200 MiB.
SEARCHED = 2**24


@dataclass(frozen=True)
class Clip:
    """
    One clip of a batch.

    Attributes:
        name: how messages call it.
        row: the first of its rows of scores.
        words: how many it has, at least 1, two rows each.
        limit: milliseconds, a whole number, that no time exceeds, or infinity.
        lengths: of each word, as `durations.letters` gives them, or `None`.
        voice: where something is heard, or `None`.
        breaks: behind which words a pause is expected, or `None`.
    """

    name: str
    row: int
    words: int
    limit: float = np.inf
    lengths: Sequence[float] | None = None
    voice: VoiceActivity | None = None
    breaks: Sequence[int] | None = None


def decode_together(
    logits: torch.Tensor, clips: Sequence[Clip], segment_time: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """
    What `decoding.decode_slots` finds in each clip with "joint".

    Args:
        logits: `(rows, classes)` of all clips, on any device, without a graph.
        clips: where each of them is.
        segment_time: milliseconds a class.

    Returns: of each clip the milliseconds of its slots, float64 `(2 * words,)`, and scores, float64 `(words,)`.

    Raises `ValueError` that names the clip and the slot for NaN or +inf scores, and for what does not fit.
    """
    return _Batch(logits, clips, segment_time).decoded() if clips else []


class _Batch:
    """
    Slots of all clips, one behind the other. For each slot there are the number of its `clip`, its `row` of scores,
    the class found so far (`path`) and the logarithms of the probabilities around it (`near`).
    """

    def __init__(self, logits: torch.Tensor, clips: Sequence[Clip], segment_time: float):
        self.logits, self.clips, self.segment_time = logits, clips, segment_time
        words = np.array([clip.words for clip in clips])
        self.last_words = np.cumsum(words) - 1
        self.firsts = 2 * (self.last_words + 1 - words)
        self.clip = np.repeat(np.arange(len(clips)), 2 * words)
        self.row = np.arange(len(self.clip)) + (np.array([clip.row for clip in clips]) - self.firsts)[self.clip]
        classes = logits.shape[-1]
        within = [classes_within(clip.limit, segment_time, clip.words) or classes for clip in clips]
        self.bins = np.minimum(within, classes)
        self.crowded = self.bins <= words
        lasting = [shortest_lengths(clip.lengths, clip.words, segment_time, clip.name) for clip in clips]
        self.lasting = np.concatenate(
            [with_room(one, clip.words, bins) for one, clip, bins in zip(lasting, clips, self.bins)]
        )
        self.normaliser = _normaliser(logits)
        self.path = np.zeros(len(self.clip), dtype=np.int64)
        self.near = np.empty((len(self.clip), 2 * tolerance_radius(segment_time) + 1), dtype=np.float32)

    def decoded(self) -> list[tuple[np.ndarray, np.ndarray]]:
        self._check_finite()
        costs = [pause_costs(c.words, self.segment_time, c.breaks, c.name) * bool(c.voice) for c in self.clips]
        self._solve(self.logits)
        if any(clip.voice for clip in self.clips):
            self._solve(self._favoured(), np.concatenate(costs, axis=1).repeat(2, axis=1))
        probabilities = torch.from_numpy(self.near).exp().double().numpy()
        scores = word_scores(probabilities, self.last_words)
        answers = []
        for clip, first in zip(self.clips, self.firsts.tolist()):
            slots, words = slice(first, first + 2 * clip.words), slice(first // 2, first // 2 + clip.words)
            times = joint_times(probabilities[slots], self.path[slots], self.segment_time, clip.limit)
            answers.append((times, scores[words]))
        return answers

    def _favoured(self) -> torch.Tensor:
        """The scores to look for paths in, `(rows, classes)`: with what the clips' voices say of ends and starts."""
        reach = int(self.bins.max())
        favour = np.zeros((len(self.clips), reach), dtype=np.float32)
        for row, clip, first in zip(favour, self.clips, self.firsts.tolist()):
            if clip.voice is not None:
                times = self.path[first : first + 2 * clip.words].reshape(-1, 2) * self.segment_time / 1000
                row[:] = clip.voice.beside(times).favour(reach, self.segment_time)
        owner, sign = np.zeros((2, len(self.logits)), dtype=np.int64)
        owner[self.row], sign[self.row] = self.clip, np.arange(len(self.clip)) % 2 * 2 - 1
        owner, sign = self._sent(np.stack([owner, sign]))
        scores = self.logits[:, :reach]
        scores = scores if scores.dtype == torch.float64 else scores.float()
        return torch.addcmul(scores, torch.from_numpy(favour).to(scores)[owner], sign[:, None].to(scores.dtype))

    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The first class that the other words of its clip leave to each slot, and how many there are from there."""
        steps = first_classes(self.lasting)
        steps -= steps[self.firsts][self.clip]
        return steps, (self.bins - steps[2 * self.last_words + 1])[self.clip]

    def _check_finite(self) -> None:
        bad = ~self.normaliser.isfinite().cpu().numpy()[self.row]  # NaN or +inf is in the row, or all is -inf
        if bad.any():
            slot = int(bad.argmax())
            name, slot = self.clips[self.clip[slot]].name, slot - self.firsts[self.clip[slot]]
            raise ValueError(f"{name}: the scores at slot {slot} are not finite (NaN or inf)")

    def _sent(self, numbers: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(numbers).to(self.logits.device, non_blocking=True)

    def _solve(self, scores: torch.Tensor, pauses: np.ndarray | None = None) -> None:
        """The paths of all clips through `scores` `(rows, classes)`, and what is around them. `pauses` `(2, slots)` is
        what a pause behind each slot's word costs, a class and at most."""
        steps, room = self._limits()
        counts = 2 * np.array([clip.words for clip in self.clips])
        order = np.argsort(-counts, kind="stable")
        order = order[~self.crowded[order]]
        searches = np.cumsum(counts[order]) * int(room.max()) // SEARCHED
        for together in np.split(order, np.flatnonzero(np.diff(searches)) + 1) if len(order) else ():
            at, nexts = in_step(self.firsts[together], self.firsts[together] + counts[together])
            shifted = shifted_rows(scores, self.row[at], steps[at], room[at]).tensor_split(nexts)
            costs = None if pauses is None else self._sent(pauses[:, at]).tensor_split(nexts, dim=1)
            found = never_falling(shifted, costs)
            self.path[at] = found.cpu().numpy() + steps[at]
        self._solve_alone(self.crowded, scores, pauses)
        self._look_around(np.ones(len(self.clips), dtype=bool))
        # the path holds a class of -inf only where there is none without
        impossible = np.zeros(len(self.clips), dtype=bool)
        impossible[self.clip[np.isneginf(self.near[:, self.near.shape[1] // 2])]] = True
        if (impossible := impossible & ~self.crowded).any():
            self._solve_alone(impossible, scores, pauses)
            self._look_around(impossible)

    def _solve_alone(self, which: np.ndarray, scores: torch.Tensor, pauses: np.ndarray | None) -> None:
        """One clip after the other: these are rare."""
        for number in np.flatnonzero(which):
            slots = np.flatnonzero(self.clip == number)
            own = scores[self.row[slots[0]] : self.row[slots[-1]] + 1]
            lasting = self.lasting[slots[::2] // 2]
            costs = None if pauses is None else pauses[:, slots[::2]]
            self.path[slots] = joint_bins(own, int(self.bins[number]), lasting, costs)

    def _look_around(self, which: np.ndarray) -> None:
        slots = np.flatnonzero(which[self.clip])
        row, path = self._sent(np.stack([self.row[slots], self.path[slots]])).unsqueeze(-1)
        radius, classes = self.near.shape[1] // 2, self.logits.shape[1]
        columns = path + torch.arange(-radius, radius + 1, device=path.device)
        found = self.logits[row, columns.clamp(0, classes - 1)].float() - self.normaliser[row]
        self.near[slots] = found.masked_fill_((columns < 0) | (columns >= classes), -torch.inf).cpu().numpy()


def _normaliser(logits: torch.Tensor) -> torch.Tensor:
    """For each row the logarithm of the sum of all exponentials, float32 `(rows,)`, where the scores are."""
    size = max(1, NORMALISED // logits.shape[-1])
    return torch.cat([logits[a : a + size].float().logsumexp(-1) for a in range(0, len(logits), size)])
