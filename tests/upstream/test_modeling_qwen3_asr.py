"""transformers' tests of every model, on ours."""

import unittest

import testers
from transformers_tests.generation.test_utils import GenerationTesterMixin
from transformers_tests.test_modeling_common import ModelTesterMixin

import transformers_qwen3_asr as ours


class _Common(ModelTesterMixin):
    builder: type[testers.ModelTester]
    # features of all clips one behind the other, as of transformers' own class: no dimension is the batch
    skip_test_audio_features_output_shape = True

    def setUp(self):
        self.model_tester = self.builder(self)


class AlignerModelTest(_Common, unittest.TestCase):
    builder = testers.AlignerTester
    all_model_classes = (ours.Qwen3ASRForTokenClassification,)
    _is_composite = True


class RecogniserModelTest(_Common, GenerationTesterMixin, unittest.TestCase):
    builder = testers.ModelTester
    all_model_classes = (ours.Qwen3ASRForConditionalGeneration,)
    _is_composite = True


class ThinkerModelTest(_Common, unittest.TestCase):
    builder = testers.ThinkerTester
    all_model_classes = (ours.Qwen3ASRThinkerModel,)
    _is_composite = True


class EncoderModelTest(_Common, unittest.TestCase):
    builder = testers.EncoderTester
    all_model_classes = (ours.Qwen3ASRAudioEncoder,)
    test_resize_embeddings = False


class TextModelTest(_Common, unittest.TestCase):
    builder = testers.TextTester
    all_model_classes = (ours.Qwen3ASRTextModel,)
