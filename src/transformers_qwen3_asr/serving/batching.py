"""Requests that wait together share a batch: one thread owns the model."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

logger = logging.getLogger(__name__)


class RowError(ValueError):
    """What is wrong with a single recording or its text."""


class Batcher:
    """
    A line of rows, and a thread that takes up to `batch_size` of them at once: those that came while it worked. None
    waits for company.

    Args:
        work: rows in, as many results or exceptions out; called in that thread only.
        batch_size: rows at once.
    """

    def __init__(self, work: Callable[[Sequence[Any]], Sequence[Any]], batch_size: int):
        self.work, self.batch_size = work, batch_size
        self._line: deque[tuple[Any, Future]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model")

    def start(self) -> None:
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows in the line; those that are at work are out of it."""
        return len(self._line)

    def submit(self, row: Any) -> Future:
        """The result to come. To cancel it takes the row out of the line, unless it is at work."""
        future: Future = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the line is closed")
            self._line.append((row, future))
            self._changed.notify()
        future.add_done_callback(self._forget)
        return future

    def close(self) -> None:
        """Takes no more, and comes back when all that was taken is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _forget(self, future: Future) -> None:
        if future.cancelled():
            with self._changed:
                self._line = deque(pair for pair in self._line if pair[1] is not future)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._line or self._closed)
                if not self._line:
                    return
                taken = [self._line.popleft() for _ in range(min(self.batch_size, len(self._line)))]
            batch = [(row, future) for row, future in taken if future.set_running_or_notify_cancel()]
            if not batch:
                continue
            try:
                results = self.work([row for row, _ in batch])
            except BaseException as error:
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def answers_to(calls: Mapping[Hashable, Callable[..., Any]], rows: Sequence[tuple[Hashable, dict[str, Any]]]) -> list:
    """
    A result or an exception for each row, by the pipeline that it asks for: `(key of calls, {"audio": open file, …})`.
    Rows that ask for the same one share its batches.
    """
    results: list[Any] = [None] * len(rows)
    for key in dict.fromkeys(key for key, _ in rows):
        places = [place for place, (asked, _) in enumerate(rows) if asked == key]
        answers = _answered(calls[key], [rows[place][1] for place in places])
        for place, answer in zip(places, answers, strict=True):
            results[place] = answer
    return results


def _answered(call: Callable[..., Any], rows: list[dict[str, Any]]) -> list[Any]:
    """
    By one pipeline: `RowError` for what is wrong with a row. What is no row's error (too little memory, a defect) is
    the row's that meets it alone.
    """
    try:
        return [_result(result) for result in call(rows, batch_size=len(rows), on_error="return")]
    except Exception as error:
        logger.exception("a batch of %d failed", len(rows))
        if len(rows) == 1:
            return [error]
    # not in the handler, since the error keeps what filled the memory
    results = []
    for row in rows:
        row["audio"].seek(0)
        results += _answered(call, [row])
    return results


def _result(result: dict[str, Any]) -> Any:
    if (error := result.pop("error")) is None:
        return result
    _, kind, message = error.split(": ", 2)
    return RowError(message or kind)
