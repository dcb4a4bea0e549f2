"""The benchmark of times and scores: what it makes of labelled clips, and that it runs; nothing is timed here."""

import importlib
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from labelled_clips import write_clips
from readings import READINGS
from transformers import AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import ForcedAlignmentPipeline, bundled_model
from transformers_qwen3_asr.audio import load_audio

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def clips_module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("alignment_clips")


@pytest.fixture
def quality(clips_module):
    return importlib.import_module("alignment_quality")


@pytest.fixture
def stages(clips_module):
    return importlib.import_module("alignment_stages")


@pytest.fixture
def figures(clips_module):
    return importlib.import_module("alignment_figures")


@pytest.fixture
def peers(clips_module):
    return importlib.import_module("alignment_peers")


def made_clips(module, count=40, words=12):
    random = np.random.default_rng(0)
    clips = []
    for number in range(count):
        times = np.arange(2 * words).reshape(-1, 2) * 100.0
        samples = random.normal(0, 0.1, 16000 * 3 + 160 * number).astype(np.float32)
        clips.append(module.LabelledClip(samples, [f"w{number}x{i}" for i in range(words)], "English", times))
    return clips


@pytest.mark.parametrize(("kinds", "sign"), [(("replace",), 0), (("delete",), -1), (("add",), 1)])
def test_changed_words(clips_module, kinds, sign):
    clips = made_clips(clips_module)
    changed = clips_module.with_changed_words(clips, 0.2, kinds, seed=1)
    differences = 0
    for clip, other in zip(clips, changed, strict=True):
        times = dict(zip(clip.words, clip.reference.tolist()))
        assert len(other.words) == len(other.reference)
        assert np.sign(len(other.words) - len(clip.words)) in (0, sign)
        right = [(word, row.tolist()) for word, row, said in zip(other.words, other.reference, other.right) if said]
        assert all(times[word] == row for word, row in right)  # those that are right keep their times
        kept = [word for word in clip.words if word in dict(right)]
        assert [word for word, _ in right] == kept
        differences += len(clip.words) - len(kept) + (len(other.words) - len(right) if sign == 1 else 0)
    assert 0.1 < differences / sum(len(clip.words) for clip in clips) < 0.3


def test_hesitations_lie_between_words(clips_module):
    clips = [replace(clip, reference=clip.reference * 1.2) for clip in made_clips(clips_module, 8)]
    clips += made_clips(clips_module, 1, words=3)
    *paused, short = clips_module.with_hesitations(clips, seed=1)
    assert short is clips[-1]
    for clip, other in zip(clips, paused):
        moved = other.reference - clip.reference
        word = int(np.argmax(moved[:, 0] > 0))
        longer = moved[word, 0]
        assert 0 < word < 11 and 250 <= longer <= 1200 and other.words == clip.words
        assert (moved[:word] == 0).all() and moved[word:] == pytest.approx(np.full((12 - word, 2), longer))
        at = 16 * (clip.reference[word - 1, 1] + clip.reference[word, 0]) / 2
        pause = len(other.samples) - len(clip.samples)
        assert pause == pytest.approx(16 * longer, abs=1)
        assert np.abs(other.samples[round(at) : round(at) + pause]).max() < 1e-3
        assert np.array_equal(np.delete(other.samples, slice(round(at), round(at) + pause)), clip.samples)
    # words that overlap are parted in the middle
    (other,) = clips_module.with_hesitations([replace(clips[0], reference=clips[0].reference + np.array([0, 90.0]))])
    assert (other.reference[1:, 0] - other.reference[:-1, 1]).max() >= 250 - 1e-6


def test_the_same_sentence_is_no_foreign_text(clips_module):
    clips = made_clips(clips_module, 3)
    clips = [clips[0], replace(clips[1], words=clips[0].words), clips[2]]
    for clip, other in zip(clips, clips_module.with_others_words(clips), strict=True):
        assert other.words != clip.words
    with pytest.raises(ValueError, match="same words"):
        clips_module.with_others_words(clips[:1])


