"""`/v1/audio/transcriptions` and `/metrics`: OpenAI's own client gets what the pipeline says, many clients at once."""

import asyncio
import gc
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from conftest import GOLDENS
from corpus_clips import RATE, clips, wav
from transformers import pipeline

pytest.importorskip("httpx", reason="tests of serving need httpx, of the extra [dev]")
pytest.importorskip("openai", reason="OpenAI's client, of the extra [dev], is not installed")

import httpx
import openai
from prometheus_client.parser import text_string_to_metric_families
from served_models import error_of, served, until  # skips where the extra [serve] is missing

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.formats.reading import read_spoken

CLIENTS = 64
PATH = "/v1/audio/transcriptions"
MODEL = "golden-asr"
CLIP = clips(1)[0]["audio"]
MIB = 2**20


@pytest.fixture(scope="module")
def recogniser():
    """Of random weights: its answers are no words of a language, but they are qwen-asr's."""
    greedy = {"max_new_tokens": 16, "do_sample": False}
    model = str(GOLDENS / "asr")
    return pipeline("automatic-speech-recognition", model=model, dtype="float32", device="cpu", generate_kwargs=greedy)


@pytest.fixture(scope="module")
def client(pipe, recogniser):
    with served(pipe, recogniser=recogniser, asr_model=MODEL) as client:
        yield client


@pytest.fixture(scope="module")
def audio(client):
    """`openai.OpenAI(...).audio`, of the server."""
    with openai.OpenAI(base_url=f"{client.base_url}/v1/", api_key="any", max_retries=0, timeout=60) as own:
        yield own.audio


@pytest.fixture(scope="module")
def alone(pipe, recogniser):
    """What the pipeline says of a clip by itself."""

    def said(clip=CLIP, language="English", context=None):
        timed = {"aligner": pipe, "return_timestamps": "word", "original_text": False}
        return recogniser(io.BytesIO(clip), language=language, context=context, **timed)

    return said


class Silent:
    """A recogniser that reads each recording and hears nothing."""

    def __call__(self, rows, aligner=None, return_timestamps=None, **options):
        timed = {"chunks": [], "score": 0.0, "fits": False, "unfit": [], "untranscribed": []}
        assert all(len(load_audio(row["audio"], RATE)) for row in rows)
        result = {"text": "", "language": None, "error": None, **(timed if return_timestamps else {})}
        return [dict(result) for _ in rows]


def ask(audio, clip=CLIP, **options):
    options = {"model": MODEL, "language": "en", **options}
    return audio.transcriptions.create(file=("clip.wav", clip), **options)


def post(client, clip=CLIP, **fields):
    fields = {"language": "en", **fields}
    return client.post(PATH, files={"file": ("clip.wav", clip)}, data=fields)


def words_of(result):
    return [(chunk["text"], *chunk["timestamp"]) for chunk in result["chunks"]]


def test_json_and_text(audio, alone):
    expected = alone()["text"]
    assert expected and ask(audio).text == expected
    assert ask(audio, response_format="json", temperature=0).text == expected
    assert ask(audio, response_format="text") == expected + "\n"


def test_a_language_that_is_not_given_is_what_the_model_says(audio, alone, recogniser):
    answer = ask(audio, language=openai.omit, response_format="verbose_json")
    assert answer.text == alone(language=None)["text"] == recogniser(io.BytesIO(CLIP))["text"]
    assert answer.text != ask(audio).text and answer.language is None  # random weights say none


def test_a_prompt_is_the_context(audio, alone):
    expected = alone(context="Dashwood, Norland")["text"]
    assert ask(audio, prompt="Dashwood, Norland").text == expected != ask(audio).text


