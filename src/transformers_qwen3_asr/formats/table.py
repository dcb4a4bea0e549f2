"""
The formats there are: a new one is a file beside this one, and a line here. What the command offers is listed once
more, since it is to start fast: `EXTENSIONS` of `cli/align.py` and `FORMATS` of `cli/convert.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..labels.rows import Draft, Entry
from ..results import Cue
from .audacity import read_audacity, write_audacity
from .columns import read_csv, read_tsv, write_csv, write_tsv
from .ctm import read_ctm, write_ctm
from .elan import read_eaf, write_eaf
from .json import read_json, write_json
from .json_lines import read_json_lines, write_json_line
from .rttm import Turn, read_rttm
from .spoken import Line, Spoken
from .subtitles.ass import read_ass, write_ass, write_ass_karaoke
from .subtitles.srt import read_srt, write_srt
from .subtitles.webvtt import read_vtt, write_vtt, write_vtt_karaoke
from .textgrid import read_text_grid, write_text_grid
from .whisper import write_whisper


@dataclass(frozen=True)
class Format:
    """
    What a format can do, `None` for what it cannot.

    Args:
        name: as in `read_labels(format=...)`.
        suffixes: by which its files are known, in lower case; the first format that has one is meant by it.
        read: the rows of a file; where `tiers`, with the argument `tier`.
        read_turns: of a file of speakers, the turns of each recording.
        write: a recording as the text of a file; where `many`, the texts of several make one file.
        write_cues: words or lines, a cue each, as the text of a file.
        write_karaoke: lines with their words' times inside as the text of a file.
        tiers: whether its words are in a tier that has a name.
        breaks: whether a cue may have several lines.
        many: whether a file may hold several recordings.
        speakers: whether it says who speaks.
        in_folders: whether its files are labels wherever they lie; tables are mostly about other things.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Iterator[Draft]] | None = None
    write: Callable[[Spoken], str] | None = None
    write_cues: Callable[[Iterable[Cue | Entry | Line]], str] | None = None
    write_karaoke: Callable[[Iterable[Line]], str] | None = None
    read_turns: Callable[[Path], dict[str, list[Turn]]] | None = None
    tiers: bool = False
    breaks: bool = False
    many: bool = False
    speakers: bool = True
    in_folders: bool = True


TABLE = (
    Format("jsonl", (".jsonl", ".ndjson"), read_json_lines, write_json_line, many=True),
    Format("textgrid", (".textgrid",), read_text_grid, write_text_grid, tiers=True),
    Format("ctm", (".ctm",), read_ctm, write_ctm, many=True, speakers=False),
    Format("json", (".json",), read_json, write_json),
    Format("whisper", (".json",), read_json, write_whisper),
    Format("srt", (".srt",), read_srt, write_cues=write_srt, breaks=True, speakers=False),
    Format("vtt", (".vtt",), read_vtt, write_cues=write_vtt, write_karaoke=write_vtt_karaoke, breaks=True),
    Format("ass", (".ass",), read_ass, write_cues=write_ass, write_karaoke=write_ass_karaoke, breaks=True),
    Format("eaf", (".eaf",), read_eaf, write_eaf, tiers=True),
    Format("tsv", (".tsv",), read_tsv, write_cues=write_tsv, in_folders=False),
    Format("csv", (".csv",), read_csv, write_cues=write_csv, in_folders=False),
    Format("audacity", (".aud",), read_audacity, write_cues=write_audacity, in_folders=False),
    Format("rttm", (".rttm",), read_turns=read_rttm),
)
#: What is said of a file that is neither read as words nor written.
TURNS_ALONE = (
    "such a file holds turns of speakers and no words; it is read beside one with words (--rttm), and not written"
)
BY_NAME = {format.name: format for format in TABLE}
BY_SUFFIX = {suffix: format for format in reversed(TABLE) for suffix in format.suffixes}
#: Formats of labels -> the extensions that they are recognised by; "rows" are in memory.
FORMATS = {format.name: format.suffixes for format in TABLE if format.read} | {"rows": ()}
#: Extension -> its reader, of files that are labels wherever they lie.
READERS_BY_SUFFIX = {suffix: format.read for suffix, format in BY_SUFFIX.items() if format.read and format.in_folders}
