"""Results to files, and files of one format to another. The extension decides the format, unless it is said."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..labels.matching import some
from ..labels.recordings import Recordings
from ..results import AlignmentResult
from ..whole_files import write_whole
from .reading import read_spoken
from .rttm import Turn, turns_of, with_speakers
from .spoken import Spoken
from .subtitles.layout import CueLimits
from .table import BY_NAME, BY_SUFFIX, FORMATS, TABLE, TURNS_ALONE, Format

CUES = ("words", "lines", "karaoke")
#: Names of formats that are written, and the extensions by which they are known.
WRITTEN = tuple(format.name for format in TABLE if format.write or format.write_cues)
SUFFIXES = tuple(dict.fromkeys(suffix for name in WRITTEN for suffix in BY_NAME[name].suffixes))
SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass")
#: Of what holds any text: JSON.
ANY_TEXT = (".json", ".jsonl", ".ndjson")


def write_alignment(
    result: AlignmentResult,
    path: str | Path,
    cues: str = "words",
    format: str | None = None,
    audio: str | os.PathLike | None = None,
    limits: CueLimits | None = None,
    shown: Sequence[str | None] | None = None,
) -> Path:
    """
    Writes one result, and returns the path.

    Args:
        result: what the pipeline returns for one recording. A chunk's "speaker" is written where the format has one.
        path: missing folders are made, and an existing file is replaced by the whole of the new one or, where that
            fails, stays (`whole_files.write_whole`).
        cues: for subtitles and tables, ``"words"`` gives one cue a chunk: a word, or the sentence or line of the
            transcript that the result was asked for. ``"lines"`` groups chunks into cues of a subtitle's size (see
            `subtitles.layout.subtitle_cues`). ``"karaoke"`` gives such cues in .vtt and .ass the times of their words.
            Other files always hold the chunks, so ``"lines"`` is refused there.
        format: one of `WRITTEN`, where `path`'s extension does not say it.
        audio: the recording's path or URL, which a JSON line names.
        limits: of ``"lines"`` and ``"karaoke"``: how long lines and cues may be. A gap is for ``"lines"`` alone.
        shown: the text of each chunk with line breaks, which subtitles with a cue a chunk have.

    White space in a cue is single spaces, but for what is `shown`. A backslash in .ass, and colons
    and `-->` where one cue of .srt holds several times, get a word joiner (U+2060); .vtt has character references.
    .srt cannot say that `<i>` is no tag.

    Raises:
        ValueError: unknown extension, `format` or `cues`; a cue or word that cannot be written, which is named: NUL or
            a lone surrogate in its text, or a time that is no number, below 0, or beyond what .ass (10 hours), .srt
            and .vtt (100 hours) hold; two words at a time where a tier or karaoke holds one. No file is written or
            changed then.
        ImportError: the library of the format is missing.
        OSError: the file cannot be written.
    """
    path = Path(path)
    kind = format_to_write(path, format, cues, limits)
    return _write([Spoken(path.stem, result, audio=audio, shown=shown)], path, kind, cues, limits)


def format_to_write(
    path: Path, format: str | None = None, cues: str = "words", limits: CueLimits | None = None
) -> Format:
    """
    The format of a file that is going to be written.

    Raises `ValueError` where there is none or it has no such cues, `ImportError` where its library is missing.
    """
    if format is not None and format not in WRITTEN:
        raise ValueError(f"format={format!r}: known are {', '.join(WRITTEN)}")
    found = BY_NAME[format] if format is not None else BY_SUFFIX.get(path.suffix.lower())
    if found is not None and found.name not in WRITTEN:
        raise ValueError(f"{path}: {TURNS_ALONE}")
    if found is None:
        raise ValueError(f"{path}: unknown extension {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    if cues not in CUES:
        raise ValueError(f"cues={cues!r}: known are {', '.join(CUES)}")
    if limits is not None and cues == "words":
        raise ValueError("limits of cues are for cues='lines' and 'karaoke'")
    if limits is not None and limits.min_gap and cues == "karaoke":
        raise ValueError("min_gap is for cues='lines': karaoke lasts until its last word has ended")
    if cues == "karaoke" and found.write_karaoke is None:
        raise ValueError(f"{path}: cues='karaoke' is for .vtt and .ass")
    if cues == "lines" and found.write_cues is None:
        raise ValueError(f"{path}: cues='lines' is for subtitles; a {found.suffixes[0]} file holds the words")
    if found.write is not None:
        found.write(Spoken(path.stem, {"text": "", "chunks": []}))  # which tells whether its library is there
    return found


def _write(
    recordings: Sequence[Spoken], path: Path, format: Format, cues: str, limits: CueLimits | None = None
) -> Path:
    contents = []
    for spoken in recordings:
        try:
            if cues == "karaoke":
                contents.append(format.write_karaoke(spoken.lines(limits=limits, breaks=True)))
            elif format.write_cues is not None:
                shown = spoken.cues if format.breaks else spoken.words
                if cues == "lines":
                    shown = spoken.lines(limits=limits, breaks=format.breaks)
                contents.append(format.write_cues(shown))
            else:
                contents.append(format.write(replace(spoken, folder=path.parent)))
        except ValueError as error:
            raise ValueError(f"{path} cannot be written: {error}") from error
    return write_whole(path, "".join(contents))


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    source_format: str | None = None,
    format: str | None = None,
    cues: str = "words",
    tier: str | None = None,
    rttm: str | os.PathLike | None = None,
    recording: str | None = None,
    limits: CueLimits | None = None,
) -> Path:
    """
    Reads a file of words or cues with times, writes it in another format, and returns the path of the new one.

    Words keep their times, as exactly as the new format has them. What it has no place for is lost: scores, speakers,
    the passages that did not fit.

    Args:
        source: what `read_labels` reads, and files whose cues are no single words. No recording is needed.
        target: as in `write_alignment`.
        source_format: one of `FORMATS`, where the extension of `source` does not say it.
        format: one of `WRITTEN`, where the extension of `target` does not say it.
        cues: as in `write_alignment`; the lines are those of `source` where it has some and no `limits` are given.
        tier: as in `read_labels`.
        rttm: turns of speakers: each word is given to who speaks longest while it lasts.
        recording: the one to take, where `source` holds several; its name in `rttm`, where that is another.
        limits: as in `write_alignment`. What `source` has times for is never parted, be it a word or a sentence.

    Raises:
        ValueError: what cannot be read or written, naming file and line, cue or word; `source` holds several
            recordings and `target` has one; `rttm` is about another recording.
        ImportError: the library of a format is missing.
        OSError: the file cannot be written.
    """
    source, target = Path(source), Path(target)
    if source_format is not None and (source_format not in FORMATS or source_format == "rows"):
        raise ValueError(
            f"source_format={source_format!r}: known are {', '.join(name for name in FORMATS if FORMATS[name])}"
        )
    kind = format_to_write(target, format, cues, limits)
    if rttm is not None and not kind.speakers:
        raise ValueError(f"{target} has no place for speakers, so that rttm= changes nothing")
    if not os.path.exists(source):
        raise ValueError(f"there is no file {os.fspath(source)!r}")
    found = read_spoken(source, source_format, tier, words=cues != "lines")
    found = called(found, recording, source)
    if not kind.many:
        found = [the_only(found, source, target)]
    if rttm is not None:
        turns = BY_NAME["rttm"].read_turns(Path(rttm))
        found = [_with_speakers(spoken, turns, Path(rttm), recording or spoken.name) for spoken in found]
    if kind.name == "jsonl":  # which names recordings
        recordings = Recordings()
        found = [_with_audio(spoken, recordings, source) for spoken in found]
    return _write(found, target, kind, cues, limits)


def called(found: list[Spoken], name: str | None, source: Path) -> list[Spoken]:
    """Of several recordings those of a name, where one is given. Raises `ValueError`, where none is."""
    if len(found) == 1 or name is None:
        return found
    chosen = [spoken for spoken in found if spoken.name == name]
    if not chosen:
        raise ValueError(f"{source} has no recording {name!r}, but {some([repr(spoken.name) for spoken in found])}")
    return chosen


def the_only(found: Sequence[Spoken], source: Path, target: Path) -> Spoken:
    """The recording of a file that holds one. Raises `ValueError`, with the names, where there are several."""
    if len(found) > 1:
        names = some([repr(spoken.name) for spoken in found])
        raise ValueError(f"{source} holds {len(found)} recordings ({names}), and {target} has one: say recording=")
    return found[0]


def _with_speakers(spoken: Spoken, turns: dict[str, list[Turn]], rttm: Path, name: str) -> Spoken:
    words = with_speakers(spoken.words, turns_of(turns, name, rttm))
    if not any(word.speaker for word in words):
        raise ValueError(f"{rttm}: nobody speaks while a word of {name!r} is said, so that it is of another recording")
    chunks = [
        {**chunk, "speaker": word.speaker} if word.speaker is not None else chunk
        for chunk, word in zip((c for c in spoken.result["chunks"] if c["text"].strip()), words, strict=True)
    ]
    return replace(spoken, result={**spoken.result, "chunks": chunks})


def _with_audio(spoken: Spoken, recordings: Recordings, source: Path) -> Spoken:
    """With the recording that belongs to a file, where there is one."""
    if isinstance(spoken.audio, (str, os.PathLike)):
        return replace(spoken, audio=recordings.named(os.fspath(spoken.audio), source))
    try:
        return replace(spoken, audio=recordings.called(spoken.name, source))
    except ValueError:
        return replace(spoken, audio=None)
