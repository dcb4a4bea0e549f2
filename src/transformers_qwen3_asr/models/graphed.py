"""Small passes of the encoder and the text model as CUDA graphs (`gpu.graphs`): the shapes, and what is copied where.

Only for inference on a GPU. What is too large for a graph to gain anything takes the usual way, and so does whatever
wants to see inner states.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers.utils.generic import is_flash_attention_requested

from ..gpu import graphs
from ..gpu.graphs import graphs_of, may_use_graphs, padded_length
from .audio_encoder_qwen3_asr import AudioEncoderOutput, fixed_shapes
from .configuration_qwen3_asr import audio_token_lengths
from .packing import Packing

#: Tokens, padding included, from which on a GPU computes for longer than Python launches: about two minutes of speech.
MOST_TOKENS = 2560
#: The same for the encoder's attention windows of eight seconds.
MOST_WINDOWS = 16


def two_may_call(model) -> bool:
    """Whether two threads may call `model`, each in a stream of its own: not with hooks, which may move weights, nor
    where a call changes what the model keeps, nor under autocast, which is set for one thread."""
    rope = model.config.thinker_config.text_config.rope_parameters["rope_type"]
    autocast = torch.is_autocast_enabled(model.device.type)
    return not autocast and rope not in ("dynamic", "longrope") and graphs.fingerprint(model) is not None


def is_small(input_ids: torch.Tensor) -> bool:
    """Whether a padded batch is so small that its passes are graphs, where there are any."""
    return graphs.ENABLED and input_ids.device.type in graphs.CAPTURES and input_ids.numel() <= MOST_TOKENS


def packed_states(model, inputs_embeds: torch.Tensor, packing: Packing) -> torch.Tensor:
    """[`Qwen3ASRTextModel.forward_packed`] by a graph, where that is faster: rows padded on the right to one length.

    The model is causal, so that what is behind a row's end changes nothing in it.
    """
    rows, length = len(packing.lengths), padded_length(max(packing.lengths))
    if rows * length > MOST_TOKENS or not may_use_graphs(model, inputs_embeds):
        return model.forward_packed(inputs_embeds, packing)
    device, width = inputs_embeds.device, inputs_embeds.shape[-1]
    row = torch.repeat_interleave(torch.arange(rows), torch.tensor(packing.lengths))
    places = (row * length + packing.positions).to(device)
    wanted = places if packing.kept is None else places[packing.on("kept", device)]

    def fresh():
        even = torch.arange(rows * length)
        return inputs_embeds.new_empty(rows * length, width), Packing([length] * rows, even, even % length)

    def function(states, even):
        return (model.forward_packed(states, even),)

    def fill(states, even):
        states.zero_()  # also where a longer row was: nothing times NaN is NaN
        states.index_copy_(0, places, inputs_embeds)

    key = (rows, length, device, inputs_embeds.dtype, model.config._attn_implementation)
    (states,) = graphs_of(model, "the text model").run(
        key,
        model,
        plain=lambda: (model.forward_packed(inputs_embeds, packing),),
        fresh=fresh,
        function=function,
        fill=fill,
        take=lambda states: (states[wanted],),
    )
    return states


def encoded(encoder, input_features: torch.Tensor, mask: torch.Tensor | None) -> AudioEncoderOutput:
    """The encoder's output by a graph, where that is faster: clips padded to whole attention windows."""

    def plain():
        return encoder(input_features, mask, return_dict=True)

    config = encoder.config
    window, clips, frames = config.n_window_infer, len(input_features), input_features.shape[-1]
    windows = -(-frames // window)
    shown = config.output_hidden_states or config.output_attentions
    small = 0 < clips * windows <= MOST_WINDOWS and not shown and not is_flash_attention_requested(config)
    if not small or not may_use_graphs(encoder, input_features):
        return plain()
    encoder._frame_lengths(input_features, mask)  # what is wrong with the inputs raises here
    positions = audio_token_lengths(frames, config.n_window)

    def fresh():
        features = input_features.new_empty(clips, input_features.shape[1], windows * window)
        return features, features.new_empty(clips, windows * window, dtype=torch.bool)

    def function(features, heard):
        with fixed_shapes():
            outputs = encoder(features, heard, return_dict=True)
        return outputs.last_hidden_state, outputs.unprojected

    def fill(features, heard):
        features.copy_(F.pad(input_features, (0, windows * window - frames)))
        heard.zero_()
        heard[:, :frames] = True if mask is None else mask.bool()

    def both(outputs):
        return outputs.last_hidden_state, outputs.unprojected

    key = (clips, windows, input_features.device, input_features.dtype, config._attn_implementation)
    states, unprojected = graphs_of(encoder, "the audio encoder").run(
        key,
        encoder,
        plain=lambda: both(plain()),
        fresh=fresh,
        function=function,
        fill=fill,
        take=lambda *outputs: tuple(states[:, :positions].clone() for states in outputs),
    )
    return AudioEncoderOutput(last_hidden_state=states, unprojected=unprojected)
