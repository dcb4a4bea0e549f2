"""A whole checkpoint folder from one layout to the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from transformers_qwen3_asr import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.checkpoints.published import (
    HF_GENERATION_HEAD,
    PUBLISHED_HEAD,
    SKIPPED_PREFIXES,
    to_hf_name,
    to_published_name,
)

from . import side_files
from .configs import HF_SEGMENT_TIME, to_hf_config, to_published_config
from .weights import TensorFolder, check_names, write_tensors

HEAD = PUBLISHED_HEAD + "weight"
EMBEDDING = "thinker.model.embed_tokens.weight"


@dataclass(frozen=True)
class Report:
    """What a conversion wrote."""

    tensors: int
    size: int
    files: list[Path]
    skipped: list[str]

    def __str__(self) -> str:
        names = ", ".join(path.name for path in self.files)
        text = f"{self.tensors} tensors, {self.size / 1e9:.2f} GB, in {names}"
        return text + (f"; skipped {len(self.skipped)} tensors of other models" if self.skipped else "")


def expected_tensors(config: Qwen3ASRConfig) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of every tensor that a model of this config has, its head included."""
    aligner = config.classify_num is not None
    model_class = Qwen3ASRForTokenClassification if aligner else Qwen3ASRForConditionalGeneration
    with torch.device("meta"):
        model = model_class(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _prepare(source: str | Path, target: str | Path) -> tuple[Path, Path, dict]:
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder")
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty")
    raw = side_files.read_json(source / "config.json")
    return source, target, raw


def _check_tied_head(tensors: TensorFolder, head: str, embedding: str) -> None:
    if tensors.digest(head) != tensors.digest(embedding):
        raise ValueError(
            f"{head} differs from {embedding}, though the config ties them: one of the two would be lost. Set "
            "text_config.tie_word_embeddings to false to keep both"
        )


def to_hf(source: str | Path, target: str | Path, max_shard_size: int = 5_000_000_000) -> Report:
    """Convert a published-layout folder to the -hf layout, which classes inside transformers read.

    Memory holds one tensor at a time; dtypes and values stay. A tied `thinker.lm_head.weight` is checked against the
    embedding and left out, as the -hf checkpoints leave it out.

    Raises `ValueError`, naming the item, for a missing, unexpected or misshapen tensor, a head that should be tied and
    differs, a missing file, a folder of the other layout, or a target that is not empty. Checks come before writing.
    """
    source, target, raw = _prepare(source, target)
    hf_config = to_hf_config(raw, side_files.stop_ids(source))
    config = Qwen3ASRConfig(**raw)
    aligner, tied = config.classify_num is not None, config.classify_num is None and config.tie_word_embeddings
    tensors = TensorFolder(source)
    skipped = [name for name in tensors.entries if name.startswith(SKIPPED_PREFIXES)]
    found = {name: entry for name, entry in tensors.entries.items() if name not in skipped}
    check_names(found, expected_tensors(config), optional=[HEAD] if tied else [])
    if tied and HEAD in found:
        _check_tied_head(tensors, HEAD, EMBEDDING)
    names = {to_hf_name(name, aligner=aligner): name for name in found if not (tied and name == HEAD)}

    target.mkdir(parents=True, exist_ok=True)
    side_files.write_json(target / "config.json", hf_config)
    side_files.tokenizer_to_hf(source, target)
    segment_time = config.timestamp_segment_time or HF_SEGMENT_TIME
    side_files.processor_to_hf(source, target, config.thinker_config.audio_config.n_window, segment_time)
    side_files.template_to_hf(source, target, aligner)
    side_files.generation_to_hf(source, target, aligner)
    files = write_tensors(tensors, names, target, max_shard_size)
    return Report(len(names), sum(path.stat().st_size for path in files), files, skipped)


def to_published(source: str | Path, target: str | Path, max_shard_size: int = 5_000_000_000) -> Report:
    """Convert a -hf folder to the published layout, which this package, qwen-asr and vLLM read.

    As `to_hf`, the other way round; a tied head is written out, as the published checkpoints store it.
    """
    source, target, raw = _prepare(source, target)
    ids = side_files.token_ids(source)
    config_dict = to_published_config(raw, ids)
    config = Qwen3ASRConfig(**config_dict)
    aligner, tied = config.classify_num is not None, config.classify_num is None and config.tie_word_embeddings
    tensors = TensorFolder(source)
    expected = expected_tensors(config)
    check_names(
        tensors.entries,
        {to_hf_name(name, aligner=aligner): shape for name, shape in expected.items()},
        optional=[HF_GENERATION_HEAD + "weight"] if tied else [],
    )
    names = {to_published_name(name): name for name in tensors.entries}
    if tied and HEAD in names:
        _check_tied_head(tensors, names[HEAD], names[EMBEDDING])
    if tied:
        names[HEAD] = names[EMBEDDING]

    target.mkdir(parents=True, exist_ok=True)
    side_files.write_json(target / "config.json", config_dict)
    side_files.tokenizer_to_published(source, target)
    side_files.processor_to_published(source, target)
    side_files.template_to_published(source, target)
    stops = raw.get("eos_token_id") or side_files.stop_ids(source)
    side_files.generation_to_published(source, target, aligner, stops if isinstance(stops, list) else [stops])
    files = write_tensors(tensors, names, target, max_shard_size)
    return Report(len(names), sum(path.stat().st_size for path in files), files, [])
