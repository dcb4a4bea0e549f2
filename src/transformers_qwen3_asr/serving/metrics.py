"""What `/metrics` tells, in Prometheus' text format."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """
    Counts of one server, in a registry of its own.

    Args:
        waiting: how many recordings wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]):
        registry = self.registry = CollectorRegistry()
        endpoint = {"labelnames": ["path"], "registry": registry}
        self.requests = Counter(
            "qwen3_asr_requests", "Requests that were answered, or given up", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "qwen3_asr_request_seconds",
            "From a request's first byte to its answer's last",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            **endpoint,
        )
        self.inside = Gauge("qwen3_asr_requests_inside", "Requests that are being served", registry=registry)
        self.audio = Counter("qwen3_asr_audio_seconds", "Seconds of recordings with a result", **endpoint)
        self.batches = Histogram(
            "qwen3_asr_batch_recordings",
            "Recordings that the model took at once",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.busy = Counter("qwen3_asr_model_seconds", "Seconds that the model was at work", registry=registry)
        Gauge("qwen3_asr_waiting", "Recordings that wait for the model", registry=registry).set_function(waiting)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def watched(self, work: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """The work of a batch, with its size and time noted."""

        def watching(rows: Sequence[Any]) -> Sequence[Any]:
            self.batches.observe(len(rows))
            started = time.perf_counter()
            try:
                return work(rows)
            finally:
                self.busy.inc(time.perf_counter() - started)

        return watching


class Counted:
    """
    Middleware (ASGI) that counts requests below /v1/, refused ones too.

    Args:
        paths: that are told apart; all others are "other", since senders make them up.
    """

    def __init__(self, app: Any, metrics: Metrics, paths: Collection[str]):
        self.app, self.metrics, self.paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            return await self.app(scope, receive, send)
        path = scope["path"] if scope["path"] in self.paths else "other"
        status = "none"  # whose sender went away
        started = time.perf_counter()

        async def sending(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            with self.metrics.inside.track_inprogress():
                await self.app(scope, receive, sending)
        except Exception:
            status = "500"  # which is answered further out
            raise
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)
