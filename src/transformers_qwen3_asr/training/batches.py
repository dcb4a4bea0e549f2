"""Batches that hold about equally many tokens, of rows of about equal length."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ..formats import audio_duration
from ..labels.checking import entries_of
from ..models.configuration_qwen3_asr import audio_token_lengths
from ..text.words import split_words, word_texts
from .augmentation import Augmentation, RowSize
from .labels import check_kind
from .randomness import BATCHES, generator, row_key

_SPARE = 0.02  # batches that an epoch may have more than the fewest possible, so that rows meet others in each


def row_sizes(rows: Sequence[Mapping[str, Any]], processor) -> list[RowSize]:
    """
    What each row takes up: seconds, and tokens of its prompt with all slots and without the audio's.

    Seconds are the row's "duration" where it has one, else what its recording says of itself, which is not decoded.
    Raises `ValueError`, naming the row, for recordings that cannot be read, and rows without words or with one that
    holds no letter and no number.
    """
    sizes = []
    for i, row in enumerate(rows):
        check_kind(row, i)
        name = f"row {row['id']!r}" if row.get("id") is not None else f"row {i}"
        try:
            labels = entries_of(row.get("words")) or []
            seconds = float(row["duration"]) if row.get("duration") is not None else audio_duration(row.get("audio"))
            words = word_texts(split_words([label.text for label in labels]))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: {error}") from error
        if not labels:
            raise ValueError(f"{name} holds no words")
        prompt = processor.slot_prompt(words)
        # the audio stands there as one token
        sizes.append(RowSize(seconds, len(processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]) - 1))
    return sizes


def row_tokens(
    rows: Sequence[Mapping[str, Any]],
    sizes: Sequence[RowSize],
    processor,
    augmentation: Augmentation | None = None,
) -> list[int]:
    """
    Tokens of each row's prompt, audio and text together: the most that it has, in whatever epoch.

    With `augmentation` they are those of the longest clip that it may make of the row. A recording that is a little
    longer than it says has a token to spare.
    """
    extractor = processor.feature_extractor
    tokens = []
    for row, size in zip(rows, sizes, strict=True):
        seconds, text = size if augmentation is None else augmentation.bound(size, row_key(row))
        samples = max(math.ceil(seconds * extractor.sampling_rate), extractor.min_length)
        frames = math.ceil(samples / extractor.hop_length)
        tokens.append(audio_token_lengths(frames, extractor.n_window) + 1 + text)
    return tokens


class TokenBudgetBatchSampler(torch.utils.data.Sampler[list[int]]):
    """
    Batches of rows of similar length, each of at most `budget` tokens with its padding.

    A batch takes up its rows times its longest row. Rows are put in order of their length, blurred a little by a draw
    anew in each epoch, cut into batches, and the batches shuffled. Each row comes once an epoch, the number of batches
    is the same in every epoch and a multiple of `processes`, and `seed` and the epoch alone decide an epoch's batches:
    accelerate deals them to the processes and skips the first ones on resuming, as with any batch sampler.

        loader = DataLoader(rows, batch_sampler=TokenBudgetBatchSampler(tokens, 8000), collate_fn=collator)

    Args:
        tokens: of each row, as `row_tokens` gives them.
        budget: tokens of a batch, padding included.
        seed: of the draws.
        processes: among how many the batches will be dealt out.
        names: what messages call the rows; default: their numbers.
        blur: how much longer or shorter than it is a row may be taken for, as a share, when rows are put in order.

    Raises `ValueError` for a row that is over the budget alone, naming it; and for numbers that do not fit.
    """

    batch_size = None  # says to accelerate that batches differ in size
    drop_last = False

    def __init__(
        self,
        tokens: Sequence[int],
        budget: int,
        seed: int = 0,
        processes: int = 1,
        names: Sequence[str] | None = None,
        blur: float = 0.1,
    ):
        if len(tokens) == 0:
            raise ValueError("there are no rows to make batches of")
        if processes < 1:
            raise ValueError(f"processes must be at least 1, not {processes!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed!r}")
        if not 0 <= blur < 1:
            raise ValueError(f"blur must be at least 0 and below 1, not {blur!r}")
        if names is not None and len(names) != len(tokens):
            raise ValueError(f"there are {len(names)} names for {len(tokens)} rows")
        self.tokens = [int(n) for n in tokens]
        over = [i for i, n in enumerate(self.tokens) if n > budget]
        if over:
            named = ", ".join(f"{i if names is None else names[i]} ({self.tokens[i]})" for i in over[:10])
            more = f" and {len(over) - 10} more" if len(over) > 10 else ""
            raise ValueError(f"the budget of {budget} tokens a batch is less than a row has: {named}{more}")
        self.budget, self.seed, self.processes, self.blur = budget, seed, processes, blur
        self.epoch = 0
        fewest = len(self._packed(sorted(range(len(tokens)), key=lambda i: -self.tokens[i])))
        wanted = min(math.ceil(fewest * (1 + _SPARE)), len(tokens))
        self._length = math.ceil(wanted / processes) * processes

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's batches come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches(self.epoch))

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch, in their order, as lists of row numbers."""
        random = generator(self.seed, BATCHES, epoch)
        blur = self.blur
        while True:
            factors = random.uniform(1 - blur, 1 + blur, len(self.tokens))
            lengths = [n * factor for n, factor in zip(self.tokens, factors)]
            found = self._packed(sorted(range(len(lengths)), key=lambda i: -lengths[i]))
            if len(found) <= self._length:
                break
            # too blurred for so few batches; without any blur they are enough
            blur = blur / 2 if blur > 0.005 else 0.0
        self._split(found)
        random.shuffle(found)
        for batch in found:
            random.shuffle(batch)
        # fewer rows than processes can be given: some batches come twice
        return found + [list(found[i % len(found)]) for i in range(self._length - len(found))]

    def padding_share(self, epoch: int | None = None) -> float:
        """The share of padding in an epoch's batches (default: the current one's), of all their tokens."""
        batches = self.batches(self.epoch if epoch is None else epoch)
        room = sum(len(batch) * max(self.tokens[i] for i in batch) for batch in batches)
        return 1 - sum(self.tokens[i] for batch in batches for i in batch) / room

    def _packed(self, order: list[int]) -> list[list[int]]:
        """`order` cut into batches within the budget."""
        batches: list[list[int]] = []
        longest = 0
        for i in order:
            longest = max(longest, self.tokens[i])
            if not batches or (len(batches[-1]) + 1) * longest > self.budget:
                batches.append([])
                longest = self.tokens[i]
            batches[-1].append(i)
        return batches

    def _split(self, batches: list[list[int]]) -> None:
        """Halves the largest batches, in place, until there are as many as in every epoch."""
        while len(batches) < self._length:
            largest = max(range(len(batches)), key=lambda k: len(batches[k]))
            batch = batches[largest]
            if len(batch) == 1:
                return
            batches[largest] = batch[: len(batch) // 2]
            batches.append(batch[len(batch) // 2 :])
