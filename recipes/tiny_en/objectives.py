"""What is learned beside the aligner's own loss: phonemes and text pieces in audio, where a slot should look."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

PHONES_A_POSITION = 4  # an audio position lasts 80 ms; its phonemes are asked every 20 ms
FAMILIES = ("espeak", "flite")  # the engines name phonemes in two ways; festival's names are flite's


class PhonemeHead(nn.Module):
    """Classifies the phonemes of each audio position; thrown away after the encoder's training.

    Args:
        width: of the encoder's output.
        sizes: number of phoneme names of each family.
    """

    def __init__(self, width: int, sizes: list[int]):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList([nn.Linear(width, PHONES_A_POSITION * size) for size in sizes])

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, family: torch.Tensor):
        """
        Args:
            hidden: `(clips, positions, width)`.
            targets: `(clips, positions, PHONES_A_POSITION)`, -100 where there is no audio.
            family: `(clips,)` index into FAMILIES.

        Returns: loss and share of right answers.
        """
        hidden = self.norm(hidden.float())
        # nothing, but of every weight: distributed training waits for all gradients
        total = 0.0 * sum(weight.sum() for weight in self.parameters())
        right, count = 0, 0
        for index, head in enumerate(self.heads):
            rows = family == index
            if not rows.any():
                continue
            logits = head(hidden[rows]).unflatten(-1, (PHONES_A_POSITION, -1))
            wanted = targets[rows]
            keep = wanted != -100
            logits, wanted = logits[keep], wanted[keep]
            total = total + F.cross_entropy(logits.float(), wanted, reduction="sum")
            right += int((logits.argmax(-1) == wanted).sum())
            count += len(wanted)
        return total / max(count, 1), right / max(count, 1)


class Pointer:
    """Guided attention: one head of one text layer is asked to look, from each slot, at the audio that it is about.

    The head's queries and keys are recomputed from the layer's input, which a hook notes down; the model itself stays
    as it is.
    """

    def __init__(self, text_model, layer: int):
        self.layer = layer
        self.attention = text_model.layers[layer].self_attn
        self.inputs = None
        self.attention.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module, args, kwargs):
        hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        self.inputs = (hidden, kwargs["position_embeddings"])

    def loss(self, targets: torch.Tensor, audio: torch.Tensor) -> tuple[torch.Tensor, float | None]:
        """
        Args:
            targets: `(batch, length)` index of the audio position a slot is about, -1 off the slots.
            audio: `(batch, length)`, true at audio positions, which stand at 1, 2, ... in every row.

        Returns: cross-entropy of the head's attention among audio positions, and the share that looks right; zero, and
        no share, where no slot is about anything.
        """
        hidden, (cos, sin) = self.inputs
        self.inputs = None
        attention = self.attention
        size = attention.head_dim
        shape = (*hidden.shape[:2], 1, size)
        query = attention.q_norm(F.linear(hidden, attention.q_proj.weight[:size]).view(shape)).transpose(1, 2)
        key = attention.k_norm(F.linear(hidden, attention.k_proj.weight[:size]).view(shape)).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        last = int(audio.sum(1).max())
        scores = (query[:, 0] @ key[:, 0, 1 : last + 1].transpose(1, 2)).float() * attention.scaling
        scores = scores.masked_fill(~audio[:, None, 1 : last + 1], -1e4)
        slots = targets >= 0
        if not slots.any():
            return 0.0 * scores.sum(), None
        scores, wanted = scores[slots], targets[slots]
        return F.cross_entropy(scores, wanted), float((scores.argmax(-1) == wanted).float().mean())


class Lexicon:
    """Audio positions are classified into the text pieces spoken there, with the text model's embeddings as classes.

    So audio and text come to speak the same language, and a slot finds its word by likeness. Nothing is added to the
    model; a hook notes down what the encoder gives.
    """

    SCALE = 16.0  # of cosines, which are at most 1

    def __init__(self, thinker):
        self.table = thinker.model.embed_tokens
        self.heard = None
        thinker.audio_tower.register_forward_hook(self._note)

    def _note(self, module, args, output):
        self.heard = output.last_hidden_state

    def loss(self, spoken: torch.Tensor) -> tuple[torch.Tensor, float]:
        """
        Args:
            spoken: `(clips, positions)` token ids, -100 behind a clip's end.

        Returns: cross-entropy over the vocabulary, and the share of right pieces.
        """
        heard = self.heard
        keep = spoken != -100
        heard, wanted = heard[keep].float(), spoken[keep]
        scores = self.SCALE * F.normalize(heard, dim=-1) @ F.normalize(self.table.weight.float(), dim=-1).T
        return F.cross_entropy(scores, wanted), float((scores.argmax(-1) == wanted).float().mean())


def smooth_cross_entropy(
    logits: torch.Tensor, places: torch.Tensor, weights: torch.Tensor | None = None, width: float = 0.7
) -> torch.Tensor:
    """
    Cross-entropy against a bell over the classes around the exact time, so that near classes learn from each other.

    Args:
        logits: `(slots, classes)`.
        places: `(slots,)` exact times, in classes: 3.5 lies half way between class 3 and class 4.
        weights: `(slots,)`, what each slot counts; all the same without it.
        width: standard deviation of the bell, in classes.
    """
    near = places.round().long()[:, None] + torch.arange(-3, 4)
    inside = (near >= 0) & (near < logits.shape[-1])
    bell = torch.exp(-0.5 * ((near - places[:, None]) / width) ** 2) * inside
    bell = bell / bell.sum(-1, keepdim=True)
    scores = logits.float().log_softmax(-1).gather(-1, near.clamp(0, logits.shape[-1] - 1))
    losses = -(bell * scores).sum(-1)
    # a batch may have nothing but transcripts of other clips
    return losses.mean() if weights is None else (weights * losses).sum() / weights.sum().clamp(min=1)


def doubt(logits: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """
    How far the scores of words that are not said are from saying nothing: the mean of the Kullback-Leibler divergence
    from the same probability for all classes of the clip, in nats. Scores of wrong words stay low by it (Hendrycks,
    Mazeika and Dietterich 2019, "Deep Anomaly Detection with Outlier Exposure").

    Args:
        logits: `(slots, classes)`.
        last: `(slots,)`, the last class of the slot's clip.
    """
    inside = torch.arange(logits.shape[-1]) <= last[:, None]
    count = inside.sum(-1)
    return (-(logits.float().log_softmax(-1) * inside).sum(-1) / count - count.log()).mean()
