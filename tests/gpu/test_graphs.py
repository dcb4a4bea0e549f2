"""CUDA graphs of small passes. On a CPU by a stand-in that, like a graph, repeats operations and not Python."""

import gc
import itertools
import logging
import threading

import pytest
import torch
from tiny import slots, tiny_config, tiny_inputs, widen
from torch.fx.experimental.proxy_tensor import make_fx

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.gpu import graphs, release_graphs
from transformers_qwen3_asr.gpu.graphs import Recording, padded_length

CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def traced(function, buffers, pool):
    """The operations of one call, with every number that Python saw baked in, as a CUDA graph has them."""
    places = [i for i, buffer in enumerate(buffers) if isinstance(buffer, torch.Tensor)]

    def of_tensors(*tensors):
        return function(*(tensors[places.index(i)] if i in places else buffers[i] for i in range(len(buffers))))

    tensors = [buffers[i] for i in places]
    operations = make_fx(of_tensors)(*tensors)
    outputs = tuple(operations(*tensors))

    def replay():
        for output, new in zip(outputs, operations(*tensors), strict=True):
            output.copy_(new)

    return Recording(replay, outputs, sum(output.nbytes for output in outputs))


@pytest.fixture
def recorded(monkeypatch):
    """How often something was recorded, by the stand-in."""
    count = itertools.count()

    def capture(*arguments):
        recording = traced(*arguments)
        next(count)
        return recording

    monkeypatch.setitem(graphs.CAPTURES, "cpu", capture)
    # an iterator tells how far it is
    return lambda: int(repr(count)[6:-1])


def aligner(implementation="sdpa", dtype=torch.float32):
    config = tiny_config()
    config._attn_implementation = implementation
    return widen(Qwen3ASRForTokenClassification(config)).to(dtype)


def logits_of(model, inputs):
    with torch.no_grad():
        return model(**inputs, logits_to_keep=slots(inputs)).logits


def plainly(monkeypatch, model, inputs):
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "ENABLED", False)
        return logits_of(model, inputs)


#: Batches that share their padded shapes, and some that do not.
BATCHES = [((330, 120, 615), (4, 2, 7)), ((700, 90, 37), (1, 9, 3)), ((330,), (4,))]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_results_do_not_depend_on_graphs(recorded, monkeypatch, implementation):
    model = aligner(implementation)
    batches = [tiny_inputs(model.config, frames, words, seed=i) for i, (frames, words) in enumerate(BATCHES)]
    for inputs in batches * 3:
        torch.testing.assert_close(logits_of(model, inputs), plainly(monkeypatch, model, inputs), **CLOSE)
    # an encoder's and a text model's for each of the shapes, and none twice
    assert recorded() == len(graphs._GRAPHS[model.thinker.model]) + len(graphs._GRAPHS[model.thinker.audio_tower])
    assert 3 <= recorded() <= 2 * len(batches)


def test_what_was_there_before_is_not_seen(recorded, monkeypatch):
    """A longer row before, and one that is not finite, leave nothing in the padding."""
    model = aligner("eager")
    long, short = (tiny_inputs(model.config, (frames,), (words,)) for frames, words in ((800, 1), (330, 18)))
    for _ in range(3):
        logits_of(model, long)
    spoiled = {**long, "input_features": torch.full_like(long["input_features"], torch.nan)}
    assert logits_of(model, spoiled).isnan().any()
    before = recorded()
    torch.testing.assert_close(logits_of(model, short), plainly(monkeypatch, model, short), **CLOSE)
    assert recorded() == before


def test_one_result_is_not_changed_by_the_next(recorded):
    model = aligner()
    one, other = (tiny_inputs(model.config, (330,), (4,), seed=seed) for seed in (0, 1))
    for _ in range(2):
        logits_of(model, one)
    with torch.inference_mode():
        first = model.thinker(**one, use_cache=False).last_hidden_state
        copy = first.clone()
        second = model.thinker(**other, use_cache=False).last_hidden_state
    assert torch.equal(first, copy)
    assert not torch.equal(first, second)


def test_beside_a_thread_without_graphs_none_is_recorded(recorded, monkeypatch):
    """That thread uses none either; the other one replays those that are there, and waits to record more."""
    model = aligner()
    known, new = (tiny_inputs(model.config, (frames,), (words,)) for frames, words in ((330, 4), (700, 9)))
    for _ in range(2):
        logits_of(model, known)
    before, begun, done = recorded(), threading.Event(), threading.Event()

    def other():
        torch.testing.assert_close(logits_of(model, known), expected, **CLOSE)
        logits_of(model, new)  # the first time that it comes
        begun.set()
        logits_of(model, new)
        done.set()

    expected = plainly(monkeypatch, model, known)
    with graphs.without_graphs():
        for _ in range(3):
            logits_of(model, new)
        thread = threading.Thread(target=other)
        thread.start()
        assert begun.wait(20) and not done.wait(0.2) and recorded() == before
    assert done.wait(20) and recorded() > before
    thread.join()


