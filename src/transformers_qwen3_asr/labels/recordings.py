"""Where the recording and the transcript of a label file are, and how long a recording is."""

import codecs
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from ..audio.decoding import load_audio, open_container
from ..audio.sources import opened

#: Extensions by which a recording is recognised where a label file does not name it.
AUDIO_SUFFIXES = frozenset(
    ".wav .flac .mp3 .m4a .mp4 .ogg .opus .oga .webm .aac .aif .aiff .aifc .wma .mka .mkv .mov .avi .sph .au .w64 .amr"
    " .3gp".split()
)
#: Extensions of a transcript beside a label file; .lab is what the Montreal Forced Aligner's corpora have.
TEXT_SUFFIXES = (".txt", ".lab")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://|data:")
#: Containers whose header states the number of samples.
_EXACT = {"wav", "flac", "aiff", "au", "w64", "nistsphere"}
#: Seconds by which the packets of the others may last longer than what is decoded: they hold the encoder's delay and
#: fill up the last frame. MP3's delay is 1105 samples, and its frames have 576 at 8 kHz: 0.14 + 0.07 s; AAC is alike.
_PADDING = 0.3


def audio_duration(source: Any) -> float:
    """
    Seconds of a recording, given in any form that `load_audio` takes; files are not decoded.

    Raises `ValueError`, naming the source, where it cannot be read or holds no audio.
    """
    return stated_duration(source)[0]


def stated_duration(source: Any) -> tuple[float, float | None]:
    """
    `audio_duration`, and by how many seconds the decoded recording may be shorter than that; `None` where the duration
    is that of the decoded recording.
    """
    if isinstance(source, dict) and source.get("array") is None:
        for key in ("bytes", "path"):
            if source.get(key) is not None:
                return stated_duration(source[key])
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _of_container(source)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and is_path(source)):
        return _of_container(Path(source))
    return decoded_duration(source), None


def decoded_duration(source: Any, rate: int = 16000) -> float:
    """Seconds of a recording as training will have it: decoded, and counted in samples at `rate` hertz."""
    return len(load_audio(source, rate)) / rate


def _of_container(source: Any) -> tuple[float, float]:
    with opened(source, "cannot be read") as (file, name):
        return _of_file(file, name)


