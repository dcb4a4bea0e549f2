import copy
import json

import pytest
import torch
from tiny import tiny_config
from transformers import AutoConfig

from transformers_qwen3_asr import (
    Qwen3ASRAudioEncoder,
    Qwen3ASRAudioEncoderConfig,
    Qwen3ASRConfig,
    Qwen3ASRForTokenClassification,
    Qwen3ASRTextConfig,
    Qwen3ASRThinkerConfig,
)
from transformers_qwen3_asr.checkpoints.published import PUBLISHED_MODELS, published_config
from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths

PUBLISHED = [name.split("/")[1] for name in PUBLISHED_MODELS]
# fields that every v4 config carried; what they hold means nothing to these models
GENERIC = set(
    "_name_or_path add_cross_attention architectures bad_words_ids begin_suppress_tokens bos_token_id "
    "chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample dtype "
    "early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task "
    "forced_bos_token_id forced_eos_token_id id2label is_decoder is_encoder_decoder label2id length_penalty "
    "max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions "
    "output_hidden_states output_scores pad_token_id prefix problem_type pruned_heads remove_invalid_values "
    "repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens task_specific_params "
    "temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torchscript typical_p "
    "use_bfloat16".split()
)


def without_generic(config: dict, part: str = "") -> dict:
    generic = GENERIC | ({"tie_word_embeddings"} if part == "audio_config" else set())
    if part in ("audio_config", "text_config"):
        config = {k: v for k, v in config.items() if k not in generic}
    return {k: without_generic(v, k) if isinstance(v, dict) else v for k, v in config.items()}


# the documented fields and defaults (the seeds' page), spelled out here a second time on purpose
AUDIO_DEFAULTS = {
    "num_mel_bins": 128, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120,
    "d_model": 1280, "dropout": 0, "attention_dropout": 0, "activation_function": "gelu", "activation_dropout": 0,
    "scale_embedding": False, "initializer_range": 0.02, "max_source_positions": 1500, "n_window": 100,
    "output_dim": 3584, "n_window_infer": 400, "conv_chunksize": 500, "downsample_hidden_size": 480,
    "num_hidden_layers": 32,
}  # fmt: skip
TEXT_DEFAULTS = {
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "hidden_act": "silu",
    "max_position_embeddings": 128000, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "use_cache": True,
    "tie_word_embeddings": False, "rope_theta": 5000000.0, "attention_bias": False, "attention_dropout": 0.0,
}  # fmt: skip
THINKER_DEFAULTS = {
    "audio_token_id": 151646, "audio_start_token_id": 151647, "user_token_id": 872, "initializer_range": 0.02,
    "classify_num": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config_class", "defaults"),
    [
        (Qwen3ASRAudioEncoderConfig, AUDIO_DEFAULTS),
        (Qwen3ASRTextConfig, TEXT_DEFAULTS),
        (Qwen3ASRThinkerConfig, THINKER_DEFAULTS),
        (
            Qwen3ASRConfig,
            {
                **{"support_languages": None, "timestamp_token_id": None, "timestamp_segment_time": None},
                "max_align_seconds": None,
            },
        ),
    ],
)
def test_documented_defaults(config_class, defaults):
    config = config_class()
    assert {name: getattr(config, name) for name in defaults} == defaults


@pytest.mark.parametrize(
    "config",
    [
        Qwen3ASRConfig(),
        Qwen3ASRThinkerConfig(),
        Qwen3ASRAudioEncoderConfig(),
        Qwen3ASRTextConfig(),
        tiny_config(),
        tiny_config(classes=None),
        tiny_config().thinker_config,
        tiny_config().thinker_config.text_config,
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_config_comes_back_from_its_dictionary_and_its_file(config, tmp_path):
    config_class = type(config)
    assert config_class.from_dict(config.to_dict()) == config
    config.save_pretrained(tmp_path)
    again = config_class.from_pretrained(tmp_path)
    assert again == config
    assert again.to_dict() == config.to_dict()
    again.initializer_range = 0.5
    assert again != config
    assert config != config.to_dict()


def test_default_widths_are_no_model():
    """They do not fit each other, so a default config exists, but no other that does not fit."""
    with pytest.raises(ValueError, match=r"output_dim \(3584\) must be text_config's hidden_size \(4096\)"):
        Qwen3ASRThinkerConfig().check()
    with pytest.raises(ValueError, match=r"output_dim \(3584\) must be text_config's hidden_size \(32\)"):
        Qwen3ASRThinkerConfig(text_config={"hidden_size": 32})


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("tie_word_embeddings", False, lambda config: config.thinker_config.text_config),
        ("initializer_range", 0.5, lambda config: config.thinker_config),
        ("audio_token_id", 7, lambda config: config.thinker_config),
    ],
)
def test_what_the_top_config_shows_can_be_set_there(field, value, place, tmp_path):
    config = tiny_config(classes=None)
    assert getattr(config, field) == getattr(place(config), field) != value
    setattr(config, field, value)
    assert getattr(config, field) == getattr(place(config), field) == value
    config.save_pretrained(tmp_path)
    assert field not in json.loads((tmp_path / "config.json").read_text())
    again = Qwen3ASRConfig.from_pretrained(tmp_path)
    assert getattr(again, field) == getattr(place(again), field) == value

    at_once = tiny_config(classes=None, **{field: value})
    assert getattr(at_once, field) == getattr(place(at_once), field) == value
    loaded = Qwen3ASRConfig.from_pretrained(tmp_path, **{field: getattr(tiny_config(classes=None), field)})
    assert getattr(loaded, field) != value


