"""Recordings of minutes through the pipeline with the bundled aligner."""

import io
import json
import wave
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from readings import RATE, READINGS, encoded, joined, times_of

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.evaluation.comparing import evaluate_aligner
from transformers_qwen3_asr.longform.long_recordings import (
    LEAST,
    LongRecording,
    least_lengths,
    open_long,
    window_limit,
)


def off(found, expected):
    return np.abs(found - expected).max(1)


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def three_minutes(readings, tmp_path_factory):
    samples, words, times = joined(readings, 170)
    return write_wav(tmp_path_factory.mktemp("long") / "long.wav", samples), words, times


def test_words_of_minutes_stand_where_they_stand_alone(pipe, three_minutes):
    path, words, expected = three_minutes
    text = " ".join(words)
    result = pipe(path, text=text)
    assert result["text"] == text and [chunk["text"] for chunk in result["chunks"]] == words
    found = times_of(result)
    print(f"{len(words)} words: {np.median(off(found, expected)) * 1000:.0f} ms median")
    assert np.median(off(found, expected)) < 0.1
    assert (off(found, expected) > 1).mean() < 0.05
    assert (np.diff(found.reshape(-1)) >= 0).all()
    assert all(type(time) is float for chunk in result["chunks"] for time in chunk["timestamp"])
    assert all(text[chunk["char_start"] : chunk["char_end"]] == chunk["text"] for chunk in result["chunks"])
    assert result["fits"]
    json.dumps(result)


