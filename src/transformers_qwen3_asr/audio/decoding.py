"""Recordings in: whatever a user has, as one channel of float32 samples at the rate the model wants.

PyAV decodes and resamples, because it reads every container that FFmpeg reads (wav, flac, mp3, m4a, mp4, webm, …) and
needs no system library.
"""

import numbers
import os
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np

from .. import audio as limits
from .sources import opened

# A recording is one file. Playlists (HLS, DASH, concat) would have FFmpeg open others, and ask servers.
CONTAINER_OPTIONS = {"protocol_whitelist": "none"}


def load_audio(
    source: Any, sampling_rate: int = 16000, max_seconds: float | None = None, copy: bool = True
) -> np.ndarray:
    """
    One recording as float32 samples of shape `(samples,)`, mixed down to one channel, at `sampling_rate` hertz.

    `source` is one of

    - a path (`str` or `os.PathLike`) of any container PyAV reads, or an open binary file;
    - a URL (`http://`, `https://`, `ftp://` or `file://`);
    - base64 of such a file, with or without a `data:…;base64,` prefix, or its bytes;
    - samples: a numpy array, a torch tensor or a list of numbers, taken to be at `sampling_rate`; two dimensions are
      channels and samples in either order (the shorter one is the channels);
    - `(samples, rate)`, `{"array": samples, "sampling_rate": rate}`, or "raw" for "array", as transformers has it;
    - `{"bytes": …}` or `{"path": …}`, a row of `datasets` with `Audio(decode=False)`;
    - an audio decoder with `get_all_samples()`, as `datasets` gives with `Audio(decode=True)`.

    Integer samples of up to 32 bits are scaled to [-1, 1] by their type. Samples whose peak is then above 1 are
    divided by the peak, as qwen-asr does; so are those of 64 bits, numpy's and torch's type for any whole numbers.
    Channels are averaged.

    A file may last `max_seconds` (default: `MOST_SECONDS_AT_ONCE`; an `AudioStream` reads longer ones), and its rate
    must be from 1 kHz to 1 MHz. `audio.sources` holds the limits of time and size of what is downloaded or comes
    through a pipe. With `copy=False` samples that are as they should be may be returned as they are, not copied.

    Raises `ValueError`, naming the source, where nothing can be decoded, a limit is passed, or the recording is empty
    or not finite.
    """
    source = unwrapped(source)
    if is_encoded(source):
        with opened(source) as (file, name):
            most = limits.MOST_SECONDS_AT_ONCE if max_seconds is None else max_seconds
            parts = list(decoded_parts(file, name, sampling_rate, most))
        return checked(np.concatenate(parts) if parts else np.zeros(0, np.float32), name)
    rate: Any = sampling_rate
    if is_rated_pair(source):
        source, rate = source
    elif isinstance(source, tuple) and len(source) == 2 and is_rated_pair(source[::-1]):
        raise ValueError("the samples come behind their rate; (samples, rate) is expected")
    name = f"the samples ({type(source).__name__})"
    return checked(_resampled(_one_channel(source, name, copy), rate, sampling_rate, name), name)


def unwrapped(source: Any) -> Any:
    """What a mapping or an audio decoder of `datasets` holds; anything else as it is."""
    if isinstance(source, dict):
        source = _from_mapping(source)
    if hasattr(source, "get_all_samples"):
        decoded = source.get_all_samples()
        source = (decoded.data, decoded.sample_rate)
    return source


def is_encoded(source: Any) -> bool:
    """Whether an unwrapped source has to be decoded: a file, its path, URL, bytes or base64."""
    return isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read")


def load_audios(audio: Any, sampling_rate: int = 16000) -> list[np.ndarray]:
    """
    Each recording of `audio`, which is one source for `load_audio` or a list of them.

    A list of numbers is one recording, and so is an array of two dimensions (channels and samples). Raises
    `ValueError`, naming the position in the list, where a recording cannot be loaded.
    """
    recordings = []
    sources = audio_list(audio)
    for i, source in enumerate(sources):
        try:
            recordings.append(load_audio(source, sampling_rate))
        except ValueError as error:
            if len(sources) == 1:
                raise
            raise ValueError(f"audio {i}: {error}") from error
    return recordings


