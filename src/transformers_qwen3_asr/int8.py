"""Linear layers in 8 bits for CPUs: int8 weights, and activations rounded to 8 bits as they come.

Every token has a scale and a zero of its own, every output channel a scale, and products are summed as integers: a
clip's answer does not depend on what else is in its batch. `Int8Config` goes into
`from_pretrained(quantization_config=...)`; a folder that was saved from such a model loads without it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

QUANT_METHOD = "dynamic_int8"
#: Layers that stay as they are, by the last part of their name: the head is read in milliseconds, and the encoder's
#: first and last layers cost most exactness and hardly any time (1 % of the multiplications).
KEPT = ("lm_head", "conv_out", "proj1", "proj2")


class Int8Config(QuantizationConfigMixin):
    """
    Asks for int8 linear layers on a CPU.

    Args:
        modules_to_not_convert: layers that stay as they are, each by its name or some whole parts of it, such as
            "lm_head" or "audio_tower.layers.0"; if not given `KEPT`. A head that shares its weights with the
            embeddings always stays.
    """

    def __init__(self, modules_to_not_convert: list[str] | None = None, **kwargs):
        kwargs.pop("quant_method", None)
        if kwargs:
            raise ValueError(f"Int8Config has no {', '.join(sorted(kwargs))}")
        self.quant_method = QUANT_METHOD
        self.modules_to_not_convert = list(KEPT if modules_to_not_convert is None else modules_to_not_convert)


class Int8Linear(nn.Module):
    """
    A linear layer of int8 weights for inference on a CPU.

    Its buffers are `weight` `(out, in)` int8, `scale` `(out,)` float32, and `sums` `(out,)` float32, the sum of each
    row of `weight`.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool, device=None, dtype=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("weight", torch.empty(out_features, in_features, dtype=torch.int8, device=device))
        self.register_buffer("scale", torch.empty(out_features, dtype=torch.float32, device=device))
        self.register_buffer("sums", torch.empty(out_features, dtype=torch.float32, device=device))
        values = torch.empty(out_features, device=device, dtype=dtype) if bias else None
        self.bias = None if values is None else nn.Parameter(values, requires_grad=False)

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The layer of `linear`'s weights, rounded to 8 bits."""
        weight = linear.weight.detach().float()
        layer = cls(
            linear.in_features, linear.out_features, linear.bias is not None, weight.device, linear.weight.dtype
        )
        # Processors without VNNI sum two neighbouring products in 16 bits, and what does not fit is cut off. Scales by
        # which neighbours of one sign never add up to more than 128 leave room for activations of 8 bits.
        pairs = F.pad(weight, (0, weight.shape[1] % 2)).unflatten(1, (-1, 2)).sum(-1)
        largest = torch.maximum(weight.abs().amax(1), pairs.abs().amax(1))
        scale = largest.div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
        layer.scale.copy_(scale)
        layer.weight.copy_((weight / scale[:, None]).round_())
        layer.sums.copy_(layer.weight.sum(1, dtype=torch.int32))
        if linear.bias is not None:
            layer.bias.data.copy_(linear.bias.detach())
        return layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        `(..., in)` to `(..., out)` of the same dtype.

        Raises `ValueError` on another device than a CPU, and where a gradient is asked for.
        """
        if x.device.type != "cpu":
            raise ValueError(f"int8 layers compute on a CPU, not on {x.device}: load the model without them there")
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError("int8 layers have no gradients: train the model that they were made from")
        rows = x.detach().flatten(0, -2).float()
        least = rows.amin(-1, keepdim=True).clamp_(max=0)
        step = rows.amax(-1, keepdim=True).clamp_(min=0).sub_(least).div_(255).clamp_(min=1e-30)
        zero = least.div_(step).neg_().sub_(128).round_()  # what 0 is in 8 bits
        rounded = torch.addcmul(zero, rows, step.reciprocal()).round_().clamp_(-128, 127).to(torch.int8)
        sums = torch._int_mm(rounded, self.weight.t())
        output = sums.view(torch.float32).copy_(sums)  # in the same memory
        scale = self.scale.float()
        shares, parts = [zero.mul_(step).neg_()], [self.sums.float() * scale]
        if self.bias is not None:
            shares, parts = [*shares, torch.ones_like(step)], [*parts, self.bias.float()]
        output = output.mul_(step).mul_(scale).addmm_(torch.cat(shares, 1), torch.stack(parts))
        return output.view(*x.shape[:-1], self.out_features).to(x.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def linear_layers(model: nn.Module, kept: list[str]):
    """(name, layer) of every linear layer that is to be converted."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    tied = {name.removesuffix(".weight") for name in [*tied, *tied.values()]}
    for name, module in model.named_modules():
        stays = name in tied or any(f".{part}." in f".{name}." for part in kept)
        if type(module) is nn.Linear and not stays:
            yield name, module


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


class Int8Quantizer(HfQuantizer):
    """What transformers calls while it loads a model with an `Int8Config`."""

    requires_calibration = False
    quantization_config: Int8Config

    def validate_environment(self, *args, device_map=None, **kwargs) -> None:
        places = set(device_map.values()) if isinstance(device_map, dict) else {device_map} - {None, "auto"}
        if device_map == "auto" and torch.cuda.is_available():
            places = {"cuda"}
        wrong = [str(place) for place in places if str(place) != "cpu"]
        if wrong:
            raise ValueError(f"int8 layers compute on a CPU, and device_map says {', '.join(sorted(wrong))}")

    def _process_model_before_weight_loading(self, model, **kwargs):
        if self.pre_quantized:
            for name, linear in list(linear_layers(model, self.quantization_config.modules_to_not_convert)):
                bias, dtype = linear.bias is not None, linear.weight.dtype
                replace_layer(model, name, Int8Linear(linear.in_features, linear.out_features, bias, "meta", dtype))
        return model

    def _process_model_after_weight_loading(self, model, **kwargs):
        if not self.pre_quantized:
            for name, linear in list(linear_layers(model, self.quantization_config.modules_to_not_convert)):
                replace_layer(model, name, Int8Linear.of(linear))
        return model

    def is_serializable(self, *args, **kwargs) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def has_int8(model: nn.Module) -> bool:
    """Whether any layer of a model is an `Int8Linear`."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
