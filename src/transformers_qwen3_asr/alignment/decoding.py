"""From scores at the slots to words' times: the class of each slot, made monotone, in seconds."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from .batch_decoding import Clip, decode_together
from .confidence import probabilities_around, tolerance_radius, word_scores
from .durations import pause_costs, shortest_lengths
from .joint_decoding import classes_within, joint_bins, joint_times, normalised, with_favour
from .probabilities import as_logits
from .voice_activity import VoiceActivity

#: On a GPU, a step of the search for all clips together takes about as long as so many slots on a processor.
STEP = 8

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
    logits, counts = _packed_slots(logits, input_ids, timestamp_token_id)
    return list(logits.split(counts))


def _packed_slots(
    logits: torch.Tensor, input_ids: torch.Tensor, timestamp_token_id: int
) -> tuple[torch.Tensor, list[int]]:
    """The scores at all slots, `(slots, classes)`, and how many slots each clip has."""
    slots = torch.as_tensor(input_ids) == timestamp_token_id
    if slots.ndim != 2:
        raise ValueError(f"input_ids have the shape {tuple(slots.shape)}; (batch, length) is expected")
    counts = slots.sum(-1).tolist()
    if logits.ndim == 3:
        if logits.shape[:2] != slots.shape:
            raise ValueError(
                f"logits have the shape {tuple(logits.shape)}, which does not fit input_ids of {tuple(slots.shape)}"
            )
        return logits[slots.to(logits.device)], counts
    if logits.ndim == 2 and len(logits) == sum(counts):
        return logits, counts
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
    probabilities: bool | None = None,
    voice: VoiceActivity | None = None,
    breaks: Sequence[int] | None = None,
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
        lengths: of each word when it is spoken, as `durations.letters` gives them. With them "joint" gives no word
            less time than it takes to say it (`durations.shortest_lengths`), where there is room.
        probabilities: whether `logits` are probabilities, what softmax made of logits; `None` finds it out (see
            `probabilities.as_logits`).
        voice: where something is heard, as `voice_activity.heard_in` gives it. With it "joint" prefers paths on which
            words cover what is heard, and no silence, and which have few pauses (`durations.pause_costs`).
        breaks: behind which words pauses cost nothing then, `(words,)`, as `text.sentences.breaks_behind` gives it.

    Returns: starts and ends in seconds, float64 `(words, 2)`, whole milliseconds and never falling; and scores,
        float64 `(words,)` from 0 to 1 (`confidence.word_scores`).

    Raises `ValueError` for NaN or +inf scores, a number of slots that is not twice the number of words, an unknown
    `decoding`, a `duration` below 0, and `lengths` or `breaks` that do not fit.
    """
    _check(logits.shape, words, name, decoding, duration)
    if len(logits) == 0:
        return np.zeros((0, 2)), np.zeros(0)
    logits = as_logits(logits.detach(), probabilities, lambda slot: f"slot {slot} of {name}")
    limit = _last_millisecond(duration)
    classes = classes_within(limit, timestamp_segment_time, len(logits) // 2) if decoding == "joint" else None
    radius = tolerance_radius(timestamp_segment_time)
    log_probabilities = normalised(logits, None if classes is None else classes + radius)
    if (bad := log_probabilities[:, 0].isnan()).any():  # the whole row is, where one score is NaN or +inf, or all -inf
        raise ValueError(f"{name}: the scores at slot {int(bad.nonzero()[0])} are not finite (NaN or inf)")

    if decoding == "joint":
        # the model's own scores: probabilities that tie by rounding would make the path depend on the device
        lasting = shortest_lengths(lengths, len(logits) // 2, timestamp_segment_time, name)
        pauses = pause_costs(len(lasting), timestamp_segment_time, breaks, name)
        bins = joint_bins(logits, classes, lasting)
        if voice is not None:
            reach = logits.shape[-1] if classes is None else min(classes, logits.shape[-1])
            voice = voice.beside(bins.reshape(-1, 2) * timestamp_segment_time / 1000)
            favoured = with_favour(logits, voice.favour(reach, timestamp_segment_time))
            bins = joint_bins(favoured, classes, lasting, pauses)
        near = probabilities_around(log_probabilities, bins, radius)
        milliseconds = joint_times(near, bins, timestamp_segment_time, limit)
    else:
        # float32 like qwen-asr's product, so that a fractional segment time is cut off at the same milliseconds
        raw = logits.argmax(-1).cpu().float() * timestamp_segment_time
        milliseconds = np.array(repair_monotone(raw.tolist()), dtype=np.float64)
        bins = (milliseconds / timestamp_segment_time + 0.5).astype(np.int64).clip(max=logits.shape[-1] - 1)  # nearest
        near = probabilities_around(log_probabilities, bins, radius)
    return _seconds(milliseconds), word_scores(near)


def _check(shape: torch.Size, words: int | None, name: str, decoding: str, duration: float | None) -> None:
    if decoding not in DECODINGS:
        raise ValueError(f"decoding={decoding!r}: known are {', '.join(DECODINGS)}")
    if duration is not None and not (hasattr(duration, "__float__") and 0 <= duration < float("inf")):
        raise ValueError(f"{name}: a duration of {duration!r} seconds")
    if len(shape) != 2 or shape[0] % 2 or (words is not None and shape[0] != 2 * words):
        wanted = "an even number" if words is None else f"two for each of {words} words"
        raise ValueError(f"{name} has scores of the shape {tuple(shape)}: its slots should be {wanted}")


def _last_millisecond(duration: float | None) -> float:
    return np.inf if duration is None else np.floor(duration * 1000 + 1e-6)


def _seconds(milliseconds: np.ndarray) -> np.ndarray:
    """Words' starts and ends, `(words, 2)`."""
    return np.round(milliseconds / 1000.0, 3).reshape(-1, 2)


def decode_batch(
    logits: torch.Tensor,
    input_ids: torch.Tensor | None,
    word_counts: Sequence[int],
    timestamp_token_id: int,
    timestamp_segment_time: float = 80,
    decoding: str = DEFAULT_DECODING,
    durations: Sequence[float | None] | None = None,
    lengths: Sequence[Sequence[float] | None] | None = None,
    probabilities: bool | None = None,
    voices: Sequence[VoiceActivity | None] | None = None,
    breaks: Sequence[Sequence[int] | None] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`decode_slots` of each clip of a batch, from the model's `logits` in either form that `slot_logits` takes.
    `input_ids` may be `None` where these are `(slots, classes)`, two slots for each word. `durations`, `lengths`,
    `voices` and `breaks` hold what `decode_slots` takes of each clip, or `None`; `probabilities` is as there. Where
    the logits are not on a CPU, "joint" decodes many clips together (`batch_decoding.decode_together`): the same
    paths; a time may differ by a millisecond from rounding."""
    if input_ids is None:
        counts = [2 * words for words in word_counts]
        if logits.ndim != 2 or len(logits) != sum(counts):
            raise ValueError(
                f"logits have the shape {tuple(logits.shape)}; without input_ids ({sum(counts)} slots, classes) are "
                f"expected, two slots for each of {sum(word_counts)} words"
            )
    else:
        logits, counts = _packed_slots(logits, input_ids, timestamp_token_id)
    logits = as_logits(logits.detach(), probabilities, lambda row: _place(row, counts))
    given = {"durations": durations, "lists of lengths": lengths, "voices": voices, "lists of breaks": breaks}
    given = {what: [None] * len(counts) if values is None else values for what, values in given.items()}
    for what, values in {"word lists": word_counts, **given}.items():
        if len(counts) != len(values):
            raise ValueError(f"there are {len(values)} {what} for {len(counts)} clips")
    clips = list(zip(word_counts, *given.values()))
    if decoding == "joint" and _in_few_calls(logits, counts):
        return _decode_together(logits, counts, clips, timestamp_segment_time)
    return [
        decode_slots(
            *(rows[: _asked(len(rows), words)], words, timestamp_segment_time, f"clip {i}", decoding),
            *(duration, spoken, False, voice, expected),
        )
        for i, (rows, (words, duration, spoken, voice, expected)) in enumerate(zip(logits.split(counts), clips))
    ]


def _place(row: int, counts: Sequence[int]) -> str:
    """How messages call the slot in a `row` of the slots of all clips."""
    places = [(clip, slot) for clip, count in enumerate(counts) for slot in range(count)]
    return "slot {1} of clip {0}".format(*places[row])


def _asked(count: int, words: int) -> int:
    """How many of a clip's slots are for its words: without any, native transformers' prompt has one pair."""
    return 0 if count == 2 and not words else count


def _in_few_calls(logits: torch.Tensor, counts: Sequence[int]) -> bool:
    """Whether clips are decoded together: on a GPU calls and waits take the time, on a CPU the work itself does, and
    so it does where a GPU has few clips."""
    return logits.device.type != "cpu" and sum(counts) > STEP * max(counts)


def _decode_together(
    logits: torch.Tensor, counts: Sequence[int], given: Sequence[tuple], segment_time: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`given` is of each clip how many words it has, its duration, lengths, voice and breaks."""
    clips, row = [], 0
    for i, (count, (words, duration, *more)) in enumerate(zip(counts, given)):
        _check(torch.Size((_asked(count, words), logits.shape[-1])), words, f"clip {i}", "joint", duration)
        clips.append(Clip(f"clip {i}", row, words, _last_millisecond(duration), *more))
        row += count
    found = iter(decode_together(logits.detach(), [clip for clip in clips if clip.words], segment_time))
    none = np.zeros(0), np.zeros(0)
    answers = [next(found) if clip.words else none for clip in clips]
    return [(_seconds(milliseconds), scores) for milliseconds, scores in answers]
