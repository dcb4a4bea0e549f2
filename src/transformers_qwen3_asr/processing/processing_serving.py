"""What vLLM takes of recordings and transcripts, for aligners that it serves; docs/vllm.md shows the whole way."""

import base64
import io
import os
from collections.abc import Sequence
from typing import Any

import av
import numpy as np

from ..audio.decoding import audio_list
from ..text.words import prompt_text


class ServingProcessing:
    """A method that [`Qwen3ASRProcessor`] has for aligners in vLLM; it uses the processor's words and prompts."""

    def prepare_vllm_inputs(
        self,
        audio: Any,
        transcript: str | Sequence[str] | Sequence[Sequence[str]],
        language: str | Sequence[str | None] | None = None,
        korean_dictionary: str | os.PathLike[str] | None = None,
        support_languages: Sequence[str] | None = None,
        messages: bool = False,
    ) -> tuple[list[Any], list[list[str]]]:
        """
        Requests for an aligner in vLLM, and the words that their slots stand for.

        vLLM takes a clip as long as it is. Our features are those of half a second at least (the extractor's
        `min_length`), so what is shorter is filled up here; by itself vLLM would answer it with other times, and below
        25 ms with an error.

        Args:
            audio: what `load_audios` takes: one recording or a list.
            transcript, language, korean_dictionary, support_languages: as in `prepare_forced_aligner_inputs`.
            messages: `False` for prompts as `LLM.encode` takes them, `{"prompt", "multi_modal_data"}` with float32
                samples; `True` for lists of messages as `/pooling` takes them, the recording as a wav file in base64.

        Returns: a request for each recording, and per recording the words' texts, which `decode_forced_alignment`
            takes with the scores (and `input_ids=None`, since the scores are those of the slots alone).

        Raises `ValueError` and `ImportError` as `prepare_forced_aligner_inputs` does.
        """
        sources = audio_list(audio)
        word_lists = self._word_lists(transcript, audio, len(sources), language, korean_dictionary, support_languages)
        self._check_timestamp_token()
        requests: list[Any] = []
        for samples, words in zip(self._load(sources, {}), word_lists):
            missing = self.feature_extractor.min_length - len(samples)
            if missing > 0:
                samples = np.pad(samples, (0, missing), constant_values=self.feature_extractor.padding_value)
            if messages:
                data = base64.b64encode(_wav(samples, self.feature_extractor.sampling_rate)).decode("ascii")
                sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
                content = [sound, *({"type": "text", "text": prompt_text(word)} for word in words)]
                requests.append([{"role": "user", "content": content}])
            else:
                requests.append({"prompt": self.slot_prompt(words), "multi_modal_data": {"audio": samples}})
        return requests, word_lists


def _wav(samples: np.ndarray, rate: int) -> bytes:
    """A wav file of float32 samples at `rate` hertz, none of them rounded."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