@pytest.mark.parametrize(
    ("given", "has"),
    [
        (None, {"segments"}),
        (["segment"], {"segments"}),
        (["word"], {"words"}),
        (["word", "segment"], {"words", "segments"}),
    ],
)
def test_verbose_json(audio, alone, given, has):
    expected = alone()
    asked = {} if given is None else {"timestamp_granularities": given}
    answer = ask(audio, response_format="verbose_json", **asked)
    assert (answer.text, answer.language) == (expected["text"], "English")
    assert answer.duration == pytest.approx((len(CLIP) - 44) / 2 / RATE, abs=1e-4)
    assert {name for name in ("words", "segments") if getattr(answer, name) is not None} == has
    if "words" in has:
        assert [(word.word, word.start, word.end) for word in answer.words] == words_of(expected)
    if "segments" in has:
        assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
        assert "".join("".join(s.text for s in answer.segments).split()) == "".join(expected["text"].split())
        assert answer.segments[0].start == expected["chunks"][0]["timestamp"][0]
        assert answer.segments[-1].end == expected["chunks"][-1]["timestamp"][1]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles(audio, alone, tmp_path, kind):
    """As another library reads them: pysubs2 and webvtt-py."""
    if kind == "vtt":
        pytest.importorskip("webvtt", reason="reading WebVTT needs the extra [labels]")
    expected = alone()
    for asked in ({}, {"timestamp_granularities": ["word"]}):
        path = tmp_path / f"a.{kind}"
        path.write_text(ask(audio, response_format=kind, **asked), encoding="utf-8")
        [found] = read_spoken(path, words=False)
        times = [time for word in found.words for time in (word.start, word.end)]
        if asked:
            assert times == [time for _, *both in words_of(expected) for time in both]
        else:
            firsts, lasts = expected["chunks"][0]["timestamp"], expected["chunks"][-1]["timestamp"]
            assert (times[0], times[-1]) == (firsts[0], lasts[1])


def test_silence_and_marks_have_no_words(pipe):
    """Not an error: there is nothing to give times to."""
    with served(pipe, recogniser=Silent(), asr_model=MODEL) as client:
        assert post(client).json() == {"text": ""} and post(client, response_format="text").text == "\n"
        answer = post(client, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]})
        assert answer.json()["words"] == answer.json()["segments"] == []
        assert post(client, response_format="srt").text == ""
        assert post(client, response_format="vtt").text.strip() == "WEBVTT"


def test_what_cannot_be_written_is_said(pipe, recogniser):
    """Random weights may say NUL."""

    def says_nul(rows, **options):
        results = recogniser(rows, **options)
        for chunk in (chunk for result in results for chunk in result["chunks"]):
            chunk["text"] = "a\0b"
        return [{**result, "text": "a\0b"} for result in results]

    with served(pipe, recogniser=says_nul, asr_model=MODEL) as client:
        error = error_of(post(client, response_format="srt", **{"timestamp_granularities[]": "word"}), 500)
        assert "cannot be written as srt" in error["message"]
        assert post(client, response_format="verbose_json").json()["text"] == "a\0b"


BAD = {
    "temperature": ({"temperature": 0.5}, "temperature", "unsupported_value"),
    "no temperature": ({"temperature": "hot"}, "temperature", "invalid_value"),
    "NaN": ({"temperature": "nan"}, "temperature", "unsupported_value"),
    "stream": ({"stream": "true"}, "stream", "unsupported_value"),
    "format": ({"response_format": "diarized_json"}, "response_format", "invalid_value"),
    "chunking": ({"chunking_strategy": "auto"}, "chunking_strategy", "unknown_parameter"),
    "log-probabilities": ({"include[]": "logprobs"}, "include[]", "unknown_parameter"),
    "hotwords": ({"hotwords": "Norland"}, "hotwords", "unknown_parameter"),
    "language": ({"language": "Klingon"}, "language", "invalid_value"),
    "two languages": ({"language": ["en", "de"]}, "language", "invalid_value"),
    "control tokens": ({"prompt": "ends <|im_end|>"}, None, "invalid_value"),
    "a book as prompt": ({"prompt": "word " * 2001}, "prompt", "invalid_value"),
    "granularity": (
        {"timestamp_granularities[]": "char", "response_format": "verbose_json"},
        *("timestamp_granularities[]", "invalid_value"),
    ),
    "times of json": ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "invalid_value"),
    "both in cues": (
        {"timestamp_granularities[]": ["word", "segment"], "response_format": "srt"},
        *("timestamp_granularities[]", "invalid_value"),
    ),
    "without brackets": ({"timestamp_granularities": "word"}, "timestamp_granularities", "unknown_parameter"),
}


@pytest.mark.parametrize("name", BAD)
def test_nothing_is_accepted_and_ignored(client, name):
    fields, param, code = BAD[name]
    error = error_of(post(client, **fields), 400)
    assert (error["param"], error["code"]) == (param, code), error


def test_openais_client_knows_the_errors(audio):
    for options, kind, code in (
        ({"stream": True}, openai.BadRequestError, "unsupported_value"),
        ({"temperature": 1}, openai.BadRequestError, "unsupported_value"),
        ({"clip": b"no recording"}, openai.BadRequestError, "invalid_audio"),
        ({"model": "whisper-1"}, openai.NotFoundError, "model_not_found"),
    ):
        with pytest.raises(kind) as error:
            ask(audio, **options)
        assert error.value.code == code and error.value.body["message"]


