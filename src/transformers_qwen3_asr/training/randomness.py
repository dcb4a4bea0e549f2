"""Draws that belong to a row and an epoch, so that no batch, process, worker or resumption changes them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

#: What draws are for; each has a stream of its own, so that one option does not change another's draws.
SLOTS, AUGMENTATION, JOINING, BATCHES = range(4)


def row_key(row: Mapping[str, Any]) -> int:
    """
    A row's number for `generator`: of its "id", or of its text and words where it has none. Rows that are equal in
    these draw alike.
    """
    name = row.get("id")
    if name is None:
        words = [[str(word.get(key)) for key in ("text", "start", "end")] for word in row.get("words") or ()]
        name = json.dumps([row.get("text"), words])
    return int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest(), "little")


def generator(seed: int, stream: int, epoch: int, key: int = 0) -> np.random.Generator:
    """The random numbers of one `stream` (what they are for) in one epoch, for one row."""
    return np.random.default_rng([seed, stream, epoch, key])


class Epoch:
    """The number of the epoch, in memory that the data loader's workers share, so that it reaches them, too."""

    def __init__(self):
        self._value = torch.zeros((), dtype=torch.long).share_memory_()

    def set(self, epoch: int) -> None:
        self._value.fill_(int(epoch))

    def get(self) -> int:
        return int(self._value)


class EpochCallback(TrainerCallback):
    """
    Tells `listeners` (collator, batch sampler) at each epoch's beginning which one it is, by their `set_epoch`.

    Trainer and accelerate do this for some samplers only, never for collators, and after resuming on several processes
    for none. Without this callback every epoch draws what the first one drew.
    """

    def __init__(self, *listeners):
        for listener in listeners:
            if not callable(getattr(listener, "set_epoch", None)):
                raise ValueError(f"{type(listener).__name__} has no set_epoch")
        self.listeners = listeners

    def on_epoch_begin(self, args, state, control, **kwargs):
        for listener in self.listeners:
            listener.set_epoch(int(state.epoch or 0))  # a fraction in the midst of an epoch that is resumed
