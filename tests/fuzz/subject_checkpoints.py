"""
Checkpoints with one file spoiled: refused by a `ValueError` that names the file, or loaded right.

Right means: the model gives the scores, and the processor the inputs, of the folder as it was.
"""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

SHARE = 10
SECONDS = 40
MEBIBYTES = 3072

GOLDEN = Path(__file__).resolve().parents[1] / "goldens" / "aligner"
WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
JSONS = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json",
         "chat_template.json", "vocab.json")  # fmt: skip
FILES = (*JSONS, WEIGHTS, "merges.txt")
#: Without these a folder is another one, or none: transformers says so itself, by an OSError.
NEEDED = ("config.json", WEIGHTS)

_PREPARED = {}


def prepare():
    _PREPARED["want"] = _answers(GOLDEN)


def answers_wanted():
    if not _PREPARED:
        prepare()
    return _PREPARED["want"]


def _answers(folder, parts=("model", "processor")):
    from transformers_qwen3_asr import Qwen3ASRForTokenClassification, Qwen3ASRProcessor

    audio = np.sin(np.arange(16000, dtype=np.float32) / 7)
    answers = {}
    if "processor" in parts:
        processor = Qwen3ASRProcessor.from_pretrained(folder)
        inputs, _ = processor.prepare_forced_aligner_inputs(
            audio=[audio], transcript=["What is said, word for word: thirteen."], language="English"
        )
        answers |= {name: inputs[name] for name in ("input_ids", "input_features")}
    if "model" in parts:
        model = Qwen3ASRForTokenClassification.from_pretrained(folder, dtype=torch.float32)
        tokens = torch.tensor([[5, *[329] * 13, 9, 331, 331]])
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            answers["logits"] = model(
                input_ids=tokens, input_features=torch.randn(1, 128, 100, generator=generator)
            ).logits
    return answers


# what is done to a file: each takes the folder, the file's name and a random.Random, and returns the names to look for


def truncated(folder, name, random):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: random.randrange(1, len(data))])


def empty(folder, name, random):
    (folder / name).write_bytes(b"")


def garbage(folder, name, random):
    (folder / name).write_bytes(random.randbytes(random.choice((1, 8, 100, 5000))))


def other_encoding(folder, name, random):
    text = (folder / name).read_bytes().decode("latin-1")
    (folder / name).write_bytes(text.encode(random.choice(("utf-16", "utf-32", "cp037"))))


def a_folder(folder, name, random):
    (folder / name).unlink()
    (folder / name).mkdir()


def a_link_to_nothing(folder, name, random):
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "nothing")


def one_byte(folder, name, random):
    """A byte of the beginning, which in a safetensors file is its table."""
    data = bytearray((folder / name).read_bytes())
    place = random.randrange(min(len(data), 4000))
    data[place] ^= 1 << random.randrange(8)
    (folder / name).write_bytes(data)


def other_json(folder, name, random):
    value = random.choice(([], [1, 2], "text", 3, None, {"a": 1}, {}))
    (folder / name).write_text(json.dumps(value))


def changed_tensor(folder, name, random):
    tensors = load_file(folder / name)
    kind = random.choice(("nan", "inf", "zero", "int64", "bool", "float64", "gone", "more", "shape"))
    # a bias of zeros may be a right one
    one = random.choice([name for name in sorted(tensors) if kind != "zero" or tensors[name].dim() > 1])
    if kind in ("nan", "inf"):
        tensors[one].view(-1)[random.randrange(tensors[one].numel())] = float(kind)
    elif kind == "zero":
        tensors[one].zero_()
    elif kind in ("int64", "bool", "float64"):
        tensors[one] = tensors[one].to(getattr(torch, kind))
    elif kind == "gone":
        tensors.pop(one)
    elif kind == "more":
        tensors["thinker.more.weight"] = torch.ones(2)
    else:
        tensors[one] = torch.ones(3)
    save_file(tensors, folder / name, metadata={"format": "pt"})
    return [name, one, "thinker.more.weight"]


def zero_tail(folder, name, random):
    """As a download that had its length before it had its bytes."""
    data = (folder / name).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    place = random.randrange(start, len(data) - 20_000)
    (folder / name).write_bytes(data[:place] + bytes(len(data) - place))


def overlapping(folder, name, random):
    data = (folder / name).read_bytes()
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + size])
    one = random.choice([key for key in table if key != "__metadata__"])
    begin, end = table[one]["data_offsets"]
    by = random.choice((2, -2, 10**6, -(10**6)))
    table[one]["data_offsets"] = random.choice(([begin + by, end + by], [begin, end + by], [end, begin]))
    header = json.dumps(table).encode().ljust(size)
    (folder / name).write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])