def test_others_words_and_noise(clips_module):
    clips = made_clips(clips_module, 5)
    for clip, other in zip(clips, clips_module.with_others_words(clips), strict=True):
        assert other.words != clip.words and not other.right.any() and other.samples is clip.samples
    noisy = clips_module.with_noise(clips, 10.0)
    for clip, other in zip(clips, noisy, strict=True):
        scale = (other.samples @ clip.samples) / (clip.samples @ clip.samples)  # made quieter where it would clip
        ratio = np.mean(clip.samples**2) / np.mean((other.samples / scale - clip.samples) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.7)


def test_the_telephone_band(clips_module):
    """Tones in the band pass unchanged and undelayed; those outside it do not."""
    clock = np.arange(16000) / 16000
    tones = {
        hertz: np.sin(2 * np.pi * hertz * clock).astype(np.float32) for hertz in (100, 300, 1000, 3400, 3700, 6000)
    }
    clips = [clips_module.LabelledClip(tone, ["x"], None, np.array([[0.0, 1000.0]])) for tone in tones.values()]
    for hertz, before, clip in zip(tones, clips, clips_module.in_telephone_band(clips), strict=True):
        middle = slice(2000, -2000)  # a tone that is cut off rings
        left = clip.samples[middle] - before.samples[middle] if 300 <= hertz <= 3400 else clip.samples[middle]
        assert len(clip.samples) == 16000 and clip.samples.dtype == np.float32
        assert np.abs(left).max() < 0.02


def test_groups(clips_module, quality, tmp_path):
    lines = [{"id": f"r{i}", "group": "a" if i < 3 else "bc"[i % 2]} for i in range(5)] + [{"id": "r5"}]
    file = tmp_path / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    groups = clips_module.groups_of([file, tmp_path])
    assert groups == {"r0": "a", "r1": "a", "r2": "a", "r3": "c", "r4": "b"}
    clips = [clips_module.LabelledClip(None, [], None, None, f"r{i}", groups.get(f"r{i}", "")) for i in range(6)]
    assert quality.parts(clips) == {"all": [0, 1, 2, 3, 4, 5], "a": [0, 1, 2], "others": [3, 4, 5]}
    assert quality.parts(clips[:3]) == {"": [0, 1, 2]}


