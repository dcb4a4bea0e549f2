"""Many recordings through the pipeline as one stream of rows, of which only the bad ones are lost."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..results import ROW_ERRORS, AlignmentResult

Item = TypeVar("Item")


@dataclass
class Outcome(Generic[Item]):
    """What became of an item: its row for the pipeline, as far as it could be made, and a result or else an error."""

    item: Item
    row: Mapping[str, Any] | None = None
    result: AlignmentResult | None = None
    error: str | None = None


def align_each(
    pipe: Callable[..., Iterator[AlignmentResult]],
    items: Iterable[Item],
    as_row: Callable[[Item], Mapping[str, Any]],
    batch_size: int | None,
) -> Iterator[Outcome[Item]]:
    """
    Yields each item's outcome, in order, as soon as it is there.

    The pipeline draws rows from one generator and returns the errors of bad ones (`on_error="return"`). A row is kept
    until its outcome is given out: those of three batches at most. What is no row's error is raised.

    Args:
        pipe: a `ForcedAlignmentPipeline`, with or without keywords bound to it.
        items: what `as_row` makes rows of.
        as_row: the row of an item, or an error of those in `ROW_ERRORS`, which is then the item's. Called once for
            each, in order, in the thread that reads ahead if there is one.
        batch_size: recordings at once, the pipeline's default if `None`.
    """
    waiting: deque[Outcome[Item]] = deque()  # drawn, and not given out

    def rows() -> Iterator[Mapping[str, Any] | Exception]:
        for item in items:
            outcome = Outcome(item)
            waiting.append(outcome)
            try:
                outcome.row = as_row(item)
            except ROW_ERRORS as error:
                yield error
            else:
                yield outcome.row

    # no workers: what they draw would be known in their process only
    with closing(pipe(rows(), batch_size=batch_size, num_workers=0, on_error="return")) as results:
        for result in results:
            outcome = waiting.popleft()
            if (error := result.pop("error")) is None:
                outcome.result = result
            else:  # the item's own name says more than its number
                _, kind, message = error.split(": ", 2)
                outcome.error = message or kind
            yield outcome
