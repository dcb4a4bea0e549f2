"""Cues with what means something to a subtitle format, and how they are read back."""

import html

import pysubs2
import webvtt

PIECES = (
    *("00:00:01,000", "00:00:01.000", "1:2:3,4", "00:01.000", "-->", "--&gt;", "<00:00:01.000>", "٣:٣:٣,٣", "9:9"),
    *("{\\an8}", "{\\p1}", "{b}", "{", "}", "\\N", "\\n", "\\h", "\\", "\\{", "\\\\N"),
    *("<i>", "</i>", "<v Bob>", "<", ">", "&lt;", "&amp;", "&#58;", "&", ";"),
    *("NOTE", "STYLE", "WEBVTT", "REGION", "[Events]", "Dialogue: 0,0", "Comment:", "1", "23", ",", ",,", "#", ":"),
    *("\0", "\x01", "\x1b", "\x7f", "\ufdd0", "\ufdd1", "\ufffe", "\ue000", "\uf8ff", "\U0010ffff", "\ufffd"),
    *("\ud800", "\udc80", "\ufeff", "\u200b", "\u2060", "\u202e", "\u200f", "\u00ad"),
    *(" ", "  ", "\n", "\r", "\r\n", "\n\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\u00a0"),
    *("a", "Straße", "字", "한", "e\u0301", "👍🏽"),
)
JOINER = "\u2060"


def cleaned(text):
    """As a cue has it: white space is single spaces."""
    return " ".join(text.split())


def refused(text):
    """Whether no subtitle can hold this."""
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def read_back(path):
    """(start, end, text) of each cue, in milliseconds, by each library that reads the format."""
    suffix = path.suffix
    content = path.read_text(encoding="utf-8")
    if suffix == ".vtt":
        yield [
            (c.start_time.in_milliseconds(), c.end_time.in_milliseconds(), html.unescape(c.raw_text))
            for c in webvtt.from_string(content, strict=True).captions
        ]
    options = {} if suffix == ".ass" else {"keep_html_tags": True}
    events = pysubs2.SSAFile.from_string(content, format_=suffix[1:], **options).events
    undo = {
        ".srt": lambda text: text,
        ".vtt": html.unescape,
        ".ass": lambda text: text.replace(r"\{", "{").replace("\\" + JOINER, "\\"),
    }[suffix]
    yield [(event.start, event.end, undo(event.text)) for event in events]


def check(path, expected):
    """That every reader finds exactly these cues; .srt may have word joiners more, .ass times to 10 ms."""
    step = 10 if path.suffix == ".ass" else 1
    for cues in read_back(path):
        assert len(cues) == len(expected), (cues, expected)
        for (start, end, text), (begin, stop, said) in zip(cues, expected):
            if path.suffix == ".vtt":
                stop = max(stop, begin + 1)
            assert abs(start - begin) < step and abs(end - stop) < step
            if path.suffix == ".srt":
                text, said = text.replace(JOINER, ""), said.replace(JOINER, "")
            assert text in (said, said.replace("\n", r"\N")), (text, said)  # pysubs2's line break
