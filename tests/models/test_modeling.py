"""The models against oracles of their own: a loop over windows, other paddings, other batches."""

import pytest
import torch
import torch.nn.functional as F
from tiny import AUDIO, PAD, TIMESTAMP, slots, tiny_config, tiny_inputs, widen

from transformers_qwen3_asr import (
    Qwen3ASRAudioEncoder,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRThinkerModel,
)
from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths


def aligner(implementation="sdpa", **kwargs):
    config = tiny_config(**kwargs)
    config._attn_implementation = implementation
    return widen(Qwen3ASRForTokenClassification(config))


def encoder_oracle(encoder, features):
    """One clip `(mel, frames)` through the same weights by plain loops over chunks and windows, textbook attention."""
    config = encoder.config
    chunk, rows = 2 * config.n_window, []
    for start in range(0, features.shape[-1], chunk):
        piece = features[:, start : start + chunk]
        kept = audio_token_lengths(piece.shape[-1], config.n_window)
        if features.shape[-1] > chunk:  # as qwen-asr: only the tail behind a whole chunk is padded
            piece = F.pad(piece, (0, chunk - piece.shape[-1]))
        hidden = piece[None, None]
        for convolution in (encoder.conv2d1, encoder.conv2d2, encoder.conv2d3):
            hidden = F.gelu(convolution(hidden))
        hidden = encoder.conv_out(hidden[0].permute(2, 0, 1).flatten(1))
        half = config.d_model // 2
        rate = 10000.0 ** (-torch.arange(half) / (half - 1))
        angle = torch.arange(len(hidden))[:, None] * rate
        rows.append((hidden + torch.cat([angle.sin(), angle.cos()], 1))[:kept])
    hidden = torch.cat(rows)
    outputs = []
    for window in hidden.split(config.positions_per_window):
        for layer in encoder.layers:
            attention, x = layer.self_attn, layer.self_attn_layer_norm(window)
            heads = [proj(x).unflatten(1, (attention.num_heads, -1)).transpose(0, 1)
                     for proj in (attention.q_proj, attention.k_proj, attention.v_proj)]  # fmt: skip
            weights = (heads[0] @ heads[1].transpose(1, 2) / attention.head_dim**0.5).softmax(-1)
            window = window + attention.out_proj((weights @ heads[2]).transpose(0, 1).flatten(1))
            window = window + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(window))))
        outputs.append(encoder.proj2(encoder.act(encoder.proj1(encoder.ln_post(window)))))
    return torch.cat(outputs)


# one frame, less than a chunk, whole chunks, a whole window, a window and a bit, many windows
FRAMES = (1, 37, 100, 200, 201, 615)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_encoder_windows_equal_a_loop_over_them(implementation):
    model = aligner(implementation)
    encoder = model.thinker.audio_tower
    inputs = tiny_inputs(model.config, frames=FRAMES, words=(1,) * len(FRAMES))
    with torch.no_grad():
        states = encoder(inputs["input_features"], inputs["input_features_mask"]).last_hidden_state
        for i, n in enumerate(FRAMES):
            want = encoder_oracle(encoder, inputs["input_features"][i, :, :n])
            assert len(want) == audio_token_lengths(n)
            torch.testing.assert_close(states[i, : len(want)], want, atol=2e-5, rtol=1e-4)
            assert not states[i, len(want) :].any()


def test_windows_matter():
    """The oracle above would not notice a missing boundary if attention never crossed one."""
    wide, narrow = aligner(audio={"n_window_infer": 800}), aligner()
    features = tiny_inputs(narrow.config)["input_features"][2:]
    with torch.no_grad():
        a, b = (model.thinker.audio_tower(features).last_hidden_state for model in (wide, narrow))
    assert (a - b).abs().max() > 0.1


