"""Transcripts as the words that the aligner gives times to, with where each stands in the transcript.

The rule is qwen-asr 0.0.6's, because the checkpoints were trained with it: a word is what stands between white space,
with everything but letters, numbers and the apostrophe taken out; each CJK character is a word by itself; Japanese is
cut by nagisa and Korean by soynlp. One thing differs: combining marks (Unicode category M) stay with the letter they
belong to. qwen-asr drops them, and with them the vowels of Hindi and Thai or the accents of decomposed text.
"""

import itertools
import os
import re
import string
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from .checks import check_text

KOREAN_DICTIONARY_VARIABLE = "QWEN3_ASR_KOREAN_DICTIONARY"

#: Characters of a word that a model is given. No word is longer, but phrases of scripts that are written without
#: spaces; and what is none (a line of noise, marks upon marks) must not make a prompt of tens of thousands of tokens.
LONGEST_WORD = 120
#: Combining marks of a letter that a model is given; writing has five at most.
MOST_MARKS = 8

# Of CJK ideographs, the ranges that qwen-asr 0.0.6 counts.
_CJK_RANGES = (
    (0x4E00, 0x9FFF),  # unified ideographs
    (0x3400, 0x4DBF),  # extension A
    (0x20000, 0x2A6DF),  # B
    (0x2A700, 0x2B73F),  # C
    (0x2B740, 0x2B81F),  # D
    (0x2B820, 0x2CEAF),  # E
    (0xF900, 0xFAFF),  # compatibility ideographs
)

#: Punctuation that no word keeps, as it stands around one.
_MARKS = string.punctuation.replace("'", "")

_LONGEST_KOREAN = 200  # characters of a word in the dictionary


@dataclass(frozen=True)
class Word:
    """
    A word as the aligner is given it, and where it stands in the transcript.

    `text` holds letters, numbers, apostrophes and combining marks only. `start` and `end` are character offsets:
    `transcript[start:end]` begins with the word's first character and ends with its last, and holds whatever was
    dropped between them (the hyphen of "rock-n-roll"). `spans` are the `origins` of its characters, `None` where they
    stand one behind the other.
    """

    text: str
    start: int
    end: int
    spans: tuple[tuple[int, int], ...] | None = field(default=None, compare=False, repr=False)

    @property
    def origins(self) -> tuple[tuple[int, int], ...]:
        """The span that each character of `text` came from; in Japanese, several may come from one character, or one
        from several."""
        if self.spans is not None:
            return self.spans
        return tuple(zip(range(self.start, self.end), range(self.start + 1, self.end + 1)))


def split_words(
    text: str | Sequence[str], language: str | None = None, korean_dictionary: str | os.PathLike | None = None
) -> list[Word]:
    """
    The words of a transcript.

    Args:
        text: the transcript; or its words, where they are already known. Known words are cleaned but neither joined
            nor split, and offsets count in the words joined by single spaces.
        language: a name as in `languages.py`; "Japanese" and "Korean" (any case) are cut by their own tools, all
            others and `None` by white space and CJK characters.
        korean_dictionary: a file whose lines begin with a Korean word, which is how qwen-asr's dictionary looks;
            default: the file that the environment variable QWEN3_ASR_KOREAN_DICTIONARY names. Without one, Korean is
            cut by white space alone, as by an empty dictionary, and a warning says so once.

    Raises `ValueError`, naming the word, where a known word holds no letter and no number, a text holds half a
    surrogate pair, or the dictionary cannot be read; `ImportError`, naming the extra to install, where Japanese or
    Korean text comes without nagisa or soynlp.
    """
    if not isinstance(text, str):
        return _known_words(text)
    check_text(text, "the text")
    language = (language or "").lower()
    if language == "japanese":
        pieces = _japanese(text)
    elif language == "korean":
        pieces = _korean(text, korean_dictionary or os.environ.get(KOREAN_DICTIONARY_VARIABLE) or None)
    else:
        return [word for match in re.finditer(r"\S+", text) for word in _unspaced(match.group(), match.start())]
    return list(_collect(pieces))


def word_texts(words: Iterable[Word]) -> list[str]:
    """The words' texts alone, as prompts and `word_lists` hold them."""
    return [word.text for word in words]


def prompt_text(word: str) -> str:
    """
    A word as prompts hold it: of more than `MOST_MARKS` marks upon a letter the first, and of what is longer than
    `LONGEST_WORD` both ends, since they are what has to be found.
    """
    if len(word) > MOST_MARKS and not word.isascii():
        marks, kept = 0, []
        for character in word:
            marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
            if marks <= MOST_MARKS:
                kept.append(character)
        word = "".join(kept)
    half = LONGEST_WORD // 2
    return word if len(word) <= LONGEST_WORD else word[:half] + word[-half:]


class _Piece(NamedTuple):
    """A character, the span of the transcript it came from, and whether a word may not reach across its beginning."""

    character: str
    start: int
    end: int
    cuts: bool


