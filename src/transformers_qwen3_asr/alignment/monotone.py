"""Slots' classes or times in their order again, as qwen-asr puts them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


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
