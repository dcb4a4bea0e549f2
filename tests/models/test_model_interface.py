"""What transformers, PEFT and PyTorch expect of a model beyond its results: base models, heads, outputs, losses."""

import copy

import pytest
import torch
from tiny import AUDIO, PAD, slots, tiny_config, tiny_inputs, widen
from torch import nn

from transformers_qwen3_asr import (
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRThinkerModel,
)

HEAD = "thinker.lm_head.weight"


def aligner(**parts):
    return widen(Qwen3ASRForTokenClassification(tiny_config(**parts)))


def recogniser(**parts):
    return widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None, **parts)))


def test_the_head_is_not_in_the_base_model():
    model = aligner()
    model.base_model.requires_grad_(False)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [HEAD]
    assert {f"thinker.{name}" for name in model.base_model.state_dict()} == model.state_dict().keys() - {HEAD}


@torch.no_grad()
def test_the_base_model_is_the_model_below_the_head():
    model = aligner()
    base, inputs = model.base_model, tiny_inputs(model.config)
    assert base is model.base_model and base is not model
    states = base(**inputs, use_cache=False).last_hidden_state
    tokens = inputs["attention_mask"].bool()
    torch.testing.assert_close(model.score(states)[tokens], model(**inputs).logits[tokens])
    # what is set on it is set in the model, and a copied model has a base of its own
    model.set_encoder(copy.deepcopy(model.get_encoder("audio")), "audio")
    base.audio_tower = tower = copy.deepcopy(model.thinker.audio_tower)
    assert model.thinker.audio_tower is tower is model.base_model.audio_tower
    other = copy.deepcopy(model)
    assert other.base_model.audio_tower is other.thinker.audio_tower is not tower
    assert not hasattr(recogniser().base_model, "lm_head")


@pytest.mark.parametrize("more", [None, ["lm_head"]])
def test_peft_finds_the_classifier(more, tmp_path):
    peft = pytest.importorskip("peft", reason="PEFT, of the extra train, is not installed")
    inputs = tiny_inputs(aligner().config)
    config = peft.LoraConfig(task_type="TOKEN_CLS", r=2, target_modules=["q_proj", "fc1"], modules_to_save=more)
    model = peft.get_peft_model(aligner(), config)
    trained = [name for name, p in model.named_parameters() if p.requires_grad and "lora" not in name]
    assert trained == ["base_model.model.thinker.lm_head.modules_to_save.default.weight"]
    model(**inputs, labels=torch.where(slots(inputs), 3, -100)).loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.sub_(0.1 * parameter.grad / parameter.grad.abs().max().clamp(min=1e-9))
        want = model.eval()(**inputs).logits
        model.save_pretrained(tmp_path)
        loaded = peft.PeftModel.from_pretrained(aligner(), tmp_path).eval()
        torch.testing.assert_close(loaded(**inputs).logits, want)
        assert (want - aligner()(**inputs).logits).abs().max() > 0.1
        merged = loaded.merge_and_unload()
        torch.testing.assert_close(merged(**inputs).logits, want, atol=1e-4, rtol=1e-4)
    assert merged.state_dict().keys() == aligner().state_dict().keys()


def test_the_classifier_has_one_name_unless_duplicates_are_asked_for():
    model = aligner()
    assert "score" not in dict(model.named_modules()) and "score.weight" not in model.state_dict()
    assert "score" in dict(model.named_modules(remove_duplicate=False))
    assert model.get_submodule("score") is model.thinker.lm_head
    once, twice = (dict(model.named_parameters(remove_duplicate=one)) for one in (True, False))
    assert once.keys() == twice.keys()  # or accelerate finds the classifier tied to itself
    model.score = head = nn.Linear(32, 7, bias=False)
    assert model.thinker.lm_head is head and "score" not in model._modules


@torch.no_grad()
def test_a_thinker_by_itself_is_saved_and_loaded(tmp_path):
    model = widen(Qwen3ASRThinkerModel(tiny_config(classes=None).thinker_config))
    model.save_pretrained(tmp_path)
    inputs = tiny_inputs(tiny_config())
    loaded = Qwen3ASRThinkerModel.from_pretrained(tmp_path)
    assert torch.equal(loaded(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


PARTS = {"audio_config": "eager", "text_config": "sdpa"}


@pytest.mark.parametrize("wanted", [PARTS, {"thinker_config": PARTS}, {"": "sdpa", "thinker_config": "sdpa", **PARTS}])
def test_attention_by_part(wanted, tmp_path):
    aligner().save_pretrained(tmp_path)
    loaded = Qwen3ASRForTokenClassification.from_pretrained(tmp_path, attn_implementation=wanted)
    changed = aligner()
    changed.set_attn_implementation("eager")
    changed.set_attn_implementation(wanted)
    for model in (loaded, changed):
        parts = (model.thinker.audio_tower, model.thinker.model)
        assert [part.config._attn_implementation for part in parts] == ["eager", "sdpa"]
    changed.set_attn_implementation({"audio_config": "sdpa"})
    assert changed.thinker.audio_tower.config._attn_implementation == "sdpa"
    changed.thinker.set_attn_implementation({"text_config": "eager"})
    parts = (changed.thinker.audio_tower, changed.thinker.model)
    assert [part.config._attn_implementation for part in parts] == ["sdpa", "eager"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"vision_config": "eager"}, "vision_config"),
        ({"thinker_config": {"talker": "eager"}}, "talker"),
        ({"audio_config": "eager", "thinker_config": {"audio_config": "sdpa"}}, "audio_config"),
        ({"audio_config": "no such thing"}, "no such thing"),
    ],
)
def test_attention_of_no_part(wanted, message):
    with pytest.raises(ValueError, match=message):
        aligner().set_attn_implementation(wanted)


