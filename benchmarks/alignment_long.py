"""Clips joined with pauses into long recordings, for alignment_quality.py; long_recordings.py has the harder cases."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from alignment_clips import LabelledClip
from alignment_figures import calibration_row, times_row
from alignment_stages import DEFAULT, Found, Hearing, aligned, of_result
from joined_recordings import LongRecording, make_long

#: Stage -> the pipeline's keywords for it. Of long recordings no scores are kept, from which others could be read.
WAYS = {
    "argmax + repair": {"decoding": "argmax"},
    "few pauses": {"refine": False},
    DEFAULT: {},
}


def long_rows(
    pipe, clips: Sequence[LabelledClip], minutes: float, seed: int = 0, batch_size: int = 8
) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the tables of times and of calibration of one recording of so many minutes, and of its clips one by one.
    Intervals are by clip: one that comes several times counts as one."""
    name = f"{minutes:g} min joined"
    with tempfile.TemporaryDirectory() as folder:
        recording = make_long(clips, Path(folder) / "long.wav", minutes * 60, seed)
        rows, before = [], None
        for stage, keywords in WAYS.items():
            begun = time.perf_counter()
            with Hearing(pipe) as hearing:
                result = pipe(str(recording.path), text=recording.words, language=clips[0].language, **keywords)
            print(f"{time.perf_counter() - begun:5.0f} s for {name}, {stage}", file=sys.stderr, flush=True)
            found = by_clip(recording, of_result(result))
            audio = hearing.seconds / recording.seconds
            rows.append(times_row(name, stage, recording.clips, found, before, float(not result["fits"]), audio=audio))
            before = found
    alone, audio = aligned(pipe, recording.clips, batch_size)
    rows.append(times_row(f"clips of {minutes:g} min", DEFAULT, recording.clips, alone, before, audio=audio))
    return rows, [calibration_row(name, recording.clips, found)]


def by_clip(recording: LongRecording, found: Found) -> list[Found]:
    """What was found in a joined recording, cut into its clips: each one's times from its own beginning."""
    pieces, first = [], 0
    for clip in recording.clips:
        words = slice(first, first + len(clip.words))
        shift = np.nanmean(recording.reference[words] - clip.reference) / 1000 if clip.right.any() else 0.0
        pieces.append((found[0][words] - shift, found[1][words]))
        first = words.stop
    return pieces
