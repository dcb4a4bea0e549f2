"""How much `qwen3-asr serve` answers to one client and to many at once, and what is lost.

    python benchmarks/throughput_serving.py --model tiny-en --audio FILE --text-file FILE
    python benchmarks/throughput_serving.py --model tiny-en --asr-model MODEL --audio FILE

Without --asr-model it asks for alignments, with it for transcriptions with words. Needs the extra `serve` and httpx.
Ends with status 1 where a request has no answer.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

COLUMNS = ("clients", "requests", "lost", "requests/s", "audio s/s", "CPU ms an audio s", "median s", "longest s")
COLUMNS += ("recordings a batch", "server MiB")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny-en")
    parser.add_argument("--asr-model")
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--text-file", type=Path, help="what is said in it, for alignments")
    parser.add_argument("--language", default="English")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=128, help="for each number of clients")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args(arguments)
    if (given.asr_model is None) == (given.text_file is None):
        parser.error("either --text-file or --asr-model")
    data = {"language": given.language}
    if given.asr_model is None:
        path, data["text"] = "/v1/audio/alignments", given.text_file.read_text(encoding="utf-8")
    else:
        path = "/v1/audio/transcriptions"
        data |= {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    request = {"url": path, "files": {"file": (given.audio.name, given.audio.read_bytes())}, "data": data}
    lost = 0
    with served(given) as (address, server):
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        asyncio.run(asked(address, request, 1, 2))  # which load what is loaded late
        for clients in given.clients:
            before, spent = batches(address), sum(server.cpu_times()[:2])
            started = time.perf_counter()
            answers = asyncio.run(asked(address, request, clients, given.requests))
            seconds = time.perf_counter() - started
            good = [(took, duration) for took, duration in answers if duration is not None]
            lost += len(answers) - len(good)
            taken, count = (now - then for now, then in zip(batches(address), before, strict=True))
            times, audio = [took for took, _ in good], sum(duration for _, duration in good)
            spent = sum(server.cpu_times()[:2]) - spent
            print(
                f"| {clients} | {len(answers)} | {len(answers) - len(good)} | {len(good) / seconds:.2f} "
                f"| {audio / seconds:.1f} | {1000 * spent / audio:.1f} | {statistics.median(times):.2f} "
                f"| {max(times):.2f} | {taken / count:.1f} | {server.memory_info().rss / 2**20:.0f} |",
                flush=True,
            )
    return int(lost > 0)


@contextmanager
def served(given: argparse.Namespace):
    """The command on a free port: its address and its process."""
    command = [sys.executable, "-m", "transformers_qwen3_asr", "serve", "--port", "0", "--model", given.model]
    command += ["--batch-size", str(given.batch_size)]
    command += [] if given.asr_model is None else ["--asr-model", given.asr_model]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            while " at http://" not in (line := process.stderr.readline()):
                lines.append(line)
                if not line:
                    raise SystemExit("".join(lines))
            address = line.split()[-1]
            for _ in range(600):
                try:
                    httpx.get(f"{address}/health")
                    break
                except httpx.TransportError:  # it says where it is before it listens
                    time.sleep(0.1)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


async def asked(address: str, request: dict, clients: int, count: int) -> list[tuple[float, float | None]]:
    """The requests by so many clients, each one after the other: seconds, and those of the recording if answered."""
    left, answers = iter(range(count)), []

    async def one() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=600) as client:
            for _ in left:
                started = time.perf_counter()
                try:
                    answer = await client.post(**request)
                    duration = answer.json()["duration"] if answer.status_code == 200 else None
                except httpx.TransportError:
                    duration = None
                answers.append((time.perf_counter() - started, duration))

    await asyncio.gather(*(one() for _ in range(clients)))
    return answers


def batches(address: str) -> tuple[float, float]:
    """Recordings that the model has taken, and in how many batches."""
    told = dict(line.rsplit(" ", 1) for line in httpx.get(f"{address}/metrics").text.splitlines())
    return tuple(float(told[f"qwen3_asr_batch_recordings_{part}"]) for part in ("sum", "count"))


if __name__ == "__main__":
    sys.exit(main())
