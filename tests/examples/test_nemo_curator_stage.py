"""examples/nemo_curator_stage.py with NeMo Curator's own classes."""

import importlib.util

import pytest
from conftest import ROOT
from corpus_clips import clips

pytest.importorskip("nemo_curator", reason="nemo-curator 1.4.0 is not installed", exc_type=ImportError)

from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import AudioTask

from transformers_qwen3_asr.corpus import CorpusAligner


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("nemo_curator_stage", ROOT / "examples" / "nemo_curator_stage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_line_comes_back_with_words_or_an_error(example, tmp_path):
    rows = clips(4)
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.wav").write_bytes(row["audio"])
    lines = [{"audio_filepath": str(tmp_path / f"{n}.wav"), "text": row["text"]} for n, row in enumerate(rows)]
    lines[1]["audio_filepath"], lines[2]["text"] = str(tmp_path / "missing.wav"), ""
    lines += [{"audio_filepath": lines[0]["audio_filepath"]}, {**lines[3], "speaker": "anne", "language": "en"}]

    stage = example.ForcedAlignmentStage("tiny-en", "English", resources=Resources(gpus=0.0)).with_(batch_size=8)
    assert stage.supports_batch_processing() and (stage.batch_size, stage.resources.gpus) == (8, 0.0)
    tasks = [AudioTask(data=dict(line)) for line in lines]
    assert stage.validate_input(tasks[0]) and not stage.validate_input(tasks[4])
    stage.setup()
    done = stage.process_batch(tasks)

    assert done == tasks and all(line.items() <= task.data.items() for line, task in zip(lines, done, strict=True))
    for place, error in {1: "missing.wav' cannot be read", 2: "its text is empty", 4: "it has no text"}.items():
        assert error in done[place].data["alignment_error"] and done[place].data["alignment"] == []
    for place, row in {0: rows[0], 3: rows[3], 5: rows[3]}.items():
        [expected] = CorpusAligner("tiny-en", language="en", device="cpu")([row])
        assert done[place].data["alignment_error"] is None and done[place].data["alignment_fits"] is expected["fits"]
        found = done[place].data["alignment"]
        assert [word["word"] for word in found] == [word["text"] for word in expected["words"]]
        for name, ours in {"start": "start", "end": "end", "confidence": "score"}.items():
            values = [word[ours] for word in expected["words"]]
            assert [word[name] for word in found] == pytest.approx(values, abs=2e-3)
    assert stage.process(AudioTask(data=dict(lines[2]))).data == done[2].data
