"""LoRA adapters through PEFT: put on a model, loaded onto the model they were made for, merged into it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..checkpoints.files import check_folder, check_weights
from ..json_files import read_json
from .resume import write_json

BASE_FILE = "base_model.json"
#: Where adapters go, by part of the model. The convolutions, the embedding and the norms stay as they are.
TEXT_LAYERS = r"thinker\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
ENCODER_LAYERS = r"thinker\.audio_tower\.(layers\.\d+\.(self_attn\.\w+_proj|fc[12])|proj[12])"
HEAD = "lm_head"
_SAMPLED = 64


def import_peft():
    """The module `peft`. `ImportError` that says how to install it where it is missing."""
    try:
        import peft
    except ImportError as error:
        raise ImportError("LoRA needs PEFT: pip install 'transformers-qwen3-asr[train]'") from error
    return peft


def is_aligner(model: PreTrainedModel) -> bool:
    """Whether a model of the family classifies times."""
    return model.config.num_labels is not None


def base_description(model: PreTrainedModel) -> dict[str, Any]:
    """
    What tells the model an adapter is made for from others: `{"fingerprint", "name", …}`.

    The fingerprint is a hash of the parameters' names and shapes and of some values of each, rounded to bfloat16, so
    that it does not depend on the dtype the model was loaded in. An aligner's classifier is left out, since the
    adapter brings its own; its bins are named instead.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if is_aligner(model) and name.endswith(f"{HEAD}.weight"):
            continue
        flat = parameter.detach().flatten()
        at = torch.linspace(0, len(flat) - 1, min(len(flat), _SAMPLED), device=flat.device).long()
        values = flat[at].to("cpu", torch.bfloat16).view(torch.int16).tolist()
        digest.update(f"{name} {tuple(parameter.shape)} {values}\n".encode())
    description: dict[str, Any] = {"fingerprint": digest.hexdigest(), "name": model.config.name_or_path}
    if is_aligner(model):
        description["classify_num"] = model.config.classify_num
        description["timestamp_segment_time"] = model.config.timestamp_segment_time
    return description


def add_lora(model: PreTrainedModel, rank: int, alpha: float | None = None, freeze_encoder: bool = False):
    """
    A `peft.PeftModel` of `model`: LoRA in the text model's and the encoder's linear layers, the rest frozen.

    An aligner's classifier is trained whole, and saved with the adapters, since its classes are what is taught. The
    ASR models' head shares the embedding's weights and stays frozen.

    Args:
        rank: of the adapters.
        alpha: scale of the adapters' output times `rank`; default: twice the rank.
        freeze_encoder: no adapters in the audio encoder.
    """
    peft = import_peft()
    places = TEXT_LAYERS if freeze_encoder else f"({TEXT_LAYERS}|{ENCODER_LAYERS})"
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        target_modules=places,
        modules_to_save=[HEAD] if is_aligner(model) else None,
    )
    return peft.get_peft_model(model, config)


def write_base(folder: str | Path, description: dict[str, Any]) -> None:
    """Put [`base_description`] beside saved adapters, so that `load_adapter` can tell another base."""
    write_json(Path(folder) / BASE_FILE, description)


def load_adapter(model: PreTrainedModel, folder: str | Path):
    """
    A `peft.PeftModel` of `model` with the adapters (and an aligner's classifier) saved in `folder`.

    Args:
        model: the base, which is changed in place; after an error it must be loaded anew. Where the adapters were
            trained with other bins, its classifier gets them first.
        folder: what `save_pretrained` of a model from [`add_lora`] wrote, with or without `base_model.json`.

    Raises `ValueError` where the folder holds no adapter, a spoiled file, or an adapter made for another base model.
    """
    peft = import_peft()
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        raise ValueError(f"{folder} holds no adapter: there is no adapter_config.json")
    check_folder(folder)
    own = base_description(model)
    if (folder / BASE_FILE).is_file():
        made_for = read_json(folder / BASE_FILE)
        if made_for.get("fingerprint") != own["fingerprint"]:
            raise ValueError(_other_base(folder, made_for.get("name"), own["name"]))
        bins = {key: made_for[key] for key in ("timestamp_segment_time", "classify_num") if key in made_for}
        if any(own[key] != value for key, value in bins.items()):
            from .bins import change_bins

            change_bins(model, **bins)
    try:
        adapted = peft.PeftModel.from_pretrained(model, folder)
    except (RuntimeError, ValueError) as error:  # other shapes, or no such layers
        raise ValueError(_other_base(folder, None, own["name"])) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'adapter_config.json'} is no configuration that PEFT knows: {error}") from error
    wanted = set(peft.get_peft_model_state_dict(adapted))
    found = set(_saved_names(folder))
    if wanted != found:  # PEFT leaves what is missing at its start, and what is left over out
        raise ValueError(_other_base(folder, None, own["name"]))
    check_weights(adapted, str(folder), zeros=True)  # adapters begin with zeros
    return adapted


def merge_adapter(model: PreTrainedModel, folder: str | Path) -> PreTrainedModel:
    """
    `model` with the adapters in `folder` added to its weights: an ordinary model again, saved in the published layout.

    Merge in float32 where the result is rounded afterwards. Raises as [`load_adapter`].
    """
    return load_adapter(model, folder).merge_and_unload()


def _saved_names(folder: Path) -> list[str]:
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        return list(torch.load(folder / "adapter_model.bin", map_location="cpu", weights_only=True))
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return list(file.keys())


def _other_base(folder: Path, made_for: str | None, given: str) -> str:
    name = f", {made_for!r}" if made_for else ""
    return f"the adapter in {folder} was made for another base model{name}; it does not fit {given!r}"