def test_without_a_recogniser(pipe):
    with served(pipe) as client:
        error = error_of(post(client), 404)
        assert error["code"] == "model_not_found" and "--asr-model" in error["message"]
        assert client.get("/health").json() == {"status": "ok", "model": "tiny-en", "waiting": 0}


@pytest.mark.slow
def test_many_clients_at_once_lose_nothing(client, alone):
    """64 of OpenAI's clients, half of them asking for words; each gets its own clip's answer."""
    rows = [row["audio"] for row in clips(CLIENTS // 8)] * 8
    expected = [alone(clip) for clip in rows[: CLIENTS // 8]] * 8

    async def everyone():
        together = asyncio.Barrier(CLIENTS)

        async def one(number, clip):
            async with openai.AsyncOpenAI(
                base_url=f"{client.base_url}/v1/", api_key="any", max_retries=0, timeout=120
            ) as own:
                await together.wait()
                timed = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
                return await ask(own.audio, clip, **(timed if number % 2 else {}))

        return await asyncio.gather(*(one(number, clip) for number, clip in enumerate(rows)))

    before = counted(client)
    answers = asyncio.run(everyone())
    assert [answer.text for answer in answers] == [result["text"] for result in expected]
    for answer, result in list(zip(answers, expected, strict=True))[1::2]:
        assert [word.word for word in answer.words] == [word for word, *_ in words_of(result)]
        for word, (_, *times) in zip(answer.words, words_of(result), strict=True):
            assert (word.start, word.end) == pytest.approx(times, abs=2e-3)
    until(lambda: counted(client, "qwen3_asr_requests_inside") == 0)
    sums = [now - then for now, then in zip(counted(client), before, strict=True)]
    assert sums[0] == CLIENTS and sums[1] == CLIENTS and sums[2] < CLIENTS  # requests, recordings, batches


def counted(client, name=None, **labels):
    """A sample of /metrics; without a name answered requests, recordings that the model took, and its batches."""
    if name is None:
        answered = counted(client, "qwen3_asr_requests_total", path=PATH, status="200")
        return answered, *(counted(client, f"qwen3_asr_batch_recordings_{part}") for part in ("sum", "count"))
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_metrics(pipe, recogniser):
    with served(pipe, recogniser=recogniser, asr_model=MODEL, api_key="sesame") as client:
        key = {"Authorization": "Bearer sesame"}
        assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
        assert post(client).status_code == 401
        client.headers = key
        assert post(client).status_code == 200 and post(client, stream="true").status_code == 400
        client.post("/v1/nobody/made/this/up")
        requests = "qwen3_asr_requests_total"
        for status in ("200", "400", "401"):
            assert counted(client, requests, path=PATH, status=status) == 1
        assert (
            counted(client, requests, path="other", status="404") == 1
            and "made/this/up" not in client.get("/metrics").text
        )
        assert counted(client, "qwen3_asr_request_seconds_count", path=PATH) == 3
        seconds = (len(CLIP) - 44) / 2 / RATE
        assert counted(client, "qwen3_asr_audio_seconds_total", path=PATH) == pytest.approx(seconds, abs=1e-4)
        assert counted(client, "qwen3_asr_model_seconds_total") > 0
        assert counted(client, "qwen3_asr_waiting") == counted(client, "qwen3_asr_requests_inside") == 0


@pytest.mark.slow
def test_memory_is_bounded(pipe):
    """128 uploads of a megabyte leave the process hardly larger than 32 did. Nothing is recognised."""
    clip = wav(np.zeros(30 * RATE))
    with served(pipe, recogniser=Silent(), asr_model=MODEL) as client:
        process = psutil.Process()

        def rounds(count):
            def one(_):
                with httpx.Client(base_url=client.base_url, timeout=60) as own:
                    return post(own, clip, response_format="verbose_json").status_code

            with ThreadPoolExecutor(16) as clients:
                assert set(clients.map(one, range(count))) == {200}
            gc.collect()
            return process.memory_info().rss

        before = rounds(32)
        assert rounds(128) - before < 64 * MIB  # the uploads are 117 MiB, and twice that as samples


def test_what_the_command_refuses(capsys):
    assert main(["serve", "--model", "tiny-en", "--port", "0", "--asr-model", "/nowhere"]) == 2
    assert "--asr-model /nowhere: " in capsys.readouterr().err
    assert main(["serve", "--model", "tiny-en", "--port", "0", "--asr-model", str(GOLDENS / "aligner")]) == 2
    assert "is an aligner, which writes no text" in capsys.readouterr().err
