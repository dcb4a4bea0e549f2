"""The name of the cache of keys and values, and the only place that knows that it has had two.

transformers 5.24 calls `cache` what was `past_key_values` before, and takes the old name until 5.40. Forward passes
here take both with every version, and hand on the one that the installed version knows.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast

#: Every name that a cache has had, the newest first.
CACHE_NAMES = ("cache", "past_key_values")
#: The name in the forward passes and outputs of the installed transformers.
CACHE_NAME = next(name for name in CACHE_NAMES if name in {field.name for field in fields(BaseModelOutputWithPast)})


def one_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """The cache out of both names of it. `ValueError` where both are given."""
    if cache is not None and past_key_values is not None:
        raise ValueError("give cache or its older name past_key_values, not both")
    return past_key_values if cache is None else cache


def named_cache(cache: Cache | None) -> dict[str, Any]:
    """`cache` as the keyword argument of the installed transformers, for its forward passes and its outputs."""
    return {CACHE_NAME: cache}


def cache_of(output) -> Cache | None:
    """The cache in a model's output."""
    return getattr(output, CACHE_NAME)
