"""Times against labels: hand-computed figures and intervals, the bundled aligner on a real reading, bad rows."""

import itertools
import json
import threading
import time

import numpy as np
import pytest
import torch
from goldens.clips import synthetic_clip
from labelled_readings import readings, row, words
from tiny import tiny_config
from transformers import AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import Qwen3ASRForConditionalGeneration, bundled_model, evaluation
from transformers_qwen3_asr.alignment.chunks import make_chunks
from transformers_qwen3_asr.alignment.voice_activity import heard_in
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.evaluation import aligning, plots
from transformers_qwen3_asr.evaluation.rows import BadRows, items
from transformers_qwen3_asr.formats.writing import write_alignment
from transformers_qwen3_asr.pictures import figures
from transformers_qwen3_asr.pipelines import forced_alignment
from transformers_qwen3_asr.text.words import split_words


@pytest.fixture(scope="module")
def aligner():
    folder = bundled_model("tiny-en")
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


# intervals


def test_interval_of_two_clips_by_hand():
    """Two draws of two clips with mean 0 and mean 100: 0, 50, 50, 100 equally often, so 95 % reach from 0 to 100."""
    assert evaluation.bootstrap_interval([0.0, 400.0], [4, 4]) == (0.0, 100.0)
    # half of the draws are 50, so the middle 40 % are nothing else
    assert evaluation.bootstrap_interval([0.0, 400.0], [4, 4], level=0.4) == (50.0, 50.0)
    assert evaluation.bootstrap_interval([12.0, 6.0, 18.0], [2, 1, 3]) == (6.0, 6.0)
    assert evaluation.bootstrap_interval([5.0], [2]) is None


def test_interval_of_three_clips_against_all_their_draws():
    sums, counts = np.array([0.0, 30.0, 300.0]), np.array([1, 2, 3])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    means = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    for level in (0.5, 0.8):
        exact = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        found = evaluation.bootstrap_interval(sums, counts, resamples=5000, seed=3, level=level)
        assert found == pytest.approx(tuple(exact))


def test_interval_depends_on_the_seed_alone():
    generator = np.random.default_rng(5)
    sums, counts = generator.exponential(300, 40), np.full(40, 10)
    first = evaluation.bootstrap_interval(sums, counts, seed=1)
    assert first == evaluation.bootstrap_interval(sums, counts, seed=1)
    assert first != evaluation.bootstrap_interval(sums, counts, seed=2)
    low, high = first
    mean = sums.sum() / counts.sum()
    # the textbook's 1.96 standard errors, for means of many clips of one length
    spread = 1.96 * (sums / 10).std(ddof=1) / np.sqrt(40)
    assert low == pytest.approx(mean - spread, rel=0.08) and high == pytest.approx(mean + spread, rel=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1]), "shapes"),
        (([], []), "shapes"),
        (([1.0, 2.0, 3.0], [2, 0, 1]), "clip 1 has no times"),
        (([1.0, 2.0], [1, 1], 0), "resamples=0"),
        (([1.0, 2.0], [1, 1], 10, 0, 1.0), r"level=1\.0"),
    ],
)
def test_intervals_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.bootstrap_interval(*arguments)


# times against labels


def two_languages():
    """Errors in milliseconds: a: 0 20, 60 100; b: 0 0; c (German): 0 2000, 100 100."""
    labels = [
        row("a", "one two", (0, 500), (500, 1000)),
        row("c", "eins zwei", (0, 500), (500, 1000), language="de"),
        row("b", "three", (100, 300)),
    ]
    predicted = [
        row("b", "three", (100, 300)),
        row("a", "one two", (0, 480), (560, 1100)),
        row("c", "eins zwei", (0, 2500), (400, 900), language=None),
    ]
    return labels, evaluation.Predictions(predicted)