def test_weights_that_move_are_followed(recorded, monkeypatch):
    model, inputs = aligner(), tiny_inputs(tiny_config())
    for _ in range(3):
        logits_of(model, inputs)
    layer = model.thinker.model.layers[0]
    with torch.no_grad():
        layer.mlp.up_proj.weight.mul_(2)  # in its place
        torch.testing.assert_close(logits_of(model, inputs), plainly(monkeypatch, model, inputs), **CLOSE)
        layer.mlp.up_proj.weight.data = layer.mlp.up_proj.weight * 2  # elsewhere
    torch.testing.assert_close(logits_of(model, inputs), plainly(monkeypatch, model, inputs), **CLOSE)
    model.to(torch.float64)
    doubled = {**inputs, "input_features": inputs["input_features"].double()}
    for _ in range(3):
        assert logits_of(model, doubled).dtype == torch.float64


def test_hooks_training_and_inner_states_take_the_usual_way(recorded):
    model, inputs = aligner("eager"), tiny_inputs(tiny_config())
    for _ in range(3):
        logits_of(model, inputs)
    made, seen = recorded(), []
    hook = model.thinker.model.layers[1].register_forward_hook(lambda *_: seen.append(1))
    other = model.thinker.audio_tower.layers[1].register_forward_hook(lambda *_: seen.append(2))
    logits_of(model, inputs)
    assert sorted(seen) == [1, 2]
    hook.remove()
    other.remove()
    with torch.no_grad():
        assert len(model(**inputs, output_hidden_states=True).hidden_states) == 3
    model(**inputs).logits.sum().backward()
    assert model.thinker.audio_tower.conv2d1.weight.grad is not None
    assert recorded() == made


def test_wrong_inputs_raise_as_ever(recorded):
    model = aligner()
    inputs = tiny_inputs(model.config)
    for _ in range(3):
        logits_of(model, inputs)
    mask = inputs["input_features_mask"].flip(-1)
    with pytest.raises(ValueError, match="of clip 0 must be ones, at least one, and then zeros"):
        logits_of(model, {**inputs, "input_features_mask": mask})


def test_generation_is_the_same(recorded, monkeypatch):
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config, (330,), (3,))
    got = [model.generate(**inputs, max_new_tokens=5, do_sample=False) for _ in range(3)]
    monkeypatch.setattr(graphs, "ENABLED", False)
    want = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert all(torch.equal(tokens, want) for tokens in got)


@pytest.mark.parametrize("fault", ["raises", "differs"])
def test_what_fails_or_differs_steps_aside_with_one_warning(monkeypatch, caplog, fault):
    def capture(function, buffers, pool):
        if fault == "raises":
            raise RuntimeError("operation not permitted when stream is capturing")
        recording = traced(function, buffers, pool)
        return Recording(lambda: [output.add_(1) for output in recording.outputs], recording.outputs)

    model, inputs = aligner(), tiny_inputs(tiny_config())
    want = logits_of(model, inputs)
    monkeypatch.setitem(graphs.CAPTURES, "cpu", capture)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            torch.testing.assert_close(logits_of(model, inputs), want, **CLOSE)
    assert [record.message.split(" cannot")[0].split(" gives")[0] for record in caplog.records] == [
        "the CUDA graph of the audio encoder",
        "the CUDA graph of the text model",
    ]


def test_memory_is_bounded_and_let_go_of(recorded, monkeypatch):
    model = aligner()
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    for words in (3, 30, 60, 90):
        inputs = tiny_inputs(model.config, (330,), (words,))
        for _ in range(2):
            logits_of(model, inputs)
    text = graphs._GRAPHS[model.thinker.model]
    assert len(text) == 2
    monkeypatch.setattr(graphs, "MOST_BYTES", 0)
    inputs = tiny_inputs(model.config, (330,), (120,))
    for _ in range(2):
        logits_of(model, inputs)
    assert len(text) == 0
    assert release_graphs(model) == 1  # the encoder's
    assert release_graphs(model) == 0
    held = len(graphs._GRAPHS)
    logits_of(model, inputs)
    assert len(graphs._GRAPHS) == held + 2
    del model, text
    gc.collect()
    assert len(graphs._GRAPHS) <= held


def test_large_batches_take_the_usual_way(recorded):
    model = aligner()
    inputs = tiny_inputs(model.config, (200,) * 20, (40,) * 20)
    for _ in range(3):
        logits_of(model, inputs)
    assert recorded() == 0


def test_lengths_are_few_and_close():
    lengths = [padded_length(n) for n in range(1, 4097)]
    assert all(n <= length < max(65, 1.25 * n + 16) for n, length in enumerate(lengths, 1))
    assert len(set(lengths)) <= 25
    assert lengths == sorted(lengths)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_graphs_on_a_gpu(monkeypatch, caplog, dtype):
    model = aligner(dtype=dtype).cuda()
    batches = [tiny_inputs(model.config, frames, words, seed=i) for i, (frames, words) in enumerate(BATCHES)]
    batches = [{name: value.cuda() for name, value in inputs.items()} for inputs in batches]
    with caplog.at_level(logging.WARNING):
        for inputs in batches * 3:
            inputs = {**inputs, "input_features": inputs["input_features"].to(dtype)}
            got, want = logits_of(model, inputs), plainly(monkeypatch, model, inputs)
            apart = (got.float() - want.float()).square().mean().sqrt() / want.float().std()
            assert apart < (1e-3 if dtype == torch.float32 else 0.05)
    assert not caplog.records
    assert release_graphs(model) >= 4
