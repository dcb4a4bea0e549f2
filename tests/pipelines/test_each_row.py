"""Many recordings as one stream of rows through the pipeline: read ahead, and only the bad ones are lost."""

import gc
import threading
import weakref
from collections import Counter

import pytest
import torch
from test_batching import RECORDING, TEXT, assert_same, wait_until, workers

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.pipelines import forced_alignment
from transformers_qwen3_asr.pipelines.each_row import align_each

COUNT = 7


@pytest.fixture(scope="module")
def samples():
    return load_audio(RECORDING)


@pytest.fixture(scope="module")
def clips(samples):
    """Recordings of different lengths, the words said in them, and one that is aligned in windows."""
    words = TEXT.split()
    clips = [{"audio": samples[: 8000 * (place + 1)], "text": words[: place + 1]} for place in range(COUNT)]
    return [*clips[:2], {"audio": samples, "text": words}, *clips[3:]]


@pytest.fixture(scope="module")
def alone(pipe, clips):
    return [pipe(row, max_align_seconds=5) for row in clips]


@pytest.fixture(params=[0, 1, 2], ids=["in turn", "read ahead", "computed ahead"])
def threads(request, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: request.param)
    return request.param


@pytest.fixture
def reads(monkeypatch):
    """How often the pipeline read each recording, by its number of samples or its name."""
    counted = Counter()
    opened = forced_alignment.open_long

    def spy(source, *args):
        counted[source if isinstance(source, str) else len(source)] += 1
        return opened(source, *args)

    monkeypatch.setattr(forced_alignment, "open_long", spy)
    return counted


def each(pipe, items, as_row=dict, batch_size=3):
    """The outcomes, with recordings above 5 s aligned in windows."""

    def bound(rows, **keywords):
        return pipe(rows, max_align_seconds=5, **keywords)

    return align_each(bound, items, as_row, batch_size)


def assert_only_lost(outcomes, items, lost, alone):
    """In order, with results as of the rows alone but for those that are `lost`."""
    assert [outcome.item for outcome in outcomes] == items
    assert {place for place, outcome in enumerate(outcomes) if outcome.error is not None} == set(lost)
    assert all((outcome.result is None) == (outcome.error is not None) for outcome in outcomes)
    kept = [place for place in range(len(items)) if place not in lost]
    assert_same([outcomes[place].result for place in kept], [alone[place] for place in kept])
    assert workers() == []


@pytest.mark.parametrize("batch_size", [1, 2, 3, COUNT, 20])
def test_the_same_as_row_by_row(pipe, clips, alone, threads, batch_size, reads):
    places = list(range(COUNT))
    outcomes = list(each(pipe, places, clips.__getitem__, batch_size))
    assert_only_lost(outcomes, places, (), alone)
    assert [outcome.row for outcome in outcomes] == clips
    assert set(reads.values()) == {1} and len(reads) == COUNT


def test_nothing(pipe, threads):
    assert list(each(pipe, [])) == []


@pytest.mark.parametrize("batch_size", [1, 2, 3, 20])
@pytest.mark.parametrize("bad", [(0,), (COUNT - 1,), (2, 3), (0, 1, 5), tuple(range(COUNT))], ids=str)
@pytest.mark.parametrize("kind", ["no file", "no text", "no row", "mixed"])
def test_bad_rows(pipe, clips, alone, threads, reads, bad, batch_size, kind):
    """They are named as alone, without an index, and nothing is read twice."""
    kinds = {place: ("no file", "no text", "no row")[place % 3] if kind == "mixed" else kind for place in bad}
    names = {"no file": "'nowhere-{}.wav' is no existing file", "no text": "'text' is a int", "no row": "bad row {}"}

    def as_row(place):
        match kinds.get(place):
            case "no file":
                return {**clips[place], "audio": f"nowhere-{place}.wav"}
            case "no text":
                return {**clips[place], "text": place}
            case "no row":
                raise ValueError(f"bad row {place}")
        return clips[place]

    outcomes = list(each(pipe, list(range(COUNT)), as_row, batch_size))
    assert_only_lost(outcomes, list(range(COUNT)), bad, alone)
    for place in bad:
        assert outcomes[place].error.startswith(names[kinds[place]].format(place))
        assert (outcomes[place].row is None) == (kinds[place] == "no row")
    assert set(reads.values()) <= {1}