def test_a_text_that_repeats_itself(pipe):
    """Any verse may be taken for another."""
    path, text = READINGS[0]
    words, samples = text.split(), np.r_[load_audio(path), np.zeros(RATE // 2, np.float32)]
    alone = times_of(pipe(samples, text=words))
    result = pipe(np.tile(samples, 6), text=words * 6)
    times = times_of(result).reshape(6, -1, 2) - len(samples) / RATE * np.arange(6)[:, None, None]
    assert result["fits"] and (np.abs(times - alone).max(-1) < 0.2).mean() > 0.9


def test_another_text_is_said_to_be_another(pipe, readings):
    path, words, _ = joined(readings, 60, seed=6)
    own = pipe(path, text=words)
    # no word of it is in the recording
    other = "blue whales swallow krill by tons while frozen oceans glimmer beneath northern skies "
    other *= len(words) // 13
    result = pipe(path, text=other)
    assert len(result["chunks"]) == len(other.split())
    assert result["score"] < own["score"] / 1.5
    assert not result["fits"]


def test_sources_and_batches_change_nothing(pipe, readings, tmp_path):
    samples, words, _ = joined(readings, 50, seed=4)
    path = write_wav(tmp_path / "long.wav", samples)
    samples = load_audio(path)
    expected = pipe(path, text=words)
    for source in (samples, torch.from_numpy(samples), path.read_bytes()):
        assert pipe(source, text=words) == expected
    with open(path, "rb") as file:
        assert pipe(file, text=words) == expected
    # beside others, long and short, whose windows share its batches
    other, said, _ = joined(readings, 40, seed=1)
    rows = [(samples, words), readings[0][:2], (other, said), (other[: 35 * RATE], said[:20])]
    alone = [pipe(audio, text=text) for audio, text in rows]
    for batch_size, workers in ((4, 0), (3, 2)):
        results = pipe(
            [audio for audio, _ in rows], text=[text for _, text in rows], batch_size=batch_size, num_workers=workers
        )
        for result, wanted in zip(results, alone, strict=True):
            assert [c["text"] for c in result["chunks"]] == [c["text"] for c in wanted["chunks"]]
            assert np.abs(times_of(result) - times_of(wanted)).max() < 0.005  # rounding of other batches


def test_a_book_beside_a_short_recording_costs_no_more_than_its_windows(pipe, readings, monkeypatch):
    """In one piece it would be a prompt of 100,000 tokens, and as many times classes scores."""
    samples, words, alone = readings[0]
    book = words + ["chapter", "two", "of", "something", "else"] * 8000
    most, prepare = [], pipe.processor.slot_inputs
    monkeypatch.setattr(
        pipe.processor,
        "slot_inputs",
        lambda recordings, words, **given: [most.append(max(map(len, words))), prepare(recordings, words, **given)][1],
    )
    result = pipe(samples, text=" ".join(book))
    assert max(most) < 300
    assert len(result["chunks"]) == len(book) and not result["fits"]
    found = times_of(result)
    assert np.median(off(found[: len(words)], alone)) < 0.1
    assert found.max() <= len(samples) / RATE + 1e-3 and (np.diff(found.reshape(-1)) >= 0).all()
    assert max(chunk["score"] for chunk in result["chunks"][len(words) + 50 :]) < 0.3


def test_within_the_limit_nothing_is_cut(pipe, readings, monkeypatch):
    samples, words, _ = joined(readings, 15)
    samples = samples[: int(window_limit(None, pipe.model.config) * RATE)]
    expected = pipe(samples, text=words)
    monkeypatch.setattr("transformers_qwen3_asr.pipelines.forced_alignment.LongRecording", None)
    assert pipe(samples, text=words) == expected
    with pytest.raises(TypeError):
        pipe(samples, text=words, max_align_seconds=5)


def test_what_the_text_does_not_have_comes_first(pipe, readings):
    samples, words, expected = joined(readings, 60, seed=2, first=50.0)
    noise = np.random.default_rng(0).normal(0, 0.03, 50 * RATE)
    samples[: 50 * RATE] += noise.astype(np.float32)
    found = times_of(pipe(samples, text=words))
    assert (off(found, expected) > 1).mean() < 0.1


def test_texts_that_are_too_short_too_long_or_strange(pipe, three_minutes, readings):
    path, words, expected = three_minutes
    found = times_of(pipe(path, text=words[:10]))
    assert off(found, expected[:10]).max() < 1
    samples, said, _ = joined(readings, 35, seed=3)
    long = said + ["nothing"] * 400
    result = pipe(samples, text=long)
    assert len(result["chunks"]) == len(long)
    assert not result["fits"] and result["chunks"][-1]["score"] < 0.4
    assert times_of(result).max() <= len(samples) / RATE + 1e-3
    (chunk,) = pipe(samples, text="a" * 200)["chunks"]
    assert 0 <= chunk["timestamp"][0] <= chunk["timestamp"][1] <= len(samples) / RATE
    assert pipe(samples, text="")["chunks"] == []


@pytest.mark.parametrize("kind", ["zeros", "noise", "constant"])
def test_audio_without_speech_is_answered_with_low_scores(pipe, kind):
    size = 40 * RATE
    samples = {
        "zeros": np.zeros(size),
        "noise": np.random.default_rng(0).normal(0, 0.1, size),
        "constant": np.full(size, 0.25),
    }[kind].astype(np.float32)
    result = pipe(samples, text="there is nobody here who could have said so " * 10)
    assert len(result["chunks"]) == 90 and not result["fits"]
    assert times_of(result).max() <= 40


def test_errors_name_the_item(pipe, three_minutes, tmp_path):
    path, words, _ = three_minutes
    bad = load_audio(path).copy()
    bad[100 * RATE] = np.nan
    with pytest.raises(ValueError, match=r"^item 1: .*NaN"):
        pipe([path, bad], text=[words[:5], words[:5]])
    # NaN in a file is met only when it is read
    floats = tmp_path / "floats.wav"
    with av.open(str(floats), "w", format="wav") as output:
        stream = output.add_stream("pcm_f32le", rate=RATE, layout="mono")
        for at in range(0, len(bad), 4000):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(bad[None, at : at + 4000]), "flt", "mono")
            frame.sample_rate, frame.pts = RATE, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"^item 1: .*floats\.wav.*NaN"):
        pipe([path, floats], text=[words, words])
    with pytest.raises(ValueError, match=r"floats\.wav.*NaN"):
        pipe(floats, text=words)


def test_what_comes_before_a_long_recording_that_breaks_off_is_not_lost(pipe, readings, three_minutes):
    long, words, _ = three_minutes
    samples, said, _ = readings[0]
    broken, _, _ = joined(readings, 60)
    broken[50 * RATE] = np.nan  # in a window that is read when others are aligned already
    good, bad = {"audio": samples, "text": said}, {"audio": encoded(broken, codec="pcm_f32le"), "text": words}
    rows = [good, {"audio": long, "text": words}, bad, good]
    results = pipe(iter(rows), batch_size=4)
    found = [next(results), next(results)]
    with pytest.raises(ValueError, match=r"^item 2: .*NaN"):
        next(results)
    assert [len(result["chunks"]) for result in found] == [len(said), len(words)]
    alone = pipe(long, text=words)  # whose windows went through the model in other batches
    assert np.allclose(times_of(found[1]), times_of(alone), atol=2e-3)
    assert found[1]["score"] == pytest.approx(alone["score"], abs=1e-5) and found[1]["unfit"] == alone["unfit"]
    with pytest.raises(ValueError, match=r"^the audio given as .*NaN"):
        pipe(**bad)


