"""The page of an alignment, in a headless Chromium: by clicks, by keys, by search, in light and dark, on a phone."""

# ruff: noqa: F811, fixtures are taken by their names

import json
import re

import numpy as np
import pytest
from browser import PHONE
from opened_pages import RATE, TEXT, browser, opened, result_of, words  # noqa: F401  fixtures

from transformers_qwen3_asr.formats.spoken import Spoken
from transformers_qwen3_asr.pictures.page import rows


def marked():
    """Twenty words, of which 3 is doubtful, 5 is middling, 9 and 10 do not fit, and two gaps, inside and behind."""
    gaps = [{"timestamp": (3.9, 4.0)}, {"timestamp": (10.9, 11.9)}]
    return result_of(TEXT, low=[3], middling=[5], unfit=[{"timestamp": (5.5, 6.4)}], untranscribed=gaps)


@pytest.fixture
def page(opened):
    return opened(marked())


def now(page):
    return page.run("document.querySelector('.now')?.textContent ?? null")


def at(page):
    return round(page.run("audio.currentTime"), 2)


def test_words_and_passages_are_shown(page):
    assert words(page) == TEXT.split()
    assert page.run("[...document.querySelectorAll('.row p')].map(row => row.innerText.trim())") == [
        "Ännchen of Tharau, ’tis she whom 0.1 s I love.",
        "She is my life and my goods.",
        "My wealth too is she!",
        "1.0 s",
    ]
    assert words(page, ".doubtful") == ["’tis"] and words(page, ".unsure") == ["whom"]
    assert words(page, ".unfit") == ["is", "my"] and words(page, ".gap") == ["0.1 s", "1.0 s"]
    assert page.run("[...document.querySelectorAll('.row > button')].map(time => time.textContent)") == [
        "0:01", "0:05", "0:08", "0:10",
    ]  # fmt: skip
    assert page.run("$('doubts').textContent") == "4 doubts"
    assert page.run("document.title") == "A page" and not page.run("document.querySelector('#misfit').offsetHeight")


def test_a_click_goes_to_the_word(page):
    assert now(page) is None
    for number, place in ((7, 4.5), (0, 1.0), (18, 10.0)):
        page.click("#rows .word", number)
        page.wait(f"document.querySelector('.now')?.textContent === {json.dumps(TEXT.split()[number])}")
        assert at(page) == place and page.run("audio.paused")
    assert page.run("about.textContent") == "0:10.00 – 0:10.40, score 0.95"
    page.click("#rows .gap", 1)
    page.wait("about.textContent === '0:10.90 – 0:11.90, not in the text'")
    page.click(".row > button", 1)
    page.wait("document.querySelector('.now')?.textContent === 'She'")
    # between two words nobody is saying one
    page.run("audio.currentTime = 5.45")
    page.wait("!document.querySelector('.now')")
    page.run("canvas.scrollIntoView()")
    page.click("canvas")
    page.wait("Math.abs(audio.currentTime - 6) < 0.1")


def test_text_can_be_marked_and_copied(page):
    page.run("getSelection().selectAllChildren(rows)")
    copied = page.run("getSelection().toString()").split()
    assert copied == [*TEXT.split()[:6], "0.1", "s", *TEXT.split()[6:], "1.0", "s"]  # and no times of lines
    page.run("document.querySelectorAll('#rows .word')[7].click()")
    assert at(page) == 0 and page.run("!getSelection().isCollapsed")


def test_the_word_that_is_said_is_marked_while_it_plays(page):
    page.press("ArrowRight")
    page.wait("audio.currentTime === 1")
    page.press(" ")
    seen = []
    page.wait("!audio.paused")
    while len(set(seen)) < 3:
        word, place = page.run("[document.querySelector('.now')?.textContent ?? null, audio.currentTime]")
        if word is not None:
            # a frame may have passed between the two
            assert abs(1 + 0.5 * TEXT.split().index(word) + 0.2 - place) < 0.4
            seen.append(word)
    assert seen == sorted(seen, key=TEXT.split().index)
    page.press("k")
    page.wait("audio.paused")


def test_by_keyboard(page):
    places = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp"):
        page.press(key)
        page.wait("!audio.seeking")
        places.append(at(page))
    assert places == [1.0, 1.5, 5.0, 8.5, 8.0, 5.0, 1.0]
    found = []
    for key in "dddddDD":
        page.press(key, shift=key.isupper())
        page.wait("!audio.seeking")
        found.append(at(page))
    # the doubtful word, the gap, the passage that does not fit, the gap at the end, and from the beginning
    assert found == [2.5, 3.9, 5.5, 10.9, 2.5, 10.9, 5.5]
    page.press("Tab")
    assert page.run("document.activeElement !== document.body")  # what has to be reached can be


