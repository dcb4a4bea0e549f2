"""Evaluation without labels: words cut out of recordings and heard one by one, by fakes and by random recognisers."""

import json

import numpy as np
import pytest
import torch
from conftest import GOLDENS
from goldens.clips import synthetic_clip
from labelled_readings import readings, words
from test_evaluation import by_hand
from transformers import AutoModelForSpeechSeq2Seq, AutoModelForTokenClassification, AutoProcessor

from transformers_qwen3_asr import bundled_model, evaluation
from transformers_qwen3_asr.audio import load_audio
from transformers_qwen3_asr.evaluation.transcribing import LEAST_SAMPLES, cut


@pytest.fixture(scope="module")
def recogniser():
    folder = GOLDENS / "asr"
    return AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype=torch.float32), AutoProcessor.from_pretrained(
        folder
    )


class Heard:
    """A transcriber that knows what to say, by the place where a piece begins in a recording of rising numbers."""

    def __init__(self, answers):
        self.answers, self.batches = answers, []

    def __call__(self, recordings, languages):
        self.batches.append([len(piece) for piece in recordings])
        assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in recordings)
        return [
            self.answers[language, round(float(piece[0]) * 64000)] for piece, language in zip(recordings, languages)
        ]


def rising(seconds):
    """A recording whose samples say where they stand."""
    return np.arange(round(seconds * 16000), dtype=np.float32) / 64000


def heard_rows():
    rows = [
        {"id": "a", "audio": rising(2), "text": "One, two three four", "language": "en"},
        {"id": "b", "audio": rising(1), "text": "ja nein", "language": None},
    ]
    predicted = [
        {"id": "a", "words": words("one two three four", (0, 500), (500, 1250), (1250, 1250), (1500, 2400))},
        {"id": "b", "words": words("ja nein", (100, 400), (400, 1000))},
    ]
    answers = {
        ("English", 0): " ONE.",  # right
        ("English", 8000): "two or three",  # two words too many: 7 letters
        ("English", 24000): "",  # nothing: 4 letters
        (None, 1600): "nein",  # another word: 3 letters to change and 2 to take away... of "ja"
        (None, 6400): "nein",
    }
    return rows, evaluation.Predictions(predicted), Heard(answers)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_word_error_rate_by_hand(batch_size):
    rows, predicted, heard = heard_rows()
    found = evaluation.evaluate_by_transcription(rows, heard, predictions=predicted, batch_size=batch_size)
    a, b = found.clips
    assert (a.words, a.heard) == (["One", "two", "three", "four"], ["ONE.", "two or three", "", ""])
    assert (a.edits, b.edits) == ([0, 2, 1, 1], [1, 0])
    assert (a.letter_edits, b.letter_edits) == ([0, 7, 5, 4], [4, 0])
    metrics = found.metrics
    assert (metrics["clips"], metrics["words"]) == (2, 6)
    assert metrics["wer"] == pytest.approx(5 / 6)
    assert metrics["wer_interval"] == pytest.approx([0.5, 1.0])
    assert metrics["cer"] == pytest.approx(20 / (3 + 3 + 5 + 4 + 2 + 4))
    assert metrics["exact"] == pytest.approx(2 / 6)
    assert metrics["silent"] == pytest.approx(2 / 6)
    assert metrics["zero_length"] == pytest.approx(1 / 6)
    assert found.languages["English"]["wer"] == 1 and found.languages["unknown"]["wer"] == 0.5
    assert found.table().splitlines()[-1].split() == ("all 2 6 83.3% 50.0% - 100.0% 95.2% 33.3% 33.3% 16.7%".split())
    assert json.loads(json.dumps(found.to_dict()))["rows"][1]["words"] == [
        {"text": "ja", "start": 0.1, "end": 0.4, "heard": "nein"},
        {"text": "nein", "start": 0.4, "end": 1.0, "heard": "nein"},
    ]
    assert a.times[3].tolist() == [1.5, 2.0]  # cut at the recording's end
    # nothing is asked about a word that does not last; what is short is filled up to half a second
    assert sum(map(len, heard.batches)) == 5 and max(map(len, heard.batches)) <= batch_size
    assert min(map(min, heard.batches)) == LEAST_SAMPLES and max(map(max, heard.batches)) == 12000


def test_pieces_are_the_recording_between_the_times():
    samples = rising(2)
    np.testing.assert_array_equal(cut(samples, 0.5, 1.25), samples[8000:20000])
    short = cut(samples, 1.9, 2.5)
    np.testing.assert_array_equal(short, np.append(samples[30400:], np.zeros(LEAST_SAMPLES - 1600, np.float32)))
    assert short.dtype == np.float32
    assert cut(samples, 1.0, 1.0) is None and cut(samples, 1.0, 0.5) is None and cut(samples, 2.5, 3.0) is None


