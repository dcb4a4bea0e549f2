"""transformers' tests of every feature extractor of sound, on ours."""

import unittest

import numpy as np
from transformers_tests.test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin

from transformers_qwen3_asr import Qwen3ASRFeatureExtractor


class FeatureExtractionTester:
    """What the mixin reads: settings, and features `(frames, feature_size)` of clips of growing length."""

    batch_size = 7
    min_seq_length = 400
    max_seq_length = 2000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)
    feature_size = 10
    padding_value = 0.0

    def prepare_feat_extract_dict(self):
        return {
            "feature_size": self.feature_size,
            "hop_length": 160,
            "chunk_length": 8,
            "padding_value": self.padding_value,
            "sampling_rate": 16000,
            "return_attention_mask": True,
        }

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        step = 0 if equal_length else self.seq_length_diff
        first = self.max_seq_length if equal_length else self.min_seq_length
        generator = np.random.default_rng(0)
        clips = [generator.random((first + i * step, self.feature_size)) for i in range(self.batch_size)]
        return clips if numpify else [clip.tolist() for clip in clips]


class FeatureExtractionTest(SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = Qwen3ASRFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = FeatureExtractionTester()
