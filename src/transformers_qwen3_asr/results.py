"""What an alignment is, once words have times."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Literal, NotRequired, Protocol, TypedDict


class Samples(Protocol):
    """An array or a tensor."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


#: One recording, or a row with one, as pipelines take it; `audio.load_audio` says what each form means.
Recording = str | os.PathLike[str] | bytes | IO[bytes] | Samples | tuple[Any, int] | Mapping[str, Any]
Unit = Literal["word", "char", "sentence", "line"]


class AlignmentOptions(TypedDict, total=False):
    """Keywords of `pipeline("forced-alignment")` and its calls; `ForcedAlignmentPipeline` says what they do."""

    korean_dictionary: str | os.PathLike[str]
    decoding: Literal["joint", "argmax"]
    refine: bool
    budget: float
    return_timestamps: Unit
    original_text: bool
    max_align_seconds: float
    progress: bool
    on_error: Literal["raise", "return"]
    batch_size: int
    batch_seconds: float
    num_workers: int


class Chunk(TypedDict):
    """
    One piece of the text: ``text``, ``timestamp`` (start, end) in seconds, ``score`` between 0 and 1, and the offsets
    of its first character and past its last one in the transcript. See `chunks.make_chunks`.
    """

    text: str
    timestamp: tuple[float, float]
    score: float
    char_start: int
    char_end: int


class Passage(TypedDict):
    """
    A part of the text: where it stands in the transcript, as for a chunk, and where it was put (seconds). Where no
    text is, `char_start` and `char_end` are the same: past the last character of the word before.
    """

    timestamp: tuple[float, float]
    char_start: int
    char_end: int


class AlignmentResult(TypedDict):
    """
    One aligned recording: ``text`` as it was given (a string or a list of words; `None` where a row with an error has
    neither) and its ``chunks`` in order. Where a list was given, offsets count in its words joined by single spaces.

    ``score`` (0 to 1) and ``fits`` say whether the text belongs to the recording, ``unfit`` where it does not:
    passages of words that are not said there, or stand where others are said (`alignment.confidence.recording_fit`).
    ``untranscribed`` are stretches where something is heard and the text has no words: speech that it leaves out, or
    music or applause. See `alignment.untranscribed.untranscribed`.

    ``heard`` is how many seconds of audio the model was given for it: the recording's once, and more where words were
    asked for again. Windows of a long recording overlap, and leave out the inside of pauses.

    ``error`` is there where errors are returned (`on_error="return"`): what was wrong with the row, or `None`.
    """

    text: str | list[str] | None
    chunks: list[Chunk]
    score: float
    fits: bool
    unfit: list[Passage]
    untranscribed: list[Passage]
    heard: float
    error: NotRequired[str | None]


#: What is a row's own error: its recording, text or language, or a package that its language needs. Anything else (no
#: memory, a programming error) is nobody's, and ends the whole call.
ROW_ERRORS = (ValueError, OSError, ImportError)


@dataclass(frozen=True)
class Cue:
    """A piece of text shown from ``start`` to ``end`` (seconds)."""

    start: float
    end: float
    text: str