def test_figures_by_hand():
    labels, predicted = two_languages()
    found = evaluation.evaluate_predictions(predicted, labels)
    assert [clip.id for clip in found.clips] == ["a", "c", "b"]
    everything = [0, 20, 60, 100, 0, 0, 0, 2000, 100, 100]
    metrics = found.metrics
    assert (metrics["clips"], metrics["words"]) == (3, 5)
    assert metrics["aas_ms"] == pytest.approx(sum(everything) / 10)
    assert metrics["median_ms"] == pytest.approx(40)
    assert metrics["within_20ms"] == pytest.approx(0.5)
    assert metrics["within_50ms"] == pytest.approx(0.5)
    assert metrics["within_80ms"] == pytest.approx(0.6)
    assert metrics["within_100ms"] == pytest.approx(0.9)
    assert metrics["over_1s"] == pytest.approx(0.1)
    assert metrics["zero_length"] == 0
    assert metrics["aas_start_ms"] == pytest.approx((0 + 60 + 0 + 0 + 100) / 5)
    assert metrics["aas_end_ms"] == pytest.approx((20 + 100 + 0 + 2000 + 100) / 5)
    # a clip alone is drawn once in 27 times, which is more than 2.5 %: the ends are the best and the worst clip
    assert metrics["aas_ms_interval"] == pytest.approx([0, 550])
    assert list(found.languages) == ["English", "German"]
    assert found.languages["English"]["aas_ms"] == pytest.approx(180 / 6)
    assert found.languages["English"]["aas_ms_interval"] == pytest.approx([0, 45])
    assert found.languages["German"]["aas_ms"] == pytest.approx(550)
    assert found.languages["German"]["aas_ms_interval"] is None
    assert found.languages["German"]["words"] == 2


def test_table_and_dict_say_the_same():
    labels, predicted = two_languages()
    found = evaluation.evaluate_predictions(predicted, labels, resamples=500, seed=9)
    heading, english, german, everything = found.table().splitlines()
    assert heading.split()[:4] == ["language", "clips", "words", "AAS"]
    assert english.split() == (
        "English 2 3 30.0 0.0 - 45.0 10.0 20.0 40.0 66.7% 66.7% 83.3% 100.0% 0.00% 0.00 0.0% 0.0%".split()
    )
    assert german.split()[:5] == ["German", "1", "2", "550.0", "-"]
    assert everything.split()[:7] == ["all", "3", "5", "238.0", "0.0", "-", "550.0"]
    assert len({len(line) for line in found.table().splitlines()}) == 1

    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["aas_ms"] == found.metrics["aas_ms"] and stored["languages"] == found.languages
    assert stored["interval"] == {"level": 0.95, "resamples": 500, "seed": 9, "drawn": "clips"}
    assert stored["rows"][1] == {
        "id": "c",
        "language": "German",
        "words": 2,
        "aas_ms": 550.0,
        "worst_ms": 2000.0,
        "worst_word": {"index": 0, "text": "eins"},
    }
    assert stored["left_out"] == []


def test_one_language_has_no_second_line_and_none_is_unknown():
    labels, predicted = two_languages()
    found = evaluation.evaluate_predictions(predicted, [{**labels[0], "language": None}])
    assert [line.split()[0] for line in found.table().splitlines()] == ["language", "unknown"]


def test_words_are_compared_as_the_transcript_has_them():
    """Other spellings of the same letters, and other cuts, are no other words."""
    labels = [row("a", "well-known, isn't it?", (0, 500), (600, 800), (900, 1000))]
    predicted = [
        {"id": "a", "words": words("WELL known Isnt it", (0, 200), (250, 520), (600, 800), (900, 1000))},
    ]
    found = evaluation.evaluate_predictions(evaluation.Predictions(predicted), labels)
    (clip,) = found.clips
    assert clip.words == ["wellknown", "isn't", "it"]
    np.testing.assert_allclose(clip.errors, [[0, 20], [0, 0], [0, 0]], atol=1e-6)


def test_predictions_are_found_by_path_then_id_then_name(tmp_path):
    labels = [
        row("labels.jsonl:1", "one", (0, 100), audio=str(tmp_path / "x" / "clip.wav")),
        row("labels.jsonl:2", "one", (0, 100), audio=str(tmp_path / "y" / "clip.wav")),
    ]
    swapped = [
        row("labels.jsonl:2", "one", (10, 110), audio=str(tmp_path / "x" / ".." / "x" / "clip.wav")),
        row("labels.jsonl:1", "one", (50, 150), audio=str(tmp_path / "y" / "clip.wav")),
    ]

    def errors(predicted, rows=labels):
        found = evaluation.evaluate_predictions(evaluation.Predictions(predicted), rows)
        return [round(float(clip.errors[0, 0])) for clip in found.clips]

    assert errors(swapped) == [10, 50]
    elsewhere = [{**one, "audio": f"elsewhere/{place}.wav"} for place, one in enumerate(swapped)]
    assert errors(elsewhere) == [50, 10]
    named = [{"name": "clip", "words": words("one", (30, 130))}]
    assert errors(named, labels[:1]) == [30]
    twice = [{"name": "clip", "words": words("one", (0, 100))}] * 2
    with pytest.raises(ValueError, match=r"labels.jsonl:1: 2 predictions in the predictions are called 'clip'"):
        errors(twice, labels[:1])