def test_outputs_are_tuples_where_the_config_says_so():
    for make in (aligner, recogniser):
        model = make()
        inputs = tiny_inputs(model.config)
        want = model(**inputs).logits
        model.config.return_dict = False
        assert torch.equal(model(**inputs)[0], want)
        features = inputs["input_features"], inputs["input_features_mask"]
        assert isinstance(model.get_audio_features(*features), tuple)
        assert model.get_audio_features(*features, return_dict=True).pooler_output.shape[-1] == 32
        model.config.output_hidden_states = True
        assert len(model.get_audio_features(*features, return_dict=True).hidden_states) == 3


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_gradients_reach_every_state_that_the_encoder_shows(implementation):
    model = aligner()
    model.set_attn_implementation(implementation)
    inputs = tiny_inputs(model.config)
    options = {"output_hidden_states": True, "output_attentions": implementation == "eager"}
    tower, features = model.thinker.audio_tower, (inputs["input_features"], inputs["input_features_mask"])
    shown = tower(*features, **options)
    assert torch.equal(shown.last_hidden_state, tower(*features).last_hidden_state)
    states = [*shown.hidden_states, *(shown.attentions or ())]
    assert len(states) == 5 if implementation == "eager" else 3
    gradients = torch.autograd.grad(shown.last_hidden_state.square().sum(), states)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_generation_from_embeddings():
    model = recogniser()
    inputs = tiny_inputs(model.config, frames=(330, 250), words=(3, 3), side="left")
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": PAD, "eos_token_id": None}
    want = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
    ids = inputs.pop("input_ids")
    embeddings = model.get_input_embeddings()(ids)
    # with the audio, whose places the audio token's embedding marks, or with the audio in them
    assert torch.equal(model.generate(inputs_embeds=embeddings, **inputs, **options), want)
    audio = model.get_audio_features(inputs["input_features"], inputs["input_features_mask"]).pooler_output
    embeddings = embeddings.masked_scatter((ids == AUDIO)[..., None], audio)
    whole = {"inputs_embeds": embeddings, "attention_mask": inputs["attention_mask"]}
    assert torch.equal(model.generate(**whole, **options), want)
    with pytest.raises(ValueError, match=r"row 0 of the tokens has 0 audio tokens for \d+ of audio"):
        model(**whole, input_features=inputs["input_features"], input_features_mask=inputs["input_features_mask"])


@pytest.mark.parametrize("kept", [5, [3, 9, -4, -1]])
@pytest.mark.parametrize("number", [None, 7])
def test_the_loss_of_kept_logits_is_that_of_what_they_predict(kept, number):
    model = recogniser()
    inputs = tiny_inputs(model.config)
    labels = inputs["input_ids"].where(inputs["attention_mask"].bool(), -100)
    places = torch.arange(labels.shape[1])[-kept:] if isinstance(kept, int) else torch.tensor(kept) % labels.shape[1]
    predicted = (places + 1)[places + 1 < labels.shape[1]]
    others = torch.full_like(labels, -100).index_copy(1, predicted, labels[:, predicted])
    options = {"num_items_in_batch": number}
    found = model(**inputs, labels=labels, logits_to_keep=kept if isinstance(kept, int) else places, **options)
    torch.testing.assert_close(found.loss, model(**inputs, labels=others, **options).loss)
    torch.testing.assert_close(found.logits, model(**inputs).logits[:, places])


def test_the_loss_of_kept_classes_is_that_of_their_labels():
    model = aligner()
    inputs = tiny_inputs(model.config)
    labels = torch.arange(inputs["input_ids"].numel()).view_as(inputs["input_ids"]) % 50
    kept = slots(inputs) & (torch.rand(labels.shape) < 0.7)
    found = model(**inputs, labels=labels, logits_to_keep=kept)
    torch.testing.assert_close(found.loss, model(**inputs, labels=labels.where(kept, -100)).loss)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [aligner, recogniser])
def test_a_whole_model_is_exported(make, implementation):
    model = make().requires_grad_(False)
    model.set_attn_implementation(implementation)
    inputs = tiny_inputs(model.config)
    exported = torch.export.export(model, (), {**inputs, "use_cache": False}).module()
    tokens = inputs["attention_mask"].bool()
    for seed in (0, 5):  # other audio in the same shapes, too
        given = {**inputs, "input_features": tiny_inputs(model.config, seed=seed)["input_features"]}
        want = model(**given).logits[tokens]
        torch.testing.assert_close(exported(**given, use_cache=False).logits[tokens], want, atol=1e-4, rtol=1e-4)
