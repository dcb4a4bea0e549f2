"""What results say of passages that the transcript leaves out, for alignment_quality.py."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from alignment_clips import LabelledClip
from alignment_figures import verdict
from alignment_stages import Found

WORDS_LEFT_OUT = (2, 6)
LEAST_WORDS = 10  # of a text of which some are left out
LENGTHS = (0.0, 0.7, 1.2, 2.0, float("inf"))  # seconds
HEADINGS = ["left out", "passages", "found as untranscribed", "their seconds", "in or beside unfit", "either"]


def with_passages_left_out(
    clips: Sequence[LabelledClip], seed: int = 0
) -> tuple[list[LabelledClip], list[tuple[float, float, int]]]:
    """The clips of ten words and more with two to six neighbouring words left out of the transcript; and of each the
    seconds in which these are said, and how many words stand before them."""
    random = np.random.default_rng(seed)
    changed, passages = [], []
    for clip in clips:
        if len(clip.words) < LEAST_WORDS:
            continue
        count = random.integers(WORDS_LEFT_OUT[0], WORDS_LEFT_OUT[1] + 1)
        first = random.integers(0, len(clip.words) - count + 1)
        kept = np.r_[:first, first + count : len(clip.words)]
        start, end = clip.reference[first, 0] / 1000, clip.reference[first + count - 1, 1] / 1000
        changed.append(replace(clip, words=[clip.words[i] for i in kept], reference=clip.reference[kept]))
        passages.append((float(start), float(end), int(first)))
    return changed, passages


def passage_rows(
    clips: Sequence[LabelledClip], passages: Sequence[tuple[float, float, int]], aligned: Sequence[Found]
) -> list[list[str]]:
    """By how long a passage is that was left out: how many there are, of how many a tenth of a second is found as
    untranscribed, and how much of all their seconds; and beside how many words do not fit."""
    found = []
    for clip, (start, end, before), one in zip(clips, passages, aligned, strict=True):
        fit, stretches = verdict(clip, one)
        heard = sum(max(0.0, min(last, end) - max(first, start)) for first, last, _ in stretches)
        beside = any(first <= before <= last for first, last in fit.unfit)
        found.append((end - start, heard, heard >= 0.1, beside, heard >= 0.1 or beside))
    rows = []
    for least, below in pairwise(LENGTHS):
        some = np.array([row for row in found if least <= row[0] < below], dtype=float).reshape(-1, 5)
        if len(some):
            shares = some[:, 2].mean(), some[:, 1].sum() / some[:, 0].sum(), some[:, 3].mean(), some[:, 4].mean()
            name = f"{least:g} to {below:g} s" if np.isfinite(below) else f"{least:g} s and more"
            rows.append([name, str(len(some)), *(f"{share:.0%}" for share in shares)])
    return rows


def whole_row(name: str, clips: Sequence[LabelledClip], aligned: Sequence[Found]) -> list[str]:
    """The same of recordings whose transcripts leave nothing out: how many have such reports nonetheless."""
    verdicts = [verdict(clip, one) for clip, one in zip(clips, aligned, strict=True)]
    untold, unfit = np.array([(bool(stretches), bool(fit.unfit)) for fit, stretches in verdicts]).T
    shares = f"{untold.mean():.1%}", "–", f"{unfit.mean():.1%}", f"{(untold | unfit).mean():.1%}"
    return [name, str(len(clips)), *shares]