def test_frames_behind_the_mask_do_not_matter():
    model = aligner()
    inputs = tiny_inputs(model.config)
    poisoned = dict(inputs)
    poisoned["input_features"] = inputs["input_features"].masked_fill(inputs["input_features_mask"][:, None] == 0, 1e4)
    with torch.no_grad():
        a, b = (model(**x, logits_to_keep=slots(x)).logits for x in (inputs, poisoned))
    assert torch.equal(a, b)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_left_right_and_no_padding_give_the_same_slot_logits(implementation):
    model = aligner(implementation)
    right = tiny_inputs(model.config)
    left = tiny_inputs(model.config, side="left")
    with torch.no_grad():
        a, b = (model(**x, logits_to_keep=slots(x)).logits for x in (right, left))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
        alone = []
        for i in range(3):
            row = right["attention_mask"][i].bool()
            frames = right["input_features_mask"][i].bool()
            one = {
                "input_ids": right["input_ids"][i, row][None],
                "input_features": right["input_features"][i, :, frames][None],
            }
            alone.append(model(**one, logits_to_keep=slots(one)).logits)
        torch.testing.assert_close(a, torch.cat(alone), atol=1e-4, rtol=0)


def test_a_hole_in_the_mask_is_honoured():
    """Only a mask that hides nothing may be dropped."""
    model = aligner()
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        whole = model(**inputs, logits_to_keep=slots(inputs)).logits
        inputs["attention_mask"][0, 5:9] = 0
        holed = model(**inputs, logits_to_keep=slots(inputs)).logits
    assert not torch.allclose(whole[:8], holed[:8], atol=1e-3)


def test_logits_to_keep_are_the_same_logits():
    model = aligner()
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        full = model(**inputs).logits
        kept = model(**inputs, logits_to_keep=slots(inputs)).logits
    assert full.shape == (*inputs["input_ids"].shape, 50)
    assert kept.shape == (26, 50)
    torch.testing.assert_close(full[slots(inputs)], kept)


def labelled(model, seed=0):
    inputs = tiny_inputs(model.config)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[slots(inputs)] = torch.randint(0, 50, (26,), generator=torch.Generator().manual_seed(seed))
    return inputs, labels


def test_loss_is_unshifted_cross_entropy_at_the_slots():
    model = aligner()
    inputs, labels = labelled(model)
    outputs = model(**inputs, labels=labels)
    at = slots(inputs)
    want = F.cross_entropy(outputs.logits[at], labels[at])
    torch.testing.assert_close(outputs.loss, want)
    kept = model(**inputs, labels=labels, logits_to_keep=at)
    torch.testing.assert_close(kept.loss, want)
    torch.testing.assert_close(model(**inputs, labels=labels, num_items_in_batch=104).loss, want / 4)
    torch.testing.assert_close(model(**inputs, labels=labels, num_items_in_batch=torch.tensor(104)).loss, want / 4)
    nothing = model(**inputs, labels=torch.full_like(labels, -100)).loss
    assert nothing == 0
    nothing.backward()


def test_labels_at_some_slots_only():
    model = aligner()
    inputs, labels = labelled(model)
    labels[1:] = -100
    outputs = model(**inputs, labels=labels, logits_to_keep=slots(inputs))
    at = labels != -100
    torch.testing.assert_close(outputs.loss, F.cross_entropy(model(**inputs).logits[at], labels[at]))


def test_head_has_no_bias_and_is_not_tied():
    model = aligner(text={"tie_word_embeddings": True})
    assert model.thinker.lm_head.bias is None
    assert model.thinker.lm_head.weight.shape == (50, 32)
    assert model.thinker.lm_head.weight is not model.thinker.model.embed_tokens.weight
    assert model.config.to_dict()["thinker_config"]["text_config"]["tie_word_embeddings"] is False
    assert model.bfloat16().thinker.lm_head.weight.dtype == torch.bfloat16
    assert model(**tiny_inputs(model.config)).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("field", ["dropout", "attention_dropout", "activation_dropout"])
def test_encoder_dropouts_act_in_training_only(field):
    model = aligner(audio={field: 0.4})
    inputs = tiny_inputs(model.config)
    features, mask = inputs["input_features"], inputs["input_features_mask"]
    encoder = model.thinker.audio_tower
    with torch.no_grad():
        assert torch.equal(encoder(features, mask).last_hidden_state, encoder(features, mask).last_hidden_state)
        encoder.train()
        a, b = (encoder(features, mask).last_hidden_state for _ in range(2))
    assert not torch.allclose(a, b, atol=1e-3)


def test_text_dropout_acts_in_training_only():
    model = aligner(text={"attention_dropout": 0.4})
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, model(**inputs).logits)
        model.train()
        assert not torch.allclose(model(**inputs).logits, model(**inputs).logits, atol=1e-3)