def header_length(folder, name, random):
    data = (folder / name).read_bytes()
    right = int.from_bytes(data[:8], "little")
    length = random.choice((0, 1, 2**63, len(data), 10**8, right - 1, right + 1))
    (folder / name).write_bytes(length.to_bytes(8, "little") + data[8:])


def shards(folder, name, random):
    """Two files and an index, one of the three wrong."""
    tensors = load_file(folder / name)
    (folder / name).unlink()
    keys = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": keys[::2], "model-00002-of-00002.safetensors": keys[1::2]}
    places = {key: file for file, held in parts.items() for key in held}
    kind = random.choice("right missing twice other index spoiled unlisted".split())
    first, second = parts
    if kind == "twice":
        parts[second] = [*parts[second], keys[0]]
    for file, held in parts.items():
        save_file({key: tensors[key] + (file == second) for key in held}, folder / file, metadata={"format": "pt"})
    if kind != "twice":  # what was added tells the two apart
        save_file({key: tensors[key] for key in parts[second]}, folder / second, metadata={"format": "pt"})
    if kind == "missing":
        (folder / second).unlink()
    if kind == "other":
        places[keys[0]] = second
    if kind == "unlisted":
        places["thinker.model.more.weight"] = first
    content = {"metadata": {"total_size": 1}, "weight_map": places}
    if kind == "index":
        content["weight_map"] = random.choice((None, [], {}, {keys[0]: 3}, dict.fromkeys(keys, "elsewhere")))
    (folder / INDEX).write_text(json.dumps(content))
    if kind == "spoiled":
        random.choice((truncated, empty, garbage))(folder, random.choice((INDEX, first, second)), random)
    return [INDEX, first, second, "elsewhere"]


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/harmful-pickle-was-run"),))


def pickled(folder, name, random):
    tensors = load_file(folder / name)
    (folder / name).unlink()
    kind = random.choice("right harmful list mixed nan spoiled int64".split())
    path = folder / PICKLE
    if kind == "nan":
        next(iter(tensors.values())).view(-1)[0] = float("nan")
    if kind == "int64":
        tensors = {key: value.to(torch.int64) for key, value in tensors.items()}
    content = {"list": list(tensors), "mixed": {**tensors, "x": 3}}.get(kind, tensors)
    if kind == "harmful":
        path.write_bytes(pickle.dumps({"thinker.lm_head.weight": Harmful()}))
    else:
        torch.save(content, path)
    if kind == "spoiled":
        # not one byte: in a pickle the beginning holds numbers, and another number is no finding
        random.choice((truncated, empty, garbage))(folder, PICKLE, random)
    return [PICKLE, "thinker."]


ANY = (truncated, empty, garbage, other_encoding, a_folder, a_link_to_nothing)
OF_WEIGHTS = (truncated, empty, garbage, a_folder, a_link_to_nothing, one_byte, changed_tensor, changed_tensor,
              zero_tail, overlapping, header_length, shards, shards, pickled, pickled)  # fmt: skip


def make(random, folder):
    for name in FILES:
        shutil.copy(GOLDEN / name, folder / name)
    name = WEIGHTS if random.random() < 0.6 else random.choice([file for file in FILES if file != WEIGHTS])
    kinds = OF_WEIGHTS if name == WEIGHTS else (*ANY, other_json) if name in JSONS else ANY
    spoil = random.choice(kinds)
    return spoiled(folder, name, spoil, random)


def spoiled(folder, name, spoil, random):
    """A case: what was done to which file, and the names of which an error must say one."""
    names = spoil(folder, name, random) or [name]
    # of a config that is another one, the error says the key
    keys = ["model_type", "thinker_config", "classify_num", "timestamp", "tensors"] if name == "config.json" else []
    names = [*names, *keys]
    if name == WEIGHTS:  # a name that is spoiled: the error says which tensors the checkpoint lacks
        names.append("does not fill the model")
    parts = ["model", "processor"]
    if name == WEIGHTS:
        parts = ["model"]
    elif name not in ("config.json", "generation_config.json"):
        parts = ["processor"]
    return {"file": name, "how": spoil.__name__, "names": names, "parts": parts}


def run(case, folder):
    want = answers_wanted()
    got = _answers(folder, case["parts"])
    for name, value in got.items():
        assert value.shape == want[name].shape and torch.allclose(value, want[name]), f"{name} differ"