def test_an_aligner_is_asked_for_the_words():
    """With a transcriber that hears everything right, and one that hears a neighbour too."""
    (reading,) = readings()
    unlabelled = {key: value for key, value in reading.items() if key != "words"}
    folder = bundled_model("tiny-en")
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)
    samples = load_audio(reading["audio"])
    times = by_hand((model.eval(), processor), samples, reading["text"]) / 1000
    times = times.clip(max=len(samples) / 16000)
    lasting = {
        samples[round(start * 16000) :][:320].tobytes(): word["text"]
        for (start, end), word in zip(times, reading["words"], strict=True)
        if end > start
    }
    assert len(lasting) > 10

    def hears(form):
        def transcribe(recordings, languages):
            assert languages == ["English"] * len(recordings)
            # a class lasts 20 ms, which are 320 samples, so that no piece is shorter
            return [form.format(lasting[piece[:320].tobytes()].upper()) for piece in recordings]

        return evaluation.evaluate_by_transcription(
            [unlabelled], transcribe, model=model, processor=processor, refine=False
        )

    found = hears("{}!")
    np.testing.assert_allclose(found.clips[0].times, times)
    empty = 1 - len(lasting) / len(times)
    for key in ("wer", "silent", "zero_length"):
        assert found.metrics[key] == pytest.approx(empty), key
    assert found.metrics["exact"] == pytest.approx(1 - empty)
    assert hears("and {}").metrics["wer"] == 1.0


def test_bad_rows_of_the_second_mode_are_named():
    rows, predicted, heard = heard_rows()
    for change, message in (
        ({"text": None}, "transcript is missing or empty"),
        ({"text": "…"}, "holds no word"),
        ({"text": "ja ja"}, "is not in the row's transcript"),
        ({"audio": np.full(16000, np.nan, np.float32)}, "NaN"),
    ):
        with pytest.raises(ValueError, match=rf"^b: .*{message}"):
            evaluation.evaluate_by_transcription([rows[0], {**rows[1], **change}], heard, predictions=predicted)
    with pytest.raises(ValueError, match="the transcriber gave 0 texts for 5 recordings"):
        evaluation.evaluate_by_transcription(rows, lambda recordings, languages: [], predictions=predicted)
    with pytest.raises(ValueError, match="predictions are made"):
        evaluation.evaluate_by_transcription(rows, heard, predictions=predicted, decoding="joint")


def test_one_source_of_times():
    for times in ({}, {"model": 1}, {"processor": 1, "predictions": evaluation.Predictions([])}):
        with pytest.raises(ValueError, match="either a model with its processor, or predictions"):
            evaluation.evaluate_by_transcription(readings(), None, **times)


def test_edit_distance_against_a_recursion():
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))

    assert evaluation.edit_distance("kitten", "sitting") == 3
    generator = np.random.default_rng(1)
    for _ in range(60):
        a, b = ("".join(generator.choice(list("ab "), generator.integers(0, 6))) for _ in range(2))
        assert evaluation.edit_distance(a, b) == distance(a, b), (a, b)


def test_a_qwen3_asr_model_transcribes(recogniser):
    """Random weights: what is said is of no use, but it must be the same alone and in a batch."""
    transcriber = evaluation.Qwen3ASRTranscriber(*recogniser, max_new_tokens=8)
    pieces = [synthetic_clip(1, 8000), synthetic_clip(2, 20000), synthetic_clip(3, 12000)]
    languages = ["English", None, "Klingon"]
    together = transcriber(pieces, languages)
    alone = [transcriber([piece], [language])[0] for piece, language in zip(pieces, languages)]
    assert together == alone and len(set(together)) > 1
    model, processor = recogniser
    inputs = processor.apply_transcription_request(pieces[0], language="English")
    answer = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert together[0] == processor.decode(answer, return_format="transcription_only")


def test_any_other_recogniser_by_the_pipeline(tmp_path):
    import transformers

    letters = ["<pad>", "<unk>", "|", *"abc"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(
        str(tmp_path / "vocab.json"), pad_token="<pad>", unk_token="<unk>", bos_token=None, eos_token=None
    )
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(5, 4), num_feat_extract_layers=2, pad_token_id=0,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    transcriber = evaluation.load_transcriber(str(tmp_path), "float32", "cpu")
    assert isinstance(transcriber, evaluation.PipelineTranscriber)
    pieces = [synthetic_clip(1, 8000), synthetic_clip(2, 20000)]
    found = transcriber(pieces, ["English", None])
    assert len(found) == 2 and all(isinstance(text, str) for text in found)
    # nothing is filled up to the longest of a batch, which this model would hear
    assert found == [transcriber.pipe({"raw": piece, "sampling_rate": 16000})["text"] for piece in pieces]
    assert found[0] != found[1]
    rows = [{"id": "a", "audio": synthetic_clip(2, 20000), "text": "a b"}]
    predicted = evaluation.Predictions([{"id": "a", "words": words("a b", (0, 600), (600, 1200))}])
    result = evaluation.evaluate_by_transcription(rows, transcriber, predictions=predicted)
    assert result.metrics["words"] == 2


def test_recognisers_by_name():
    transcriber = evaluation.load_transcriber(str(GOLDENS / "asr"), "float32")
    assert isinstance(transcriber, evaluation.Qwen3ASRTranscriber) and transcriber.model.dtype == torch.float32
    with pytest.raises(ValueError, match="tiny-en is an aligner, and cannot transcribe"):
        evaluation.load_transcriber("tiny-en")
