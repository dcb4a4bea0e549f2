"""Forward passes of bounded size, and what threads do ahead of who takes the results."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import ROOT

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.audio.streams import AudioStream
from transformers_qwen3_asr.gpu import graphs
from transformers_qwen3_asr.models import graphed
from transformers_qwen3_asr.pipelines import batching, forced_alignment
from transformers_qwen3_asr.pipelines.batching import ahead, gathered, pass_seconds, passes, threads_ahead

RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
TEXT = (ROOT / "examples" / "sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("work-ahead")]


def wait_until(condition):
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize("budget", [1, 30, 60, 120, 1000])
def test_passes_hold_every_clip_once_within_the_budget(budget):
    seconds = np.random.default_rng(0).uniform(0.1, 60, 100).tolist()
    groups = passes(seconds, budget)
    assert sorted(place for group in groups for place in group) == list(range(100))
    for group in groups:
        assert len(group) == 1 or len(group) * max(seconds[place] for place in group) <= budget
    # the longest first, and no pass could have taken the first clip of the next
    lengths = [seconds[place] for group in groups for place in group]
    assert lengths == sorted(lengths, reverse=True)
    assert all(seconds[group[0]] * (len(group) + 1) > budget for group, _ in pairwise(groups))


def test_passes_of_few():
    assert passes([], 60) == []
    assert passes([700.0], 60) == [[0]]
    assert passes([3.0, 30.0, 29.0, 20.0, 5.0], 60) == [[1, 2], [3, 4, 0]]
    assert passes([10.0, 10.0, 10.0], 30) == [[0, 1, 2]]


def test_what_a_device_is_given():
    """Clips of a minute: 64 are one pass on a GPU."""
    assert passes([60.0] * 64, pass_seconds(GPU)) == [list(range(64))]
    assert pass_seconds(CPU) < pass_seconds(GPU)
    assert [threads_ahead(device) for device in (CPU, torch.device("mps"), GPU)] == [0, 1, 2]


@pytest.mark.parametrize(("size", "most"), [(1, 60), (4, 60), (100, 30), (100, 1), (7, float("inf"))])
def test_gathered_lists_are_full(size, most):
    seconds = np.random.default_rng(1).uniform(0.1, 60, 100).tolist()
    lists = list(gathered(enumerate(seconds), lambda one: one[1], size, most))
    assert [one for found in lists for one in found] == list(enumerate(seconds))
    for found, following in pairwise([*lists, []]):
        longest = max(length for _, length in found)
        assert len(found) == 1 or len(found) * longest <= most
        for _, one in following[:1]:  # which had no place any more
            assert len(found) == size or max(longest, one) * (len(found) + 1) > most


def test_gathered_drops_what_it_looked_at():
    dropped = []
    lists = gathered([1.0, 1.0, 5.0, 1.0], float, 100, 5, dropped.append)
    assert next(lists) == [1.0, 1.0]
    lists.close()
    assert dropped == [5.0]


def test_ahead_keeps_the_order():
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead([])) == []
    assert list(ahead([None, 0, None])) == [None, 0, None]
    assert workers() == []


def test_ahead_takes_one_and_no_more():
    drawn, threads = [], set()

    def source():
        for number in range(5):
            threads.add(threading.current_thread())
            drawn.append(number)
            yield number

    elements = ahead(source())
    assert drawn == []
    for number in range(4):
        assert next(elements) == number
        # taken without being asked for, while the consumer has the one before
        wait_until(lambda until=number + 2: len(drawn) == until)
        time.sleep(0.02)
        assert drawn == list(range(number + 2))
    assert next(elements) == 4
    with pytest.raises(StopIteration):
        next(elements)
    assert threading.current_thread() not in threads and len(threads) == 1
    assert workers() == []


def test_ahead_closed_early():
    """The element that is being taken is waited for and dropped; no thread stays."""
    drawn, dropped, begun, go_on = [], [], threading.Event(), threading.Event()

    def source():
        for number in range(5):
            if number == 2:
                begun.set()
                go_on.wait(20)
            drawn.append(number)
            yield number

    elements = ahead(source(), drop=dropped.append)
    assert next(elements) == 0 and next(elements) == 1
    assert begun.wait(20) and len(workers()) == 1
    threading.Timer(0.1, go_on.set).start()
    elements.close()
    assert drawn == [0, 1, 2] and dropped == [2]
    assert workers() == []
    ahead(source(), drop=dropped.append).close()  # before anything was asked for
    assert dropped == [2] and drawn == [0, 1, 2]


def test_ahead_raises_in_its_turn():
    def source():
        yield 1
        yield 2
        raise KeyError("the third")

    dropped = []
    elements = ahead(source(), drop=dropped.append)
    assert next(elements) == 1 and next(elements) == 2
    with pytest.raises(KeyError, match="the third"):
        next(elements)
    assert workers() == [] and dropped == []
    # closed before it was due: nobody asked for it
    elements = ahead(source(), drop=dropped.append)
    assert next(elements) == 1 and next(elements) == 2
    elements.close()
    assert workers() == [] and dropped == []


def test_stages_one_behind_the_other():
    """Each has an element and a thread of its own; closed early, all elements are dropped, and the source closed."""
    closed, dropped, threads = [], [], {}

    def source():
        try:
            yield from range(20)
        finally:
            closed.append(True)

    def step(name, most=None):
        def made(number):
            threads.setdefault(name, []).append((threading.current_thread(), number))
            if number == most:
                raise KeyError(name)
            return number

        return made

    def stages(**most):
        first = ahead(source(), step("first", most.get("first")), dropped.append)
        return ahead(first, step("second", most.get("second")), dropped.append)

    elements = stages()
    assert [next(elements) for _ in range(3)] == [0, 1, 2]
    wait_until(lambda: [one[-1][1] for one in threads.values()] == [4, 3])
    assert len({thread for one in threads.values() for thread, _ in one} | {threading.current_thread()}) == 3
    elements.close()
    assert sorted(dropped) == [3, 4] and closed == [True] and workers() == []
    assert list(stages()) == list(range(20))
    for name in ("first", "second"):
        dropped.clear()
        elements = stages(**{name: 5})
        assert [next(elements) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(KeyError, match=name):
            next(elements)
        assert 5 in dropped and set(dropped) <= {5, 6} and workers() == []
    assert closed == [True] * 4


@pytest.fixture(scope="module")
def samples():
    return load_audio(RECORDING)


@pytest.fixture(scope="module")
def rows(samples):
    """Short and long recordings, some without words, of mixed lengths."""
    long = np.concatenate([samples, np.zeros(8000, np.float32), samples])
    words = TEXT.split()
    return [
        {"audio": samples[:20000], "text": "and mister"},
        {"audio": long, "text": f"{TEXT} {TEXT}"},
        {"audio": samples[:60000], "text": "…!"},
        {"audio": samples, "text": TEXT},
        {"audio": long, "text": ""},
        {"audio": samples[5000:50000], "text": words[:6]},
        {"audio": long[40000:], "text": words[8:] + words},
        {"audio": samples[:1000], "text": "a"},
        {"audio": samples[: len(samples) // 2], "text": words[: len(words) // 2]},
    ]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        assert left["text"] == right["text"]
        assert [chunk["text"] for chunk in left["chunks"]] == [chunk["text"] for chunk in right["chunks"]]
        for values in (lambda chunk: chunk["timestamp"], lambda chunk: chunk["score"]):
            apart = [np.subtract(values(a), values(b)) for a, b in zip(left["chunks"], right["chunks"], strict=True)]
            # rounding of other batches
            assert not apart or np.abs(apart).max() < 0.005


@pytest.fixture(scope="module")
def alone(pipe, rows):
    return [pipe(row, max_align_seconds=8) for row in rows]


@pytest.mark.parametrize(("budget", "batch_size", "step"), [(1, 9, 1), (10, 2, 1), (10, 9, -1), (4096, 9, -1)])
def test_batches_passes_and_order_change_nothing(pipe, rows, alone, budget, batch_size, step, monkeypatch):
    assert [len(result["chunks"]) > 0 for result in alone] == [row["text"] not in ("", "…!") for row in rows]
    monkeypatch.setattr(batching, "CPU_PASS_SECONDS", budget)
    assert_same(pipe(rows[::step], batch_size=batch_size, max_align_seconds=8), alone[::step])


def test_passes_of_a_batch_are_bounded(pipe, rows, samples, monkeypatch):
    held = []
    forward = type(pipe.model).forward

    def spy(self, *args, **kwargs):
        held.append(kwargs["input_features"].shape)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pipe.model), "forward", spy)
    short = [{"audio": samples[: 16000 * seconds], "text": "one two"} for seconds in (2, 6, 1, 3, 5)]
    pipe(short, batch_size=5, refine=False)
    assert [shape[0] for shape in held] == [5]
    held.clear()
    monkeypatch.setattr(batching, "CPU_PASS_SECONDS", 12)
    pipe(short, batch_size=5, refine=False)
    assert [(shape[0], shape[-1]) for shape in held] == [(2, 600), (3, 300)]
    held.clear()
    # windows of long recordings too
    pipe([rows[1], rows[6]], batch_size=8, max_align_seconds=6)
    assert len(held) > 2  # frames are filled up to a whole chunk of 100
    assert all(count == 1 or count * (frames - 99) <= 1200 for count, _, frames in held)
    assert any(count > 1 for count, _, frames in held)


def spied_passes(pipe, monkeypatch):
    """(clips, seconds of the longest) of each forward pass, as it happens."""
    held = []
    forward = type(pipe.model).forward

    def spy(self, *args, **kwargs):
        count, _, frames = kwargs["input_features"].shape
        held.append((count, frames / 100))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pipe.model), "forward", spy)
    return held


def test_batch_seconds_fill_passes(pipe, samples, monkeypatch):
    rows = [{"audio": samples[: 16000 * seconds], "text": "one two"} for seconds in (2, 3, 3, 5, 1, 1, 6)]
    alone = [pipe(row, refine=False) for row in rows]
    held = spied_passes(pipe, monkeypatch)
    assert_same(pipe(rows, batch_seconds=9, refine=False), alone)
    assert held == [(3, 3), (1, 5), (2, 1), (1, 6)]
    held.clear()
    # both are limits
    assert_same(list(pipe(iter(rows), batch_seconds=9, batch_size=2, refine=False)), alone)
    assert held == [(2, 3), (1, 3), (1, 5), (2, 1), (1, 6)]
    held.clear()
    pipe(rows, batch_seconds=4000, refine=False)
    assert held == [(7, 6)]


@pytest.mark.parametrize("bad", [(), (1,), (0, 3, 5)])
def test_the_thread_that_reads_makes_the_inputs_too(pipe, rows, bad, monkeypatch):
    """Each pass's once, also where rows of its batch are bad."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    monkeypatch.setattr(batching, "CPU_PASS_SECONDS", 10)
    made, prepare = [], pipe.processor.slot_inputs

    def spy(recordings, words, **options):
        made.append((threading.current_thread().name, len(words)))
        return prepare(recordings, words, **options)

    monkeypatch.setattr(pipe.processor, "slot_inputs", spy)
    given = [{**row, "text": 5} if place in bad else row for place, row in enumerate(rows)]
    options = {"refine": False, "max_align_seconds": 30, "batch_size": 4, "on_error": "return"}
    found = list(pipe(iter(given), **options))
    good = [place for place in range(len(rows)) if place not in bad]
    assert all(name.startswith("work-ahead") for name, _ in made)
    assert sum(count for _, count in made) == sum(rows[place]["text"] not in ("", "…!") for place in good)
    assert [place for place, result in enumerate(found) if result["error"]] == list(bad)
    alone = [pipe(row, refine=False, max_align_seconds=30) for row in rows]
    assert_same([found[place] for place in good], [alone[place] for place in good])


