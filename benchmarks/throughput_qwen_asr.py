"""qwen-asr's side of throughput.py: its process, run by an interpreter that has it, and who talks to that.

    PYTHON benchmarks/throughput_qwen_asr.py FOLDER DEVICE DTYPE THREADS CPU_TIME

loads the aligner in FOLDER and reads from its standard input one JSON line for each run: {"clips": [.npy files],
"texts": [...]}. It answers with one line, {"seconds": ..., "words": [how many for each clip]}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RATE = 16000
LOADED = "qwen-asr is ready"


class QwenASR:
    """
    qwen-asr in a process of its own, with the weights and the processor of `model` and `processor`.

    Args:
        interpreter: a Python that has qwen-asr installed.
        cpu_time: count processor seconds instead of the clock's.

    Raises `RuntimeError`, with what it printed, where it does not start.
    """

    def __init__(self, interpreter: str, model, processor, threads: int, cpu_time: bool):
        from throughput_models import AUDIO_TOKENS  # which the other side of this file cannot import

        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        model.save_pretrained(folder / "model")
        processor.save_pretrained(folder / "model")
        # published folders say it so; of the stand-in tokenizer transformers 5 keeps an empty list
        told = folder / "model" / "tokenizer_config.json"
        told.write_text(json.dumps({**json.loads(told.read_text()), "extra_special_tokens": AUDIO_TOKENS}))
        self._errors = (folder / "errors.txt").open("w+", encoding="utf-8")
        dtype = str(model.dtype).removeprefix("torch.")
        command = [interpreter, __file__, str(folder / "model"), str(model.device), dtype, str(threads), str(cpu_time)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        for line in self._process.stdout:
            if line.strip() == LOADED:
                return
        self._errors.seek(0)
        raise RuntimeError(f"{interpreter} does not run qwen-asr:\n{self._errors.read()[-2000:]}")

    def align(self, clips: Sequence[np.ndarray], texts: Sequence[str]) -> tuple[float, list[int]]:
        """Seconds that it takes to align all clips as one batch, and how many words each one has then."""
        folder = Path(self._folder.name)
        files = [str(folder / f"{i}.npy") for i in range(len(clips))]
        for file, clip in zip(files, clips, strict=True):
            np.save(file, clip)
        self._process.stdin.write(json.dumps({"clips": files, "texts": list(texts)}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                return answer["seconds"], answer["words"]
        self._errors.seek(0)
        raise RuntimeError(f"qwen-asr has stopped:\n{self._errors.read()[-2000:]}")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()
        self._folder.cleanup()


def main(folder: str, device: str, dtype: str, threads: str, cpu_time: str) -> None:
    import torch
    from qwen_asr import Qwen3ForcedAligner

    torch.set_num_threads(int(threads))
    clock = time.process_time if cpu_time == "True" else time.perf_counter
    aligner = Qwen3ForcedAligner.from_pretrained(folder, dtype=getattr(torch, dtype), device_map=device)
    print(LOADED, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        clips = [(np.load(file), RATE) for file in task["clips"]]
        start = clock()  # its answer is on the host, so nothing is left to wait for
        results = aligner.align(audio=clips, text=task["texts"], language=["English"] * len(clips))
        seconds = clock() - start
        print(json.dumps({"seconds": seconds, "words": [len(result.items) for result in results]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
