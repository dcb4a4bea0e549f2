"""Recordings of minutes through the pipeline with the bundled aligner, and audio that is decoded as it is read."""

import io
import json
import pickle
import wave
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from readings import RATE, READINGS, encoded, joined, times_of

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.silences import silences_of, without_long_silences
from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.evaluation.comparing import evaluate_aligner
from transformers_qwen3_asr.longform.long_audio import LongAlignment
from transformers_qwen3_asr.longform.long_recordings import LongRecording, Window, open_long, window_limit


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
    """Words of elsewhere, by which scores are judged, are the same words there."""
    path, text = READINGS[0]
    words, samples = text.split(), np.r_[load_audio(path), np.zeros(RATE // 2, np.float32)]
    alone = times_of(pipe(samples, text=words))
    result = pipe(np.tile(samples, 6), text=words * 6)
    times = times_of(result).reshape(6, -1, 2) - len(samples) / RATE * np.arange(6)[:, None, None]
    assert result["fits"] and (np.abs(times - alone).max(-1) < 0.2).mean() > 0.9


def test_another_text_is_said_to_be_another(pipe, three_minutes):
    path, words, _ = three_minutes
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
    most, prepare = [], pipe.processor.prepare_forced_aligner_inputs
    monkeypatch.setattr(
        pipe.processor,
        "prepare_forced_aligner_inputs",
        lambda **given: [most.append(max(map(len, given["transcript"]))), prepare(**given)][1],
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
    monkeypatch.setattr("transformers_qwen3_asr.pipelines.forced_alignment.align_recordings", None)
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
    assert not result["fits"] and result["chunks"][-1]["score"] < 0.1
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
    assert main([*arguments, "--max-align-seconds", "20"]) == 0
    again = times_of(json.loads((tmp_path / "book.json").read_text(encoding="utf-8")))
    assert (off(again, expected) > 1).mean() < 0.1
    assert not np.array_equal(found, again)
    assert main([*arguments, "--max-align-seconds", "4000"]) == 2
    assert "max_align_seconds=4000.0: from 1 to" in capsys.readouterr().err


def tone(seconds, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (200 + 20 * time) * time)).astype(np.float32)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16000),
        ("wav", "pcm_s16le", 44100),
        ("flac", "flac", 48000),
        ("mp3", "libmp3lame", 44100),
        ("ipod", "aac", 44100),
        ("ogg", "libopus", 48000),
    ],
)
def test_what_is_read_of_a_stream_is_what_a_whole_decode_has_there(container, codec, rate):
    content = encoded(tone(20, rate), rate, container, codec)
    whole = load_audio(content)
    with AudioStream(content, RATE, kept_seconds=3) as stream:
        # forward, overlapping, far ahead, back within what is kept, back behind it, beyond the end and back again
        places = (
            (0, 2),
            (1.5, 4),
            (10, 12.3),
            (9.5, 11),
            (0.25, 1),
            (19, 25),
            (18, 19),
            (30, 31),
            (3, 3),
            (2, 5),
            (4, 9),
        )
        for start, stop in places:
            first, past = int(start * RATE), int(stop * RATE)
            assert np.array_equal(stream.read(first, past), whole[first:past])
        assert stream.samples == len(whole)


def test_every_source_streams_alike(tmp_path):
    path = write_wav(tmp_path / "tone.wav", tone(6))
    whole = load_audio(path)
    with open(path, "rb") as file:
        for source in (path, str(path), path.as_uri(), path.read_bytes(), io.BytesIO(path.read_bytes()), file, whole):
            stream = AudioStream(source, RATE, kept_seconds=1)
            for first, past in ((0, 9000), (80000, 90000), (16000, 20000)):
                assert np.array_equal(stream.read(first, past), whole[first:past])
            if not hasattr(source, "read"):
                copy = pickle.loads(pickle.dumps(stream))
                assert np.array_equal(copy.read(100, 900), whole[100:900])
            stream.close()
            if isinstance(source, Path):
                assert np.array_equal(stream.read(100, 900), whole[100:900])
                stream.close()


def test_quiet_passages_of_a_stream_stay_quiet():
    """Samples above 1, as floats may be: each stretch by itself divided by its own peak would be as loud as any."""
    samples = np.concatenate([20000 * tone(2), 20 * tone(2), 20000 * tone(2)]).astype(np.float32)
    with AudioStream(encoded(samples, codec="pcm_f32le"), RATE) as stream:
        read = [stream.read(start * RATE, (start + 2) * RATE) for start in (0, 2, 4, 2)]
    np.testing.assert_allclose(np.concatenate(read[:3]), load_audio(samples), atol=1e-6)
    assert np.array_equal(read[1], read[3])


