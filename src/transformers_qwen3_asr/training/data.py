"""The rows of a run: read, measured against the model's limits, augmented, put into batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from ..formats import audio_duration, read_labels
from ..labels.rows import LabelProblem
from .augmentation import Augmentation, Gain, RowSize, Silence, Speed
from .batches import TokenBudgetBatchSampler, row_sizes, row_tokens
from .collator import SlotCollator
from .mixing import Concatenation, Noise
from .randomness import BATCHES, generator
from .settings import FineTuningSettings, option
from .transcription_collator import TranscriptionCollator, transcription_sizes

_SHOWN = 10
JOIN_SECONDS = 30.0


class RowDataset(Dataset):
    """A list of rows as a map-style dataset; nothing is decoded here."""

    def __init__(self, rows: Sequence[dict[str, Any]]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


class ShuffledBatchSampler(torch.utils.data.Sampler[list[int]]):
    """
    Batches of `batch_size` rows, shuffled anew in each epoch by `seed` and the epoch alone.

    As [`TokenBudgetBatchSampler`] it gives each process as many batches, and says to accelerate that they may differ
    in size. Where rows are too few for that, the first ones come twice in an epoch.
    """

    batch_size = None
    drop_last = False

    def __init__(self, rows: int, batch_size: int, seed: int = 0, processes: int = 1):
        self.rows, self.size, self.seed, self.processes = rows, batch_size, seed, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's batches come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(math.ceil(self.rows / self.size) / self.processes) * self.processes

    def __iter__(self) -> Iterator[list[int]]:
        order = generator(self.seed, BATCHES, self.epoch).permutation(self.rows).tolist()
        batches = [order[i : i + self.size] for i in range(0, self.rows, self.size)]
        yield from (batches[i % len(batches)] for i in range(len(self)))


def read_rows(
    settings: FineTuningSettings, name: str, aligner: bool, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """
    The checked rows of the label files of `settings.train` or `settings.eval`; a line about them goes to `tell`.

    An ASR model's rows need a transcript and no times. Raises `ValueError`, naming file and line of each bad row
    unless `settings.on_bad_row` is "skip", and where no row is left.
    """
    source = getattr(settings, name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* are left out", category=UserWarning)  # told below
        try:
            rows = read_labels(
                source,
                format=settings.format,
                audio=settings.audio,
                language=settings.language,
                on_error="skip" if settings.on_bad_row == "skip" else "raise",
                require_words=aligner,
                share_times=settings.share_times,
                tier=settings.tier,
            )
        except ValueError as error:
            raise ValueError(f"{option(name)}: {error}") from error
    if not rows:
        raise ValueError(f"{option(name)}: no usable row is left; {rows.summary()}")
    tell(f"{option(name)}: {rows.summary()}")
    for problem in rows.problems[:_SHOWN]:
        tell(f"  left out: {problem}")
    if len(rows.problems) > _SHOWN:
        tell(f"  and {len(rows.problems) - _SHOWN} more problems")
    return list(rows)


def measured(
    rows: list[dict[str, Any]], settings: FineTuningSettings, name: str, config, processor, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[RowSize]]:
    """
    The rows that the model can take, and what each takes up.

    A row whose recording is longer than an aligner's classes reach, or that has more tokens than the model has
    positions, is an error that names it, or left out with a line to `tell`, as `settings.on_bad_row` says.
    """
    aligner = config.num_labels is not None
    sizes = row_sizes(rows, processor) if aligner else transcription_sizes(rows, processor)
    positions = config.thinker_config.text_config.max_position_embeddings
    reach = reach_seconds(config)
    problems, kept = [], []
    for i, (row, size, tokens) in enumerate(zip(rows, sizes, row_tokens(rows, sizes, processor))):
        if size.seconds > reach:
            reason = (
                f"the recording is {size.seconds:.2f} s long, and the model's {config.num_labels} time classes of "
                f"{config.timestamp_segment_time:g} ms reach {reach:g} s"
            )
        elif tokens > positions:
            reason = f"it is {tokens} tokens long with its audio, and the model has {positions} positions"
        else:
            kept.append(i)
            continue
        problems.append(LabelProblem(str(row.get("id", i)), reason))
    if problems:
        shown = [str(problem) for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        message = f"{option(name)}: {len(problems)} of {len(rows)} rows are over the model's limit"
        if settings.on_bad_row != "skip" or not kept:
            raise ValueError("\n  ".join([f"{message}:", *shown]))
        tell("\n  ".join([f"{message} and left out:", *shown]))
    return [rows[i] for i in kept], [sizes[i] for i in kept]


def reach_seconds(config) -> float:
    """Seconds that an aligner's classes reach; an ASR model has none."""
    if config.num_labels is None:
        return math.inf
    return config.num_labels * config.timestamp_segment_time / 1000


def make_augmentation(settings: FineTuningSettings, rows, sizes: Sequence[RowSize], config) -> Augmentation | None:
    """The steps that the settings ask for, each done to its share of the rows; `None` for none."""
    steps: list[Any] = []
    if settings.join:
        limit = min(settings.join_seconds or JOIN_SECONDS, reach_seconds(config))
        steps.append(Concatenation(rows, sizes, limit, probability=settings.join, seed=settings.seed))
    if settings.speed:
        steps.append(Speed(probability=settings.speed))
    if settings.silence:
        steps.append(Silence(probability=settings.silence))
    if settings.gain:
        steps.append(Gain(probability=settings.gain))
    for path in settings.noise_recordings:
        try:
            audio_duration(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"--noise-recordings {path}: {error}") from error
    if settings.noise:
        steps.append(Noise(recordings=settings.noise_recordings, probability=settings.noise))
    return Augmentation(steps, reach_seconds(config)) if steps else None


def make_collators(settings: FineTuningSettings, processor, config, augmentation: Augmentation | None):
    """The collators for training and for evaluation, which neither augments nor leaves slots out."""
    if config.num_labels is None:
        positions = config.thinker_config.text_config.max_position_embeddings
        plain = TranscriptionCollator(processor, max_length=positions, row_names=True)
        return (
            TranscriptionCollator(
                processor, max_length=positions, row_names=True, augmentation=augmentation, seed=settings.seed
            ),
            plain,
        )
    collator = SlotCollator(
        processor,
        timestamp_segment_time=config.timestamp_segment_time,
        classify_num=config.num_labels,
        slot_sample_share=settings.slot_sample_share or 0.0,
        slot_word_share=0.5 if settings.slot_word_share is None else settings.slot_word_share,
        augmentation=augmentation,
        seed=settings.seed,
        row_names=True,
    )
    return collator, collator.for_evaluation()


def make_batches(settings: FineTuningSettings, rows, sizes, processor, augmentation, processes: int):
    """The batch sampler for training. `ValueError`, naming the row, where one alone is over the token budget."""
    if settings.token_budget is None:
        return ShuffledBatchSampler(len(rows), settings.per_device_train_batch_size or 8, settings.seed, processes)
    tokens = row_tokens(rows, sizes, processor, augmentation)
    names = [str(row.get("id", i)) for i, row in enumerate(rows)]
    try:
        return TokenBudgetBatchSampler(tokens, settings.token_budget, settings.seed, processes, names)
    except ValueError as error:
        raise ValueError(f"--token-budget: {error}") from error