def test_predictions_of_a_folder_are_read_as_labels_are(tmp_path):
    for name, id in (("a.jsonl", "a"), ("b.ndjson", "b"), (".c.jsonl", "c")):
        (tmp_path / name).write_text(json.dumps({"id": id, "words": words("one", (0, 100))}), encoding="utf-8")
    assert [one["id"] for one in evaluation.read_predictions(tmp_path).rows] == ["a", "b"]
    assert len(evaluation.read_predictions(tmp_path / "b.ndjson")) == 1
    # resource forks, as macOS leaves them beside copies, are no JSON
    (tmp_path / "._b.json").write_bytes(b"\x00\x05\x16\x07\xff")
    assert len(evaluation.read_predictions(tmp_path)) == 2
    with pytest.raises(ValueError, match="there is no such file or folder"):
        evaluation.read_predictions("x" * 300 + ".json")


@pytest.mark.parametrize("original_text", [False, True])
@pytest.mark.parametrize("unit", ["word", "char", "sentence"])
def test_predictions_of_other_units(tmp_path, unit, original_text):
    """Characters make up words; a sentence does not say where its words meet."""
    text = "It’s “well-known”, no? So…"
    labels = [row("a", text, (0, 400), (500, 900), (1000, 1400), (1500, 1900))]
    split = split_words(text)
    times = [{"start_time": 0.5 * i, "end_time": 0.5 * i + 0.44, "score": 0.9} for i in range(len(split))]
    write_alignment(
        {"text": text, "chunks": make_chunks(text, split, times, unit, original_text)}, tmp_path / "a.json"
    )
    predictions = evaluation.read_predictions(tmp_path)
    if unit == "sentence":
        with pytest.raises(ValueError, match=r"is 3 words to the aligner"):
            evaluation.evaluate_predictions(predictions, labels)
        return
    (clip,) = evaluation.evaluate_predictions(predictions, labels).clips
    assert clip.words == ["Its", "wellknown", "no", "So"]
    np.testing.assert_allclose(clip.errors, [[0, 40]] * 4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "the predictions holds no prediction for it"),
        ([], "its prediction holds no words"),
        (words("three for", (0, 100), (100, 200)), r"'for'.* is not in the row's transcript"),
        (words("tree", (0, 100)), r"word 0 \('tree'\) is not in the row's transcript, which says 'three'"),
        ([{"text": "three", "start": 0.1, "end": float("nan")}], r"word 0 \('three'\): its end must be a number"),
        ([{"text": "three", "timestamp": (0.1, None)}], r"word 0 \('three'\): its end must be a number"),
        ([{"text": "three"}], "its start must be a number"),
    ],
)
def test_bad_predictions_name_the_row(change, message):
    labels, predicted = two_languages()
    rows = [one for one in predicted.rows if one["id"] != "b"]
    if change is not None:
        rows.append({"id": "b", "words": change})
    predicted = evaluation.Predictions(rows)
    with pytest.raises(ValueError, match=rf"^b: .*{message}") as caught:
        evaluation.evaluate_predictions(predicted, labels)
    assert "\n" not in str(caught.value)
    found = evaluation.evaluate_predictions(predicted, labels, on_bad_row="skip")
    assert [clip.id for clip in found.clips] == ["a", "c"] and found.metrics["aas_ms"] == pytest.approx(297.5)
    (line,) = found.left_out
    assert line == str(caught.value) and found.to_dict()["left_out"] == [line]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"words": words("one two", (500, 900), (400, 1000))},
            r"word 1 \('two'\) starts at 0.4 s, before the start of word 0 \('one'\) in front of it, 0.5 s",
        ),
        ({"words": words("one three", (0, 500), (500, 1000))}, r"'three'.* is not in the transcript"),
        ({"words": []}, "holds no words"),
        ({"text": " "}, "empty"),
        ({"duration": 0.8}, "the audio is 0.800 s long"),
        ({"audio": None}, "no audio"),
        ({"language": 3}, "language must be a name"),
    ],
)
def test_bad_labels_name_the_row(change, message):
    labels, predicted = two_languages()
    with pytest.raises(ValueError, match=rf"^a: .*{message}"):
        evaluation.evaluate_predictions(predicted, [labels[1], {**labels[0], **change}])