def test_streams_hold_what_they_are_told_to(tmp_path):
    path = write_wav(tmp_path / "tone.wav", tone(60))
    stream = AudioStream(path, RATE, kept_seconds=4)
    most = 0
    for second in range(0, 60, 2):
        stream.read(second * RATE, (second + 2) * RATE)
        most = max(most, sum(len(part) for part in stream._parts))
    stream.close()
    assert most <= 6.5 * RATE


def test_streams_name_what_is_wrong(tmp_path):
    for source, message in (
        (b"nothing", "7 bytes cannot be decoded"),
        (tmp_path / "none.wav", "there is no such file"),
        (encoded(tone(1))[:44], "empty|cannot be decoded"),
        (np.zeros(0, np.float32), "the recording is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            AudioStream(source).read(0, 100)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    stream = AudioStream(Pipe(encoded(tone(20))), RATE, kept_seconds=1)
    assert len(stream.read(10 * RATE, 11 * RATE)) == RATE
    with pytest.raises(ValueError, match="cannot be read twice; give its path or its bytes"):
        stream.read(0, RATE)
    for audio in (np.zeros(0, np.float32), b"nothing"):
        with pytest.raises(ValueError, match=r"empty|cannot be decoded"):
            open_long(audio, RATE, 5)


def test_open_long_decides_by_length(tmp_path):
    path = write_wav(tmp_path / "tone.wav", tone(6))
    samples, stream = open_long(path, RATE, 6)
    assert stream is None and np.array_equal(samples, load_audio(path))
    samples, stream = open_long(path, RATE, 5.9)
    assert samples is None and np.array_equal(stream.read(0, 99), load_audio(path)[:99])
    stream.close()


def test_long_silences_leave_and_come_back():
    random = np.random.default_rng(0)
    speech = (0.2 * random.normal(size=3 * RATE)).astype(np.float32)
    quiet = (1e-4 * random.normal(size=8 * RATE)).astype(np.float32)
    samples = np.concatenate([speech, quiet, speech, quiet[: RATE // 2], speech])
    long, short = silences_of(samples, RATE)
    assert long == pytest.approx((3 * RATE, 11 * RATE), abs=0.05 * RATE)
    assert short == pytest.approx((14 * RATE, 14.5 * RATE), abs=0.05 * RATE)
    left = without_long_silences(samples, RATE)
    assert len(left.samples) == pytest.approx(len(samples) - (8 - 1.2) * RATE, abs=0.1 * RATE)
    assert left.silent(np.array([1.0, 2.9, 3.1, 3.6, 4.1, 4.3, 7.1, 7.3, 7.6, 7.8])).tolist() == (
        [False, False, True, True, True, False, False, True, True, False]
    )
    for times, expected in (
        ([1.0, 2.0], [1.0, 2.0]),
        ([2.5, 3.4], [2.5, 3.4]),
        ([2.9, 4.0], [2.9, 3.6]),  # speech before the silence, and too long
        ([3.1, 4.3], [10.4, 11.1]),  # speech behind it, and too early
        ([3.5, 5.0], [10.4, 11.8]),
        ([5.0, 6.0], [11.8, 12.8]),
    ):
        assert left.put_back(np.array([times]))[0] == pytest.approx(expected, abs=0.05), times


def test_silences_are_told_where_they_are_in_the_recording():
    random = np.random.default_rng(0)
    parts = [(2, 0.2), (5, 1e-4), (1, 0.2), (1, 1e-4), (1, 0.2), (7, 1e-4), (3, 0.2)]
    samples = np.concatenate([level * random.normal(size=seconds * RATE) for seconds, level in parts])
    heard = without_long_silences(samples.astype(np.float32), RATE)
    assert len(heard.samples) < 12 * RATE
    assert heard.whole_silences() == pytest.approx(np.array([(2, 7), (8, 9), (10, 17)]), abs=0.05)


def test_windows_tell_the_silences_of_the_recording(tmp_path):
    random = np.random.default_rng(0)
    speech, quiet = 0.2 * random.normal(size=4 * RATE), 1e-4 * random.normal(size=5 * RATE)
    path = write_wav(tmp_path / "pauses.wav", np.concatenate([speech, quiet] * 4).astype(np.float32))
    item = {"stream": open_long(path, RATE, 20)[1], "words": ["a"] * 8, "language": "English", "seconds": 20}
    recording = LongRecording(item, 20, "joint")
    (place, *_) = recording.begin()
    recording._windows[place] = Window(6.0, 26.0, 0, 8)
    assert len(recording.cut(place)["audio"]) < 13 * RATE
    recording.take(place, torch.zeros(16, 1000))
    recording.close()
    assert recording._answers[place].silences == pytest.approx(np.array([(6, 9), (13, 18), (22, 26)]), abs=0.05)


def test_what_is_nearly_silent_goes_with_a_silence():
    """Up to half a second of it on either side; but not what is as loud as faint speech, nor what stands alone."""
    random = np.random.default_rng(0)
    speech, quiet, faint = (level * random.normal(size=RATE) for level in (0.2, 1e-4, 8e-4))
    soft = 0.01 * random.normal(size=RATE)
    few = int(0.3 * RATE)
    for parts, begin, end in (
        ([speech, faint[:few], quiet, faint[:few], speech], 1.0, 2.6),
        ([speech, faint, quiet, faint, speech], 1.5, 3.5),
        ([speech, soft[:few], quiet, soft[:few], speech], 1.3, 2.3),
    ):
        ((first, past),) = silences_of(np.concatenate(parts).astype(np.float32), RATE)
        assert (first / RATE, past / RATE) == pytest.approx((begin, end), abs=0.05)
    between = [speech, quiet, speech, faint, speech]
    assert len(silences_of(np.concatenate(between).astype(np.float32), RATE)) == 1


@pytest.mark.parametrize("level", [1.0, 0.01, 1e-4])
def test_silence_is_no_absolute_level(level):
    random = np.random.default_rng(0)
    speech, quiet = random.normal(size=3 * RATE), 1e-3 * random.normal(size=5 * RATE)
    samples = (0.2 * level * np.concatenate([speech, quiet, speech])).astype(np.float32)
    assert len(silences_of(samples, RATE)) == 1


def test_no_silence_where_nothing_stands_out():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.1, 20 * RATE).astype(np.float32)
    faint = np.concatenate([noise[: 8 * RATE], noise[: 8 * RATE] * 0.2])  # 14 dB: a voice from the back of the room
    for samples in (noise, faint, np.zeros(20 * RATE, np.float32), tone(20), noise[:100], noise[:0]):
        assert silences_of(samples, RATE) == []
        assert without_long_silences(samples, RATE).samples is samples


def test_words_that_are_not_said_push_none_that_are():
    """A skipped page: its words share what there is, and take no more than a few classes from the words around it."""
    starts = 0.3 * np.arange(80)
    times = np.stack([starts, starts + 0.25], 1)
    times = np.insert(times, [40] * 60, (times[40, 0], times[40, 0]), axis=0)
    item = {"stream": AudioStream(np.zeros(30 * RATE, np.float32)), "words": ["word"] * 140, "seconds": 5.0}
    recording = LongRecording(item, 80.0, "joint")
    recording.result, recording._end = LongAlignment(times, np.ones(140), 1), 30.0
    found = np.array([(word["start_time"], word["end_time"]) for word in recording.aligned()])
    assert (np.diff(found.ravel()) >= 0).all() and (np.diff(found) > 0).all()
    assert np.abs(found - times)[[*range(40), *range(100, 140)]].max() <= 0.16
    assert np.array_equal(found[:36], times[:36].round(3)) and np.array_equal(found[-36:], times[-36:].round(3))


def test_no_word_of_a_long_recording_is_shorter_than_a_class():
    times = np.array([[0.1, 0.5], [0.5, 0.5], [0.5, 0.505], [0.7, 0.9], [9.99, 10.0]])

    def aligned(decoding, heard=10.0):
        item = {"stream": AudioStream(np.zeros(10 * RATE, np.float32)), "words": list("abcde"), "seconds": 5.0}
        recording = LongRecording(item, 20.0, decoding)
        recording.result, recording._end = LongAlignment(times, np.ones(5), 1), heard
        return np.array([(word["start_time"], word["end_time"]) for word in recording.aligned()])

    found = aligned("joint")
    assert (np.diff(found.ravel()) >= 0).all() and found.max() == 10.0
    assert (np.diff(found) >= 0.02 - 1e-9).all()
    assert np.abs(found - times).max() <= 0.04 and np.array_equal(found[3], times[3])
    assert np.array_equal(aligned("argmax"), times.round(3))  # as qwen-asr: what has no length stays so
    assert np.array_equal(aligned("joint", heard=0.05), times.round(3))  # no room
