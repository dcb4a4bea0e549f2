"""Log-mel features: Whisper's numbers, clip by clip."""

import json

import numpy as np
import pytest
import torch
from transformers import Qwen3ASRFeatureExtractor as NativeFeatureExtractor
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from transformers_qwen3_asr.processing.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor

PUBLISHED = {
    "chunk_length": 30,
    "dither": 0.0,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 128,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "Qwen3ASRProcessor",
    "return_attention_mask": True,
}
HF = {
    **{key: value for key, value in PUBLISHED.items() if key != "processor_class"},
    "feature_extractor_type": "Qwen3ASRFeatureExtractor",
    "min_length": 8000,
    "n_window": 50,
    "sampling_rate": 16000,
}


def noise(samples, seed=0):
    rng = np.random.RandomState(seed)
    loudness = np.repeat(rng.rand(samples // 1000 + 1) ** 3, 1000)[:samples]
    return (0.3 * loudness * rng.randn(samples)).astype(np.float32)


@pytest.fixture
def extractor():
    return Qwen3ASRFeatureExtractor()


def defined_log_mel(samples):
    """The features from their definition, in float64 numpy: reflected edges, Hann window, power, mel, log10."""
    padded = np.pad(samples.astype(np.float64), 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[160 * t : 160 * t + 400] * window for t in range(len(samples) // 160)])
    filters = mel_filter_bank(201, 128, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    mel = np.log10(np.maximum(np.abs(np.fft.rfft(frames)) ** 2 @ filters, 1e-10)).T
    return (np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0


@pytest.mark.parametrize("samples", [8000, 8001, 8159, 8160, 16000, 40123, 16000 * 31])
def test_a_clip_alone_has_whispers_numbers(extractor, samples):
    clip = noise(samples, samples)
    ours = extractor(clip, sampling_rate=16000)
    whisper = WhisperFeatureExtractor(feature_size=128)(
        clip, sampling_rate=16000, truncation=False, padding="longest", return_tensors="pt", return_attention_mask=True
    )
    assert ours["input_features"].shape == (1, 128, samples // 160)
    assert torch.equal(ours["input_features_mask"], torch.ones(1, samples // 160, dtype=torch.int64))
    torch.testing.assert_close(ours["input_features"], whisper["input_features"], atol=1e-5, rtol=0)
    assert ours["input_features"].dtype == torch.float32
    assert np.abs(ours["input_features"][0].numpy() - defined_log_mel(clip)).max() < 1e-3


def test_a_clip_does_not_depend_on_its_batch(extractor):
    clips = [noise(n, n) for n in (50000, 8123, 16000, 32079, 9000)]
    for order in ([0, 1, 2, 3, 4], [4, 2, 1, 3, 0], [1, 2]):
        batch = extractor([clips[i] for i in order], sampling_rate=16000)
        assert batch["input_features"].shape[-1] == max(len(clips[i]) for i in order) // 160
        for row, i in enumerate(order):
            alone = extractor(clips[i], sampling_rate=16000)["input_features"][0]
            frames = len(clips[i]) // 160
            assert torch.equal(batch["input_features"][row, :, :frames], alone)
            assert not batch["input_features"][row, :, frames:].any()
            assert batch["input_features_mask"][row].tolist() == [1] * frames + [0] * (
                batch["input_features"].shape[-1] - frames
            )


@pytest.mark.parametrize("samples", [1, 100, 200, 201, 5000, 7999, 8000])
def test_short_clips_are_filled_as_in_transformers(extractor, samples):
    clip = noise(samples)
    ours = extractor(clip, sampling_rate=16000)
    native = NativeFeatureExtractor()(
        clip, sampling_rate=16000, padding="longest", n_window=0, return_attention_mask=True
    )
    assert ours["input_features"].shape == (1, 128, 50)
    torch.testing.assert_close(ours["input_features"], native["input_features"], atol=1e-5, rtol=0)
    assert ours["input_features_mask"].sum() == native["attention_mask"].sum() == 50


def test_filling_can_be_turned_off():
    extractor = Qwen3ASRFeatureExtractor(min_length=0)
    clip = noise(1700)
    whisper = WhisperFeatureExtractor(feature_size=128)(
        clip, sampling_rate=16000, truncation=False, padding="longest", return_tensors="pt"
    )
    ours = extractor(clip)["input_features"]
    assert ours.shape == (1, 128, 10)
    torch.testing.assert_close(ours, whisper["input_features"], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="clip 1 has 200 samples; more than 200"):
        extractor([clip, noise(200)])


def test_kinds_of_input_and_of_padding(extractor):
    clip = noise(9000)
    expected = extractor(clip)["input_features"]
    for same in (clip.astype(np.float64), clip.tolist(), torch.from_numpy(clip), [clip], clip[None], (clip,)):
        assert torch.equal(extractor(same)["input_features"], expected)
    two = extractor(np.stack([clip, noise(9000, 1)]))["input_features"]
    assert two.shape == (2, 128, 56)

    assert extractor(clip, padding="max_length")["input_features"].shape[-1] == 3000
    assert extractor(clip, padding="max_length", max_length=20000)["input_features"].shape[-1] == 125
    assert extractor(clip, padding="max_length", max_length=20000)["input_features_mask"].sum() == 56
    assert extractor(noise(20000), truncation=True, max_length=9000)["input_features"].shape[-1] == 56
    assert extractor(clip, pad_to_multiple_of=16000)["input_features"].shape[-1] == 100
    assert extractor(clip, padding=False)["input_features"].shape[-1] == 56
    assert "input_features_mask" not in extractor(clip, return_attention_mask=False)
    assert isinstance(extractor(clip, return_tensors="np")["input_features"], np.ndarray)
    lists = extractor([clip, noise(16000)], return_tensors=None)["input_features"]
    assert [features.shape[-1] for features in lists] == [56, 100]


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        ([noise(9000), np.zeros(0)], {}, "clip 1 is empty"),
        ([noise(9000), np.array([0.0, np.nan])], {}, "clip 1 holds NaN"),
        ([np.array([0.0, -np.inf])], {}, "clip 0 holds NaN or infinite"),
        (noise(9000), {"sampling_rate": 8000}, "audio at 8000 Hz"),
        (np.zeros((2, 2, 100)), {}, r"shape \(2, 2, 100\)"),
        ([noise(9000), np.zeros((2, 100))], {}, r"clip 1 has the shape \(2, 100\)"),
        ([], {}, "no audio was given"),
        ("a.wav", {}, "type str"),
        ([["a"]], {}, "clip 0 is no array"),
        (noise(9000), {"padding": "somehow"}, "padding='somehow'"),
        ([noise(9000), noise(16000)], {"padding": False}, r"different lengths: \[56, 100\]"),
        (noise(9000), {"do_normalize": True}, "do_normalize"),
        (noise(9000), {"return_tensors": "tf"}, "return_tensors='tf'"),
    ],
)
def test_what_is_wrong_is_named(extractor, audio, options, message):
    with pytest.raises(ValueError, match=message):
        extractor(audio, **options)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="n_window"):
        Qwen3ASRFeatureExtractor(n_window=0)
    with pytest.raises(ValueError, match="min_length"):
        Qwen3ASRFeatureExtractor(min_length=0.5)
    with pytest.raises(TypeError):
        Qwen3ASRFeatureExtractor()(noise(9000), unknown=True)


def test_dither_adds_noise():
    plain = Qwen3ASRFeatureExtractor()(np.zeros(16000, np.float32))["input_features"]
    dithered = Qwen3ASRFeatureExtractor(dither=1e-3)(np.zeros(16000, np.float32))["input_features"]
    assert plain.unique().numel() == 1
    assert dithered.unique().numel() > 1000


@pytest.mark.parametrize("settings", [PUBLISHED, HF], ids=["published", "hf"])
def test_both_files_are_read_and_the_published_one_is_written(tmp_path, settings):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    extractor = Qwen3ASRFeatureExtractor.from_pretrained(tmp_path)
    assert (extractor.feature_size, extractor.sampling_rate, extractor.n_window, extractor.min_length) == (
        128,
        16000,
        50,
        8000,
    )
    extractor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved == {key: value for key, value in PUBLISHED.items() if key != "processor_class"}
    # others read it: this is what qwen-asr makes of it
    whisper = WhisperFeatureExtractor.from_pretrained(tmp_path)
    assert (whisper.feature_size, whisper.hop_length, whisper.n_fft) == (128, 160, 400)


def test_settings_that_differ_are_kept(tmp_path):
    extractor = Qwen3ASRFeatureExtractor(feature_size=80, n_window=100, min_length=0, hop_length=80)
    extractor.save_pretrained(tmp_path)
    again = Qwen3ASRFeatureExtractor.from_pretrained(tmp_path)
    assert again.to_dict() == extractor.to_dict()
    assert (again.n_window, again.min_length, again.feature_size, again.hop_length) == (100, 0, 80, 80)
    assert again(noise(9000))["input_features"].shape == (1, 80, 112)


def test_the_published_settings_are_those_of_the_checkpoints(shared):
    for name in ("Qwen3-ForcedAligner-0.6B", "Qwen3-ASR-0.6B", "Qwen3-ASR-1.7B"):
        folder = shared / "checkpoints" / "side_files" / name
        assert json.loads((folder / "preprocessor_config.json").read_text()) == PUBLISHED
        nested = json.loads((folder.parent / f"{name}-hf" / "processor_config.json").read_text())
        assert nested["feature_extractor"] == HF


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_features_are_computed_and_left_on_the_device(extractor):
    clips = [noise(40000, 1), noise(9000, 2)]
    on_gpu = extractor(clips, device="cuda")
    assert on_gpu["input_features"].is_cuda
    assert on_gpu["input_features_mask"].is_cuda
    torch.testing.assert_close(on_gpu["input_features"].cpu(), extractor(clips)["input_features"], atol=1e-4, rtol=0)


def test_one_transform_of_many_clips_gives_each_its_own(extractor):
    """What an accelerator computes, here on the CPU, where it is compared with clips alone."""
    clips = [torch.from_numpy(noise(n, n)) for n in (8000, 16159, 40123, 201, 16000)]
    clips[1] *= 1e-3  # as loud as its neighbours' padding would have it heard
    together = extractor.log_mel_batch(clips, "cpu")
    for clip, features in zip(clips, together, strict=True):
        alone = extractor.log_mel(clip)
        assert features.shape == alone.shape
        torch.testing.assert_close(features, alone, atol=1e-5, rtol=0)
