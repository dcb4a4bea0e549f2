"""CUDA graphs of small forward passes.

One short clip takes more than a thousand kernels, each of which works for less time than Python needs to launch it. A
graph launches them all at once. It is recorded for fixed shapes and addresses, so inputs are padded to one of a few
lengths and copied to where it reads them.
"""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .checked import close, for_inference, step_aside, ways

logger = logging.getLogger(__name__)

#: Set to `False` to go without graphs.
ENABLED = True
#: Held while a graph is recorded, and by who computes without graphs in another thread meanwhile.
_RECORDING = threading.RLock()
_WITHOUT: ContextVar[bool] = ContextVar("_WITHOUT", default=False)
#: Graphs that a module has at most; the least recently used goes first.
MOST_GRAPHS = 32
#: Bytes that the graphs of a module may take. Where they take more, all are let go of, since they share their memory.
MOST_BYTES = 2**30
#: Runs before recording, in which libraries choose their kernels and allocate what they keep.
WARM_UP = 3


@dataclass
class Recording:
    """What was recorded: `replay()` computes `outputs` from what is in the buffers, all at the same addresses."""

    replay: Callable[[], None]
    outputs: tuple[torch.Tensor, ...]
    bytes: int = 0


@contextmanager
def without_graphs() -> Iterator[None]:
    """For a thread that computes beside another one: it uses no graphs, and none is recorded meanwhile. Graphs share
    memory, so that two threads would disturb each other; and recording counts memory, and waits for the device."""
    with _RECORDING:
        token = _WITHOUT.set(True)
        try:
            yield
        finally:
            _WITHOUT.reset(token)


@functools.cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """One that PyTorch does not hand out as an ordinary one: nothing else may work in it while it records."""
    return torch.cuda.Stream(device, priority=-1)


