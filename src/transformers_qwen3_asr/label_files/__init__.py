"""Labelled speech from the files people have: JSON lines, `datasets`, TextGrid, CTM, Whisper's JSON, subtitles."""

from .checking import check_row
from .json_lines import write_json_lines
from .reading import FORMATS, read_labels
from .recordings import audio_duration
from .rows import LabelProblem, LabelRows

__all__ = ["FORMATS", "LabelProblem", "LabelRows", "audio_duration", "check_row", "read_labels", "write_json_lines"]
