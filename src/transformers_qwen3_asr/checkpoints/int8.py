"""Linear layers and convolutions in 8 bits for CPUs: int8 weights, and activations rounded to 8 bits as they come.

Every token, and every chunk that goes through the convolutions, has a scale and a zero of its own, every output
channel a scale, and products are summed as integers: a clip's answer does not depend on what else is in its batch.
`Int8Config` goes into `from_pretrained(quantization_config=...)`; a folder that was saved from such a model loads
without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from ..gpu.joined import one_product

QUANT_METHOD = "dynamic_int8"
#: Layers that stay as they are, by the last part of their name: the head is read in milliseconds, and the encoder's
#: first and last layers cost most exactness and hardly any time (1 % of the multiplications).
KEPT = ("lm_head", "conv_out", "proj1", "proj2")


class Int8Config(QuantizationConfigMixin):
    """
    Asks for int8 linear layers and convolutions on a CPU. A convolution of one input channel stays as it is.

    Args:
        modules_to_not_convert: layers that stay as they are, each by its name or some whole parts of it, such as
            "lm_head" or "audio_tower.layers.0"; if not given `KEPT`. A head that shares its weights with the
            embeddings always stays.
    """

    def __init__(self, modules_to_not_convert: list[str] | None = None, **kwargs: Any):
        kwargs.pop("quant_method", None)
        if kwargs:
            raise ValueError(f"Int8Config has no {', '.join(sorted(kwargs))}")
        self.quant_method = QUANT_METHOD
        self.modules_to_not_convert = list(KEPT if modules_to_not_convert is None else modules_to_not_convert)


#: What is added to a float32 below 2**22 in size, so that its bits end with those of the nearest whole number.
ROUNDING = 1.5 * 2**23


def to_int8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Rows of float32 `(rows, values)` in 8 bits, each with a scale and a zero of its own.

    Returns: `(rows, values)` int8, what one step of it is worth `(rows, 1)`, and what 0 is in it `(rows, 1)`, a whole
    number; both are float32.
    """
    least = rows.amin(-1, keepdim=True).clamp_(max=0)
    # 254 steps, so that none of 256 values is passed wherever 0 is rounded to
    step = rows.amax(-1, keepdim=True).clamp_(min=0).sub_(least).div_(254).clamp_(min=1e-30)
    zero = least.div_(step).neg_().sub_(128).ceil_()
    return (rows * step.reciprocal()).add_(zero + ROUNDING).view(torch.int32).to(torch.int8), step, zero


class RoundedInput(NamedTuple):
    """What `to_int8` made of a layer's input, and the input's shape and dtype."""

    rows: torch.Tensor
    step: torch.Tensor
    zero: torch.Tensor
    shape: torch.Size
    dtype: torch.dtype


