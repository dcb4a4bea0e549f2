"""What is made ahead in a stream of its own, and handed over."""

from contextlib import contextmanager

import pytest
import torch

from transformers_qwen3_asr.gpu import streams
from transformers_qwen3_asr.gpu.streams import OwnStream

CPU = torch.device("cpu")


def test_without_streams_it_is_a_call():
    own = OwnStream(CPU, "numbers")
    made = own.make(lambda number: {"number": torch.tensor(number)}, 3)
    assert own.stream is None and made.values["number"] == 3 and made.take() is made.values


class Stream:
    """Notes in `log` what is asked of it."""

    device = CPU

    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for the {event.name}")

    def record_event(self):
        self.log.append(f"event in {self.name}")
        event = Stream(f"event in {self.name}", self.log)
        return event


class Tensor(torch.Tensor):
    def record_stream(self, stream):
        stream.log.append(f"{stream.name} reads {self.item():g}")


@pytest.fixture
def log(monkeypatch):
    """What is asked of a GPU with two streams, in order."""
    log = []
    current = [Stream("the caller's", log)]

    @contextmanager
    def inside(stream):
        current.append(stream)
        yield
        current.pop()

    monkeypatch.setattr(streams, "_stream", lambda device, name: Stream("its own", log))
    monkeypatch.setattr(torch.cuda, "stream", inside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    return log


def test_who_takes_it_waits_on_the_device(log):
    own = OwnStream(torch.device("cuda"), "numbers")

    def function(number):
        log.append(f"computed in {torch.cuda.current_stream(CPU).name}")
        return {**{f"{k}": torch.tensor(k).as_subclass(Tensor) for k in (1, 2)}, "no tensor": number}

    made = own.make(function, 5)
    taken = made.take()
    assert taken is made.values and taken["no tensor"] == 5
    assert log == [
        "its own waits for the caller's",
        "computed in its own",
        "event in its own",
        "the caller's waits for the event in its own",
        "the caller's reads 1",
        "the caller's reads 2",
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_who_fetches_something_else_does_not_wait():
    device = torch.device("cuda", torch.cuda.current_device())
    other = torch.ones(1000, device=device)
    other.sum().item()
    own = OwnStream(device, "numbers")
    assert OwnStream(device, "numbers").stream == own.stream != OwnStream(device, "others").stream

    def slow(number):
        torch.cuda._sleep(int(2e9))  # about a second
        return {"numbers": torch.full((1000,), number, device=device)}

    made = own.make(slow, 7.0)
    assert other.sum().item() == 1000
    assert not made._event.query()  # it is still computing
    assert made.take()["numbers"].sum().item() == 7000