def test_search(page):
    page.press("/")
    assert page.run("document.activeElement.id") == "query"
    page.type("is")  # also in ’tis
    page.wait("found.textContent === '1 of 3'")
    assert words(page, ".hit") == ["’tis", "is", "is"] and words(page, ".chosen") == ["’tis"]
    assert at(page) == 0
    page.press("Enter")
    page.wait("document.querySelector('.now')?.textContent === 'is'")
    assert page.run("found.textContent") == "2 of 3" and at(page) == 5.5
    page.press("Enter", "Enter")
    page.wait("found.textContent === '1 of 3' && audio.currentTime === 2.5")
    page.press("Enter", shift=True)
    page.wait("found.textContent === '3 of 3'")
    page.click("#hit-before")
    page.wait("found.textContent === '2 of 3'")
    for query, hits, marked in (
        ("annchen OF", "1 of 1", ["Ännchen", "of"]),
        ("love. she", "1 of 1", ["love.", "She"]),  # over two lines
        ("goods my", "none", []),
        ("!", "1 of 1", ["she!"]),
        ("", "", []),
    ):
        page.run(f"query.value = {json.dumps(query)}; query.dispatchEvent(new Event('input'))")
        shown = f"found.textContent === {json.dumps(hits)}"
        hit = "[...document.querySelectorAll('.hit')].map(word => word.textContent).join('|')"
        page.wait(f"{shown} && {hit} === {json.dumps('|'.join(marked))}")
    page.click("#query")
    page.type(" d/")  # keys of the page are letters here
    assert page.run("query.value") == " d/" and at(page) == 5.5
    page.press("Escape")
    assert page.run("document.activeElement.id") == ""