def test_sub_configs_and_text_config():
    config = Qwen3ASRConfig()
    assert config.sub_configs == {"thinker_config": Qwen3ASRThinkerConfig}
    assert config.thinker_config.sub_configs == {
        "audio_config": Qwen3ASRAudioEncoderConfig,
        "text_config": Qwen3ASRTextConfig,
    }
    for kwargs in ({}, {"decoder": True}, {"encoder": True}, {"decoder": True, "encoder": True}):
        assert config.get_text_config(**kwargs) is config.thinker_config.text_config
        assert config.thinker_config.get_text_config(**kwargs) is config.thinker_config.text_config


def test_attention_implementation_reaches_every_part():
    config = tiny_config()
    config._attn_implementation = "eager"
    assert config.thinker_config.audio_config._attn_implementation == "eager"
    assert config.thinker_config.text_config._attn_implementation == "eager"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_config_saved_again_is_equal(shared, tmp_path, name):
    original = json.loads((shared / "checkpoints" / f"{name}.config.json").read_text())
    config = Qwen3ASRConfig(**copy.deepcopy(original))
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    for config_dict in (original, saved):
        config_dict.pop("transformers_version")
    if "Aligner" in name:  # vLLM knows the aligner by this name alone; see test_qwen_asr_interop.py
        assert saved["architectures"] == ["Qwen3ASRForcedAlignerForTokenClassification"]
        saved["architectures"] = original["architectures"]
    assert without_generic(saved) == without_generic(original)
    assert Qwen3ASRConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()


