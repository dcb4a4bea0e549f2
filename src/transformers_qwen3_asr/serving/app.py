"""The endpoints."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool

from ..text.languages import aligner_language
from .answers import alignment
from .batching import Batcher, RowError, answers_to
from .errors import ApiError, handle_errors
from .gate import Gate, Limits
from .metrics import Counted, Metrics
from .transcriptions import PATH as TRANSCRIPTIONS
from .transcriptions import add_transcriptions
from .uploads import check_fields, checked_language, checked_recording

ALIGNMENTS = "/v1/audio/alignments"


def create_app(
    pipe: Callable[..., Any],
    model: str,
    *,
    recogniser: Callable[..., Any] | None = None,
    asr_model: str | None = None,
    limits: Limits | None = None,
    batch_size: int = 8,
    api_key: str | None = None,
) -> FastAPI:
    """
    An ASGI application that aligns and transcribes what is posted to it; its lifespan starts and ends the thread that
    owns the models.

    Args:
        pipe: a `ForcedAlignmentPipeline`, which nothing else may call meanwhile.
        model: what it is called in requests and answers.
        recogniser: a `TranscriptionPipeline`, likewise, that takes the most probable tokens
            (`generate_kwargs={"do_sample": False}`); its words get their times from `pipe`. Without it there are no
            transcriptions.
        asr_model: what it is called.
        limits: of requests.
        batch_size: recordings at once; results do not depend on it.
        api_key: without it, whoever reaches the server is served.
    """
    limits = limits or Limits()
    rate = pipe.processor.feature_extractor.sampling_rate
    calls = {"alignment": pipe}
    if recogniser is not None:
        timed = {"aligner": pipe, "return_timestamps": "word", "original_text": False}
        calls |= {"text": recogniser, "words": partial(recogniser, **timed)}
    metrics = Metrics(lambda: batcher.waiting)
    batcher = Batcher(metrics.watched(partial(answers_to, calls)), batch_size)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await run_in_threadpool(batcher.close)

    # no pages with scripts from elsewhere
    app = FastAPI(title="transformers-qwen3-asr", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Gate, limits=limits, api_key=api_key)
    app.add_middleware(Counted, metrics=metrics, paths=(ALIGNMENTS, TRANSCRIPTIONS))  # around it
    handle_errors(app)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        served = {"model": model} if recogniser is None else {"model": model, "asr_model": asr_model}
        return {"status": "ok", **served, "waiting": batcher.waiting}

    @app.get("/metrics")
    async def told() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.post(ALIGNMENTS)
    async def alignments(
        request: Request,
        file: Annotated[UploadFile, File(description="a recording in any container that FFmpeg reads")],
        text: Annotated[str, Form(description="what is said")],
        language: Annotated[str | None, Form(description="a name or a code")] = None,
        model: Annotated[str | None, Form(description="what is served, if it is named")] = model,
    ) -> dict[str, Any]:
        await check_fields(request, ("file", "text", "language", "model"))
        _check_model(model, served)
        if not text.strip():
            raise ApiError(400, "text is empty", "text", "invalid_value")
        row = {"text": text, "language": checked_language(language, aligner_language)}
        result, seconds = await answered(ALIGNMENTS, "alignment", file, row)
        if not result["chunks"]:
            raise ApiError(400, "there are no words in text", "text", "invalid_value")
        return alignment(result, row["language"], seconds)

    async def answered(path: str, kind: str, file: UploadFile, row: dict[str, Any]) -> tuple[dict[str, Any], float]:
        name = file.filename or "file"
        recording, seconds = await run_in_threadpool(checked_recording, file.file, name, rate, limits.audio_seconds)
        try:
            result = await asyncio.wrap_future(batcher.submit((kind, {"audio": recording, **row})))
        except RowError as error:
            raise ApiError(400, str(error), code="invalid_value") from error
        metrics.audio.labels(path).inc(seconds)
        return result, seconds

    served = model

    def check_recogniser(name: str | None) -> None:
        if recogniser is None:
            message = "no recogniser is served here, only alignments: qwen3-asr serve --asr-model"
            raise ApiError(404, message, code="model_not_found")
        _check_model(name, asr_model)

    add_transcriptions(app, check_recogniser, answered)
    return app


def _check_model(name: str | None, served: str | None) -> None:
    if name not in (None, served):
        raise ApiError(404, f"model {name!r} is not served here; {served!r} is", "model", "model_not_found")
