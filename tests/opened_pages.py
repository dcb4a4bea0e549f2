"""Pages for tests: results with known times, and a browser in which they are opened."""

import re

import numpy as np
import pytest
from browser import CHROMIUM, DESKTOP, NO_CHROMIUM, chromium

from transformers_qwen3_asr.pictures import write_page

RATE = 16000
TEXT = "Ännchen of Tharau, ’tis she whom I love. She is my life and my goods. My wealth too is she!"


def result_of(text, first=1.0, length=0.5, **more):
    """Words of `length` seconds one after another; those of `low` are doubtful, those of `middling` less so."""
    low, middling = more.pop("low", ()), more.pop("middling", ())
    chunks = []
    for number, match in enumerate(re.finditer(r"\S+", text)):
        start = first + number * length
        score = 0.12 if number in low else 0.55 if number in middling else 0.95
        chunks.append({"text": match[0], "timestamp": (start, start + length - min(0.1, length / 5)), "score": score})
        chunks[-1] |= {"char_start": match.start(), "char_end": match.end()}
    return {"text": text, "chunks": chunks, "score": 0.9, "fits": True, "unfit": [], "untranscribed": [], **more}


def tones(seconds):
    """A second of silence, then a tone."""
    times = np.arange(int(seconds * RATE)) / RATE
    return (np.sin(times * 2764) * 0.3 * (times >= 1)).astype(np.float32)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with chromium() as page:
        yield page


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page of a result; whatever the page complains of fails the test."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.size(DESKTOP)
    browser.scheme("light")

    def open_page(result, audio=None, title="A page"):
        path = write_page(result, tones(12) if audio is None else audio, tmp_path / "page.html", title=title)
        browser.open(path)
        return browser

    yield open_page
    assert browser.complaints == []
    assert {url.split(":")[0] for url in browser.requests} == {"file", "data"}


def words(page, selector=".word"):
    return page.run(f"[...document.querySelectorAll('#rows {selector}')].map(word => word.textContent)")