def test_inputs_of_other_items_are_not_taken(pipe, rows, monkeypatch):
    """A pass that fails is tried row by row, and what was made for all of it is not for one; nor is it for the rows in
    front of a bad one."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    short = [rows[place] for place in (0, 3, 5, 8)]
    alone = [pipe(row, refine=False) for row in short]
    results = pipe(iter([*short, {"audio": 1, "text": "a"}, rows[3]]), batch_size=6, refine=False)
    assert_same([next(results) for _ in short], alone)
    with pytest.raises(ValueError, match="item 4"):
        next(results)
    assert workers() == []
    prepare = pipe.processor.slot_inputs

    def failing(recordings, words, **options):
        if len(words) > 1 or words[0][0] == "and":
            raise ValueError("no such batch")
        return prepare(recordings, words, **options)

    monkeypatch.setattr(pipe.processor, "slot_inputs", failing)
    found = list(pipe(iter(short), batch_size=4, refine=False, on_error="return"))
    assert [result["error"] for result in found] == ["item 0: ValueError: no such batch", None, None, None]
    assert_same(found[1:], alone[1:])
    assert workers() == []


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_batch_seconds_of_long_recordings(pipe, rows, alone, threads, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: threads)
    held = spied_passes(pipe, monkeypatch)
    assert_same(pipe(rows, batch_seconds=40, max_align_seconds=8), alone)
    assert all(count == 1 or count * (seconds - 1) <= 40 for count, seconds in held)
    together = len(held)
    held.clear()
    pipe(rows, batch_seconds=1, max_align_seconds=8)
    assert together < len(held) and all(count == 1 for count, seconds in held if seconds > 1)
    bad = [rows[0], {"audio": "nowhere.wav", "text": "a"}, rows[3]]
    results = pipe(bad, batch_seconds=40, max_align_seconds=8, on_error="return")
    assert [result["error"] is None for result in results] == [True, False, True]
    assert_same([results[0], results[2]], [alone[0], alone[3]])
    assert workers() == []


@pytest.mark.parametrize("wrong", [0, 0.5, -1, True, "60", float("nan"), float("inf")])
def test_batch_seconds_that_are_none(pipe, rows, wrong):
    with pytest.raises(ValueError, match=r"batch_seconds=.*a number from 1 on"):
        pipe(rows, batch_seconds=wrong)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_next_batches_are_read_in_a_thread(pipe, samples, threads, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: threads)
    drawn, readers = [], set()

    def source():
        for number in range(9):
            readers.add(threading.current_thread())
            drawn.append(number)
            yield {"audio": samples[: 4000 * (number + 1)], "text": f"one two {number}"}

    alone = [pipe(row) for row in source()]
    drawn.clear()
    readers.clear()
    results = pipe(source(), batch_size=2)
    assert drawn == []
    first = next(results)
    wait_until(lambda: len(drawn) == 2 * (1 + threads))
    time.sleep(0.02)
    assert len(drawn) == 2 * (1 + threads) and threading.current_thread() not in readers
    assert_same([first, *results], alone)
    assert workers() == []
    # where processes read, the threads prepare and compute all the same
    made, prepare = [], pipe.processor.slot_inputs

    def spy(*given, **options):
        made.append(threading.current_thread().name)
        return prepare(*given, **options)

    monkeypatch.setattr(pipe.processor, "slot_inputs", spy)
    assert_same(
        pipe(list(source()), batch_size=2, num_workers=2, refine=False), [pipe(row, refine=False) for row in source()]
    )
    assert [name.startswith("work-ahead") for name in made] == [True] * 5 + [False] * 9


def test_the_model_computes_while_results_are_made(pipe, samples, monkeypatch):
    """Three threads hold three batches: the first one's results wait for the second one's forward pass here."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    rows = [{"audio": samples[: 16000 * seconds], "text": "one two"} for seconds in (4, 5, 6, 7)]
    alone = [pipe(row, refine=False) for row in rows]
    computed, forward, decode = [], type(pipe.model).forward, pipe.processor.decode_forced_alignment

    def spy(self, *args, **kwargs):
        computed.append(threading.current_thread())
        return forward(self, *args, **kwargs)

    def waiting(*args, **kwargs):
        wait_until(lambda: len(computed) >= min(4, decoded[0] + 2))
        decoded[0] += 1
        return decode(*args, **kwargs)

    decoded = [0]
    monkeypatch.setattr(type(pipe.model), "forward", spy)
    monkeypatch.setattr(pipe.processor, "decode_forced_alignment", waiting)
    assert_same(list(pipe(iter(rows), batch_size=1, refine=False)), alone)
    assert len(computed) == 4 and len(set(computed)) == 1 and threading.current_thread() not in computed
    assert workers() == []


