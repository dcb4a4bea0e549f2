"""Recordings and transcripts into model inputs, and model outputs into words with times or transcripts."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchFeature
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.qwen3_asr import processing_qwen3_asr as native

from . import chat_templates, processor_files
from .alignment.decoding import decode_batch
from .alignment.languages import ALIGNER_LANGUAGES, aligner_language, language_name
from .alignment.words import split_words, word_texts
from .audio import audio_list, is_rated_pair, load_audio, load_audios
from .configuration_qwen3_asr import audio_token_lengths
from .feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from .transcription import parse_transcription

TIMESTAMP_TOKEN = "<timestamp>"
_AUDIO_BLOCK_KEYS = ("audio", "audio_url", "url", "path", "base64", "bytes")


class Qwen3ASRProcessor(native.Qwen3ASRProcessor):
    r"""
    Feature extractor and tokenizer of a Qwen3-ASR model or aligner.

    Code written for transformers' own processor of this name runs unchanged; what differs is said at each method. Model
    inputs are `input_ids`, `attention_mask` `(batch, length)`, `input_features` `(batch, mel, frames)` and
    `input_features_mask` `(batch, frames)`.

    Args:
        feature_extractor ([`Qwen3ASRFeatureExtractor`]): log-mel features.
        tokenizer ([`Qwen2Tokenizer`]): with the audio tokens and, for alignment, `<timestamp>`.
        chat_template (`str`, *optional*): as loaded; by default the published one, and for a tokenizer that knows
            `<timestamp>` the -hf aligner's.
        timestamp_segment_time (`float`, defaults to 80): milliseconds that one class of the aligner stands for.
    """

    def __init__(
        self,
        feature_extractor=None,
        tokenizer=None,
        chat_template=None,
        timestamp_segment_time: float = processor_files.DEFAULT_SEGMENT_TIME,
    ):
        if not timestamp_segment_time > 0:
            raise ValueError(f"timestamp_segment_time must be above 0 milliseconds, not {timestamp_segment_time!r}")
        super().__init__(feature_extractor, tokenizer, chat_template, timestamp_segment_time)
        if self.chat_template is None:
            aligner = self.timestamp_token_id is not None
            self.chat_template = chat_templates.HF_ALIGNER if aligner else chat_templates.PUBLISHED

    @property
    def timestamp_token_id(self) -> int | None:
        """The id of `<timestamp>`, or `None` where the tokenizer does not know it (an ASR checkpoint's)."""
        return self.tokenizer.get_vocab().get(TIMESTAMP_TOKEN)

    def add_timestamp_token(self) -> int:
        """Teaches the tokenizer `<timestamp>` where it does not know it, and returns its id (for the model's config)."""
        if self.timestamp_token_id is None:
            self.tokenizer.add_tokens([TIMESTAMP_TOKEN])
        return self.timestamp_token_id

    # inputs

    def __call__(self, text=None, audio=None, output_labels: bool = False, **kwargs) -> BatchFeature:
        """
        Inputs for prompts that hold one `<|audio_pad|>` for each recording, padded on the left.

        Args:
            text: a prompt or a list of them.
            audio: what `load_audios` takes, one recording for each prompt. Samples that come without a rate are taken to
                be at `sampling_rate` (default: the extractor's).
            output_labels: adds `labels`, the input ids with -100 at audio and padding.
            n_window, device: for the features (also in `audio_kwargs`).
            kwargs: as in transformers: `text_kwargs`, `audio_kwargs`, or the tokenizer's own (`padding`, `padding_side`,
                `truncation`, `max_length`); `return_tensors` is "pt".

        Raises `ValueError` where prompts and recordings do not fit each other, or a recording cannot be loaded.
        """
        text_kwargs, audio_kwargs, kwargs = _sorted_kwargs(kwargs)
        text_kwargs.setdefault("padding_side", "left")
        if audio is not None:
            rate = audio_kwargs.pop("sampling_rate", None) or self.feature_extractor.sampling_rate
            audio = self._load(audio, rate)
            audio_kwargs["sampling_rate"] = self.feature_extractor.sampling_rate
            audio_kwargs.setdefault("n_window", self.feature_extractor.n_window)
        return super().__call__(
            text, audio, output_labels, text_kwargs=text_kwargs, audio_kwargs=audio_kwargs, **kwargs
        )

    def _load(self, audio: Any, rate: int) -> list:
        """Recordings as arrays at the extractor's rate; samples without a rate are at `rate`."""
        wanted = self.feature_extractor.sampling_rate
        if rate == wanted:
            return load_audios(audio, wanted)
        sources = [
            source if isinstance(source, (str, bytes, dict)) or is_rated_pair(source) else (source, rate)
            for source in audio_list(audio)
        ]
        return load_audios(sources, wanted)

    def _process_audio(self, audio, n_window=None, load_audio_backend=None, **kwargs):
        features = self.feature_extractor(audio, **kwargs)
        n_window = n_window or self.feature_extractor.n_window
        counts = audio_token_lengths(features["input_features_mask"].sum(-1), n_window)
        features["num_audio_tokens"] = counts.cpu().numpy()
        return features, [self.replace_audio_token(features, i) for i in range(len(audio))]

    def apply_chat_template(self, conversation, chat_template=None, *args, **kwargs):
        """
        As in transformers, with recordings in every form that `load_audio` takes: a content block of type "audio" holds
        one under "audio", "audio_url", "url", "path", "base64" or "bytes".
        """
        tokenize = args[4] if len(args) > 4 else kwargs.get("tokenize", False)
        if tokenize:
            conversation = self._with_recordings(conversation)
        return super().apply_chat_template(conversation, chat_template, *args, **kwargs)

    def _with_recordings(self, conversation):
        """A copy of a conversation, or of several, whose audio blocks hold samples."""
        if isinstance(conversation, (list, tuple)):
            return [self._with_recordings(part) for part in conversation]
        message = dict(conversation)
        if isinstance(message.get("content"), (list, tuple)):
            message["content"] = [self._with_recording(block) for block in message["content"]]
        return message

    def _with_recording(self, block):
        if not isinstance(block, dict) or not (block.get("type") == "audio" or {"audio", "audio_url"} & set(block)):
            return block
        sources = [block[key] for key in _AUDIO_BLOCK_KEYS if block.get(key) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"an audio block needs one of {', '.join(_AUDIO_BLOCK_KEYS)}; this one has {sorted(block)}"
            )
        source = sources[0]["url"] if isinstance(sources[0], dict) and "url" in sources[0] else sources[0]
        return {"type": "audio", "audio": load_audio(source, self.feature_extractor.sampling_rate)}

    # transcription

    def apply_transcription_request(
        self,
        audio,
        language: str | Sequence[str | None] | None = None,
        prompt: str | Sequence[str | None] | None = None,
        tokenize: bool = True,
        chat_template: str | None = None,
        processor_kwargs: dict | None = None,
        **kwargs,
    ):
        """
        Inputs for `generate`, one prompt for each recording, without writing conversations.

        Args:
            audio: what `load_audios` takes.
            language: a name or code of the 30 (any case), for all or a list; it is written into the prompt, so that only
                the transcript is generated. `None`: the model says the language itself.
            prompt: context or rare words for the system turn, for all or a list.
            tokenize: `False` returns the prompts as text, the audio unread.
            kwargs: as in `__call__`.

        Raises `ValueError` for an unknown language or lists of other lengths than `audio`.
        """
        sources = audio_list(audio)
        languages = [language_name(name) for name in _for_each(language, len(sources), "language")]
        systems = _for_each(prompt, len(sources), "prompt")
        if self._resolve_template(chat_template) == chat_templates.HF_ALIGNER:
            raise ValueError("this is an aligner's processor: its chat template holds no transcription request")
        conversations = [
            [
                *([{"role": "system", "content": [{"type": "text", "text": system}]}] if system is not None else []),
                {"role": "user", "content": [{"type": "audio"}]},
            ]
            for system in systems
        ]
        # the published template renders no assistant turn, so the language is appended, as qwen-asr does it
        opened = self.apply_chat_template(conversations, chat_template, add_generation_prompt=True)
        prompts = [
            text if name is None else f"{text}language {name}<asr_text>" for text, name in zip(opened, languages)
        ]
        if not tokenize:
            return prompts
        return self(text=prompts, audio=sources, **{**(processor_kwargs or {}), **kwargs})

    def _resolve_template(self, chat_template: str | None) -> str | None:
        named = self.chat_template if isinstance(self.chat_template, dict) else {"default": self.chat_template}
        return named.get(chat_template or "default", chat_template)

    def parse_output(self, text: str | list[str]):
        """`{"language", "transcription"}` of an answer, or a list of them; see `parse_transcription`."""
        if not isinstance(text, str):
            return [self.parse_output(answer) for answer in text]
        return dict(zip(("language", "transcription"), parse_transcription(text)))

    def extract_transcription(self, text: str | list[str]):
        """The transcript of an answer, or of each of a list."""
        parsed = self.parse_output(text)
        return parsed["transcription"] if isinstance(parsed, dict) else [one["transcription"] for one in parsed]

    # alignment

    def split_words_for_alignment(self, text, language: str | None = None, korean_dictionary=None) -> list[str]:
        """The words of a transcript, as text; `alignment.words.split_words` tells where they stand, too."""
        return word_texts(split_words(text, aligner_language(language)[0], korean_dictionary))

    def slot_prompt(self, words: Sequence[str]) -> str:
        """The aligner's prompt: the audio, then each word followed by its start slot and its end slot. No chat turns."""
        slots = "".join(f"{word}{TIMESTAMP_TOKEN}{TIMESTAMP_TOKEN}" for word in words)
        return f"{self.audio_bos_token}{self.audio_token}{self.audio_eos_token}{slots}"

    def tokenize_slots(
        self, word_lists: Sequence[Sequence[str]], audio_token_counts: Sequence[int], padding_side: str = "right"
    ) -> dict[str, torch.Tensor]:
        """
        `input_ids` and `attention_mask` `(batch, length)` of the slot prompts of `word_lists`, with room for
        `audio_token_counts` audio tokens each, padded on `padding_side`.

        Raises `ValueError` where the tokenizer does not know `<timestamp>`, or for lists of different lengths.
        """
        if self.timestamp_token_id is None:
            raise ValueError(
                f"the tokenizer does not know {TIMESTAMP_TOKEN}: this is an ASR checkpoint's processor. For a new aligner, "
                "call add_timestamp_token() and give the model its id"
            )
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side must be 'left' or 'right', not {padding_side!r}")
        if len(word_lists) != len(audio_token_counts):
            raise ValueError(f"{len(word_lists)} word lists do not fit {len(audio_token_counts)} recordings")
        rows = []
        for words, count in zip(word_lists, audio_token_counts):
            ids = self.tokenizer(self.slot_prompt(words), add_special_tokens=False)["input_ids"]
            at = ids.index(self.audio_token_id)
            # expanded here: thousands of equal tokens need no tokenizer
            rows.append([*ids[:at], *[self.audio_token_id] * int(count), *ids[at + 1 :]])
        length = max(map(len, rows))
        input_ids = torch.full((len(rows), length), self.tokenizer.pad_token_id)
        attention_mask = torch.zeros_like(input_ids)
        for i, row in enumerate(rows):
            place = slice(0, len(row)) if padding_side == "right" else slice(length - len(row), length)
            input_ids[i, place] = torch.tensor(row)
            attention_mask[i, place] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def prepare_forced_aligner_inputs(
        self, audio, transcript, language=None, korean_dictionary=None, **kwargs
    ) -> tuple[BatchFeature, list[list[str]]]:
        """
        Inputs for the aligner, and the words that its slots stand for.

        Args:
            audio: what `load_audios` takes: one recording or a list.
            transcript: a text for each recording; or, instead of a text, the list of its words (`split_words` tells what
                becomes of them).
            language: name or code in any case, for all or a list; `None` where unknown. The aligner was trained on 11;
                another one is aligned all the same, with a warning.
            korean_dictionary: see `split_words`.
            kwargs: `device`, `n_window`, `sampling_rate` (of samples that come without one), `padding_side` ("right" by
                default: the model is causal, so padding behind costs nothing), also inside `audio_kwargs`, `text_kwargs`
                or `processor_kwargs`.

        Returns: a [`BatchFeature`] with the model's inputs, and per recording the words' texts.

        Raises `ValueError`, naming the recording, for audio that cannot be loaded, a transcript without words, or numbers
        that do not fit; `ImportError` where a language's word splitter is not installed.
        """
        sources = audio_list(audio)
        transcripts = _transcripts(transcript, audio, len(sources))
        languages = self._aligner_languages(_for_each(language, len(sources), "language", broadcast=True))
        word_lists = [
            word_texts(split_words(text, name, korean_dictionary)) for text, name in zip(transcripts, languages)
        ]
        for i, words in enumerate(word_lists):
            if not words:
                raise ValueError(f"transcript {i} ({transcripts[i]!r}) holds no words to align")

        text_kwargs, audio_kwargs, rest = _sorted_kwargs({**kwargs.pop("processor_kwargs", {}), **kwargs})
        padding_side = text_kwargs.pop("padding_side", "right")
        if not text_kwargs.pop("padding", True) or text_kwargs.pop("return_tensors", "pt") != "pt":
            raise ValueError("aligner inputs are padded tensors: padding=True and return_tensors='pt'")
        rest.pop("return_dict", None)
        if text_kwargs or rest:
            raise TypeError(f"unexpected arguments: {', '.join(sorted({**text_kwargs, **rest}))}")

        rate = audio_kwargs.pop("sampling_rate", None) or self.feature_extractor.sampling_rate
        recordings = self._load(sources if len(sources) > 1 else audio, rate)
        audio_kwargs["sampling_rate"] = self.feature_extractor.sampling_rate
        features, _ = self._process_audio(recordings, **audio_kwargs)
        counts = features.pop("num_audio_tokens")
        return BatchFeature({**self.tokenize_slots(word_lists, counts, padding_side), **features}), word_lists

    def _aligner_languages(self, languages: list[str | None]) -> list[str | None]:
        resolved = [aligner_language(language) for language in languages]
        others = sorted({str(name) for name, trained in resolved if not trained})
        if others:
            warnings.warn(
                f"the aligner was not trained on {', '.join(others)} (it was on {', '.join(ALIGNER_LANGUAGES.values())}); "
                "times may be off",
                stacklevel=3,
            )
        return [name for name, _ in resolved]

    def decode_forced_alignment(
        self,
        logits: torch.Tensor,
        input_ids: torch.Tensor,
        word_lists: Sequence[Sequence[str]],
        timestamp_token_id: int | None = None,
        timestamp_segment_time: float | None = None,
        return_scores: bool = False,
    ) -> list[list[dict[str, Any]]]:
        """
        Words with their times, one list for each recording.

        Args:
            logits: the aligner's, `(batch, length, classes)` or, at the slots alone, `(slots, classes)`.
            input_ids: `(batch, length)`, those that gave the logits.
            word_lists: as `prepare_forced_aligner_inputs` returned them.
            timestamp_token_id: the slot token's id; default: the tokenizer's.
            timestamp_segment_time: milliseconds a class; default: the processor's.
            return_scores: adds "score", the mean probability of the two classes returned.

        Returns: per recording a list of `{"text", "start_time", "end_time"}` in seconds, equal to qwen-asr's. Times never
            fall; they are not cut at the recording's end.

        Raises `ValueError` where logits, slots and words do not fit, or logits are not finite.
        """
        if timestamp_token_id is None:
            timestamp_token_id = self.timestamp_token_id
        segment_time = self.timestamp_segment_time if timestamp_segment_time is None else timestamp_segment_time
        clips = decode_batch(logits, input_ids, [len(words) for words in word_lists], timestamp_token_id, segment_time)
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

    # files

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path, processor_dict=None, **kwargs):
        # Published files name WhisperFeatureExtractor, -hf ones transformers' own Qwen3ASRFeatureExtractor; both hold
        # the settings of ours.
        return [
            Qwen3ASRFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs),
            AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs),
        ]

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path, **kwargs):
        """The processor's settings; the published layout keeps the time of a class in the model's config.json."""
        processor_dict, unused = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if "timestamp_segment_time" not in processor_dict:
            try:
                config, _ = PreTrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
            except OSError:  # a processor saved without a model
                config = {}
            if config.get("timestamp_segment_time"):
                processor_dict["timestamp_segment_time"] = config["timestamp_segment_time"]
        return processor_dict, unused

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs) -> list[str]:
        """
        Writes the published layout, which qwen-asr reads, too: preprocessor_config.json, chat_template.json and the
        tokenizer's files, with vocab.json and merges.txt; processor_config.json only where it says something new.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        name = type(self).__name__
        processor_files.save_feature_extractor(self.feature_extractor, name, folder)
        self.tokenizer._set_processor_class(name)
        processor_files.save_tokenizer(self.tokenizer, folder)
        processor_files.save_chat_template(self.chat_template, folder)
        processor_files.save_segment_time(self.timestamp_segment_time, name, folder)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return [str(path) for path in sorted(folder.iterdir())]


def _sorted_kwargs(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Keyword arguments of a call as the tokenizer's, the extractor's and the rest."""
    kwargs = dict(kwargs)
    text = dict(kwargs.pop("text_kwargs", None) or {})
    audio = dict(kwargs.pop("audio_kwargs", None) or {})
    for common in (kwargs.pop("common_kwargs", None) or {}).items():
        kwargs.setdefault(*common)
    for key in ("device", "n_window", "sampling_rate"):
        if key in kwargs:
            audio[key] = kwargs.pop(key)
    # transformers hands these to both; a length in tokens is not one in samples
    for key in ("padding", "padding_side", "truncation", "max_length", "pad_to_multiple_of", "return_tensors"):
        if key in kwargs:
            text[key] = kwargs.pop(key)
    return text, audio, kwargs


def _for_each(value, count: int, name: str, broadcast: bool = False) -> list:
    """`value` for each of `count` recordings; a list must have as many, or one where it may be broadcast."""
    if value is None or isinstance(value, str):
        return [value] * count
    values = list(value)
    if broadcast and len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(f"{len(values)} values were given as {name} for {count} recordings")
    return values


def _transcripts(transcript, audio, count: int) -> list:
    """A text or a list of words for each recording."""
    if isinstance(transcript, str):
        transcripts = [transcript]
    else:
        transcripts = list(transcript)
        one_recording = not isinstance(audio, (list, tuple)) or is_rated_pair(audio)
        if one_recording and len(transcripts) != 1 and all(isinstance(word, str) for word in transcripts):
            transcripts = [transcripts]  # the words of the one recording's transcript
    if len(transcripts) != count:
        raise ValueError(f"{len(transcripts)} transcripts were given for {count} recordings")
    return transcripts
