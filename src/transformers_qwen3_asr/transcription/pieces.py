"""Recordings in pieces that a recogniser takes at once, cut at pauses, and what was heard in them put together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..alignment.confidence import recording_fit
from ..alignment.untranscribed import FRAME, Levels
from ..audio import AudioStream
from ..results import Passage

#: Seconds on either side of where a piece would end at the latest, in which a pause is looked for; as in qwen-asr.
SEARCHED = 5.0
#: Seconds that are quiet in a pause. On people's speech in noise and music a quarter more or less cut as few words;
#: qwen-asr's 0.1, and the longest silence of a voice detector, cut more (benchmarks/transcription_cuts.py).
_QUIET = 0.4


@dataclass
class Piece:
    """
    A stretch of a recording: its samples `(samples,)`, where it begins (seconds), whether it is the last one, and what
    was heard: text, language (`None` where none was named) and the aligner's result.
    """

    samples: np.ndarray
    start: float
    last: bool
    text: str = ""
    language: str | None = None
    aligned: dict[str, Any] | None = None


def pause(samples: np.ndarray, rate: int) -> int:
    """
    Where a pause is in `samples` `(samples,)` at `rate` hertz, never at their beginning: the middle of the quietest
    0.4 seconds, of whose power the middle counts most (a Hann window).
    """
    levels = Levels(rate)
    levels.note(0, samples)
    power = 10 ** (levels.decibels() / 10)
    size = min(round(_QUIET / FRAME), len(power))
    if not size:
        return max(1, len(samples) // 2)
    window = np.hanning(size + 2)[1:-1]
    around = np.convolve(np.pad(power, (size // 2, size - 1 - size // 2), mode="edge"), window, mode="valid")
    return round((int(around.argmin()) + 0.5) * FRAME * rate)


def cut(source: Any, rate: int, seconds: float, pause: Callable[[np.ndarray, int], int] = pause) -> Iterator[Piece]:
    """
    A recording in pieces of about `seconds`, of which each ends in a pause if there is one within 5 s of there.

    Joined, the pieces are the recording. It is read as it is needed.

    Args:
        source: what `load_audio` takes.
        rate: hertz of the samples.
        pause: finds the place in the seconds around.

    Raises `ValueError`, naming the source, for what cannot be decoded, as `AudioStream` does.
    """
    most = round(seconds * rate)
    around = min(round(SEARCHED * rate), most // 2)
    start, last = 0, False
    with AudioStream(source, rate) as stream:
        while not last:
            heard = stream.read(start, start + most + around)
            if not (last := len(heard) <= most):
                heard = heard[: most - around + pause(heard[most - around :], rate)]
            yield Piece(heard, start / rate, last)
            start += len(heard)


def joined(pieces: Sequence[Piece], original_text: bool = False) -> dict[str, Any]:
    """
    What was heard in the pieces of a recording: "text", "language" and, where they are aligned, all that an
    `AlignmentResult` has, its times and offsets counted in the whole.

    Texts are joined by a space, but not beside characters of a script that has none between words. Several languages
    are named in their order, with commas between them, as qwen-asr does it. With `original_text` the chunks of each
    piece, joined, are its text, and so they are of the whole.
    """
    text, starts = "", []
    for piece in pieces:
        if text and piece.text and not (_unspaced(text[-1]) or _unspaced(piece.text[0])):
            text += " "
        starts.append(len(text))
        text += piece.text
    result: dict[str, Any] = {"text": text, "language": _languages(piece.language for piece in pieces)}
    if all(piece.aligned is None for piece in pieces):
        return result
    if len(pieces) == 1:
        return {**result, **pieces[0].aligned, "text": text}
    for name in ("chunks", "unfit", "untranscribed"):
        result[name] = [
            _moved(passage, piece.start, start)
            for piece, start in zip(pieces, starts, strict=True)
            for passage in piece.aligned[name]
        ]
    chunks = result["chunks"]
    for chunk, following in pairwise(chunks) if original_text else ():
        if chunk["char_end"] + 1 == following["char_start"]:  # the space that joins two pieces
            chunk.update(text=chunk["text"] + " ", char_end=chunk["char_end"] + 1)
    besides = sum(end - start for start, end in (passage["timestamp"] for passage in result["untranscribed"]))
    times = np.array([chunk["timestamp"] for chunk in chunks]).reshape(-1, 2)
    fit = recording_fit([chunk["score"] for chunk in chunks], times, besides)
    heard = sum(piece.aligned["heard"] for piece in pieces)
    return {**result, "score": fit.score, "fits": fit.fits, "heard": heard}


def _moved(passage: Passage, seconds: float, characters: int) -> Passage:
    start, end = passage["timestamp"]
    return {
        **passage,
        "timestamp": (round(start + seconds, 3), round(end + seconds, 3)),
        "char_start": passage["char_start"] + characters,
        "char_end": passage["char_end"] + characters,
    }


def _languages(names: Iterable[str | None]) -> str | None:
    """Each once as long as it goes on."""
    found: list[str] = []
    for name in names:
        if name is not None and found[-1:] != [name]:
            found.append(name)
    return ",".join(found) or None


def _unspaced(character: str) -> bool:
    """Whether a character is white space, or of a script without spaces: Thai, Lao, Khmer, Burmese, kana, Han."""
    return character.isspace() or any(
        first <= character <= last
        for first, last in (
            *(("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff")),
            *(("\u3000", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\uff00", "\uffef")),
            ("\U00020000", "\U0003ffff"),
        )
    )