def computing_threads(pipe, rows, monkeypatch):
    """Names of the threads that call the model."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    names, forward = [], type(pipe.model).forward

    def spy(self, *args, **kwargs):
        names.append(threading.current_thread().name[:10])
        return forward(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(type(pipe.model), "forward", spy)
        list(pipe(iter(rows), batch_size=1, refine=False))
    return names


def test_one_thread_calls_what_two_would_disturb(pipe, samples, monkeypatch):
    """Small passes, which a GPU has graphs for; models with hooks, wrapped or under autocast."""
    rows = [{"audio": samples[: 16000 * seconds], "text": "one two"} for seconds in (1, 30, 1)]
    assert computing_threads(pipe, rows, monkeypatch) == ["work-ahead"] * 3
    with monkeypatch.context() as patched:
        patched.setitem(graphs.CAPTURES, "cpu", None)
        patched.setattr(graphed, "MOST_TOKENS", 50)
        patched.setattr(graphs, "may_use_graphs", lambda *given: False)
        patched.setattr(graphed, "may_use_graphs", lambda *given: False)
        assert computing_threads(pipe, rows, monkeypatch) == ["MainThread", "work-ahead", "MainThread"]
        patched.setattr(graphs, "ENABLED", False)
        assert computing_threads(pipe, rows, monkeypatch) == ["work-ahead"] * 3
    hook = pipe.model.register_forward_hook(lambda *given: None)
    assert computing_threads(pipe, rows, monkeypatch) == ["MainThread"] * 3
    hook.remove()
    with torch.autocast("cpu", torch.bfloat16):
        assert computing_threads(pipe, rows, monkeypatch) == ["MainThread"] * 3
    rope = pipe.model.config.thinker_config.text_config.rope_parameters
    with monkeypatch.context() as patched:
        patched.setitem(rope, "rope_type", "dynamic")
        assert computing_threads(pipe, rows, monkeypatch) == ["MainThread"] * 3
    assert computing_threads(pipe, rows, monkeypatch) == ["work-ahead"] * 3


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_a_forward_pass_that_fails_ahead(pipe, samples, error, monkeypatch):
    """A row's error is found again row by row in the batch's turn; any other is raised then."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    rows = [{"audio": samples[: 16000 * seconds], "text": "one two"} for seconds in (1, 2, 3, 4, 5)]
    alone = [pipe(row, refine=False) for row in rows]
    failed, forward = threading.Event(), type(pipe.model).forward

    def failing(self, *args, **kwargs):
        if kwargs["input_features"].shape[-1] == 400:
            failed.set()
            raise error("four seconds are too many")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pipe.model), "forward", failing)
    results = pipe(iter(rows), batch_size=2, refine=False, on_error="return")
    found = [next(results)]
    assert failed.wait(20)  # before the results of its batch are due
    found.append(next(results))
    assert_same(found, alone[:2])
    if error is ValueError:
        found += results
        assert [result["error"] for result in found[2:]] == [
            None,
            "item 3: ValueError: four seconds are too many",
            None,
        ]
        assert_same([found[2], found[4]], [alone[2], alone[4]])
    else:
        with pytest.raises(RuntimeError, match="too many"):
            next(results)
    assert workers() == []


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_what_came_before_a_bad_row_comes_first(pipe, samples, threads, batch_size, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: threads)
    good = {"audio": samples[:16000], "text": "one"}
    results = pipe(iter([good, good, good, {"audio": "nowhere.wav", "text": "a"}, good]), batch_size=batch_size)
    for _ in range(3):
        assert len(next(results)["chunks"]) == 1
    with pytest.raises(ValueError, match=r"^item 3: .*nowhere\.wav"):
        next(results)
    assert workers() == []
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("by_seconds", [False, True])
@pytest.mark.parametrize("bad", [False, True])
def test_files_are_closed_when_the_consumer_stops(pipe, monkeypatch, bad, by_seconds):
    """Long recordings hold open files: of the batch that was read ahead, and behind a bad row."""
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    made, closed = [], []
    begin, close = AudioStream.__init__, AudioStream.close

    def made_spy(self, *args, **kwargs):
        made.append(self)
        begin(self, *args, **kwargs)

    def closed_spy(self):
        closed.append(self)
        close(self)

    monkeypatch.setattr(AudioStream, "__init__", made_spy)
    monkeypatch.setattr(AudioStream, "close", closed_spy)
    long = {"audio": str(RECORDING), "text": TEXT}
    wrong = {"audio": str(RECORDING), "text": 5}
    # four windows of 4 s are too many for 13
    limit = {"batch_seconds": 13} if by_seconds else {"batch_size": 3}
    results = pipe(iter([long, wrong if bad else long, *[long] * 11]), **limit, max_align_seconds=4)
    assert len(next(results)["chunks"]) == len(TEXT.split())
    opened = (8 if bad else 9) + by_seconds
    wait_until(lambda: len(made) == opened)
    if bad:
        with pytest.raises(ValueError, match="item 1"):
            next(results)
    else:
        results.close()
    assert workers() == []
    assert {id(stream) for stream in closed} == {id(stream) for stream in made}
    assert len(made) == opened
