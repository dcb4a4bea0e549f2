"""Files of figures, with matplotlib (the extra `plot`), which is imported when one is asked for."""

import io
import os
from importlib.util import find_spec
from pathlib import Path

from ..whole_files import write_whole


def check_plot(path: str | os.PathLike) -> None:
    """
    Whether a plot can be written into `path`, asked before anything slow.

    Raises `ValueError`, in one line, where matplotlib is not installed (the extra `plot`) or does not write files with
    this extension.
    """
    if find_spec("matplotlib") is None:
        raise ValueError("a plot needs matplotlib: pip install 'transformers-qwen3-asr[plot]'")
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if _suffix(path) not in known:
        raise ValueError(f"{path}: a plot's extension is one of {', '.join(known)}")


def write_figure(figure, path: str | os.PathLike) -> Path:
    """Writes a `matplotlib.figure.Figure` whole or not at all, in the format of the extension. Returns the path."""
    picture = io.BytesIO()
    figure.savefig(picture, format=_suffix(path))
    return write_whole(path, picture.getvalue())


def _suffix(path: str | os.PathLike) -> str:
    return Path(path).suffix.lower().lstrip(".")
