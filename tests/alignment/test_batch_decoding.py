"""Clips decoded together, as on a GPU, against each clip by itself; and what is fetched from where the scores are."""

import numpy as np
import pytest
import torch

from transformers_qwen3_asr.alignment import batch_decoding, decoding
from transformers_qwen3_asr.alignment.decoding import decode_batch
from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity

SLOT = 9  # the slot token's id here


@pytest.fixture
def together(monkeypatch):
    """`decode_batch` as it is on a GPU."""

    def call(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "_in_few_calls", lambda logits, counts: True)
            return decode_batch(*args, **kwargs)

    return call


@pytest.fixture(params=["all at once", "in parts"])
def parts(request, monkeypatch):
    """In how many parts clips are searched."""
    if request.param == "in parts":
        monkeypatch.setattr(batch_decoding, "SEARCHED", 500)
        monkeypatch.setattr(batch_decoding, "NORMALISED", 1000)


def clip_scores(random, kind, slots, classes):
    scores = random.normal(size=(slots, classes)) * random.choice([0.1, 1, 5])
    if kind == "ties":
        scores = random.integers(-2, 3, size=(slots, classes)).astype(float)
    if kind in ("speech", "ruled out"):
        scores[range(slots), np.sort(random.integers(0, classes, slots))] += 8
        wrong = np.flatnonzero(random.random(slots) < random.choice([0, 0.1, 0.4]))
        scores[wrong, random.integers(0, classes, len(wrong))] += 12
    if kind == "ruled out":
        scores[random.random(scores.shape) < 0.7] = -np.inf
        scores[:, 0] = np.where(np.isneginf(scores).all(axis=1), 0, scores[:, 0])
    return scores


def make_batch(random, kind, clips=None):
    """Arguments of `decode_batch`: some clips crowded, some without words and with or without slots."""
    clips = int(random.integers(1, 8)) if clips is None else clips
    classes, segment_time = int(random.integers(20, 150)), float(random.choice([80, 40, 20, 12.5]))
    words = random.integers(0, 26, clips)
    slots = np.where(words > 0, 2 * words, random.choice([0, 2], clips))
    input_ids = torch.zeros(clips, int(slots.max()) + 3, dtype=torch.long)
    for row, count in zip(input_ids, slots):
        row[random.permutation(len(row))[:count]] = SLOT
    scores = [clip_scores(random, kind, count, classes) for count in slots]
    dtype = (torch.float32, torch.bfloat16, torch.float16, torch.float64)[random.integers(4)]
    longest = 1.2 * classes * segment_time / 1000
    return {
        "logits": torch.from_numpy(np.concatenate(scores)).to(dtype),
        "input_ids": input_ids,
        "word_counts": words.tolist(),
        "timestamp_token_id": SLOT,
        "timestamp_segment_time": segment_time,
        "durations": [None if random.random() < 0.3 else random.uniform(0, longest) for _ in words],
        "lengths": [None if random.random() < 0.3 else random.integers(1, 9, n).tolist() for n in words],
        "voices": None if random.random() < 0.3 else [random_voice(random, longest) for _ in words],
        "breaks": None if random.random() < 0.3 else [random_breaks(random, n) for n in words],
    }


def random_breaks(random, words):
    return None if random.random() < 0.3 else (random.random(words) < 0.3).tolist()


