"""The bundled aligner through the command, on real readings, against PocketSphinx's forced alignment.

An aligner of other hands, with acoustic models of its own, is the oracle. It is no ground truth: it puts boundaries at
frames of 10 ms, and where exactly a word ends is a matter of taste; hence 150 ms on average.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.cli.main import main

TEST_DATA = Path("/usr/share/pocketsphinx/test/data/librivox")  # where Debian puts pocketsphinx-testdata


def two_readings():
    texts = {
        ROOT / "examples" / "sense_and_sensibility.flac": "and mister john dashwood had then leisure to consider how "
        "much there might be prudently in his power to do for them",
        ROOT
        / "tests"
        / "goldens"
        / "clips"
        / "sense_0890.flac": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    }
    return list(texts.items())


def five_readings():
    if not TEST_DATA.is_dir():
        pytest.skip("Debian's package pocketsphinx-testdata is not installed")
    lines = (TEST_DATA / "transcription").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"<s> (.*) </s> \((.*)\)", line).groups() for line in lines]
    return [(TEST_DATA / f"{name}.wav", text) for text, name in found]


def sphinx_times(recording, text):
    """PocketSphinx's starts and ends in seconds, `(words, 2)`."""
    pocketsphinx = pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    decoder.set_align_text(text)
    decoder.start_utt()
    decoder.process_raw((load_audio(recording) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    # fillers are in brackets, second pronunciations end in "(2)"; a segment's last frame belongs to it
    segments = [segment for segment in decoder.seg() if segment.word[0] not in "<["]
    assert [segment.word.partition("(")[0] for segment in segments] == text.split()
    return np.array([(segment.start_frame, segment.end_frame + 1) for segment in segments]) / 100


def align(readings, folder):
    """Times of each reading by `qwen3-asr align --model tiny-en`."""
    arguments = ["align", *(str(path) for path, _ in readings), "--model", "tiny-en", "--output", f"{folder}/"]
    for _, text in readings:
        arguments += ["--text", text]
    assert main([*arguments, "--language", "English", "--device", "cpu", "--dtype", "float32"]) == 0
    results = [json.loads((folder / f"{path.stem}.json").read_text(encoding="utf-8")) for path, _ in readings]
    return [np.array([chunk["timestamp"] for chunk in result["chunks"]]) for result in results]


@pytest.mark.parametrize("find", [two_readings, five_readings])
def test_mean_difference_to_pocketsphinx(find, tmp_path):
    readings = find()
    reference = [sphinx_times(path, text) for path, text in readings]
    swapped = [(path, text) for (path, _), (_, text) in zip(readings[1:] + readings[:1], readings, strict=True)]
    means = {}
    for name, cases in (("own", readings), ("another's", swapped)):
        times = align(cases, tmp_path / name)
        differences = [np.abs(found - wanted) for found, wanted in zip(times, reference, strict=True)]
        means[name] = np.concatenate(differences).mean() * 1000
        print(f"{len(readings)} readings, {name} audio: mean difference {means[name]:.1f} ms")
    assert means["own"] <= 150
    # a model that guessed times from the text alone would do as well with any audio
    assert means["another's"] >= 3 * means["own"]