def audio_list(audio: Any) -> list[Any]:
    """`audio` as a list of sources: itself where it is a list of recordings, else a list that holds it alone."""
    if not holds_several(audio):
        return [audio]
    if len(audio) == 0:
        raise ValueError("audio is an empty list")
    return list(audio)


def holds_several(audio: Any) -> bool:
    """Whether `audio` is a list of recordings, and not one recording in whatever form."""
    if not isinstance(audio, Sequence) or isinstance(audio, (str, bytes, bytearray, memoryview)):
        return False
    return not (is_rated_pair(audio) or (len(audio) and isinstance(audio[0], numbers.Real)))


def is_rated_pair(audio: Any) -> bool:
    """Whether `audio` is `(samples, rate)`."""
    return (
        isinstance(audio, tuple)
        and len(audio) == 2
        and (isinstance(audio[1], numbers.Real) or getattr(audio[1], "ndim", None) == 0)
        and _is_samples(audio[0])
    )


def is_unrated(audio: Any) -> bool:
    """Whether `audio` is samples that do not say their rate."""
    return not is_rated_pair(audio) and _is_samples(audio)


def _is_samples(audio: Any) -> bool:
    return isinstance(audio, (list, tuple)) or (hasattr(audio, "__array__") and hasattr(audio, "shape"))


def _from_mapping(row: dict) -> Any:
    for key in ("array", "raw"):
        if row.get(key) is not None:
            rate = row.get("sampling_rate", row.get("sample_rate"))
            if rate is None:
                raise ValueError(f"audio given as {{{key!r}: …}} needs 'sampling_rate' beside it")
            if not is_rated_pair(pair := (row[key], rate)):
                given = f"{type(row[key]).__name__}, {rate!r}"
                raise ValueError(
                    f"audio given as {{{key!r}: …, 'sampling_rate': …}} needs samples and a number: {given}"
                )
            return pair
    # datasets keeps the path beside the bytes only as a name
    for key in ("bytes", "path"):
        if row.get(key) is not None:
            return row[key]
    raise ValueError(
        f"audio given as a dict needs 'array' with 'sampling_rate', 'bytes' or 'path'; this one has {sorted(row)}"
    )


def open_container(file: Any) -> av.container.InputContainer:
    """An open file as PyAV's container: it opens no other file, and tags in whatever encoding do not stop it."""
    return av.open(file, "r", options=CONTAINER_OPTIONS, metadata_errors="replace")


def decoded_parts(file: Any, name: str, rate: int, max_seconds: float | None = None) -> Iterator[np.ndarray]:
    """
    The samples of an open file, part by part, one channel at `rate` hertz, as they come from the decoder.

    Raises `ValueError`, with `name`, where nothing can be decoded, or it lasts longer than `max_seconds` (default:
    `MOST_SECONDS`).
    """
    max_seconds = limits.MOST_SECONDS if max_seconds is None else max_seconds
    left = int(max_seconds * rate)
    try:
        with open_container(file) as container:
            if not container.streams.audio:
                raise ValueError("it holds no audio")
            for part in _resampled_frames(container.decode(container.streams.audio[0]), rate):
                left -= len(part)
                if left < 0:
                    raise ValueError(f"it lasts longer than {max_seconds / 3600:g} hours")
                yield part
    except (av.FFmpegError, OSError, ValueError) as error:
        if str(error).startswith(name):  # a pipe says so itself
            raise
        raise ValueError(f"{name} cannot be decoded: {error}") from error


