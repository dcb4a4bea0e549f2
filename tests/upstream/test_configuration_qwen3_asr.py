"""transformers' tests of every configuration, on ours."""

import unittest

import testers
from transformers_tests.test_configuration_common import ConfigTester

import transformers_qwen3_asr as ours


class _Config:
    config_class = None
    builder = testers.ModelTester
    has_text_modality = False
    common_properties: tuple[str, ...] | None = None

    def config_tester(self):
        self.model_tester = self.builder(self)
        common = None if self.common_properties is None else list(self.common_properties)
        return ConfigTester(
            self,
            config_class=self.config_class,
            has_text_modality=self.has_text_modality,
            common_properties=common,
        )

    def test_common_properties(self):
        self.config_tester().create_and_test_config_common_properties()

    def test_to_json_string(self):
        self.config_tester().create_and_test_config_to_json_string()

    def test_to_json_file(self):
        self.config_tester().create_and_test_config_to_json_file()

    def test_from_and_save_pretrained(self):
        self.config_tester().create_and_test_config_from_and_save_pretrained()

    def test_from_and_save_pretrained_subfolder(self):
        self.config_tester().create_and_test_config_from_and_save_pretrained_subfolder()

    def test_from_and_save_pretrained_composite(self):
        self.config_tester().create_and_test_config_from_and_save_pretrained_composite()

    def test_with_num_labels(self):
        self.config_tester().create_and_test_config_with_num_labels()

    def test_arguments_init(self):
        self.config_tester().check_config_arguments_init()

    def test_from_pretrained_custom_kwargs(self):
        self.config_tester().create_and_test_config_from_pretrained_custom_kwargs()

    def test_init_without_params(self):
        self.config_tester().check_config_can_be_init_without_params()


class ConfigTest(_Config, unittest.TestCase):
    config_class = ours.Qwen3ASRConfig
    common_properties = ("thinker_config", "audio_token_id", "initializer_range", "tie_word_embeddings")


class ThinkerConfigTest(_Config, unittest.TestCase):
    config_class = ours.Qwen3ASRThinkerConfig
    builder = testers.ThinkerTester
    common_properties = ("audio_config", "text_config", "audio_token_id", "initializer_range")


class EncoderConfigTest(_Config, unittest.TestCase):
    config_class = ours.Qwen3ASRAudioEncoderConfig
    builder = testers.EncoderTester


class TextConfigTest(_Config, unittest.TestCase):
    config_class = ours.Qwen3ASRTextConfig
    builder = testers.TextTester
    has_text_modality = True
