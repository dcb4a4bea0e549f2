"""
Joint decoding of all clips of a batch together, for scores that lie on a GPU.

There every call and every wait for an answer takes longer than its work. Here the number of both depends on the
longest clip, and hardly on how many clips there are: what clips have in common is a row of slots, one clip behind the
other. Scores stay where they are; best classes, paths and the probabilities around them are all that is fetched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .confidence import scores_around, tolerance_radius, window
from .joint_decoding import (
    classes_within,
    first_classes,
    in_step,
    joint_bins,
    nearest_classes,
    never_falling,
    never_falling_at_once,
    ordered_paths,
    shifted_rows,
    times_around,
)
from .pace import usual_lengths
from .posterior import Stretch, doubtful_stretches, posterior_medians, settled

#: How many float32 scores are normalised at once; with what that takes on the way, 64 MiB.
NORMALISED = 2**23
#: How many scores contradicting slots may have in one search; with where each column comes from, 200 MiB.
SEARCHED = 2**24
#: A step of the search on a GPU, for all clips together, takes about as long as so many slots on the processor.
STEP = 8


@dataclass(frozen=True)
class Clip:
    """
    One clip of a batch.

    Attributes:
        name: how messages call it.
        row: the first of its rows of scores.
        words: how many it has, at least 1, two rows each.
        limit: milliseconds, a whole number, that no time exceeds, or infinity.
        lengths: of each word, as `pace.letters` gives them, or `None`.
    """

    name: str
    row: int
    words: int
    limit: float = np.inf
    lengths: Sequence[float] | None = None


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

    Raises `ValueError` that names the clip and the slot for NaN or +inf scores, and for lengths that do not fit.
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
        self.path = np.zeros(len(self.clip), dtype=np.int64)
        self.near = np.empty((len(self.clip), 2 * tolerance_radius(segment_time) + 1), dtype=np.float32)

    def decoded(self) -> list[tuple[np.ndarray, np.ndarray]]:
        best, self.normaliser = self._best()
        self._solve(best)
        probabilities = torch.from_numpy(self.near).exp().double().numpy()
        scores = scores_around(probabilities, self.last_words)
        answers = []
        for clip, first in zip(self.clips, self.firsts.tolist()):
            slots, words = slice(first, first + 2 * clip.words), slice(first // 2, first // 2 + clip.words)
            times = times_around(probabilities[slots], self.path[slots], self.segment_time, clip.limit)
            answers.append((times, scores[words]))
        self._settle(answers, probabilities)
        return answers

    def _settle(self, answers: list[tuple[np.ndarray, np.ndarray]], near: np.ndarray) -> None:
        """Doubtful words: few, and no work for a GPU. `near` are the probabilities around the path that count for
        scores, and then those around the times."""
        doubts: list[tuple[int, list[Stretch]]] = []
        usual = np.zeros(len(self.clip) // 2)
        for number, (clip, first, (_, scores)) in enumerate(zip(self.clips, self.firsts.tolist(), answers)):
            if clip.lengths is None:
                continue
            path = self.path[first : first + 2 * clip.words]
            lasting = usual_lengths(path, scores, clip.lengths, clip.name)
            usual[first // 2 : first // 2 + clip.words] = lasting
            if stretches := doubtful_stretches(path, scores, lasting, int(self.bins[number])):
                doubts.append((number, stretches))
        if not doubts:
            return
        stretches = [stretch for _, found in doubts for stretch in found]
        owner = np.repeat([number for number, _ in doubts], [len(found) for _, found in doubts])
        slots = [
            np.arange(first + stretch.slots.start, first + stretch.slots.stop)
            for first, stretch in zip(self.firsts[owner].tolist(), stretches)
        ]
        radius = near.shape[1] // 2
        known = self._fetched(slots, stretches, radius)
        medians = posterior_medians(
            [scores[:, radius:-radius].numpy() for scores in known],
            [usual[part[::2] // 2] for part in slots],
            self.bins[owner].tolist(),
            radius,
        )
        parts = iter(zip(slots, known, medians))
        for number, found in doubts:
            clip, first = self.clips[number], self.firsts[number]
            mine = [next(parts) for _ in found]
            columns = [part[-1] for part in mine]
            times = settled(answers[number][0], found, columns, self.segment_time, clip.limit)
            for stretch, (at, scores, _) in zip(found, mine):
                nearest = nearest_classes(times[at - first], self.segment_time, int(self.bins[number]))
                near[at] = window(scores, nearest - stretch.classes.start + radius, radius)
            answers[number] = times, scores_around(near[first : first + 2 * clip.words])

    def _fetched(
        self, slots: Sequence[np.ndarray], stretches: Sequence[Stretch], radius: int
    ) -> tuple[torch.Tensor, ...]:
        """Logarithms of the probabilities of each stretch's slots and classes, and of `radius` more classes on both
        sides, -inf where there are none: all in one piece."""
        classes = self.logits.shape[1]
        columns = [np.arange(s.classes.start - radius, s.classes.stop + radius) for s in stretches]
        rows = self.row[np.concatenate(slots)].repeat(np.repeat([len(c) for c in columns], [len(s) for s in slots]))
        places = np.concatenate([np.tile(c, len(s)) for s, c in zip(slots, columns)])
        row, place = self._sent(np.stack([rows, places]))
        found = self.logits[row, place.clamp(0, classes - 1)].float() - self.normaliser[row]
        found = found.masked_fill_((place < 0) | (place >= classes), -torch.inf).cpu()
        parts = found.split([len(s) * len(c) for s, c in zip(slots, columns)])
        return tuple(part.view(len(s), -1) for part, s in zip(parts, slots))

    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The first class that the other words of its clip leave to each slot, and how many there are from there."""
        steps = first_classes(len(self.clip) // 2)
        steps -= steps[self.firsts][self.clip]
        return steps, (self.bins - steps[2 * self.last_words + 1])[self.clip]

    def _best(self) -> tuple[np.ndarray, torch.Tensor]:
        """Each slot's best class among those that are left to it, and for each row the logarithm of the sum of all
        exponentials, float32 `(rows,)`, where the scores are."""
        steps, room = self._limits()
        rows, classes = self.logits.shape
        left = np.zeros((2, rows), dtype=np.int64)
        left[:, self.row] = np.where(room > 0, (steps, steps + room), 0)
        begin, end = self._sent(left).unsqueeze(-1)
        columns = torch.arange(max(1, int(left.max())), device=self.logits.device)
        best, normaliser = [], []
        size = max(1, NORMALISED // classes)
        for part in (slice(a, a + size) for a in range(0, rows, size)):
            scores = self.logits[part]
            normaliser.append(scores.float().logsumexp(-1))
            out = (columns < begin[part]) | (columns >= end[part])
            best.append(scores[:, : len(columns)].masked_fill(out, -torch.inf).argmax(-1))
        normaliser = torch.cat(normaliser)
        found = torch.where(normaliser.isfinite(), torch.cat(best), -1).cpu().numpy()[self.row]
        if (bad := found < 0).any():  # NaN or +inf is among the scores, or all are -inf
            slot = int(bad.argmax())
            name, slot = self.clips[self.clip[slot]].name, slot - self.firsts[self.clip[slot]]
            raise ValueError(f"{name}: the scores at slot {slot} are not finite (NaN or inf)")
        return found, normaliser

    def _sent(self, numbers: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(numbers).to(self.logits.device, non_blocking=True)

    def _solve(self, best: np.ndarray) -> None:
        """The paths of all clips, and what is around them."""
        slots = np.flatnonzero(~self.crowded[self.clip])
        if len(slots):
            steps, room = (values[slots] for values in self._limits())
            clip = np.cumsum(np.diff(self.clip[slots], prepend=self.clip[slots[0]]) > 0)
            solve = _solver(self.logits, self.row[slots], steps, room)
            self.path[slots] = ordered_paths(best[slots], steps, room, clip, solve)
        self._solve_alone(self.crowded)
        self._look_around(np.ones(len(self.clips), dtype=bool))
        # the path holds a class of -inf only where there is none without
        impossible = np.zeros(len(self.clips), dtype=bool)
        impossible[self.clip[np.isneginf(self.near[:, self.near.shape[1] // 2])]] = True
        if (impossible := impossible & ~self.crowded).any():
            self._solve_alone(impossible)
            self._look_around(impossible)

    def _solve_alone(self, which: np.ndarray) -> None:
        """One clip after the other: these are rare."""
        for number in np.flatnonzero(which):
            slots = np.flatnonzero(self.clip == number)
            scores = self.logits[self.row[slots[0]] : self.row[slots[-1]] + 1]
            self.path[slots] = joint_bins(scores, int(self.bins[number]))

    def _look_around(self, which: np.ndarray) -> None:
        slots = np.flatnonzero(which[self.clip])
        row, path = self._sent(np.stack([self.row[slots], self.path[slots]])).unsqueeze(-1)
        radius, classes = self.near.shape[1] // 2, self.logits.shape[1]
        columns = path + torch.arange(-radius, radius + 1, device=path.device)
        found = self.logits[row, columns.clamp(0, classes - 1)].float() - self.normaliser[row]
        self.near[slots] = found.masked_fill_((columns < 0) | (columns >= classes), -torch.inf).cpu().numpy()


def _solver(logits: torch.Tensor, rows: np.ndarray, steps: np.ndarray, room: np.ndarray) -> Callable:
    """What `ordered_paths` asks for: long blocks, where they are few, on the processor, all others together."""

    def solve(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(begins - ends, kind="stable")
        begins, ends = begins[order], ends[order]
        sizes = ends - begins
        here = int(np.argmin(np.append(0, np.cumsum(sizes)) + STEP * np.append(sizes, 0)))
        slots, places = [], []
        if here:
            slots.append(np.concatenate([np.arange(a, b) for a, b in zip(begins[:here], ends[:here])]))
            scores = shifted_rows(logits, rows[slots[0]], steps[slots[0]], room[slots[0]])
            scores = (scores if scores.dtype == torch.float64 else scores.float()).cpu().numpy()
            blocks = zip(np.split(scores, np.cumsum(sizes[: here - 1])), room[begins[:here]])
            places += [never_falling_at_once(block[:, :width]) for block, width in blocks]
        if here < len(sizes):
            searches = np.cumsum(sizes[here:]) * int(room.max()) // SEARCHED
            found = []
            for blocks in np.split(np.arange(here, len(sizes)), np.flatnonzero(np.diff(searches)) + 1):
                at, firsts = in_step(begins[blocks], ends[blocks])
                slots.append(at)
                found.append(never_falling(shifted_rows(logits, rows[at], steps[at], room[at]).tensor_split(firsts)))
            places.append(torch.cat(found).cpu().numpy())
        return np.concatenate(slots), np.concatenate(places)

    return solve
