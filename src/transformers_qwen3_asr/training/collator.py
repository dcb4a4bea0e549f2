"""Rows of labelled speech into the aligner's training batches."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..audio.decoding import load_audio
from ..labels.checking import entries_of
from ..models.configuration_qwen3_asr import audio_token_lengths
from ..text.words import split_words, word_texts
from .augmentation import Augmentation, Clip
from .labels import IGNORED, check_kind, slot_classes
from .randomness import AUGMENTATION, SLOTS, Epoch, generator, row_key


class SlotCollator:
    """
    `Trainer`'s `data_collator` for a forced aligner: model inputs with `labels` at the slots.

    A row is `{"audio", "words": [{"text", "start", "end"}, …], "language"}`. "audio" is whatever
    [`~transformers_qwen3_asr.audio.load_audio`] takes (a path, an array with its rate, a `datasets` row, …), times are
    seconds from its beginning, "language" may be missing. Instead of "audio" a row may hold "input_features",
    precomputed by the processor's feature extractor, `(mel, frames)`. "id" names the row in messages; other keys are
    not looked at. Give `TrainingArguments` the option `remove_unused_columns=False`, or these columns never arrive
    here.

    Words are cleaned as in alignment (punctuation goes); a word that the aligner would cut in several, such as a
    Chinese phrase, must come as several words, because each has its own slots.

    With `slot_sample_share` above 0 some words have no slots (dynamic slot insertion: Qwen3-ASR report, section 3.3,
    with a share of 0.5 for both), so that the model learns to be asked for any subset of the words. Words without
    slots stay in the prompt, written as [`~transformers_qwen3_asr.processing.processing_alignment.written_gap`] says.

    Which words have slots, and what an augmentation does, is drawn from the seed, the epoch and the row's "id" alone:
    other batches, more processes or a resumed training change nothing. The epoch is what `set_epoch` was told last
    ([`~transformers_qwen3_asr.training.EpochCallback`] does it under `Trainer`). `Trainer` has one collator for
    training and evaluation; evaluate with that of `for_evaluation`.

    Args:
        processor ([`Qwen3ASRProcessor`]): the model's.
        timestamp_segment_time (`float`, *optional*): milliseconds a class; default: the processor's.
        classify_num (`int`): classes of the model (`config.num_labels`).
        slots_only (`bool`, defaults to `True`): adds `logits_to_keep`, so that the head runs at the slots alone.
        padding_side (`str`, defaults to `"right"`): where tokens are padded.
        slot_sample_share (`float`, defaults to 0): probability that only some of a row's words get slots.
        slot_word_share (`float`, defaults to 0.5): the share of such a row's words that do, at least one.
        augmentation ([`~transformers_qwen3_asr.training.Augmentation`], *optional*): changes recordings and times.
        seed (`int`, defaults to 0): of all that is drawn.
        row_names (`bool`, defaults to `False`): adds "row_names", a list of what messages call the rows.
    """

    def __init__(
        self,
        processor,
        timestamp_segment_time: float | None = None,
        classify_num: int | None = None,
        slots_only: bool = True,
        padding_side: str = "right",
        slot_sample_share: float = 0.0,
        slot_word_share: float = 0.5,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        row_names: bool = False,
    ):
        if classify_num is None or classify_num < 2:
            raise ValueError(
                f"classify_num must be the model's number of classes, config.num_labels, not {classify_num!r}"
            )
        if processor.timestamp_token_id is None:
            raise ValueError("the processor's tokenizer does not know <timestamp>: call add_timestamp_token() first")
        if not 0 <= slot_sample_share <= 1:
            raise ValueError(f"slot_sample_share must be between 0 and 1, not {slot_sample_share!r}")
        if not 0 < slot_word_share <= 1:
            raise ValueError(f"slot_word_share must be above 0 and at most 1, not {slot_word_share!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed!r}")
        self.processor = processor
        self.timestamp_segment_time = timestamp_segment_time or processor.timestamp_segment_time
        self.classify_num = classify_num
        self.slots_only = slots_only
        self.padding_side = padding_side
        self.slot_sample_share = slot_sample_share
        self.slot_word_share = slot_word_share
        self.augmentation = augmentation
        self.seed = seed
        self.row_names = row_names
        self._epoch = Epoch()

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the rows that come next belong to; reaches the data loader's workers too."""
        self._epoch.set(epoch)

    def for_evaluation(self) -> "SlotCollator":
        """This collator without what training adds: every word has slots, and recordings stay as they are."""
        plain = copy.copy(self)
        plain.slot_sample_share, plain.augmentation, plain._epoch = 0.0, None, Epoch()
        return plain

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Returns `input_ids`, `attention_mask`, `labels` `(batch, length)` (-100 off the slots), `input_features`
        `(batch, mel, frames)`, `input_features_mask` `(batch, frames)` and, with `slots_only`, `logits_to_keep`; with
        `row_names` also "row_names".

        Raises `ValueError`, naming the row (its place in the batch, and its "id" where it has one) and the word: for
        rows without audio or words, with an empty "text", with NaN in the audio, for recordings that are longer than
        the classes reach, and for times that `slot_classes` refuses.
        """
        features, word_lists, marks, names = [], [], [], []
        classes: list[int] = []  # of all rows, one behind the other
        for i, row in enumerate(rows):
            check_kind(row, i)
            name = f"{i} (id {row['id']!r})" if row.get("id") is not None else str(i)
            feature, seconds, words, texts, row_name = self._example(row, name)
            slotted = self._slotted(row, len(words))
            times = slot_classes(words, self.timestamp_segment_time, self.classify_num, seconds, name)
            features.append(feature)
            word_lists.append(texts)
            marks.append(slotted)
            names.append(row_name)
            classes.extend(
                times if slotted is None else [times[2 * k + j] for k in np.flatnonzero(slotted) for j in (0, 1)]
            )

        extractor = self.processor.feature_extractor
        lengths = [feature.shape[-1] for feature in features]
        batch: dict[str, Any] = dict(
            self.processor.tokenize_slots(
                word_lists, [audio_token_lengths(n, extractor.n_window) for n in lengths], self.padding_side, marks
            )
        )
        labels = torch.full_like(batch["input_ids"], IGNORED)
        labels[batch["input_ids"] == self.processor.timestamp_token_id] = torch.tensor(classes)
        batch["labels"] = labels
        batch["input_features"] = features[0].new_zeros(len(rows), features[0].shape[0], max(lengths))
        batch["input_features_mask"] = torch.zeros(len(rows), max(lengths), dtype=torch.long)
        for i, feature in enumerate(features):
            batch["input_features"][i, :, : lengths[i]] = feature
            batch["input_features_mask"][i, : lengths[i]] = 1
        if self.slots_only:
            batch["logits_to_keep"] = labels != IGNORED
        if self.row_names:
            batch["row_names"] = names
        return batch

    def _example(self, row: Mapping[str, Any], name: str):
        """A row's features `(mel, frames)`, its seconds, its words with times and their texts, and its name."""
        extractor = self.processor.feature_extractor
        if (row.get("audio") is None) == (row.get("input_features") is None):
            raise ValueError(f"row {name} must hold exactly one of audio and input_features")
        text = row.get("text")
        if isinstance(text, str) and not text.strip():
            raise ValueError(f"row {name}: its text is empty")
        try:
            labels = entries_of(row.get("words"))
        except ValueError as error:
            raise ValueError(f"row {name}: {error}") from error
        if not labels:
            raise ValueError(f"row {name} holds no words")
        words = [{"text": label.text, "start": label.start, "end": label.end} for label in labels]
        row = {**row, "words": words}
        texts = self._word_texts(words, row.get("language"), name)
        row_name = str(row["id"]) if row.get("id") is not None else f"row {name} of its batch"
        if row.get("input_features") is not None:
            if self.augmentation is not None:
                raise ValueError(f"row {name} holds input_features, which cannot be augmented: give it audio")
            feature = torch.as_tensor(row["input_features"], dtype=torch.float32)
            if feature.ndim != 2 or feature.shape[0] != extractor.feature_size or feature.shape[1] == 0:
                raise ValueError(
                    f"row {name}: input_features have the shape {tuple(feature.shape)}; "
                    f"({extractor.feature_size}, frames) is expected"
                )
            if not bool(torch.isfinite(feature).all()):
                raise ValueError(f"row {name}: input_features hold NaN or infinite numbers")
            seconds = feature.shape[1] * extractor.hop_length / extractor.sampling_rate
            self._check_length(seconds, name)
            return feature, seconds, words, texts, row_name
        rate = extractor.sampling_rate
        try:
            samples = load_audio(row["audio"], rate)
            self._check_length(len(samples) / rate, name)
            if self.augmentation is not None:
                # labels are checked before they are moved, so that messages give the times that the user wrote
                slot_classes(words, self.timestamp_segment_time, self.classify_num, len(samples) / rate, name)
                samples, words, row_name = self._augmented(row, samples, words, row_name)
                texts = self._word_texts(words, row.get("language"), name)
            feature = extractor(samples, sampling_rate=rate)["input_features"][0]
        except ValueError as error:
            message = str(error)
            raise (error if message.startswith(f"row {name}") else ValueError(f"row {name}: {message}")) from error
        return feature, len(samples) / rate, words, texts, row_name

    def _augmented(self, row, samples, words, row_name):
        rate = self.processor.feature_extractor.sampling_rate
        clip = Clip.of_row(row, samples, rate, row_name)
        last = (self.classify_num - 1) * self.timestamp_segment_time / 1000
        random = generator(self.seed, AUGMENTATION, self._epoch.get(), clip.key)
        clip = self.augmentation(clip, random, last)
        return clip.samples, clip.words, clip.name

    def _slotted(self, row: Mapping[str, Any], words: int) -> np.ndarray | None:
        """Which of a row's words have slots; `None` for all."""
        if self.slot_sample_share == 0:
            return None
        random = generator(self.seed, SLOTS, self._epoch.get(), row_key(row))
        if random.random() >= self.slot_sample_share:
            return None
        count = max(1, int(self.slot_word_share * words + 0.5))
        slotted = np.zeros(words, dtype=bool)
        slotted[random.choice(words, count, replace=False)] = True
        return slotted

    def _check_length(self, seconds: float, name: str) -> None:
        limit = self.classify_num * self.timestamp_segment_time / 1000
        if seconds > limit:
            raise ValueError(
                f"row {name}: the recording is {seconds:.2f} s long, and the model's {self.classify_num} time classes "
                f"of {self.timestamp_segment_time:g} ms reach {limit:g} s"
            )

    @staticmethod
    def _word_texts(words, language, name: str) -> list[str]:
        texts = []
        for i, word in enumerate(words):
            text = word["text"]
            # Japanese and Korean are cut by what stands around a word, so that a word by itself may be cut again
            known = text.split() if (language or "").lower() in ("japanese", "korean") else text
            found = word_texts(split_words(known, language)) if known else []
            if len(found) != 1:
                raise ValueError(
                    f"row {name}, word {i} ({word.get('text')!r}) is {len(found)} words to the aligner "
                    f"({', '.join(found) or 'nothing to align'}); give each its own times"
                )
            texts += found
        return texts
