"""transformers' tests of every processor, on ours: with the bundled aligner's, and as an ASR model's."""

import unittest

from transformers_tests.test_processing_common import ProcessorTesterMixin

from transformers_qwen3_asr import Qwen3ASRProcessor, bundled_model
from transformers_qwen3_asr.processing.chat_templates import HF_ASR


class AlignerProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = Qwen3ASRProcessor
    model_id = str(bundled_model("tiny-en"))


class RecogniserProcessorTest(AlignerProcessorTest):
    @staticmethod
    def prepare_processor_dict():
        return {"chat_template": HF_ASR}
