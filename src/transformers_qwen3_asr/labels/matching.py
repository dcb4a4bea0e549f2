"""Labels against the transcript: the aligner's words, each with the times of the labels that make it up."""

import difflib
import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ..text.words import Word, split_words
from .rows import Entry


@dataclass
class Matched:
    """`words` as rows hold them (none where there are problems), what is wrong, and what was put in order."""

    words: list[dict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def match_words(
    entries: Sequence[Entry], text: str, language: str | None, text_name: str = "the transcript", share: bool = False
) -> Matched:
    """
    Gives the transcript's words the times of the labels.

    The transcript is cut as in alignment (`split_words`), and labels are cleaned alike. Both must then spell the same
    letters in the same order; upper and lower case, apostrophes and compatibility forms do not count, because
    aligners such as MFA change them. Where words are cut does not have to agree: labels that make up one word ("well",
    "-known") are joined, from the start of the first to the end of the last. A label that is several words to the
    aligner (a Chinese phrase, a line of subtitles) says nothing about where they meet: that is a problem, or, with
    `share`, its time is shared out by letters. A label without letters is left out, because the aligner gives
    punctuation no times.

    Args:
        entries: the labels in order. Their times are copied (and with `share` calculated with), not checked.
        text: the transcript.
        language: as for `split_words`.
        text_name: how messages call the transcript.
    """
    found = Matched()
    try:
        transcript = split_words(text, language)
    except ValueError as error:  # half a surrogate pair
        found.problems.append(str(error))
        return found
    if not transcript:
        found.problems.append(f"{text_name} is empty" if not text.strip() else f"{text_name} ({text!r}) holds no word")
    spoken: list[tuple[int, Entry, str]] = []
    silent = []
    for i, entry in enumerate(entries):
        key = _key(cleaned(entry.text))
        if key:
            spoken.append((i, entry, key))
        else:
            silent.append(entry_name(i, entry))
    if silent:
        found.notes.append(f"left out, because it holds no letter: {some(silent)}")
    if not spoken:
        found.problems.append("it holds no words with times")
    if found.problems:
        return found

    wanted = [_key(word.text) for word in transcript]
    if "".join(wanted) != "".join(key for _, _, key in spoken):
        found.problems.append(_disagreement(transcript, wanted, spoken, text_name))
        return found
    _give_times(transcript, wanted, spoken, share, found)
    return found


@lru_cache(maxsize=1 << 16)  # asked several times for each label, and words recur
def cleaned(text: str) -> str:
    """A label's letters, as the aligner cleans a word; empty where it keeps none."""
    try:
        return "".join(word.text for word in split_words([text]))
    except ValueError:
        return ""


def entry_name(index: int, entry: Entry) -> str:
    """How messages call a label: its number from 0, its text, and its place in the file."""
    return f"word {index} ({entry.text.strip()!r}{', ' + entry.place if entry.place else ''})"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of `names`, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # an apostrophe that stands alone is a word to the aligner
    return folded.replace("'", "") or folded


def _disagreement(transcript: list[Word], wanted: list[str], spoken: list, text_name: str) -> str:
    """Names the first place where the labels spell something else than the transcript."""
    keys = [key for _, _, key in spoken]
    # Words that are only cut differently agree, so the first block whose letters differ is looked for.
    for _, i, j, k, m in difflib.SequenceMatcher(None, wanted, keys, autojunk=False).get_opcodes():
        if "".join(wanted[i:j]) == "".join(keys[k:m]):
            continue
        agreed_words, agreed_labels = _agreeing(wanted[i:j], keys[k:m])
        i, k = i + agreed_words, k + agreed_labels
        ours = " ".join(word.text for word in transcript[i:j][:5])
        if k == m:
            return f"{text_name} holds {ours!r} (its word {i}), which no label stands for"
        labels = f"{entry_name(*spoken[k][:2])} is not in {text_name}"
        if i == j:
            return f"{labels} there: it goes on with {_next(transcript, i)}"
        return f"{labels}, which says {ours!r} (its word {i}) there"
    # the cuts differ in a way that matching whole words does not see
    return f"the labels spell {''.join(keys)[:60]!r}, but {text_name} spells {''.join(wanted)[:60]!r}"


def _agreeing(ours: list[str], theirs: list[str]) -> tuple[int, int]:
    """How many words at the beginning of each list spell the same together."""
    ends = {length: i for i, length in enumerate(itertools.accumulate(map(len, ours), initial=0))}
    pairs = zip("".join(ours), "".join(theirs))
    agreed = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    both = [
        (ends[length], i)
        for i, length in enumerate(itertools.accumulate(map(len, theirs), initial=0))
        if length <= agreed and length in ends
    ]
    return both[-1]


def _next(transcript: list[Word], i: int) -> str:
    return f"{transcript[i].text!r} (its word {i})" if i < len(transcript) else "nothing more"


def _give_times(transcript: list[Word], wanted: list[str], spoken: list, share: bool, found: Matched) -> None:
    """Fills `found.words`; letters are counted through, the same in labels and transcript."""
    starts, begin = [], 0  # of each label, in letters
    for _, _, key in spoken:
        starts.append(begin)
        begin += len(key)
    ends = [*starts[1:], begin]

    joined, shared = [], {}  # shared: number in `spoken` -> the words that the label holds
    position = n = 0
    for word, key in zip(transcript, wanted, strict=True):
        stop = position + len(key)
        while ends[n] <= position:
            n += 1
        first = n
        while ends[n] < stop:
            n += 1
        if first < n:
            joined.append(f"{entry_name(*spoken[first][:2])} … {spoken[n][1].text.strip()!r} are {word.text!r}")
        for label in {first, n}:
            if starts[label] < position or ends[label] > stop:
                shared.setdefault(label, []).append(word.text)
        if share or not shared:  # else the words are dropped below, and the times to divide may be none
            found.words.append(
                {
                    "text": word.text,
                    "start": _time_at(spoken[first][1], (position - starts[first]) / (ends[first] - starts[first])),
                    "end": _time_at(spoken[n][1], (stop - starts[n]) / (ends[n] - starts[n])),
                }
            )
        position = stop

    for label, words in shared.items():
        message = f"{entry_name(*spoken[label][:2])} is {len(words)} words to the aligner ({some(words, 6)})"
        if share:
            found.notes.append(f"{message}; its time was shared out among them")
        else:
            found.problems.append(f"{message}; give each its own times, or read with share_times")
    if joined:
        found.notes.append(f"joined into one word: {some(joined)}")
    if found.problems:
        found.words = []


def _time_at(entry: Entry, part: float):
    """The time when `part` (0 … 1) of a label is over; its own times, unchanged, at both ends."""
    if part in (0, 1):
        return entry.end if part else entry.start
    time = round(entry.start + part * (entry.end - entry.start), 4)
    return min(max(time, entry.start), entry.end)  # a label may be shorter than the rounding
