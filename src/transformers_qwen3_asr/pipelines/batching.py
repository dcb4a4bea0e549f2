"""How a pipeline's batches become forward passes of bounded size, and threads work on the next ones meanwhile."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Element = TypeVar("Element")

#: Seconds of audio, padding included, in one forward pass on a CPU. Eight clips of 3 to 30 s in the 0.6B's shapes took
#: one core the same time, to 5 %, in passes of 30 to 240 s; above the weights 60 s needed 0.38 GiB, all at once 0.57.
CPU_PASS_SECONDS = 60.0
#: The same on a GPU: 64 clips of a minute are one pass (3,840 s).
GPU_PASS_SECONDS = 4096.0

_END: Any = object()


def pass_seconds(device: torch.device) -> float:
    """Seconds of audio, padding included, that one forward pass on `device` may hold."""
    return CPU_PASS_SECONDS if device.type == "cpu" else GPU_PASS_SECONDS


def passes(seconds: Sequence[float], budget: float) -> list[list[int]]:
    """
    The places of clips in forward passes: similar lengths together, the longest first, so that what does not fit into
    the memory shows at once.

    Args:
        seconds: each clip's length.
        budget: how many seconds a pass may hold at most. Features are padded, so that a pass holds as many times its
            longest clip as it has clips. A clip that is longer than the budget goes alone.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(seconds)), key=lambda place: seconds[place], reverse=True):
        if groups and seconds[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def gathered(
    elements: Iterable[Element],
    seconds: Callable[[Element], float],
    size: int,
    most: float,
    drop: Callable[[Element], None] = lambda element: None,
) -> Iterator[list[Element]]:
    """
    Yields elements in order, in lists of up to `size` whose forward pass holds up to `most` seconds, padding included;
    a longer one alone. It may take one more to tell that a list is full; closed then, it gives that one to `drop`.
    """
    batch, longest = [], 0.0
    for element in elements:
        longest = max(longest, seconds(element))
        if batch and longest * (len(batch) + 1) > most:
            full, batch, longest = batch, [element], seconds(element)
            try:
                yield full
            except GeneratorExit:
                drop(element)
                raise
        else:
            batch.append(element)
        if len(batch) == size:
            yield batch
            batch, longest = [], 0.0
    if batch:
        yield batch


def threads_ahead(device: torch.device) -> int:
    """
    How many threads work ahead of the one that makes results: none on a CPU, where they would take cores from the
    model. One elsewhere, which reads and prepares the next batch. On a CUDA device a second one gives it to the model.
    """
    return {"cpu": 0, "cuda": 2}.get(device.type, 1)


def ahead(
    elements: Iterable[Element],
    step: Callable[[Element], Element] = lambda element: element,
    drop: Callable[[Element], None] = lambda element: None,
) -> Iterator[Element]:
    """
    Yields what `step` makes of each of `elements`; while the consumer has one, a thread makes the next, and no more
    than that.

    Nothing is taken before the first is asked for. What `elements` or `step` raises is raised where the element would
    have been. When the generator is closed early, it waits for the element that is being made, gives it to `drop`, and
    closes `elements`, if that is a generator; no thread is left. An element of which nothing comes is dropped, too.
    """
    iterator = iter(elements)

    def made() -> Element:
        if (element := next(iterator, _END)) is _END:
            return element
        try:
            return step(element)
        except BaseException:
            drop(element)
            raise

    with ThreadPoolExecutor(1, "work-ahead") as worker:
        taken = worker.submit(made)
        try:
            while (element := taken.result()) is not _END:
                taken = worker.submit(made)
                yield element
        finally:
            unseen = _END if taken.cancel() or taken.exception() else taken.result()
            if unseen is not _END:
                drop(unseen)
            if isinstance(iterator, Generator):
                iterator.close()
            taken = None  # an error refers to this frame, and what it holds would not be let go of
