"""The recordings that the goldens were computed from: two kept as FLAC, the others made from a seed.

`make_goldens.py` (under qwen-asr) and the tests (under this package) both take them from here, so that both hear the
same samples. The made ones use integer arithmetic on numpy's legacy generator only, whose stream numpy promises not to
change.
"""

from pathlib import Path

import numpy as np

SAMPLING_RATE = 16_000
FOLDER = Path(__file__).resolve().parent / "clips"


def synthetic_clip(seed: int, samples: int) -> np.ndarray:
    """Bursts of coloured noise and square tones between silences, as float32 in [-1, 1), `samples` long at 16 kHz.

    Not speech, but a signal whose spectrum changes every tenth of a second or so; the same bits everywhere.
    """
    random = np.random.RandomState(seed)
    pieces, made = [], 0
    while made < samples:
        length = int(random.randint(800, 4000))
        kind = random.randint(0, 4)
        if kind == 0:  # near silence
            piece = random.randint(-20, 21, length)
        elif kind == 1:  # white noise
            piece = random.randint(-3000, 3001, length)
        elif kind == 2:  # low noise: a moving sum of sixteen samples
            piece = np.convolve(random.randint(-700, 701, length + 15), np.ones(16, dtype=np.int64), "valid")
        else:  # a square tone with a little noise
            half_period = int(random.randint(12, 90))
            piece = 4000 * (1 - 2 * ((np.arange(length) // half_period) % 2)) + random.randint(-100, 101, length)
        pieces.append(piece)
        made += length
    return (np.concatenate(pieces)[:samples] / 32768).astype(np.float32)


def load_clip(name: str) -> np.ndarray | str:
    """A clip of expected.json: `made:SEED:SAMPLES` as an array, any other name as the path of the file in clips/."""
    if name.startswith("made:"):
        _, seed, samples = name.split(":")
        return synthetic_clip(int(seed), int(samples))
    return str(FOLDER / name)
