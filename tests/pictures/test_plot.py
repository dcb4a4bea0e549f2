"""The plot of an alignment: what stands where, in which colour, and that any text and length can be drawn."""

import io
import warnings

import numpy as np
import pytest
from conftest import ROOT
from transformers.audio_utils import mel_filter_bank

from transformers_qwen3_asr.formats.spoken import Spoken
from transformers_qwen3_asr.pictures import plot, write_plot

pytest.importorskip("matplotlib", reason="plots need the extra [plot]")
RATE = 16000
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"


def result_of(words, step=0.4, **more):
    """Words of `step` seconds, with scores that go round between 0 and 1; every seventh has none."""
    chunks = []
    for number, word in enumerate(words):
        chunk = {"text": word, "timestamp": (number * step, (number + 1) * step - 0.05), "score": number % 5 / 4}
        if number % 7 == 6:
            del chunk["score"]
        chunks.append(chunk)
    return {"text": " ".join(words), "chunks": chunks, **more}


def noise(seconds):
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def rows_of(result, audio):
    """The axes of the picture's rows."""
    figure = plot.alignment_figure(Spoken("a", result, audio=audio))
    return [axes for axes in figure.axes if axes.images]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def bars(axes):
    """Edges of the words' bars, and their colours."""
    bar = axes.collections[2]
    return [path.get_extents().intervalx for path in bar.get_paths()], bar.get_facecolors()


def test_a_minute_can_be_read():
    """Each word of usual speech has its text above its span, and none lies on another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    words = [("and", "wonderful", "to", "consider", "it")[place % 5] for place in range(150)]
    axes = rows_of(result_of(words), noise(60))
    assert [row.get_xlim() for row in axes] == [(first, first + 10) for first in range(0, 60, 10)]
    for number, row in enumerate(axes):
        inside = [
            place for place in range(150) if place * 0.4 < number * 10 + 10 and place * 0.4 + 0.35 >= number * 10
        ]
        assert texts(row) == [words[place] for place in inside]
        figure = row.figure
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in row.texts]
        assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[place + 1 :])
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        for place, text in zip(inside, row.texts, strict=True):
            assert abs(text.get_position()[0] - (place * 0.4 + 0.175)) < 0.2


def test_words_lie_at_their_times_in_the_colour_of_their_score():
    from matplotlib import colormaps

    [row] = rows_of(result_of("a b c d e f g h".split()), noise(4))
    assert row.get_xlim() == (0, 4)
    edges, colours = bars(row)
    assert np.allclose(edges, [(place * 0.4, place * 0.4 + 0.35) for place in range(8)])
    scores = [0.0, 0.25, 0.5, 0.75, 1.0, 0.0]
    assert np.allclose(colours[:6], [colormaps["RdYlBu"](score) for score in scores])
    assert len(set(colours[6, :3])) == 1 and np.allclose(colours[7], colormaps["RdYlBu"](0.5))  # grey without a score


def test_passages_are_marked():
    more = {"unfit": [{"timestamp": (0.8, 1.55)}], "untranscribed": [{"timestamp": (4.0, 5.0)}]}
    [row] = rows_of(result_of("a b c d e".split(), **more), noise(6))
    hatched = [bar for bar in row.collections if bar.get_hatch()]
    assert np.allclose([path.get_extents().intervalx for path in hatched[0].get_paths()], [(0.8, 1.15), (1.2, 1.55)])
    dashed = [bar for bar in row.collections if not bar.get_hatch() and bar.get_linestyles()[0][1]]
    assert np.allclose([path.get_extents().intervalx for path in dashed[0].get_paths()], [(4, 5)])
    assert texts(row) == [*"abcde", "no text"]


def test_sound_lies_at_its_time():
    """A tone of 1 kHz from 2 s to 3 s of 4, in the waveform and the spectrogram."""
    times = np.arange(4 * RATE) / RATE
    tone = (0.25 * np.sin(2 * np.pi * 1000 * times) * ((times >= 2) & (times < 3))).astype(np.float32)
    [row] = rows_of(result_of(["a"]), tone)
    mel = row.images[0].get_array()
    first, last, low, high = row.images[0].get_extent()
    loud = mel.max(axis=0) > mel.max() - 2
    assert np.allclose(
        np.array([loud.argmax(), len(loud) - loud[::-1].argmax()]) / len(loud) * last, [2, 3], atol=0.03
    )
    band = (mel[:, len(loud) * 5 // 8].argmax() + 0.5) / len(mel)
    height = np.log10(1 + 1000 / 700) / np.log10(1 + 8000 / 700)
    assert abs(band - height) < 0.02 and (first, low, high) == (0, 0, 1)
    outline = row.collections[0].get_paths()[0].vertices
    away = outline[np.abs(outline[:, 1] - plot._WAVE) > 0.9 * plot._HALF]  # as loud as the loudest
    assert away[:, 0].min() == pytest.approx(2, abs=0.02) and away[:, 0].max() == pytest.approx(3, abs=0.02)
    ticks = (10 ** (row.get_yticks() * np.log10(1 + 8000 / 700)) - 1) * 0.7
    assert np.allclose(ticks, [float(tick.get_text()) for tick in row.get_yticklabels()])


def test_mel_filters_are_the_librarys():
    expected = mel_filter_bank(201, 80, 0, 8000, RATE, norm=None, mel_scale="htk")
    assert np.allclose(plot.mel_filters(), expected.T, atol=1e-9)


def test_what_is_long_has_longer_rows(monkeypatch):
    monkeypatch.setattr(plot, "_MOST_ROWS", 3)
    axes = rows_of(result_of(["considerable"] * 300), noise(120))
    assert [row.get_xlim() for row in axes] == [(0, 40), (40, 80), (80, 120)]
    assert all(20 < len(row.texts) < 100 for row in axes)  # only where there is room
    assert sum(len(bars(row)[0]) for row in axes) >= 300


@pytest.mark.parametrize(
    "words",
    [["$\\frac", "$x$", "a_b^c", "{{", "%"], ["\u202etxet", "nul\0", "half\ud800"], ["</svg>", "&", "x" * 5000]],
)
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_any_text_is_text(tmp_path, words, suffix):
    path = write_plot(result_of(words), noise(3), tmp_path / f"a.{suffix}", title=" ".join(words))
    assert path.stat().st_size > 10000


def test_characters_without_a_font_are_one_note(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "_FONTS", ())
    with pytest.warns(UserWarning, match=r"a\.png: no font here shows some characters") as caught:
        write_plot(result_of(["你好", "世界"]), noise(3), tmp_path / "a.png")
    assert len(caught) == 1


def test_recordings_in_any_form(tmp_path):
    result = result_of(["one", "two"])
    expected = write_plot(result, RECORDING, tmp_path / "a.png").read_bytes()
    for audio in (RECORDING.read_bytes(), io.BytesIO(RECORDING.read_bytes()), str(RECORDING)):
        assert write_plot(result, audio, tmp_path / "b.png", title="a").read_bytes() == expected
    with pytest.raises(ValueError, match=r"none\.wav"):
        write_plot(result, tmp_path / "none.wav", tmp_path / "c.png")
    with pytest.raises(ValueError, match="empty"):
        write_plot(result, np.zeros(0, np.float32), tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_silence_no_words_and_very_short():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seconds in (0.001, 0.02, 3, 10, 10.001):
            axes = rows_of(result_of([]), np.zeros(max(1, int(seconds * RATE)), np.float32))
            assert len(axes) == (2 if seconds > 10 else 1)
