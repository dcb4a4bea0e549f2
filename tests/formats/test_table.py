"""The table of formats: each has a file, and nothing else has to be told of it."""

import ast
from pathlib import Path

from transformers_qwen3_asr import formats
from transformers_qwen3_asr.formats.table import FORMATS, READERS_BY_SUFFIX, SUBTITLE_WRITERS, TABLE, WRITERS

FOLDER = Path(formats.__file__).parent
#: Files of the folder that are no format: what formats share, the table and who asks it.
SHARED = {"__init__", "cues", "table", "reading", "writing"}


def test_each_file_is_a_format_of_the_table():
    told = {f.__module__.rpartition(".")[2] for row in TABLE for f in (row.read, row.write, row.write_cues) if f}
    assert told == {path.stem for path in FOLDER.rglob("*.py")} - SHARED


def test_only_the_table_knows_all_formats():
    """Who reads or writes files asks it; a format may take from another one what they have in common."""
    for path in FOLDER.parent.rglob("*.py"):
        if path.is_relative_to(FOLDER):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("formats."):
                assert node.module.rpartition(".")[2] in SHARED, f"{path.name} imports {node.module}"


def test_names_and_extensions_are_there_once():
    suffixes = [suffix for row in TABLE for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes) and len({row.name for row in TABLE}) == len(TABLE)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert all(row.read or row.write or row.write_cues for row in TABLE)
    assert set(READERS_BY_SUFFIX) == {suffix for name in FORMATS for suffix in FORMATS[name]}
    assert set(READERS_BY_SUFFIX) | set(WRITERS) | set(SUBTITLE_WRITERS) == set(suffixes)
