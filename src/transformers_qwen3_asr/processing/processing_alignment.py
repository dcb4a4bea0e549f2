"""The aligner's side of the processor: words, slot prompts, and times from scores."""

import os
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from ..alignment.decoding import DEFAULT_DECODING, decode_batch
from ..alignment.durations import letters
from ..alignment.voice_activity import VoiceActivity
from ..audio.decoding import audio_list
from ..text.languages import ALIGNER_LANGUAGES, aligner_language
from ..text.words import MOST_MARKS, prompt_text, split_words, word_texts
from .plain_text import check_plain, check_text, control_ids
from .processor_arguments import for_each, named, sorted_kwargs, transcripts_for

TIMESTAMP_TOKEN = "<timestamp>"

# Scripts that are written without spaces between words, as the names of their characters begin in Unicode.
_UNSPACED = (
    *("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA ", "KATAKANA-", "HALFWIDTH KATAKANA", "BOPOMOFO "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN "),
)


def written_gap(left: str, right: str) -> str:
    """
    What stands between two words of a text: a space, or nothing where one of them meets the other in a script that
    writes no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan).
    """
    return "" if any(unicodedata.name(c, "").startswith(_UNSPACED) for c in (left[-1:], right[:1]) if c) else " "


def _check_words(words: Any, i: int) -> None:
    if isinstance(words, (str, bytes)) or not isinstance(words, Sequence):
        raise ValueError(f"word list {i} is of type {type(words).__name__}; a list of words is expected")
    try:
        "".join(words).encode()  # all at once: there may be ten thousand in a batch
    except (TypeError, UnicodeEncodeError):
        for k, word in enumerate(words):
            check_text(word, f"word list {i}: word {k}")


def _between_slots(words: Sequence[str], slots: Sequence[bool] | None) -> list[str]:
    """What a prompt has in front of each pair of slots, and behind the last pair."""
    if slots is None:
        return [*(word if len(word) <= MOST_MARKS else prompt_text(word) for word in words), ""]
    if len(slots) != len(words):
        raise ValueError(f"there are {len(slots)} slot marks for {len(words)} words")
    words = [prompt_text(word) for word in words]
    pieces = [""]
    for i, (word, slotted) in enumerate(zip(words, slots)):
        pieces[-1] += word
        if slotted:
            pieces.append("")
        elif i + 1 < len(words):
            pieces[-1] += written_gap(word, words[i + 1])
    return pieces


class ForcedAlignmentProcessing:
    """Methods that [`Qwen3ASRProcessor`] has for alignment; they use its tokenizer and its way to features."""

    def split_words_for_alignment(
        self, text: str, language: str | None = None, korean_dictionary: str | os.PathLike[str] | None = None
    ) -> list[str]:
        """The words of a transcript, as text; `text.words.split_words` tells where they stand, too."""
        return word_texts(split_words(text, aligner_language(language), korean_dictionary))

    def slot_prompt(self, words: Sequence[str], slots: Sequence[bool] | None = None) -> str:
        """
        The aligner's prompt: the audio, then each word followed by its start and end slots. No chat turns.

        `slots` says for each word whether it has slots; default: all have. Nothing stands between slots and the next
        word, as ever; a word without slots is followed by what `written_gap` says, so that text between slots is text
        as it is written ("the old<timestamp><timestamp>house<timestamp><timestamp>"). Of a word of more than
        `text.words.LONGEST_WORD` characters the prompt has both ends alone.

        Raises `ValueError` where `slots` does not fit `words`.
        """
        return self._prompt(_between_slots(words, slots))

    def _prompt(self, pieces: Sequence[str]) -> str:
        """The audio, and slots between pieces of text."""
        audio = f"{self.audio_bos_token}{self.audio_token}{self.audio_eos_token}"
        return audio + (2 * TIMESTAMP_TOKEN).join(pieces)

    def tokenize_slots(
        self,
        word_lists: Sequence[Sequence[str]],
        audio_token_counts: Sequence[int],
        padding_side: str = "right",
        slots: Sequence[Sequence[bool] | None] | None = None,
    ) -> dict[str, torch.Tensor]:
        """
        `input_ids` and `attention_mask` `(batch, length)` of the slot prompts of `word_lists`, with room for
        `audio_token_counts` audio tokens each, padded on `padding_side`. `slots` holds, for each recording, `None` or
        which of its words have slots (see `slot_prompt`); times come back for these words alone.

        Raises `ValueError` where the tokenizer does not know `<timestamp>`, for lists of different lengths, and,
        naming the word, where one is no text or holds a control token, such as another `<timestamp>`.
        """
        self._check_timestamp_token()
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side must be 'left' or 'right', not {padding_side!r}")
        if slots is None:
            slots = [None] * len(word_lists)
        for what, values in (("recordings", audio_token_counts), ("slot marks", slots)):
            if len(values) != len(word_lists):
                raise ValueError(f"{len(word_lists)} word lists do not fit {len(values)} {what}")
        prompts = []
        for i, (words, marks) in enumerate(zip(word_lists, slots)):
            _check_words(words, i)
            with named(f"word list {i}"):
                prompts.append(_between_slots(words, marks))
        rows = self._rows(prompts, [int(count) for count in audio_token_counts])
        lengths = np.array([len(row) for row in rows])
        columns = np.arange(lengths.max())
        inside = columns < lengths[:, None] if padding_side == "right" else columns >= columns.size - lengths[:, None]
        input_ids = np.full(inside.shape, self.tokenizer.pad_token_id)
        input_ids[inside] = np.concatenate(rows)
        return {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(inside.astype(np.int64))}

    def _rows(self, prompts: Sequence[Sequence[str]], audio_token_counts: Sequence[int]) -> list[np.ndarray]:
        """The ids of each prompt, given as its pieces between slots; each piece that occurs is tokenised once."""
        numbers = {piece: k for k, piece in enumerate(dict.fromkeys(chain.from_iterable(prompts)))}
        whole = self.tokenizer(self._prompt(["", *numbers, ""]), add_special_tokens=False, verbose=False)["input_ids"]
        ids = np.array(whole)
        slots = np.flatnonzero(ids == self.timestamp_token_id)
        # more than those of the audio and of the slots: some word brought its own
        if np.isin(ids, list(control_ids(self.tokenizer))).sum() != 3 + 2 * (len(numbers) + 1):
            for i, prompt in enumerate(prompts):
                for piece in prompt:
                    check_plain(self.tokenizer, piece, f"word list {i}: the word {piece!r}")
        begins, ends = slots[1:-1:2] + 1, slots[3::2] + 1  # of each piece with the slots behind it
        rows = []
        for prompt, count in zip(prompts, audio_token_counts):
            which = [numbers[piece] for piece in prompt]
            sizes = (ends - begins)[which]
            first = begins[which] - (np.cumsum(sizes) - sizes)
            said = ids[np.repeat(first, sizes) + np.arange(sizes.sum())]
            # expanded here: thousands of equal tokens need no tokenizer
            rows.append(np.concatenate([ids[:1], np.full(count, self.audio_token_id), ids[2:3], said[:-2]]))
        return rows

    def _check_timestamp_token(self) -> None:
        if self.timestamp_token_id is None:
            raise ValueError(
                f"the tokenizer does not know {TIMESTAMP_TOKEN}: this is an ASR checkpoint's processor. For a new "
                "aligner, call add_timestamp_token() and give the model its id"
            )

    def prepare_forced_aligner_inputs(
        self,
        audio: Any,
        transcript: str | Sequence[str] | Sequence[Sequence[str]],
        language: str | Sequence[str | None] | None = None,
        korean_dictionary: str | os.PathLike[str] | None = None,
        support_languages: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> tuple[BatchFeature, list[list[str]]]:
        """
        Inputs for the aligner, and the words that its slots stand for.

        Args:
            audio: what `load_audios` takes: one recording or a list.
            transcript: a text for each recording; or, instead of a text, the list of its words (`split_words` tells
                what becomes of them).
            language: name or code in any case, for all or a list; `None` where unknown. One that the aligner was not
                trained on is aligned all the same, with a warning.
            korean_dictionary: see `split_words`.
            support_languages: names of the languages that the aligner was trained on, as its config says; if not
                given, the 11 of the published aligner.
            kwargs: `device`, `n_window`, `sampling_rate` (of samples that come without one), `padding_side` ("right"
                by default: the model is causal, so padding behind costs nothing), also inside `audio_kwargs`,
                `text_kwargs` or `processor_kwargs`.

        Returns: a [`BatchFeature`] with the model's inputs, and per recording the words' texts.

        Raises `ValueError`, naming the recording, for audio that cannot be loaded, a transcript without words, or
        numbers that do not fit; `ImportError` where a language's word splitter is not installed.
        """
        sources = audio_list(audio)
        word_lists = self._word_lists(transcript, audio, len(sources), language, korean_dictionary, support_languages)
        for flag in ("return_dict", "tokenize"):  # transformers' method hands these on; they are always so
            if not kwargs.pop(flag, True):
                raise ValueError(f"{flag}=False is not supported: inputs and words are returned")
        text_kwargs, audio_kwargs, rest = sorted_kwargs({**kwargs.pop("processor_kwargs", {}), **kwargs})
        padding_side = text_kwargs.pop("padding_side", "right")
        if (
            text_kwargs.pop("padding", True) not in (True, "longest")
            or text_kwargs.pop("return_tensors", "pt") != "pt"
        ):
            raise ValueError("aligner inputs are padded tensors: padding=True and return_tensors='pt'")
        if unused := sorted({**text_kwargs, **rest}):
            raise TypeError(f"unexpected arguments: {', '.join(unused)}")

        recordings = self._load(sources, audio_kwargs)
        return self.slot_inputs(recordings, word_lists, padding_side, **audio_kwargs), word_lists

    def slot_inputs(
        self,
        recordings: Sequence,
        word_lists: Sequence[Sequence[str]],
        padding_side: str = "right",
        **audio_kwargs: Any,
    ) -> BatchFeature:
        """
        What `prepare_forced_aligner_inputs` makes of recordings that are loaded, `(samples,)` each at the extractor's
        rate, and the words of each as `split_words` gives them. `audio_kwargs` go to the extractor.
        """
        features, _ = self._process_audio(recordings, **audio_kwargs)
        counts = features.pop("num_audio_tokens")
        return BatchFeature({**self.tokenize_slots(word_lists, counts, padding_side), **features})

    def _word_lists(
        self, transcript, audio, count: int, language, korean_dictionary, support_languages
    ) -> list[list[str]]:
        """The words of the transcript of each of `count` recordings, none of them without words."""
        transcripts = transcripts_for(transcript, audio, count)
        languages = self.aligner_languages(for_each(language, count, "language", broadcast=True), support_languages)
        word_lists = []
        for i, (text, name) in enumerate(zip(transcripts, languages)):
            if not isinstance(text, Iterable):
                raise ValueError(f"transcript {i} is of type {type(text).__name__}; a text or its words are expected")
            with named(f"transcript {i}"):
                words = word_texts(split_words(text, name, korean_dictionary))
            if not words:
                raise ValueError(f"transcript {i} ({text!r}) holds no words to align")
            word_lists.append(words)
        return word_lists

    def aligner_languages(self, languages: list[str | None], trained: Sequence[str] | None) -> list[str | None]:
        """The names of languages, with a warning for those that are not among the `trained` (default: the published
        aligner's). Raises `ValueError`, naming the recording, for an unknown one."""
        trained = list(ALIGNER_LANGUAGES.values()) if trained is None else trained
        names = []
        for i, language in enumerate(languages):
            with named(f"recording {i}"):
                names.append(aligner_language(language))
        others = sorted({name for name in names if name is not None and name not in trained})
        if others:
            warnings.warn(
                f"the aligner was not trained on {', '.join(others)}, so times may be off; it was trained on "
                f"{', '.join(trained)}",
                stacklevel=4,
            )
        return names

    def decode_forced_alignment(
        self,
        logits: torch.Tensor,
        input_ids: torch.Tensor | None,
        word_lists: Sequence[Sequence[str]],
        timestamp_token_id: int | None = None,
        timestamp_segment_time: float | None = None,
        return_scores: bool = False,
        decoding: str = DEFAULT_DECODING,
        durations: Sequence[float] | None = None,
        probabilities: bool | None = None,
        voices: Sequence[VoiceActivity | None] | None = None,
        breaks: Sequence[Sequence[int] | None] | None = None,
    ) -> list[list[dict[str, Any]]]:
        """
        Words with their times, one list for each recording.

        Args:
            logits: the aligner's, `(batch, length, classes)` or, at the slots alone, `(slots, classes)`.
            input_ids: `(batch, length)`, those that gave the logits; `None` where these are at the slots alone, two
                for each word.
            word_lists: as `prepare_forced_aligner_inputs` returned them.
            timestamp_token_id: the slot token's id; default: the tokenizer's.
            timestamp_segment_time: milliseconds a class; default: the processor's.
            return_scores: adds "score", from 0 to 1, see `alignment.confidence.word_scores`.
            decoding: "joint" or "argmax", see `decode_slots`; "argmax" gives qwen-asr's times.
            durations: seconds of each recording, which "joint" keeps all times inside. By default what the audio
                tokens in `input_ids` stand for at most (80 ms each), which is up to 4 % more; unknown without them.
            probabilities: whether `logits` have been through softmax, as vLLM returns them by default. `None` finds it
                out: numbers that are none below 0 and sum to 1 at every slot are probabilities.
            voices: where in each recording something is heard, as `alignment.voice_activity.heard_in(samples, rate)`
                gives it. With them "joint" is more exact: words cover what is heard, and no silence, and few pauses
                are between them.
            breaks: behind which words of a recording people may pause, as `text.sentences.breaks_behind` gives it.

        Returns: per recording a list of `{"text", "start_time", "end_time"}` in seconds. Times never fall; those of
            "argmax" are not cut at the recording's end.

        Raises `ValueError` where logits, slots, words, durations, voices and breaks do not fit, logits are not finite,
        or some slots hold probabilities and others do not.
        """
        for i, words in enumerate(word_lists):
            _check_words(words, i)
        if timestamp_token_id is None:
            timestamp_token_id = self.timestamp_token_id
        segment_time = self.timestamp_segment_time if timestamp_segment_time is None else timestamp_segment_time
        if durations is None and input_ids is not None:
            durations = self._audio_seconds(input_ids)
        counts = [len(words) for words in word_lists]
        lengths = [[letters(word) for word in words] for words in word_lists]
        clips = decode_batch(
            *(logits, input_ids, counts, timestamp_token_id, segment_time, decoding, durations, lengths),
            probabilities=probabilities,
            voices=voices,
            breaks=breaks,
        )
        aligned = []
        for words, (times, scores) in zip(word_lists, clips):
            items: list[dict[str, Any]] = [
                {"text": word, "start_time": start, "end_time": end}
                for word, (start, end) in zip(words, times.tolist())
            ]
            if return_scores:
                for item, score in zip(items, scores.tolist()):
                    item["score"] = score
            aligned.append(items)
        return aligned

    def _audio_seconds(self, input_ids: torch.Tensor) -> list[float | None]:
        """Seconds that the audio tokens of each prompt stand for at most; `None` for a prompt without any."""
        counts = (torch.as_tensor(input_ids) == self.audio_token_id).sum(-1).tolist()
        # three convolutions of stride 2, so that the last token of a chunk may stand for less
        token = 8 * self.feature_extractor.hop_length / self.feature_extractor.sampling_rate
        return [count * token if count else None for count in counts]
