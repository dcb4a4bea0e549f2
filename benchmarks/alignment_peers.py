"""Other aligners on the same clips, for alignment_quality.py: PocketSphinx, and viter where there is a model of it."""

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from alignment_clips import LabelledClip
from alignment_stages import Found

#: A way from a clip to the seconds of its words; a `ValueError` says why it has none.
Peer = Callable[[LabelledClip], np.ndarray]


class UnknownWords(ValueError):
    """Words, its `args[0]`, that a peer's dictionary does not have."""


def pocketsphinx_peer() -> Peer:
    """
    PocketSphinx's forced alignment with the acoustic model and dictionary of its wheel.

    Raises `ImportError` where it is not installed.
    """
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, loglevel="FATAL")

    def align(clip: LabelledClip) -> np.ndarray:
        decoder.reinit_feat()  # or its times depend on the clips before
        words = [word.lower() for word in clip.words]
        check_known(words, lambda word: decoder.lookup_word(word) is not None)
        decoder.set_align_text(" ".join(words))
        decoder.start_utt()
        decoder.process_raw((clip.samples.clip(-1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        # names of fillers begin with "<" or "["; a frame is 10 ms, and the last one is still the word's
        spoken = [part for part in decoder.seg() or () if part.word[0] not in "<["]
        if [part.word.split("(")[0] for part in spoken] != words:
            raise ValueError("it found no path")
        return np.array([(part.start_frame / 100, (part.end_frame + 1) / 100) for part in spoken])

    return align


def viter_peer(model: str | Path, dictionary: str | Path, vocabulary: Iterable[str]) -> Peer:
    """
    viter (Kaldi's and MFA's recipe) with a trained model and its dictionary, of a word and its phones a line. It is
    given the words of `vocabulary` alone: for each clip it reads all that there are, half a second with cmudict.

    Raises `ImportError` where it is not installed, `ValueError` where a file is not there.
    """
    import viter

    for file in (model, dictionary):
        if not Path(file).is_file():
            raise ValueError(f"{file} is no file")
    wanted = {word.casefold() for word in vocabulary}
    lines = [line for line in Path(dictionary).read_text(encoding="utf-8").splitlines() if line.strip()]
    lines = [line for line in lines if line.split()[0].casefold() in wanted]
    spelled = {line.split()[0].casefold() for line in lines}
    folder = tempfile.mkdtemp()  # read anew for each clip
    atexit.register(shutil.rmtree, folder)
    small = Path(folder) / "dictionary.txt"
    small.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    aligner = viter.Model(str(model), dict=str(small), cpu=True)

    def align(clip: LabelledClip) -> np.ndarray:
        words = [word.lower() for word in clip.words]
        check_known(words, lambda word: word.casefold() in spelled)
        try:
            found = aligner.align(clip.samples.astype(np.float32), " ".join(words), sample_rate=16000).words
        except viter.ViterError as error:
            raise ValueError("it found no path") from error
        if [word.label.casefold() for word in found] != words:
            raise ValueError("it aligned other words")
        return np.array([(word.start, word.end) for word in found])

    return align


def check_known(words: Sequence[str], known: Callable[[str], bool]) -> None:
    """Raises `UnknownWords` where some are not in the dictionary."""
    if unknown := [word for word in words if not known(word)]:
        raise UnknownWords(unknown)


def peer_times(peer: Peer, clips: Sequence[LabelledClip]) -> tuple[list[Found | None], list[str]]:
    """A peer's times of all clips, without scores, `None` for those that it does not align; and why these are left
    out, a line a reason, with how many they are."""
    found: list[Found | None] = []
    reasons: Counter = Counter()
    words: Counter = Counter()
    for clip in clips:
        try:
            times = peer(clip)
        except UnknownWords as error:
            found.append(None)
            reasons["with words that its dictionary lacks"] += 1
            words.update(error.args[0])
        except ValueError as error:
            found.append(None)
            reasons[f"because {error}"] += 1
        else:
            found.append((times.reshape(-1, 2), np.full(len(times), np.nan)))
    lines = [f"{count} of {len(clips)} clips {reason}" for reason, count in reasons.items()]
    if words:
        lines.append(f"it lacks {len(words)} words: {', '.join(sorted(words)[:10])}{', …' * (len(words) > 10)}")
    return found, lines
