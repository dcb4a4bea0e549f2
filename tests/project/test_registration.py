"""What transformers' Auto classes answer after the import, and that nothing else is disturbed."""

import copy
import json
import subprocess
import sys
import textwrap

import pytest
import torch
import transformers
from tiny import tiny_config
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
    WhisperFeatureExtractor,
)
from transformers.models.auto import modeling_auto
from transformers.models.auto.auto_factory import _LazyAutoMapping
from transformers.models.qwen3_asr.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor as NativeExtractor
from transformers.models.qwen3_asr.processing_qwen3_asr import Qwen3ASRProcessor as NativeProcessor

import transformers_qwen3_asr as ours
from transformers_qwen3_asr import registration


def test_every_mapping_with_the_model_type_answers_with_ours():
    """Scanned here by itself: no class from transformers may come out of any mapping for our config."""
    found = 0
    for name, mapping in vars(modeling_auto).items():
        if isinstance(mapping, _LazyAutoMapping) and ours.Qwen3ASRConfig in mapping:
            answer = mapping[ours.Qwen3ASRConfig]
            assert answer.__module__.startswith("transformers_qwen3_asr."), f"{name} answers {answer}"
            found += 1
    assert found == len(registration.model_mappings()) >= 6
    natives = {m._model_mapping["qwen3_asr"] for m in registration.model_mappings().values()}
    assert natives == set(registration.REPLACED_MODELS)


def test_auto_classes_that_users_call():
    assert modeling_auto.MODEL_MAPPING[ours.Qwen3ASRConfig] is ours.Qwen3ASRThinkerModel
    for auto, want in (
        ("AutoModelForTokenClassification", ours.Qwen3ASRForTokenClassification),
        ("AutoModelForSpeechSeq2Seq", ours.Qwen3ASRForConditionalGeneration),
        ("AutoModelForMultimodalLM", ours.Qwen3ASRForConditionalGeneration),
        ("AutoModelForPreTraining", ours.Qwen3ASRForConditionalGeneration),
        ("AutoModelForSeq2SeqLM", ours.Qwen3ASRForConditionalGeneration),
    ):
        auto = getattr(transformers, auto)
        config = tiny_config(classes=50 if want is ours.Qwen3ASRForTokenClassification else None)
        assert type(auto.from_config(config)) is want


@pytest.mark.parametrize(
    ("make_config", "want"),
    [
        (lambda c: c, ours.Qwen3ASRThinkerModel),
        (lambda c: c.thinker_config, ours.Qwen3ASRThinkerModel),
        (lambda c: c.thinker_config.audio_config, ours.Qwen3ASRAudioEncoder),
        (lambda c: c.thinker_config.text_config, ours.Qwen3ASRTextModel),
    ],
)
def test_configs_of_the_parts(tmp_path, make_config, want):
    config = make_config(tiny_config())
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is type(config)
    assert type(AutoModel.from_config(loaded)) is want
    assert type(AutoConfig.for_model(type(config).model_type)) is type(config)


@pytest.mark.parametrize("kind", ["aligner", "asr"])
def test_processing_classes_of_a_published_folder(goldens, kind):
    processor = AutoProcessor.from_pretrained(goldens / kind)
    assert type(processor) is ours.Qwen3ASRProcessor
    assert type(processor.feature_extractor) is ours.Qwen3ASRFeatureExtractor
    assert type(processor.tokenizer).__name__ == "Qwen2Tokenizer"
    assert type(AutoTokenizer.from_pretrained(goldens / kind)).__name__ == "Qwen2Tokenizer"
    assert type(AutoFeatureExtractor.from_pretrained(goldens / kind)) is ours.Qwen3ASRFeatureExtractor
    extractor, unused = AutoFeatureExtractor.from_pretrained(goldens / kind, return_unused_kwargs=True, other=1)
    assert type(extractor) is ours.Qwen3ASRFeatureExtractor and unused == {"other": 1}
    assert type(WhisperFeatureExtractor.from_pretrained(goldens / kind)) is WhisperFeatureExtractor


