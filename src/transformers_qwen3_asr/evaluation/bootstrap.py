"""How sure a mean over clips is: an interval from resampling the clips."""

import numpy as np


def bootstrap_interval(
    sums, counts, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """
    Percentile bootstrap interval (Efron 1979) of `sum(sums) / sum(counts)`.

    Whole clips are drawn, with replacement, as many as there are: errors within a clip belong together (one voice, one
    noise), and words drawn one by one would make the interval too narrow.

    Args:
        sums: for each clip the sum of its errors, in any unit.
        counts: for each clip how many they are.
        resamples: how many times clips are drawn.
        seed: of numpy's PCG64; the same seed gives the same interval.
        level: share of the resampled means that lie inside, the rest equally on both sides.

    Returns: lower and upper end, or `None` for a single clip, which says nothing about others.

    Raises `ValueError` for lists of different lengths, no clips, a count below 1, or settings out of range.
    """
    sums, counts = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if sums.shape != counts.shape or sums.ndim != 1 or len(sums) == 0:
        raise ValueError(f"sums and counts have the shapes {sums.shape} and {counts.shape}; (clips,) is expected")
    if not (counts >= 1).all():
        raise ValueError(f"clip {int(np.argmin(counts))} has no times")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples={resamples}, level={level}: at least 1, and between 0 and 1, are expected")
    clips = len(sums)
    if clips == 1:
        return None
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):  # one at a time: all at once would be clips times resamples numbers
        drawn = generator.integers(clips, size=clips)
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
