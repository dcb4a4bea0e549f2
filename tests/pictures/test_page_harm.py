"""Pages of texts that mean harm, and of very long ones."""

# ruff: noqa: F811, fixtures are taken by their names

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from opened_pages import browser, opened, result_of, tones, words  # noqa: F401  fixtures

from transformers_qwen3_asr.formats.spoken import Spoken
from transformers_qwen3_asr.pictures.page import page, visible

HOSTILE = [
    "</script><script>window.hurt=1</script>",
    "<img src=x onerror=window.hurt=2>",
    "<!--<script>",
    "]]>&amp;&lt;b&gt;",
    "{{data}}{{script}}",
    "\u202etxet\u202c",
    "\u2067left\u2069",
    "nul\0bell\7",
    "half\ud800",
    "https://example.org/a.js",
    "'\"`${window.hurt=3}\\",
    "مرحبا",
    "𠮷👩‍👩‍👧",
]


def test_hostile_text_is_text(opened):
    result = result_of(" ".join(HOSTILE), length=0.4)
    for chunk in result["chunks"]:
        chunk["speaker"] = HOSTILE[0]
    page = opened(result, title=HOSTILE[0])
    assert words(page) == [visible(word) for word in " ".join(HOSTILE).split()]
    assert words(page, ".who") == [HOSTILE[0]] and page.run("document.title") == HOSTILE[0]
    assert page.run("window.hurt") is None and page.run("document.scripts.length") == 2
    assert page.run("document.querySelectorAll('main img, main script, main b').length") == 0
    assert "⟨U+202E⟩txet⟨U+202C⟩" in words(page) and "nul⟨U+0000⟩bell⟨U+0007⟩" in words(page)
    page.press("/")
    page.type("</script>")
    page.wait("found.textContent === '1 of 2'")


def test_nothing_else_runs_and_nothing_is_loaded(opened):
    """Even if a text got out, its script would not run, and nobody would hear of it."""
    page = opened(result_of("one two"))
    page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hurt = 1'}))")
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=https://example.org/x onerror=window.hurt=2>')")
    assert page.run("fetch('https://example.org/').then(() => 'loaded', () => 'refused')") == "refused"
    page.wait("document.images[0].complete")
    assert page.run("window.hurt") is None
    assert len(page.complaints) >= 3 and all("Content Security Policy" in text for text in page.complaints)
    page.complaints.clear()
    page.requests[:] = [url for url in page.requests if "example.org" not in url]


def test_a_hundred_thousand_words(opened):
    """Only what is to be seen is laid out, with sentences and without."""
    text = " ".join(f"word{number}" + "." * (number % 12 == 0 and number < 50000) for number in range(100000))
    page = opened(result_of(text, length=0.001, low=range(0, 100000, 50)), tones(102))
    assert page.run("document.querySelectorAll('#rows .word').length") == 100000
    laid_out = "[...document.querySelectorAll('.row p')].filter(p => p.checkVisibility({contentVisibilityAuto: true}))"
    assert 5 < page.run(f"{laid_out}.length") < 200
    page.press("/")
    page.type("word99999")
    page.wait("found.textContent === '1 of 1'")
    page.press("Enter")
    page.wait("document.querySelector('.now')?.textContent === 'word99999'")
    page.wait("(place => place.top > 0 && place.bottom < innerHeight)"
              "(document.querySelector('.now').getBoundingClientRect())")  # fmt: skip
    assert page.run("$('doubts').textContent") == "2000 doubts"


def test_any_text_comes_through_whole():
    """What a browser reads out of the page, without one."""
    hypothesis = pytest.importorskip("hypothesis", reason="texts at random need hypothesis")
    text = hypothesis.strategies.text()
    hypothesis.given(text=text, title=text, speaker=text)(comes_through_whole)()


def comes_through_whole(text, title, speaker):
    result = result_of(text or "x")
    for chunk in result["chunks"]:
        chunk["speaker"] = speaker
    shown = page(Spoken(title, result, audio=np.zeros(800, np.float32)))
    parser = Elements()
    parser.feed(shown)
    assert parser.titles == [visible(title)] * 2 or not title.strip()
    data = json.loads(parser.data)
    words = [item[3].strip() for row in data["rows"] for item in row["items"]]
    assert words == [visible(" ".join(chunk["text"].split())) for chunk in result["chunks"] if chunk["text"].strip()]
    # no text opens or closes an element
    assert parser.names == Elements.of(page(Spoken("", result_of("x"), audio=np.zeros(800, np.float32))))


class Elements(HTMLParser):
    """Names of a page's elements, its title and heading, and the data in it."""

    def __init__(self):
        super().__init__()
        self.names, self.titles, self.data = [], [], ""

    @classmethod
    def of(cls, text):
        parser = cls()
        parser.feed(text)
        return parser.names

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.is_data = dict(attrs).get("id") == "data"
        if tag in ("title", "h1"):
            self.titles.append("")

    def handle_data(self, data):
        if self.names[-1:] and self.names[-1] in ("title", "h1") and self.lasttag == self.names[-1] and data.strip():
            self.titles[-1] += data
        if self.names[-1:] == ["script"] and self.is_data:
            self.data += data
