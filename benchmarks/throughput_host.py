"""What the processor does around the model, for throughput.py: from rows to results, with scores that are there.

The model answers what was made beforehand: scores as of speech at the slots. Its time is taken off, and features have
one band and no transform. All else is the package's own: reading, splitting, prompts, decoding, results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from throughput_models import RATE, config_arguments, tokenizer, words
from transformers.modeling_outputs import TokenClassifierOutput

from transformers_qwen3_asr import (
    ForcedAlignmentPipeline,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)

HOST = (
    "| case | CPU ms an audio second | log-softmaxes | refinement adds, CPU ms an audio second | log-softmaxes "
    "| one log-softmax, CPU ms an audio second |"
)
WORDS_A_SECOND = 2.5
SEGMENT_TIME = 80  # milliseconds a class
SIZE = RATE * SEGMENT_TIME // 1000  # samples a class
#: What the class of a slot has above noise of deviation 1, and each class beside it.
PEAK, BESIDE = 14.0, 12.0
#: One slot in so many is sure of a class that is wrong; of one word in so many the end is, where refinement is timed.
WRONG_SLOTS, WRONG_WORDS = 20, 50
#: More than any recording here has classes: what tells its number from a class.
MOST_FRAMES = 2**12


class Speech:
    """A recording of noise that is loud where its words are, with pauses; and what a good aligner would score."""

    def __init__(self, number: int, seconds: float, classes: int):
        self.random = np.random.default_rng(number)
        self.number, self.classes = number, classes
        said = words(max(2, round(WORDS_A_SECOND * seconds)), number).split()
        self.words = said
        # as people write: a mark every few words, which belongs to none
        self.text = " ".join(word + "," * (i % 8 == 7) for i, word in enumerate(said))
        pauses = np.where(np.arange(len(said)) % 8 == 0, self.random.uniform(0.4, 1.2, len(said)), 0.0)
        lasting = self.random.uniform(0.15, 0.5, len(said))
        scale = (seconds - 0.3) / (pauses.sum() + lasting.sum())
        ends = np.cumsum(pauses + lasting) * scale
        self.times = np.stack([ends - lasting * scale, ends], 1)
        at = np.arange(int(seconds * RATE)) / RATE
        inside = np.searchsorted(self.times[:, 0], at, side="right") - 1
        spoken = (inside >= 0) & (at < self.times[inside, 1])
        loudness = np.where(spoken, 0.1, 0.001) * (0.7 + 0.3 * np.sin(at * (2 * np.pi * 4)))
        self.samples = (loudness * self.random.standard_normal(len(at))).astype(np.float32)
        self.right = (self.times.ravel() * 1000 / SEGMENT_TIME).round().astype(int)
        self.within = int(seconds * 1000 / SEGMENT_TIME)

    def wrong(self, places: np.ndarray) -> np.ndarray:
        """Each slot's class, those at `places` anywhere in the recording."""
        found = self.right.copy()
        found[places] = self.random.integers(0, self.within, len(places))
        return found

    def scores(self, peaks: np.ndarray) -> torch.Tensor:
        """Noise `(slots, classes)` with peaks at these classes; those outside are not there."""
        generator = torch.Generator().manual_seed(self.number)
        found = torch.randn(len(peaks), self.classes, generator=generator)
        for beside, height in ((-1, BESIDE), (0, PEAK), (1, BESIDE)):
            columns = peaks + beside
            rows = np.flatnonzero((columns >= 0) & (columns < self.classes))
            found[rows, columns[rows]] += height
        return found


