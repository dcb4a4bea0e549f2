"""Recordings and transcripts into model inputs, and model outputs into words with times or transcripts."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoTokenizer, BatchFeature
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.qwen3_asr import processing_qwen3_asr as native

from ..audio.decoding import audio_list, is_unrated, load_audio, load_audios
from ..models.configuration_qwen3_asr import audio_token_lengths
from ..text.checks import check_text
from ..text.languages import language_name
from . import chat_templates, processor_files
from .conversations import plain_conversation
from .feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
from .plain_text import check_plain
from .processing_alignment import TIMESTAMP_TOKEN, ForcedAlignmentProcessing
from .processing_serving import ServingProcessing
from .processor_arguments import for_each, named, sorted_kwargs
from .transcription import ANSWER_TAG, parse_transcription

_AUDIO_BLOCK_KEYS = ("audio", "audio_url", "url", "path", "base64", "bytes")


class Qwen3ASRProcessor(ForcedAlignmentProcessing, ServingProcessing, native.Qwen3ASRProcessor):
    r"""
    Feature extractor and tokenizer of a Qwen3-ASR model or aligner.

    Code written for transformers' own processor of this name runs unchanged; what differs is said at each method.
    Model inputs are `input_ids`, `attention_mask` `(batch, length)`, `input_features` `(batch, mel, frames)` and
    `input_features_mask` `(batch, frames)`; frames are filled up to whole chunks of the encoder (`2 * n_window`).

    Args:
        feature_extractor ([`Qwen3ASRFeatureExtractor`]): log-mel features; settings of another are taken over.
        tokenizer ([`Qwen2Tokenizer`]): with the audio tokens and, for alignment, `<timestamp>`.
        chat_template (`str`, *optional*): as loaded; by default the published one. For a tokenizer that knows
            `<timestamp>` it is the -hf aligner's by default and instead of the published one, which drops the words.
        timestamp_segment_time (`float`, defaults to 80): milliseconds that one class of the aligner stands for.
    """

    def __init__(
        self,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        chat_template: str | dict[str, str] | None = None,
        timestamp_segment_time: float = processor_files.DEFAULT_SEGMENT_TIME,
    ):
        if not timestamp_segment_time > 0:
            raise ValueError(f"timestamp_segment_time must be above 0 milliseconds, not {timestamp_segment_time!r}")
        if not isinstance(feature_extractor, Qwen3ASRFeatureExtractor):  # Whisper's, or transformers' own
            feature_extractor = Qwen3ASRFeatureExtractor.from_dict(feature_extractor.to_dict())
        super().__init__(feature_extractor, tokenizer, chat_template, timestamp_segment_time)
        self._choose_template()

    def _choose_template(self) -> None:
        """
        The template of an aligner's processor, or of a recogniser's, where none was given. An aligner's published one
        is for recognition, too: it drops the transcript, and who sends messages (to vLLM's /pooling) gets no scores.
        """
        if self.timestamp_token_id is None:
            self.chat_template = self.chat_template or chat_templates.PUBLISHED
        elif self.chat_template in (None, chat_templates.PUBLISHED, chat_templates.HF_ASR):
            self.chat_template = chat_templates.HF_ALIGNER

    @property
    def timestamp_token_id(self) -> int | None:
        """The id of `<timestamp>`, or `None` where the tokenizer does not know it (an ASR checkpoint's)."""
        index = self.tokenizer.convert_tokens_to_ids(TIMESTAMP_TOKEN)
        return None if index == self.tokenizer.unk_token_id else index

    def add_timestamp_token(self) -> int:
        """The id of `<timestamp>`, for the model's config; a tokenizer that does not know the token is taught it."""
        if self.timestamp_token_id is None:
            self.tokenizer.add_tokens([TIMESTAMP_TOKEN])
            self._choose_template()
        return self.timestamp_token_id

    # inputs

    def __call__(
        self, text: str | list[str] | None = None, audio: Any = None, output_labels: bool = False, **kwargs: Any
    ) -> BatchFeature:
        """
        Inputs for prompts that hold one `<|audio_pad|>` for each recording, padded on the left.

        Args:
            text: a prompt or a list of them.
            audio: what `load_audios` takes, one recording for each prompt. Samples that come without a rate are taken
                to be at `sampling_rate` (default: the extractor's).
            output_labels: adds `labels`, the input ids with -100 at audio and padding.
            n_window, device: for the features (also in `audio_kwargs`).
            kwargs: as in transformers: `text_kwargs`, `audio_kwargs`, or the tokenizer's own (`padding`,
                `padding_side`, `truncation`, `max_length`); `return_tensors` is "pt".

        Raises `ValueError`, naming the prompt or the recording, where they do not fit each other, a prompt is no text
        or a recording cannot be loaded.
        """
        for i, prompt in enumerate(text if isinstance(text, (list, tuple)) else []):
            check_text(prompt, f"prompt {i}")
        text_kwargs, audio_kwargs, kwargs = sorted_kwargs(kwargs)
        text_kwargs.setdefault("padding_side", "left")
        if text_kwargs.setdefault("return_tensors", "pt") != "pt":
            raise ValueError(f"return_tensors must be 'pt', not {text_kwargs['return_tensors']!r}")
        if audio is not None:
            audio = self._load(audio_list(audio), audio_kwargs)
            audio_kwargs.setdefault("n_window", self.feature_extractor.n_window)
        return super().__call__(
            text, audio, output_labels, text_kwargs=text_kwargs, audio_kwargs=audio_kwargs, **kwargs
        )

    def validate_inputs(self, audio: Any = None, text: Any = None, **kwargs: Any) -> None:
        for i, prompt in enumerate(text if isinstance(text, list) else []):
            found = prompt.count(self.audio_token)
            if found != (audio is not None):
                raise ValueError(f"prompt {i} holds {found} {self.audio_token}; with audio one is expected, else none")
        super().validate_inputs(audio=audio, text=text, **kwargs)

    def _load(self, sources: list, audio_kwargs: dict[str, Any]) -> list:
        """Recordings as arrays at the extractor's rate, which is put into `audio_kwargs` for the one given there."""
        wanted = self.feature_extractor.sampling_rate
        given = audio_kwargs.get("sampling_rate") or wanted
        audio_kwargs["sampling_rate"] = wanted
        if given != wanted:
            sources = [(source, given) if is_unrated(source) else source for source in sources]
        return load_audios(sources, wanted)

    def _process_audio(self, audio, n_window=None, return_attention_mask=True, **kwargs):
        if not return_attention_mask:
            raise ValueError("return_attention_mask=False is not supported: audio tokens are counted by the mask")
        features = self.feature_extractor(audio, return_attention_mask=True, **kwargs)
        n_window = n_window or self.feature_extractor.n_window
        counts = audio_token_lengths(features["input_features_mask"].sum(-1), n_window)
        # transformers' own encoder takes whole chunks of frames only; what is filled in is masked, for ours as well
        missing = -features["input_features_mask"].shape[-1] % (2 * n_window)
        for name in ("input_features", "input_features_mask") if missing else ():
            features[name] = torch.nn.functional.pad(features[name], (0, missing))
        features["num_audio_tokens"] = counts.cpu().numpy()
        return features, [self.replace_audio_token(features, i) for i in range(len(audio))]

    def apply_chat_template(
        self, conversation: list[Any], chat_template: str | None = None, **kwargs: Any
    ) -> str | list[str] | BatchFeature:
        """
        As in transformers, with recordings in every form that `load_audio` takes: a content block of type "audio"
        holds one under "audio", "audio_url", "url", "path", "base64" or "bytes".

        Raises `ValueError`, naming conversation and message, for what is none, a recording that cannot be loaded, and
        text that holds control tokens (`<|im_end|>`, `<|audio_pad|>`, ...); an assistant's may hold `<asr_text>`.
        """
        if kwargs.get("return_assistant_tokens_mask") and not hasattr(self, "_adjust_assistant_masks_indices"):
            # transformers 5.17 marks other tokens: it does not count what an audio token is expanded to
            raise NotImplementedError("return_assistant_tokens_mask needs a newer version of transformers")
        conversation = plain_conversation(conversation)
        self._check_conversation(conversation)
        if kwargs.get("tokenize"):
            conversation = self._with_recordings(conversation)
        return super().apply_chat_template(conversation, chat_template, **kwargs)

    def _check_conversation(self, conversation, of: str = ""):
        """Texts are joined by role before they are looked at, since templates join them: two halves make a token."""
        texts: dict[str, str] = {}
        for i, message in enumerate(conversation):
            if isinstance(message, list):
                self._check_conversation(message, f"conversation {i}, ")
                continue
            role, content = message["role"], message.get("content")
            blocks = [content] if isinstance(content, str) else content or []
            for block in blocks:
                text = block.get("text") if isinstance(block, Mapping) else block
                if text is not None:
                    check_text(text, f"{of}message {i} ({role})")
                    texts[role] = texts.get(role, "") + text
        for role, text in texts.items():
            allowed = (ANSWER_TAG,) if role == "assistant" else ()
            check_plain(self.tokenizer, text, f"{of}the {role}'s text", allowed)

    def _with_recordings(self, conversation):
        """A copy of a conversation, or of several, whose audio blocks hold samples."""
        if isinstance(conversation, list):
            several = any(isinstance(part, list) for part in conversation)
            return [self._named_recordings(part, several, i) for i, part in enumerate(conversation)]
        message = dict(conversation)
        if isinstance(message.get("content"), list):
            message["content"] = [self._with_recording(block) for block in message["content"]]
        return message

    def _named_recordings(self, part, several: bool, i: int):
        with named(f"{'conversation' if several else 'message'} {i}"):
            return self._with_recordings(part)

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
        audio: Any,
        language: str | Sequence[str | None] | None = None,
        prompt: str | Sequence[str | None] | None = None,
        tokenize: bool = True,
        chat_template: str | None = None,
        processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BatchFeature | list[str]:
        """
        Inputs for `generate`, one prompt for each recording, without writing conversations.

        Args:
            audio: what `load_audios` takes.
            language: a name or code of the 30 (any case), for all or a list; it is written into the prompt, so that
                only the transcript is generated. `None`: the model says the language itself.
            prompt: context or rare words for the system turn, for all or a list.
            tokenize: `False` returns the prompts as text, the audio unread.
            kwargs: as in `__call__`.

        Raises `ValueError` for an unknown language, lists of other lengths than `audio`, and, naming it, a prompt that
        holds control tokens (`<|im_end|>`, `<|audio_pad|>`, ...): what users write never ends a turn.
        """
        sources = audio_list(audio)
        languages = []
        for i, name in enumerate(for_each(language, len(sources), "language")):
            with named(f"recording {i}"):
                languages.append(language_name(name))
        systems = for_each(prompt, len(sources), "prompt")
        for i, system in enumerate(systems):
            if system is not None:
                check_plain(self.tokenizer, system, f"prompt {i}")
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
            text if name is None else f"{text}language {name}{ANSWER_TAG}" for text, name in zip(opened, languages)
        ]
        if not tokenize:
            return prompts
        return self(text=prompts, audio=sources, **{**(processor_kwargs or {}), **kwargs})

    def _resolve_template(self, chat_template: str | None) -> str | None:
        named = self.chat_template if isinstance(self.chat_template, dict) else {"default": self.chat_template}
        return named.get(chat_template or "default", chat_template)

    def parse_output(self, text: str | Iterable[str]) -> dict[str, str | None] | list[dict[str, str | None]]:
        """`{"language", "transcription"}` of an answer, or a list of them; see `parse_transcription`."""
        if isinstance(text, str):
            return dict(zip(("language", "transcription"), parse_transcription(text)))
        if not isinstance(text, Iterable):
            raise ValueError(f"the answer is of type {type(text).__name__}, not text")
        answers = list(text)
        for i, answer in enumerate(answers):
            if not isinstance(answer, str):
                raise ValueError(f"answer {i} is of type {type(answer).__name__}, not text")
        return [self.parse_output(answer) for answer in answers]

    def extract_transcription(self, text: str | Iterable[str]) -> str | list[str]:
        """The transcript of an answer, or of each of a list."""
        parsed = self.parse_output(text)
        return parsed["transcription"] if isinstance(parsed, dict) else [one["transcription"] for one in parsed]

    # files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """
        See [`~transformers.ProcessorMixin.from_pretrained`].

        Raises `ValueError` naming the file for a local folder that holds a spoiled one (also an `OSError`).
        """
        folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
        processor_files.check_folder(folder)
        with processor_files.naming(folder, *processor_files.READ_FILES):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path, processor_dict=None, **kwargs):
        # Published files name WhisperFeatureExtractor, -hf ones transformers' own Qwen3ASRFeatureExtractor; both hold
        # the settings of ours. The processor's own arguments are not for its parts, nor are the model's, which
        # pipeline() passes to both: a tokenizer would keep them, and could then not be written as JSON.
        own = ("chat_template", "timestamp_segment_time", "return_unused_kwargs")
        for name in (*own, "dtype", "torch_dtype", "device_map"):
            kwargs.pop(name, None)
        return [
            Qwen3ASRFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs),
            AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs),
        ]

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
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

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
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
