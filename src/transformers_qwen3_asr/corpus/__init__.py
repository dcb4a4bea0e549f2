"""
Corpora: many recordings and their texts in, a folder of Parquet files out, in as many processes as there are GPUs.

The core, `CorpusAligner`, knows no engine: it is a callable for batches of rows, in a loop or under Ray Data.
"""

from .aligner import CorpusAligner
from .folder import CorpusFolder
from .ray_data import ray_align
from .report import CorpusReport, read_report
from .rows import CorpusRow, content_id
from .running import Pass, align_corpus
from .sources import SOURCE_FORMATS, Source, open_source

__all__ = [
    "SOURCE_FORMATS",
    "CorpusAligner",
    "CorpusFolder",
    "CorpusReport",
    "CorpusRow",
    "Pass",
    "Source",
    "align_corpus",
    "content_id",
    "open_source",
    "ray_align",
    "read_report",
]
