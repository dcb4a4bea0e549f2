"""Strict loading of both layouts, new classifiers, and saving that always writes the published layout."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import AUDIO, slots, tiny_config, tiny_inputs, widen
from transformers import (
    AutoModel,
    AutoModelForTokenClassification,
    AutoTokenizer,
    GenerationConfig,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.models.qwen3_asr import configuration_qwen3_asr as native_configuration
from transformers.models.qwen3_asr import modeling_qwen3_asr as native

from transformers_qwen3_asr import (
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRTextModel,
    Qwen3ASRThinkerModel,
)
from transformers_qwen3_asr.checkpoints.published import (
    HF_KEY_MAPPING,
    PUBLISHED_MODELS,
    is_hf_config,
    published_config,
    to_hf_name,
    to_published_name,
)
from transformers_qwen3_asr.models.configuration_qwen3_asr import Qwen3ASRConfig

CLASSIFIER = {"classify_num": 60, "timestamp_token_id": 91, "timestamp_segment_time": 40}
HEAD = "thinker.lm_head.weight"


def make(folder, aligner=True):
    """A published-layout checkpoint in `folder`; the model that wrote it."""
    config = tiny_config(classes=50 if aligner else None)
    model = widen((Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration)(config))
    model.save_pretrained(folder)
    return model


def edit(folder, change):
    """Rewrite the folder's tensors after `change(tensors)`."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def to_hf(folder, aligner=True):
    """Turn a published-layout folder into the flat -hf layout in place, names and config."""
    edit(folder, lambda t: [t.__setitem__(to_hf_name(name, aligner=aligner), t.pop(name)) for name in list(t)])
    config = json.loads((folder / "config.json").read_text())
    thinker = config.pop("thinker_config")
    text = thinker["text_config"]
    text["rope_parameters"] = {"rope_theta": text.pop("rope_theta"), "rope_type": "default"}
    text.pop("rope_scaling")
    config |= {"audio_config": {**thinker["audio_config"], "model_type": "qwen3_asr_encoder"}, "text_config": text,
               "audio_token_id": thinker["audio_token_id"], "timestamp_token_id": 91, "dtype": "float32",
               "eos_token_id": [98, 99], "pad_token_id": 92, "tie_word_embeddings": True}  # fmt: skip
    if aligner:
        n = thinker["classify_num"]
        config["architectures"] = ["Qwen3ASRForTokenClassification"]
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(n)}
        config["label2id"] = {f"LABEL_{i}": i for i in range(n)}
    (folder / "config.json").write_text(json.dumps(config))
    assert is_hf_config(config)


def logits(model):
    inputs = tiny_inputs(model.config)
    keep = {"logits_to_keep": slots(inputs)} if isinstance(model, Qwen3ASRForTokenClassification) else {}
    with torch.no_grad():
        return model(**inputs, **keep).logits


def published_names(folder):
    names = set()
    for file in folder.glob("*.safetensors"):
        names |= set(load_file(file))
    return names


@pytest.mark.parametrize("layout", ["published", "hf"])
@pytest.mark.parametrize("aligner", [True, False])
def test_both_layouts_load_and_are_saved_as_published(tmp_path, layout, aligner):
    model = make(tmp_path / "a", aligner)
    names = published_names(tmp_path / "a")
    if layout == "hf":
        to_hf(tmp_path / "a", aligner)
        assert any(name.startswith("model.") for name in published_names(tmp_path / "a"))
    again = type(model).from_pretrained(tmp_path / "a")
    assert torch.equal(logits(again), logits(model))

    again.save_pretrained(tmp_path / "b")
    assert published_names(tmp_path / "b") == names
    saved = json.loads((tmp_path / "b" / "config.json").read_text())
    assert saved["thinker_config"]["model_type"] == ("qwen3_forced_aligner" if aligner else "qwen3_asr")
    assert saved["thinker_config"]["text_config"]["rope_theta"] == 10000.0
    assert torch.equal(logits(type(model).from_pretrained(tmp_path / "b")), logits(model))


def test_sharded_saving_is_published_too(tmp_path):
    model = make(tmp_path / "a")
    to_hf(tmp_path / "a")
    again = Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "a")
    again.save_pretrained(tmp_path / "b", max_shard_size="50KB")
    index = json.loads((tmp_path / "b" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    assert all(name.startswith("thinker.") for name in index["weight_map"])
    assert torch.equal(logits(Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "b")), logits(model))


def test_trainer_saves_the_published_layout(tmp_path):
    model = make(tmp_path / "a")
    names = published_names(tmp_path / "a")
    to_hf(tmp_path / "a")
    again = Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "a")
    arguments = TrainingArguments(output_dir=str(tmp_path / "b"), report_to="none", use_cpu=True)
    Trainer(model=again, args=arguments).save_model()
    assert published_names(tmp_path / "b") == names
    assert torch.equal(logits(Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "b")), logits(model))