def test_feature_extractors_of_other_folders_are_theirs(goldens, tmp_path):
    """Whisper's own, a processor's that is not ours, and the part that transformers' own processor loads."""
    WhisperFeatureExtractor().save_pretrained(tmp_path / "whisper")
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path / "whisper")) is WhisperFeatureExtractor
    native = NativeProcessor(NativeExtractor(), AutoTokenizer.from_pretrained(goldens / "asr"))
    native.save_pretrained(tmp_path / "native")
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path / "native")) is ours.Qwen3ASRFeatureExtractor
    assert type(NativeExtractor.from_pretrained(tmp_path / "native")) is NativeExtractor
    again = NativeProcessor.from_pretrained(tmp_path / "native")
    assert type(again) is NativeProcessor and type(again.feature_extractor) is NativeExtractor


def test_processing_classes_of_an_hf_folder(goldens, shared, tmp_path):
    AutoTokenizer.from_pretrained(goldens / "aligner").save_pretrained(tmp_path)
    side = shared / "checkpoints" / "side_files" / "Qwen3-ForcedAligner-0.6B-hf"
    for name in ("processor_config.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes((side / name).read_bytes())
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert type(processor) is ours.Qwen3ASRProcessor
    assert type(processor.feature_extractor) is ours.Qwen3ASRFeatureExtractor
    assert type(AutoTokenizer.from_pretrained(tmp_path)).__name__ == "Qwen2Tokenizer"


def test_native_classes_by_their_own_names_still_work(tmp_path):
    """Built, saved and loaded by name, with configs of their own and none of our code in them."""
    from transformers.models.qwen3_asr import modeling_qwen3_asr as native
    from transformers.models.qwen3_asr.configuration_qwen3_asr import Qwen3ASRConfig, Qwen3ASREncoderConfig

    config = Qwen3ASRConfig(
        audio_config={"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
                      "output_dim": 16, "downsample_hidden_size": 4, "model_type": "qwen3_asr_encoder"},
        text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 64, "model_type": "qwen3"},
        audio_token_id=60, timestamp_token_id=61, num_labels=7, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    assert type(config.audio_config) is Qwen3ASREncoderConfig
    model = native.Qwen3ASRForTokenClassification(config)
    model.save_pretrained(tmp_path)
    again, info = native.Qwen3ASRForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    modules = {type(m).__module__ for m in again.modules()}
    assert not any(module.startswith("transformers_qwen3_asr") for module in modules)
    ids = torch.tensor([[5, 61, 61]])
    with torch.no_grad():
        model.eval(), again.eval()
        assert torch.equal(model(input_ids=ids).logits, again(input_ids=ids).logits)
    generator = native.Qwen3ASRForConditionalGeneration(config)
    assert "transformers_qwen3_asr" not in type(generator.model.audio_tower).__module__


def test_registering_again_changes_nothing():
    before = {name: copy.copy(m._extra_content) for name, m in registration.model_mappings().items()}
    ours.register()
    ours.register()
    after = {name: m._extra_content for name, m in registration.model_mappings().items()}
    assert before == after


def test_importing_after_someone_elses_registration(goldens):
    """Another package that took the name first, as qwen-asr does; in a process of its own."""
    code = """
        from transformers import AutoConfig, AutoModel, AutoProcessor
        from transformers import PretrainedConfig, PreTrainedModel, ProcessorMixin
        class Qwen3ASRConfig(PretrainedConfig):
            model_type = "qwen3_asr"
        class Qwen3ASRProcessor(ProcessorMixin):
            pass
        class Other(PreTrainedModel):
            config_class = Qwen3ASRConfig
        AutoConfig.register("qwen3_asr", Qwen3ASRConfig, exist_ok=True)
        AutoModel.register(Qwen3ASRConfig, Other, exist_ok=True)
        AutoProcessor.register(Qwen3ASRConfig, Qwen3ASRProcessor, exist_ok=True)
        import importlib, json, sys
        import transformers_qwen3_asr
        importlib.reload(transformers_qwen3_asr)
        from transformers import AutoModelForTokenClassification
        folder = sys.argv[1]
        print(json.dumps([type(x).__module__ for x in (
            AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder),
            AutoModel.from_pretrained(folder), AutoModelForTokenClassification.from_pretrained(folder))]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(goldens / "aligner")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout.splitlines()[-1])
    assert all(module.startswith("transformers_qwen3_asr.") for module in modules), modules


def test_a_random_native_model_is_never_the_answer(goldens):
    """What plain transformers does with a published aligner: here it loads, filled."""
    model, info = AutoModelForTokenClassification.from_pretrained(goldens / "aligner", output_loading_info=True)
    assert type(model) is ours.Qwen3ASRForTokenClassification
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
