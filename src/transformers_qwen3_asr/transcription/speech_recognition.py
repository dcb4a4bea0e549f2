"""`pipeline("automatic-speech-recognition", model=...)`: a recording in, its text out, and the times of its words."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, Required, TypedDict, Unpack, overload

from ..alignment.chunks import check_choices
from ..checkpoints.loaded import LoadedPipeline, described, unwrapped
from ..models.modeling_qwen3_asr import Qwen3ASRForConditionalGeneration
from ..pipelines.batching import gathered, pass_seconds, passes
from ..pipelines.forced_alignment import ForcedAlignmentPipeline
from ..pipelines.outcomes import ON_ERROR
from ..pipelines.rows import check_number, is_recording, named, undecoded, whole_number
from ..processing.plain_text import check_plain
from ..results import ROW_ERRORS, Chunk, Passage, Recording, Unit
from ..text.languages import language_name
from .aligners import as_aligner
from .inputs import as_row, items_of, with_columns
from .pieces import Piece, cut, joined
from .recogniser import transcribe

#: Seconds that a recogniser takes at once, and those of which words get times; as in qwen-asr.
RECOGNISED_SECONDS, ALIGNED_SECONDS = 1200.0, 180.0


class TranscriptionOptions(TypedDict, total=False):
    """Keywords of `pipeline("automatic-speech-recognition")` and its calls; `TranscriptionPipeline` says what they
    do."""

    aligner: Any
    return_timestamps: Unit | bool
    original_text: bool
    chunk_length_s: float
    generate_kwargs: Mapping[str, Any]
    on_error: Literal["raise", "return"]
    batch_size: int
    batch_seconds: float


class Transcription(TypedDict, total=False):
    """A transcribed recording: text and language always, the rest with times (see `AlignmentResult`), or an error."""

    text: Required[str]
    language: Required[str | None]
    chunks: list[Chunk]
    score: float
    fits: bool
    unfit: list[Passage]
    untranscribed: list[Passage]
    heard: float
    error: str | None


@dataclass
class _Recording:
    """A row as it is worked on: its index (`None` for a recording by itself), what was asked, and what was heard."""

    index: int | None
    language: str | None = None
    context: str | None = None
    pieces: list[Piece] = field(default_factory=list)
    error: Exception | None = None
    ended: bool = False  # the rows, by that error


class TranscriptionPipeline(LoadedPipeline):
    """
    Transcribes recordings.

    `pipeline("automatic-speech-recognition", model=...)` makes one where the model is a Qwen3-ASR recogniser.

    Calls:

    - `pipe(audio)`: one recording, in any form that `transformers_qwen3_asr.audio.load_audio` takes. Returns one
      result.
    - `pipe({"audio": audio, "language": "English", "context": "names and rare words"})`: the same as one row; the
      latter two need not be there. So is what transformers takes: `{"raw": samples, "sampling_rate": hertz}`.
    - `pipe([audio, row, ...])`: returns a list of results.
    - `pipe(rows)` for a `datasets.Dataset` or `IterableDataset`, a torch dataset or any other iterable of recordings
      or rows: returns an iterator of results in the same order. A column "audio" is decoded here, by PyAV.

    A result is `{"text": transcript, "language": name}`. The language is the one that was given or, if none was, what
    the model says it is; `None` where it says none, as of silence; `"Chinese,English"` where a long recording has one
    after the other. With `return_timestamps` there are `"chunks": [{"text": word, "timestamp": (start, end), ...},
    ...]`, times in seconds, whose texts joined are the transcript, and whatever else a result of the aligner has:
    scores, whether and where the text fits.

    Keywords, of the call or (as defaults) of `pipeline()`:

    - `language`: a name or code of the 30, and `context`: text that goes before the recording, such as words that will
      be said. Both are one for all or, beside a list of recordings, a list; a row's own go first.
    - `return_timestamps`: "word", "char", "sentence" or "line", or True for "sentence". It needs an `aligner`: a
      forced-alignment pipeline, whose own defaults are heeded, an aligner's model, folder or name, or "tiny-en".
    - `original_text`: False leaves punctuation and white space out of chunks (True if not given).
    - `chunk_length_s`: longer recordings are cut at a pause about there (`pieces.cut`): 1,200 s if not given, 180 with
      `return_timestamps`, as in qwen-asr.
    - `generate_kwargs`: for the model's `generate`. If they do not say how long an answer may be, it has up to 512
      tokens, or 10 for each second where these are more, and a warning tells where that was not enough.
    - `batch_size`: recordings, or pieces of them, at once (1 if not given), and `batch_seconds`: seconds of audio in
      one forward pass, the aligner's too, padding included (if not given, what the device has memory for; without
      `batch_size` as many pieces at once as that holds). Results depend on neither.
    - `on_error`: "return" puts an empty result with an "error" in the place of a bad row; "raise" (if not given)
      raises, after the results before it.

    A stretch of up to 20 characters that is said more than 20 times in a row is a decoder that got stuck, and is
    there once, as in qwen-asr.

    Raises `ValueError` for bad input, naming the item; for an aligner as the model, or as `aligner=` what is none; and
    `TypeError` for an unknown keyword. How dtype and device are chosen is said in `ForcedAlignmentPipeline`.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if kwargs.get("num_workers"):
            raise ValueError("num_workers: recordings are read as they are needed, in this process")
        self._aligners: dict[str, ForcedAlignmentPipeline] = {}
        super().__init__(*args, **kwargs)
        if "aligner" in self._preprocess_params:  # a wrong one is told now, and a name is loaded once
            self._preprocess_params["aligner"] = self._aligner(self._preprocess_params["aligner"])

    def check_parts(self, model: Any, processor: Any) -> None:
        """Raises `ValueError` unless these are a recogniser, perhaps wrapped, and its processor."""
        if not isinstance(unwrapped(model), Qwen3ASRForConditionalGeneration):
            raise ValueError(
                f"{described(model)}, and cannot transcribe: a speech recogniser, this package's "
                "Qwen3ASRForConditionalGeneration, is needed. An aligner is given as aligner= beside it, or to "
                "pipeline('forced-alignment')"
            )
        if not hasattr(processor, "apply_transcription_request"):
            raise ValueError("transcription needs a processor=Qwen3ASRProcessor beside the model")

    def _sanitize_parameters(
        self,
        language=None,
        context=None,
        aligner=None,
        return_timestamps=None,
        original_text=None,
        chunk_length_s=None,
        batch_seconds=None,
        generate_kwargs=None,
        on_error=None,
        **unknown,
    ):
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"transcription has no parameter {names}; options of generate are generate_kwargs=")
        if return_timestamps not in (None, False):
            return_timestamps = "sentence" if return_timestamps is True else return_timestamps
            check_choices(return_timestamps)
        if original_text is not None:
            check_choices(original_text=original_text)
        if on_error not in (None, *ON_ERROR):
            raise ValueError(f"on_error={on_error!r}: known are {', '.join(ON_ERROR)}")
        check_number("chunk_length_s", chunk_length_s, "seconds of a piece")
        check_number("batch_seconds", batch_seconds, "seconds of audio in a forward pass")
        if generate_kwargs is not None and not isinstance(generate_kwargs, Mapping):
            raise ValueError(f"generate_kwargs is a {type(generate_kwargs).__name__}; a dict is expected")
        given = {
            "language": language,
            "context": context,
            "aligner": aligner,
            "return_timestamps": return_timestamps,
            "original_text": original_text,
            "chunk_length_s": chunk_length_s,
            "batch_seconds": batch_seconds,
            "generate_kwargs": generate_kwargs,
            "on_error": on_error,
        }
        return {name: value for name, value in given.items() if value is not None}, {}, {}

    @overload
    def __call__(
        self,
        audio: Recording,
        language: str | None = ...,
        context: str | None = ...,
        **options: Unpack[TranscriptionOptions],
    ) -> Transcription: ...
    @overload
    def __call__(
        self,
        audio: Sequence[Any],
        language: str | Sequence[str | None] | None = ...,
        context: str | Sequence[str | None] | None = ...,
        **options: Unpack[TranscriptionOptions],
    ) -> list[Transcription]: ...
    @overload
    def __call__(
        self,
        audio: Iterable[Any],
        language: str | None = ...,
        context: str | None = ...,
        **options: Unpack[TranscriptionOptions],
    ) -> Iterator[Transcription]: ...
    def __call__(
        self,
        audio: Any,
        language: str | Sequence[str | None] | None = None,
        context: str | Sequence[str | None] | None = None,
        *,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any] | list[dict[str, Any]] | Iterator[dict[str, Any]]:
        """Transcribes one recording, a list of them or a dataset; see the class for the forms and what comes back."""
        several = {
            name: value
            for name, value in (("language", language), ("context", context))
            if value is not None and not isinstance(value, str)
        }
        one = {"language": language, "context": context, **dict.fromkeys(several)}
        options = {**self._preprocess_params, **self._sanitize_parameters(**one, **kwargs)[0]}
        default = sys.maxsize if "batch_seconds" in options else 1
        batch_size = whole_number("batch_size", batch_size, self._batch_size, default, least=1)
        if options.get("return_timestamps"):
            if options.get("aligner") is None:
                raise ValueError("return_timestamps needs an aligner=, such as 'Qwen/Qwen3-ForcedAligner-0.6B'")
            options["aligner"] = self._aligner(options["aligner"])
        if is_recording(audio) or isinstance(audio, Mapping):
            if several:
                raise ValueError(f"one recording, but a list as {' and '.join(several)}")
            return next(self._results([(None, audio)], options, batch_size))
        if isinstance(audio, Sequence):
            return list(self._results(enumerate(with_columns(audio, several)), options, batch_size))
        if several:
            raise ValueError(
                "lists of languages or contexts go with lists of recordings; a dataset's rows hold theirs"
            )
        return self._results(items_of(undecoded(audio)), options, batch_size)

    def _aligner(self, given: Any) -> ForcedAlignmentPipeline:
        if not isinstance(given, (str, os.PathLike)):
            return as_aligner(given, self.device)
        name = os.fspath(given)
        if name not in self._aligners:
            self._aligners[name] = as_aligner(name, self.device)
        return self._aligners[name]

    def _results(
        self, rows: Iterable[tuple[int | None, Any]], options: Mapping[str, Any], batch_size: int
    ) -> Iterator[dict[str, Any]]:
        """A result for each row, in order, as soon as its last piece was heard."""
        returned = options.get("on_error") == "return"
        most = options.get("batch_seconds", float("inf"))
        with closing(self._pieces(rows, options)) as pieces:
            for batch in gathered(pieces, self._seconds, batch_size, most):
                good = [(recording, piece) for recording, piece in batch if piece is not None]
                self._transcribe(good, options)
                if options.get("return_timestamps"):
                    self._align(good, options, batch_size)
                for recording, piece in batch:
                    if piece is not None:
                        piece.samples = piece.samples[:0]
                        recording.pieces.append(piece)
                    if recording.error is not None and (recording.ended or not returned):
                        with named(recording.index):
                            raise recording.error
                    if piece is None or piece.last:
                        yield _result(recording, options)

    def _pieces(
        self, rows: Iterable[tuple[int | None, Any]], options: Mapping[str, Any]
    ) -> Iterator[tuple[_Recording, Piece | None]]:
        """Each row in pieces; `None`, behind those that could be read, where it has an error."""
        rate = self.processor.feature_extractor.sampling_rate
        default = ALIGNED_SECONDS if options.get("return_timestamps") else RECOGNISED_SECONDS
        for index, row in rows:
            recording = _Recording(index)
            try:
                if isinstance(row, Exception):
                    recording.ended = index is None
                    raise row
                audio, recording.language, recording.context = self._asked(row, options)
                for piece in cut(audio, rate, options.get("chunk_length_s", default)):
                    yield recording, piece
            except Exception as error:
                if not recording.ended and not isinstance(error, ROW_ERRORS):
                    raise
                recording.error = error
                yield recording, None
                if recording.ended or options.get("on_error") != "return":
                    return  # what is behind it has no result

    def _seconds(self, one: tuple[_Recording, Piece | None]) -> float:
        """How much of a forward pass a piece takes; an error is little."""
        _, piece = one
        return 1.0 if piece is None else len(piece.samples) / self.processor.feature_extractor.sampling_rate

    def _asked(self, row: Any, options: Mapping[str, Any]) -> tuple[Any, str | None, str | None]:
        """A row's recording, language and context."""
        own = as_row(row)
        if own["audio"] is None:
            raise ValueError(f"no 'audio'; given are {sorted(key for key in own if own[key] is not None)}")
        if isinstance(own["audio"], Mapping) and own["audio"].get("stride") is not None:
            raise ValueError("'stride' is for CTC models; a long recording is cut at pauses here")
        language, context = (
            own[name] if own.get(name) is not None else options.get(name) for name in ("language", "context")
        )
        if context is not None:
            check_plain(self.processor.tokenizer, context, "the context")
        return own["audio"], language_name(language), context

    def _transcribe(self, batch: Sequence[tuple[_Recording, Piece]], options: Mapping[str, Any]) -> None:
        """Gives pieces their texts and languages, in passes that the device has memory for."""
        most = options.get("batch_seconds") or pass_seconds(self.device)
        for places in passes([self._seconds(one) for one in batch], most):
            chosen = [batch[place] for place in places]
            heard = self.forward({"batch": chosen}, generate_kwargs=options.get("generate_kwargs", {}))["heard"]
            for (_, piece), (language, text) in zip(chosen, heard, strict=True):
                piece.language, piece.text = language, text

    def _align(self, batch: Sequence[tuple[_Recording, Piece]], options: Mapping[str, Any], batch_size: int) -> None:
        """Gives pieces their words' times; what is wrong with one is its recording's error."""
        rate = self.processor.feature_extractor.sampling_rate
        rows = [{"audio": (piece.samples, rate), "text": piece.text, "language": piece.language} for _, piece in batch]
        results = options["aligner"](
            rows,
            batch_size=batch_size,
            **{name: options[name] for name in ("batch_seconds",) if name in options},
            return_timestamps=options["return_timestamps"],
            original_text=options.get("original_text", True),
            on_error="return",
        )
        for (recording, piece), result in zip(batch, results, strict=True):
            error = result.pop("error")
            piece.aligned = result
            if error is not None and recording.error is None:
                recording.error = ValueError(f"no times for what was heard: {error.split(': ', 1)[-1]}")

    def preprocess(self, input_: Any) -> dict[str, Any]:
        """Unused: rows become pieces before they become batches."""
        raise NotImplementedError

    def _forward(self, model_inputs: dict[str, list], generate_kwargs: Mapping[str, Any]) -> dict[str, list]:
        recordings, pieces = zip(*model_inputs["batch"], strict=True)
        heard = transcribe(
            self.model,
            self.processor,
            [piece.samples for piece in pieces],
            [recording.language for recording in recordings],
            [recording.context for recording in recordings],
            generate_kwargs,
        )
        return {"heard": heard}

    def postprocess(self, model_outputs: Any) -> Any:
        """Unused: a result is made of a recording's pieces."""
        raise NotImplementedError


def _result(recording: _Recording, options: Mapping[str, Any]) -> dict[str, Any]:
    error = recording.error
    if error is None:
        result = joined(recording.pieces, options.get("original_text", True))
    else:
        result = {"text": "", "language": None}
        if options.get("return_timestamps"):
            result |= {"chunks": [], "score": 0.0, "fits": False, "unfit": [], "untranscribed": [], "heard": 0.0}
    if options.get("on_error") != "return":
        return result
    place = "" if recording.index is None else f"item {recording.index}: "
    return {**result, "error": None if error is None else f"{place}{type(error).__name__}: {error}"}
