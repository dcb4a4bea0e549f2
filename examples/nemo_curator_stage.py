"""A stage of NeMo Curator that gives the words of a manifest their times.

    pip install nemo-curator==1.4.0
    python examples/nemo_curator_stage.py manifest.jsonl aligned.jsonl --language English

A line of the manifest is `{"audio_filepath": …, "text": …}` and perhaps "language". It gets "alignment", a list of
`{"word", "start", "end", "confidence"}` with times in seconds, as Curator's own stage for NeMo's recognisers has it;
"alignment_fits", whether text and recording belong together; and "alignment_error", null or what was wrong with it. No
line is dropped. Each of the pipeline's steps takes a processor, so that it wants four.
"""

import argparse
from dataclasses import dataclass, field

from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import AudioTask

from transformers_qwen3_asr.corpus import CorpusAligner


@dataclass
class ForcedAlignmentStage(ProcessingStage[AudioTask, AudioTask]):
    """
    Args:
        model: a name of the hub, a folder or a bundled aligner.
        language: of lines that state none.
        batch_size: lines at once.
        resources: of a worker, which loads the model once.
    """

    model: str = "Qwen/Qwen3-ForcedAligner-0.6B"
    language: str | None = None
    audio_key: str = "audio_filepath"
    text_key: str = "text"
    name: str = "qwen3_forced_alignment"
    batch_size: int = 64
    resources: Resources = field(default_factory=lambda: Resources(cpus=1.0, gpus=1.0))

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.audio_key, self.text_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], ["alignment", "alignment_fits", "alignment_error"]

    def setup(self, worker_metadata=None) -> None:
        device = None if self.resources.requires_gpu else "cpu"
        self._aligner = CorpusAligner(self.model, language=self.language, batch_size=self.batch_size, device=device)
        self._aligner.pipe  # noqa: B018  # loads the model

    def process(self, task: AudioTask) -> AudioTask:
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[AudioTask]) -> list[AudioTask]:
        keys = {"audio": self.audio_key, "text": self.text_key, "language": "language"}
        rows = [{name: task.data.get(key) for name, key in keys.items()} for task in tasks]
        for task, result in zip(tasks, self._aligner(rows), strict=True):
            task.data["alignment"] = [
                {"word": word["text"], "start": word["start"], "end": word["end"], "confidence": word["score"]}
                for word in result["words"]
            ]
            task.data["alignment_fits"], task.data["alignment_error"] = result["fits"], result["error"]
        return tasks


def main() -> None:
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.audio.common import ManifestReader, ManifestWriterStage

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("output")
    parser.add_argument("--model", default="Qwen/Qwen3-ForcedAligner-0.6B")
    parser.add_argument("--language")
    parser.add_argument("--gpus", type=float, default=1.0, help="of a worker; 0 for processors alone")
    arguments = parser.parse_args()
    align = ForcedAlignmentStage(arguments.model, arguments.language, resources=Resources(gpus=arguments.gpus))
    stages = [ManifestReader(arguments.manifest), align, ManifestWriterStage(arguments.output)]
    Pipeline(name="word_times", stages=stages).run(RayDataExecutor())


if __name__ == "__main__":
    main()
