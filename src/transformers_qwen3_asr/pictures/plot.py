"""Waveform, mel spectrogram and words of a recording as a picture, with matplotlib (the extra `plot`)."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.decoding import is_unrated
from ..audio.streams import AudioStream
from ..formats.spoken import Spoken
from ..results import AlignmentResult
from ..text.spans import columns
from .figures import check_plot, write_figure
from .page import rows, visible

RATE = 16000
_ROW_SECONDS = 10.0  # in which words of usual speech have room for their text
_MOST_ROWS = 60  # what lasts longer than these has longer ones, and in them text where there is room
_WIDTH, _HEIGHT, _HEAD, _FOOT = 15.0, 1.9, 0.6, 0.2  # inches: of the picture, a row, above and below the rows
_LEFT, _RIGHT = 0.5, 0.15  # inches beside a row
_COLUMNS = 1500  # that a row of sound is drawn in
_MELS = 80
# What a row holds, from below: the spectrogram from 0 to 1, the waveform around 1.4, and words above it.
_WAVE, _HALF, _BAR, _TEXT, _LANE, _LANES = 1.4, 0.36, 1.8, 1.98, 0.22, 3
_FONT_SIZE, _EM = 8, 0.6  # points; how wide a letter is, of its height
_UNKNOWN = "0.7"  # grey of a word without a score
_LONGEST_TEXT = 40
#: Families that have what matplotlib's own font lacks, where they are installed.
_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Droid Sans Fallback", "WenQuanYi Zen Hei")


def write_plot(result: AlignmentResult, audio: Any, path: str | os.PathLike, title: str | None = None) -> Path:
    """
    Draws a recording and its words into a file, and returns the path; the extension decides the format.

    A row is 10 s: the words with their text, coloured by their score, over the waveform and the mel spectrogram. Words
    that do not fit are hatched, and what is heard without words is marked. Longer recordings have more rows, and from
    ten minutes on longer ones, in which words have their text where there is room.

    Args:
        result: what the pipeline returns for one recording.
        audio: the recording, in any form that `load_audio` takes. It is read twice.
        path: an existing file is replaced by the whole of the new one, or stays.
        title: default: the name of `path`.

    Raises:
        ValueError: as `check_plot`; the recording cannot be decoded.
        OSError: the file cannot be written.
    """
    check_plot(path)
    figure = alignment_figure(Spoken(title or Path(path).stem, result, audio=audio))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        written = write_figure(figure, path)
    lacking = [warning for warning in caught if "missing from font" in str(warning.message)]
    for warning in caught:
        if warning not in lacking:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if lacking:
        warnings.warn(f"{path}: no font here shows some characters; Noto Sans CJK has many", stacklevel=2)
    return written


def alignment_figure(spoken: Spoken):
    """The picture as a `matplotlib.figure.Figure`, made without pyplot: no window, no global state."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    with AudioStream((spoken.audio, RATE) if is_unrated(spoken.audio) else spoken.audio, RATE) as stream:
        seconds = _seconds(stream)
        length = max(min(_ROW_SECONDS, seconds), seconds / _MOST_ROWS)
        sounds = list(_sounds(stream, seconds, length))
    height = _HEAD + _HEIGHT * len(sounds) + _FOOT
    figure = Figure(figsize=(_WIDTH, height), dpi=100)
    figure.text(
        _LEFT / _WIDTH, 1 - 0.3 / height, visible(spoken.name), size=13, weight="bold", va="center", parse_math=False
    )
    signs = "hatched: text that may not be said here    dashed: heard, but not in the text    score"
    figure.text(0.79, 1 - 0.3 / height, signs, size=_FONT_SIZE, va="center", ha="right")
    colours = colormaps["RdYlBu"]
    scale = figure.add_axes((0.8, 1 - 0.37 / height, 0.18, 0.14 / height))
    figure.colorbar(ScalarMappable(cmap=colours), cax=scale, orientation="horizontal").ax.tick_params(labelsize=7)

    items = [item for row in rows(spoken) for item in row["items"]]
    loudest = max(float(np.abs(wave).max()) for wave, _ in sounds) or 1.0
    top = max(float(mel.max()) for _, mel in sounds)
    fonts = _fonts()
    for number, (wave, mel) in enumerate(sounds):
        first = number * length
        bottom = 1 - (_HEAD + _HEIGHT * (number + 1) - 0.3) / height  # its times are below
        place = (_LEFT / _WIDTH, bottom, 1 - (_LEFT + _RIGHT) / _WIDTH, (_HEIGHT - 0.3) / height)
        axes = figure.add_axes(place)
        _draw_sound(axes, wave / loudest, mel, top, first, min(first + length, seconds))
        shown = [item for item in items if item[0] < first + length and item[1] >= first]
        axes.set(xlim=(first, first + length), ylim=(0, _TEXT + _LANE * _LANES))
        _draw_words(axes, shown, colours, fonts)
    figure.axes[-1].set_xlabel("seconds", size=_FONT_SIZE)
    return figure


