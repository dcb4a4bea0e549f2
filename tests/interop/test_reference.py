"""Parity with ../shared/reference: small random checkpoints, the real vocabulary, qwen-asr 0.0.6, seven clips.

The goldens in tests/goldens cover the same ground in every clone; this adds the real tokenizer and more languages.
"""

import json

import pytest
import torch
from conftest import SHARED
from safetensors.torch import load_file
from transformers import AutoModelForMultimodalLM, AutoModelForTokenClassification, AutoProcessor

import transformers_qwen3_asr  # noqa: F401 (registers the classes)

CLIPS = ("lv0870.wav", "lvlong.wav", "en1.wav", "zh1.wav", "es1.wav", "ko1.wav")
SPOKEN = ("lv0890.wav", "lvlong.wav")

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "aligner").is_dir(), reason="../shared/reference (computed by qwen-asr) is not here"
)


class Reference:
    def __init__(self, kind, auto):
        folder = SHARED / "reference" / kind
        samples = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["samples"]
        self.index = {sample["wav"]: i for i, sample in enumerate(samples)}
        self.samples = samples
        self.tensors = load_file(folder / "expected.safetensors")
        self.processor = AutoProcessor.from_pretrained(folder)
        self.models = {
            name: auto.from_pretrained(folder, dtype=torch.float32, attn_implementation=name).eval()
            for name in ("eager", "sdpa")
        }

    def sample(self, wav):
        i = self.index[wav]
        prefix = f"{i}."
        return self.samples[i], {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}

    def prepare(self, wavs):
        samples = [self.sample(wav)[0] for wav in wavs]
        # Korean's words come from qwen-asr's dictionary, which is not part of this package: they are given as a list
        return self.processor.prepare_forced_aligner_inputs(
            audio=[str(SHARED / "audio" / wav) for wav in wavs],
            transcript=[s["words"] if s["language"] == "Korean" else s["text"] for s in samples],
            language=[s["language"] for s in samples],
        )


@pytest.fixture(scope="module")
def aligner():
    return Reference("aligner", AutoModelForTokenClassification)


@pytest.fixture(scope="module")
def asr():
    return Reference("asr", AutoModelForMultimodalLM)


def as_items(decoded):
    return [[item["text"], item["start_time"], item["end_time"]] for item in decoded]


def test_every_clip_of_the_reference_is_used(aligner, asr):
    assert set(aligner.index) == set(CLIPS)
    assert set(asr.index) == set(SPOKEN)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("wav", CLIPS)
def test_aligner(aligner, wav, attention):
    sample, expected = aligner.sample(wav)
    model = aligner.models[attention]
    inputs, word_lists = aligner.prepare([wav])
    assert word_lists == [sample["words"]]
    assert torch.equal(inputs["input_ids"][0], expected["input_ids"])
    assert inputs["input_features_mask"].sum() == expected["feature_attention_mask"].sum()
    features = inputs["input_features"][0][:, inputs["input_features_mask"][0].bool()]  # ours fill up whole chunks
    torch.testing.assert_close(features, expected["input_features"], atol=1e-4, rtol=0)

    audio = model.get_audio_features(inputs["input_features"], inputs["input_features_mask"]).pooler_output
    torch.testing.assert_close(audio, expected["audio_features"], atol=1e-3, rtol=0)
    logits = model(**inputs).logits
    slots = inputs["input_ids"] == model.config.timestamp_token_id
    torch.testing.assert_close(logits[slots], expected["slot_logits"], atol=1e-3, rtol=0)
    (decoded,) = aligner.processor.decode_forced_alignment(
        logits, inputs["input_ids"], word_lists, model.config.timestamp_token_id, decoding="argmax"
    )
    assert as_items(decoded) == sample["items"]


@torch.no_grad()
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 1, 3, 0)])
def test_aligner_in_a_batch(aligner, order):
    wavs = [CLIPS[i] for i in order]
    model = aligner.models["sdpa"]
    inputs, word_lists = aligner.prepare(wavs)
    logits = model(**inputs).logits
    decoded = aligner.processor.decode_forced_alignment(
        logits, inputs["input_ids"], word_lists, model.config.timestamp_token_id, decoding="argmax"
    )
    for row, wav in enumerate(wavs):
        sample, expected = aligner.sample(wav)
        slots = inputs["input_ids"][row] == model.config.timestamp_token_id
        torch.testing.assert_close(logits[row][slots], expected["slot_logits"], atol=1e-3, rtol=0)
        assert as_items(decoded[row]) == sample["items"] == sample["items_in_batch"]


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("wav", SPOKEN)
def test_asr(asr, wav, attention):
    sample, expected = asr.sample(wav)
    model = asr.models[attention]
    inputs = asr.processor.apply_transcription_request(audio=str(SHARED / "audio" / wav), language=sample["language"])
    assert torch.equal(inputs["input_ids"][0], expected["input_ids"])
    logits = model(**inputs, logits_to_keep=1).logits[0, -1]
    torch.testing.assert_close(logits, expected["last_logits"], atol=1e-3, rtol=0)
    new = model.generate(**inputs, max_new_tokens=len(sample["generated"]), do_sample=False)
    assert new[0, inputs["input_ids"].shape[1] :].tolist() == sample["generated"]