def _resampled_frames(frames: Iterator[av.AudioFrame], rate: int) -> Iterator[np.ndarray]:
    # Packed: PyAV reads planes of more than eight channels where there are none. No layout: FFmpeg's own mix-down is
    # 3 dB louder for float formats than for integer ones.
    resampler = av.AudioResampler(format="flt", rate=rate)
    frame = None
    for frame in frames:
        channels = frame.layout.nb_channels
        if not 1 <= channels <= limits.MOST_CHANNELS:
            raise ValueError(f"it has {channels} channels; from 1 to {limits.MOST_CHANNELS} can be read")
        if not limits.LOWEST_RATE <= frame.sample_rate <= limits.HIGHEST_RATE:
            raise ValueError(
                f"its sampling rate is {frame.sample_rate} Hz; from {limits.LOWEST_RATE} to {limits.HIGHEST_RATE} "
                "are expected"
            )
        for out in resampler.resample(frame):
            yield _mean_channel(out)
    if frame is not None:
        for out in resampler.resample(None):
            yield _mean_channel(out)


def _mean_channel(frame: av.AudioFrame) -> np.ndarray:
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T.mean(axis=0)


def _one_channel(samples: Any, name: str, copy: bool = True) -> np.ndarray:
    """Samples of any number type and one or two dimensions as float32 `(samples,)`."""
    if hasattr(samples, "detach"):  # a torch tensor, on any device
        samples = samples.detach().cpu()
        samples = samples.float().numpy() if samples.is_floating_point() else samples.numpy()
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise ValueError(f"{name} are no array: {error}") from error
    if array.size == 0:
        return np.zeros(0, np.float32)
    if array.dtype.kind == "u" and array.dtype.itemsize < 8:
        half = 2.0 ** (8 * array.dtype.itemsize - 1)
        array = (array.astype(np.float64) - half) / half
    elif array.dtype.kind == "i" and array.dtype.itemsize < 8:
        array = array / 2.0 ** (8 * array.dtype.itemsize - 1)
    elif array.dtype.kind not in "fiu":
        raise ValueError(f"{name} are of type {array.dtype}, not numbers")
    if array.ndim == 2:
        array = array.mean(axis=0 if array.shape[0] <= array.shape[1] else 1)
    if array.ndim != 1:
        raise ValueError(f"{name} have the shape {array.shape}; one channel or channels by samples are expected")
    return array.astype(np.float32, copy=copy or not array.flags.writeable)  # which torch would warn of


def _resampled(samples: np.ndarray, rate: Any, wanted: int, name: str) -> np.ndarray:
    rate = rate.item() if hasattr(rate, "item") and getattr(rate, "ndim", 0) == 0 else rate  # numpy's and torch's
    if (
        isinstance(rate, bool)
        or not isinstance(rate, numbers.Real)
        or not limits.LOWEST_RATE <= rate <= limits.HIGHEST_RATE
        or rate % 1
    ):
        raise ValueError(
            f"{name} come with the sampling rate {rate!r}; a whole number of hertz from {limits.LOWEST_RATE} to "
            f"{limits.HIGHEST_RATE} is expected"
        )
    if len(samples) > limits.MOST_SECONDS * rate:
        raise ValueError(f"{name} last longer than {limits.MOST_SECONDS / 3600:g} hours")
    if int(rate) == wanted or len(samples) == 0:
        return samples
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
    frame.sample_rate = int(rate)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=wanted)
    parts = [out.to_ndarray()[0] for out in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts) if parts else samples[:0]  # too short for a sample at the lower rate


def checked(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples brought into [-1, 1]; `ValueError`, with `name`, where there are none or some are not finite."""
    return divided(samples, peak_of(samples, name))


def peak_of(samples: np.ndarray, name: str) -> float:
    """The largest of the samples' sizes; `ValueError`, with `name`, where there are none or some are not finite."""
    if len(samples) == 0:
        raise ValueError(f"{name}: the recording is empty")
    peak = float(max(samples.max(), -samples.min()))  # both are NaN where one is
    if not np.isfinite(peak):
        raise ValueError(f"{name}: the recording holds NaN or infinite samples")
    return peak


def divided(samples: np.ndarray, peak: float) -> np.ndarray:
    """Samples as float32, divided by a peak above 1."""
    return np.ascontiguousarray(samples / peak if peak > 1.0 else samples, dtype=np.float32)