def published_generation_config(folder):
    """generation_config.json of the published ASR models, but for the ids."""
    content = {"_from_model_config": True, "eos_token_id": [97, 98], "pad_token_id": 97, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps({**content, "temperature": 0.000001}))


def generated(model):
    return model.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=4)


def test_the_published_temperature_is_saved_as_one_that_vllm_takes_for_none(tmp_path):
    """It stands beside do_sample=False, which transformers refuses to write once anything has changed."""
    make(tmp_path, aligner=False)
    published_generation_config(tmp_path)
    model = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path)
    model.generation_config.pad_token_id = 95
    model.save_pretrained(tmp_path / "b")
    assert type(model.generation_config) is GenerationConfig
    assert model.generation_config.temperature == 1e-6  # vLLM would make it 0.01, and sample
    saved = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert (saved["temperature"], saved["do_sample"], saved["pad_token_id"]) == (0.0, False, 95)
    again = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path / "b")
    assert torch.equal(generated(again), generated(model))

    model.generation_config.top_p = 0.5  # everything else is held to transformers' rules
    with pytest.raises(ValueError, match="top_p"):
        model.save_pretrained(tmp_path / "c")


def test_training_saves_the_published_temperature(tmp_path):
    make(tmp_path, aligner=False)
    published_generation_config(tmp_path)
    model = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path)
    model.generation_config.max_new_tokens = 5
    inputs = tiny_inputs(model.config, (120,), (2,))
    row = {name: value[0] for name, value in inputs.items()} | {"labels": inputs["input_ids"][0]}
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "b"),
        report_to="none",
        use_cpu=True,
        max_steps=1,
        save_steps=1,
        save_strategy="steps",
    )
    Trainer(model=model, args=arguments, train_dataset=[row, row]).train()
    again = GenerationConfig.from_pretrained(tmp_path / "b" / "checkpoint-1")
    assert (again.temperature, again.do_sample, again.max_new_tokens) == (0.0, False, 5)


@pytest.mark.parametrize("sampling", [False, True])
def test_a_saved_recogniser_is_greedy_in_vllm_unless_it_samples(tmp_path, sampling):
    """Without a temperature vLLM, which knows no do_sample, samples at 1.0."""
    make(tmp_path, aligner=False)
    model = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path)
    if sampling:
        model.generation_config.update(do_sample=True, temperature=0.7)
    model.save_pretrained(tmp_path / "b")
    saved = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert saved["temperature"] == (0.7 if sampling else 0.0)


@pytest.mark.parametrize("text", [None, True, False])
@pytest.mark.parametrize("top", [None, True, False])
def test_a_native_asr_folder_stays_tied_or_untied(tmp_path, top, text):
    """The -hf classes tie by the field at the top alone, and a tied folder holds no head."""
    numbers = tiny_config(classes=None).thinker_config
    audio = {key: getattr(numbers.audio_config, key) for key in (
        "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "output_dim", "num_mel_bins",
        "downsample_hidden_size", "n_window_infer")}  # fmt: skip
    words = {key: getattr(numbers.text_config, key) for key in (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "vocab_size")}  # fmt: skip
    if text is not None:
        words["tie_word_embeddings"] = text
    config = native_configuration.Qwen3ASRConfig(
        audio_config=audio,
        text_config={**words, "model_type": "qwen3"},
        audio_token_id=AUDIO,
        pad_token_id=0,
        **({} if top is None else {"tie_word_embeddings": top}),
    )
    theirs = native.Qwen3ASRForConditionalGeneration(config)
    theirs.save_pretrained(tmp_path)
    tied = top is not False
    assert ("lm_head.weight" in load_file(tmp_path / "model.safetensors")) is not tied

    model = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is tied
    assert model.config.tie_word_embeddings is tied
    assert torch.equal(model.get_output_embeddings().weight, theirs.lm_head.weight)
    model.save_pretrained(tmp_path / "b")
    again = Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path / "b")
    assert (again.get_output_embeddings().weight is again.get_input_embeddings().weight) is tied


def test_an_offloaded_hf_checkpoint_is_saved_as_published(tmp_path):
    model = make(tmp_path / "a")
    names = published_names(tmp_path / "a")
    to_hf(tmp_path / "a")
    device_map = {"thinker.audio_tower": "disk", "thinker.model": "cpu", "thinker.lm_head": "disk"}
    again = Qwen3ASRForTokenClassification.from_pretrained(
        tmp_path / "a", device_map=device_map, offload_folder=tmp_path / "offload"
    )
    torch.testing.assert_close(logits(again), logits(model))
    again.save_pretrained(tmp_path / "b")
    assert published_names(tmp_path / "b") == names
    assert torch.equal(logits(Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "b")), logits(model))