@pytest.mark.parametrize("batch_size", [1, 3, 20])
@pytest.mark.parametrize("bad", [(), (4,), (0, COUNT - 1), tuple(range(COUNT))], ids=str)
def test_a_forward_pass_that_fails(pipe, clips, alone, threads, reads, bad, batch_size, monkeypatch):
    """With several clips at once it always does, and of some with each alone: nobody else is blamed."""
    scores, asked = type(pipe)._slot_scores, Counter()
    lengths = [len(row["audio"]) for row in clips]

    def failing(self, items):
        if "text" not in items[0]:  # windows, of which one recording has several
            return scores(self, items)
        if len(items) > 1:
            asked["together"] += 1
            raise ValueError("too much at once")
        if lengths.index(len(items[0]["audio"])) in bad:
            raise ValueError("not this one")
        return scores(self, items)

    monkeypatch.setattr(type(pipe), "_slot_scores", failing)
    # the one that is aligned in windows has several at once by itself
    places = [place for place in range(COUNT) if place != 2]
    outcomes = list(each(pipe, places, clips.__getitem__, batch_size))
    assert (asked["together"] > 0) == (batch_size > 1)
    lost = [number for number, place in enumerate(places) if place in bad]
    assert_only_lost(outcomes, places, lost, [alone[place] for place in places])
    assert all(outcomes[number].error == "not this one" for number in lost)
    assert set(reads.values()) == {1}
    assert asked["together"] <= -(-len(places) // batch_size)


@pytest.mark.parametrize("batch_size", [1, 3, 20])
@pytest.mark.parametrize("place", [0, 4, COUNT - 1])
def test_reading_that_fails_otherwise(pipe, clips, alone, threads, batch_size, place, monkeypatch):
    opened = forced_alignment.open_long
    length = len(clips[place]["audio"])

    def failing(source, *args):
        if len(source) == length:
            raise OSError("the disk is full")
        return opened(source, *args)

    monkeypatch.setattr(forced_alignment, "open_long", failing)
    places = list(range(COUNT))
    outcomes = list(each(pipe, places, clips.__getitem__, batch_size))
    assert_only_lost(outcomes, places, (place,), alone)
    assert outcomes[place].error == "the disk is full"


def test_an_error_without_words_is_its_type(pipe, clips):
    def as_row(place):
        raise TimeoutError

    (outcome,) = each(pipe, [0], as_row)
    assert outcome.error == "TimeoutError" and outcome.row is None


@pytest.mark.parametrize("where", ["as_row", "forward"])
def test_errors_that_are_no_item_s_are_raised(pipe, clips, threads, where, monkeypatch):
    def as_row(place):
        if place == 4 and where == "as_row":
            raise KeyError("broken")
        return clips[place]

    if where == "forward":
        monkeypatch.setattr(type(pipe), "_slot_scores", lambda self, items: {}["broken"])
    results = each(pipe, list(range(COUNT)), as_row, 2)
    with pytest.raises(KeyError, match="broken"):
        list(results)
    assert workers() == []


def test_an_error_before_any_row_is_raised():
    def refusing(rows, **keywords):
        raise ValueError("refused")
        yield

    with pytest.raises(ValueError, match="refused"):
        list(align_each(refusing, [1, 2], lambda item: {}, 2))


def test_the_next_batch_is_read_in_a_thread(pipe, clips, alone, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    drawn, threads = [], set()

    def as_row(place):
        threads.add(threading.current_thread())
        drawn.append(place)
        return clips[place]

    outcomes = each(pipe, list(range(COUNT)), as_row, 2)
    assert drawn == []
    first = next(outcomes)
    wait_until(lambda: len(drawn) == 6)
    assert threading.current_thread() not in threads
    assert_only_lost([first, *outcomes], list(range(COUNT)), (), alone)
    assert drawn == list(range(COUNT))


@pytest.mark.parametrize("given", [0, 1, 2, 5])
@pytest.mark.parametrize("bad", [None, 1])
def test_closed_early(pipe, clips, threads, given, bad):
    drawn = []

    def as_row(place):
        drawn.append(place)
        return clips[place] if place != bad else {**clips[place], "text": None}

    outcomes = each(pipe, list(range(COUNT)) * 5, as_row, 2)
    for _ in range(given):
        next(outcomes)
    outcomes.close()
    assert workers() == []
    batches = -(-given // 2)
    assert len(drawn) <= 2 * (batches + (threads * (given > 0)))
    assert (drawn == []) == (given == 0)


@pytest.mark.parametrize("bad", [(), (3, 4, 9)], ids=str)
def test_only_rows_in_flight_are_kept(pipe, samples, threads, bad):
    batch_size, alive = 2, weakref.WeakSet()

    def as_row(place):
        audio = torch.from_numpy(samples[:8000].copy())  # unlike an array it can be in a set
        alive.add(audio)
        return {"audio": audio, "text": None if place in bad else "and"}

    most = []
    gc.freeze()  # so that collecting is quick
    try:
        for place, outcome in enumerate(each(pipe, list(range(12)), as_row, batch_size)):
            assert outcome.item == place and (outcome.error is None) == (place not in bad)
            del outcome
            gc.collect()
            most.append(len(alive))
    finally:
        gc.unfreeze()
    # of the batch that is given out, of the next where it is read ahead, and one that was given out last
    assert 0 < max(most) <= batch_size * (1 + threads) + 1