def test_conv_chunksize_bounds_the_convolution_batches():
    model = aligner(audio={"conv_chunksize": 3})
    inputs = tiny_inputs(model.config)
    sizes = []
    hook = model.thinker.audio_tower.conv2d1.register_forward_hook(lambda m, args, out: sizes.append(len(args[0])))
    with torch.no_grad():
        small = model(**inputs).logits
        hook.remove()
        model.thinker.audio_tower.config.conv_chunksize = 500
        torch.testing.assert_close(model(**inputs).logits, small, atol=1e-5, rtol=1e-4)
    assert max(sizes) == 3
    assert sum(sizes) == 4 + 2 + 7  # chunks that exist; padding is not convolved


def test_feature_attention_mask_is_an_alias():
    model = aligner()
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        want = model(**inputs).logits
        mask = inputs.pop("input_features_mask")
        assert torch.equal(model(**inputs, feature_attention_mask=mask).logits, want)
        with pytest.raises(ValueError, match="feature_attention_mask"):
            model(**inputs, feature_attention_mask=mask, input_features_mask=mask)


def test_hidden_states_and_attentions():
    model = aligner("eager")
    inputs = tiny_inputs(model.config)
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
        length = inputs["input_ids"].shape[1]
        assert [tuple(h.shape) for h in outputs.hidden_states] == [(3, length, 32)] * 3
        assert [tuple(a.shape) for a in outputs.attentions] == [(3, 4, length, length)] * 2
        encoder = model.thinker.audio_tower
        states = encoder(
            inputs["input_features"], inputs["input_features_mask"], output_hidden_states=True, output_attentions=True
        )
        assert [tuple(h.shape) for h in states.hidden_states] == [(3, audio_token_lengths(615), 32)] * 3
        # windows of 26 positions: two for 330 frames, one for 120, four for 615
        assert [tuple(a.shape) for a in states.attentions] == [(7, 4, 26, 26)] * 2
        torch.testing.assert_close(states.attentions[0].sum(-1), torch.ones(7, 4, 26))
        model.config.output_hidden_states = True
        assert len(model(**inputs).hidden_states) == 3
    assert isinstance(model(**inputs, return_dict=False), tuple)
    with pytest.raises(ValueError, match="eager"):
        aligner("sdpa").thinker.audio_tower(inputs["input_features"], output_attentions=True)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_gradient_checkpointing_gives_the_same_gradients(implementation):
    model = aligner(implementation)
    inputs, labels = labelled(model)
    gradients = []
    for checkpointing in (False, True):
        model.zero_grad()
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert all(layer.gradient_checkpointing for layer in model.thinker.audio_tower.layers)
        model(**inputs, labels=labels).loss.backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
    assert gradients[0].keys() == {n for n, _ in model.named_parameters()}
    for name, want in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], want, msg=lambda m, name=name: f"{name}: {m}")


def test_eager_and_sdpa_have_the_same_gradients():
    results = []
    for implementation in ("eager", "sdpa"):
        model = aligner(implementation)
        inputs, labels = labelled(model)
        model(**inputs, labels=labels).loss.backward()
        results.append([p.grad for p in model.parameters()])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


