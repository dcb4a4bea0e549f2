"""English text for the synthesizers: prose that Debian ships, and strings of random dictionary words.

Prose gives natural word frequencies and rhythm, random words give rare spellings. A paragraph belongs to the training
or to the held-out part by a hash of its own text, so that no held-out sentence can be spoken in training.
"""

import hashlib
import random
import re
import subprocess
import unicodedata
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
DICTIONARY = Path("/usr/share/dict/american-english")
HELD_OUT_SHARE = 0.04
_ALLOWED = re.compile(r"[A-Za-z0-9 ,.;:!?'\"()\-]+")


def clean_word(token: str) -> str:
    """What is left of a written word when it is aligned: letters, digits and apostrophes (the aligner's own rule)."""
    return "".join(c for c in token if c == "'" or unicodedata.category(c)[0] in "LN")


def _bible() -> list[str]:
    """Verses of the King James Bible, as the Debian program `bible` prints them; empty if it is not installed."""
    try:
        done = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    verses = [line.split(" ", 1)[1] for line in done.stdout.splitlines() if " " in line.strip()]
    # Two verses make one paragraph, so that a span may cross a full stop.
    return [" ".join(verses[i : i + 2]) for i in range(0, len(verses), 2)]


def _fortunes() -> list[str]:
    paragraphs = []
    for path in sorted(FORTUNES.glob("*")):
        if path.suffix or path.name in ("ascii-art", "art", "translate-me") or not path.is_file():
            continue
        for entry in path.read_text(encoding="utf-8", errors="ignore").split("\n%\n"):
            entry = entry.split("\t\t--")[0]  # the author's line is no prose
            paragraphs.append(" ".join(entry.split()))
    return paragraphs


def prose() -> list[str]:
    """Paragraphs of at least four words, with plain punctuation only."""
    kept = []
    for text in _bible() + _fortunes():
        text = text.replace("--", ", ").replace("`", "'").replace("''", '"').replace("_", "").replace("*", "")
        text = " ".join(token for token in text.split() if clean_word(token))
        if len(text.split()) >= 4 and _ALLOWED.fullmatch(text):
            kept.append(text)
    if not kept:
        raise ValueError("no prose found: install the Debian packages bible-kjv, bible-kjv-text and fortunes")
    return kept


def is_held_out(text: str) -> bool:
    """Whether a paragraph belongs to the held-out part (the same answer on every machine)."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT_SHARE


class TextSource:
    """Draws texts of a wanted number of words.

    Args:
        held_out: draw from the held-out paragraphs instead of the training ones.
        seed: of the private random generator.
    """

    def __init__(self, held_out: bool, seed: int):
        self.random = random.Random(seed)
        self.paragraphs = [text for text in prose() if is_held_out(text) == held_out]
        words = [w.strip() for w in DICTIONARY.read_text(encoding="utf-8").splitlines()]
        self.dictionary = [w for w in words if re.fullmatch(r"[A-Za-z]{1,14}('s)?", w)]
        self.spoken = [w for text in self.paragraphs for w in map(clean_word, text.split()) if w]

    def draw(self, count: int) -> str:
        """A text of about `count` words: 65 % a span of prose, 35 % random words with random punctuation."""
        rng = self.random
        if rng.random() < 0.65:
            tokens: list[str] = []
            while len(tokens) < count:
                source = rng.choice(self.paragraphs).split()
                start = rng.randrange(max(1, len(source) - count + 1))
                tokens += source[start : start + count - len(tokens)]
            return " ".join(tokens)
        tokens = []
        for i in range(count):
            draw = rng.random()
            if draw < 0.03:
                token = str(
                    rng.choice([rng.randrange(10), rng.randrange(100), rng.randrange(1000), 1700 + rng.randrange(330)])
                )
            else:
                token = rng.choice(self.dictionary if draw < 0.55 else self.spoken)
                if rng.random() < 0.1:
                    token = token.capitalize()
            if i < count - 1 and rng.random() < 0.08:
                token += rng.choice(",,,,.;:?!")
            tokens.append(token)
        return " ".join(tokens) + rng.choice([".", "", "?"])
