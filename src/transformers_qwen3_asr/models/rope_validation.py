"""Strict checks of RoPE parameters.

transformers v5 logs a wrong RoPE configuration (unknown type, factor below 1, wrong list lengths) or fails with a
KeyError, and goes on with numbers that nobody asked for. Here each of them is a `ValueError` that names the key.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

#: Keys of multimodal RoPE. For audio and text its three axes are equal, so they change nothing; they are kept.
MROPE_KEYS = ("mrope_section", "interleaved", "mrope_interleaved")

_ALWAYS = {"rope_type", "rope_theta", *MROPE_KEYS}
#: type -> (required keys, optional keys)
ROPE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "default": (set(), set()),
    "linear": ({"factor"}, set()),
    "dynamic": ({"factor"}, {"original_max_position_embeddings"}),
    "yarn": (
        {"factor", "original_max_position_embeddings"},
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    ),
    "longrope": (
        {"short_factor", "long_factor", "original_max_position_embeddings"},
        {"factor", "attention_factor"},
    ),
    "llama3": ({"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}, set()),
}


#: Above any that is used, and far below where single precision ends.
_MOST = 1e12


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and value <= _MOST


def _count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _factors(value: Any, half_dim: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == half_dim and all(_number(x) and x > 0 for x in value)


def validate_rope_parameters(
    parameters: dict[str, Any], *, head_dim: int, max_position_embeddings: int, where: str = "rope_parameters"
) -> None:
    """Check standardized RoPE parameters (`rope_type`, `rope_theta` and the type's own keys).

    Raises `ValueError` naming the key for an unknown type, a missing or unknown key, a factor below 1, factor lists
    whose length is not half the head dimension, and values of a wrong kind.
    """
    rope_type = parameters.get("rope_type")
    if not isinstance(rope_type, str) or rope_type not in ROPE_KEYS:
        raise ValueError(f"{where}: rope_type {rope_type!r} is unknown; it is one of {', '.join(ROPE_KEYS)}")
    required, optional = ROPE_KEYS[rope_type]

    for key in sorted(required):
        if parameters.get(key) is None:
            raise ValueError(f"{where}: rope_type {rope_type!r} needs {key!r}")
    for key in parameters:
        if key not in _ALWAYS | required | optional:
            raise ValueError(f"{where}: {key!r} has no meaning for rope_type {rope_type!r}")

    half_dim = head_dim // 2
    original = parameters.get("original_max_position_embeddings")
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "rope_theta": (lambda v: _number(v) and v >= 1, "a number from 1 to 1e12"),
        "factor": (lambda v: _number(v) and v >= 1, "a number of at least 1"),
        "original_max_position_embeddings": (_count, "a positive integer"),
        "attention_factor": (lambda v: _number(v) and v > 0, "a number above 0"),
        "beta_fast": (lambda v: _number(v) and v > 0, "a number above 0"),
        "beta_slow": (lambda v: _number(v) and v > 0, "a number above 0"),
        "mscale": (lambda v: _number(v) and v > 0, "a number above 0"),
        "mscale_all_dim": (lambda v: _number(v) and v >= 0, "a number of at least 0"),
        **dict.fromkeys(
            ("truncate", "interleaved", "mrope_interleaved"), (lambda v: isinstance(v, bool), "true or false")
        ),
        "low_freq_factor": (lambda v: _number(v) and v > 0, "a number above 0"),
        "high_freq_factor": (lambda v: _number(v) and v > 0, "a number above 0"),
        "short_factor": (lambda v: _factors(v, half_dim), f"{half_dim} positive numbers (half of head_dim)"),
        "long_factor": (lambda v: _factors(v, half_dim), f"{half_dim} positive numbers (half of head_dim)"),
        "mrope_section": (
            lambda v: (
                isinstance(v, (list, tuple)) and len(v) == 3 and all(_count(n, 0) for n in v) and sum(v) == half_dim
            ),
            f"three counts that add up to {half_dim} (half of head_dim)",
        ),
    }
    for key, (holds, wanted) in checks.items():
        value = parameters.get(key)
        if value is not None and not holds(value):
            raise ValueError(f"{where}: {key!r} must be {wanted}, got {value!r}")

    if rope_type == "llama3":
        if parameters["high_freq_factor"] <= parameters["low_freq_factor"]:
            raise ValueError(f"{where}: 'high_freq_factor' must be above 'low_freq_factor'")
        if original >= max_position_embeddings:
            raise ValueError(
                f"{where}: 'original_max_position_embeddings' ({original}) must be below max_position_embeddings "
                f"({max_position_embeddings})"
            )
    if rope_type == "dynamic" and original not in (None, max_position_embeddings):
        raise ValueError(
            f"{where}: dynamic RoPE is computed from max_position_embeddings ({max_position_embeddings}); "
            f"'original_max_position_embeddings' ({original}) must be left out or equal to it"
        )
    if rope_type == "yarn" and (parameters.get("beta_fast") or 32) < (parameters.get("beta_slow") or 1):
        raise ValueError(f"{where}: 'beta_fast' must not be below 'beta_slow'")


def mrope_section(head_dim: int) -> list[int]:
    """How the published checkpoints divide half of the head dimension among the three axes: 24, 20, 20 of 64."""
    half_dim = head_dim // 2
    side = half_dim * 20 // 64
    return [half_dim - 2 * side, side, side]
