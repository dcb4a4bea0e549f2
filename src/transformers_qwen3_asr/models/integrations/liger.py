"""`TrainingArguments(use_liger_kernel=True)` on this family's models.

transformers hands the model to liger-kernel, which looks the model type up in a table. What is not there is trained
without its kernels, with no more than a line of log. So `know_liger` puts the family into the table, as soon as
somebody imports liger-kernel and not before: it takes seconds to import.
"""

from __future__ import annotations

import functools
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3RMSNorm

from ..audio_encoder_qwen3_asr import AudioEncoderForward
from ..text_model_qwen3_asr import Qwen3ASRTextModel

_TABLE = "liger_kernel.transformers.monkey_patch"


def apply_liger_kernel(
    rms_norm: bool = True,
    swiglu: bool = True,
    layer_norm: bool = True,
    rope: bool = False,
    cross_entropy: bool = False,
    fused_linear_cross_entropy: bool = False,
    model: PreTrainedModel | None = None,
) -> None:
    """
    liger-kernel's layers in the place of a model's own; `liger_kernel_config` of `TrainingArguments` is its arguments.

    Args:
        rms_norm: in the text model's norms, those of queries and keys among them.
        swiglu: in the text model's MLPs.
        layer_norm: in the audio encoder's norms.
        rope, cross_entropy, fused_linear_cross_entropy: not here. Rotary embeddings are a function that all Qwen3
            models of a process share, and the loss is computed at the labelled positions alone.
        model: the model; its weights, their names and its files stay what they are.

    Raises:
        ValueError: one of the latter was asked for, there is no GPU, or the text model's activation is not SiLU.
    """
    from liger_kernel.transformers import LigerSwiGLUMLP, monkey_patch

    refused = {
        "rope": rope,
        "cross_entropy": cross_entropy,
        "fused_linear_cross_entropy": fused_linear_cross_entropy,
    }
    for name, asked in refused.items():
        if asked:
            raise ValueError(f"liger_kernel_config: {name} is not supported by {type(model).__name__}; leave it out")
    if not torch.accelerator.is_available():
        raise ValueError(
            "use_liger_kernel=True needs a GPU: its kernels do not run on a CPU, and there is no GPU here"
        )
    text_models = [part for part in model.modules() if isinstance(part, Qwen3ASRTextModel)]
    for text_model in text_models:
        activation = text_model.config.hidden_act
        if swiglu and activation != "silu":
            raise ValueError(f"liger_kernel_config: swiglu needs hidden_act 'silu', the text model has {activation!r}")
        for module in text_model.modules():
            if rms_norm and isinstance(module, Qwen3RMSNorm):
                monkey_patch._patch_rms_norm_module(module)
            elif swiglu and isinstance(module, Qwen3MLP):
                monkey_patch._patch_swiglu_module(module, LigerSwiGLUMLP)
    encoders = [part for part in model.modules() if isinstance(part, AudioEncoderForward)]
    for module in (module for encoder in encoders for module in encoder.modules()):
        if layer_norm and isinstance(module, nn.LayerNorm):
            monkey_patch._patch_layer_norm_module(module)


def put_into_table(table, model_type: str) -> None:
    """Puts `model_type` into the table of liger-kernel's module `table`; harmless when repeated."""
    known = table.MODEL_TYPE_TO_APPLY_LIGER_FN
    others = known.get(model_type)
    if getattr(others, "__wrapped__", None) is apply_liger_kernel:
        return

    @functools.wraps(apply_liger_kernel)  # liger-kernel looks at the parameters
    def for_either(model: PreTrainedModel | None = None, **options) -> None:
        if any(isinstance(part, (Qwen3ASRTextModel, AudioEncoderForward)) for part in model.modules()):
            apply_liger_kernel(model=model, **options)
        elif others is not None:  # transformers' own class of the same model type
            others(model=model, **options)

    known[model_type] = for_either


class _WhenImported(MetaPathFinder):
    """Lets liger-kernel's table be found where it is, and puts the family into it when it has been read."""

    def __init__(self, model_type: str):
        self.model_type = model_type

    def find_spec(self, fullname, path=None, target=None):
        if fullname != _TABLE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module) -> None:
            execute(module)
            put_into_table(module, self.model_type)

        spec.loader.exec_module = exec_module
        return spec


def know_liger(model_type: str) -> None:
    """Puts `model_type` into liger-kernel's table, now or when it is imported; harmless when repeated."""
    if _TABLE in sys.modules:
        put_into_table(sys.modules[_TABLE], model_type)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported(model_type))
