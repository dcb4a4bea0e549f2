"""Pipelines behind HTTP, for tests that ask them over it. Importing it skips where what serves is not installed."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi", reason="serving needs the extra [serve]")
pytest.importorskip("prometheus_client", reason="serving needs the extra [serve]")
pytest.importorskip("python_multipart", reason="serving needs the extra [serve]")
pytest.importorskip("uvicorn", reason="serving needs the extra [serve]")
pytest.importorskip("httpx", reason="tests of serving need httpx, of the extra [dev]")

import httpx
import uvicorn

from transformers_qwen3_asr.serving.app import create_app


class Watched:
    """The pipeline, with what it was called with; it waits for `open`, as for a long recording, and may fail."""

    def __init__(self, pipe, **keywords):
        self.pipe, self.processor, self.keywords = pipe, pipe.processor, keywords
        self.batches, self.open, self.at_work = [], threading.Event(), threading.Event()
        self.open.set()
        self.fails = lambda rows: None

    def __call__(self, rows, **keywords):
        self.batches.append(len(rows))
        self.at_work.set()
        assert self.open.wait(60)
        self.fails(rows)
        return self.pipe(rows, **self.keywords, **keywords)


@contextmanager
def served(pipe, **settings):
    """A server in a thread, and a client of it. The aligner is called tiny-en."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(pipe, "tiny-en", **settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            client.server, client.thread = server, thread
            assert client.get("/health").json().items() >= {"status": "ok", "model": "tiny-en", "waiting": 0}.items()
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def error_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    [(key, error)] = response.json().items()
    assert key == "error" and set(error) == {"message", "type", "param", "code"}
    assert error["message"] and "\n" not in error["message"]
    kinds = {429: "rate_limit_error", **dict.fromkeys((500, 504), "server_error")}
    assert error["type"] == kinds.get(status, "invalid_request_error")
    return error


def until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to pass")
