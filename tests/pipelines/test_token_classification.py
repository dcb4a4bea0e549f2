"""`pipeline("token-classification")` with an aligner aligns, and with any other model is what it always was."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoProcessor,
    BertConfig,
    BertForTokenClassification,
    BertTokenizer,
    TokenClassificationPipeline,
    pipeline,
)

from transformers_qwen3_asr import ForcedAlignmentPipeline, bundled_model, register

FOLDER = str(bundled_model("tiny-en"))
CALL = {"text": "hello there world", "language": "English"}
TASKS = ["token-classification", "ner"]


@pytest.fixture(scope="module")
def audio():
    return np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)


@pytest.fixture(scope="module")
def expected(audio):
    return pipeline("forced-alignment", model=FOLDER, dtype="float32", device="cpu")(audio, **CALL)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder with a tiny BERT that knows five words and three labels."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "there", "world", "my", "name"]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, id2label={0: "O", 1: "B-PER", 2: "B-LOC"},
    )  # fmt: skip
    BertForTokenClassification(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("task", TASKS)
def test_an_aligners_name_aligns(task, audio, expected):
    pipe = pipeline(task, model=FOLDER, dtype="float32", device="cpu")
    assert type(pipe) is ForcedAlignmentPipeline
    assert pipe(audio, **CALL) == expected
    for result in pipe([{"audio": audio, **CALL}] * 2, batch_size=2):
        assert [chunk["timestamp"] for chunk in result["chunks"]] == [c["timestamp"] for c in expected["chunks"]]
        assert result["score"] == pytest.approx(expected["score"], rel=1e-4)


@pytest.mark.parametrize("given", [(), ("processor",), ("tokenizer",), ("processor", "tokenizer")])
def test_an_aligner_as_an_object_aligns(given, audio, expected):
    model = AutoModelForTokenClassification.from_pretrained(FOLDER, dtype="float32")
    processor = AutoProcessor.from_pretrained(FOLDER)
    parts = {"processor": processor, "tokenizer": processor.tokenizer}
    pipe = pipeline("token-classification", model=model, device="cpu", **{name: parts[name] for name in given})
    assert type(pipe) is ForcedAlignmentPipeline
    assert pipe(audio, **CALL) == expected
    if "processor" in given:
        assert pipe.processor is processor


def test_an_aligner_from_nowhere_needs_its_processor():
    model = AutoModelForTokenClassification.from_pretrained(FOLDER, dtype="float32")
    model.config._name_or_path = ""
    with pytest.raises(ValueError, match="processor must be given"):
        pipeline("token-classification", model=model, device="cpu")


def test_defaults_of_the_call_are_heeded(audio, expected):
    pipe = pipeline("token-classification", model=FOLDER, dtype="float32", device="cpu", language="English")
    assert pipe(audio, text=CALL["text"]) == expected
    with pytest.raises(TypeError, match="aggregation_strategy"):
        pipeline("token-classification", model=FOLDER, device="cpu", aggregation_strategy="simple")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("loaded", [False, True])
def test_other_models_get_transformers_own_pipeline(bert, task, loaded):
    """The very class, and what it gives when nothing is in its place."""
    options = {"device": "cpu", "aggregation_strategy": "none"}
    own = pipeline(task, model=bert, pipeline_class=TokenClassificationPipeline, **options)
    if loaded:
        parts = {"model": BertForTokenClassification.from_pretrained(bert), "tokenizer": bert}
        pipe = pipeline(task, **parts, **options)
    else:
        pipe = pipeline(task, model=bert, **options)
    assert type(pipe) is TokenClassificationPipeline
    assert pipe.task == own.task
    assert pipe.tokenizer.get_vocab() == own.tokenizer.get_vocab()
    assert pipe.processor is None and own.processor is None
    for text in ("hello there world", ["hello", "my name"]):
        assert pipe(text) == own(text)


def test_other_models_fail_as_ever(bert, tmp_path):
    """Without a tokenizer: the error that transformers raises where nothing stands in its pipeline's place."""
    model = BertForTokenClassification.from_pretrained(bert)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "tokenizer_config.json").write_text("{")
    for given in (model, str(tmp_path)):
        with pytest.raises((Exception,)) as own:
            pipeline("token-classification", model=given, pipeline_class=TokenClassificationPipeline, device="cpu")
        with pytest.raises((Exception,)) as ours:
            pipeline("token-classification", model=given, device="cpu")
        assert str(ours.value) == str(own.value)


def test_the_task_is_inferred_as_ever(bert):
    for model in (bert, BertForTokenClassification.from_pretrained(bert)):
        with pytest.raises(RuntimeError, match="task automatically"):
            pipeline(model=model, device="cpu")


def test_registering_again_leaves_another_pipeline_in_place(monkeypatch):
    from transformers.pipelines import PIPELINE_REGISTRY

    class Another(TokenClassificationPipeline):
        pass

    monkeypatch.setitem(PIPELINE_REGISTRY.supported_tasks["token-classification"], "impl", Another)
    register()
    assert PIPELINE_REGISTRY.supported_tasks["token-classification"]["impl"] is Another