def test_original_format_is_refused(tmp_path):
    model = make(tmp_path / "a")
    with pytest.raises(ValueError, match="save_original_format"):
        model.save_pretrained(tmp_path / "b", save_original_format=True)


def test_saved_names_pass_the_published_mapper(tmp_path):
    """The rules that vLLM's aligner applies to a checkpoint, and the parameters that it then fills."""
    rules = {"thinker.lm_head.": "classifier.", "thinker.model.": "language_model.model.", "thinker.": ""}
    make(tmp_path)
    mapped = set()
    for name in published_names(tmp_path):
        prefix = next(prefix for prefix in rules if name.startswith(prefix))
        mapped.add(rules[prefix] + name.removeprefix(prefix))
    assert "classifier.weight" in mapped
    assert {name.split(".")[0] for name in mapped} == {"classifier", "language_model", "audio_tower"}
    assert {name.split(".")[1] for name in mapped if name.startswith("audio_tower.")} == {
        "conv2d1", "conv2d2", "conv2d3", "conv_out", "layers", "ln_post", "proj1", "proj2",
    }  # fmt: skip


CHANGES = {
    "missing": (lambda t: t.pop("thinker.audio_tower.proj1.weight"), "missing: thinker.audio_tower.proj1.weight"),
    "unexpected": (
        lambda t: t.__setitem__("thinker.audio_tower.proj3.weight", torch.zeros(2)),
        "unexpected: thinker.audio_tower.proj3.weight",
    ),
    "misshapen": (
        lambda t: t.__setitem__("thinker.audio_tower.proj1.bias", torch.zeros(31)),
        r"another shape: thinker.audio_tower.proj1.bias is \(31,\), the model's is \(32,\)",
    ),
    "no head": (lambda t: t.pop(HEAD), f"missing: {HEAD}"),
    "other head": (
        lambda t: t.__setitem__(HEAD, torch.zeros(60, 32)),
        r"thinker.lm_head.weight is \(60, 32\), the model's is \(50, 32\)",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_checkpoint_that_does_not_fill_the_model_is_an_error(tmp_path, case):
    change, message = CHANGES[case]
    make(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        AutoModelForTokenClassification.from_pretrained(tmp_path)
    if "head" not in case:  # what a new classifier may replace is the classifier
        with pytest.raises(ValueError, match=message):
            AutoModelForTokenClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=True)


@pytest.mark.parametrize("case", ["missing", "unexpected", "misshapen"])
def test_hf_checkpoints_are_held_to_the_same(tmp_path, case):
    make(tmp_path)
    edit(tmp_path, CHANGES[case][0])
    to_hf(tmp_path)
    with pytest.raises(ValueError, match=CHANGES[case][1]):
        AutoModelForTokenClassification.from_pretrained(tmp_path)


def test_the_pipeline_does_not_fall_back_to_native_classes(tmp_path, goldens):
    """`pipeline()` tries the architecture's name next, which transformers has a class of: it must not answer."""
    make(tmp_path)
    AutoTokenizer.from_pretrained(goldens / "aligner").save_pretrained(tmp_path)
    edit(tmp_path, CHANGES["missing"][0])
    with pytest.raises(ValueError, match=re.escape("proj1.weight")):
        pipeline("forced-alignment", model=str(tmp_path))


def test_parts_of_an_omni_checkpoint_are_skipped(tmp_path):
    model = make(tmp_path)
    edit(tmp_path, lambda t: t.update({"talker.a.weight": torch.zeros(1), "code2wav.b.weight": torch.zeros(1)}))
    assert torch.equal(logits(Qwen3ASRForTokenClassification.from_pretrained(tmp_path)), logits(model))


@pytest.mark.parametrize("layout", ["published", "hf"])
def test_a_new_classifier_on_an_asr_checkpoint(tmp_path, layout):
    asr = make(tmp_path / "asr", aligner=False)
    if layout == "published":  # the published ASR files store the tied head
        edit(tmp_path / "asr", lambda t: t.__setitem__(HEAD, t["thinker.model.embed_tokens.weight"].clone()))
    else:
        to_hf(tmp_path / "asr", aligner=False)
    model = AutoModelForTokenClassification.from_pretrained(
        tmp_path / "asr", ignore_mismatched_sizes=True, **CLASSIFIER
    )
    assert model.thinker.lm_head.weight.shape == (60, 32)
    assert 0.01 < model.thinker.lm_head.weight.std() < 0.03  # new, by the config's initializer_range
    for name, value in asr.thinker.state_dict().items():
        if "lm_head" not in name:
            assert torch.equal(model.thinker.state_dict()[name], value), name
    model.save_pretrained(tmp_path / "new")
    saved = json.loads((tmp_path / "new" / "config.json").read_text())
    assert saved["timestamp_segment_time"] == 40 and saved["timestamp_token_id"] == 91
    assert saved["thinker_config"]["model_type"] == "qwen3_forced_aligner"
    assert saved["thinker_config"]["text_config"]["tie_word_embeddings"] is False
    assert torch.equal(logits(Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "new")), logits(model))

    for name in CLASSIFIER:
        given = {k: v for k, v in CLASSIFIER.items() if k != name}
        with pytest.raises(ValueError, match=name):
            AutoModelForTokenClassification.from_pretrained(tmp_path / "asr", ignore_mismatched_sizes=True, **given)
    with pytest.raises(ValueError, match="lm_head"):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "asr", **CLASSIFIER)