def random_voice(random, seconds):
    if random.random() < 0.3:
        return None
    heard = np.repeat(random.integers(0, 3, 20), int(2.5 * seconds) + 1)
    return VoiceActivity(heard == 0, heard == 1)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (times, scores), (expected_times, expected_scores) in zip(found, expected):
        assert times.shape == expected_times.shape and scores.shape == expected_scores.shape
        # probabilities are rounded in another place, and with them a mean between two milliseconds
        assert times == pytest.approx(expected_times, abs=0.00101)
        assert scores == pytest.approx(expected_scores, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("kind", ["random", "speech", "ties", "ruled out"])
def test_together_as_one_by_one(kind, parts, together):
    random = np.random.default_rng(0)
    for _ in range(60):
        batch = make_batch(random, kind)
        assert_same(together(**batch), decode_batch(**batch))


def test_at_full_size(together, monkeypatch):
    """Six clips of 60 s with 150 words each, bfloat16: scores of no sense, and peaks of which a tenth are wrong."""
    random = np.random.default_rng(1)
    logits = torch.from_numpy(random.normal(size=(6, 300, 5000)))
    for clip in logits[3:]:
        clip[range(300), np.sort(random.choice(740, 300, replace=False))] += 12
        wrong = np.flatnonzero(random.random(300) < 0.1)
        clip[wrong, random.integers(0, 5000, len(wrong))] += 12
    searches = []
    search = batch_decoding.never_falling

    def noted(steps, pauses):
        searches.append((len(steps), len(steps[0])))
        return search(steps, pauses)

    monkeypatch.setattr(batch_decoding, "never_falling", noted)
    batch = {
        "logits": logits.flatten(0, 1).bfloat16(),
        "input_ids": torch.full((6, 300), SLOT),
        "word_counts": [150] * 6,
        "timestamp_token_id": SLOT,
        "durations": [60.0] * 6,
        "lengths": [random.integers(1, 12, 150).tolist() for _ in range(6)],
        "voices": [random_voice(random, 60.0) for _ in range(6)],
        "breaks": [random_breaks(random, 150) for _ in range(6)],
    }
    found = together(**batch)
    assert_same(found, decode_batch(**batch))
    assert searches == [(300, 6), (300, 6)]  # by the model alone, and with what is heard
    assert max(times.max() for times, _ in found) <= 60


def test_few_scores_are_normalised_and_searched_at_once(together, monkeypatch):
    monkeypatch.setattr(batch_decoding, "NORMALISED", 3000)
    monkeypatch.setattr(batch_decoding, "SEARCHED", 3000)
    sizes = {"normalised": [], "searched": []}
    logsumexp, search = torch.Tensor.logsumexp, batch_decoding.never_falling

    def normalise(self, *args):
        sizes["normalised"].append(self.numel())
        return logsumexp(self, *args)

    def never_falling(steps, pauses):
        sizes["searched"].append(sum(step.numel() for step in steps))
        return search(steps, pauses)

    monkeypatch.setattr(torch.Tensor, "logsumexp", normalise)
    monkeypatch.setattr(batch_decoding, "never_falling", never_falling)
    torch.manual_seed(2)
    together(torch.randn(240, 100), torch.full((12, 20), SLOT), [10] * 12, SLOT)
    assert len(sizes["normalised"]) == 8 and max(sizes["normalised"]) == 3000
    assert len(sizes["searched"]) > 5 and max(sizes["searched"]) <= 3000 + 20 * 100  # beyond by one clip at most


def test_nothing_to_decode(together):
    assert together(torch.zeros(0, 7), torch.zeros(0, 5, dtype=torch.long), [], SLOT) == []
    ((times, scores),) = together(torch.full((2, 7), torch.nan), torch.full((1, 2), SLOT), [0], SLOT)
    assert times.shape == (0, 2) and scores.shape == (0,)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_named(value, together):
    input_ids = torch.tensor([[SLOT, SLOT, 0, 0], [SLOT, SLOT, 0, 0], [SLOT, SLOT, SLOT, SLOT]])
    logits = torch.zeros(8, 7)
    logits[2] = torch.nan  # a clip without words, of which nothing is asked
    assert len(together(logits, input_ids, [1, 0, 2], SLOT)) == 3
    logits[6] = value
    logits[7] = torch.nan
    for call in (together, decode_batch):
        with pytest.raises(ValueError, match=r"clip 2: the scores at slot 2 are not finite"):
            call(logits, input_ids, [1, 0, 2], SLOT)


def test_the_same_is_refused_as_one_by_one(together):
    logits, input_ids = torch.zeros(4, 7), torch.full((2, 2), SLOT)
    for message, wrong in {
        r"clip 1 .*two for each of 2 words": {"word_counts": [1, 2]},
        "clip 1: a duration of -1.0": {"durations": [1.0, -1.0]},
        "1 words, but lengths": {"lengths": [[1.0], [1.0, 2.0]]},
        "1 durations for 2 clips": {"durations": [1.0]},
    }.items():
        arguments = {"word_counts": [1, 1], "timestamp_token_id": SLOT, **wrong}
        for call in (together, decode_batch):
            with pytest.raises(ValueError, match=message):
                call(logits, input_ids, **arguments)


class Remote(torch.Tensor):
    """Scores, and all that is computed from them, that stand for a GPU's: whatever waits for them is counted."""

    waits: list[str] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = func.__name__
        masked = name == "__getitem__" and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if masked or name in ("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "nonzero", "unique"):
            cls.waits.append(name)
        if name == "numpy":
            raise TypeError("a GPU's tensor has no array")
        result = super().__torch_function__(func, types, args, kwargs or {})
        if name == "cpu":
            cls.waits.append(name)
            return result.as_subclass(torch.Tensor)
        return result


@pytest.mark.parametrize("kind", ["random", "speech"])
def test_how_often_is_waited_does_not_depend_on_how_many_clips_there_are(kind, together):
    random = np.random.default_rng(3)
    scores = np.stack([clip_scores(random, kind, 60, 400) for _ in range(8)])
    scores = torch.from_numpy(scores).flatten(0, 1).float()
    counts = {}
    for repeats in (1, 8):
        Remote.waits.clear()
        clips = 8 * repeats
        found = together(
            scores.repeat(repeats, 1).as_subclass(Remote),
            torch.full((clips, 60), SLOT),
            [30] * clips,
            SLOT,
            durations=[20.0] * clips,
            lengths=[[3.0, 9.0] * 15] * clips,
            voices=[random_voice(np.random.default_rng(0), 20.0)] * clips,
        )
        assert len(found) == clips and set(Remote.waits) == {"cpu"}
        counts[repeats] = len(Remote.waits)
    # whether they are probabilities, whether they are finite, and in either search the paths and what is around them
    assert counts == {1: 6, 8: 6}


def test_what_waits_for_a_device_is_counted():
    scores = torch.ones(3).as_subclass(Remote)
    mask = torch.ones(3, dtype=torch.bool)
    for wait in (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.nonzero, lambda x: x[mask], lambda x: x[x > 0]):
        Remote.waits.clear()
        wait(scores)
        assert len(Remote.waits) == 1
    for wait in (torch.Tensor.item, bool, int, float):
        Remote.waits.clear()
        wait((2 * scores).sum())
        assert Remote.waits
    with pytest.raises(TypeError, match="no array"):
        (scores + 1).numpy()


def test_many_clips_on_a_device_are_decoded_together(monkeypatch):
    """A GPU takes as long for a slot of one clip as for a slot of each, so that few clips are decoded one by one."""
    called = []
    monkeypatch.setattr(decoding, "decode_together", lambda *args: called.append(args) or [])
    for clips, device, times in ((9, "meta", 1), (8, "meta", 1), (9, "cpu", 1)):
        slots, logits = torch.full((clips, 2), SLOT), torch.zeros(2 * clips, 7, device=device)
        decode_batch(logits, slots, [0] * clips, SLOT, probabilities=False)
        assert len(called) == times


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["random", "speech", "ties", "ruled out"])
def test_on_a_gpu_as_on_the_cpu(kind, parts):
    random = np.random.default_rng(5)
    for _ in range(20):
        batch = make_batch(random, kind)
        expected = decode_batch(**batch)
        assert_same(decode_batch(**{**batch, "logits": batch["logits"].cuda()}), expected)
