"""`serving`: as the pipeline alone, for many at once; what is refused; and how it ends."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT
from corpus_clips import RATE, clips, wav

pytest.importorskip("httpx", reason="tests of serving need httpx, of the extra [dev]")

import httpx
from served_models import Watched, error_of, served, until  # skips where the extra [serve] is missing

from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.serving.batching import Batcher
from transformers_qwen3_asr.serving.gate import Limits

CLIENTS = 64
PATH = "/v1/audio/alignments"


def wav_of_floats(samples):
    """A WAV file of floats, which need not be finite."""
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data
    )


@pytest.fixture
def watched(pipe):
    return Watched(pipe)


@pytest.fixture(scope="module")
def client(pipe):
    limits = Limits(upload_bytes=300_000, audio_seconds=5.0)
    with served(pipe, limits=limits) as client:
        yield client


CLIP = clips(1)[0]
NAN = wav_of_floats(np.full(RATE, np.nan))


def post(client, clip=CLIP, audio=None, **fields):
    """One request; fields that are None are left out."""
    fields = {"text": clip["text"], "language": "English", **fields}
    fields = {name: value for name, value in fields.items() if value is not None}
    return client.post(PATH, files={"file": ("clip.wav", clip["audio"] if audio is None else audio)}, data=fields)


def post_in_two(client, clip, ended):
    """One request, whose end is not sent before `ended` is set."""
    files, data = {"file": ("clip.wav", clip["audio"])}, {"text": clip["text"]}
    whole = client.build_request("POST", PATH, files=files, data=data)
    body = whole.read()

    def parts():
        yield body[:1000]
        assert ended.wait(120)
        yield body[1000:]

    return client.post(PATH, content=parts(), headers={"Content-Type": whole.headers["Content-Type"]})


def assert_same(answer, alone):
    assert [word["word"] for word in answer["words"]] == [chunk["text"] for chunk in alone["chunks"]]
    for key, place in (("start", 0), ("end", 1)):
        times = [word[key] for word in answer["words"]]
        np.testing.assert_allclose(times, [chunk["timestamp"][place] for chunk in alone["chunks"]], atol=1e-3)
    assert answer["score"] == pytest.approx(alone["score"], abs=1e-3) and answer["fits"] == alone["fits"]


def test_many_clients_at_once_get_what_the_pipeline_says(watched, pipe):
    rows = clips(CLIENTS // 8) * 8
    watched.open.clear()
    with served(watched) as client, ThreadPoolExecutor(CLIENTS) as clients:
        address = client.base_url

        def ask(row):
            with httpx.Client(base_url=address, timeout=60) as own:
                return post(own, row)

        inside = [clients.submit(ask, row) for row in rows]
        until(lambda: sum(watched.batches) + client.get("/health").json()["waiting"] == CLIENTS)
        watched.open.set()
        answers = [future.result() for future in inside]
    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    each = [pipe(row, language="English") for row in rows[: CLIENTS // 8]]
    for row, alone, answer in zip(rows, each * 8, answers, strict=True):
        answer = answer.json()
        assert answer["text"] == row["text"] and answer["language"] == "English"
        assert answer["duration"] == pytest.approx((len(row["audio"]) - 44) / 2 / RATE)
        assert_same(answer, alone)
        for word in answer["words"]:
            assert row["text"][word["char_start"] : word["char_end"]] == word["word"]
    assert sum(watched.batches) == CLIENTS and max(watched.batches) == 8  # they shared batches


def test_a_recording_in_windows(pipe):
    """Longer than what is aligned at once: it is decoded as it is needed."""
    recording = ROOT / "examples" / "sense_and_sensibility"
    audio = recording.with_suffix(".flac").read_bytes()
    text = recording.with_suffix(".txt").read_text(encoding="utf-8")
    with served(Watched(pipe, max_align_seconds=5)) as client:
        answer = post(client, audio=audio, text=text).json()
    assert_same(answer, pipe(audio, text=text, language="English", max_align_seconds=5))


BAD = {
    "no audio": ({"audio": b"no recording"}, 400, "file", "invalid_audio"),
    "nothing": ({"audio": b""}, 400, "file", "invalid_audio"),
    "no samples": ({"audio": wav(np.zeros(0))}, 400, "file", "invalid_audio"),
    "too long": ({"audio": wav(np.zeros(6 * RATE))}, 413, "file", "audio_too_long"),
    "not finite": ({"audio": NAN}, 400, None, "invalid_value"),
    "too large": ({"audio": bytes(300_000)}, 413, None, "request_too_large"),
    "much too large": ({"audio": bytes(3_000_000)}, 413, None, "request_too_large"),
    "no text": ({"text": None}, 400, "text", "missing_required_parameter"),
    "empty": ({"text": " \n"}, 400, "text", "invalid_value"),
    "no words": ({"text": "… – !"}, 400, "text", "invalid_value"),
    "a long text": ({"text": "word " * 250_000}, 413, None, "request_too_large"),
    "no language": ({"language": " "}, 400, "language", "invalid_value"),
    "another model": ({"model": "whisper-1"}, 404, "model", "model_not_found"),
    "unknown field": ({"prompt": "please"}, 400, "prompt", "unknown_parameter"),
    "two texts": ({"text": ["one", "two"]}, 400, "text", "invalid_value"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(client, name):
    fields, status, param, code = BAD[name]
    error = error_of(post(client, **fields), status)
    assert (error["param"], error["code"]) == (param, code), error
    assert post(client).status_code == 200


def test_other_requests_are_refused_in_the_same_shape(client):
    error_of(client.get("/nowhere"), 404)
    error_of(client.get(PATH), 405)
    assert error_of(client.post(PATH), 400)["param"] == "file"
    assert error_of(client.post(PATH, data={"file": "a path?", "text": "one"}), 400)["param"] == "file"
    assert error_of(client.post(PATH, json={"text": "one"}), 400)["param"] == "file"
    broken = client.post(PATH, content=b"--x\r\nwhat?", headers={"Content-Type": "multipart/form-data; boundary=x"})
    error_of(broken, 400)


def test_a_stream_that_does_not_say_its_size_is_counted(client):
    def parts():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(4_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    error = error_of(client.post(PATH, content=parts(), headers=headers), 413)
    assert error["code"] == "request_too_large"


def test_the_server_reads_no_files_of_its_own(client):
    path = str(ROOT / "examples" / "sense_and_sensibility.flac")
    assert error_of(post(client, audio=path.encode()), 400)["code"] == "invalid_audio"


def test_a_key(pipe):
    with served(pipe, api_key="sesame") as client:
        for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "Basic sesame"}):
            client.headers = headers
            assert error_of(post(client), 401)["code"] == "invalid_api_key"
        client.headers = {"Authorization": "Bearer sesame"}
        assert post(client).status_code == 200


def test_there_are_so_many_places(watched):
    """So the memory is bounded: who comes when the house is full is told before the upload is read."""
    watched.open.clear()
    with served(watched, limits=Limits(requests=4)) as client, ThreadPoolExecutor(4) as clients:
        inside = [clients.submit(post, client) for _ in range(4)]
        until(lambda: client.get("/health").json()["waiting"] == 3 or sum(watched.batches) > 1)
        until(lambda: sum(watched.batches) + client.get("/health").json()["waiting"] == 4)
        for _ in range(10):
            response = post(client, audio=bytes(2_000_000))
            assert error_of(response, 429)["code"] == "too_many_requests" and response.headers["retry-after"]
        watched.open.set()
        assert [future.result().status_code for future in inside] == [200] * 4
        assert post(client).status_code == 200


def test_what_takes_too_long_is_given_up(watched):
    watched.open.clear()
    with served(watched, limits=Limits(request_seconds=1.5, requests=3), batch_size=1) as client:
        with ThreadPoolExecutor(2) as clients:
            for response in clients.map(lambda _: post(client), range(2)):
                assert error_of(response, 504)["code"] == "timeout"
        assert client.get("/health").json()["waiting"] == 0  # the second was taken out of the line
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as slow:
            slow.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n".encode())
            slow.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        watched.open.set()
        until(lambda: post(client).status_code == 200)
    assert sum(watched.batches) == len(watched.batches)


def test_who_goes_away_leaves_the_line(watched):
    watched.open.clear()
    with served(watched, batch_size=1) as client, ThreadPoolExecutor(1) as clients:
        first = clients.submit(post, client)
        assert watched.at_work.wait(60)
        patience = httpx.Timeout(60, read=0.5)
        with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=client.base_url, timeout=patience) as hasty:
            post(hasty)
        until(lambda: client.get("/health").json()["waiting"] == 0)
        watched.open.set()
        assert first.result().status_code == 200
    assert watched.batches == [1]


def test_a_row_that_breaks_the_model_breaks_no_other(watched):
    def out_of_memory(rows):
        if any(row["text"] == "too much" for row in rows):
            raise MemoryError

    watched.fails = out_of_memory
    watched.open.clear()
    with served(watched) as client, ThreadPoolExecutor(5) as clients:
        first = clients.submit(post, client)
        assert watched.at_work.wait(60)
        others = [clients.submit(post, client, **fields) for fields in ({"text": "too much"}, {}, {"audio": NAN}, {})]
        until(lambda: client.get("/health").json()["waiting"] == 4)
        watched.open.set()
        assert first.result().status_code == 200
        statuses = [future.result().status_code for future in others]
    assert statuses == [500, 200, 400, 200]


def test_the_end_waits_for_what_was_taken(watched):
    watched.open.clear()
    with served(watched, batch_size=2) as client, ThreadPoolExecutor(6) as clients:
        inside = [clients.submit(post, client) for _ in range(6)]
        until(lambda: sum(watched.batches) + client.get("/health").json()["waiting"] == 6)
        client.server.should_exit = True
        until(lambda: not answers(client))
        assert client.thread.is_alive() and not any(future.done() for future in inside)
        watched.open.set()
        assert [future.result().status_code for future in inside] == [200] * 6


@pytest.mark.slow
def test_the_command_ends_in_order():
    """As a process: free port, key from the environment, SIGTERM in the middle of requests."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), *sys.path]))}
    environment |= {"QWEN3_ASR_API_KEY": "sesame", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "transformers_qwen3_asr", "serve", "--model", "tiny-en", "--port", "0"]
    ended = threading.Event()
    with subprocess.Popen(
        [*command, "--batch-size", "1"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            line = process.stderr.readline()
            assert line.startswith("qwen3-asr serve: tiny-en at http://127.0.0.1:"), line
            headers = {"Authorization": "Bearer sesame"}
            with (
                httpx.Client(base_url=line.split()[-1], timeout=60, headers=headers) as client,
                ThreadPoolExecutor(8) as clients,
            ):
                until(lambda: answers(client))
                inside = [clients.submit(post_in_two, client, row, ended) for row in clips(8)]
                until(lambda: b"\nqwen3_asr_requests_inside 8.0\n" in client.get("/metrics").content)
                process.send_signal(signal.SIGTERM)
                until(lambda: not answers(client))
                assert not any(future.done() for future in inside)
                ended.set()
                assert [future.result().status_code for future in inside] == [200] * 8
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_what_the_command_refuses(capsys, monkeypatch):
    def said(*arguments):
        assert main(["serve", "--model", "tiny-en", *arguments]) == 2
        [line] = capsys.readouterr().err.splitlines()
        return line.removeprefix("qwen3-asr serve: error: ")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert said("--port", port) == f"--host 127.0.0.1 --port {port}: Address already in use"
    assert said("--host", "256.1.1.1").startswith("--host 256.1.1.1: ")
    for key in ("", " a", "a\n", "ä"):
        assert said("--api-key", key).startswith("--api-key or QWEN3_ASR_API_KEY: ")
    assert said("--port", "0", "--device", "nowhere:0").startswith("--device nowhere:0: ")
    assert said("--port", "0", "--model", "/nowhere").startswith("--model /nowhere: ")


def test_the_line_takes_no_more_when_closed():
    batcher = Batcher(lambda rows: rows, 2)
    batcher.start()
    assert batcher.submit(1).result(10) == 1
    batcher.close()
    with pytest.raises(RuntimeError):
        batcher.submit(2)


def answers(client):
    try:
        return httpx.get(client.base_url.join("/health"), timeout=60).status_code == 200
    except httpx.TransportError:
        return False
