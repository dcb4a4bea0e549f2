"""What is said to who cannot be served, in the shape that OpenAI's clients read."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiError(HTTPException):
    """
    An answer that is an error.

    Args:
        status: of HTTP.
        message: what is wrong, in one line.
        param: the field of the request that it is about.
        code: a word for programs.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    def response(self) -> JSONResponse:
        return error_response(self.status_code, self.detail, self.param, self.code, self.headers)


def error_response(
    status: int, message: str, param: str | None = None, code: str | None = None, headers: Any = None
) -> JSONResponse:
    """`{"error": {"message", "type", "param", "code"}}`"""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    error = {"message": " ".join(message.split()), "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Gives every error of `app` that shape."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, ApiError):
            return error.response()
        return error_response(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        missing = first["type"] == "missing"
        message = f"{name} is missing" if missing else f"{name}: {first['msg']}"
        return error_response(400, message, name, "missing_required_parameter" if missing else "invalid_value")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        # uvicorn logs what it was
        return error_response(500, "the server failed at this request; its log says why")