def _seconds(stream: AudioStream) -> float:
    """How long a recording lasts, which its file may not say."""
    count = 0
    while part := len(stream.read(count, count + 60 * RATE)):
        count += part
    return count / RATE


def _sounds(stream: AudioStream, seconds: float, length: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each row the least and the largest sample of each column `(columns, 2)`, and its mels `(mels, frames)`."""
    filters = mel_filters()
    window = np.hanning(401)[:400]
    for number in range(max(1, int(np.ceil(seconds / length - 1e-6)))):
        samples = stream.read(round(number * length * RATE), round((number + 1) * length * RATE))
        step = max(160, round(length * RATE / _COLUMNS))
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[::step]
        power = np.abs(np.fft.rfft(frames * window)) ** 2
        edges = range(0, len(samples), max(1, round(length * RATE / _COLUMNS)))
        wave = np.stack([np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)], axis=1)
        yield wave, np.log10(np.maximum(filters @ power.T, 1e-10))


def mel_filters() -> np.ndarray:
    """`(mels, 201)`: triangles on the mel scale, 2595 log10(1 + hertz / 700), as HTK has it, from 0 to 8 kHz."""
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), _MELS + 2)
    low, middle, high = (700 * (10 ** (mels[i : _MELS + i, None] / 2595) - 1) for i in range(3))
    hertz = np.linspace(0, RATE / 2, 201)
    return np.maximum(0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)))


def _draw_sound(axes, wave: np.ndarray, mel: np.ndarray, top: float, first: float, last: float) -> None:
    # what is 60 decibels below the loudest is black
    limits = {"vmin": top - 6, "vmax": top}
    axes.imshow(mel, extent=(first, last, 0, 1), origin="lower", aspect="auto", cmap="magma", **limits)
    times = np.linspace(first, last, len(wave))
    axes.fill_between(times, _WAVE + _HALF * wave[:, 0], _WAVE + _HALF * wave[:, 1], color="0.35", linewidth=0.4)
    hertz = np.array([500, 1000, 2000, 4000])
    highest = np.log10(1 + RATE / 2 / 700)
    axes.set_yticks(np.log10(1 + hertz / 700) / highest, [f"{value / 1000:g}" for value in hertz], size=6)
    axes.set_ylabel("kHz", size=6, y=0.25)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _draw_words(axes, items: list[list], colours, fonts: list[str]) -> None:
    """Words and gaps, as `rows` gives them, on axes whose limits are the row's."""
    words, gaps = [item for item in items if len(item) > 2], [item for item in items if len(item) == 2]
    spans = [(item[0], item[1] - item[0]) for item in words]
    shades = [_UNKNOWN if item[2] is None else colours(item[2]) for item in words]
    whole = (1, _BAR - 0.88)
    axes.broken_barh(spans, (1, _BAR - 1), facecolors=shades, alpha=0.35)
    axes.broken_barh(spans, (_BAR, 0.12), facecolors=shades, edgecolors="0.3", linewidths=0.4)
    unfit = [span for span, item in zip(spans, words, strict=True) if item[4]]
    axes.broken_barh(unfit, whole, facecolors="none", edgecolors="crimson", hatch="///", linewidths=0)
    heard = [(start, end - start) for start, end in gaps]
    axes.broken_barh(heard, whole, facecolors="none", edgecolors="rebeccapurple", linestyles="--", linewidths=1.2)
    axes.vlines([time for item in words for time in item[:2]], 0, 1, colors="white", linewidths=0.5, alpha=0.6)
    first, last = axes.get_xlim()
    letter = _EM * _FONT_SIZE / 72 / (_WIDTH - _LEFT - _RIGHT) * (last - first)  # seconds
    free = [-np.inf] * _LANES
    named = [*((start, end, text) for start, end, _, text, _ in words), *((*gap, "no text") for gap in gaps)]
    for start, end, text in sorted(named):
        text = text.strip() if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
        half = columns(text) * letter / 2
        middle = min(max((start + end) / 2, first + half), last - half)
        lane = next((lane for lane in range(_LANES) if free[lane] <= middle - half), None)
        if lane is not None:
            free[lane] = middle + half
            axes.text(middle, _TEXT + lane * _LANE, text, size=_FONT_SIZE, family=fonts, ha="center", parse_math=False)


def _fonts() -> list[str]:
    """matplotlib's own font, and those that are installed of the ones that have more."""
    from matplotlib.font_manager import get_font_names

    return ["DejaVu Sans", *(name for name in _FONTS if name in get_font_names())]