def test_nothing_to_evaluate():
    _, predicted = two_languages()
    with pytest.raises(ValueError, match="there are no rows to evaluate"):
        evaluation.evaluate_predictions(predicted, [])
    with pytest.raises(ValueError, match=r"no clip is left to evaluate; x: .*holds no prediction"):
        evaluation.evaluate_predictions(predicted, [row("x", "one", (0, 100))], on_bad_row="skip")
    with pytest.raises(ValueError, match="row 0: a row is a dict"):
        evaluation.evaluate_predictions(predicted, ["a.wav"])
    with pytest.raises(ValueError, match="on_bad_row='ignore'"):
        evaluation.evaluate_predictions(predicted, [], on_bad_row="ignore")


def test_rows_that_reading_left_out_are_kept_in_mind(tmp_path):
    from transformers_qwen3_asr.formats import read_labels

    good, bad = ({**one, "audio": "a.wav"} for one in (row("g", "one", (0, 100)), row("b", "one", (300, 100))))
    file = tmp_path / "labels.jsonl"
    file.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="1 rows? of|left out|are bad"):
        labels = read_labels(file, on_error="skip", check_audio=False)
    found = evaluation.evaluate_predictions(evaluation.Predictions([good]), labels, on_bad_row="skip")
    assert found.metrics["clips"] == 1
    (line,) = found.left_out
    assert "before its start" in line


# a model against labels


def by_hand(aligner, audio, text):
    """Times `(words, 2)` in milliseconds, without the pipeline."""
    model, processor = aligner
    inputs, word_lists = processor.prepare_forced_aligner_inputs(audio=audio, transcript=text, language="English")
    with torch.inference_mode():
        logits = model(**inputs).logits
    samples = load_audio(audio)
    durations = [len(samples) / 16000]
    voices = [heard_in(samples, 16000)]
    (found,) = processor.decode_forced_alignment(
        logits, inputs["input_ids"], word_lists, durations=durations, voices=voices
    )
    return np.array([[word["start_time"], word["end_time"]] for word in found]) * 1000


def labelled_clips():
    """Clips of different lengths and languages: the reading, its beginning, and noise with some words."""
    (reading,) = readings()
    samples = load_audio(reading["audio"])
    short = {**reading, "id": "short", "audio": samples[:32000], "text": None, "words": reading["words"][:5]}
    noise = row("noise", "eins zwei", (0, 500), (500, 1000), language="German", audio=synthetic_clip(3, 48000))
    return [short, noise, {**reading, "audio": samples}]


@pytest.mark.filterwarnings("ignore:the aligner was not trained")
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_model_against_labels(aligner, batch_size):
    rows = labelled_clips()
    found = evaluation.evaluate_aligner(*aligner, rows, batch_size=batch_size, refine=False)
    assert [clip.id for clip in found.clips] == ["short", "noise", "sense_and_sensibility.flac"]
    texts = [" ".join(word["text"] for word in one["words"]) for one in rows]
    for clip, one, text in zip(found.clips, rows, texts, strict=True):
        np.testing.assert_allclose(clip.predicted, by_hand(aligner, one["audio"], text), atol=1e-6)
        np.testing.assert_allclose(clip.reference, [(1000 * w["start"], 1000 * w["end"]) for w in one["words"]])
    assert list(found.languages) == ["English", "German"]
    assert found.languages["English"]["aas_ms"] < 150  # near to another aligner's times on real speech
    assert found.languages["English"]["words"] == 27


def test_the_model_stays_as_it_was(aligner):
    model, processor = aligner
    try:
        for training in (True, False):
            model.train(training)
            evaluation.evaluate_aligner(model, processor, readings())
            assert model.training == training
    finally:
        model.eval()


@pytest.mark.filterwarnings("ignore:the aligner was not trained")
@pytest.mark.parametrize("batch_size", [1, 8])
def test_recordings_that_cannot_be_aligned_name_the_row(aligner, tmp_path, batch_size):
    good = labelled_clips()
    poisoned = np.append(good[0]["audio"], np.float32("nan"))
    (tmp_path / "noise.wav").write_bytes(b"this is no recording")
    for number, (audio, message) in enumerate(
        [
            (poisoned, "NaN"),
            (tmp_path / "nowhere.wav", "no such file"),
            (tmp_path / "noise.wav", "noise.wav"),
        ]
    ):
        bad = {**good[0], "id": f"labels.jsonl:{number}", "audio": audio}
        with pytest.raises(ValueError, match=rf"^labels.jsonl:{number}: .*{message}"):
            evaluation.evaluate_aligner(*aligner, [good[1], bad, good[2]], batch_size=batch_size)
        found = evaluation.evaluate_aligner(
            *aligner, [good[1], bad, good[2]], batch_size=batch_size, on_bad_row="skip"
        )
        assert [clip.id for clip in found.clips] == ["noise", "sense_and_sensibility.flac"]
        assert len(found.left_out) == 1 and found.left_out[0].startswith(bad["id"])


