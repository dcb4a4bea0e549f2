"""The endpoints."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool

from ..alignment.results import AlignmentResult, Passage
from .batching import Batcher, RowError, align_rows
from .errors import ApiError, handle_errors
from .gate import Gate, Limits
from .uploads import checked_row


def create_app(
    pipe: Callable[..., Any],
    model: str,
    *,
    limits: Limits | None = None,
    batch_size: int = 8,
    api_key: str | None = None,
) -> FastAPI:
    """
    An ASGI application that aligns what is posted to it; its lifespan starts and ends the thread that owns the model.

    Args:
        pipe: a `ForcedAlignmentPipeline`, which nothing else may call meanwhile.
        model: what it is called in requests and answers.
        limits: of requests.
        batch_size: recordings at once; results do not depend on it.
        api_key: without it, whoever reaches the server is served.
    """
    limits = limits or Limits()
    rate = pipe.processor.feature_extractor.sampling_rate
    batcher = Batcher(partial(align_rows, pipe), batch_size)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await run_in_threadpool(batcher.close)

    # no pages with scripts from elsewhere
    app = FastAPI(title="transformers-qwen3-asr", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Gate, limits=limits, api_key=api_key)
    handle_errors(app)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": model, "waiting": batcher.waiting}

    @app.post("/v1/audio/alignments")
    async def alignments(
        request: Request,
        file: Annotated[UploadFile, File(description="a recording in any container that FFmpeg reads")],
        text: Annotated[str, Form(description="what is said")],
        language: Annotated[str | None, Form(description="a name or a code")] = None,
        model: Annotated[str | None, Form(description="what is served, if it is named")] = model,
    ) -> dict[str, Any]:
        await check_fields(request, ("file", "text", "language", "model"))
        check_model(model)
        name = file.filename or "file"
        row, seconds = await run_in_threadpool(
            checked_row, file.file, name, text, language, rate, limits.audio_seconds
        )
        try:
            result = await asyncio.wrap_future(batcher.submit(row))
        except RowError as error:
            raise ApiError(400, str(error), code="invalid_value") from error
        if not result["chunks"]:
            raise ApiError(400, "there are no words in text", "text", "invalid_value")
        return _alignment(result, row["language"], seconds)

    served = model

    def check_model(name: str | None) -> None:
        if name not in (None, served):
            raise ApiError(404, f"model {name!r} is not served here; {served!r} is", "model", "model_not_found")

    return app


async def check_fields(request: Request, known: tuple[str, ...]) -> None:
    """Raises `ApiError` for a field that is not known, or is there twice: nothing is accepted and ignored."""
    seen = set()
    for name, _ in (await request.form()).multi_items():
        if name not in known:
            raise ApiError(400, f"there is no parameter {name!r}", name, "unknown_parameter")
        if name in seen:
            raise ApiError(400, f"{name} is there twice", name, "invalid_value")
        seen.add(name)


def _alignment(result: AlignmentResult, language: str | None, seconds: float) -> dict[str, Any]:
    """Words under the keys that OpenAI's verbose_json has, and what else the pipeline knows."""
    return {
        "text": result["text"],
        "language": language,
        "duration": seconds,
        "words": [_timed(chunk, word=chunk["text"], score=chunk["score"]) for chunk in result["chunks"]],
        "score": result["score"],
        "fits": result["fits"],
        "unfit": [_timed(passage) for passage in result["unfit"]],
        "untranscribed": [_timed(passage) for passage in result["untranscribed"]],
    }


def _timed(passage: Passage, **more: Any) -> dict[str, Any]:
    start, end = passage["timestamp"]
    return {**more, "start": start, "end": end, "char_start": passage["char_start"], "char_end": passage["char_end"]}