BAD_INPUTS = {
    "features of two dimensions": ({"input_features": torch.zeros(32, 330)}, "input_features"),
    "other mel bands": ({"input_features": torch.zeros(3, 80, 615)}, "32"),
    "mask of another length": ({"input_features_mask": torch.ones(3, 600)}, "input_features_mask"),
    "too many audio tokens": (None, "row 1"),
    "a clip without frames": ("empty", "clip 1"),
    "features padded on the left": ("left", "clip 1"),
    "labels of another shape": ({"labels": torch.zeros(3, 5, dtype=torch.long)}, "labels"),
    "labels out of range": ("labels", "50"),
    "a mask that is not boolean": ("integers", "boolean"),
    "a mask of another shape": ({"logits_to_keep": torch.ones(3, 5, dtype=torch.bool)}, "logits_to_keep"),
    "ids and embeddings": ({"inputs_embeds": torch.zeros(3, 5, 32)}, "exactly one"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_named(case):
    change, named = BAD_INPUTS[case]
    model = aligner()
    inputs = tiny_inputs(model.config)
    if change is None:
        inputs["input_ids"][1, inputs["input_ids"][1] == AUDIO] = PAD
    elif change == "empty":
        inputs["input_features_mask"][1] = 0
    elif change == "left":
        inputs["input_features_mask"][1] = inputs["input_features_mask"][1].flip(0)
    elif change == "labels":
        inputs["labels"] = torch.full_like(inputs["input_ids"], 50)
    elif change == "integers":
        inputs["logits_to_keep"] = torch.ones_like(inputs["input_ids"])
    else:
        inputs.update(change)
    with pytest.raises(ValueError, match=named):
        model(**inputs)


def test_several_recordings_in_one_prompt():
    """A row may hold more than one clip, in the order of their tokens."""
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config, frames=(330, 120), words=(1, 1))
    ids = [row[mask.bool()] for row, mask in zip(inputs["input_ids"], inputs["attention_mask"])]
    both = torch.cat(ids)[None]
    with torch.no_grad():
        embedded = model.thinker._embed(both, inputs["input_features"], inputs["input_features_mask"])
        single = model.thinker._embed(inputs["input_ids"], inputs["input_features"], inputs["input_features_mask"])
    torch.testing.assert_close(embedded[0, : len(ids[0])], single[0, : len(ids[0])])
    torch.testing.assert_close(embedded[0, len(ids[0]) :], single[1, : len(ids[1])])


@pytest.mark.parametrize("beams", [1, 2])
def test_generation_with_cache_equals_without(beams):
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config, side="left")
    runs = [
        model.generate(
            **inputs, max_new_tokens=8, do_sample=False, use_cache=cache, eos_token_id=99, pad_token_id=PAD,
            num_beams=beams,
        )
        for cache in (True, False)
    ]  # fmt: skip
    assert torch.equal(*runs)
    assert runs[0].shape == (3, inputs["input_ids"].shape[1] + 8)
    # without its audio the model says something else, so the audio is heard
    silent = {**inputs, "input_features": torch.zeros_like(inputs["input_features"])}
    other = model.generate(**silent, max_new_tokens=8, do_sample=False, eos_token_id=99, pad_token_id=PAD)
    assert not torch.equal(other, runs[0])


def test_generation_loss_is_shifted():
    model = widen(Qwen3ASRForConditionalGeneration(tiny_config(classes=None)))
    inputs = tiny_inputs(model.config)
    labels = inputs["input_ids"].masked_fill((inputs["input_ids"] == AUDIO) | (inputs["input_ids"] == PAD), -100)
    outputs = model(**inputs, labels=labels)
    want = F.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(outputs.loss, want)
    torch.testing.assert_close(model(**inputs, labels=labels, num_items_in_batch=10**6).loss * 10**6,
                               want * (labels[:, 1:] != -100).sum(), rtol=1e-4, atol=1e-2)  # fmt: skip
    assert model(**inputs, logits_to_keep=1).logits.shape[1] == 1
    with pytest.raises(ValueError, match="logits_to_keep"):
        model(**inputs, labels=labels, logits_to_keep=1)
    assert model.thinker.lm_head.weight is model.thinker.model.embed_tokens.weight


def test_thinker_from_either_config():
    config = tiny_config()
    inputs = tiny_inputs(config)
    for source in (config, config.thinker_config):
        model = widen(Qwen3ASRThinkerModel(source))
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state
        assert hidden.shape == (*inputs["input_ids"].shape, 32)
    full = aligner()
    with torch.no_grad():
        want = full(**inputs).logits
        model.load_state_dict({k: v for k, v in full.thinker.state_dict().items() if "lm_head" not in k})
        got = full.thinker.lm_head(model(**inputs).last_hidden_state)
    torch.testing.assert_close(got[slots(inputs)], want[slots(inputs)])


def test_embeddings_can_be_read_and_set():
    model = aligner()
    assert model.get_input_embeddings() is model.thinker.model.embed_tokens
    model.resize_token_embeddings(120)
    assert model.thinker.model.embed_tokens.weight.shape == (120, 32)
    assert model.config.get_text_config().vocab_size == 120
    assert isinstance(model.thinker.audio_tower, Qwen3ASRAudioEncoder)
    assert model.config.timestamp_token_id == TIMESTAMP
