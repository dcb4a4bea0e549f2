"""
Files in, files out: one module a format, its reading and its writing (of subtitles in `subtitles/`). `table` lists
them; `reading` is of labels in any of them, `writing` of results.
"""

from ..labels.checking import check_row
from ..labels.recordings import audio_duration
from ..labels.rows import LabelProblem, LabelRows
from .json import read_passages
from .json_lines import read_json_values, write_json_lines
from .reading import read_labels
from .table import FORMATS
from .writing import convert, write_alignment

__all__ = [
    "FORMATS",
    "LabelProblem",
    "LabelRows",
    "audio_duration",
    "check_row",
    "convert",
    "read_json_values",
    "read_labels",
    "read_passages",
    "write_alignment",
    "write_json_lines",
]