def test_evaluate_takes_long_rows(pipe, three_minutes):
    path, words, expected = three_minutes
    labels = [{"text": w, "start": float(s), "end": float(e)} for w, (s, e) in zip(words, expected, strict=True)]
    # labels made here may overlap by a rounding
    for before, word in pairwise(labels):
        word["start"] = max(word["start"], before["end"])
        word["end"] = max(word["end"], word["start"] + 0.001)
    evaluation = evaluate_aligner(pipe.model, pipe.processor, [{"audio": str(path), "words": labels}], resamples=10)
    assert evaluation.metrics["words"] == len(words)
    assert evaluation.metrics["within_100ms"] > 0.85


def test_the_command(three_minutes, tmp_path, capsys):
    path, words, expected = three_minutes
    (tmp_path / "book.txt").write_text(" ".join(words), encoding="utf-8")
    arguments = ["align", str(path), "--model", "tiny-en", "--text-file", str(tmp_path / "book.txt")]
    arguments += ["--device", "cpu", "--dtype", "float32", "--output", str(tmp_path / "book.json")]
    assert main(arguments) == 0
    found = times_of(json.loads((tmp_path / "book.json").read_text(encoding="utf-8")))
    assert (off(found, expected) > 1).mean() < 0.05
    assert main([*arguments, "--max-align-seconds", "10"]) == 0
    again = times_of(json.loads((tmp_path / "book.json").read_text(encoding="utf-8")))
    assert (off(again, expected) > 1).mean() < 0.1
    assert not np.array_equal(found, again)
    assert main([*arguments, "--max-align-seconds", "4000"]) == 2
    assert "max_align_seconds=4000.0: from 1 to" in capsys.readouterr().err


def test_open_long_decides_by_length(tmp_path):
    path = write_wav(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 6 * RATE))
    samples, stream = open_long(path, RATE, 6)
    assert stream is None and np.array_equal(samples, load_audio(path))
    samples, stream = open_long(path, RATE, 5.9)
    assert samples is None and np.array_equal(stream.read(0, 99), load_audio(path)[:99])
    stream.close()
    for audio in (np.zeros(0, np.float32), b"nothing"):
        with pytest.raises(ValueError, match=r"empty|cannot be decoded"):
            open_long(audio, RATE, 5)


def put_together(times, seconds, segment_time, decoding="joint", end=None):
    """What a recording of so many seconds makes of a walk's times."""
    item = {"stream": AudioStream(np.zeros(int(seconds * RATE), np.float32)), "words": ["word"] * len(times)}
    recording = LongRecording({**item, "breaks": [], "seconds": 5.0}, segment_time, decoding, 3.0, True)
    recording._walk.times, recording._walk.scores = times, np.ones(len(times))
    recording._walk.end = seconds if end is None else end
    return np.array([(word["start_time"], word["end_time"]) for word in recording._aligned()])


@pytest.mark.parametrize(("limit", "seconds"), [(5, 5), (30, 12), (180, 60), (300, 100)])
def test_a_window_is_a_third_of_what_the_model_takes_or_twelve_seconds(limit, seconds):
    item = {"stream": AudioStream(np.zeros(RATE, np.float32)), "words": ["word"], "breaks": [False]}
    item["seconds"] = float(limit)
    assert LongRecording(item, 80.0, "joint", 3.0, True)._walk.seconds == pytest.approx(seconds)


def test_words_that_are_not_said_push_none_that_are():
    """A skipped page: its words share what there is, and take no more than a few classes from the words around it."""
    starts = 0.3 * np.arange(80)
    times = np.stack([starts, starts + 0.25], 1)
    times = np.insert(times, [40] * 60, (times[40, 0], times[40, 0]), axis=0)
    found = put_together(times, 30.0, 80.0)
    assert (np.diff(found.ravel()) >= 0).all() and (np.diff(found) > 0).all()
    assert np.abs(found - times)[[*range(40), *range(100, 140)]].max() <= 0.16
    assert np.array_equal(found[:36], times[:36].round(3)) and np.array_equal(found[-36:], times[-36:].round(3))


def test_no_word_of_a_long_recording_is_shorter_than_a_class():
    times = np.array([[0.1, 0.5], [0.5, 0.5], [0.5, 0.505], [0.7, 0.9], [9.99, 10.0]])
    found = put_together(times, 10.0, 20.0)
    assert (np.diff(found.ravel()) >= 0).all() and found.max() == 10.0
    assert (np.diff(found) >= 0.02 - 1e-9).all()
    assert np.abs(found - times).max() <= 0.04 and np.array_equal(found[3], times[3])
    # as qwen-asr: what has no length stays so
    assert np.array_equal(put_together(times, 10.0, 20.0, "argmax"), times.round(3))
    crowded = put_together(times, 10.0, 20.0, end=0.05)
    assert crowded.max() <= 0.05 and (np.diff(crowded.ravel()) >= 0).all()


