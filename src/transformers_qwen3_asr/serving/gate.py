"""Who comes in: a key, a place, and limits of size and time, before anything of a request is read."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from .errors import ApiError


@dataclass(frozen=True)
class Limits:
    """
    Args:
        upload_bytes: of a request's body.
        audio_seconds: of a recording.
        requests: that are in the house, whether they are uploaded, wait or are at work.
        request_seconds: from a request's first byte to its answer.
    """

    upload_bytes: int = 100 * 2**20
    audio_seconds: float = 3600.0
    requests: int = 128
    request_seconds: float = 600.0


class Gate:
    """
    Middleware (ASGI) in front of the paths below /v1/.

    A request that is given up by its sender, or takes too long, is cancelled: if it still waits, it costs nothing
    more.
    """

    def __init__(self, app: Any, limits: Limits, api_key: str | None = None):
        self.app, self.limits = app, limits
        self.key = None if api_key is None else api_key.encode()
        self.inside = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        try:
            self._check(headers)
        except ApiError as error:
            if "100-continue" not in headers.get("expect", "").lower():
                await self._read_away(receive)  # who is still sending would not see the answer
            return await error.response()(scope, receive, send)
        self.inside += 1
        try:
            await _Visit(self.app, self.limits, scope, receive, send).run()
        finally:
            self.inside -= 1

    def _check(self, headers: Headers) -> None:
        if self.key is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), self.key):
                challenge = {"WWW-Authenticate": "Bearer"}
                raise ApiError(401, "the API key is missing or wrong", code="invalid_api_key", headers=challenge)
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self.limits.upload_bytes:
            raise _too_large(self.limits)
        if self.inside >= self.limits.requests:
            message = f"{self.limits.requests} requests are being served, which is the most; try again later"
            raise ApiError(429, message, code="too_many_requests", headers={"Retry-After": "1"})

    async def _read_away(self, receive: Any) -> None:
        left = self.limits.upload_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.request_seconds):
                while left >= 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return


class _Visit:
    """A request that came in."""

    def __init__(self, app: Any, limits: Limits, scope: dict[str, Any], receive: Any, send: Any):
        self.app, self.limits, self.scope = app, limits, scope
        self.receive, self.send = receive, send
        self.bytes = 0
        self.uploaded = self.answering = False
        self.watcher: asyncio.Task | None = None

    async def run(self) -> None:
        task = asyncio.create_task(self.app(self.scope, self._receive, self._send))
        self.task = task
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                await asyncio.wait({task})
        except TimeoutError:
            pass
        finally:
            if self.watcher is not None:
                self.watcher.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            return task.result()
        if not self.answering:  # where the sender has gone, nobody reads it
            seconds = f"{self.limits.request_seconds:g} s"
            if self.uploaded:
                error = ApiError(504, f"there was no result within {seconds}", code="timeout")
            else:
                error = ApiError(408, f"the request did not arrive within {seconds}", code="timeout")
            await error.response()(self.scope, self.receive, self.send)

    async def _receive(self) -> dict[str, Any]:
        message = await self.receive()
        self.bytes += len(message.get("body", b""))
        if self.bytes > self.limits.upload_bytes:
            raise _too_large(self.limits)
        if message["type"] == "http.request" and not message.get("more_body") and not self.uploaded:
            self.uploaded = True
            self.watcher = asyncio.create_task(self._watch())
        return message

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        if not self.answering:
            self.task.cancel()

    async def _send(self, message: dict[str, Any]) -> None:
        self.answering = True
        await self.send(message)


def _too_large(limits: Limits) -> ApiError:
    message = f"the request is larger than the {limits.upload_bytes} bytes that are taken here"
    return ApiError(413, message, code="request_too_large")
