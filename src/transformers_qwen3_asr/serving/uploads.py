"""What is looked at before a request waits for the model: how long its recording is, its text, its language."""

import io
from typing import Any, BinaryIO

from ..audio.decoding import decoded_parts
from ..text.languages import aligner_language
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


def checked_row(
    file: BinaryIO, name: str, text: str, language: str | None, rate: int, most_seconds: float
) -> tuple[dict[str, Any], float]:
    """
    The pipeline's row, and the seconds of its recording at `rate` hertz. They are counted by decoding, part by part:
    headers may say anything, and an hour of silence is a small file.

    Raises `ApiError`, with the field, for what cannot be aligned.
    """
    upload = Upload(file, name)
    if not text.strip():
        raise ApiError(400, "text is empty", "text", "invalid_value")
    try:
        language = aligner_language(language)
    except ValueError as error:
        raise ApiError(400, str(error), "language", "invalid_value") from error
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
    return {"audio": upload, "text": text, "language": language}, samples / rate
