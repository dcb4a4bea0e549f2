"""Where our classes do not do what transformers' tests expect, each with its reason.

Strict both ways: a test that is listed must fail, one that is not must pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import transformers
from packaging.specifiers import SpecifierSet


@dataclass(frozen=True)
class Difference:
    """Tests of some of our test classes that fail, and why."""

    test: str  # a test's name; * stands for any part of a parametrised one
    classes: tuple[str, ...]
    reason: str
    versions: str = ""  # of transformers, as pip writes them; empty for all

    def matches(self, class_name: str, test: str) -> bool:
        return class_name in self.classes and fnmatchcase(test, self.test)

    @property
    def current(self) -> bool:
        return SpecifierSet(self.versions).contains(transformers.__version__, prereleases=True)


COMPOSITE = ("AlignerModelTest", "RecogniserModelTest", "ThinkerModelTest")
HEADED = ("AlignerModelTest", "RecogniserModelTest")
MODELS = (*COMPOSITE, "EncoderModelTest", "TextModelTest")
PROCESSORS = ("AlignerProcessorTest", "RecogniserProcessorTest")
CONFIGS = ("ConfigTest", "ThinkerConfigTest", "EncoderConfigTest", "TextConfigTest")

DIFFERENCES: tuple[Difference, ...] = (
    # on purpose
    Difference(
        "test_model_weights_reload_no_missing_tied_weights",
        MODELS,
        "it loads a file without the model's tensors and looks at what is then new; here that is an error",
    ),
    Difference(
        "test_with_num_labels",
        CONFIGS,
        "classes are times: they have a number, classify_num, and no names",
    ),
    Difference(
        "test_from_and_save_pretrained_composite",
        ("ConfigTest",),
        "inside a published config.json the thinker carries a model_type and architectures that it has not by itself",
    ),
    Difference(
        "test_feat_extract_to_json_string",
        ("FeatureExtractionTest",),
        "the published preprocessor_config.json leaves out values that are the default, and so does ours",
    ),
    Difference(
        "test_chat_template_save_loading",
        PROCESSORS,
        "the template is saved as the published chat_template.json, which qwen-asr reads, not as .jinja",
    ),
    Difference(
        "test_model_get_set_embeddings",
        ("EncoderModelTest",),
        "an encoder of sound has no embedding of tokens; its first convolution stands in for it, as in transformers",
    ),
    Difference(
        "test_bc_cache_name_forward",
        COMPOSITE,
        "the cache's older name is taken without a warning: it is the one of the oldest transformers supported",
        ">=5.24",
    ),
    # to be mended
    Difference(
        "test_eager_matches_sdpa_inference_24_fp32_pad_left_output_attentions",
        ("EncoderModelTest",),
        "output_attentions without the eager implementation is an error",
    ),
    Difference("test_model_outputs_equivalence", ("EncoderModelTest",), "output_attentions needs eager attention"),
    Difference(
        "test_apply_chat_template_audio_*",
        PROCESSORS,
        "arrays of numpy are refused, as by transformers' own processor, and so are arguments for videos",
    ),
    Difference(
        "test_apply_chat_template_assistant_mask",
        PROCESSORS,
        "refused with 5.17, which would mark other tokens: it does not count what an audio token is expanded to",
        "<5.18",
    ),
    Difference(
        "test_processor_from_and_save_pretrained*",
        PROCESSORS,
        "it wants JSON files indented, and the published chat_template.json, which ours equals, is one line",
    ),
    Difference(
        "test_processor_from_pretrained_vs_from_components",
        PROCESSORS,
        "the milliseconds of a class are the processor's own argument, which the test does not hand on",
    ),
    Difference(
        "test_replacement_offsets",
        PROCESSORS,
        "it looks for a method of transformers' base class in the class above ours, which is a mixin of ours",
        ">=5.23",
    ),
    Difference(
        "test_if_input_has_mismatching_tokens_and_mm_data",  # it asks what has annotations, as ours now has
        PROCESSORS,
        "it looks for a method of transformers' base class in the class above ours, which is a mixin of ours",
        ">=5.24",
    ),
    Difference(
        "test_subprocessor_defaults_3_audio",
        PROCESSORS,
        "it calls the extractor with the processor's n_window, which ours knows since it was made; the processor also "
        "fills features up to whole chunks",
    ),
)


def current() -> list[Difference]:
    """Those of the installed version."""
    return [difference for difference in DIFFERENCES if difference.current]


def of(class_name: str, test: str) -> list[Difference]:
    return [difference for difference in current() if difference.matches(class_name, test)]
