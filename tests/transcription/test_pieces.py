"""Recordings cut at pauses, and their pieces put together."""

import numpy as np
import pytest

from transformers_qwen3_asr.transcription.pieces import Piece, cut, joined

RATE = 16000


def speech(seconds, pauses=()):
    """Noise that swells and falls as syllables do, silent in the `pauses` (start, end)."""
    random = np.random.RandomState(0)
    at = np.arange(round(seconds * RATE)) / RATE
    samples = random.normal(0, 0.1, len(at)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    for start, end in pauses:
        samples[(at >= start) & (at < end)] *= 0.001
    return samples.astype(np.float32)


def test_a_short_recording_is_one_piece():
    samples = speech(8)
    (piece,) = cut(samples, RATE, 8)
    assert piece.last and piece.start == 0 and np.array_equal(piece.samples, samples)


@pytest.mark.parametrize("pauses", [[(16.4, 17.0), (22.1, 22.3), (37.0, 37.6)], []])
def test_pieces_end_in_a_long_pause_nearby_and_are_the_recording(pauses):
    samples = speech(60, pauses)
    pieces = list(cut((samples, RATE), RATE, 20))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), samples)
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    at = 0
    for piece in pieces:
        assert piece.start == at / RATE and len(piece.samples) <= 25 * RATE
        at += len(piece.samples)
    if pauses:
        assert pieces[1].start == pytest.approx(16.7, abs=0.15)
        assert pieces[2].start == pytest.approx(37.3, abs=0.15)


def test_where_nothing_is_silent_the_quietest_place_is_taken():
    samples = speech(12)
    samples[int(9.0 * RATE) : int(9.3 * RATE)] *= 0.5
    samples[int(7.0 * RATE) : int(7.02 * RATE)] = 0  # a gap in the recording is no pause
    first, _ = cut(samples, RATE, 10)
    assert len(first.samples) / RATE == pytest.approx(9.15, abs=0.1)


@pytest.mark.parametrize("besides", ["noise", "chords"])
def test_a_pause_is_found_in_what_is_heard_all_through(besides):
    """Ten decibels below speech: steady noise, or chords twice a second that die away."""
    samples = speech(30, [(18.0, 18.5)])
    at = np.arange(len(samples)) / RATE
    sound = np.random.RandomState(1).normal(0, 1, len(at))
    if besides == "chords":
        sound = sum(np.sin(2 * np.pi * hertz * at) for hertz in (220, 277, 330)) * np.exp(-3 * (at % 0.5))
    sound *= np.sqrt(np.square(samples).mean() / np.square(sound).mean() / 10)
    first, _ = cut((samples + sound).astype(np.float32), RATE, 20)
    assert 18.1 < len(first.samples) / RATE < 18.4


def test_short_pieces_make_way():
    assert sum(len(piece.samples) for piece in cut(np.ones(5 * RATE, np.float32), RATE, 1)) == 5 * RATE


@pytest.mark.parametrize(
    ("texts", "languages", "text", "language"),
    [
        (["one two.", "Three"], ["English", "English"], "one two. Three", "English"),
        (["今天", "下午", "OK", ""], ["Chinese", "Chinese", None, "English"], "今天下午OK", "Chinese,English"),
        (["", "สวัสดี", "ครับ"], [None, "Thai", "Thai"], "สวัสดีครับ", "Thai"),
        (["", ""], [None, None], "", None),
        (["안녕", "여러분"], ["Korean", "Korean"], "안녕 여러분", "Korean"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(texts, languages, text, language):
    pieces = [Piece(np.zeros(0), 0.0, False, *pair) for pair in zip(texts, languages, strict=True)]
    assert joined(pieces) == {"text": text, "language": language}


def test_times_and_offsets_count_in_the_whole():
    def aligned(words):
        chunks, at = [], 0
        for place, word in enumerate(words):
            times = (place * 0.5, place * 0.5 + 0.4)
            chunks.append(
                {"text": word, "timestamp": times, "score": 0.9, "char_start": at, "char_end": at + len(word)}
            )
            at += len(word)
        passage = {"timestamp": (0.0, 0.4), "char_start": 0, "char_end": 3}
        rest = {"unfit": [passage], "untranscribed": [], "heard": 2.0, "score": 0.9, "fits": True}
        return {"text": "".join(words), "chunks": chunks, **rest}

    words = [["one ", "two."], ["Three ", "four"]]
    pieces = [
        Piece(np.zeros(0), 10.0 * i, i == 1, "".join(part), "English", aligned(part)) for i, part in enumerate(words)
    ]
    result = joined(pieces, original_text=True)
    assert result["text"] == "one two. Three four" == "".join(chunk["text"] for chunk in result["chunks"])
    assert [chunk["timestamp"] for chunk in result["chunks"]] == [(0.0, 0.4), (0.5, 0.9), (10.0, 10.4), (10.5, 10.9)]
    for chunk in result["chunks"]:
        assert result["text"][chunk["char_start"] : chunk["char_end"]] == chunk["text"]
    assert [passage["char_start"] for passage in result["unfit"]] == [0, 9]
    assert result["heard"] == 4.0 and result["fits"] and result["score"] == pytest.approx(0.9)
