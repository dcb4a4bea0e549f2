"""The bundled aligner itself: what it weighs, how it loads, and how near its times are on real and on made speech."""

import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from goldens.clips import load_clip
from transformers import AutoModelForTokenClassification, AutoProcessor, pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.audio import load_audio

RECIPE = ROOT / "recipes" / "tiny_en"
# PocketSphinx 5.1.1's forced alignment of the reading sense_0870: starts and ends in hundredths of a second
READING = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
    "to do for them"
)
SPHINX = [
    (20, 37), (37, 63), (63, 98), (98, 158), (158, 184), (184, 225), (225, 271), (271, 289), (289, 344), (344, 400),
    (400, 433), (433, 452), (452, 479), (479, 494), (494, 546), (546, 556), (556, 575), (575, 604), (604, 614),
    (614, 635), (635, 661), (661, 679),
]  # fmt: skip


@pytest.fixture(scope="module")
def aligner():
    folder = bundled_model("tiny-en")
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


def align(aligner, audio, text):
    """Times `(words, 2)` in seconds."""
    model, processor = aligner
    inputs, words = processor.prepare_forced_aligner_inputs(audio=audio, transcript=text, language="English")
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=inputs["input_ids"] == processor.timestamp_token_id).logits
    (found,) = processor.decode_forced_alignment(logits, inputs["input_ids"], words)
    return np.array([[word["start_time"], word["end_time"]] for word in found])


def test_the_folder_is_small_and_in_the_published_layout(aligner):
    folder = bundled_model("tiny-en")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8_000_000
    assert {"config.json", "model.safetensors", "vocab.json", "merges.txt", "preprocessor_config.json"} <= {
        path.name for path in folder.iterdir()
    }
    model, processor = aligner
    assert model.config.thinker_config.model_type == "qwen3_forced_aligner"
    assert processor.timestamp_segment_time == model.config.timestamp_segment_time == 20
    assert processor.timestamp_token_id == model.config.timestamp_token_id


@pytest.fixture(scope="module")
def reading():
    """The first sentence of the clip, 7.1 s; the clip goes on with another one."""
    return load_audio(load_clip("sense_0870.flac"))[: 71 * 1600]


def test_a_reading_is_aligned_as_pocketsphinx_aligns_it(aligner, reading):
    difference = np.abs(align(aligner, reading, READING) - np.array(SPHINX) / 100).mean()
    assert difference <= 0.080
    # another reading's audio; it is shorter, so that no word can be far off, and twice is much
    other = align(aligner, load_clip("sense_0890.flac"), READING)
    assert np.abs(other - np.array(SPHINX) / 100).mean() >= 2 * difference


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_times_on_a_gpu_are_those_on_a_cpu(pipe, reading):
    """To a millisecond in float32, with doubtful words heard again and without; one word is wrong, to be doubted."""
    on_gpu = pipeline("forced-alignment", model=str(bundled_model("tiny-en")), dtype="float32", device="cuda")
    texts = [READING, READING.replace("leisure", "nothing at all")]
    for refine in (True, False):
        for text in texts:
            cpu, gpu = (
                np.array([word["timestamp"] for word in p(reading, text=text, refine=refine)["chunks"]])
                for p in (pipe, on_gpu)
            )
            assert np.abs(cpu - gpu).max() <= 0.001


def test_all_five_readings(aligner):
    """Debian's pocketsphinx-testdata, aligned by PocketSphinx now; with other audio the difference is three times."""
    pytest.importorskip("pocketsphinx")
    sys.path.insert(0, str(RECIPE))
    try:
        import evaluate
    finally:
        sys.path.remove(str(RECIPE))
    if not evaluate.LIBRIVOX.is_dir():
        pytest.skip("the Debian package pocketsphinx-testdata is not installed")
    right, wrong = evaluate.librivox(*aligner)
    assert right <= 80
    assert wrong >= 3 * right


def test_later_speech_is_aligned_later(aligner, reading):
    """Silence put before a recording moves its words by as much."""
    early = align(aligner, reading, READING)
    late = align(aligner, np.concatenate([np.zeros(32000, dtype=reading.dtype), reading]), READING)
    assert abs(np.median(late - early) - 2.0) <= 0.02


LONG = """
He told me that the road was long, and that nobody ever saw the old house again. There was a garden behind it, with
apple trees and a wall of stone. In the evening we walked down to the river; the water was low, and the boats lay on
the sand. My brother asked him for the name of the village, but he had forgotten it. We went home before the rain.
"""


@pytest.fixture(scope="module")
def espeak_utterance():
    """A function: text and words a minute -> samples at 16 kHz and exact times `(words, 2)`, in a held-out voice."""
    sys.path.insert(0, str(RECIPE))
    try:
        from features import to_16k
        from speakers import EspeakSpeaker

        speaker = EspeakSpeaker()
    except OSError:
        pytest.skip("libespeak-ng.so.1 is not installed")
    finally:
        sys.path.remove(str(RECIPE))

    def speak(text, rate):
        utterance = speaker.speak(" ".join(text.split()), "en+f5", rate=rate)
        return to_16k(utterance.samples, utterance.rate), np.array([times for _, *times in utterance.words])

    return speak


def test_made_speech_of_a_new_voice(aligner, espeak_utterance):
    errors = []
    for text in ("He told me that the road was long.", "Nobody ever saw the old house again, did they?"):
        samples, words = espeak_utterance(text, 160)
        errors.append(np.abs(align(aligner, samples, text) - words))
    assert np.concatenate(errors).mean() < 0.050


def test_half_a_minute_of_made_speech(aligner, espeak_utterance):
    samples, words = espeak_utterance(LONG, 125)
    assert 25 < len(samples) / 16000 < 32
    times = align(aligner, samples, LONG)
    assert times.shape == words.shape
    assert np.abs(times - words).mean() < 0.080
    assert np.abs(times - words).max() < 1.0