def _collect(pieces: Iterable[_Piece], single=lambda character: False) -> Iterator[Word]:
    """Words from characters: what no word keeps is dropped; a word ends where a piece cuts or after a `single` one."""
    kept: list[_Piece] = []
    base_kept = False  # whether the letter before was kept, so that its marks are
    cut = False  # whether the next letter begins another word
    for piece in pieces:
        cut = cut or piece.cuts
        category = unicodedata.category(piece.character)
        if category[0] == "M":
            # even where a tool cut between a letter and its mark
            if base_kept:
                kept.append(piece)
            continue
        if category == "Cf":  # joiners and direction marks: gone, but a mark may follow
            continue
        base_kept = category[0] in "LN" or piece.character == "'"
        if base_kept:
            if cut and kept:
                yield _word(kept)
                kept = []
            kept.append(piece)
            cut = single(piece.character)
    if kept:
        yield _word(kept)


def _unspaced(text: str, at: int) -> list[Word]:
    """The words of a text without white space, which stands at `at` in the transcript."""
    inner = text.strip(_MARKS)
    if _is_plain(inner):  # most words of a batch, of which there may be ten thousand
        at += text.index(inner)
        return [Word(inner, at, at + len(inner))]
    pieces = (_Piece(ch, i, i + 1, cuts=_is_cjk(ch)) for i, ch in enumerate(text, at))
    return list(_collect(pieces, single=_is_cjk))


def _is_plain(text: str) -> bool:
    """Whether a word is kept as it is: letters and numbers, apostrophes between them, no ideographs."""
    return (text.isalnum() or text.replace("'", "").isalnum()) and (
        text.isascii() or ord(max(text)) < _CJK_RANGES[1][0]
    )


def _word(pieces: list[_Piece]) -> Word:
    characters, starts, ends, _ = zip(*pieces)
    return Word("".join(characters), starts[0], ends[-1], tuple(zip(starts, ends)))


def _is_cjk(character: str) -> bool:
    code = ord(character)
    return code >= 0x3400 and any(low <= code <= high for low, high in _CJK_RANGES)


def _known_words(words: Sequence[str]) -> list[Word]:
    found, offset = [], 0
    for i, word in enumerate(words):
        check_text(word, f"word {i}")
        if _is_plain(word):
            cleaned = [Word(word, offset, offset + len(word))]
        else:
            cleaned = list(_collect(_Piece(ch, offset + k, offset + k + 1, cuts=False) for k, ch in enumerate(word)))
        if not cleaned:
            raise ValueError(f"word {i} ({word!r}) holds no letter and no number")
        found += cleaned
        offset += len(word) + 1
    return found


def _japanese(text: str) -> Iterator[_Piece]:
    try:
        import nagisa
    except ImportError as error:
        raise ImportError("Japanese words need nagisa: pip install transformers-qwen3-asr[ja]") from error
    # nagisa cuts the text's NFKC form, so each of its characters is traced back to where it came from
    spans = iter([span for piece, *span in _normalized(text) for _ in piece])
    for word in nagisa.tagging(text).words if text.strip() else []:
        for k, (character, (start, end)) in enumerate(zip(word, spans)):
            yield _Piece(character, start, end, cuts=k == 0)


def _normalized(text: str) -> Iterator[tuple[str, int, int]]:
    """The NFKC form of `text` in pieces that do not interact, each with the span it came from."""
    start = 0
    for i in range(1, len(text) + 1):
        if i < len(text):
            head, character = text[start:i], text[i]
            if unicodedata.combining(unicodedata.normalize("NFKD", character)[0]):
                continue  # at once: marks upon marks would be normalised again with each of them
            if unicodedata.normalize("NFKC", head + character) != (
                unicodedata.normalize("NFKC", head) + unicodedata.normalize("NFKC", character)
            ):
                continue
        yield unicodedata.normalize("NFKC", text[start:i]), start, i
        start = i


def _korean(text: str, dictionary: str | os.PathLike | None) -> Iterator[_Piece]:
    tokenizer = _korean_tokenizer(None if dictionary is None else os.fspath(dictionary))
    for match in re.finditer(r"\S+", text):
        # cut after a word of the dictionary; soynlp tries every beginning, so it is given what may be one
        tokens = [token for token in tokenizer.tokenize(match.group()[:_LONGEST_KOREAN]) if token]
        starts = set(itertools.accumulate(map(len, tokens[:-1]), initial=0))
        for k, character in enumerate(match.group()):
            yield _Piece(character, match.start() + k, match.start() + k + 1, cuts=k in starts)


@lru_cache(maxsize=4)
def _korean_tokenizer(dictionary: str | None):
    try:
        from soynlp.tokenizer import LTokenizer
    except ImportError as error:
        raise ImportError("Korean words need soynlp: pip install transformers-qwen3-asr[ko]") from error
    if dictionary is None:
        # cached, so it is said once
        warnings.warn(
            "Korean is cut by white space alone, without a dictionary. qwen-asr also cuts a word after the longest "
            "beginning that its dictionary lists: give that file (qwen_asr/inference/assets/korean_dict_jieba.dict in "
            f"its package) as korean_dictionary= or in the environment variable {KOREAN_DICTIONARY_VARIABLE}",
            stacklevel=2,
        )
        return LTokenizer()
    try:
        with open(dictionary, encoding="utf-8") as file:
            words = [line.split()[0] for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the Korean dictionary {dictionary!r} cannot be read: {error}") from error
    # every word scores alike, as in qwen-asr: the longest listed beginning of two or more syllables wins
    return LTokenizer(scores=dict.fromkeys(words, 1.0))