def _of_file(file: Any, name: str) -> tuple[float, float]:
    try:
        with open_container(file) as container:
            if not container.streams.audio:
                raise ValueError("it holds no audio")
            stream = container.streams.audio[0]
            if stream.duration and container.format.name in _EXACT:
                return float(stream.duration * stream.time_base), 0.0
            # others guess from the bit rate, or say nothing: their packets are counted, which decodes none
            ends = [
                float((packet.pts + (packet.duration or 0)) * packet.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None
            ]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    if not ends:
        raise ValueError(f"{name}: the recording is empty")
    return max(ends), _PADDING


def is_path(text: str) -> bool:
    """Whether `text` can only be a path: no URL and no data, and not as long as base64 is."""
    return not _NO_PATH.match(text) and len(text) < 4096


class Recordings:
    """
    Finds recordings and transcripts by the name of a label file.

    Args:
        audio: a recording, or a folder of recordings; `None` where they lie beside the label files.
        root: the folder that the label files were found in, so that the same tree is looked for below `audio`.

    Raises `ValueError` where `audio` does not exist.
    """

    def __init__(self, audio: str | os.PathLike | None = None, root: Path | None = None):
        self.audio = None if audio is None else Path(audio)
        self.root = root
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        if self.audio is not None and not os.path.exists(self.audio):
            raise ValueError(f"audio: there is no file and no folder {os.fspath(audio)!r}")

    @property
    def one_file(self) -> bool:
        return self.audio is not None and not self.audio.is_dir()

    def named(self, name: str, file: Path | None) -> str:
        """
        The path of a recording that a row names: relative to the label file, else to the folder `audio`. URLs and
        data stay as they are. Where there is no such file, its path beside the label file.
        """
        if not is_path(name):
            return name
        folders = [Path() if file is None else file.parent, *([self.audio] if self.audio is not None else [])]
        paths = [folder / name for folder in folders]
        # not Path.is_file, which raises OSError for a name of over 255 characters
        return str(next((path for path in paths if os.path.isfile(path)), paths[0]))

    def called(self, name: str, file: Path) -> str:
        """
        The path of the recording that belongs to a label file and is called `name` (with or without its extension).

        Raises `ValueError` where there is none, or more than one.
        """
        if self.one_file:
            return str(self.audio)
        searched = []
        for folder, deep in self._folders(file):
            searched.append(folder)
            listed = self._list(folder, deep)
            for candidate in _candidates(name):
                found = listed.get(candidate, [])
                if len(found) > 1:
                    names = ", ".join(map(str, found[:4]))
                    raise ValueError(f"{len(found)} recordings are called {candidate!r}: {names}")
                if found:
                    return str(found[0])
        raise ValueError(f"there is no recording {name!r} in {searched[0]}" + (" or below" if self.audio else ""))

    def transcript(self, name: str, file: Path, audio: Any) -> tuple[str, Path] | None:
        """
        The text of the file `name`.txt or .lab beside the label file or the recording, and its path; or `None`.

        Raises `ValueError` where it cannot be read as UTF-8.
        """
        beside = Path(audio).parent if isinstance(audio, str) and is_path(audio) else file.parent
        for folder in dict.fromkeys((file.parent, beside)):
            for candidate in _candidates(name):
                for stem in dict.fromkeys((candidate, _without_audio_suffix(candidate))):
                    for suffix in TEXT_SUFFIXES:
                        path = folder / f"{stem}{suffix}"
                        if os.path.isfile(path) and path != file:
                            return " ".join(read_text(path).split()), path
        return None

    def _folders(self, file: Path) -> Iterator[tuple[Path, bool]]:
        if self.audio is None:
            yield file.parent, False
            return
        if self.root is not None and file.is_relative_to(self.root):
            yield self.audio / file.parent.relative_to(self.root), False
        yield self.audio, False
        yield self.audio, True

    def _list(self, folder: Path, deep: bool) -> dict[str, list[Path]]:
        """Recordings of a folder by name and by stem."""
        key = folder / "**" if deep else folder
        if key not in self._listed:
            listed = defaultdict(list)
            for path in sorted(folder.rglob("*") if deep else folder.glob("*")):
                if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
                    listed[path.name].append(path)
                    listed[path.stem].append(path)
            self._listed[key] = dict(listed)
        return self._listed[key]


def _candidates(name: str) -> list[str]:
    """Names to look for: whisper-timestamped calls the labels of speech.wav speech.wav.words.json."""
    names = [name, name.removesuffix(".words")]
    return list(dict.fromkeys([*names, *(_without_audio_suffix(n) for n in names)]))


def _without_audio_suffix(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in AUDIO_SUFFIXES else name


def read_text(path: Path) -> str:
    """
    A file's text: UTF-16 where it begins with its mark (Praat writes it), else UTF-8 with or without one.

    Raises `ValueError`, naming the file, and the line that is neither or holds NUL.
    """
    return _decoded(_bytes_of(path), path)


def read_lines(path: Path) -> Iterator[str | UnicodeDecodeError]:
    """
    The lines of a file as `read_text` reads it, without their ends; for a line that is not UTF-8, what is wrong.

    Raises `ValueError`, naming the file, where it cannot be read, or is UTF-16 with an error.
    """
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, (*_UTF16, codecs.BOM_UTF8))))
            if start.startswith(_UTF16):
                yield from _decoded(start + file.read(), path).split("\n")
                return
            file.seek(len(codecs.BOM_UTF8) if start == codecs.BOM_UTF8 else 0)
            ended = True
            for line in file:  # one by one: a corpus has millions
                ended = line.endswith(b"\n")
                try:
                    yield line.removesuffix(b"\n").decode("utf-8")
                except UnicodeDecodeError as error:
                    yield error
            if ended:
                yield ""  # behind the last line's end
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def _decoded(content: bytes, path: Path) -> str:
    utf16 = content.startswith(_UTF16)
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].decode(error.encoding, "ignore").count("\n") + 1
        name = "UTF-16, as its first bytes say" if utf16 else "UTF-8"
        raise ValueError(f"{path}: line {line} is not {name}: {error}") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path}: line {line} holds NUL; if the file is UTF-16 without its mark, save it as UTF-8")
    return text
