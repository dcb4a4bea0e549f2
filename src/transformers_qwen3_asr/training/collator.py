"""Rows of labelled speech into the aligner's training batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..alignment.words import split_words, word_texts
from ..audio import load_audio
from ..configuration_qwen3_asr import audio_token_lengths
from .labels import IGNORED, slot_classes


class SlotCollator:
    """
    `Trainer`'s `data_collator` for a forced aligner: model inputs with `labels` at the slots.

    A row is `{"audio", "words": [{"text", "start", "end"}, …], "language"}`. "audio" is whatever
    [`~transformers_qwen3_asr.audio.load_audio`] takes (a path, an array with its rate, a `datasets` row, …), times are
    seconds from its beginning, "language" may be missing. Instead of "audio" a row may hold "input_features",
    precomputed by the processor's feature extractor, `(mel, frames)`. Other keys are not looked at. Give
    `TrainingArguments` the option `remove_unused_columns=False`, or these columns never arrive here.

    Words are cleaned as in alignment (punctuation goes); a word that the aligner would cut in several, such as a
    Chinese phrase, must come as several words, because each has its own slots.

    Args:
        processor ([`Qwen3ASRProcessor`]): the model's.
        timestamp_segment_time (`float`, *optional*): milliseconds a class; default: the processor's.
        classify_num (`int`): classes of the model (`config.num_labels`).
        slots_only (`bool`, defaults to `True`): adds `logits_to_keep`, so that the head runs at the slots alone.
        padding_side (`str`, defaults to `"right"`): where tokens are padded.
    """

    def __init__(
        self,
        processor,
        timestamp_segment_time: float | None = None,
        classify_num: int | None = None,
        slots_only: bool = True,
        padding_side: str = "right",
    ):
        if classify_num is None or classify_num < 2:
            raise ValueError(
                f"classify_num must be the model's number of classes, config.num_labels, not {classify_num!r}"
            )
        if processor.timestamp_token_id is None:
            raise ValueError("the processor's tokenizer does not know <timestamp>: call add_timestamp_token() first")
        self.processor = processor
        self.timestamp_segment_time = timestamp_segment_time or processor.timestamp_segment_time
        self.classify_num = classify_num
        self.slots_only = slots_only
        self.padding_side = padding_side

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """
        Returns `input_ids`, `attention_mask`, `labels` `(batch, length)` (-100 off the slots), `input_features`
        `(batch, mel, frames)`, `input_features_mask` `(batch, frames)` and, with `slots_only`, `logits_to_keep`.

        Raises `ValueError`, naming the row (its place in the batch, and its "id" where it has one) and the word, for
        rows without audio or words, and for times that `slot_classes` refuses.
        """
        features, word_lists, classes = [], [], []  # classes of all rows, one behind the other
        for i, row in enumerate(rows):
            name = f"{i} (id {row['id']!r})" if row.get("id") is not None else str(i)
            feature, duration = self._features(row, name)
            words = row.get("words")
            if not words:
                raise ValueError(f"row {name} holds no words")
            features.append(feature)
            word_lists.append(self._word_texts(words, row.get("language"), name))
            classes.extend(slot_classes(words, self.timestamp_segment_time, self.classify_num, duration, name))

        extractor = self.processor.feature_extractor
        lengths = [feature.shape[-1] for feature in features]
        batch = dict(
            self.processor.tokenize_slots(
                word_lists, [audio_token_lengths(n, extractor.n_window) for n in lengths], self.padding_side
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
        return batch

    def _features(self, row: Mapping[str, Any], name: str) -> tuple[torch.Tensor, float]:
        """A row's features `(mel, frames)` and its duration in seconds."""
        extractor = self.processor.feature_extractor
        if (row.get("audio") is None) == (row.get("input_features") is None):
            raise ValueError(f"row {name} must hold exactly one of audio and input_features")
        if row.get("input_features") is not None:
            feature = torch.as_tensor(row["input_features"], dtype=torch.float32)
            if feature.ndim != 2 or feature.shape[0] != extractor.feature_size or feature.shape[1] == 0:
                raise ValueError(
                    f"row {name}: input_features have the shape {tuple(feature.shape)}; "
                    f"({extractor.feature_size}, frames) is expected"
                )
            return feature, feature.shape[1] * extractor.hop_length / extractor.sampling_rate
        try:
            samples = load_audio(row["audio"], extractor.sampling_rate)
        except ValueError as error:
            raise ValueError(f"row {name}: {error}") from error
        feature = extractor(samples, sampling_rate=extractor.sampling_rate)["input_features"][0]
        return feature, len(samples) / extractor.sampling_rate

    @staticmethod
    def _word_texts(words, language, name: str) -> list[str]:
        texts = []
        for i, word in enumerate(words):
            found = word_texts(split_words(str(word.get("text") or ""), language))
            if len(found) != 1:
                raise ValueError(
                    f"row {name}, word {i} ({word.get('text')!r}) is {len(found)} words to the aligner "
                    f"({', '.join(found) or 'nothing to align'}); give each its own times"
                )
            texts += found
        return texts