def test_least_lengths():
    times = np.array([[0, 100], [500, 500], [500, 505], [700, 900], [990, 1000]], float)
    assert least_lengths(times, 20.0).tolist() == [20, 20, 20, 20, 20]
    # a hundred words between two share what is given to them
    found = least_lengths(np.insert(times, [2] * 100, (500.0, 500.0), axis=0), 20.0)
    assert found[[0, -2]].tolist() == [20, 20] and found[1:-2] == pytest.approx(160 / 103) and found[-1] == found[1]
    assert (least_lengths(np.zeros((5000, 2)), 80.0) == LEAST).all()
    assert least_lengths(np.zeros((0, 2)), 80.0).shape == (0,)


def test_a_book_for_a_minute_is_a_stream_whatever_it_is_made_of():
    samples = np.zeros(RATE, np.float32)
    for words, long in ((["a"] * 100, False), (["a"] * 500, True), (["a" * 30] * 100, True), ([], False)):
        kept, stream = open_long(samples, RATE, 30.0, words)
        assert (kept is None, stream is None) == (long, not long)


# budgets


@pytest.mark.parametrize("budget", [1, 2.0])
def test_a_budget_is_obeyed(pipe, readings, budget):
    """By a text that is right, one that lacks words, one of something else; in a long recording and a clip."""
    samples, words, _ = joined(readings, 60, seed=5)
    most = max(budget, 1.6) * len(samples) / RATE + 12.0  # windows of the first hearing overlap, and one is begun
    right = pipe(samples, text=words, budget=budget)
    assert 0 < right["heard"] <= most
    lacking = pipe(samples, text=words[: len(words) // 3] + words[len(words) // 2 :], budget=budget)
    assert lacking["heard"] <= most
    other = "blue whales swallow krill by tons while frozen oceans glimmer beneath northern skies ".split()
    assert pipe(samples, text=(other * len(words))[: len(words)], budget=budget)["heard"] <= most
    alone, said, _ = readings[0]
    short = pipe(alone, text=said[::2], budget=budget)
    assert len(alone) / RATE - 0.001 <= short["heard"] <= budget * len(alone) / RATE + 0.001


def test_with_a_budget_of_one_nothing_is_asked_again(pipe, readings):
    samples, words, _ = readings[0]
    once = pipe(samples, text=words[::2], budget=1)
    assert once == pipe(samples, text=words[::2], refine=False)
    assert once["heard"] == pytest.approx(len(samples) / RATE, abs=0.001)
    more = [pipe(samples, text=words[::2], budget=budget)["heard"] for budget in (1, 1.5, 3, 10)]
    assert more == sorted(more) and more[-1] > more[0]


@pytest.mark.parametrize("budget", [0, 0.5, -1, float("nan"), float("inf"), "3", True])
def test_bad_budgets(pipe, budget):
    with pytest.raises(ValueError, match=r"budget=.*a number from 1 on"):
        pipe(np.zeros(RATE, np.float32), text="a", budget=budget)


def test_results_say_how_much_was_heard(pipe, readings):
    samples, words, _ = readings[1]
    assert pipe(samples, text="")["heard"] == 0
    assert pipe(samples, text=words, refine=False)["heard"] == pytest.approx(len(samples) / RATE, abs=0.001)
    rows = [{"audio": samples, "text": words}, {"audio": np.tile(samples, 14), "text": words * 14}]
    alone = [pipe(row) for row in rows]
    assert 0.5 * 14 * len(samples) / RATE < alone[1]["heard"] < 3 * 14 * len(samples) / RATE
    assert [result["heard"] for result in pipe(rows, batch_size=2)] == pytest.approx([r["heard"] for r in alone])
    assert pipe([{"audio": b"nothing", "text": "a"}], on_error="return")[0]["heard"] == 0


# sources that can be read once


class OnlyForward(io.RawIOBase):
    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def readinto(self, buffer):
        return self.data.readinto(buffer)


@pytest.mark.parametrize("half", [False, True])
def test_what_can_be_read_once_is_aligned_like_a_file(pipe, readings, half):
    """Also where the text lacks a passage, which is searched: as far ahead as samples are kept."""
    samples, words, _ = joined(readings, 60)
    words = words[: len(words) // 3] + words[len(words) // 2 :] if half else words
    data, row = encoded(samples), {"audio": readings[0][0], "text": readings[0][1]}
    expected = pipe(data, text=words, max_align_seconds=10)
    once = {"audio": io.BufferedReader(OnlyForward(data)), "text": words}
    assert pipe([row, once], max_align_seconds=10, batch_size=1)[1] == expected
