"""Parity with the classes inside the installed transformers, reached through conversion, on both supported ends."""

import inspect
import json
import sys

import pytest
import torch
from conftest import ROOT
from goldens.clips import load_clip
from transformers import AutoModelForMultimodalLM, AutoModelForTokenClassification, AutoProcessor
from transformers.models.qwen3_asr import modeling_qwen3_asr as native
from transformers.models.qwen3_asr import processing_qwen3_asr as native_processing

import transformers_qwen3_asr
from transformers_qwen3_asr.models.cache_argument import CACHE_NAMES

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
sys.path.insert(0, str(ROOT))  # conversion/ is a tool beside the package, not installed with it

from conversion.convert import to_hf  # noqa: E402

GOLDENS = ROOT / "tests" / "goldens"
CHUNK = 100  # mel frames; the native encoder wants whole chunks, which the processor makes


def cases_of(kind):
    cases = json.loads((GOLDENS / kind / "expected.json").read_text(encoding="utf-8"))["cases"]
    # a clip below one chunk is not padded by qwen-asr, whose numbers this package gives; the native encoder pads it
    return [case for case in cases if case.get("frames", CHUNK) >= CHUNK]


class Pair:
    """A golden checkpoint in this package's class and, converted, in the native class."""

    def __init__(self, kind, folder):
        self.hf = folder
        to_hf(GOLDENS / kind, folder)
        name = "Qwen3ASRForTokenClassification" if kind == "aligner" else "Qwen3ASRForConditionalGeneration"
        auto = AutoModelForTokenClassification if kind == "aligner" else AutoModelForMultimodalLM
        self.auto = auto
        self.native = getattr(native, name).from_pretrained(folder, dtype=torch.float32).eval()
        self.ours = auto.from_pretrained(GOLDENS / kind, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(GOLDENS / kind)
        assert type(self.native).__module__.startswith("transformers.models.")
        assert type(self.ours).__module__.startswith("transformers_qwen3_asr.")


@pytest.fixture(scope="module")
def aligner(tmp_path_factory):
    return Pair("aligner", tmp_path_factory.mktemp("aligner") / "hf")


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    return Pair("asr", tmp_path_factory.mktemp("asr") / "hf")


def align_inputs(processor, cases):
    return processor.prepare_forced_aligner_inputs(
        audio=[load_clip(case["clip"]) for case in cases],
        transcript=[case["text"] for case in cases],
        language=[case["language"] for case in cases],
    )


@torch.no_grad()
@pytest.mark.parametrize("case", cases_of("aligner"), ids=lambda case: case["clip"])
def test_aligner_logits(aligner, case):
    inputs, _ = align_inputs(aligner.processor, [case])
    expected = aligner.native(**inputs).logits
    torch.testing.assert_close(aligner.ours(**inputs).logits, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_aligner_logits_in_a_batch(aligner):
    """Rows of other lengths, padded: compared where there are tokens."""
    inputs, _ = align_inputs(aligner.processor, cases_of("aligner"))
    tokens = inputs["attention_mask"].bool()
    expected = aligner.native(**inputs).logits[tokens]
    torch.testing.assert_close(aligner.ours(**inputs).logits[tokens], expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_asr_logits_and_generation(asr):
    for case in cases_of("asr"):
        inputs = asr.processor.apply_transcription_request(
            audio=load_clip(case["clip"]), language=case["language"], prompt=case["context"] or None
        )
        torch.testing.assert_close(asr.ours(**inputs).logits, asr.native(**inputs).logits, atol=1e-4, rtol=0)
        options = {"max_new_tokens": 12, "do_sample": False}
        assert torch.equal(asr.ours.generate(**inputs, **options), asr.native.generate(**inputs, **options))


@torch.no_grad()
def test_audio_features_are_where_the_native_class_puts_them(asr):
    inputs = asr.processor.apply_transcription_request(audio=load_clip(cases_of("asr")[0]["clip"]))
    found, expected = (
        model.get_audio_features(
            *(given[name] for name in ("input_features", "input_features_mask")), output_hidden_states=True
        )
        for model, given in ((asr.ours, inputs), (asr.native, inputs))
    )
    for name in ("last_hidden_state", "pooler_output"):
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=0)
    assert len(found.hidden_states) == len(expected.hidden_states)


@pytest.mark.parametrize("name", ["Qwen3ASRForTokenClassification", "Qwen3ASRForConditionalGeneration"])
def test_positional_arguments_are_in_the_native_order(name):
    ours, theirs = (
        [name for name, parameter in inspect.signature(cls.forward).parameters.items() if parameter.kind is POSITIONAL]
        for cls in (getattr(transformers_qwen3_asr, name), getattr(native, name))
    )
    named = [CACHE_NAMES[0] if name in CACHE_NAMES else name for name in theirs]
    assert ours[: len(named)] == named


@torch.no_grad()
@pytest.mark.parametrize("kind", ["aligner", "asr"])
def test_the_hf_layout_loads_here_too(kind, request):
    """The Auto classes give this package's model for the flat layout, with the same weights."""
    pair = request.getfixturevalue(kind)
    model = pair.auto.from_pretrained(pair.hf, dtype=torch.float32).eval()
    assert type(model) is type(pair.ours)
    expected = pair.ours.state_dict()
    assert set(model.state_dict()) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert type(AutoProcessor.from_pretrained(pair.hf)) is transformers_qwen3_asr.Qwen3ASRProcessor


@torch.no_grad()
def test_native_processor_and_ours_on_the_hf_folder(aligner):
    """Code written for the native processor gets the same prompt, features and times from ours."""
    theirs = native_processing.Qwen3ASRProcessor.from_pretrained(aligner.hf)
    ours = AutoProcessor.from_pretrained(aligner.hf)
    case = next(case for case in cases_of("aligner") if case["clip"].startswith("made:") and case["frames"] > 800)
    call = {"audio": load_clip(case["clip"]), "transcript": case["text"], "language": case["language"]}
    expected, expected_words = theirs.prepare_forced_aligner_inputs(**call)
    found, words = ours.prepare_forced_aligner_inputs(**call)
    assert words == expected_words
    assert torch.equal(found["input_ids"], expected["input_ids"])
    frames = case["frames"]
    assert found["input_features_mask"].sum() == expected["input_features_mask"].sum() == frames
    torch.testing.assert_close(
        found["input_features"][..., :frames], expected["input_features"][..., :frames], atol=1e-4, rtol=0
    )
    logits = aligner.native(**expected).logits
    arguments = (logits, expected["input_ids"], words, aligner.ours.config.timestamp_token_id)
    theirs_decoded = theirs.decode_forced_alignment(*arguments)
    ours_decoded = ours.decode_forced_alignment(*arguments, decoding="argmax")
    assert ours_decoded == theirs_decoded
    assert [[item["text"], item["start_time"], item["end_time"]] for item in ours_decoded[0]] == case["items"]
