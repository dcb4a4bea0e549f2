"""Alignment results to files. Only the extension decides the format."""

from pathlib import Path

from ..alignment.results import AlignmentResult, line_cues, word_cues
from ..whole_files import write_whole
from .table import SUBTITLE_WRITERS, WRITERS

CUES = {"words": word_cues, "lines": line_cues}
SUBTITLE_SUFFIXES = tuple(SUBTITLE_WRITERS)
SUFFIXES = (*WRITERS, *SUBTITLE_SUFFIXES)


def write_alignment(result: AlignmentResult, path: str | Path, cues: str = "words") -> Path:
    """
    Writes one result as `path`'s extension says, and returns the path.

    Args:
        result: what the pipeline returns for one recording.
        path: ends in .json, .srt, .vtt or .ass; missing folders are made, and an existing file is
            replaced by the whole of the new one or, where that fails, stays (`whole_files.write_whole`).
        cues: for subtitles, ``"words"`` gives one cue a chunk: a word, or the sentence or line of the transcript that
            the result was asked for. ``"lines"`` groups chunks into lines of a subtitle's size (see `line_cues`). A
            JSON file always holds the chunks, so ``"lines"`` is refused there.

    White space in a cue is single spaces. A backslash in .ass, and colons and `-->` where one cue of .srt holds
    several times, get a word joiner (U+2060); .vtt has character references. .srt cannot say that `<i>` is no tag.

    Raises:
        ValueError: unknown extension or unknown `cues`; a cue that cannot be written, which is named: NUL or a lone
            surrogate in its text, or a time that is no number, below 0, or beyond what .ass (10 hours), .srt and .vtt
            (100 hours) hold. No file is written or changed then.
        OSError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    if cues not in CUES:
        raise ValueError(f"cues={cues!r}: known are {', '.join(CUES)}")
    if suffix in WRITERS and cues != "words":
        raise ValueError(f"{path}: cues={cues!r} is for subtitles; a JSON file holds the words")
    try:
        content = WRITERS[suffix](result) if suffix in WRITERS else SUBTITLE_WRITERS[suffix](CUES[cues](result))
    except ValueError as error:
        raise ValueError(f"{path} cannot be written: {error}") from error
    return write_whole(path, content)
