"""conversion/: both directions, strictness, shards, memory, the command, and the three published models' files."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from transformers.models.qwen3_asr import modeling_qwen3_asr as native

from transformers_qwen3_asr import Qwen3ASRConfig
from transformers_qwen3_asr.checkpoints.published import to_hf_name, to_published_name

sys.path.insert(0, str(ROOT))  # conversion/ is a tool beside the package, not installed with it

from conversion import side_files
from conversion.__main__ import main, parse_size
from conversion.configs import to_hf_config, to_published_config
from conversion.convert import expected_tensors, to_hf, to_published
from conversion.verify import compare, verify
from conversion.weights import INDEX, Entry, TensorFolder, file_size

GOLDENS = ROOT / "tests" / "goldens"
SHARED = ROOT.parent / "shared"
MODELS = ("Qwen3-ForcedAligner-0.6B", "Qwen3-ASR-0.6B", "Qwen3-ASR-1.7B")
HEAD, EMBEDDING = "thinker.lm_head.weight", "thinker.model.embed_tokens.weight"

needs_checkpoints = pytest.mark.skipif(
    not (SHARED / "checkpoints").is_dir(), reason="../shared/checkpoints (the published models' files) is not here"
)


def golden(kind, target):
    """A copy of a golden checkpoint, to be changed."""
    shutil.copytree(GOLDENS / kind, target, ignore=shutil.ignore_patterns("expected.*"))
    return target


def json_of(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["aligner", "asr"])
def round_trip(request, tmp_path_factory):
    """(kind, the -hf folder, the published folder made from it again)."""
    folder = tmp_path_factory.mktemp(request.param)
    to_hf(GOLDENS / request.param, folder / "hf")
    to_published(folder / "hf", folder / "back")
    return request.param, folder / "hf", folder / "back"


def test_there_and_back_is_the_same_checkpoint(round_trip):
    kind, _, back = round_trip
    source = GOLDENS / kind
    for name in ("model.safetensors", "vocab.json", "merges.txt"):
        assert (back / name).read_bytes() == (source / name).read_bytes(), name
    for name in ("preprocessor_config.json", "generation_config.json", "tokenizer_config.json", "config.json"):
        found, expected = json_of(back / name), json_of(source / name)
        if name == "config.json":  # a -hf config has no mRoPE sections; how the equal axes are cut does not matter
            for config in (found, expected):
                assert sum(config["thinker_config"]["text_config"]["rope_scaling"].pop("mrope_section")) == 12
        if name == "tokenizer_config.json":  # listed in the published order, among more tokens
            for config in (found, expected):
                config["additional_special_tokens"].sort()
        if name == "generation_config.json" and kind == "asr":
            assert found.pop("temperature") == 1e-6  # the goldens leave it out
        assert found == expected, name
    if kind == "asr":  # a template of one's own stays; an aligner's is the published one
        assert json_of(back / "chat_template.json") == json_of(source / "chat_template.json")


def test_how_long_a_recording_is_aligned_in_one_piece_is_kept(tmp_path):
    source = golden("aligner", tmp_path / "source")
    config = json_of(source / "config.json")
    (source / "config.json").write_text(json.dumps({**config, "max_align_seconds": 12.5}), encoding="utf-8")
    to_hf(source, tmp_path / "hf")
    to_published(tmp_path / "hf", tmp_path / "back")
    for folder in ("hf", "back"):
        assert json_of(tmp_path / folder / "config.json")["max_align_seconds"] == 12.5
        assert Qwen3ASRConfig.from_pretrained(tmp_path / folder).align_seconds == 12.5


def test_the_native_class_takes_the_hf_folder_whole(round_trip):
    kind, hf, _ = round_trip
    name = "Qwen3ASRForTokenClassification" if kind == "aligner" else "Qwen3ASRForConditionalGeneration"
    model, info = getattr(native, name).from_pretrained(hf, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    stored = load_file(GOLDENS / kind / "model.safetensors")
    for parameter, value in model.state_dict().items():
        assert torch.equal(value, stored[to_published_name(parameter)]), parameter


def test_verify_compares_logits(round_trip, tmp_path):
    kind, hf, back = round_trip
    comparison = verify(back, hf)
    assert comparison.difference < 1e-4 and comparison.largest > 1
    broken = golden(kind, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    state["thinker.audio_tower.proj1.bias"] += 0.5
    save_file(state, broken / "model.safetensors", metadata={"format": "pt"})
    assert compare(broken, hf).difference > 1e-2
    with pytest.raises(ValueError, match="do not compute the same"):
        verify(broken, hf)


def test_shards_in_and_out(round_trip, tmp_path):
    kind, hf, _ = round_trip
    report = to_published(hf, tmp_path / "shards", max_shard_size=60_000)
    assert len(report.files) > 3
    assert all(path.stat().st_size < 80_000 for path in report.files)
    index = json_of(tmp_path / "shards" / INDEX)
    stored = load_file(GOLDENS / kind / "model.safetensors")
    assert set(index["weight_map"]) == set(stored)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in stored.values())
    to_hf(tmp_path / "shards", tmp_path / "one")
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (hf / "model.safetensors").read_bytes()

    report.files[0].unlink()
    with pytest.raises(ValueError, match=report.files[0].name):
        to_hf(tmp_path / "shards", tmp_path / "two")


def change(folder, edit):
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.pop("thinker.model.norm.weight"), r"missing: thinker\.model\.norm\.weight"),
        (lambda s: s.pop(HEAD), r"missing: thinker\.lm_head\.weight"),
        (lambda s: s.update({"thinker.extra": torch.zeros(1)}), r"unexpected: thinker\.extra"),
        (lambda s: s.update({"thinker.model.norm.weight": torch.zeros(3)}), r"thinker\.model\.norm\.weight is \[3\]"),
    ],
)
def test_to_hf_is_strict(tmp_path, edit, message):
    source = golden("aligner", tmp_path / "source")
    change(source, edit)
    with pytest.raises(ValueError, match=message):
        to_hf(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()  # checked before anything is written


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.pop("score.weight"), r"missing: score\.weight"),
        (lambda s: s.update({"model.extra": torch.zeros(1)}), r"unexpected: model\.extra"),
        (lambda s: s.update({"score.weight": torch.zeros(3, 40)}), r"score\.weight is \[3, 40\], not \[250, 40\]"),
    ],
)
def test_to_published_is_strict(tmp_path, edit, message):
    to_hf(GOLDENS / "aligner", tmp_path / "source")
    change(tmp_path / "source", edit)
    with pytest.raises(ValueError, match=message):
        to_published(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_parts_of_a_whole_omni_checkpoint_are_skipped(tmp_path):
    source = golden("aligner", tmp_path / "source")
    change(source, lambda s: s.update({"talker.a": torch.zeros(2), "code2wav.b": torch.zeros(2)}))
    report = to_hf(source, tmp_path / "target")
    assert sorted(report.skipped) == ["code2wav.b", "talker.a"]
    assert not any("talker" in name or "code2wav" in name for name in load_file(tmp_path / "target/model.safetensors"))


def test_a_tied_head_is_checked_left_out_and_written_again(tmp_path):
    source = golden("asr", tmp_path / "source")
    to_hf(source, tmp_path / "hf")
    names = set(load_file(tmp_path / "hf" / "model.safetensors"))
    assert "lm_head.weight" not in names and "model.language_model.embed_tokens.weight" in names
    to_published(tmp_path / "hf", tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert torch.equal(back[HEAD], back[EMBEDDING])

    change(source, lambda s: s.pop(HEAD))  # as transformers saves tied weights
    to_hf(source, tmp_path / "hf2")
    assert (tmp_path / "hf2/model.safetensors").read_bytes() == (tmp_path / "hf/model.safetensors").read_bytes()

    change(source, lambda s: s.update({HEAD: s[EMBEDDING] + 1}))
    with pytest.raises(ValueError, match=r"thinker\.lm_head\.weight differs from thinker\.model\.embed_tokens"):
        to_hf(source, tmp_path / "hf3")


def test_an_untied_head_is_kept_both_ways(tmp_path):
    source = golden("asr", tmp_path / "source")
    config = json_of(source / "config.json")
    config["thinker_config"]["text_config"]["tie_word_embeddings"] = False
    (source / "config.json").write_text(json.dumps(config))
    change(source, lambda s: s.update({HEAD: s[EMBEDDING] + 1}))
    to_hf(source, tmp_path / "hf")
    verify(source, tmp_path / "hf")
    to_published(tmp_path / "hf", tmp_path / "back")
    assert (tmp_path / "back/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["config.json", "merges.txt", "chat_template.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    source = golden("aligner", tmp_path / "source")
    (source / name).unlink()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        to_hf(source, tmp_path / "target")


def test_wrong_folders(tmp_path):
    to_hf(GOLDENS / "aligner", tmp_path / "hf")
    with pytest.raises(ValueError, match="not of the published layout"):
        to_hf(tmp_path / "hf", tmp_path / "x")
    with pytest.raises(ValueError, match="not of the -hf layout"):
        to_published(GOLDENS / "aligner", tmp_path / "x")
    with pytest.raises(ValueError, match="is not empty"):
        to_published(tmp_path / "hf", tmp_path / "hf")
    with pytest.raises(ValueError, match="is not a folder"):
        to_hf(tmp_path / "nothing", tmp_path / "x")


def test_the_command(tmp_path, capsys):
    assert main(["to-hf", str(GOLDENS / "aligner"), str(tmp_path / "hf"), "--verify"]) == 0
    said = capsys.readouterr().out
    assert "70 tensors" in said and "largest difference" in said and "peak memory" in said
    assert main(["to-published", str(tmp_path / "hf"), str(tmp_path / "back"), "--max-shard-size", "100KB"]) == 0
    assert (tmp_path / "back" / INDEX).is_file()
    assert main(["verify", str(tmp_path / "back"), str(tmp_path / "hf")]) == 0
    capsys.readouterr()
    assert main(["to-hf", str(GOLDENS / "aligner"), str(tmp_path / "hf")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert parse_size("1.5GB") == 1_500_000_000 and parse_size("12") == 12
    with pytest.raises(SystemExit):
        main(["to-hf", "a", "b", "--max-shard-size", "0"])


def write_hollow(path, tensors):
    """A safetensors file whose data is a hole: zeros that take no room on the disk."""
    header, offset = {}, 0
    for name, shape in sorted(tensors.items()):
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return offset


MEASURE = """
import resource, sys
sys.path[:0] = sys.argv[3:]
from conversion.convert import to_hf
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
to_hf(sys.argv[1], sys.argv[2])
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_is_that_of_the_largest_tensor(tmp_path):
    """Half a gigabyte of layers passes through a small part of it."""
    source = golden("asr", tmp_path / "source")
    config = json_of(source / "config.json")
    config["thinker_config"]["text_config"].update(hidden_size=1024, intermediate_size=6144, num_hidden_layers=12)
    config["thinker_config"]["audio_config"].update(output_dim=1024)
    (source / "config.json").write_text(json.dumps(config))
    total = write_hollow(source / "model.safetensors", expected_tensors(Qwen3ASRConfig(**config)))
    assert total > 450e6
    arguments = [str(source), str(tmp_path / "target"), str(ROOT / "src"), str(ROOT)]
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    grown = int(done.stdout)
    print(f"{total / 1e6:.0f} MB converted, peak memory grew by {grown / 1e6:.0f} MB")
    assert grown < 100e6


