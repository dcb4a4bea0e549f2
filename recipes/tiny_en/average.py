"""The mean of the weights of several aligners of one shape, which were trained on from the same weights.

    python recipes/tiny_en/average.py WORK/aligner WORK/checkpoints/checkpoint-21200 --output MEAN \\
        --tokenizer WORK/tokenizer --export FOLDER

A folder that is given several times counts as often.
"""

import argparse
import shutil
from pathlib import Path

import torch
from export import export
from safetensors.torch import load_file, save_file

HEAD = "phoneme_head."  # of training alone


def mean_weights(folders: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of each weight in float32.

    Raises `ValueError`, naming the folder, where one has other weights, or weights of another shape, than the first.
    """
    mean: dict[str, torch.Tensor] = {}
    for number, folder in enumerate(folders):
        weights = load_file(folder / "model.safetensors")
        weights = {name: value.float() for name, value in weights.items() if not name.startswith(HEAD)}
        shapes = {name: value.shape for name, value in weights.items()}
        if number and shapes != {name: value.shape for name, value in mean.items()}:
            raise ValueError(f"{folder} has other weights than {folders[0]}")
        for name, value in weights.items():
            mean[name] = mean[name] + (value - mean[name]) / (number + 1) if number else value
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="trained aligners or checkpoints")
    parser.add_argument("--output", type=Path, required=True, help="where the mean goes, in float32")
    parser.add_argument("--export", type=Path, help="where it goes as it ships; needs --tokenizer")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer, WORK/tokenizer")
    parser.add_argument("--people-note", type=Path, help="text for the exported note that names people's recordings")
    arguments = parser.parse_args()
    if arguments.export and not arguments.tokenizer:
        parser.error("--export needs --tokenizer")
    if arguments.people_note and not arguments.export:
        parser.error("--people-note needs --export")
    people_note = arguments.people_note and arguments.people_note.read_text(encoding="utf-8")
    weights = mean_weights(arguments.folders)
    arguments.output.mkdir(parents=True, exist_ok=True)
    save_file(weights, arguments.output / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(arguments.folders[0] / "config.json", arguments.output / "config.json")
    if arguments.export:
        export(arguments.output, arguments.tokenizer, arguments.export, people_note)


if __name__ == "__main__":
    main()
