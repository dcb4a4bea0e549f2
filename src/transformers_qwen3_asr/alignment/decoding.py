"""From scores at the slots to words' times: the class of each slot, made monotone, in seconds."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from .confidence import word_scores
from .joint_decoding import best_classes, classes_within, joint_bins, joint_times
from .pace import least_lengths

#: How slots become times: "joint", the most probable classes of all slots together, or "argmax", as qwen-asr does.
DECODINGS = ("joint", "argmax")
DEFAULT_DECODING = "joint"


def repair_monotone(values: Iterable[float]) -> list[int]:
    """
    `values` (milliseconds) made non-decreasing, as whole numbers, as qwen-asr 0.0.6 does it.

    A longest non-decreasing subsequence is kept. Where several are longest, it is the one that ends at the earliest
    index, and going backwards each value's predecessor is the earliest that fits. The values between are replaced: up
    to two in a row take the nearer kept neighbour's value (the left one's at equal distance), three and more are
    interpolated linearly, and outside the first and last kept value the nearest kept one is repeated. Fractions are
    cut off towards zero.

    O(n log n): both the length of the longest subsequence at an index and its earliest predecessor are found by
    bisection (Fredman 1975; the predecessor is explained below).

    Raises `ValueError` for a value that is NaN or infinite.
    """
    data = [float(v) for v in values]
    for i, value in enumerate(data):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"value {i} is {value}; times must be finite")
    if not data:
        return []

    kept = _longest_non_decreasing(data)
    result = list(data)
    for left, right in zip([None, *kept], [*kept, None]):
        if left is None:
            result[:right] = [data[right]] * right
        elif right is None:
            result[left + 1 :] = [data[left]] * (len(data) - left - 1)
        elif right - left - 1 <= 2:
            for k in range(left + 1, right):
                result[k] = data[left] if k - left <= right - k else data[right]
        else:
            step = (data[right] - data[left]) / (right - left)
            for k in range(left + 1, right):
                result[k] = data[left] + step * (k - left)
    return [int(value) for value in result]


def _longest_non_decreasing(data: list[float]) -> list[int]:
    """Indices of the subsequence that `repair_monotone` keeps."""
    lowest: list[float] = []  # at [k], the smallest value so far that ends a subsequence of k + 1
    lengths = []  # of the longest subsequence that ends at each index, less 1
    for value in data:
        k = bisect_right(lowest, value)
        lowest[k : k + 1] = [value]
        lengths.append(k)

    # Indices sorted by length, then by place. Among those of one length the values fall strictly (were one not below
    # an earlier one, its own subsequence would be longer), so the first that is not above a bound is found by
    # bisection. It stands before its successor, since some predecessor does and this is the earliest.
    order = sorted(range(len(data)), key=lengths.__getitem__)
    kept: list[int] = []
    end, bound = len(order), float("inf")
    for k in reversed(range(len(lowest))):
        start = bisect_left(order, k, hi=end, key=lengths.__getitem__)
        kept.append(order[bisect_left(order, -bound, start, end, key=lambda i: -data[i])])
        end, bound = start, data[kept[-1]]
    return kept[::-1]


def slot_logits(logits: torch.Tensor, input_ids: torch.Tensor, timestamp_token_id: int) -> list[torch.Tensor]:
    """
    Each clip's scores at its slots, `(slots, classes)`.

    `logits` are either `(batch, length, classes)`, or `(slots, classes)` in row-major order of the slots in
    `input_ids` `(batch, length)`, which is what `logits_to_keep=input_ids == timestamp_token_id` gives.

    Raises `ValueError` where the shapes do not fit each other.
    """
    slots = torch.as_tensor(input_ids) == timestamp_token_id
    if slots.ndim != 2:
        raise ValueError(f"input_ids have the shape {tuple(slots.shape)}; (batch, length) is expected")
    counts = slots.sum(-1).tolist()
    if logits.ndim == 3:
        if logits.shape[:2] != slots.shape:
            raise ValueError(
                f"logits have the shape {tuple(logits.shape)}, which does not fit input_ids of {tuple(slots.shape)}"
            )
        return list(logits[slots.to(logits.device)].split(counts))
    if logits.ndim == 2 and len(logits) == sum(counts):
        return list(logits.split(counts))
    raise ValueError(
        f"logits have the shape {tuple(logits.shape)}; (batch, length, classes) or ({sum(counts)} slots, classes) fit "
        f"these input_ids"
    )


def decode_slots(
    logits: torch.Tensor,
    words: int | None = None,
    timestamp_segment_time: float = 80,
    name: str = "the clip",
    decoding: str = DEFAULT_DECODING,
    duration: float | None = None,
    lengths: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Times and scores of a clip's words from its slots' scores.

    Args:
        logits: `(2 * words, classes)`, each word's start slot, then its end slot.
        words: how many words are expected; other numbers of slots are an error.
        timestamp_segment_time: milliseconds a class.
        name: how messages call the clip.
        decoding: "joint": the most probable classes of all slots together (`joint_decoding.joint_bins`), so that each
            word lasts at least one class where that is possible, and times read around them (`joint_times`).
            "argmax": the best class of each slot, and the order repaired (`repair_monotone`), bit by bit what
            qwen-asr 0.0.6 returns.
        duration: seconds of the recording, which "joint" keeps all times inside; "argmax" never cuts them, as in
            qwen-asr.
        lengths: of each word when it is spoken, as `pace.letters` gives them. With them "joint" gives words that it is
            not sure of a least length (`pace.least_lengths`).

    Returns: starts and ends in seconds, float64 `(words, 2)`, whole milliseconds and never falling; and scores,
        float64 `(words,)` from 0 to 1 (`confidence.word_scores`).

    Raises `ValueError` for NaN or +inf scores, a number of slots that is not twice the number of words, an unknown
    `decoding`, and a `duration` below 0.
    """
    if decoding not in DECODINGS:
        raise ValueError(f"decoding={decoding!r}: known are {', '.join(DECODINGS)}")
    if duration is not None and not 0 <= duration < float("inf"):
        raise ValueError(f"{name}: a duration of {duration!r} seconds")
    if logits.ndim != 2 or len(logits) % 2 or (words is not None and len(logits) != 2 * words):
        wanted = "an even number" if words is None else f"two for each of {words} words"
        raise ValueError(f"{name} has scores of the shape {tuple(logits.shape)}: its slots should be {wanted}")
    if len(logits) == 0:
        return np.zeros((0, 2)), np.zeros(0)
    logits = logits.detach()
    log_probabilities = logits.log_softmax(dim=-1, dtype=torch.float32)
    if (bad := log_probabilities[:, 0].isnan()).any():  # the whole row is, where one score is NaN or +inf, or all -inf
        raise ValueError(f"{name}: the scores at slot {int(bad.nonzero()[0])} are not finite (NaN or inf)")

    if decoding == "joint":
        limit = np.inf if duration is None else np.floor(duration * 1000 + 1e-6)
        reach = classes_within(limit, timestamp_segment_time, len(logits) // 2)
        bins = _joint_bins(log_probabilities, reach, timestamp_segment_time, lengths)
        milliseconds = joint_times(log_probabilities, bins, timestamp_segment_time, limit)
    else:
        # float32 like qwen-asr's product, so that a fractional segment time is cut off at the same milliseconds
        raw = logits.float().argmax(dim=-1).float() * timestamp_segment_time
        milliseconds = np.array(repair_monotone(raw.tolist()), dtype=np.float64)
        bins = (milliseconds / timestamp_segment_time + 0.5).astype(np.int64).clip(max=logits.shape[-1] - 1)
    times = np.round(milliseconds / 1000.0, 3).reshape(-1, 2)
    return times, word_scores(log_probabilities, bins, timestamp_segment_time)


def _joint_bins(
    log_probabilities: torch.Tensor, reach: int | None, segment_time: float, lengths: Sequence[float] | None
) -> np.ndarray:
    """The joint path; with `lengths` a second one, where the first gives words less than they take at its pace."""
    best = best_classes(log_probabilities[:, :reach])
    bins = joint_bins(log_probabilities, reach, best=best)
    if lengths is None:
        return bins
    scores = word_scores(log_probabilities, bins, segment_time)
    least = least_lengths(bins, scores, lengths, min(reach or np.inf, log_probabilities.shape[-1]))
    if (bins[1::2] - bins[::2] >= least).all():
        return bins
    return joint_bins(log_probabilities, reach, least, best)


def decode_batch(
    logits: torch.Tensor,
    input_ids: torch.Tensor,
    word_counts: Sequence[int],
    timestamp_token_id: int,
    timestamp_segment_time: float = 80,
    decoding: str = DEFAULT_DECODING,
    durations: Sequence[float | None] | None = None,
    lengths: Sequence[Sequence[float] | None] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`decode_slots` of each clip of a batch, from the model's `logits` in either form that `slot_logits` takes;
    `durations` holds the seconds of each recording, or `None` where they are not known, `lengths` those of each
    recording's words, or `None`."""
    clips = slot_logits(logits, input_ids, timestamp_token_id)
    durations = [None] * len(clips) if durations is None else durations
    lengths = [None] * len(clips) if lengths is None else lengths
    for what, values in (("word lists", word_counts), ("durations", durations), ("lists of lengths", lengths)):
        if len(clips) != len(values):
            raise ValueError(f"there are {len(values)} {what} for {len(clips)} clips")
    return [
        # a clip without words has had one pair of slots in native transformers' prompt
        decode_slots(clip if words else clip[:0], words, timestamp_segment_time, f"clip {i}", decoding, *limits)
        for i, (clip, words, *limits) in enumerate(zip(clips, word_counts, durations, lengths))
    ]