def published(name):
    return json_of(SHARED / "checkpoints" / f"{name}.config.json")


@needs_checkpoints
@pytest.mark.parametrize("name", MODELS)
def test_published_tensors(name):
    """Names, shapes and file sizes of both layouts are those of the published repositories."""
    facts = json_of(SHARED / "checkpoints" / "tensors.json")
    config = Qwen3ASRConfig(**published(name))
    expected = expected_tensors(config)
    aligner = config.classify_num is not None
    kept = {n: shape for n, shape in expected.items() if aligner or n != HEAD}
    in_hf = {to_hf_name(n, aligner=aligner): shape for n, shape in kept.items()}
    for found, repository in ((expected, name), (in_hf, f"{name}-hf")):
        recorded = facts[f"Qwen/{repository}"]
        tensors = recorded["tensors"]
        tensors = tensors if isinstance(tensors, dict) else dict(tensors)
        assert found == {n: tuple(shape) for n, shape in tensors.items()}
        if "model.safetensors" in recorded["files"]:
            entries = {n: Entry("BF16", shape) for n, shape in found.items()}
            assert file_size(entries) == recorded["files"]["model.safetensors"]["size"]
    assert {to_published_name(n): shape for n, shape in in_hf.items()} == kept


def without_v4_noise(config, name):
    """A published config without its version and the generic fields that transformers v4 wrote into every config."""
    known = Qwen3ASRConfig(**published(name)).to_dict()["thinker_config"]
    for part in ("audio_config", "text_config"):
        section = config["thinker_config"][part]
        config["thinker_config"][part] = {key: value for key, value in section.items() if key in known[part]}
    config.pop("transformers_version")
    return config


