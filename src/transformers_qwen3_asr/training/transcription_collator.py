"""Rows of transcribed speech into the ASR models' training batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..audio.decoding import load_audio
from ..formats import audio_duration
from ..processing.plain_text import check_plain, check_text
from ..processing.transcription import ANSWER_TAG
from ..text.languages import language_name
from .augmentation import Augmentation, Clip, RowSize
from .labels import IGNORED, check_kind
from .randomness import AUGMENTATION, Epoch, generator

END_OF_ANSWER = "<|im_end|>"


def answer_head(language: str | None) -> str:
    """
    What the published models write before the transcript: `language English<asr_text>`; "None" without a language.

    A language that the family does not know by name or code is written as it is given, first letter large, which is
    how `parse_transcription` gives it back.
    """
    try:
        name = str(language_name(language))
    except ValueError:
        name = " ".join(str(language).split())
        name = name[:1].upper() + name[1:].lower()
    return f"language {name}{ANSWER_TAG}"


def transcription_sizes(rows: Sequence[Mapping[str, Any]], processor) -> list[RowSize]:
    """
    What each row takes up: seconds, and tokens of its prompt and answer without the audio's.

    As `row_sizes` for an aligner. Raises `ValueError`, naming the row, for recordings that cannot be read.
    """
    [prompt] = processor.apply_transcription_request(["audio"], tokenize=False)
    around = len(processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]) - 1  # the audio is one of them
    sizes = []
    for i, row in enumerate(rows):
        check_kind(row, i)
        try:
            seconds = float(row["duration"]) if row.get("duration") is not None else audio_duration(row.get("audio"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"row {row.get('id', i)!r}: {error}") from error
        for key in ("text", "language"):
            check_text(row.get(key) or "", f"row {row.get('id', i)!r}: its {key}")
        answer = f"{answer_head(row.get('language'))}{row.get('text') or ''}{END_OF_ANSWER}"
        sizes.append(
            RowSize(seconds, around + len(processor.tokenizer(answer, add_special_tokens=False)["input_ids"]))
        )
    return sizes


class TranscriptionCollator:
    """
    `Trainer`'s `data_collator` for [`Qwen3ASRForConditionalGeneration`]: prompt, answer, and labels on the answer.

    A row is `{"audio", "text", "language"}`, and "id" for messages; other keys are not looked at. The prompt is
    `processor.apply_transcription_request(audio)`, the answer what the published models write:
    `language English<asr_text>transcript<|im_end|>`. Labels are the answer's tokens and -100 on the prompt. In a row
    without a language the answer begins with `language None<asr_text>`, and these tokens have no label either, so that
    the model does not unlearn to name languages. A prompt that ends in the language (`language=` of
    `apply_transcription_request`) is the same tokens, so both ways of asking are trained.

    Args:
        processor ([`Qwen3ASRProcessor`]): an ASR model's.
        max_length (`int`, *optional*): most tokens of a row, the model's `max_position_embeddings`; a longer row is an
            error, never cut.
        row_names (`bool`, defaults to `False`): adds "row_names", for [`AlignmentTrainer`].
        augmentation ([`Augmentation`], *optional*): changes recordings; it must not join rows.
        seed (`int`, defaults to 0): of its draws, as in [`SlotCollator`].
    """

    def __init__(
        self,
        processor,
        max_length: int | None = None,
        row_names: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ):
        if processor.tokenizer.convert_tokens_to_ids(ANSWER_TAG) in (None, processor.tokenizer.unk_token_id):
            raise ValueError(f"the processor's tokenizer does not know {ANSWER_TAG}: it is not an ASR model's")
        if augmentation is not None and any(getattr(step, "joins_rows", False) for step in augmentation.steps):
            raise ValueError("rows for transcription cannot be joined: their texts would have to be joined too")
        self.processor = processor
        self.max_length = max_length
        self.row_names = row_names
        self.augmentation = augmentation
        self.seed = seed
        self._epoch = Epoch()

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the rows that come next belong to; reaches the data loader's workers too."""
        self._epoch.set(epoch)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Returns `input_ids`, `attention_mask`, `labels` `(batch, length)`, padded on the right, `input_features`
        `(batch, mel, frames)` and `input_features_mask` `(batch, frames)`.

        Raises `ValueError`, naming the row (its place in the batch, and its "id" where it has one), for audio that
        cannot be read, a transcript that is empty or holds a special token, and a row longer than `max_length`.
        """
        for i, row in enumerate(rows):
            check_kind(row, i)
        names = [f"{i} (id {row['id']!r})" if row.get("id") is not None else str(i) for i, row in enumerate(rows)]
        recordings = [self._audio(row, name) for row, name in zip(rows, names)]
        answers = [self._answer(row, name) for row, name in zip(rows, names)]
        prompts = self.processor.apply_transcription_request(recordings)

        ids, labels = [], []
        for i, (named, transcript) in enumerate(answers):
            prompt = prompts["input_ids"][i][prompts["attention_mask"][i].bool()].tolist()
            ids.append(torch.tensor(prompt + named + transcript))
            silent = len(prompt) if rows[i].get("language") is not None else len(prompt) + len(named)
            labels.append(ids[-1].clone())
            labels[-1][:silent] = IGNORED
            if self.max_length is not None and len(ids[-1]) > self.max_length:
                raise ValueError(
                    f"row {names[i]} is {len(ids[-1])} tokens long with its audio; the model takes {self.max_length}"
                )
        pad = torch.nn.utils.rnn.pad_sequence
        batch = {
            "input_ids": pad(ids, batch_first=True, padding_value=self.processor.tokenizer.pad_token_id),
            "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad(labels, batch_first=True, padding_value=IGNORED),
            "input_features": prompts["input_features"],
            "input_features_mask": prompts["input_features_mask"],
        }
        if self.row_names:
            batch["row_names"] = [str(row.get("id", name)) for row, name in zip(rows, names)]
        return batch

    def _audio(self, row: Mapping[str, Any], name: str):
        if row.get("audio") is None:
            raise ValueError(f"row {name} holds no audio")
        rate = self.processor.feature_extractor.sampling_rate
        try:
            samples = load_audio(row["audio"], rate)
            if self.augmentation is None:
                return samples
            clip = Clip.of_row({**row, "words": row.get("words") or []}, samples, rate, name)
            return self.augmentation(clip, generator(self.seed, AUGMENTATION, self._epoch.get(), clip.key)).samples
        except ValueError as error:
            raise ValueError(f"row {name}: {error}") from error

    def _answer(self, row: Mapping[str, Any], name: str) -> tuple[list[int], list[int]]:
        """Token ids of the answer's head and of its transcript, the end included."""
        text = row.get("text") or ""
        check_text(text, f"row {name}: its transcript")
        text = text.strip()
        if not text:
            raise ValueError(f"row {name} has an empty transcript")
        tokenizer = self.processor.tokenizer
        # they would end or restart the answer
        check_plain(tokenizer, text, f"row {name}: its transcript")
        check_plain(tokenizer, row.get("language") or "", f"row {name}: its language")
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        head = tokenizer(answer_head(row.get("language")), add_special_tokens=False)["input_ids"]
        return head, [*ids, tokenizer.convert_tokens_to_ids(END_OF_ANSWER)]
