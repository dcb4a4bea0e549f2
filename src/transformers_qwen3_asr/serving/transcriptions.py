"""`POST /v1/audio/transcriptions`: OpenAI's parameters, obeyed or refused."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse

from ..text.languages import language_name
from .answers import SUBTITLES, subtitles, verbose
from .errors import ApiError
from .uploads import check_fields, checked_language

PATH = "/v1/audio/transcriptions"
GRANULARITIES = "timestamp_granularities[]"
#: Characters of a prompt. The model reads all of it, for each piece of a recording.
PROMPT = 10_000


def add_transcriptions(
    app: FastAPI,
    check_model: Callable[[str | None], None],
    answered: Callable[[str, str, UploadFile, dict[str, Any]], Awaitable[tuple[dict[str, Any], float]]],
) -> None:
    """
    Adds the endpoint.

    Args:
        check_model: raises `ApiError` for a model that is not served.
        answered: path, "text" or "words", the recording and the rest of its row -> the pipeline's result, and the
            recording's seconds.
    """

    @app.post(PATH, response_model=None)
    async def transcriptions(
        request: Request,
        file: Annotated[UploadFile, File(description="a recording in any container that FFmpeg reads")],
        model: Annotated[str | None, Form(description="what is served, if it is named")] = None,
        language: Annotated[str | None, Form(description="a name or a code; without it the model finds out")] = None,
        prompt: Annotated[str, Form(max_length=PROMPT, description="context, such as names that will be said")] = "",
        response_format: Literal["json", "text", "verbose_json", "srt", "vtt"] = Form("json"),
        granularities: Annotated[
            list[str] | None, Form(alias=GRANULARITIES, description="word, segment (the default), or both")
        ] = None,
        temperature: Annotated[float, Form(description="0: the most probable tokens")] = 0.0,
        stream: Annotated[bool, Form(description="false")] = False,
    ) -> Response:
        known = ("file", "model", "language", "prompt", "response_format", "temperature", "stream")
        await check_fields(request, known, lists=(GRANULARITIES,))
        check_model(model)
        if temperature != 0:
            raise _unsupported("temperature", "only 0 is, with which the most probable tokens are taken")
        if stream:
            raise _unsupported("stream", "an answer is sent when it is whole")
        asked = _granularities(granularities, response_format)
        row = {"language": checked_language(language, language_name), "context": prompt or None}
        kind = "text" if response_format in ("json", "text") else "words"
        result, seconds = await answered(PATH, kind, file, row)
        if response_format == "text":
            return PlainTextResponse(result["text"] + "\n")
        if response_format == "json":
            return JSONResponse({"text": result["text"]})
        if response_format == "verbose_json":
            return JSONResponse(verbose(result, seconds, asked))
        try:
            content = subtitles(result, response_format, asked)
        except ValueError as error:
            raise ApiError(500, f"what was heard cannot be written as {response_format}: {error}") from error
        return Response(content, media_type=SUBTITLES[response_format][1])


def _granularities(given: list[str] | None, response_format: str) -> set[str]:
    if given is None:
        return {"segment"}
    asked = set(given)
    if unknown := asked - {"word", "segment"}:
        message = f"{GRANULARITIES}: {sorted(unknown)[0]!r} is not known; known are word and segment"
        raise ApiError(400, message, GRANULARITIES, "invalid_value")
    if response_format in ("json", "text"):
        message = f"{response_format} has no times: {GRANULARITIES} is for verbose_json, srt and vtt"
        raise ApiError(400, message, GRANULARITIES, "invalid_value")
    if response_format in SUBTITLES and len(asked) > 1:
        message = f"cues of {response_format} are either words or segments"
        raise ApiError(400, message, GRANULARITIES, "invalid_value")
    return asked


def _unsupported(name: str, reason: str) -> ApiError:
    return ApiError(400, f"this value of {name} is not supported: {reason}", name, "unsupported_value")