def threads_that_read():
    return [thread for thread in threading.enumerate() if thread.name.startswith("work-ahead")]


@pytest.mark.filterwarnings("ignore:the aligner was not trained")
def test_the_next_batch_is_read_while_one_computes(aligner, monkeypatch):
    """As on a GPU: in a thread, two batches ahead, the longest first, with the samples beside the times."""
    loaded, threads = [], set()

    def spy(source, rate):
        threads.add(threading.current_thread())
        samples = load_audio(source, rate)
        loaded.append(len(samples))
        return samples

    monkeypatch.setattr(aligning, "load_audio", spy)
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    # all lengths known, so that nothing is loaded for them
    rows = [{**one, "duration": len(load_audio(one["audio"])) / 16000} for one in labelled_clips() * 3]
    bad = BadRows("fail")
    given = aligning.Aligner(*aligner, batch_size=2).times(items(rows, bad), bad)
    lengths = sorted((round(one["duration"] * 16000) for one in rows), reverse=True)
    item, entries, samples = next(given)
    until = time.monotonic() + 20
    while len(loaded) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    assert loaded == lengths[:6] and threads < set(threads_that_read())
    assert len(samples) == lengths[0] and [entry.text for entry in entries] == item.labels
    assert [len(samples) for _, _, samples in given] == lengths[1:] and loaded == lengths
    assert threads_that_read() == []
    given = aligning.Aligner(*aligner, batch_size=2).times(items(rows, bad), bad)
    next(given)
    given.close()
    assert threads_that_read() == []


@pytest.mark.filterwarnings("ignore:the aligner was not trained")
@pytest.mark.parametrize("batch_size", [1, 3])
def test_bad_rows_that_were_read_ahead(aligner, batch_size, monkeypatch):
    monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device: 2)
    good = labelled_clips()
    rows = [
        {**one, "id": f"{number}", **({"audio": "nowhere.wav", "duration": 3.0} if number in (0, 4) else {})}
        for number, one in enumerate(good * 3)
    ]
    found = evaluation.evaluate_aligner(*aligner, rows, batch_size=batch_size, on_bad_row="skip")
    assert [clip.id for clip in found.clips] == [one for one in "012345678" if one not in "04"]
    assert [line.split(":")[0] for line in found.left_out] == ["0", "4"]
    with pytest.raises(ValueError, match=r"^0: 'nowhere.wav' is no existing file"):
        evaluation.evaluate_aligner(*aligner, rows, batch_size=batch_size)
    assert threads_that_read() == []


def test_arguments_that_make_no_sense(aligner):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluation.evaluate_aligner(*aligner, readings(), batch_size=0)
    recogniser = Qwen3ASRForConditionalGeneration(tiny_config(classes=None))
    with pytest.raises(ValueError, match=r"is a .*ConditionalGeneration, and gives no times.*ForTokenClassification"):
        evaluation.evaluate_aligner(recogniser, aligner[1], readings())


# pictures


def test_plot_shows_every_error(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib, of the extra plot, is not installed")
    labels, predicted = two_languages()
    found = evaluation.evaluate_predictions(predicted, labels)
    signed, absolute = plots.error_figure(found).axes
    lines = {line.get_label(): line.get_xydata() for line in absolute.get_lines()}
    for name in ("English", "German", "all"):
        figures = found.metrics if name == "all" else found.languages[name]
        for limit in (20, 50, 80, 100):
            below = lines[name][lines[name][:, 0] <= limit + 1e-6]
            assert below[-1, 1] == pytest.approx(figures[f"within_{limit}ms"])
        assert lines[name][-1, 1] == 1
    # a histogram's outline: heights are the y of its upper edges; starts and ends of five words each
    heights = [patch.get_xy()[1:-1:2, 1] for patch in signed.patches]
    assert [round(float(sum(one))) for one in heights] == [5, 5]
    path = tmp_path / "new" / "errors.png"
    found.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    found.plot(tmp_path / "errors.svg")
    assert "<svg" in (tmp_path / "errors.svg").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"a plot's extension is one of .*png"):
        found.plot(tmp_path / "errors.doc")


def test_plot_without_matplotlib(tmp_path, monkeypatch):
    labels, predicted = two_languages()
    found = evaluation.evaluate_predictions(predicted, labels)
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'transformers-qwen3-asr\[plot\]'"):
        found.plot(tmp_path / "errors.png")