def project(x: torch.Tensor, *layers: nn.Module) -> Sequence[torch.Tensor]:
    """What several linear layers make of the same input `(..., in)`: by one product where their weights lie together
    (`gpu.joined`); int8 layers have it rounded once for all."""
    if all(isinstance(layer, Int8Linear) for layer in layers):
        rounded = layers[0].rounded(x)
        return [layer(rounded) for layer in layers]
    return one_product(x, *layers) or [layer(x) for layer in layers]


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
    def like(cls, layer: nn.Linear, device=None) -> Int8Linear:
        """A layer of the shape of `layer`, not filled."""
        return cls(layer.in_features, layer.out_features, layer.bias is not None, device, layer.weight.dtype)

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """The layer of `layer`'s weights, rounded to 8 bits."""
        made = cls.like(layer, layer.weight.device)
        weight = cls.matrix(layer.weight.detach().float())
        # Processors without VNNI sum two neighbouring products in 16 bits, and what does not fit is cut off. Scales by
        # which neighbours of one sign never add up to more than 128 leave room for activations of 8 bits.
        pairs = F.pad(weight, (0, weight.shape[1] % 2)).unflatten(1, (-1, 2)).sum(-1)
        largest = torch.maximum(weight.abs().amax(1), pairs.abs().amax(1))
        scale = largest.div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
        made.scale.copy_(scale)
        made.weight.copy_((weight / scale[:, None]).round_())
        made.sums.copy_(made.weight.sum(1, dtype=torch.int32))
        if layer.bias is not None:
            made.bias.data.copy_(layer.bias.detach())
        return made

    @staticmethod
    def matrix(weight: torch.Tensor) -> torch.Tensor:
        """A layer's weights as `(out, in)`."""
        return weight

    def forward(self, x: torch.Tensor | RoundedInput) -> torch.Tensor:
        """
        `(..., in)`, or what `rounded` made of it, to `(..., out)` of the same dtype.

        Raises `ValueError` on another device than a CPU, and where a gradient is asked for.
        """
        *rounded, shape, dtype = x if isinstance(x, RoundedInput) else self.rounded(x)
        return self.product(*rounded).view(*shape[:-1], self.out_features).to(dtype)

    def rounded(self, x: torch.Tensor) -> RoundedInput:
        """The input `(..., in)` in 8 bits, for every layer that is given the same."""
        check_input(x)
        return RoundedInput(*to_int8(x.detach().flatten(0, -2).float()), x.shape, x.dtype)

    def product(self, rows: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        """What `to_int8` returns to `(rows, out)` float32."""
        sums = torch._int_mm(rows, self.weight.t())
        output = sums.view(torch.float32).copy_(sums)  # in the same memory
        output.addr_(zero[:, 0], self.sums.float(), alpha=-1).mul_(step).mul_(self.scale.float())
        return output if self.bias is None else output.add_(self.bias.float())

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Int8Conv2d(Int8Linear):
    """
    A convolution of int8 weights for inference on a CPU: the linear layer of what its kernel sees at each place.

    Every image has a scale and a zero of its own.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride, padding, bias: bool, **options):
        super().__init__(in_channels * kernel_size[0] * kernel_size[1], out_channels, bias, **options)
        self.in_channels, self.kernel_size, self.stride, self.padding = in_channels, kernel_size, stride, padding

    @classmethod
    def like(cls, layer: nn.Conv2d, device=None) -> Int8Conv2d:
        shape = layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
        return cls(*shape, layer.bias is not None, device=device, dtype=layer.weight.dtype)

    @staticmethod
    def matrix(weight: torch.Tensor) -> torch.Tensor:
        return weight.permute(0, 2, 3, 1).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        `(images, in, height, width)` to `(images, out, height, width)` of the same dtype, in channels-last strides.

        Raises `ValueError` as a linear layer does.
        """
        check_input(x)
        images = x.detach().permute(0, 2, 3, 1)
        values, step, zero = to_int8(images.flatten(1).float())
        (above, left), (count, height, width, channels) = self.padding, images.shape
        padded = zero.to(torch.int8)[:, :, None, None].repeat(1, height + 2 * above, width + 2 * left, channels)
        padded[:, above : above + height, left : left + width] = values.view(images.shape)
        for axis, (size, stride) in enumerate(zip(self.kernel_size, self.stride), 1):
            padded = padded.unfold(axis, size, stride)
        shape = padded.shape[:3]  # images, and the places where the kernel is put down
        places = shape[1] * shape[2]
        rows = padded.permute(0, 1, 2, 4, 5, 3).reshape(count * places, self.in_features)
        output = self.product(rows, step.repeat_interleave(places, 0), zero.repeat_interleave(places, 0))
        return output.view(*shape, self.out_features).permute(0, 3, 1, 2).to(x.dtype)


def check_input(x: torch.Tensor) -> None:
    if x.device.type != "cpu":
        raise ValueError(f"int8 layers compute on a CPU, not on {x.device}: load the model without them there")
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError("int8 layers have no gradients: train the model that they were made from")


def int8_class(layer: nn.Module) -> type[Int8Linear] | None:
    """What a layer becomes in int8; `None` for what has no such form, or nothing to gain, as one input channel."""
    if type(layer) is nn.Linear:
        return Int8Linear
    if type(layer) is not nn.Conv2d or layer.in_channels == 1 or isinstance(layer.padding, str):
        return None
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return Int8Conv2d if plain else None


def convert(model: nn.Module, kept: list[str], empty: bool = False) -> None:
    """Put int8 layers, made of those that are there, into a model; or `empty` ones on meta, which will be loaded."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    tied = {name.removesuffix(".weight") for name in [*tied, *tied.values()]}
    for name in [name for name, module in model.named_modules() if int8_class(module)]:
        if name in tied or any(f".{part}." in f".{name}." for part in kept):
            continue
        layer = model.get_submodule(name)
        kind = int8_class(layer)
        model.set_submodule(name, kind.like(layer, "meta") if empty else kind.of(layer))


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
            convert(model, self.quantization_config.modules_to_not_convert, empty=True)
        return model

    def _process_model_after_weight_loading(self, model, **kwargs):
        if not self.pre_quantized:
            convert(model, self.quantization_config.modules_to_not_convert)
        return model

    def is_serializable(self, *args, **kwargs) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def has_int8(model: nn.Module) -> bool:
    """Whether any layer of a model is an `Int8Linear`."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
