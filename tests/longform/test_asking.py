"""The loop that answers what recordings ask for."""

import numpy as np
import pytest
import torch
from readings import RATE

from transformers_qwen3_asr.alignment.untranscribed import FRAME
from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity
from transformers_qwen3_asr.longform.asking import ShortRecording, ask, in_doubt
from transformers_qwen3_asr.longform.rescoring import DOUBTFUL, Stretch, Window

WORDS = ["one", "two", "three", "four"]


class Asked:
    """A recording that asks for windows in rounds of these sizes, and returns what it was told."""

    def __init__(self, number, rounds, fails=None, fails_at=None):
        self.item = {"words": WORDS, "number": number}
        self.number, self.rounds, self.fails, self.fails_at, self.closed = number, rounds, fails, fails_at, 0

    def asking(self):
        told = []
        for k, size in enumerate(self.rounds):
            if self.fails == ("asking", k):
                raise ValueError(f"asking {self.number}")
            windows = [Window(np.arange(10 + j), j % 3, 4) for j in range(size)]
            answers = yield windows
            for window, answer in zip(windows, answers, strict=True):
                assert answer.shape == (2 * (window.past - window.first), len(window.frames))
                told.append(answer.sum())
        return {"told": told}

    def samples(self, window):
        if self.fails == "reading" and len(window.frames) > 11:
            raise OSError(f"reading {self.number}")
        return np.full(len(window.frames), self.number, np.float32)

    def close(self):
        self.closed += 1


class Score:
    """Scores that depend on the audio and the words, and what was asked."""

    def __init__(self, classes=40):
        self.batches, self.classes = [], classes

    def __call__(self, items):
        self.batches.append([int(item["audio"][0]) for item in items])
        found = []
        for item in items:
            generator = torch.Generator().manual_seed(1000 * int(item["audio"][0]) + len(item["audio"]))
            found.append(torch.randn(2 * len(item["words"]), self.classes, generator=generator))
        return found


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_recordings_share_batches_and_do_not_depend_on_them(batch_size):
    recordings = [Asked(0, [3, 1]), Asked(1, [1, 1, 1, 2]), Asked(2, []), Asked(3, [5])]
    score = Score()
    ask(recordings, score, batch_size)
    alone = [Asked(recording.number, recording.rounds) for recording in recordings]
    for recording in alone:
        ask([recording], Score(), 1)
    assert [recording.item for recording in recordings] == [recording.item for recording in alone]
    assert all(recording.closed == 1 for recording in recordings)
    assert max(map(len, score.batches)) <= batch_size and sum(map(len, score.batches)) == 14
    if batch_size > 1:
        assert any(len(set(batch)) > 1 for batch in score.batches)
        assert len(score.batches) < 14


def test_words_go_with_the_audio():
    seen = []

    def score(items):
        seen.extend((item["words"], len(item["audio"])) for item in items)
        return [torch.zeros(2 * len(item["words"]), 40) for item in items]

    recording = Asked(0, [3])
    ask([recording], score, 8)
    assert seen == [(WORDS[j:], 10 + j) for j in range(3)]


def test_classes_that_the_model_does_not_have_are_not_probable():
    recording = Asked(0, [1])
    ask([recording], Score(classes=6), 8)
    assert recording.item["told"][0] == pytest.approx(8, abs=1e-4)  # of 10 frames, and 8 slots


@pytest.mark.parametrize("fails", ["reading", ("asking", 0), ("asking", 1)])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_one_that_fails_does_not_disturb_others(fails, batch_size):
    recordings = [Asked(0, [3, 1]), Asked(1, [3, 4, 2], fails=fails), Asked(2, [1, 1, 1])]
    ask(recordings, Score(), batch_size)
    assert str(recordings[1].item["error"]).endswith(" 1") and "told" not in recordings[1].item
    for recording in (recordings[0], recordings[2]):
        alone = Asked(recording.number, recording.rounds)
        ask([alone], Score(), batch_size)
        assert recording.item == alone.item
    assert [recording.closed for recording in recordings] == [1, 1, 1]


def test_all_are_closed_whatever_happens():
    recordings = [Asked(0, [1]), Asked(1, [2])]

    def score(items):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        ask(recordings, score, 2)
    assert [recording.closed for recording in recordings] == [1, 1]
    ask([], score, 2)


def clip(scores, budget=3.0):
    """Four words in four seconds, of which the second was not understood."""
    logits = torch.full((8, 250), 0.0)
    for slot, place in enumerate([10, 40, 50, 90, 100, 140, 150, 190]):
        logits[slot, place] = 12.0
    logits[2:5] = 0.0
    aligned = [{"text": word, "score": score} for word, score in zip(WORDS, scores, strict=True)]
    random = np.random.default_rng(0)
    audio = random.normal(0, 0.1, 4 * RATE).astype(np.float32)
    voice = VoiceActivity(np.ones(round(4 / FRAME), bool), np.zeros(round(4 / FRAME), bool))
    known = {
        "audio": audio,
        "voice": voice,
        "words": WORDS,
        "breaks": [False, True, False, False],
        "language": "English",
    }
    item = {**known, "aligned": aligned, "heard": 4.0}
    return ShortRecording(item, logits, RATE, 20.0, budget)


def test_a_clip_is_asked_for_its_doubtful_words():
    assert not in_doubt({"aligned": [{"score": DOUBTFUL + 0.1}]}) and in_doubt({"aligned": [{"score": 0.0}]})
    assert clip([0.9] * 4)._stretch.breaks == [False, True, False, False]
    sizes = []

    def score(items):
        sizes.extend(len(item["audio"]) / RATE for item in items)
        return [torch.zeros(2 * len(item["words"]), 250) for item in items]

    recording = clip([0.9, 0.01, 0.01, 0.9])
    assert recording._allowance.left() == pytest.approx(8.0)  # it was heard once, of three times
    ask([recording], score, 2)
    assert sizes and max(sizes) < 4.0
    assert recording.item["heard"] == pytest.approx(4.0 + sum(sizes), abs=0.02 * len(sizes))
    assert recording.item["heard"] <= 12.0
    assert [word["text"] for word in recording.item["aligned"]] == WORDS
    assert all(set(word) == {"text", "start_time", "end_time", "score"} for word in recording.item["aligned"])


def test_a_clip_may_be_asked_for_the_first_words_of_a_sentence_alone(monkeypatch):
    monkeypatch.setattr(Stretch, "doubtful", lambda *given: [])
    monkeypatch.setattr(Stretch, "sentence_starts", lambda stretch, times: [Window(np.arange(90, 200), 2, 4)])
    recording = clip([0.9, 0.01, 0.01, 0.9])
    ask([recording], lambda items: [torch.zeros(2 * len(item["words"]), 250) for item in items], 2)
    # asked twice here, since the replacement does not know what was asked before
    assert recording.item["heard"] == pytest.approx(4.0 + 2 * 2.2)
    assert recording.item["aligned"][1]["score"] > 0.01


def test_a_clip_without_an_allowance_stays_as_it_is():
    recording = clip([0.9, 0.01, 0.01, 0.9], budget=1.0)
    before = dict(recording.item)
    ask([recording], lambda items: pytest.fail("asked again"), 2)
    assert recording.item == before