@needs_checkpoints
@pytest.mark.parametrize("name", MODELS)
def test_published_configs(name):
    hf = json_of(SHARED / "checkpoints" / f"{name}-hf.config.json")
    side = SHARED / "checkpoints" / "side_files" / name
    made = json.loads(json.dumps(to_hf_config(published(name), side_files.stop_ids(side)), sort_keys=True))
    made.pop("transformers_version")
    version = hf.pop("transformers_version")
    assert made == hf

    made = to_published_config({**hf, "transformers_version": version}, side_files.token_ids(side))
    assert made.pop("transformers_version") == version
    assert made == without_v4_noise(published(name), name)


@pytest.fixture(scope="module")
def vocabulary():
    folder = SHARED / "reference" / "aligner"
    if not folder.is_dir():
        pytest.skip("../shared/reference (the published vocabulary) is not here")
    return {name: (folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}


@needs_checkpoints
@pytest.mark.parametrize("name", MODELS)
def test_published_side_files(name, vocabulary, tmp_path):
    """Both ways, the files around the weights equal the published ones; the vocabulary byte for byte."""
    sides = SHARED / "checkpoints" / "side_files"
    hashes = json_of(SHARED / "checkpoints" / "files.json")
    source, hf, back = tmp_path / "source", tmp_path / "hf", tmp_path / "back"
    shutil.copytree(sides / name, source)
    for file, data in vocabulary.items():
        (source / file).write_bytes(data)
    hf.mkdir()
    back.mkdir()
    aligner = "Aligner" in name

    side_files.tokenizer_to_hf(source, hf)
    side_files.processor_to_hf(source, hf, n_window=50, segment_time=80)
    side_files.template_to_hf(source, hf, aligner)
    side_files.generation_to_hf(source, hf, aligner)
    recorded = hashes[f"Qwen/{name}-hf"]["files"]["tokenizer.json"]
    assert hashlib.sha256((hf / "tokenizer.json").read_bytes()).hexdigest() == recorded["sha256"]
    assert {path.name for path in hf.iterdir()} == {path.name for path in (sides / f"{name}-hf").iterdir()} | {
        "tokenizer.json"
    }
    for path in (sides / f"{name}-hf").iterdir():
        if path.suffix == ".jinja":
            assert (hf / path.name).read_text() == path.read_text()
        else:
            expected = json_of(path)
            expected.pop("transformers_version", None)
            assert json_of(hf / path.name) == expected, path.name

    side_files.tokenizer_to_published(hf, back)
    side_files.processor_to_published(hf, back)
    side_files.template_to_published(hf, back)
    side_files.generation_to_published(hf, back, aligner, side_files.stop_ids(source))
    for file, data in vocabulary.items():
        assert (back / file).read_bytes() == data, file
    # configuration.json is ModelScope's, not a file of the repositories on the hub
    for path in [path for path in (sides / name).iterdir() if path.name != "configuration.json"]:
        assert json_of(back / path.name) == json_of(path), path.name


@needs_checkpoints
def test_the_published_index_is_read(tmp_path):
    """The 1.7B's own index, with hollow shards: two files, every tensor once."""
    shutil.copy(SHARED / "checkpoints" / "Qwen3-ASR-1.7B.model.safetensors.index.json", tmp_path / INDEX)
    shapes = expected_tensors(Qwen3ASRConfig(**published("Qwen3-ASR-1.7B")))
    shards = {}
    for name, file in json_of(tmp_path / INDEX)["weight_map"].items():
        shards.setdefault(file, {})[name] = shapes[name]
    for file, tensors in shards.items():
        write_hollow(tmp_path / file, tensors)
    folder = TensorFolder(tmp_path)
    assert {name: entry.shape for name, entry in folder.entries.items()} == shapes
    assert sum(entry.size for entry in folder.entries.values()) == 4_698_434_816
