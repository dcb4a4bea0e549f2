"""Work that one thread does ahead of another, on a GPU in a stream of its own.

In one stream whoever fetches a number waits for all that was begun before, by any thread. With a stream of its own,
what is begun ahead is waited for by nobody but who takes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch


@functools.cache
def _stream(device: torch.device, name: str) -> torch.cuda.Stream:
    """One for each purpose: PyTorch has few, hands them out in turn, and keeps memory for each."""
    return torch.cuda.Stream(device)


class OwnStream:
    """Where one kind of work is done ahead: a stream of its own on a CUDA device, and nothing special elsewhere. Work
    there begins behind all that the calling thread has begun on the device."""

    def __init__(self, device: torch.device, name: str):
        self.stream = None
        if device.type == "cuda":
            self.stream = _stream(device, name)
            self.stream.wait_stream(torch.cuda.current_stream(device))

    def make(self, function: Callable[[Any], Mapping[str, Any]], argument: Any) -> Made:
        """What `function` returns, some of it tensors, for whoever takes it in another stream."""
        with torch.cuda.stream(self.stream):
            return Made(function(argument), self.stream)


class Made:
    """Something that was made ahead. Who reads of `values` what the device holds takes them first."""

    def __init__(self, values: Mapping[str, Any], stream: torch.cuda.Stream | None):
        self.values, self._event = values, None if stream is None else stream.record_event()

    def take(self) -> Mapping[str, Any]:
        """The values, for the current stream of the calling thread, which waits for them on the device."""
        if self._event is not None:
            current = torch.cuda.current_stream(self._event.device)
            current.wait_event(self._event)
            for value in self.values.values():
                if isinstance(value, torch.Tensor) and value.device == current.device:
                    value.record_stream(current)  # so that its memory is not used again before it was read
        return self.values
