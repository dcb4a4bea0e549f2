"""What this package takes from inside transformers, name by name.

Public names have deprecations; these can go with any version. Each stands here with its reason, found by scanning the
package, so that a new one without a line fails, and so that a version without one fails with a line that says which
it is, where it is used and what for.
"""

import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import types

import pytest
import transformers
from test_architecture import MODULES, imports_of
from tiny import tiny_config
from torch import nn

import transformers_qwen3_asr

QWEN3 = "transformers.models.qwen3.modeling_qwen3"
OMNI = "transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe"
AUTO = "transformers.models.auto"


def resolve(name):
    """The object of a dotted name. `AttributeError` or `ImportError` where there is none."""
    pieces, found = name.split("."), None
    for count in range(len(pieces), 0, -1):
        try:
            found = importlib.import_module(".".join(pieces[:count]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, pieces[count:], found)
    raise ImportError(name)


def is_internal(name):
    """Whether transformers itself does not offer what `transformers.….name` is."""
    short = name.rsplit(".", 1)[-1]
    return short.startswith("_") or not hasattr(transformers, short)


@functools.cache
def imported():
    """Internal names that the package imports, as themselves or through a module: {dotted name: modules of ours}."""
    found = {}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bound = {}  # modules of transformers by the name that they have in this file
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level:
                bound.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        names = {name for name in imports_of(path, module) if name.startswith("transformers.")}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                source = bound.get(node.value.id, "")
                if source in names and isinstance(resolve(source), types.ModuleType):
                    names.add(f"{source}.{node.attr}")
        for name in names:
            try:
                internal = is_internal(name) and not isinstance(resolve(name), types.ModuleType)
            except (AttributeError, ImportError):
                internal = True
            if internal:
                found.setdefault(name, set()).add(module)
    return found


def classes_of_ours():
    for module in MODULES:
        if module == "gpu.kernels" and importlib.util.find_spec("triton") is None:
            continue  # not everywhere, and functions only
        loaded = importlib.import_module(f"{transformers_qwen3_asr.__name__}.{module}".removesuffix(".__init__"))
        for value in vars(loaded).values():
            if isinstance(value, type) and value.__module__ == loaded.__name__:
                yield module, value


@functools.cache
def private_names():
    """Private names of transformers' objects that the package reads or overrides: {name: modules of ours}."""
    found, made, read = {}, set(), {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                made.add(node.target.id)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                made.add(node.id if isinstance(node, ast.Name) else node.attr)
            elif isinstance(node, ast.Attribute) and is_private(node.attr):
                read.setdefault(node.attr, set()).add(module)
    for module, own in classes_of_ours():
        bases = [base for base in own.__mro__ if base.__module__.split(".")[0] == "transformers"]
        # what transformers itself keeps on a class while it runs is not ours
        for name in filter(is_private, made & vars(own).keys()):
            if any(name in vars(base) for base in bases):
                found.setdefault(name, set()).add(module)
    for name in read.keys() - made - OTHERS:
        found.setdefault(name, set()).update(read[name])
    return found


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


#: Private names that are read on others' objects: Python's, argparse's, PyTorch's, liger-kernel's.
OTHERS = {
    *("_SubParsersAction", "_abc_impl", "_C", "_autograd", "_compiled_call_impl", "_modules"),
    *("_softmax_backward_data", "_int_mm", "_forward_hooks", "_forward_pre_hooks"),
    *("_patch_layer_norm_module", "_patch_rms_norm_module", "_patch_swiglu_module"),
    *("_is_amx_tile_supported", "_is_avx512_bf16_supported", "_is_mkldnn_bf16_supported"),
}

#: Internal names that are imported, and what for.
IMPORTS = {
    f"{QWEN3}.Qwen3Attention": "the text model's attention, which ours extends by packed rows",
    f"{QWEN3}.Qwen3DecoderLayer": "the text model's layer, which ours extends by packed rows",
    f"{QWEN3}.Qwen3MLP": "the text model's MLP, which ours extends by recomputation",
    f"{QWEN3}.Qwen3RMSNorm": "the text model's norm, which ours extends by recomputation",
    f"{QWEN3}.apply_rotary_pos_emb": "rotates queries and keys of packed rows",
    f"{QWEN3}.eager_attention_forward": "eager attention of packed rows",
    f"{OMNI}.Qwen3OmniMoeAudioAttention": "the encoder's attention, which ours extends by windows in one call",
    f"{OMNI}.Qwen3OmniMoeAudioEncoderLayer": "the encoder's layer, which ours extends by its dropouts",
    f"{OMNI}.SinusoidsPositionEmbedding": "the encoder's position table",
    f"{OMNI}.eager_attention_forward": "eager attention of the encoder",
    f"{AUTO}.auto_factory._LazyAutoMapping": "finds every Auto mapping that holds qwen3_asr",
    f"{AUTO}.processing_auto.PROCESSOR_MAPPING_NAMES": "where the native processor's name goes before ours",
    "transformers.pipelines.PIPELINE_REGISTRY": "registers the task forced-alignment",
    "transformers.pipelines.pt_utils.PipelineDataset": "rows of the alignment pipeline's batches",
    "transformers.pipelines.pt_utils.PipelineIterator": "rows of the alignment pipeline's batches",
    "transformers.activations.ACT2FN": "activations by their names in a config",
    "transformers.initialization.copy_": "fills the position table after a start on meta",
    "transformers.modeling_outputs.BaseModelOutput": "the encoder's output",
    "transformers.modeling_outputs.BaseModelOutputWithPast": "the thinker's output; its fields tell the cache's name",
    "transformers.modeling_outputs.BaseModelOutputWithPooling": "the output of get_audio_features",
    "transformers.modeling_outputs.CausalLMOutputWithPast": "the ASR models' output",
    "transformers.modeling_outputs.TokenClassifierOutput": "the aligners' output",
    "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS": "attention by its name in a config",
    "transformers.modeling_utils.load_state_dict": "reads pickled weights, to look at them before they are used",
    "transformers.integrations.get_reporting_integration_callbacks": "asks whether --report-to has its package",
    "transformers.utils.can_return_tuple": "return_dict of forward passes",
    "transformers.utils.generic.is_flash_attention_requested": "asks whether windows go to a flash kernel",
    "transformers.quantizers.base.HfQuantizer": "puts int8 layers into a model that is loaded",
    "transformers.quantizers.auto.AUTO_QUANTIZER_MAPPING": "finds our quantiser by its config's name",
    "transformers.quantizers.auto.AUTO_QUANTIZATION_CONFIG_MAPPING": "reads our quantisation config by its name",
    "transformers.utils.quantization_config.QuantizationConfigMixin": "the int8 config, as transformers accepts one",
    "transformers.utils.logging.get_logger": "says once which dtype was chosen",
    "transformers.utils.logging.disable_progress_bar": "quiet loading in the commands",
}

MODEL, PIPELINE, PROCESSOR = "transformers.PreTrainedModel", "transformers.Pipeline", "transformers.ProcessorMixin"
#: Private names that are read or overridden, whose they are, and what for.
PRIVATE = {
    "_attn_implementation": ("transformers.PreTrainedConfig", "reads and sets attention by part"),
    "_can_compile_fullgraph": (MODEL, "says that static caches may be compiled"),
    "_from_config": (MODEL, "makes the parts"),
    "_init_weights": (MODEL, "fills the position table after a start on meta"),
    "_keys_to_ignore_on_load_unexpected": (MODEL, "lets parts be loaded from whole checkpoints"),
    "_no_split_modules": (MODEL, "keeps layers whole in device maps"),
    "_skip_keys_device_placement": (MODEL, "keeps caches and packings where they are in device maps"),
    "_supports_attention_backend": (MODEL, "lets attention be chosen"),
    "_supports_flash_attn": (MODEL, "lets flash attention be chosen"),
    "_supports_sdpa": (MODEL, "lets sdpa be chosen"),
    "_tied_weights_keys": (MODEL, "ties the ASR models' head to the embedding"),
    "_tp_plan": (MODEL, "splits the ASR models' head in tensor parallel"),
    "_extra_content": (f"{AUTO}.processing_auto.PROCESSOR_MAPPING", "takes an earlier registration out"),
    "_model_mapping": (f"{AUTO}.modeling_auto.MODEL_MAPPING", "asks whether a mapping holds qwen3_asr"),
    "_ensure_tensor_on_device": (PIPELINE, "leaves a pipeline's items where they are"),
    "_forward": (PIPELINE, "a pipeline's pass"),
    "_load_feature_extractor": (PIPELINE, "says that there is no extractor beside the processor"),
    "_load_image_processor": (PIPELINE, "says that there is no image processor"),
    "_load_processor": (PIPELINE, "has pipeline() load the processor"),
    "_load_tokenizer": (PIPELINE, "says that there is no tokenizer beside the processor"),
    "_load_video_processor": (PIPELINE, "says that there is no video processor"),
    "_sanitize_parameters": (PIPELINE, "sorts a call's options"),
    "_get_arguments_from_pretrained": (PROCESSOR, "loads our extractor whatever class the files name"),
    "_process_model_before_weight_loading": ("transformers.quantizers.base.HfQuantizer", "makes room for int8 layers"),
    "_process_model_after_weight_loading": ("transformers.quantizers.base.HfQuantizer", "packs int8 layers"),
    "_process_audio": (PROCESSOR, "makes features and replacements of a recording"),
    "_set_processor_class": ("transformers.PreTrainedTokenizerBase", "names the processor in the tokenizer's files"),
}
#: The same, of what a pipeline's constructor sets.
PIPELINE_FIELDS = {
    "_batch_size": "batch_size that pipeline() was given",
    "_num_workers": "num_workers that pipeline() was given",
    "_preprocess_params": "options that pipeline() was given",
    "_forward_params": "options that pipeline() was given",
    "_postprocess_params": "options that pipeline() was given",
}


def gone(name, modules, why):
    used = ", ".join(sorted(modules)) or "nothing"
    return f"transformers {transformers.__version__} has no {name} any more: {used} needs it, {why}"


def test_every_internal_name_has_a_line_here():
    missing = {name: sorted(modules) for name, modules in imported().items() if name not in IMPORTS}
    assert not missing, f"imported from inside transformers without a line in IMPORTS: {missing}"
    known = PRIVATE.keys() | PIPELINE_FIELDS.keys()
    missing = {name: sorted(modules) for name, modules in private_names().items() if name not in known | OTHERS}
    assert not missing, f"private names of transformers without a line in PRIVATE: {missing}"


def test_every_line_here_is_needed():
    assert IMPORTS.keys() <= imported().keys(), f"imported nowhere: {sorted(IMPORTS.keys() - imported().keys())}"
    unused = (PRIVATE.keys() | PIPELINE_FIELDS.keys()) - private_names().keys()
    assert not unused, f"used nowhere: {sorted(unused)}"


def test_the_scan_sees_what_is_there():
    """So that the tests above cannot pass by seeing nothing."""
    assert "registration" in imported()[f"{AUTO}.processing_auto.PROCESSOR_MAPPING_NAMES"]
    assert "models.text_model_qwen3_asr" in imported()[f"{QWEN3}.Qwen3Attention"]
    assert private_names()["_model_mapping"] == {"registration"}
    assert private_names()["_init_weights"] == {"models.thinker_qwen3_asr"}
    with pytest.raises((AttributeError, ImportError)):
        resolve(f"{QWEN3}.NoSuchName")


@pytest.mark.parametrize("name", IMPORTS)
def test_what_is_imported_is_there(name):
    try:
        resolve(name)
    except (AttributeError, ImportError):
        pytest.fail(gone(name, imported()[name], IMPORTS[name]), pytrace=False)


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_private_is_there(name):
    owner, why = PRIVATE[name]
    if not hasattr(resolve(owner), name):
        pytest.fail(gone(f"{owner}.{name}", private_names()[name], why), pytrace=False)


@pytest.mark.parametrize("name", PIPELINE_FIELDS)
def test_what_a_pipeline_keeps_is_there(name):
    if f"self.{name}" not in inspect.getsource(transformers.Pipeline):
        message = gone(f"Pipeline().{name}", private_names()[name], PIPELINE_FIELDS[name])
        pytest.fail(message, pytrace=False)


@functools.cache
def native_text_model():
    return transformers.Qwen3Model(transformers.Qwen3Config(**tiny_config().thinker_config.text_config.to_dict()))


#: Parts of the library's layers that ours call by name: class -> (attributes of one, what for).
LAYERS = {
    "Qwen3Model": ("embed_tokens layers norm rotary_emb", "text_model_qwen3_asr, thinker_qwen3_asr"),
    "Qwen3DecoderLayer": ("self_attn mlp input_layernorm post_attention_layernorm", "models.text_model_qwen3_asr"),
    "Qwen3Attention": (
        "q_proj k_proj v_proj o_proj q_norm k_norm head_dim scaling attention_dropout layer_idx config is_causal "
        "num_key_value_groups",
        "text_model_qwen3_asr, packing",
    ),
    "Qwen3MLP": ("gate_proj up_proj down_proj config", "models.text_model_qwen3_asr"),
    "Qwen3RMSNorm": ("weight variance_epsilon", "models.text_model_qwen3_asr"),
}
ENCODER_LAYERS = {
    "Qwen3OmniMoeAudioAttention": (
        "q_proj k_proj v_proj out_proj num_heads head_dim scaling num_key_value_groups config",
        "models.audio_encoder_qwen3_asr",
    ),
    "Qwen3OmniMoeAudioEncoderLayer": (
        "self_attn self_attn_layer_norm final_layer_norm fc1 fc2 activation_fn dropout activation_dropout",
        "models.audio_encoder_qwen3_asr",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_text_model_is_made_of_what_ours_replaces(name):
    attributes, modules = LAYERS[name]
    found = [module for module in native_text_model().modules() if type(module).__name__ == name]
    assert found, gone(f"{QWEN3}.{name} in a Qwen3Model", {modules}, "which takes its place")
    for attribute in attributes.split():
        assert hasattr(found[0], attribute), gone(f"{QWEN3}.{name}().{attribute}", {modules}, "which calls it")


@pytest.mark.parametrize("name", ENCODER_LAYERS)
def test_the_encoder_s_layers_have_what_ours_call(name):
    attributes, modules = ENCODER_LAYERS[name]
    layer = resolve(f"{OMNI}.{name}")(tiny_config().thinker_config.audio_config)
    for attribute in attributes.split():
        assert hasattr(layer, attribute), gone(f"{OMNI}.{name}().{attribute}", {modules}, "which calls it")


def test_the_feature_extractor_has_what_ours_reads():
    extractor = transformers.WhisperFeatureExtractor()
    for attribute in (
        "mel_filters",
        "hop_length",
        "n_fft",
        "sampling_rate",
        "feature_size",
        "padding_value",
        "dither",
    ):
        name = f"WhisperFeatureExtractor().{attribute}"
        assert hasattr(extractor, attribute), gone(name, {"processing.feature_extraction_qwen3_asr"}, "which reads it")


def test_the_position_table_can_be_filled_again():
    table = resolve(f"{OMNI}.SinusoidsPositionEmbedding")(8, 4)
    for attribute in ("positional_embedding", "compute_default_singular_positional_embedding"):
        name = f"{OMNI}.SinusoidsPositionEmbedding().{attribute}"
        assert hasattr(table, attribute), gone(
            name, {"models.thinker_qwen3_asr"}, "which fills it after a start on meta"
        )
    assert isinstance(table, nn.Module) and table(3).shape == (3, 4)


@pytest.mark.parametrize(
    ("function", "parameter", "modules"),
    [
        (
            "transformers.GenerationMixin.prepare_inputs_for_generation",
            "is_first_iteration",
            "models.modeling_qwen3_asr",
        ),
        ("transformers.GenerationMixin.prepare_inputs_for_generation", "inputs_embeds", "models.modeling_qwen3_asr"),
        ("transformers.loss.loss_utils.ForCausalLMLoss", "shift_labels", "models.modeling_qwen3_asr"),
        ("transformers.loss.loss_utils.ForCausalLMLoss", "num_items_in_batch", "models.modeling_qwen3_asr"),
        (f"{QWEN3}.Qwen3Attention.forward", "position_embeddings", "models.text_model_qwen3_asr"),
        (f"{QWEN3}.Qwen3Model.forward", "inputs_embeds", "models.text_model_qwen3_asr"),
    ],
)
def test_functions_take_what_they_are_given(function, parameter, modules):
    known = inspect.signature(resolve(function)).parameters
    assert parameter in known, gone(f"{function}({parameter}=)", {modules}, "which gives it")


def test_registries_look_as_registration_expects():
    tasks = resolve("transformers.pipelines.PIPELINE_REGISTRY").supported_tasks
    assert all("impl" in task for task in tasks.values()), gone(
        "supported_tasks[…]['impl']", {"registration"}, "to ask"
    )
    names = resolve(f"{AUTO}.processing_auto.PROCESSOR_MAPPING_NAMES")
    assert hasattr(names, "pop"), gone("PROCESSOR_MAPPING_NAMES.pop", {"registration"}, "to take the native name out")
    assert transformers_qwen3_asr.registration.model_mappings(), gone(
        "an Auto mapping with qwen3_asr", {"registration"}, "to put ours in"
    )


def test_outputs_have_the_fields_that_are_filled():
    wanted = {
        "BaseModelOutput": "last_hidden_state hidden_states attentions",
        "BaseModelOutputWithPooling": "last_hidden_state pooler_output hidden_states attentions",
        "CausalLMOutputWithPast": "loss logits hidden_states attentions",
        "TokenClassifierOutput": "loss logits hidden_states attentions",
    }
    for name, fields in wanted.items():
        known = {field.name for field in dataclasses.fields(resolve(f"transformers.modeling_outputs.{name}"))}
        for field in fields.split():
            assert field in known, gone(f"{name}.{field}", {"models.modeling_qwen3_asr"}, "which fills it")
