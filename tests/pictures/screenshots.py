"""
`make screenshots`: the pictures in README and docs, and more of them to look at, in build/screenshots/.

They are of the readings in examples/ and tests/goldens/, which are in the public domain.

The text says something that is not in the recording, and leaves something out, so that there is something to see.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browser import CHROMIUM, DESKTOP, NO_CHROMIUM, PHONE, chromium
from conftest import GOLDENS, ROOT
from PIL import Image
from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.pictures import write_page, write_plot

TITLE = "Sense and Sensibility"
TEXT = (
    "And Mister John Dashwood had then leisure to consider, how much there might be prudently in his power to do for "
    "them. Unless to be rather cold hearted, and rather selfish, is to be ill-disposed. And Mister Dashwood, who was "
    "of another mind, had then leisure to consider, how much there might be prudently in his power to do for them."
)


def sample():
    """A recording of half a minute at 16 kHz, and how its text is aligned."""
    clips = [GOLDENS / "clips" / f"sense_{number}.flac" for number in ("0870", "0890")]
    clips.append(ROOT / "examples" / "sense_and_sensibility.flac")
    audio = np.concatenate([np.append(load_audio(clip), np.zeros(4000, np.float32)) for clip in clips])
    align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), dtype="float32", device="cpu")
    return audio, align(audio, text=TEXT, language="English")


def cut(result, audio, first, last):
    """The result and the recording from `first` to `last` seconds."""

    def inside(pieces):
        times = [({key: piece[key] for key in piece if "char" not in key}, *piece["timestamp"]) for piece in pieces]
        return [
            {**piece, "timestamp": (start - first, end - first)}  # and no places in a text that is cut, too
            for piece, start, end in times
            if first <= start and end <= last
        ]

    part = {key: inside(result[key]) for key in ("chunks", "unfit", "untranscribed")}
    return {"text": [chunk["text"] for chunk in part["chunks"]], **part}, audio[int(first * 16000) : int(last * 16000)]


def main() -> None:
    if CHROMIUM is None:
        sys.exit(NO_CHROMIUM)
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    audio, result = sample()
    print(write_plot(result, audio, folder / "plot.png", title=TITLE))
    plot = write_plot(*cut(result, audio, 9.6, 17.4), ROOT / "docs" / "plot.png", title=TITLE)
    Image.open(plot).convert("RGB").save(plot, optimize=True)  # which is smaller
    print(plot)
    page = write_page(result, audio, folder / "page.html", title=TITLE)
    with chromium() as browser:
        small = {**DESKTOP, "width": 860, "height": 480}
        for path, size, scheme in (
            (ROOT / "docs" / "page.png", small, "light"),
            (folder / "light.png", DESKTOP, "light"),
            (folder / "dark.png", DESKTOP, "dark"),
            (folder / "phone.png", PHONE, "light"),
            (folder / "dark_phone.png", PHONE, "dark"),
        ):
            browser.size(size)
            browser.scheme(scheme)
            browser.open(page)
            browser.click(".word", 8)
            browser.wait("document.querySelector('.now')")
            browser.screenshot(path)
            print(path)


if __name__ == "__main__":
    main()
