"""The formats there are: a new one is a file beside this one, and a line here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..alignment.results import AlignmentResult, Cue
from ..labels.rows import Draft
from .ctm import read_ctm
from .json import read_json, write_json
from .json_lines import read_json_lines
from .subtitles.ass import write_ass
from .subtitles.srt import read_srt, write_srt
from .subtitles.webvtt import read_vtt, write_vtt
from .textgrid import read_text_grid


@dataclass(frozen=True)
class Format:
    """
    What a format can do, `None` for what it cannot.

    Args:
        name: as in `read_labels(format=...)`.
        suffixes: by which its files are known, in lower case.
        read: the rows of a file.
        write: a result as the text of a file.
        write_cues: subtitles as the text of a file.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], Iterator[Draft]] | None = None
    write: Callable[[AlignmentResult], str] | None = None
    write_cues: Callable[[list[Cue]], str] | None = None


TABLE = (
    Format("jsonl", (".jsonl", ".ndjson"), read_json_lines),
    Format("textgrid", (".textgrid",), read_text_grid),
    Format("ctm", (".ctm",), read_ctm),
    Format("whisper", (".json",), read_json, write_json),
    Format("srt", (".srt",), read_srt, write_cues=write_srt),
    Format("vtt", (".vtt",), read_vtt, write_cues=write_vtt),
    Format("ass", (".ass",), write_cues=write_ass),
)
#: Formats of labels -> the extensions that they are recognised by; "rows" are in memory.
FORMATS = {format.name: format.suffixes for format in TABLE if format.read} | {"rows": ()}
#: Format of labels -> its reader; by extension.
READERS = {format.name: format.read for format in TABLE if format.read}
READERS_BY_SUFFIX = {suffix: format.read for format in TABLE if format.read for suffix in format.suffixes}
#: Extension -> its writer, of whole results and of subtitles.
WRITERS = {suffix: format.write for format in TABLE if format.write for suffix in format.suffixes}
SUBTITLE_WRITERS = {suffix: format.write_cues for format in TABLE if format.write_cues for suffix in format.suffixes}
