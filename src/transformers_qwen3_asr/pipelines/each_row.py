"""Many recordings through the pipeline as one stream of rows, of which only the bad ones are lost."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..alignment.results import AlignmentResult

Item = TypeVar("Item")


@dataclass
class Outcome(Generic[Item]):
    """What became of an item: its row for the pipeline, as far as it could be made, and a result or else an error."""

    item: Item
    row: Mapping[str, Any] | None = None
    result: AlignmentResult | None = None
    error: Exception | None = None


def align_each(
    pipe: Callable[..., Any],
    items: Sequence[Item],
    as_row: Callable[[Item], Mapping[str, Any]],
    batch_size: int,
    errors: tuple[type[Exception], ...] = (ValueError,),
) -> Iterator[Outcome[Item]]:
    """
    Yields each item's outcome, in order, as soon as it is there.

    The pipeline draws rows from one generator, so that it reads the next batch while one computes, where it does so at
    all (`batching.reads_ahead`). A row is kept until its outcome is given out: those of two batches at most.

    An error ends the pipeline's iterator, and may be a single row's or a whole batch's. What has no outcome yet of the
    batch that it came from is aligned row by row, which tells, and a new iterator goes on behind that batch. So a row
    is read once more for an error in its own batch, and once more if it had been read ahead when one came.

    Args:
        pipe: a `ForcedAlignmentPipeline`, with or without keywords bound to it.
        items: what `as_row` makes rows of.
        as_row: the row of an item. Called once for each, in order, in the thread that reads ahead if there is one.
        batch_size: recordings at once.
        errors: what is an item's error, as the pipeline raises it for a row alone, or `as_row`. Others are raised.
    """
    left = iter(items)
    waiting: deque[Outcome[Item]] = deque()  # drawn, and not given out

    def rows(drawn: deque[Outcome[Item]]) -> Iterator[Mapping[str, Any]]:
        while drawn:
            yield drawn.popleft().row
        for item in left:
            outcome = Outcome(item)
            try:
                outcome.row = as_row(item)
            except errors as error:
                outcome.error = error
            waiting.append(outcome)
            if outcome.error is None:
                yield outcome.row

    going_on = True
    while going_on:
        going_on, given = False, 0
        again = deque(outcome for outcome in waiting if outcome.error is None)
        # no workers: what they draw would be known in their process only
        with closing(pipe(rows(again), batch_size=batch_size, num_workers=0)) as results:
            while True:
                try:
                    result = next(results, None)
                except errors:
                    if not waiting:
                        raise  # no row's
                    going_on = True
                    break
                yield from _known(waiting)
                if result is None:
                    break
                given += 1
                outcome = waiting.popleft()
                outcome.result = result
                yield outcome
        if going_on:
            yield from _alone(pipe, waiting, batch_size - given % batch_size, errors)


def _alone(pipe, waiting: deque[Outcome[Item]], count: int, errors) -> Iterator[Outcome[Item]]:
    """Up to `count` rows as single ones: their errors name no index."""
    for _ in range(count):
        yield from _known(waiting)
        if not waiting:
            return
        outcome = waiting.popleft()
        try:
            outcome.result = pipe(outcome.row)
        except errors as error:
            outcome.error = error
        yield outcome


def _known(waiting: deque[Outcome[Item]]) -> Iterator[Outcome[Item]]:
    """The items whose turn it is and of which no row could be made."""
    while waiting and waiting[0].error is not None:
        yield waiting.popleft()
