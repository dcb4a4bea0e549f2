"""Where long recordings are cut for transcription: how often inside a word, by our pauses and by others'.

    python benchmarks/transcription_cuts.py --data LABELS --minutes 10 --seeds 0 1 2

Labelled clips are joined to recordings (`joined_recordings`), with pauses between them and without, as they are and
with noise or music all through. `transcription.pieces.cut` cuts each with four ways to find a pause: ours, qwen-asr's
quietest tenth of a second, the longest silence of the aligner's voice activity, and the longest gap that silero-vad
leaves between speech, where it is installed (`pip install silero-vad`; its weights are in the package). A cut inside a
word loses that word.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from alignment_clips import LabelledClip, labelled_clips
from alignment_figures import table
from joined_recordings import RATE, make_long, music, noise

from transformers_qwen3_asr.alignment.untranscribed import FRAME
from transformers_qwen3_asr.alignment.voice_activity import heard_in
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.formats import read_labels
from transformers_qwen3_asr.transcription.pieces import cut, pause

#: name -> what finds a pause in samples at a rate
Finders = Mapping[str, Callable[[np.ndarray, int], int]]
#: name -> least and most seconds between clips; "none" leaves what silence they have themselves
PAUSES = {"0.2 to 3 s": (0.2, 3.0), "none": (0.0, 0.0)}
#: name -> what is heard all through
SOUNDS = {"nothing": None, "noise": noise, "music": music}
HEADINGS = ["pauses", "besides", "cut by", "cuts", "inside a word", "over 50 ms inside", "ms to the nearest word"]


def quietest(samples: np.ndarray, rate: int) -> int:
    """qwen-asr's way: the quietest sample of the quietest tenth of a second."""
    size = rate // 10
    levels = np.abs(samples, dtype=np.float64)
    sums = np.append(0.0, levels.cumsum())
    first = int(np.argmin(sums[size:] - sums[:-size]))
    return max(1, first + int(np.argmin(levels[first : first + size])))


def longest_silence(samples: np.ndarray, rate: int) -> int:
    """The middle of the longest silence that `alignment.voice_activity` finds."""
    silent = heard_in(samples, rate).silence.astype(bool)
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False)) * round(FRAME * rate)
    return _middle(zip(edges[::2], edges[1::2], strict=True), samples, rate)


def silero() -> Callable[[np.ndarray, int], int]:
    """The middle of the longest gap between speech, by silero-vad as it ships."""
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad()

    def find(samples: np.ndarray, rate: int) -> int:
        speech = get_speech_timestamps(torch.from_numpy(samples), model, sampling_rate=rate, speech_pad_ms=0)
        edges = [0, *(place for part in speech for place in (part["start"], part["end"])), len(samples)]
        return _middle(zip(edges[::2], edges[1::2], strict=True), samples, rate)

    return find


def _middle(gaps: Iterable[tuple[int, int]], samples: np.ndarray, rate: int) -> int:
    """The middle of the longest gap, or where there is none qwen-asr's place."""
    first, past = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
    return max(1, int(first + past) // 2) if past > first else quietest(samples, rate)


def finders() -> dict[str, Callable[[np.ndarray, int], int]]:
    """All that can be compared here."""
    found = {"ours": pause, "qwen-asr": quietest, "voice activity": longest_silence}
    return found | ({"silero-vad": silero()} if find_spec("silero_vad") else {})


def depths(cuts: Sequence[float], words: np.ndarray) -> np.ndarray:
    """How deep in a word each cut is, `(cuts,)` in the unit of both: negative is the distance to the nearest word.
    `words` `(words, 2)` are starts and ends."""
    at = np.asarray(cuts)[:, None]
    return np.minimum(at - words[:, 0], words[:, 1] - at).max(1)


def measured(
    clips: Sequence[LabelledClip], ways: Finders, minutes: float, seeds: Sequence[int], seconds: float, decibels: float
) -> Iterator[list[str]]:
    """A row of the table for each sort of recording and way to cut it."""
    for between, pauses in PAUSES.items():
        for besides, sound in SOUNDS.items():
            found = {name: [] for name in ways}
            for seed in seeds:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "joined.wav"
                    recording = make_long(clips, path, minutes * 60, seed, pauses)
                    samples = load_audio(path, RATE)
                if sound is not None:
                    samples = under(samples, sound(np.random.default_rng(seed), len(samples)), decibels)
                for name, way in ways.items():
                    pieces = list(cut(samples, RATE, seconds, way))
                    ends = [1000 * later.start for _, later in pairwise(pieces)]
                    found[name].extend(depths(ends, recording.reference))
            for name, values in found.items():
                deep = np.array(values)
                inside, far = (f"{(deep > least).mean():.1%}" for least in (0, 50))
                apart = f"{np.median(-deep.clip(max=0)):.0f}"
                yield [between, besides, name, str(len(deep)), inside, far, apart]


def under(samples: np.ndarray, sound: np.ndarray, decibels: float) -> np.ndarray:
    """`samples` with `sound` so many decibels below the louder half of their tenths of a second, both `(samples,)`."""
    power = np.square(samples[: len(samples) // 1600 * 1600].astype(np.float64)).reshape(-1, 1600).mean(1)
    loud = power[power >= np.median(power)].mean()
    gain = np.sqrt(loud / np.square(sound).mean() / 10 ** (decibels / 10))
    return (samples + gain * sound).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a label file, as qwen3-asr evaluate takes it")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of a piece")
    parser.add_argument("--decibels", type=float, default=10.0, help="of noise and music below speech")
    args = parser.parse_args()
    clips = labelled_clips(read_labels(args.data))
    rows = list(measured(clips, finders(), args.minutes, args.seeds, args.seconds, args.decibels))
    print(table(HEADINGS, rows))


if __name__ == "__main__":
    main()
