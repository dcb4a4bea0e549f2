"""What benchmarks/throughput.py measures with: clocks that wait for the device, peak memory, and the arithmetic."""

from __future__ import annotations

import ctypes
import gc
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

GIB = 2**30


class Device:
    """One device's clock and memory."""

    def __init__(self, device: torch.device, cpu_time: bool = False):
        self.device = device
        self.cuda = device.type == "cuda"
        self.clock = time.process_time if cpu_time else time.perf_counter

    def now(self) -> float:
        """Seconds, with everything given to the device finished."""
        if self.cuda:
            torch.cuda.synchronize(self.device)
        return self.clock()

    def timed(self, call: Callable) -> tuple[float, object]:
        """Seconds that `call` takes, and what it returns."""
        start = self.now()
        result = call()
        return self.now() - start, result

    def peak(self, call: Callable) -> tuple[float | None, float | None]:
        """GiB at the highest point of `call`, and of these what was not there before; `None` where nobody tells.

        On a GPU what PyTorch had allocated, on a CPU what the process had in memory (Linux keeps the peak, and
        forgets it on request).
        """
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            call()
            self.now()
            peak = torch.cuda.max_memory_allocated(self.device)
            return peak / GIB, (peak - before) / GIB
        try:
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        except (AttributeError, OSError):
            return None, None
        before = _kilobytes("VmRSS")
        call()
        peak = _kilobytes("VmHWM")
        return peak * 1024 / GIB, (peak - before) * 1024 / GIB

    def matmul_rate(self, dtype: torch.dtype, tiny: bool = False) -> float:
        """
        Multiplications and additions a second of a large matrix product, the best of several; with `tiny` of a small
        one. Sizes double while the next product takes less than a second: without instructions for a dtype the
        largest would take minutes.
        """
        size, largest = 64, 64 if tiny else 8192 if self.cuda else 2048
        while True:
            a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            best = self.timed(lambda a=a, b=b: a @ b)[0]
            if size < largest:
                best = min(best, self.timed(lambda a=a, b=b: a @ b)[0])  # the first may wait for the library
            if size >= largest or 8 * best > 1:
                break
            size *= 2
        for _ in range(7):
            if best < 1:
                best = min(best, self.timed(lambda: a @ b)[0])
        return 2 * size**3 / best

    def __str__(self) -> str:
        if self.cuda:
            return torch.cuda.get_device_name(self.device)
        found = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
        kinds = [n for n in ("avx512_bf16", "amx_bf16") if n in _read("/proc/cpuinfo")]
        name = found[1] if found else platform.processor() or platform.machine()
        clock = ", processor seconds" if self.clock is time.process_time else ""
        return f"{name}, {torch.get_num_threads()} threads, {' and '.join(kinds) or 'no bfloat16 products'}{clock}"


def _kilobytes(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", _read("/proc/self/status"))[1])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def arithmetic(config, seconds: float, tokens: int, slots: int) -> float:
    """
    Multiplications and additions that an aligner has to make for one clip: convolutions, the encoder's and the text
    model's matrices and attention, the head at the slots. About 31e9 a second of audio at 2.5 words a second for the
    published 0.6B.

    Args:
        config: a `Qwen3ASRConfig`.
        seconds: length of the clip.
        tokens: of its prompt, audio tokens included.
        slots: of these, those whose class is asked.
    """
    audio, text = config.thinker_config.audio_config, config.get_text_config()
    chunks = seconds * 100 / (2 * audio.n_window)
    channels, mel, frames, convolution, inputs = (
        audio.downsample_hidden_size,
        audio.num_mel_bins,
        2 * audio.n_window,
        0,
        1,
    )
    for _ in range(3):
        mel, frames = (mel + 1) // 2, (frames + 1) // 2
        convolution += 9 * inputs * channels * mel * frames
        inputs = channels
    positions = chunks * frames
    encoder = channels * mel * audio.d_model + audio.d_model * (audio.d_model + audio.output_dim)
    encoder += audio.encoder_layers * (
        4 * audio.d_model**2
        + 2 * audio.d_model * audio.encoder_ffn_dim
        + 2 * audio.positions_per_window * audio.d_model
    )
    query, key = (n * text.head_dim for n in (text.num_attention_heads, text.num_key_value_heads))
    layer = text.hidden_size * (2 * query + 2 * key + 3 * text.intermediate_size) + tokens * query  # half is causal
    head = slots * text.hidden_size * config.num_labels
    return 2 * (chunks * convolution + positions * encoder + tokens * text.num_hidden_layers * layer + head)


class Split:
    """Seconds of each part of a pass, by hooks; a part lasts from the end of the one before."""

    PARTS = ("inputs", "encoder", "LM", "head", "decode")

    def __init__(self, device: Device, encoder, projection, text, head, processor):
        self.device, self.modules, self.processor = device, (encoder, projection, text, head), processor
        self.seconds: dict[str, float] = {}
        self._last = 0.0

    def _mark(self, part: str) -> None:
        now = self.device.now()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    def of(self, call: Callable) -> None:
        """Measure one `call`."""
        encoder, projection, text, head = self.modules
        hooks = [
            encoder.register_forward_pre_hook(lambda *_: self._mark("inputs")),
            projection.register_forward_hook(lambda *_: self._mark("encoder")),
            text.register_forward_hook(lambda *_: self._mark("LM")),
            head.register_forward_hook(lambda *_: self._mark("head")),
        ]
        decode = self.processor.decode_forced_alignment

        def decoding(*args, **kwargs):
            result = decode(*args, **kwargs)
            self._mark("decode")
            return result

        self.processor.decode_forced_alignment = decoding
        self.seconds, self._last = {}, self.device.now()
        try:
            call()
            self._mark("decode")
        finally:
            del self.processor.decode_forced_alignment
            for hook in hooks:
                hook.remove()

    def __str__(self) -> str:
        total = sum(self.seconds.values())
        return " · ".join(f"{100 * self.seconds.get(part, 0) / total:.0f}" for part in self.PARTS)