@pytest.mark.parametrize("name", PUBLISHED)
def test_hf_config_becomes_the_published_one(shared, tmp_path, name):
    published = Qwen3ASRConfig(**json.loads((shared / "checkpoints" / f"{name}.config.json").read_text()))
    flat = json.loads((shared / "checkpoints" / f"{name}-hf.config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(flat))
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is Qwen3ASRConfig
    want, got = published.to_diff_dict(), config.to_diff_dict()
    # the -hf layout keeps no language list and no ids of the tokens around the audio
    want.pop("support_languages")
    for thinker in (want["thinker_config"], got["thinker_config"]):
        for key in ("audio_start_token_id", "audio_end_token_id", "max_source_positions"):
            thinker.pop(key, None)
    assert got == want


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_numbers_in_the_package_are_the_published_ones(shared, name):
    published = json.loads((shared / "checkpoints" / f"{name.split('/')[1]}.config.json").read_text())
    want, got = Qwen3ASRConfig(**published).to_dict(), Qwen3ASRConfig(**published_config(name)).to_dict()
    want.pop("support_languages")
    want["thinker_config"].pop("dtype")
    assert got == want


def test_saved_config_is_small_and_says_aligner(tmp_path):
    config = tiny_config(classes=5000)
    assert config.num_labels == config.classify_num == config.thinker_config.num_labels == 5000
    config.save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert len(text) < 5000 and "LABEL_" not in text
    saved = json.loads(text)
    assert saved["thinker_config"]["model_type"] == "qwen3_forced_aligner"
    assert saved["thinker_config"]["text_config"]["rope_theta"] == 10000.0
    scaling = saved["thinker_config"]["text_config"]["rope_scaling"]
    assert scaling == {
        "rope_type": "default",
        "type": "default",
        "interleaved": True,
        "mrope_interleaved": True,
        "mrope_section": [4, 2, 2],
    }


def test_num_labels_and_classify_num_are_one_number():
    config = tiny_config()
    config.num_labels = 2
    assert config.classify_num == config.thinker_config.classify_num == 2
    config.classify_num = 7
    assert config.num_labels == 7 and config.id2label is None


def test_number_of_classes_can_be_asked_for_when_loading(tmp_path):
    tiny_config(classes=None).save_pretrained(tmp_path)
    assert Qwen3ASRConfig.from_pretrained(tmp_path).classify_num is None
    for name in ("classify_num", "num_labels"):
        config = Qwen3ASRConfig.from_pretrained(tmp_path, **{name: 123})
        assert config.classify_num == config.num_labels == 123
        assert config.to_dict()["thinker_config"]["model_type"] == "qwen3_forced_aligner"


BAD_AUDIO = [
    ({"n_window_infer": 250}, "n_window_infer"),
    ({"encoder_attention_heads": 5}, "encoder_attention_heads"),
    ({"activation_function": "gelo"}, "activation_function"),
    ({"scale_embedding": True}, "scale_embedding"),
    ({"d_model": 33, "encoder_attention_heads": 3}, "d_model"),
    ({"dropout": 1.5}, "dropout"),
    ({"attention_dropout": -0.1}, "attention_dropout"),
    ({"activation_dropout": 1.0}, "activation_dropout"),
    ({"conv_chunksize": 0}, "conv_chunksize"),
    ({"max_source_positions": 5}, "max_source_positions"),
    ({"output_dim": 48}, "output_dim"),
]
BAD_TEXT = [
    ({"num_key_value_heads": 3}, "num_key_value_heads"),
    ({"head_dim": 15}, "head_dim"),
    ({"head_dim": None, "num_attention_heads": 3, "num_key_value_heads": 3}, "num_attention_heads"),
    ({"hidden_act": "sulu"}, "hidden_act"),
    ({"use_sliding_window": True}, "use_sliding_window"),
    ({"attention_dropout": 1.0}, "attention_dropout"),
    ({"vocab_size": 0}, "vocab_size"),
]


@pytest.mark.parametrize(("audio", "named"), BAD_AUDIO)
def test_bad_audio_config_is_named(audio, named):
    with pytest.raises(ValueError, match=named):
        tiny_config(audio=audio)


@pytest.mark.parametrize(("text", "named"), BAD_TEXT)
def test_bad_text_config_is_named(text, named):
    with pytest.raises(ValueError, match=named):
        tiny_config(text=text)


@pytest.mark.parametrize(
    ("top", "named"),
    [
        ({"classes": 1}, "classify_num"),
        ({"timestamp_segment_time": 0}, "timestamp_segment_time"),
        ({"timestamp_token_id": 100}, "timestamp_token_id"),
        ({"max_align_seconds": 0}, "max_align_seconds"),
        ({"max_align_seconds": float("inf")}, "max_align_seconds"),
        ({"token_classification_bias": True, "audio_config": {}, "text_config": {}}, "token_classification_bias"),
    ],
)
def test_bad_top_config_is_named(top, named):
    with pytest.raises(ValueError, match=named):
        Qwen3ASRConfig(**top) if "audio_config" in top else tiny_config(**top)


def test_seconds_that_are_aligned_in_one_piece(tmp_path):
    published = Qwen3ASRConfig(**published_config("Qwen/Qwen3-ForcedAligner-0.6B"))
    assert published.max_align_seconds is None and published.align_seconds == 180
    assert "max_align_seconds" not in published.to_dict()
    fine = tiny_config(classes=1600, timestamp_segment_time=20)
    assert fine.align_seconds == 32
    fine.max_align_seconds = 30
    fine.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["max_align_seconds"] == 30
    assert Qwen3ASRConfig.from_pretrained(tmp_path).align_seconds == 30
    fine.max_align_seconds = 100  # classes do not reach so far
    assert fine.align_seconds == 32
    assert Qwen3ASRConfig(**published_config("Qwen/Qwen3-ASR-0.6B")).align_seconds is None


def test_shrunk_default_config_runs():
    """The documented defaults with smaller numbers, n_window 100 and n_window_infer 400 among what stays."""
    audio = {"encoder_layers": 1, "d_model": 40, "encoder_ffn_dim": 32, "downsample_hidden_size": 4, "output_dim": 32}
    config = Qwen3ASRAudioEncoderConfig(**audio)
    assert (config.n_window, config.n_window_infer, config.encoder_attention_heads) == (100, 400, 20)
    encoder = Qwen3ASRAudioEncoder(config).eval()
    with torch.no_grad():
        output = encoder(torch.randn(1, 128, 1234)).last_hidden_state
    assert output.shape == (1, audio_token_lengths(1234, 100), 32)
    assert audio_token_lengths(200, 100) == 25  # not twice 13


@pytest.mark.parametrize("n_window", [25, 50, 100])
def test_token_lengths_follow_the_convolutions(n_window):
    """Against torch's own convolutions, chunk by chunk."""
    convolution = torch.nn.Conv1d(1, 1, 3, 2, padding=1)
    for frames in (1, 2, 7, 8, 9, 49, 50, 51, 99, 100, 101, 250, 399):
        total = 0
        for start in range(0, frames, 2 * n_window):
            x = torch.zeros(1, 1, min(2 * n_window, frames - start))
            for _ in range(3):
                x = convolution(x)
            total += x.shape[-1]
        assert audio_token_lengths(frames, n_window) == total
        assert audio_token_lengths(torch.tensor([frames, 0]), n_window).tolist() == [total, 0]


def test_a_classifier_needs_an_aligner_config():
    with pytest.raises(ValueError, match="classify_num, timestamp_token_id, timestamp_segment_time"):
        Qwen3ASRForTokenClassification(tiny_config(classes=None))
