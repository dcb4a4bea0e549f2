"""Whatever the numbers: arrays of samples, and scores at slots, keep what they promise (hypothesis)."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from transformers_qwen3_asr.alignment.decoding import DECODINGS, decode_slots
from transformers_qwen3_asr.audio import load_audio

# the same cases each time, and no database of earlier ones
BOUNDED = settings(derandomize=True, deadline=None, max_examples=150, database=None)
TYPES = [np.float16, np.float32, np.float64, np.int16, np.int32, np.int64, np.uint8, np.uint64, bool, np.complex64]


@BOUNDED
@given(
    st.sampled_from(TYPES).flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=20))),
    st.sampled_from([None, 8000, 16000, 44100, 1, 0, 2.5, "x", True, float("nan")]),
)
def test_samples_of_any_kind(samples, rate):
    source = samples if rate is None else {"array": samples, "sampling_rate": rate}
    try:
        with np.errstate(all="ignore"):
            loaded = load_audio(source)
    except ValueError as error:
        assert "samples" in str(error)  # noqa: PT017, either end is right
    else:
        assert loaded.dtype == np.float32 and loaded.ndim == 1 and len(loaded)
        assert np.isfinite(loaded).all() and np.abs(loaded).max() <= 1 + 1e-6


ODD = st.one_of(st.floats(-50, 50, width=32), st.sampled_from([0.0, 1e30, -1e30, float("-inf"), 3.0e38]))


@BOUNDED
@given(
    st.integers(1, 6).flatmap(
        lambda words: arrays.arrays(np.float32, st.tuples(st.just(2 * words), st.integers(1, 12)), elements=ODD)
    ),
    st.sampled_from(DECODINGS),
    st.sampled_from([None, 0.05, 0.5, 3.0]),
)
def test_odd_scores(scores, decoding, seconds):
    """Times never fall and stay in the recording, whatever a model says, or the clip is refused."""
    words = len(scores) // 2
    try:
        times, sure = decode_slots(
            torch.from_numpy(scores), words, 80, "clip 3", decoding, seconds, [3.0] * words, probabilities=False
        )
    except ValueError as error:
        assert "clip 3" in str(error)  # noqa: PT017, either end is right
        return
    assert times.shape == (words, 2) and sure.shape == (words,)
    assert np.isfinite(times).all() and (times >= 0).all()
    assert (np.diff(times.reshape(-1)) >= 0).all()
    assert ((sure >= 0) & (sure <= 1)).all()
    if decoding == "joint" and seconds is not None:
        assert times.max() <= seconds + 1e-6


@BOUNDED
@given(st.integers(1, 4), st.integers(1, 9), st.sampled_from([float("nan"), float("inf")]), st.sampled_from(DECODINGS))
def test_scores_that_are_not_finite_are_refused_by_name(words, classes, value, decoding):
    scores = torch.zeros(2 * words, classes)
    scores[words, classes - 1] = value
    with pytest.raises(ValueError, match="clip 3"):
        decode_slots(scores, words, 80, "clip 3", decoding, probabilities=False)