def padded_length(length: int) -> int:
    """`length` rounded up to one of four lengths an octave, of 64 at least: less than a quarter is padding."""
    step = max(16, 2 ** ((max(length, 1) - 1).bit_length() - 3))
    return max(64, -(-length // step) * step)


def capture_on_cuda(function: Callable, buffers: Sequence[Any], pool: Any) -> Recording:
    """A CUDA graph of `function(*buffers)`, a tuple of tensors. `pool` is the memory it may share with others."""
    device = next(buffer.device for buffer in buffers if isinstance(buffer, torch.Tensor))
    with torch.cuda.device(device):
        current, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                function(*buffers)
        current.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads read recordings meanwhile, and may pin memory for them
        stream = _capture_stream(device)
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            before = torch.cuda.memory_reserved(device)  # in here: on its way in, PyTorch empties its cache
            outputs = function(*buffers)
        grown = max(0, torch.cuda.memory_reserved(device) - before)
    return Recording(graph.replay, outputs, grown)


#: How passes are recorded, by type of device. Tests put a stand-in here for the CPU.
CAPTURES: dict[str, Callable] = {"cuda": capture_on_cuda}


class Graphs:
    """The graphs of one module, made when a shape comes for the second time."""

    def __init__(self, name: str):
        self.name = name
        self.broken = False
        self._lock = threading.RLock()
        self.release()

    def release(self) -> None:
        """Lets go of all graphs and their memory."""
        with self._lock:
            self._made: OrderedDict[Hashable, tuple[Sequence[Any], Recording]] = OrderedDict()
            self._seen: OrderedDict[Hashable, None] = OrderedDict()
            self._print: Any = None
            self._pool: Any = None
            self._done: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self._made)

    def run(
        self,
        key: Hashable,
        module: nn.Module,
        plain: Callable[[], Any],
        fresh: Callable[[], Sequence[Any]],
        function: Callable[..., tuple[torch.Tensor, ...]],
        fill: Callable[..., None],
        take: Callable[..., tuple[torch.Tensor, ...]],
    ) -> Any:
        """
        What `plain()` gives, by a graph where there is one.

        Args:
            key: what the shapes depend on.
            module: what computes; a graph is good as long as its tensors lie where they lay.
            plain: the usual way, to a tuple of tensors.
            fresh: makes the buffers that a graph of this key reads, and what else has to live as long as it does.
            function: from the buffers to outputs of fixed shapes, without a look at any value.
            fill: writes this call's inputs into the buffers, all of them.
            take: copies this call's results out of the outputs.
        """
        state = None if self.broken else fingerprint(module)
        if state is None:
            return plain()
        key = key, ways()
        with self._lock:
            if state != self._print:
                self.release()
                self._print = state
            if key not in self._made:
                if key not in self._seen:
                    self._seen[key] = None
                    if len(self._seen) > 16 * MOST_GRAPHS:
                        self._seen.popitem(last=False)
                    return plain()
                return self._record(key, plain, fresh, function, fill, take)
            self._made.move_to_end(key)
            return self._replay(*self._made[key], fill, take)

    def _record(self, key, plain, fresh, function, fill, take):
        """`plain()`'s result, after a graph was made that gives the same."""
        want = plain()
        device = want[0].device
        try:
            # buffers are written to in later calls, which may or may not be in inference mode
            with _RECORDING, torch.inference_mode(False), torch.no_grad():
                buffers = fresh()
                fill(*buffers)
                if self._pool is None and device.type == "cuda":
                    self._pool = torch.cuda.graph_pool_handle()
                recording = CAPTURES[device.type](function, buffers, self._pool)
                got = self._replay(buffers, recording, fill, take)
            differs = not all(close(a, b) for a, b in zip(got, want, strict=True))
        except (RuntimeError, ValueError) as error:
            return self._give_up(want, f"cannot be recorded ({str(error).strip().splitlines()[:1]})")
        if differs:
            return self._give_up(want, "gives something else than the plain way")
        self._made[key] = buffers, recording
        if sum(made.bytes for _, made in self._made.values()) > MOST_BYTES:
            state, seen = self._print, self._seen
            self.release()
            self._print, self._seen = state, seen
        while len(self._made) > MOST_GRAPHS:
            self._made.popitem(last=False)
        return want

    def _give_up(self, want, why: str):
        self.broken = True
        self.release()
        step_aside(logger, f"the CUDA graph of {self.name}", why)
        return want

    def _replay(self, buffers, recording, fill, take):
        if self._done is not None:  # another stream may be reading what is written now
            self._done.wait()
        fill(*buffers)
        recording.replay()
        result = take(*recording.outputs)
        if result[0].is_cuda:
            self._done = torch.cuda.Event()
            self._done.record()
        return result


_GRAPHS: weakref.WeakKeyDictionary[nn.Module, Graphs] = weakref.WeakKeyDictionary()


def graphs_of(module: nn.Module, name: str) -> Graphs:
    """The graphs of `module`, which live as long as it does; `name` is what a warning calls it."""
    return _GRAPHS.setdefault(module, Graphs(name)) if module not in _GRAPHS else _GRAPHS[module]


def release_graphs(model: nn.Module) -> int:
    """Lets go of the CUDA graphs of a model and its parts, and of their memory. Returns how many they were.

    They are made again when they are needed. `torch.cuda.empty_cache()` then gives the memory back to the device.
    """
    found = [_GRAPHS.pop(module) for module in model.modules() if module in _GRAPHS]
    count = sum(map(len, found))
    for graphs in found:
        graphs.release()
    return count


def may_use_graphs(module: nn.Module, states: torch.Tensor) -> bool:
    """Whether `module` may be recorded on `states`: for inference, and nobody else records or compiles it."""
    kind = states.device.type
    if not ENABLED or kind not in CAPTURES or module.training or not for_inference(states) or _WITHOUT.get():
        return False
    return kind != "cuda" or not torch.cuda.is_current_stream_capturing()


def fingerprint(module: nn.Module) -> tuple | None:
    """What a graph of `module` depends on beside its inputs; `None` where hooks or odd tensors want the plain way."""
    parts: list[Any] = []
    for part in module.modules():
        if part._forward_hooks or part._forward_pre_hooks or hasattr(part, "_hf_hook"):
            return None
        parts += [type(part), vars(part).get("forward")]
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
            if type(tensor) not in (torch.Tensor, nn.Parameter):
                return None
            parts.append((tensor.data_ptr(), tensor.dtype, tensor.shape))
    return tuple(parts)
