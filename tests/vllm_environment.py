"""Lets torchvision be imported beside a torch without CUDA, in the environment whose interpreter runs this.

    .venv-vllm/bin/python tests/vllm_environment.py

vLLM imports torchvision for its picture models. The torchvision of the package index is built for CUDA: beside a CPU
build of torch its operators do not load, and then the import fails on the names of two of them. Nothing that works
with audio calls them, so their names alone are declared. Does nothing where torchvision imports as it is.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

DECLARED = """

if not _has_ops():  # added by transformers-qwen3-asr's tests/vllm_environment.py
    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def imports(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


def main() -> None:
    if imports("torchvision"):
        return
    # not find_spec("torchvision.extension"): that imports the package
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    with open(folder / "extension.py", "a", encoding="utf-8") as file:
        file.write(DECLARED)
    if not imports("torchvision"):
        raise SystemExit(f"{folder} still cannot be imported")


if __name__ == "__main__":
    main()
