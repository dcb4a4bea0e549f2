"""The tiny models and inputs that transformers' mixins ask for, in the shape they ask for them."""

from __future__ import annotations

import torch
from tiny import tiny_config

from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths

# ids that stay in the vocabulary when a test makes it smaller
PAD, AUDIO, TIMESTAMP = 0, 3, 4
FRAMES = 100


class ModelTester:
    """A nested model: audio and text. The mixins read its attributes."""

    batch_size = 3
    words = 4
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4
    is_training = True
    classes: int | None = None

    def __init__(self, parent):
        self.parent = parent
        self.audio_tokens = audio_token_lengths(FRAMES)
        self.seq_length = 2 + self.audio_tokens + 3 * self.words

    def get_config(self):
        top = {} if self.classes is None else {"timestamp_token_id": TIMESTAMP}
        config = tiny_config(classes=self.classes, text={"pad_token_id": PAD}, **top)
        config.thinker_config.audio_token_id = AUDIO
        return config

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        thinker = getattr(config, "thinker_config", config)
        word = torch.randint(5, thinker.text_config.vocab_size, (self.batch_size, self.words, 1))
        slots = torch.full((self.batch_size, self.words, 2), TIMESTAMP)
        edge = torch.full((self.batch_size, 1), 5)
        audio = torch.full((self.batch_size, self.audio_tokens), AUDIO)
        input_ids = torch.cat((edge, audio, edge, torch.cat((word, slots), -1).flatten(1)), -1)
        inputs = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "input_features": torch.randn(self.batch_size, thinker.audio_config.num_mel_bins, FRAMES),
            "input_features_mask": torch.ones(self.batch_size, FRAMES, dtype=torch.long),
        }
        return config, inputs


class AlignerTester(ModelTester):
    classes = 50


class ThinkerTester(ModelTester):
    is_training = False  # no head, no loss

    def get_config(self):
        return super().get_config().thinker_config


class EncoderTester(ModelTester):
    """Features alone. A clip is one window, so that attention weights have a row for each clip."""

    is_training = False

    def __init__(self, parent):
        super().__init__(parent)
        self.seq_length = self.encoder_seq_length = self.audio_tokens

    def get_config(self):
        return super().get_config().thinker_config.audio_config

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        features = torch.randn(self.batch_size, config.num_mel_bins, FRAMES)
        return config, {"input_features": features}


class TextTester(ModelTester):
    """Tokens alone."""

    is_training = False

    def get_config(self):
        return super().get_config().thinker_config.text_config

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(5, config.vocab_size, (self.batch_size, self.seq_length))
        return config, {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
