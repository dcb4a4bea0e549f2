"""What is printed of times and scores against labels, for alignment_quality.py: rows of tables in Markdown."""

from collections.abc import Sequence

import numpy as np
from alignment_clips import LabelledClip
from alignment_stages import Found

from transformers_qwen3_asr.alignment.confidence import FITS, RecordingFit, recording_fit
from transformers_qwen3_asr.alignment.untranscribed import Levels, untranscribed
from transformers_qwen3_asr.evaluation import bootstrap_interval
from transformers_qwen3_asr.training.metrics import alignment_metrics

#: Columns of the tables of times: heading, key in `alignment_metrics`, how its number is written.
COLUMNS = (
    ("median", "median_ms", ".1f"),
    ("≤ 20 ms", "within_20ms", ".1%"),
    ("≤ 50 ms", "within_50ms", ".1%"),
    ("≤ 80 ms", "within_80ms", ".1%"),
    ("≤ 100 ms", "within_100ms", ".1%"),
    ("> 1 s", "over_1s", ".2%"),
    ("F1 20 ms", "f1_20ms", ".2f"),
    ("on a neighbour", "on_neighbour", ".1%"),
    ("zero length", "zero_length", ".1%"),
)
HEADINGS = [
    *("recordings", "stage", "clips", "words", "AAS ms [95 %]", "change [95 %]"),
    *(heading for heading, _, _ in COLUMNS),
    *("right texts refused", "foreign texts taken", "audio heard"),
]
CALIBRATION = [
    "recordings",
    "words",
    "mean score",
    "right",
    "expected calibration error",
    "score 0.85–0.95",
    "of these right",
]
CONFIDENCE = ["of", "right", "wrong", "AUC", "median right", "median wrong", f"right below {FITS:g}", "wrong above"]
BINS = 10  # of the expected calibration error
NEAR = 0.08  # seconds within which a word is right


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times_row(
    name: str,
    stage: str,
    clips: Sequence[LabelledClip],
    found: Sequence[Found | None],
    before: Sequence[Found | None] | None = None,
    refused: float | None = None,
    taken: float | None = None,
    audio: float | None = None,
) -> list[str]:
    """
    A row of the table with `HEADINGS`. Words that are not said do not count, nor clips without `found`.

    `before` is what the change is to: the difference of the two AAS on the clips that both have, with the interval of
    the differences clip by clip. `refused` and `taken` are shares of texts, `audio` what was heard, over the clips'
    own; – where there is none.
    """
    places = [i for i, one in enumerate(found) if one is not None and clips[i].right.any()]
    if not places:
        return [name, stage, "0", *["–"] * (len(HEADINGS) - 3)]
    times, wanted = zip(*(_said(clips[i], found[i]) for i in places))
    figures = alignment_metrics(times, wanted)
    sums, counts = _shifts([clips[i] for i in places], times, wanted)
    aas = f"{figures['aas_ms']:.1f}{_interval(sums, counts, '.1f')}"
    change = "–"
    if before is not None and (both := [i for i in places if before[i] is not None]):
        some = [clips[i] for i in both]
        ours, theirs = (_shifts(some, *zip(*(_said(clips[i], way[i]) for i in both))) for way in (found, before))
        sums, counts = ours[0] - theirs[0], ours[1]
        change = f"{sums.sum() / counts.sum():+.1f}{_interval(sums, counts, '+.1f')}"
    more = [format(figures[key], form) for _, key, form in COLUMNS]
    shares = ["–" if share is None else f"{share:.1%}" for share in (refused, taken)]
    listened = "–" if audio is None else f"{audio:.2f}"
    return [name, stage, str(len(places)), str(figures["words"]), aas, change, *more, *shares, listened]


def _said(clip: LabelledClip, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Times and labels of the words that are said, milliseconds."""
    return 1000 * found[0][clip.right], clip.reference[clip.right]


def _shifts(clips: Sequence[LabelledClip], times, wanted) -> tuple[np.ndarray, np.ndarray]:
    """For each recording the sum of all errors (milliseconds) and how many they are. Clips of one name are one: the
    same one may be part of a joined recording several times."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for number, (clip, found, right) in enumerate(zip(clips, times, wanted, strict=True)):
        key = clip.name or f"clip {number}"
        sums[key] = sums.get(key, 0.0) + float(np.abs(found - right).sum())
        counts[key] = counts.get(key, 0) + right.size
    return np.array([*sums.values()]), np.array([*counts.values()])


def _interval(sums: np.ndarray, counts: np.ndarray, form: str) -> str:
    interval = bootstrap_interval(sums, counts)
    return "" if interval is None else " [{}, {}]".format(*(format(end, form) for end in interval))


def verdict(clip: LabelledClip, found: Found) -> tuple[RecordingFit, list[tuple[float, float, int]]]:
    """What the pipeline says of a clip whose times and scores are these: whether its text fits, and the stretches that
    the text does not have."""
    times, scores = found
    levels = Levels(16000)
    levels.note(0, clip.samples)
    stretches = untranscribed(levels.decibels(), times)
    return recording_fit(scores, times, sum(end - start for start, end, _ in stretches)), stretches


def share_that_fits(clips: Sequence[LabelledClip], found: Sequence[Found]) -> float:
    """How many of the clips' texts fit, 0 to 1."""
    return float(np.mean([verdict(clip, one)[0].fits for clip, one in zip(clips, found, strict=True)]))


def calibration_row(name: str, clips: Sequence[LabelledClip], found: Sequence[Found]) -> list[str]:
    """
    Whether scores are what they say: of words with the score s, s should be right, both times within 80 ms. A word
    that is not said is never right. The expected calibration error (Guo and others 2017) is the mean difference
    between score and share of right words in ten bins of score, each counting as many words as it has.
    """
    scores = np.concatenate([values for _, values in found])
    right = np.concatenate(
        [
            (np.abs(1000 * times - clip.reference).max(-1) <= 1000 * NEAR + 1e-6)
            for clip, (times, _) in zip(clips, found, strict=True)
        ]
    )
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    error = sum(abs((scores - right)[bins == place].sum()) for place in range(BINS)) / len(scores)
    high = (scores >= 0.85) & (scores <= 0.95)
    share = f"{right[high].mean():.1%}" if high.any() else "–"
    return [
        name,
        str(len(scores)),
        f"{scores.mean():.3f}",
        f"{right.mean():.1%}",
        f"{error:.3f}",
        str(high.sum()),
        share,
    ]


def area_under_roc(right: np.ndarray, wrong: np.ndarray) -> float:
    """How often a right one scores above a wrong one, ties half (Mann and Whitney 1947); NaN where there is none."""
    if not len(right) or not len(wrong):
        return float("nan")
    _, places, counts = np.unique(np.concatenate([right, wrong]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    above = ranks[: len(right)].sum() - len(right) * (len(right) + 1) / 2
    return float(above / (len(right) * len(wrong)))


def confidence_row(name: str, right: np.ndarray, wrong: np.ndarray, least: float | None = None) -> list[str]:
    """A row of the table with `CONFIDENCE`: how well scores tell right from wrong ones, and the errors at `least`."""
    middles = [f"{np.median(values):.2f}" if len(values) else "–" for values in (right, wrong)]
    errors = ["–", "–"] if least is None else [f"{(right < least).mean():.1%}", f"{(wrong >= least).mean():.1%}"]
    return [name, str(len(right)), str(len(wrong)), f"{area_under_roc(right, wrong):.3f}", *middles, *errors]
