"""What is looked at before a request waits for the model: its fields, how long its recording is, its language."""

import io
from collections.abc import Callable
from typing import BinaryIO

from fastapi import Request

from ..audio.decoding import decoded_parts
from .errors import ApiError


class Upload(io.BufferedIOBase):
    """An uploaded file, under the name that its sender gave it."""

    def __init__(self, file: BinaryIO, name: str):
        self._file, self.name = file, name

    def read(self, size: int | None = -1) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def checked_recording(file: BinaryIO, name: str, rate: int, most_seconds: float) -> tuple[Upload, float]:
    """
    The recording for a pipeline, and its seconds at `rate` hertz. They are counted by decoding, part by part: headers
    may say anything, and an hour of silence is a small file.

    Raises `ApiError` for what is no recording or lasts too long.
    """
    upload = Upload(file, name)
    samples = 0
    try:
        for part in decoded_parts(upload, f"the file {name!r}", rate):
            samples += len(part)
            if samples > most_seconds * rate:
                message = f"the file {name!r} lasts longer than the {most_seconds:g} s that are taken here"
                raise ApiError(413, message, "file", "audio_too_long")
    except ValueError as error:
        raise ApiError(400, str(error), "file", "invalid_audio") from error
    if not samples:
        raise ApiError(400, f"the file {name!r} is an empty recording", "file", "invalid_audio")
    upload.seek(0)
    return upload, samples / rate


def checked_language(language: str | None, known: Callable[[str | None], str | None]) -> str | None:
    """A language as `known` (of `text.languages`) names it. Raises `ApiError` where it raises `ValueError`."""
    try:
        return known(language)
    except ValueError as error:
        raise ApiError(400, str(error), "language", "invalid_value") from error


async def check_fields(request: Request, known: tuple[str, ...], lists: tuple[str, ...] = ()) -> None:
    """
    Raises `ApiError` for a field that is not known, or is there twice and none of `lists`: nothing is accepted and
    ignored.
    """
    seen = set()
    for name, _ in (await request.form()).multi_items():
        if name not in (*known, *lists):
            raise ApiError(400, f"there is no parameter {name!r}", name, "unknown_parameter")
        if name in seen and name not in lists:
            raise ApiError(400, f"{name} is there twice", name, "invalid_value")
        seen.add(name)