def test_an_aligner_is_no_asr_model(tmp_path):
    make(tmp_path)
    with pytest.raises(ValueError, match="is an aligner, which writes no text"):
        Qwen3ASRForConditionalGeneration.from_pretrained(tmp_path)


@pytest.mark.parametrize("layout", ["published", "hf"])
@pytest.mark.parametrize("aligner", [True, False])
def test_the_headless_thinker(tmp_path, layout, aligner):
    model = make(tmp_path / "a", aligner)
    if layout == "hf":
        to_hf(tmp_path / "a", aligner)
    thinker = AutoModel.from_pretrained(tmp_path / "a")
    assert type(thinker) is Qwen3ASRThinkerModel and not hasattr(thinker, "lm_head")
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        want = model.thinker(**inputs).last_hidden_state
        assert torch.equal(thinker(**inputs).last_hidden_state, want)
        thinker.save_pretrained(tmp_path / "b")
        again = AutoModel.from_pretrained(tmp_path / "b")
        assert torch.equal(again(**inputs).last_hidden_state, want)
    if aligner:  # headless is headless
        with pytest.raises(ValueError, match="lm_head"):
            Qwen3ASRForTokenClassification.from_pretrained(tmp_path / "b")


def test_parts_are_saved_and_loaded(tmp_path):
    model = make(tmp_path / "a")
    embeddings = torch.randn(1, 9, 32)
    model.thinker.model.save_pretrained(tmp_path / "text")
    text = AutoModel.from_pretrained(tmp_path / "text")
    assert type(text) is Qwen3ASRTextModel
    model.thinker.audio_tower.save_pretrained(tmp_path / "audio")
    encoder = AutoModel.from_pretrained(tmp_path / "audio")
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        torch.testing.assert_close(
            text(inputs_embeds=embeddings).last_hidden_state,
            model.thinker.model(inputs_embeds=embeddings).last_hidden_state,
        )
        assert torch.equal(
            encoder(inputs["input_features"]).last_hidden_state,
            model.thinker.audio_tower(inputs["input_features"]).last_hidden_state,
        )


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_names_and_shapes_are_the_published_ones(shared, name):
    """Every tensor of the three published models, and of their -hf twins by the table."""
    listed = json.loads((shared / "checkpoints" / "tensors.json").read_text())
    config = Qwen3ASRConfig(**published_config(name))
    aligner = config.classify_num is not None
    model_class = Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration
    with torch.device("meta"):
        model = model_class(config)
    own = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert own == listed[name]["tensors"]

    flat = {to_hf_name(key, aligner=aligner): shape for key, shape in own.items()}
    if not aligner:
        flat.pop("lm_head.weight")
    assert flat == listed[name + "-hf"]["tensors"]
    assert {to_published_name(key) for key in flat} | ({HEAD} if not aligner else set()) == set(own)
    for pattern in HF_KEY_MAPPING:
        assert not any(re.search(pattern, key) for key in own)


def test_names_of_no_layout_are_errors():
    with pytest.raises(ValueError, match=r"'foo\.weight'"):
        to_published_name("foo.weight")
    with pytest.raises(ValueError, match=r"'model\.layers\.0'"):
        to_hf_name("model.layers.0", aligner=True)


def test_default_dtype_is_the_checkpoints(tmp_path):
    model = make(tmp_path / "a").bfloat16()
    model.save_pretrained(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["thinker_config"]["dtype"] == "bfloat16"
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path / "b")
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert logits(loaded).dtype == torch.bfloat16
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "b", dtype="float32").dtype == torch.float32
    assert loaded.config.audio_token_id == AUDIO