class Features(Qwen3ASRFeatureExtractor):
    """One band without a transform, in which stand the recording's number and the class at which the samples begin."""

    def __init__(self, speeches: list[Speech]):
        super().__init__(feature_size=1)
        self.places = {
            speech.samples[at : at + 4].tobytes(): (speech.number, at // SIZE)
            for speech in speeches
            for at in range(0, len(speech.samples) - 4, SIZE)
        }

    def log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        number, frame = self.places[samples[:4].numpy().tobytes()]
        return torch.tensor([[number * MOST_FRAMES + frame]]).expand(1, len(samples) // self.hop_length)


class Answering(Qwen3ASRForTokenClassification):
    """An aligner that knows its answers. `given` has the scores of whole recordings; those of a part, which is asked
    for again, are right. The time that it takes is in `spent`."""

    def prepared(self, speeches: list[Speech]) -> Answering:
        self.speeches, self.given, self.prompts = speeches, [], [""] * len(speeches)
        self.spent = 0.0
        return self.eval()

    def forward(self, input_ids, input_features, logits_to_keep, **kwargs):
        start = time.process_time()
        logits = torch.cat([self._answer(*row) for row in zip(input_ids, input_features, logits_to_keep)])
        self.spent += time.process_time() - start
        return TokenClassifierOutput(logits=logits)

    def _answer(self, ids: torch.Tensor, features: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        clip, frame = divmod(int(features[0, 0]), MOST_FRAMES)
        said = "".join(map(chr, ids[: int(slots.nonzero()[-1]) + 1].tolist()))
        said = said[said.rindex(chr(self.config.thinker_config.audio_token_id)) + 2 :]
        count, speech = int(slots.sum()), self.speeches[clip]
        if count == len(speech.right):
            self.prompts[clip] = said
            return self.given[clip]
        before = self.prompts[clip][: self.prompts[clip].index(said)].count(chr(self.config.timestamp_token_id))
        return speech.scores(speech.right[before : before + count] - frame)


class Around:
    """One case: recordings in memory, and the pipeline around a model that takes no time."""

    def __init__(self, name: str, seconds: tuple[float, ...]):
        self.name, self.seconds = name, sum(seconds)
        config = Qwen3ASRConfig(**config_arguments(tiny=True))
        self.speeches = [Speech(i, s, config.num_labels) for i, s in enumerate(seconds)]
        self.model = Answering(config).prepared(self.speeches)
        processor = Qwen3ASRProcessor(Features(self.speeches), tokenizer())
        self.pipeline = ForcedAlignmentPipeline(model=self.model, processor=processor, device="cpu")

    def spoil(self, words_only: bool) -> None:
        """Gives the model what it says of whole recordings: one slot in `WRONG_SLOTS`, or the end of one word in
        `WRONG_WORDS`, is wrong."""
        given, self.wrong = [], 0
        for speech in self.speeches:
            count = len(speech.words)
            wrong = np.arange(count // 2 % WRONG_WORDS, count, WRONG_WORDS) * 2 + 1
            if not words_only:
                wrong = speech.random.choice(2 * count, max(1, 2 * count // WRONG_SLOTS), replace=False)
            self.wrong += len(wrong)
            given.append(speech.scores(speech.wrong(wrong)))
        self.model.given = given

    def run(self, refine: bool) -> list:
        if len(self.speeches) == 1:
            (speech,) = self.speeches
            return [self.pipeline(speech.samples, text=speech.text, language="English", refine=refine)]
        return self.pipeline(
            [speech.samples for speech in self.speeches],
            text=[speech.text for speech in self.speeches],
            language=["English"] * len(self.speeches),
            batch_size=len(self.speeches),
            refine=refine,
        )

    def check(self, refine: bool) -> str:
        """`SystemExit` where words are others, or more than two times are off for each slot that is wrong."""
        off, heard = [], 0.0
        for speech, result in zip(self.speeches, self.run(refine), strict=True):
            if [chunk["text"] for chunk in result["chunks"]] != speech.words:
                sys.exit(f"{self.name}: not the same words")
            off.append(np.abs(np.array([chunk["timestamp"] for chunk in result["chunks"]]) - speech.times).ravel())
            heard += result["heard"]
        away = np.concatenate(off) > SEGMENT_TIME / 1000
        said = (
            f"{self.name}: {1 - away.mean():.1%} of the times within a class, {heard / self.seconds:.2f} times heard"
        )
        if away.sum() > 2 * self.wrong or refine != (heard > self.seconds * 1.001):
            sys.exit(said)
        return said

    def taken(self, call: Callable) -> float:
        """Processor seconds of a call, without the model's."""
        self.model.spent = 0.0
        start = time.process_time()
        call()
        return time.process_time() - start - self.model.spent

    def row(self, repeats: int) -> tuple[list[str], str]:
        """What was checked, and the table's row: the least of all repetitions, since others only disturb."""
        calls = {
            "plain": lambda: self.run(False),
            "once": lambda: self.run(False),
            "again": lambda: self.run(True),
            "log-softmax": lambda: [scores.log_softmax(-1) for scores in self.model.given],
        }
        checks, least = [], dict.fromkeys(calls, float("inf"))
        for words_only, names in ((False, ("plain", "log-softmax")), (True, ("once", "again", "log-softmax"))):
            self.spoil(words_only)
            checks += [self.check(name == "again") for name in names[:-1]]
            for _ in range(repeats):
                for name in names:
                    least[name] = min(least[name], self.taken(calls[name]))
        unit = least["log-softmax"]
        cells = [
            f"{1000 * value / self.seconds:.4f} | {value / unit:.1f}"
            for value in (least["plain"], least["again"] - least["once"])
        ]
        return checks, f"| {self.name} | {' | '.join(cells)} | {1000 * unit / self.seconds:.4f} |"
