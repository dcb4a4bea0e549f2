"""Lets vLLM be imported beside a torch without CUDA, in the environment whose interpreter runs this.

    .venv-vllm/bin/python tests/interop/vllm_environment.py

vLLM requires torchvision, torchaudio and torchcodec. Those of the package index are built for CUDA, and beside a CPU
build of torch their libraries do not load. torchaudio and torchcodec are then removed: vLLM reads audio without them.
torchvision is imported for picture models, which fails on the names of two operators; nothing that
works with audio calls them, so their names alone are declared. What imports as it is stays as it is.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

DECLARED = """

if not _has_ops():  # added by transformers-qwen3-asr's tests/interop/vllm_environment.py
    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def imports(name: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


def main() -> None:
    broken = [name for name in ("torchaudio", "torchcodec") if importlib.util.find_spec(name) and not imports(name)]
    if broken:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", *broken], check=True)
    if not imports("torchvision"):
        # not find_spec("torchvision.extension"): that imports the package
        folder = Path(importlib.util.find_spec("torchvision").origin).parent
        with open(folder / "extension.py", "a", encoding="utf-8") as file:
            file.write(DECLARED)
    for name in ("torchvision", "vllm.model_executor.models.qwen3_asr_forced_aligner"):
        if not imports(name):
            raise SystemExit(f"{name} cannot be imported in {sys.prefix}")


if __name__ == "__main__":
    main()
