"""`pipeline("forced-alignment", model=...)`: a recording and its text in, each word's start and end out."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from operator import itemgetter
from typing import Any, Unpack, overload

import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import BatchFeature
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from ..alignment.chunks import check_choices
from ..alignment.decoding import DECODINGS, DEFAULT_DECODING, slot_logits
from ..alignment.untranscribed import Levels
from ..alignment.voice_activity import voice_activity
from ..checkpoints.loaded import LoadedPipeline, described, unwrapped
from ..gpu.graphs import without_graphs
from ..gpu.streams import OwnStream
from ..longform.asking import ShortRecording, ask, in_doubt
from ..longform.long_recordings import LongRecording, open_long, window_limit
from ..models.graphed import is_small, two_may_call
from ..models.modeling_qwen3_asr import Qwen3ASRForTokenClassification
from ..results import AlignmentOptions, AlignmentResult, Recording
from ..text.languages import aligner_language
from ..text.sentences import breaks_behind
from ..text.words import split_words, word_texts
from .batching import ahead, gathered, pass_seconds, passes, threads_ahead
from .outcomes import ON_ERROR, ROW_ERRORS, Numbered, aligned_result, error_result, failure, numbered
from .rows import as_row, as_rows, check_number, check_row, is_recording, undecoded, whole_number

#: Times a recording's own audio that the model may be given, if not said otherwise; half as often where nothing fits.
#: With 4, people's clips joined lost their place where several passages have no text.
BUDGET = 6.0


class ForcedAlignmentPipeline(LoadedPipeline):
    """
    Aligns recordings with their texts.

    Registered as the task "forced-alignment" (models of `AutoModelForTokenClassification`, type "multimodal"); also
    reached by `pipeline("token-classification", model=..., pipeline_class=ForcedAlignmentPipeline)`.

    Calls:

    - `pipe(audio, text="what is said", language="English")`: one recording, in any form that
      `transformers_qwen3_asr.audio.load_audio` takes. `text` may also be a list of words. Returns one result.
    - `pipe({"audio": audio, "text": text, "language": language})`: the same as one row.
    - `pipe([audio, audio], text=[text, text], language=...)` or `pipe([row, row])`: returns a list of results.
    - `pipe(rows)` for a `datasets.Dataset` or `IterableDataset`, a torch dataset or any other iterable of rows:
      returns an iterator of results in the same order. Further columns are left alone. A dataset's `Audio` column is
      decoded here, by PyAV.

    A result is `{"text": text as given, "chunks": [{"text": word, "timestamp": (start, end), "score": score,
    "char_start": first, "char_end": past the last}, ...], "score": score, "fits": whether text and recording belong
    together, "unfit": [passage, ...], "untranscribed": [passage, ...], "heard": seconds of audio that the model was
    given}` with times in seconds, scores from 0 to 1 (`alignment.confidence`), offsets into the text (of a list: its
    words joined by single spaces), and passages that are like chunks without text and score: of the text, where it
    does not fit, and of the recording, where something is heard that the text does not have
    (`alignment.untranscribed`). A text without words, such as an empty one, has no chunks and no passages, and does
    not fit.

    Keywords, of the call or (as defaults) of `pipeline()`: `language` (name or code, one for all or, beside a list of
    recordings, a list; a row's own goes first), `korean_dictionary` (see `split_words`), `decoding` ("joint", or
    "argmax" for qwen-asr's times; see `alignment.decoding.decode_slots`), `refine` (whether words in doubt are asked
    for again in short windows, see `longform.rescoring`; if not given they are with "joint", and never with "argmax"),
    `budget` (how many times the recording's own audio the model may be given: once in any case, and more where words
    are in doubt or lost; 6 if not given), `return_timestamps` ("word" if not given; "char", "sentence" or "line" make
    other chunks) and `original_text` (False if not given; True gives chunks their punctuation and white space, so that
    their texts joined are the text; see `alignment.chunks.make_chunks` for both), `batch_size` (recordings at once, 1
    if not given; results do not depend on it, nor on what follows), `batch_seconds` (seconds of audio in one forward
    pass, padding included; if not given, 60 on a CPU and 4,096 on a GPU; without `batch_size` as many recordings at
    once as that holds) and `num_workers` (processes that decode audio, 0 if not given).

    A batch is one forward pass, or several, of similar lengths each, where it holds more audio than the device is
    given at once (see `pipelines.batching`). On a GPU three threads work at once: one reads and prepares a batch, one
    gives the batch before it to the model, and the caller's makes results of the one before that.

    A model given by its name computes in its checkpoint's dtype where the device multiplies that, and else in float32;
    `dtype` says otherwise, and "int8" means int8 layers, for CPUs (`transformers_qwen3_asr.Int8Config`). A
    model given as an object keeps its dtype unless another is asked for.

    A recording may be of any length. One that is longer than `max_align_seconds` (a keyword; if not given, what the
    model's config says: `Qwen3ASRConfig.align_seconds`) is decoded as it is needed and aligned window by window (see
    `longform.walk`); `batch_size` then counts windows. `progress=True` draws a bar for each such recording on
    standard error, if that is a terminal.

    Raises `ValueError`, naming the item's index in a list or dataset, for a recording that cannot be decoded, a
    missing text, lists of different lengths, `max_align_seconds` beyond the reach of the model's time classes;
    `TypeError` for an unknown keyword. An iterator of results yields those of the rows before the bad one first.

    With `on_error="return"` (a keyword; "raise" if not given) a bad row does not stop the others. Its result is an
    empty one, with what was wrong under "error": `"item 3: ValueError: …"`, the row's index, the error's type and its
    text. The "error" of a good row is then `None`. What is returned so are a row's `ValueError`, `OSError` and
    `ImportError` (a word splitter is missing); others are raised, and so is what an iterable of rows raises itself,
    after the results of the rows that it gave.
    """

    def check_parts(self, model: Any, processor: Any) -> None:
        """Raises `ValueError` unless these are an aligner, perhaps wrapped, and its processor."""
        if not isinstance(unwrapped(model), Qwen3ASRForTokenClassification):
            raise ValueError(
                f"{described(model)}, and gives no times: an aligner, this package's Qwen3ASRForTokenClassification, "
                "is needed. A speech recogniser goes to pipeline('automatic-speech-recognition')"
            )
        if not hasattr(processor, "slot_inputs"):
            raise ValueError("forced alignment needs a processor=Qwen3ASRProcessor beside the model")
        config = model.config
        if config.timestamp_token_id is None or not config.timestamp_segment_time:
            raise ValueError("the model's config has no timestamp_token_id or timestamp_segment_time: not an aligner")

    def _sanitize_parameters(
        self, language=None, korean_dictionary=None, decoding=None, refine=None, budget=None, **others
    ):
        batch_seconds = others.pop("batch_seconds", None)
        on_error = others.pop("on_error", None)
        if on_error not in (None, *ON_ERROR):
            raise ValueError(f"on_error={on_error!r}: known are {', '.join(ON_ERROR)}")
        units = {name: others.pop(name, None) for name in ("return_timestamps", "original_text")}
        units = {name: value for name, value in units.items() if value is not None}
        check_choices(**units)
        after = units if on_error is None else {**units, "on_error": on_error}
        if unknown := set(others) - {"max_align_seconds", "progress"}:
            raise TypeError(f"forced alignment has no parameter {', '.join(sorted(unknown))}")
        if decoding not in (None, *DECODINGS):
            raise ValueError(f"decoding={decoding!r}: known are {', '.join(DECODINGS)}")
        if others.get("max_align_seconds") is not None:
            window_limit(others["max_align_seconds"], self.model.config)
        limits = {name: others[name] for name in ("max_align_seconds", "progress") if name in others}
        given = {"language": language, "korean_dictionary": korean_dictionary, **limits}
        if refine not in (None, True, False):
            raise ValueError(f"refine={refine!r}: True or False is expected")
        check_number("budget", budget, "how often the recording's audio may be heard")
        check_number("batch_seconds", batch_seconds, "seconds of audio in a forward pass")
        forward = {"decoding": decoding, "refine": refine, "budget": budget, "batch_seconds": batch_seconds}
        forward = {name: value for name, value in forward.items() if value is not None}
        return {name: value for name, value in given.items() if value is not None}, forward, after

    @overload
    def __call__(
        self,
        audio: Recording,
        text: str | Sequence[str] | None = ...,
        language: str | None = ...,
        **options: Unpack[AlignmentOptions],
    ) -> AlignmentResult: ...
    @overload
    def __call__(
        self,
        audio: Sequence[Any],
        text: Sequence[str] | Sequence[Sequence[str]] | None = ...,
        language: str | Sequence[str | None] | None = ...,
        **options: Unpack[AlignmentOptions],
    ) -> list[AlignmentResult]: ...
    @overload
    def __call__(self, audio: Iterable[Any], **options: Unpack[AlignmentOptions]) -> Iterator[AlignmentResult]: ...
    def __call__(
        self,
        audio: Any,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        language: str | Sequence[str | None] | None = None,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        **kwargs: Any,
    ) -> AlignmentResult | list[AlignmentResult] | Iterator[AlignmentResult]:
        """Aligns one recording, a list of them or a dataset; see the class for the forms and for what comes back."""
        one = language is None or isinstance(language, str)
        parameters, forward, after = self._sanitize_parameters(language=language if one else None, **kwargs)
        parameters, forward = {**self._preprocess_params, **parameters}, {**self._forward_params, **forward}
        after = {**self._postprocess_params, **after}
        if forward.get("refine") and forward.get("decoding", DEFAULT_DECODING) != "joint":
            raise ValueError(f"refine=True goes with decoding='joint', not with {forward['decoding']!r}")
        default = sys.maxsize if "batch_seconds" in forward else 1
        batch_size = whole_number("batch_size", batch_size, self._batch_size, default, least=1)
        num_workers = whole_number("num_workers", num_workers, self._num_workers, default=0, least=0)

        if is_recording(audio) or isinstance(audio, Mapping):
            if not one:
                raise ValueError(f"one recording, but language={language!r}")
            return self.run_single((None, as_row(audio, text)), parameters, forward, after, batch_size)
        if isinstance(audio, Sequence):
            rows = as_rows(audio, text, None if one else language)
            return list(self.get_iterator(rows, num_workers, batch_size, parameters, forward, after))
        rows = undecoded(audio)
        if text is not None or not one:
            raise ValueError("lists of texts or languages go with a list of recordings; a dataset's rows hold theirs")
        return self.get_iterator(rows, num_workers, batch_size, parameters, forward, after)

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params, batch_size=1):
        items = [self._read(inputs, **preprocess_params)]
        return next(self._results(items, batch_size, forward_params, postprocess_params))

    def get_iterator(self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
        """
        Yields a result a row, in order. The library's own would pad features and tokens one by one, not knowing what
        they are; here a batch is a list of decoded recordings until the processor makes inputs of it.
        """
        mapped = hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")
        if mapped and not isinstance(inputs, IterableDataset):
            dataset = PipelineDataset(Numbered(inputs), self._read, preprocess_params)
        elif num_workers > 1:
            raise ValueError(f"num_workers={num_workers}: rows that can only be iterated have one reader at most")
        else:
            # which may fill one array again and again
            dataset = PipelineIterator(numbered(inputs), self._read, {**preprocess_params, "copy": True})
        items = iter(DataLoader(dataset, num_workers=num_workers, collate_fn=itemgetter(0)))  # one by one
        most = forward_params.get("batch_seconds")
        batches = gathered(items, self._seconds, batch_size, most or float("inf"), lambda item: _close([item]))
        threads = threads_ahead(self.device)
        if threads:
            prepared = partial(self._prepared, own=OwnStream(self.device, "inputs"), most=most)
            batches = ahead(batches, prepared, _close)
        if threads > 1 and unwrapped(self.model) is self.model and two_may_call(self.model):
            batches = ahead(batches, partial(self._scored, own=OwnStream(self.device, "scores")), _close)
        # closed here: what stops early or fails must not leave threads to the garbage collector
        with closing(batches):
            for batch in batches:
                try:
                    yield from self._results(batch, batch_size, forward_params, postprocess_params)
                finally:
                    _close(batch)

    def _read(self, input_, **preprocess_params):
        """`preprocess`, or what was wrong, which is for `_results` to raise or return when the row's turn comes."""
        index, row = input_
        try:
            if not isinstance(row, Exception):
                return {**self.preprocess(input_, **preprocess_params), "index": index}
        except ROW_ERRORS as error:
            return {**failure(row, error), "index": index}
        return {**failure(None, row), "index": index, "ended": index is None}

    def _results(self, items: list[dict], batch_size: int, forward_params: dict, postprocess_params: dict):
        if postprocess_params.get("on_error") != "return":
            first = next((place for place, item in enumerate(items) if "error" in item), len(items))
            items = items[: first + 1]  # what is behind it has no result
        aligned = self._tried([item for item in items if "error" not in item], batch_size, forward_params)
        for item in items:
            if item.get("ended"):
                raise item["error"]
            yield self.postprocess(item if "error" in item else next(aligned), **postprocess_params)

    def _tried(self, items: list[dict], batch_size: int, forward_params: dict) -> Iterator[dict]:
        """`_aligned`. An error may be a single row's or the whole batch's: items one by one tell."""
        try:
            aligned = self._aligned([dict(item) for item in items], batch_size, forward_params) if items else []
        except ROW_ERRORS as error:
            if len(items) == 1:
                aligned = [{**items[0], "error": error}]
            else:
                aligned = (item for one in items for item in self._tried([one], batch_size, forward_params))
        yield from aligned

    @torch.no_grad()
    def _aligned(self, items: list[dict], batch_size: int, forward_params: dict) -> list[dict]:
        """Preprocessed items with their words' times; windows of long recordings share batches among themselves."""
        said = [item["language"] for item in items if item["words"]]
        self.processor.aligner_languages(said, self.model.config.support_languages)
        decoding = forward_params.get("decoding", DEFAULT_DECODING)
        refined = forward_params.get("refine", decoding == "joint")
        budget = forward_params.get("budget", BUDGET)
        most = forward_params.get("batch_seconds")
        segment_time, rate = self.model.config.timestamp_segment_time, self.processor.feature_extractor.sampling_rate
        asked = [LongRecording(item, segment_time, decoding, budget, refined) for item in items if "stream" in item]
        # a text without words has nothing to ask the model
        for chosen in self._passes([item for item in items if "stream" not in item and item["words"]], most):
            asked += [
                ShortRecording(item, logits, rate, segment_time, budget)
                for item, logits in zip(chosen, self._decoded(chosen, decoding), strict=True)
                if refined and in_doubt(item)
            ]
        ask(asked, partial(self._window_logits, most=most), batch_size)
        return items

    def _passes(self, items: list[dict], most: float | None) -> list[list[dict]]:
        """Items of one forward pass each, of `most` seconds, or of what the device has memory for."""
        found = passes([self._seconds(item) for item in items], most or pass_seconds(self.device))
        return [[items[place] for place in places] for places in found]

    def _prepared(self, batch: list[dict], own: OwnStream, most: float | None) -> list[dict]:
        """A batch with the inputs of its forward passes "made", each at its first item. What is wrong with them shows
        when they are made again in the batch's turn."""
        for chosen in self._passes([item for item in batch if "audio" in item and item["words"]], most):
            with suppress(*ROW_ERRORS):
                made = own.make(self._inputs, chosen)
                chosen[0]["made"] = {"of": [id(item["words"]) for item in chosen], "inputs": made}
        return batch

    def _scored(self, batch: list[dict], own: OwnStream) -> list[dict]:
        """A prepared batch with the scores of its larger forward passes. What is wrong with one shows likewise."""
        for item in batch:
            if (made := item.get("made")) and not is_small(made["inputs"].values["input_ids"]):
                with suppress(*ROW_ERRORS), without_graphs():
                    made["scores"] = own.make(lambda inputs: self.forward(inputs.take()), made.pop("inputs"))
        return batch

    def _inputs(self, items: list[dict]) -> BatchFeature:
        recordings, word_lists = [item["audio"] for item in items], [item["words"] for item in items]
        return self.processor.slot_inputs(recordings, word_lists, device=self.device).to(self.device, self.dtype)

    def _decoded(self, items: list[dict], decoding: str) -> list[torch.Tensor]:
        """Gives items their "aligned" words and the seconds "heard", and returns their scores at the slots."""
        slot, rate = self.model.config.timestamp_token_id, self.processor.feature_extractor.sampling_rate
        logits, input_ids = self._slot_scores(items)
        # decoded where the scores are, so that thousands of scores a slot never leave the device
        aligned = self.processor.decode_forced_alignment(
            *(logits, input_ids, [item["words"] for item in items], slot, self.model.config.timestamp_segment_time),
            return_scores=True,
            decoding=decoding,
            durations=[len(item["audio"]) / rate for item in items],
            probabilities=False,
            voices=[item["voice"] for item in items],
            breaks=[item["breaks"] for item in items],
        )
        for item, words in zip(items, aligned, strict=True):
            item.update(aligned=words, heard=len(item["audio"]) / rate)
        return slot_logits(logits, input_ids, slot)

    def _window_logits(self, windows: list[dict], most: float | None) -> list[torch.Tensor]:
        for chosen in self._passes(windows, most):  # decoded later, and with fewer words than a window was given
            clips = slot_logits(*self._slot_scores(chosen), self.model.config.timestamp_token_id)
            for window, clip in zip(chosen, clips, strict=True):
                window["logits"] = clip
        return [window.pop("logits") for window in windows]

    def _seconds(self, item: dict) -> float:
        """Seconds of a pass that an item takes: its audio or what the model takes at once; little for an error."""
        if "audio" in item:
            return len(item["audio"]) / self.processor.feature_extractor.sampling_rate
        return item.get("seconds", 1.0)

    def preprocess(
        self, input_, language=None, korean_dictionary=None, max_align_seconds=None, progress=False, copy=False
    ) -> dict[str, Any]:
        """
        Decodes one (index, row) and cuts its text into words; index None stands for a recording by itself. A long
        recording is opened only.
        """
        _, row = input_
        check_row(row)
        language = language if row.get("language") is None else row["language"]
        words = split_words(row["text"], aligner_language(language), korean_dictionary)
        seconds = window_limit(max_align_seconds, self.model.config)
        rate = self.processor.feature_extractor.sampling_rate
        audio, stream = open_long(row["audio"], rate, seconds, word_texts(words), copy)
        item = {"text": row["text"], "language": language, "words": word_texts(words), "spans": words}
        item["breaks"] = breaks_behind(row["text"], words)
        if stream is None:
            levels = Levels(rate)  # here, where it may be a thread's work
            levels.note(0, audio)
            return {**item, "audio": audio, "levels": levels, "voice": voice_activity(levels.decibels())}
        return {**item, "stream": stream, "seconds": seconds, "progress": progress}

    def _ensure_tensor_on_device(self, inputs, device):
        """Items as they are. The library's own would look at each sample's and word's place; inputs go to the device
        when they are made, and scores stay there."""
        return inputs

    def _forward(self, inputs: BatchFeature) -> dict[str, torch.Tensor]:
        slots = inputs["input_ids"] == self.model.config.timestamp_token_id
        return {"logits": self.model(**inputs, logits_to_keep=slots).logits, "input_ids": inputs["input_ids"]}

    def _slot_scores(self, items: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores at the slots of items with "audio" and "words", `(slots of all, classes)`; the input_ids that they
        belong to."""
        made = items[0].pop("made", {})
        done = {**made} if made.get("of") == [id(item["words"]) for item in items] else {}
        made.clear()  # which a copy of the item has, too
        if "scores" in done:
            scores = done["scores"].take()
        else:
            scores = self.forward(done["inputs"].take() if "inputs" in done else self._inputs(items))
        return scores["logits"], scores["input_ids"]

    def postprocess(
        self,
        model_outputs: dict[str, Any],
        return_timestamps: str = "word",
        original_text: bool = False,
        on_error: str = "raise",
    ) -> AlignmentResult:
        if "error" in model_outputs:
            return error_result(model_outputs, on_error)
        result = aligned_result(model_outputs, return_timestamps, original_text)
        return result if on_error == "raise" else {**result, "error": None}


def _close(items: list[dict]) -> None:
    """Lets go of the files of long recordings; of those that were aligned it is done already."""
    for item in items:
        if "stream" in item:
            item["stream"].close()