def contrast(page, element, behind="document.body"):
    """WCAG's ratio of an element's colour to that of the paper."""
    colours = page.run(f"[getComputedStyle({element}).color, getComputedStyle({behind}).backgroundColor]")
    light = []
    for colour in colours:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05), light[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(page, scheme):
    page.scheme(scheme)
    page.click("#rows .word", 7)
    page.wait("document.querySelector('.now')")
    ratio, paper = contrast(page, "document.body")
    assert ratio > 7 and (paper > 0.9 if scheme == "light" else paper < 0.05)
    wave = "canvas.getContext('2d').getImageData(0, Math.round(canvas.height * 0.45), canvas.width, 1).data"
    drawn = {tuple(page.run(f"[...{wave}]")[4 * place :][:3]) for place in range(600, 610)}
    assert any(sum(colour) > 400 if scheme == "light" else 0 < sum(colour) < 400 for colour in drawn)
    for selector in (".unfit", ".gap", ".row > button", ".legend", "#about"):
        assert contrast(page, f"document.querySelector('{selector}')")[0] > 4.5, selector
    for selector in (".doubtful", ".now", "#query", "#doubt-next"):
        element = f"document.querySelector('{selector}')"
        assert contrast(page, element, element)[0] > 4.5, selector


def test_on_a_phone(opened, browser):
    browser.size(PHONE)
    page = opened(marked())
    assert page.run("document.documentElement.scrollWidth") == 390
    page.tap("#rows .word", 7)
    page.wait("document.querySelector('.now')?.textContent === 'love.'")
    page.tap("#doubt-next")
    page.wait("audio.currentTime === 5.5")
    # what a finger has to meet, and what a phone does not zoom in on
    for selector in ("#query", "#doubt-next", "audio"):
        assert page.run(f"document.querySelector('{selector}').getBoundingClientRect().height") >= 35, selector
    assert float(page.run("getComputedStyle(query).fontSize").removesuffix("px")) >= 16
    height = "document.querySelector('header').getBoundingClientRect().height"
    assert page.run(height) < 844 / 3
    browser.size({**PHONE, "width": 844, "height": 390})
    page.wait(f"innerHeight === 390 && {height} < 390 / 3")
    page.tap("#rows .word", 0)
    page.wait("document.querySelector('.now')?.textContent === 'Ännchen'")


def test_lines_run_as_their_words_do(opened):
    """Whoever speaks, and where something is heard before the first word."""
    result = result_of("مرحبا بالعالم. Good morning.", untranscribed=[{"timestamp": (1.5, 1.5)}])
    for chunk in result["chunks"]:
        chunk["speaker"] = "Ann" if chunk["timestamp"][0] < 2 else "שלום"
    page = opened(result)
    lines = "[...document.querySelectorAll('.row p')].map(line => getComputedStyle(line).direction)"
    assert page.run(lines) == ["rtl", "ltr"]


def test_words_at_one_time(opened):
    """What a crowded aligner gives: each can be reached, and stepped over."""
    result = result_of("one two three four")
    for chunk in result["chunks"]:
        chunk["timestamp"] = (2.0, 2.0)
    page = opened(result)
    page.click("#rows .word", 1)
    page.wait("current === 1 && audio.currentTime === 2")
    for key, index in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
        page.press(key)
        page.wait(f"current === {index} && !audio.seeking")


def test_it_follows_what_is_said(opened):
    page = opened(result_of(" ".join(f"Word{number}!" for number in range(100)), length=0.1))
    page.run("audio.currentTime = 9.02")
    page.wait("(place => place && place.top > 0 && place.bottom < innerHeight)"
              "(document.querySelector('.now')?.getBoundingClientRect())")  # fmt: skip
    assert page.run("scrollY") > 500


def test_a_text_that_does_not_fit_and_one_without_words(opened):
    page = opened(result_of("one two", fits=False, score=0.31))
    shown = page.run("document.querySelector('#misfit').innerText")
    assert shown == "This text may not be what is said in the recording (score 0.31)."
    page = opened(result_of(""))
    assert page.run("document.querySelector('main').innerText") == "There are no words."
    page.press("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "d", "D")


def test_sound_and_words_are_at_the_same_time(opened):
    """As the browser decodes it: a tone sets in after a second, to less than 5 ms."""
    page = opened(result_of("one two"))
    onset = page.run(
        "(async () => {"
        " const bytes = Uint8Array.from(atob(audio.src.split(',')[1]), (letter) => letter.charCodeAt(0));"
        " const sound = await new OfflineAudioContext(1, 1, 48000).decodeAudioData(bytes.buffer);"
        " return [sound.getChannelData(0).findIndex((value) => Math.abs(value) > 0.1) / 48000, sound.duration]; })()"
    )
    assert onset == pytest.approx([1.0, 12.0], abs=0.005)


def test_what_is_heard_is_what_was_gone_to(opened):
    """The tone of each second is another one; the browser says which is heard after a jump, on and back."""
    seconds = np.arange(20 * RATE) // RATE
    audio = 0.3 * np.sin(2 * np.pi * np.cumsum(400 + 100 * seconds) / RATE)
    page = opened(result_of(TEXT), audio.astype(np.float32))
    page.click("h1")  # a page may not sound before somebody has done something
    page.run(
        "(async () => {"
        " window.context = new AudioContext(); await context.resume();"
        " window.heard = context.createAnalyser(); heard.fftSize = 8192;"
        " context.createMediaElementSource(audio).connect(heard); heard.connect(context.destination); })()"
    )
    for place in (15.1, 3.1, 19.1, 0.1):
        page.run(f"audio.currentTime = {place}; audio.play()")
        page.wait(f"audio.currentTime > {place + 0.5}")
        at, hertz = page.run(
            "(() => { const bins = new Uint8Array(heard.frequencyBinCount); heard.getByteFrequencyData(bins);"
            " const loudest = bins.indexOf(Math.max(...bins));"
            " return [audio.currentTime, loudest * context.sampleRate / heard.fftSize]; })()"
        )
        page.run("audio.pause()")
        # what is heard may be a little behind what the player says
        assert min(abs(hertz - (400 + 100 * second)) for second in {int(at - 0.3), int(at)}) < 40


def test_rows():
    """What stands where, without a browser."""
    result = result_of(
        "One two. " + "X " + "x " * 129, untranscribed=[{"timestamp": (0.1, 0.9)}, {"timestamp": (1.9, 2.0)}]
    )
    del result["chunks"][1]["score"]
    shown = list(rows(Spoken("a", result)))
    assert shown[0] == {"items": [[0.1, 0.9]]}
    assert shown[1] == {"items": [[1.0, 1.4, 0.95, "One ", 0], [1.5, 1.9, None, "two.", 0]]}
    assert shown[2] == {"items": [[1.9, 2.0]]}  # between two lines, in one of its own
    assert [len(row["items"]) for row in shown[3:]] == [60, 60, 10]
    for chunk in result["chunks"]:
        chunk["speaker"] = "Ann\u202e" if chunk["timestamp"][0] < 1.5 else None
    assert [row.get("who") for row in rows(Spoken("a", result))][:3] == [None, "Ann⟨U+202E⟩", None]
