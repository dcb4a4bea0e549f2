"""`align --html` and `--plot`: a page and a plot of each recording, beside or instead of a file of its words."""

import argparse
import os
import stat
from pathlib import Path

from ..common import InputError, one_line
from ..files import check_folder, is_folder, is_url, name_of, names_of

#: Option -> the extension of the files in a folder.
OPTIONS = {"html": ".html", "plot": ".png"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--html", metavar="FILE|FOLDER", help="a page that plays the recording and shows its words")
    parser.add_argument(
        "--plot", metavar="FILE|FOLDER", help="a plot of the words over the sound, by matplotlib (.png, .svg, .pdf, …)"
    )


def asked_for(arguments: argparse.Namespace) -> list[str]:
    return [option for option in OPTIONS if getattr(arguments, option)]


def picture_paths(arguments: argparse.Namespace) -> list[dict[str, Path]]:
    """
    Of each recording the file of each option that was given.

    Raises `InputError` where a file cannot be written, or is one for several recordings.
    """
    paths: list[dict[str, Path]] = [{} for _ in arguments.audio]
    for option in asked_for(arguments):
        given = getattr(arguments, option)
        path = Path(given)
        if is_folder(given):
            files = [path / (name + OPTIONS[option]) for name in names_of(arguments.audio)]
        elif len(arguments.audio) > 1:
            raise InputError(f"--{option} {given} is one file for {len(arguments.audio)} recordings; name a folder")
        else:
            files = [path]
        check_folder(f"--{option}", files[0].parent)
        _check_extension(option, files[0])
        for of_recording, file in zip(paths, files, strict=True):
            of_recording[option] = file
    return paths


def _check_extension(option: str, path: Path) -> None:
    if option == "html" and path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {path}: known are .html and .htm, and a folder that is not there yet ends in /")
    if option == "plot":
        from ...pictures.figures import check_plot

        try:
            check_plot(path)
        except ValueError as error:
            raise InputError(f"--plot: {one_line(error)}") from error


def why_not(audio: str, pictures: dict[str, Path]) -> str | None:
    """Why there can be no pictures of a recording."""
    for path in pictures.values():
        if path.is_dir():
            return f"{path} cannot be written (Is a directory)"
    if pictures and not is_url(audio) and stat.S_ISFIFO(os.stat(audio).st_mode):
        return "is a pipe, which is read once, and a picture of it would be a second time"
    return None


def draw(result: dict, audio: str, pictures: dict[str, Path]) -> list[str]:
    """Writes the pictures of a recording; gives what went wrong."""
    from ...pictures import write_page, write_plot

    writers = {"html": write_page, "plot": write_plot}
    failures = []
    for option, path in pictures.items():
        try:
            writers[option](result, audio, path, title=name_of(audio))
        except OSError as error:
            failures.append(f"{path} cannot be written ({error.strerror})")
        except ValueError as error:
            failures.append(one_line(error))
    return failures
