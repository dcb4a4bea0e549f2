"""Rows of a corpus in, as many results out, whatever engine hands them over."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from transformers import pipeline

from ..audio.decoding import load_audio
from ..audio.sources import opened
from ..checkpoints.bundled import resolve_model
from ..labels.recordings import is_path, stated_duration
from ..pipelines.batching import threads_ahead
from ..pipelines.each_row import Outcome, align_each
from ..pipelines.forced_alignment import ForcedAlignmentPipeline
from ..results import ROW_ERRORS, Passage
from ..text.languages import aligner_language
from ..text.spans import whole_text
from .rows import CorpusRow, row_of

#: What a row can fail by: its source could not be read, its audio, its text, its language, or what came after these.
ERROR_KINDS = ("source", "audio", "text", "language", "alignment")
#: Rows that may fail one after another, each by itself, with errors that are no row's.
_UNEXPECTED = 8

_loading = threading.Lock()
_loaded: dict[tuple, ForcedAlignmentPipeline] = {}


class CorpusAligner:
    """
    Aligns rows in batches, for any engine: rows in, as many results out, in the same order, and no row's error raised.
    What is no row's error (no memory) is a row's that has it alone, and raised where eight rows in succession do.

    It is pickled as its settings. A process loads a model once, at the first row, also where several aligners are
    unpickled there.

    A row is `{"audio", "text"}` and perhaps "language" and "id" (see `rows.row_of`); a result is

    - `id`: the row's own, or a hash of its audio and text (`rows.content_id`);
    - `text`: a list of words joined by single spaces; `language` as the aligner calls it;
    - `words`: `[{"text", "start", "end", "score", "char_start", "char_end"}, …]`, in seconds, offsets into `text`;
    - `score`, `fits`: whether text and recording belong together (`None` for a failed row);
    - `unfit`, `untranscribed`: `[{"start", "end", "char_start", "char_end"}, …]`, as the pipeline's results have them;
    - `duration`: seconds of the recording, `None` where that is not known;
    - `seconds`: how long it took. Rows of a batch share its time by their durations;
    - `error_kind` (of `ERROR_KINDS`) and `error`: `None`, or what was wrong with the row.

    Args:
        model: a name, a folder or a bundled model; or a `ForcedAlignmentPipeline`, which is pickled as it is.
        language: of rows that state none.
        batch_size: recordings at once; results do not depend on it.
        dtype, device: of a model that is given by name, as for `pipeline`.
        decoding, refine, max_align_seconds, korean_dictionary: the pipeline's keywords.
    """

    def __init__(
        self,
        model: str | os.PathLike | ForcedAlignmentPipeline,
        *,
        language: str | None = None,
        batch_size: int = 8,
        dtype: str | None = None,
        device: str | int | None = None,
        decoding: str | None = None,
        refine: bool | None = None,
        max_align_seconds: float | None = None,
        korean_dictionary: str | None = None,
    ):
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r}: a whole number of at least 1 is expected")
        if isinstance(model, ForcedAlignmentPipeline) and (dtype, device) != (None, None):
            raise ValueError("dtype and device are for a model that is given by its name")
        self.model = model if isinstance(model, ForcedAlignmentPipeline) else os.fspath(model)
        self.language = aligner_language(language)
        self.batch_size, self.dtype, self.device = batch_size, dtype, device
        keywords = {
            "decoding": decoding,
            "refine": refine,
            "max_align_seconds": max_align_seconds,
            "korean_dictionary": korean_dictionary,
        }
        self.keywords = {name: value for name, value in keywords.items() if value is not None}

    def __call__(self, rows: Iterable[Mapping[str, Any] | CorpusRow]) -> list[dict[str, Any]]:
        """A result for each row, in order."""
        rows = list(rows)
        results: dict[int, dict[str, Any]] = dict(self.each(rows))
        return [results[place] for place in range(len(rows))]

    def each(self, rows: Iterable[Mapping[str, Any] | CorpusRow]) -> Iterator[tuple[int, dict[str, Any]]]:
        """
        Yields each row's place and result as soon as it is there: failed ones first, then the longest, so that a batch
        holds recordings of similar lengths and one that is too large for the memory shows at once.
        """
        pipe = self.pipe
        pipe([], **self.keywords)  # what is wrong with these is told before any row's error
        rate = pipe.processor.feature_extractor.sampling_rate
        at_once = self.keywords.get("max_align_seconds") or pipe.model.config.align_seconds
        jobs = []
        for place, row in enumerate(rows):
            job = _Job(place, row_of(row), self.language)
            if job.kind is None:
                jobs.append(job)
            else:
                yield place, job.failed()
        jobs.sort(key=lambda job: job.duration, reverse=True)
        aligned = partial(
            align_each, partial(pipe, **self.keywords), as_row=lambda job: job.for_pipeline(rate, at_once)
        )
        outcomes = _outcomes(aligned, jobs, self.batch_size)
        batch: list[Outcome[_Job]] = []
        started = time.perf_counter()
        with closing(outcomes):
            for number, outcome in enumerate(outcomes, 1):
                batch.append(outcome)
                if len(batch) == self.batch_size or number == len(jobs):
                    ended = time.perf_counter()
                    yield from _results(batch, ended - started)
                    started = time.perf_counter()
                    batch.clear()

    @property
    def pipe(self) -> ForcedAlignmentPipeline:
        """The pipeline; loads the model where this process has not done so."""
        if isinstance(self.model, ForcedAlignmentPipeline):
            return self.model
        key = (self.model, self.dtype, self.device)
        with _loading:
            if key not in _loaded:
                options = {"dtype": self.dtype} if self.dtype is not None else {}
                _loaded[key] = pipeline(
                    "forced-alignment", model=resolve_model(self.model), device=self.device, **options
                )
        return _loaded[key]

    @property
    def reads_ahead(self) -> bool:
        """Whether the next rows are better read while these are aligned: where the processor is not what aligns."""
        return threads_ahead(self.pipe.device) > 0


class _Job:
    """A row on its way through the pipeline: its language, how long it is, and what was found wrong with it."""

    def __init__(self, place: int, row: CorpusRow, language: str | None):
        self.place, self.id, self.text = place, row.id, row.text
        self.audio = row.audio
        self.duration: float = 0.0
        self.language: str | None = language
        self.kind: str | None = None
        self.error: str | None = None
        if row.error is not None:
            self._fail("source", row.error)
        elif row.audio is None:
            self._fail("audio", "it has no audio")
        elif row.text is None:
            self._fail("text", "it has no text")
        elif not is_text(row.text):
            self._fail("text", f"its text is a {type(row.text).__name__}; a string or a list of words is expected")
        elif not whole_text(row.text).strip():
            self._fail("text", "its text is empty")
        else:
            self._measure(row)

    def _measure(self, row: CorpusRow) -> None:
        try:
            if row.language is not None:
                self.language = aligner_language(row.language)
        except (ValueError, TypeError) as error:
            return self._fail("language", error)
        try:
            if isinstance(self.audio, str) and not is_path(self.audio):
                with opened(self.audio) as (file, _):  # fetched once, to be measured and to be decoded
                    self.audio = file.read()
            self.duration = stated_duration(self.audio)[0]
        except Exception as error:  # whatever a library says of it
            self._fail("audio", error)

    def for_pipeline(self, rate: int, at_once: float) -> dict[str, Any]:
        """The pipeline's row: decoded, unless it is so long that it is decoded as it is needed."""
        audio = self.audio
        if self.duration <= at_once:
            try:
                audio = load_audio(audio, rate)
            except ROW_ERRORS:
                self.kind = "audio"
                raise
            self.duration = len(audio) / rate
        return {"audio": audio, "text": self.text, "language": self.language}

    def _fail(self, kind: str, error: Exception | str) -> None:
        self.kind = kind
        self.error = error if isinstance(error, str) else str(error) or type(error).__name__

    def failed(self, kind: str | None = None, error: str | None = None) -> dict[str, Any]:
        """The result of a row with an error."""
        if error is not None:
            self._fail(kind or "alignment", error)
        return {
            **self._known(),
            "words": [],
            "score": None,
            "fits": None,
            "unfit": [],
            "untranscribed": [],
            "seconds": 0.0,
            "error_kind": self.kind,
            "error": " ".join(self.error.split()),
        }

    def aligned(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a row that was aligned."""
        if not result["chunks"]:
            return self.failed("text", "there are no words in its text")
        return {
            **self._known(),
            "words": [_word(chunk) for chunk in result["chunks"]],
            "score": result["score"],
            "fits": result["fits"],
            "unfit": [_passage(passage) for passage in result["unfit"]],
            "untranscribed": [_passage(passage) for passage in result["untranscribed"]],
            "seconds": 0.0,
            "error_kind": None,
            "error": None,
        }

    def _known(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": whole_text(self.text) if is_text(self.text) else None,
            "language": self.language,
            "duration": self.duration or None,
        }


def _outcomes(
    aligned: Callable[..., Iterator[Outcome[_Job]]], jobs: list[_Job], batch_size: int
) -> Iterator[Outcome[_Job]]:
    """
    The outcomes of `align_each`, an error that it raises among them.

    What is no row's usual error (too little memory, a defect of ours or of torch) ends the stream, and would be met
    again whenever the corpus goes on. So the batch's rows are tried one by one, and one that fails alone has the
    error. Where one row after another does, the machine is at fault, and the error is raised.
    """
    done = in_a_row = 0
    while done < len(jobs):
        unexpected = False
        outcomes = aligned(items=jobs[done:], batch_size=batch_size)
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    done, in_a_row = done + 1, 0
                    yield outcome
        except ROW_ERRORS:  # of the call
            raise
        except Exception:
            unexpected = True
        # not in the handler, since the error keeps what filled the memory
        for job in jobs[done : done + batch_size] if unexpected else ():
            try:
                [outcome] = aligned(items=[job], batch_size=1)
                in_a_row = 0
            except Exception as error:
                in_a_row += 1
                if in_a_row == _UNEXPECTED:
                    raise
                outcome = Outcome(job, error=f"{type(error).__name__}: {error}")
            done += 1
            yield outcome


def _results(batch: list[Outcome[_Job]], seconds: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """The results of a batch that took so many seconds."""
    results = []
    for outcome in batch:
        job = outcome.item
        if outcome.error is not None:
            results.append((job.place, job.failed(job.kind, outcome.error)))
        else:
            results.append((job.place, job.aligned(outcome.result)))
    total = sum(result["duration"] or 0.0 for _, result in results)
    for _, result in results:
        result["seconds"] = seconds * (result["duration"] or 0.0) / total if total else seconds / len(results)
    return iter(results)


def is_text(text: Any) -> bool:
    """Whether it is a string or a list of words."""
    return isinstance(text, str) or (isinstance(text, (list, tuple)) and all(isinstance(word, str) for word in text))


def _word(chunk: Mapping[str, Any]) -> dict[str, Any]:
    start, end = chunk["timestamp"]
    places = {"char_start": chunk["char_start"], "char_end": chunk["char_end"]}
    return {"text": chunk["text"], "start": start, "end": end, "score": chunk["score"], **places}


def _passage(passage: Passage) -> dict[str, Any]:
    start, end = passage["timestamp"]
    return {"start": start, "end": end, "char_start": passage["char_start"], "char_end": passage["char_end"]}
