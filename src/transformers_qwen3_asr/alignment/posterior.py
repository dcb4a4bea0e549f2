"""Where doubtful words lie as far as the model knows: all paths that keep the words' order, not the best one alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .joint_decoding import in_order, in_step
from .pace import shares_of_short_words

#: Score below which a word is doubtful. Of others the path and the medians are the same.
DOUBTFUL = 0.8
#: Mean score of a recording's words below which nothing is known.
KNOWN = 0.3
#: Words that are looked at together at most. With many more, what is ahead and what is behind can agree on so little
#: that no number is small enough for it.
LONGEST = 40
#: Milliseconds by which a median has to differ from the path to be preferred; the path's own times are finer.
FAR = 60.0
#: What a slot's best class leaves of its probability counts so many times, spread over the whole recording: it may be
#: that a word is missing, or that another was said, and then the rest of the scores says nothing.
MISLED = 5.0
#: At least so much of it, so that there is a path, and rounding does not decide which.
_LEAST = 1e-3
#: Classes that a word is taken to last at most, since what is reached by words costs that much.
_LONG = 400
#: How many probabilities are worked on at once, as far as one stretch does not take more.
AT_ONCE = 2**20


@dataclass(frozen=True)
class Stretch:
    """
    Words that lie between two whose places are known.

    Attributes:
        words: the first and the one after the last.
        classes: the first in which they may lie, and the one after the last.
    """

    words: slice
    classes: slice

    @property
    def slots(self) -> slice:
        return slice(2 * self.words.start, 2 * self.words.stop)


def doubtful_stretches(bins: np.ndarray, scores: np.ndarray, usual: np.ndarray, classes: int) -> list[Stretch]:
    """
    The words of a clip that are doubtful, each with its neighbours. They lie between the words that are left, and no
    further from where the path has them than they take themselves: where much is heard besides, as at a window's end,
    doubt alone must not draw words there.

    Args:
        bins: `(2 * words,)`, the classes of the path.
        scores: `(words,)`, of the words on it.
        usual: `(words,)`, classes that each lasts at its recording's pace (`pace.usual_lengths`).
        classes: how many there are in the recording.

    Returns: in order, not overlapping, and of no more than `LONGEST` words: longer ones are parted at surest words.
        None where nothing is known, or where words do not last on the path.
    """
    if not len(scores) or scores.mean() < KNOWN or (bins[1::2] == bins[::2]).any():
        return []
    doubtful = np.pad(scores < DOUBTFUL, 2)
    doubtful = (doubtful[:-2] | doubtful[1:-1] | doubtful[2:]).astype(np.int8)[1:-1]
    edges = np.flatnonzero(np.diff(doubtful, prepend=0, append=0)).reshape(-1, 2).tolist()
    edges = [part for first, past in edges for part in _parted(scores, first, past)]
    ends, starts = np.append(0, bins[1::2]), np.append(bins[::2], classes - 1)
    found = []
    for first, past in edges:
        margin = np.ceil(usual[first:past].sum())
        begin, last = max(ends[first], bins[2 * first] - margin), min(starts[past], bins[2 * past - 1] + margin)
        found.append(Stretch(slice(first, past), slice(int(begin), int(last) + 1)))
    return found


def _parted(scores: np.ndarray, first: int, past: int) -> list[tuple[int, int]]:
    """Words `first` to `past - 1` without as few of the surest as leave no more than `LONGEST` together."""
    if past - first <= LONGEST:
        return [(first, past)]
    quarter = (past - first) // 4
    surest = first + quarter + int(scores[first + quarter : past - quarter].argmax())
    return _parted(scores, first, surest) + _parted(scores, surest + 1, past)


def settled(
    milliseconds: np.ndarray,
    stretches: Sequence[Stretch],
    medians: Sequence[np.ndarray],
    segment_time: float,
    limit: float,
) -> np.ndarray:
    """
    Times of a clip with medians in its doubtful stretches, where they are far from the path.

    Order is kept, and so is a class's length for each word (`joint_decoding.in_order`).

    Args:
        milliseconds: `(2 * words,)`, of the path.
        stretches: as `doubtful_stretches` gives them.
        medians: of each stretch, as `posterior_medians` gives them.
        segment_time: milliseconds a class.
        limit: milliseconds, a whole number, that no time exceeds, or infinity.

    Returns: whole milliseconds, float64 `(2 * words,)`.
    """
    places = milliseconds / segment_time
    for stretch, columns in zip(stretches, medians, strict=True):
        found = stretch.classes.start + columns
        far = (np.abs(found * segment_time - milliseconds[stretch.slots]) > FAR) & np.isfinite(found).all()
        places[stretch.slots] = np.where(far, found, places[stretch.slots])
    return in_order(places, segment_time, limit)


def posterior_medians(
    log_probabilities: Sequence[np.ndarray], usual: Sequence[np.ndarray], classes: Sequence[int], radius: int = 1
) -> list[np.ndarray]:
    """
    The median of each slot's class over all paths on which every word lasts and none starts before the one ahead of it
    has ended (forward-backward, Baum et al. 1970; with words that last: Ferguson 1980), of several stretches of words.

    A path is as probable as the product of its slots' probabilities, each with something (`MISLED`) for a slot that
    lies anywhere in the recording, and of what its words' lengths are worth (`pace.shares_of_short_words`). No other
    time has a smaller expected error than the median. Medians keep the order of the paths.

    Args:
        log_probabilities: of each stretch, `(2 * words, columns)` of its slots and of the classes in question.
        usual: of each stretch, `(words,)`, classes that each word lasts at its recording's pace.
        classes: of each stretch, how many there are in its recording.
        radius: how many columns on each side of a slot's best one belong to it.

    Returns: of each stretch, float64 `(2 * words,)`, columns and parts of them; NaN where what is ahead and what is
        behind contradict each other beyond what numbers can hold.

    Raises `ValueError` where there are not as many columns as words need, one more than there are words.
    """
    for number, rows in enumerate(log_probabilities):
        if rows.shape[1] <= len(rows) // 2:
            raise ValueError(f"stretch {number}: {len(rows) // 2} words do not fit into {rows.shape[1]} classes")
    # those that are about as wide, together: a step takes as long for many as for one, as long as they are small
    groups: dict[tuple[int, int], list[int]] = {}
    sizes: Counter[int] = Counter()
    for number, rows in enumerate(log_probabilities):
        wide = (rows.shape[1].bit_length() + 1) // 2
        groups.setdefault((wide, sizes[wide] // AT_ONCE), []).append(number)
        sizes[wide] += len(rows) * 4**wide
    medians: list[np.ndarray] = [np.zeros(0)] * len(log_probabilities)
    for group in groups.values():
        scores, lengths, counts = ([values[n] for n in group] for values in (log_probabilities, usual, classes))
        for number, columns in zip(group, _medians(scores, lengths, counts, radius)):
            medians[number] = columns
    return medians


def _medians(
    log_probabilities: list[np.ndarray], usual: list[np.ndarray], classes: list[int], radius: int
) -> list[np.ndarray]:
    """`posterior_medians` of stretches of which each step is taken for all at once."""
    sizes = np.array([len(rows) for rows in log_probabilities])
    widths = np.repeat([rows.shape[1] for rows in log_probabilities], sizes)
    scores = np.full((sizes.sum(), widths.max()), -np.inf, dtype=np.float32)
    pasts = np.cumsum(sizes)
    for rows, past in zip(log_probabilities, pasts.tolist()):
        scores[past - len(rows) : past, : rows.shape[1]] = rows
    rows = np.exp(scores, dtype=np.float64)
    _spread(rows, widths, np.repeat(classes, sizes), radius)
    shares = _as_rows(
        [shares_of_short_words(n) for n in np.minimum(np.concatenate(usual), widths[::2].clip(max=_LONG)).tolist()]
    )

    order, firsts = in_step(pasts - sizes, pasts)
    steps = np.split(rows[order], firsts)
    lengths = [share[:, : (share < 1.0).sum(-1).max()] for share in np.split(shares[order // 2], firsts)[::2]]
    # how probable what is ahead of a slot and the slot itself are, and what is behind it, by column; per word up to a
    # factor, without which the products would vanish
    ahead, behind = [], []
    reached = np.ones_like(steps[0])
    for start, end, share in zip(steps[::2], steps[1::2], lengths):
        ahead.append(reached[: len(start)] * start)
        ahead.append(_lasting(ahead[-1], share) * end)
        ahead[-1] /= ahead[-1].sum(-1, keepdims=True)
        reached = ahead[-1].cumsum(-1)
    reached = np.ones((0, rows.shape[1]))
    for start, end, share in zip(steps[-2::-2], steps[::-2], lengths[::-1]):
        reached = np.concatenate([reached, np.ones((len(end) - len(reached), rows.shape[1]))])
        behind.append(reached)
        behind.append(_lasting((reached * end)[:, ::-1], share)[:, ::-1])
        reached = (behind[-1] * start)[:, ::-1].cumsum(-1)[:, ::-1]
        reached = reached / reached[:, :1]
    found = np.empty(len(rows))
    found[order] = _halves(np.concatenate(ahead) * np.concatenate(behind[::-1]))
    return np.split(found, pasts[:-1])


def _spread(rows: np.ndarray, widths: np.ndarray, classes: np.ndarray, radius: int) -> None:
    """Puts into probabilities `(slots, columns)`, of which so many columns count as `widths` says, what a slot that
    lies anywhere in its recording has for each of its `classes`; next to nothing where silences were ruled out."""
    each, best = np.arange(len(rows)), rows.argmax(-1)
    sums = np.pad(rows.cumsum(-1), ((0, 0), (1, 0)))
    near = sums[each, np.minimum(best + radius + 1, rows.shape[1])] - sums[each, np.maximum(best - radius, 0)]
    anywhere = MISLED * (1.0 - near.clip(max=1.0)) / classes
    rows += np.where(rows > 0, anywhere[:, None], 0.0)
    rows += np.where(np.arange(rows.shape[1]) < widths[:, None], _LEAST / classes[:, None], 0.0)


def _as_rows(shares: list[np.ndarray]) -> np.ndarray:
    """Shares of short words, of each word as many as of the word with the most."""
    rows = np.ones((len(shares), max(map(len, shares))))
    for row, values in zip(rows, shares):
        row[: len(values)] = values
    return rows


def _lasting(starts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What reaches each column from `starts` `(words, columns)` as words that last so many columns: the share that
    `shares` `(words, lengths)` has for it, or all of it of longer ones."""
    words, columns = starts.shape
    count = min(shares.shape[1], columns)
    before = np.zeros((words, count - 1 + columns))
    before[:, count - 1 :] = starts
    row, column = before.strides
    windows = np.lib.stride_tricks.as_strided(before, (words, columns, count), (row, column, column), writeable=False)
    reached = np.einsum("wcl,wl->wc", windows, shares[:, count - 1 :: -1])
    reached[:, count:] += starts[:, :-count].cumsum(-1)
    return reached


def _halves(weights: np.ndarray) -> np.ndarray:
    """Where half of each row's weight `(slots, columns)` lies on either side; a column's is spread over its width."""
    sums = weights.cumsum(-1)
    half = sums[:, -1] / 2
    column = (sums < half[:, None]).sum(-1)
    each = np.arange(len(weights))
    with np.errstate(invalid="ignore"):  # a row may weigh nothing that a number can hold: then there is no answer
        return column + 0.5 - (sums[each, column] - half) / weights[each, column]