def test_area_under_roc(figures):
    assert figures.area_under_roc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert figures.area_under_roc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    random = np.random.default_rng(2)
    right, wrong = random.integers(0, 9, 50) / 1.0, random.integers(0, 7, 30) / 1.0
    pairs = (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2
    assert figures.area_under_roc(right, wrong) == pytest.approx(pairs)


def test_merged_classes_keep_all_probability(stages):
    logits = torch.full((24, 100), -30.0)
    logits[:, 40] = 5.0  # 800 ms is class 10 of 80 ms
    logits[0, 40], logits[0, 42] = -30.0, 5.0  # 840 ms is half class 10, half class 11
    probabilities = stages.merged(logits, 4).exp()
    assert probabilities[1:, 10] == pytest.approx(1, abs=1e-4)
    assert probabilities[0, 10:12] == pytest.approx([0.5, 0.5], abs=1e-4)


@pytest.fixture(scope="module")
def pipe():
    model = AutoModelForTokenClassification.from_pretrained(bundled_model("tiny-en"), dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(bundled_model("tiny-en"))
    return ForcedAlignmentPipeline(model=model, processor=processor, device="cpu")


def reading(module, reverse=False):
    """The demo recording; with its words backwards there are doubtful words enough."""
    ((file, text),) = READINGS[:1]
    words = text.split()[::-1] if reverse else text.split()
    return module.LabelledClip(load_audio(file), words, "English", np.zeros((len(words), 2)), "reading")


def test_a_model_of_longer_classes(clips_module, stages, pipe):
    """The pipeline is that of a model of 80 ms within the context, and as before after it."""
    clip = reading(clips_module)
    before = pipe(clip.samples, text=clip.words)["chunks"]
    (own,) = stages.scored(pipe.model, pipe.processor, [clip])
    with stages.classes_merged(pipe.model, 4) as segment_time:
        assert segment_time == pipe.model.config.timestamp_segment_time == 80
        (one,), _ = stages.heard(pipe, [clip])
        assert one.segment_time == 80 and one.logits.equal(stages.merged(own.logits, 4))
        chunks = pipe(clip.samples, text=clip.words, decoding="argmax")["chunks"]
        times = np.array([chunk["timestamp"] for chunk in chunks])
        assert np.array_equal(times, stages.STAGES["argmax + repair"](one)[0])
        assert np.allclose(times[0] * 1000 % 80, 0)
    assert pipe(clip.samples, text=clip.words)["chunks"] == before


def test_the_stages_are_the_pipelines(clips_module, stages, figures, pipe):
    clips = [reading(clips_module, reverse=True), reading(clips_module)]
    found, audio = stages.heard(pipe, clips)
    assert audio > 1.5
    keywords = {"argmax + repair": {"decoding": "argmax"}, "few pauses": {"refine": False}, stages.DEFAULT: {}}
    for stage, more in keywords.items():
        for one, clip in zip(found, clips, strict=True):
            result = pipe(clip.samples, text=clip.words, **more)
            times, scores = stages.STAGES[stage](one)
            assert np.allclose(times, [chunk["timestamp"] for chunk in result["chunks"]], atol=2e-3)
            assert np.allclose(scores, [chunk["score"] for chunk in result["chunks"]], atol=1e-3)
            fit, stretches = figures.verdict(clip, (times, scores))
            assert fit.fits == result["fits"] and len(fit.unfit) == len(result["unfit"])
            assert [(start, end) for start, end, _ in stretches] == [p["timestamp"] for p in result["untranscribed"]]
    _, audio = stages.aligned(pipe, clips, refine=False)
    assert audio == pytest.approx(1, abs=0.02)


def test_a_row_of_times(figures, clips_module):
    """The change to another way is that of the clips that both have; a word that is not said does not count."""
    labels = np.array([[0.0, 100.0], [200.0, 300.0], [np.nan, np.nan]])
    clips = [clips_module.LabelledClip(None, ["a", "b", "c"], None, labels, name) for name in ("x", "y", "x")]
    seconds = np.nan_to_num(labels) / 1000

    def late(*milliseconds):
        return [None if m is None else (seconds + m / 1000, np.ones(3)) for m in milliseconds]

    row = dict(zip(figures.HEADINGS, figures.times_row("n", "s", clips, late(10, 30, 10), late(20, None, 20), 0.5)))
    assert (row["recordings"], row["stage"], row["clips"], row["words"]) == ("n", "s", "3", "6")
    assert row["AAS ms [95 %]"] == "16.7 [10.0, 30.0]"  # two recordings, one of which comes twice
    assert row["change [95 %]"] == "-10.0"  # of one recording there is no interval
    assert (row["right texts refused"], row["foreign texts taken"], row["audio heard"]) == ("50.0%", "–", "–")
    assert (row["≤ 20 ms"], row["F1 20 ms"], row["on a neighbour"]) == ("66.7%", "0.67", "0.0%")
    row = dict(zip(figures.HEADINGS, figures.times_row("n", "s", clips, late(20, 40, 30), late(10, 10, 10))))
    assert row["change [95 %]"] == "+20.0 [+15.0, +30.0]"
    assert figures.times_row("n", "s", clips, [None] * 3)[2:] == ["0", *["–"] * (len(figures.HEADINGS) - 3)]


def test_calibration(figures, clips_module):
    labels = np.tile([[0.0, 500.0]], (10, 1))
    labels[9] = np.nan  # a word that is not said
    clip = clips_module.LabelledClip(None, ["w"] * 10, None, labels)
    times = np.nan_to_num(labels) / 1000
    times[8, 1] += 0.081
    row = figures.calibration_row("n", [clip], [(times, np.full(10, 0.9))])
    assert row == ["n", "10", "0.900", "80.0%", "0.100", "10", "80.0%"]
    scores = np.array([1.0] * 8 + [0.3, 0.06])
    row = figures.calibration_row("n", [clip], [(times, scores)])
    assert row[4:] == ["0.036", "0", "–"]  # the two that are wrong are 0.3 and 0.06 above 0


def test_passages_left_out(quality):
    passages = sys.modules["alignment_passages"]
    names = [f"w{i}" for i in range(12)]
    times = np.arange(12)[:, None] * 500.0 + [0, 450]
    quiet = np.random.default_rng(0).standard_normal(16000 * 6) * 1e-4
    loud = np.random.default_rng(1).standard_normal(16000 * 6) * 0.1
    said = (np.arange(16000 * 6) / 16 % 500) < 450
    clip = passages.LabelledClip((quiet + loud * said).astype(np.float32), names, None, times)
    short = passages.replace(clip, words=names[:9], reference=times[:9])
    changed, spans = passages.with_passages_left_out([clip, short] * 20)
    assert len(changed) == len(spans) == 20
    for one, (start, end, before) in zip(changed, spans, strict=True):
        gone = [name for name in names if name not in one.words]
        assert 2 <= len(gone) <= 6 and gone[0] == f"w{before}"
        assert (start, end) == (before * 0.5, (before + len(gone) - 1) * 0.5 + 0.45)
        assert np.array_equal(one.reference, times[[int(word[1:]) for word in one.words]])

    def aligned(clips, score):
        return [(one.reference / 1000, np.full(len(one.words), score)) for one in clips]

    sure, unsure = (passages.passage_rows(changed, spans, aligned(changed, score)) for score in (1.0, 0.0))
    assert sum(int(row[1]) for row in sure) == 20
    assert all(row[2] == "100%" and row[4] == "0%" for row in sure)
    assert all(row[4] == row[5] == "100%" for row in unsure)
    assert passages.whole_row("x", [clip], aligned([clip], 1.0))[2] == "0.0%"


def test_a_joined_recording_is_cut_into_its_clips(clips_module, tmp_path):
    long, cut = importlib.import_module("joined_recordings"), importlib.import_module("alignment_long")
    clips = made_clips(clips_module, 3, words=4)
    clips[1] = clips_module.with_changed_words(clips[1:2], 1.0, ("add",))[0]
    recording = long.make_long(clips, tmp_path / "long.wav", 30)
    at = np.nan_to_num(recording.reference) / 1000
    pieces = cut.by_clip(recording, (at, np.arange(len(at))))
    assert len(pieces) == len(recording.clips) > 3
    for clip, (times, _) in zip(recording.clips, pieces, strict=True):
        assert np.allclose(1000 * times[clip.right], clip.reference[clip.right])
    assert np.concatenate([scores for _, scores in pieces]).tolist() == list(range(len(at)))


def test_pocketsphinx_beside_it(clips_module, peers):
    pytest.importorskip("pocketsphinx")
    clip = reading(clips_module)
    unknown = clips_module.replace(clip, words=[*clip.words[:-1], "Blarghxx"])
    found, reasons = peers.peer_times(peers.pocketsphinx_peer(), [clip, unknown])
    assert found[0][0].shape == (len(clip.words), 2) and found[1] is None
    assert 0 < found[0][0][0, 0] < found[0][0][-1, 1] < clip.seconds
    assert reasons == ["1 of 2 clips with words that its dictionary lacks", "it lacks 1 words: blarghxx"]


def test_viter_beside_it(clips_module, peers, monkeypatch, tmp_path):
    """By a stand-in for its module: what is asked of it, and what becomes of words it does not have."""
    asked = []

    class Model:
        def __init__(self, path, *, dict, cpu):
            asked.append((path, Path(dict).read_text()))

        def align(self, samples, text, *, sample_rate):
            asked.append((samples.dtype, text, sample_rate))
            if text == "fails":
                raise viter.ViterError("no")
            spans = [types.SimpleNamespace(label=w.upper(), start=i, end=i + 0.5) for i, w in enumerate(text.split())]
            return types.SimpleNamespace(words=spans)

    viter = types.SimpleNamespace(Model=Model, ViterError=type("ViterError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "viter", viter)
    with pytest.raises(ValueError, match=r"model\.viter is no file"):
        peers.viter_peer(tmp_path / "model.viter", tmp_path / "dict.txt", [])
    (tmp_path / "model.viter").write_bytes(b"")
    (tmp_path / "dict.txt").write_text("two T UW1\nother AH DH ER\n\nwords W ER1 D Z\nFAILS F\n")
    clips = [
        clips_module.LabelledClip(np.zeros(9), text.split(), None, None) for text in ("Two words", "fails", "one")
    ]
    vocabulary = [word for clip in clips for word in clip.words]
    peer = peers.viter_peer(tmp_path / "model.viter", tmp_path / "dict.txt", vocabulary)
    found, reasons = peers.peer_times(peer, clips)
    assert asked[0] == (str(tmp_path / "model.viter"), "two T UW1\nwords W ER1 D Z\nFAILS F\n")  # nothing else
    assert asked[1:] == [(np.float32, "two words", 16000), (np.float32, "fails", 16000)]
    assert found[0][0].tolist() == [[0, 0.5], [1, 1.5]] and found[1:] == [None, None]
    assert reasons == [
        "1 of 3 clips because it found no path",
        "1 of 3 clips with words that its dictionary lacks",
        "it lacks 1 words: one",
    ]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_it_prints_every_table(quality, tmp_path, monkeypatch, capsys):
    cost = sys.modules["alignment_cost"]
    monkeypatch.setattr(cost, "SLOTS", 60)
    monkeypatch.setattr(cost, "CLASSES", 400)
    monkeypatch.setattr(cost, "SECONDS", 24.0)
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    passages = sys.modules["alignment_passages"]
    monkeypatch.setattr(passages, "WORDS_LEFT_OUT", (1, 1))
    monkeypatch.setattr(passages, "LEAST_WORDS", 2)
    labels = write_clips(tmp_path / "clips", 4)
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    rows = [{**row, "id": f"r{i}", "group": "few" if i == 0 else "many"} for i, row in enumerate(rows)]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--data", labels, "--synthetic", labels, "--rows", 3, "--device", "cpu", "--long", 0.25]
    monkeypatch.setattr(sys, "argv", ["alignment_quality.py", *map(str, arguments)])
    quality.main()
    printed = capsys.readouterr().out
    assert "Without PocketSphinx" in printed and "Without viter" in printed
    people, synthetic = printed.split("Synthesizers: ")
    people = [line.split(" | ") for line in people.splitlines() if line.startswith("| ")]
    times = [line for line in people if len(line) == len(people[0]) and line[1] not in ("stage", "---:")]
    conditions = ["as they are, all", "as they are, many", "as they are, others", "telephone band, all"]
    conditions += ["telephone band, many", "noise, 10 dB", "hesitations", "5% changed words"]
    conditions += ["passages left out", "classes of 80 ms"]
    wanted = [(f"| {name}", stage) for name in conditions for stage in quality.STAGES]
    wanted += [("| 0.25 min joined", stage) for stage in ("argmax + repair", "few pauses", quality.DEFAULT)]
    wanted += [("| clips of 0.25 min", quality.DEFAULT)]
    assert [tuple(line[:2]) for line in times] == wanted
    assert [line[5] == "–" for line in times] == [stage == "argmax + repair" for _, stage in wanted]
    assert [line[0] for line in people].count("| as they are, all") == len(quality.STAGES) + 1  # and its calibration
    assert "| as they are, all | argmax + repair |" in synthetic
    for what in ("| words |", "| recordings |", "| nothing |", "| of speech |"):
        assert what in synthetic
    assert "telephone" not in synthetic and "joined" not in synthetic


def test_half_of_viters_options_is_refused(quality, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["alignment_quality.py", "--data", "x", "--viter", "model"])
    with pytest.raises(SystemExit):
        quality.main()
    assert "--viter-dict" in capsys.readouterr().err
