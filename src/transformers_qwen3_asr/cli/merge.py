"""`qwen3-asr merge`: a model and LoRA adapters for it into one model in the published layout."""

import argparse
import sys
import tempfile
from pathlib import Path

from .common import InputError, complain, one_line


def add_parser(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "merge",
        help="add LoRA adapters to the model they were trained for",
        description="Add LoRA adapters, as train writes them, to their model; saves it in the published layout.",
    )
    parser.add_argument("--model", required=True, help="what the adapters were trained for")
    parser.add_argument("--adapter", required=True, metavar="FOLDER", help="the adapter/ folder of a run")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the merged model")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Merges. Returns 0, or 2 after naming what was wrong in one line on stderr."""
    try:
        output = Path(arguments.output)
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"--output {output} is there already; name a new or an empty folder")
        merge(arguments.model, arguments.adapter, output)
    except (ValueError, ImportError, OSError) as error:
        return complain("merge", one_line(error))
    print(f"saved in {output}")
    return 0


def merge(name: str, adapter: str, output: Path) -> None:
    """Loads in float32, merges, and saves in the dtype the model is stored in."""
    from transformers.utils import logging

    from ..training.adapters import merge_adapter
    from ..training.fine_tuning import load_base
    from ..training.result import save_model, stored_dtype
    from ..training.settings import FineTuningSettings

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    model, processor = load_base(FineTuningSettings(model=name, train=[], output=str(output)))
    model = merge_adapter(model, adapter)
    if model.config.timestamp_segment_time is not None:
        processor.timestamp_segment_time = model.config.timestamp_segment_time
    # beside it first: a folder of that name is a whole model
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", suffix=".part", dir=output.parent) as folder:
        part = Path(folder) / output.name
        save_model(model, processor, part, stored_dtype(name))
        if output.is_dir():
            output.rmdir()  # it is empty
        part.replace(output)
