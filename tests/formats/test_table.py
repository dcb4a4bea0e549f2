"""The table of formats: each has a file, and nothing else has to be told of it."""

import ast
from pathlib import Path

from transformers_qwen3_asr import formats
from transformers_qwen3_asr.cli.align import EXTENSIONS
from transformers_qwen3_asr.cli.convert import FORMATS as CONVERTED
from transformers_qwen3_asr.formats.table import BY_SUFFIX, FORMATS, READERS_BY_SUFFIX, TABLE
from transformers_qwen3_asr.formats.writing import SUFFIXES, WRITTEN

FOLDER = Path(formats.__file__).parent
#: Files of the folder that are no format: what formats share, the table and who asks it.
SHARED = {"__init__", "cues", "layout", "spoken", "table", "reading", "writing"}


def test_each_file_is_a_format_of_the_table():
    functions = [f for row in TABLE for f in vars(row).values() if callable(f)]
    told = {function.__module__.rpartition(".")[2] for function in functions}
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
    suffixes = [suffix for row in TABLE for suffix in row.suffixes if row.name != "whisper"]  # which is JSON, too
    assert len(set(suffixes)) == len(suffixes) and len({row.name for row in TABLE}) == len(TABLE)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert set(BY_SUFFIX) == set(suffixes) and BY_SUFFIX[".json"].name == "json"
    assert set(READERS_BY_SUFFIX) == set(suffixes) - {".tsv", ".csv", ".aud", ".rttm"}


def test_all_but_speakers_are_read_and_written():
    assert {name for name in FORMATS if name != "rows"} == set(WRITTEN) == {row.name for row in TABLE} - {"rttm"}
    assert set(SUFFIXES) == set(BY_SUFFIX) - {".rttm"}


def test_the_commands_name_them_all():
    assert CONVERTED == WRITTEN
    assert {f".{extension.lower()}" for extension in EXTENSIONS} == set(SUFFIXES) - {".ndjson"}
