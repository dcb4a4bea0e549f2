"""What every test may use. Nothing here reaches a network."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import pipeline

import transformers_qwen3_asr  # noqa: F401  registers
from transformers_qwen3_asr.checkpoints import resolve_model

collect_ignore = ["upstream"]  # transformers' own tests, which `make test-upstream` runs

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDENS = Path(__file__).resolve().parent / "goldens"

try:
    import hypothesis

    # the same cases in each run; new ones are what make fuzz is for
    hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("suite")
except ImportError:
    pass  # tests that want it skip

# Convolutions of float32 in full: with TF32, cuDNN's default, a GPU's logits are some 4e-3 from a CPU's.
torch.backends.cudnn.allow_tf32 = False


def two_seconds(path: Path) -> Path:
    """Writes the beginning of the recording in examples/ to `path`, as a WAV of 16 kHz."""
    import av

    with av.open(str(ROOT / "examples" / "sense_and_sensibility.flac")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("pcm_s16le", rate=16000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16000)
        for frame in source.decode(audio=0):
            if frame.time > 2:
                break
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return path


def pytest_addoption(parser):
    parser.addoption("--failures-at-once", action="store_true", help="name each failure when it happens, too")


def pytest_configure(config):
    if config.getoption("--failures-at-once") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(config), "failures-at-once")


class FailuresAtOnce:
    """A line a failure as soon as it is known, for a run that may be cut off before pytest's own summary."""

    def __init__(self, config):
        self.config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = (crash.message if crash else str(report.longrepr)).strip().splitlines() or [""]
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            terminal.write_line(f"\nfailed now: {report.nodeid} ({report.when}): {lines[0]}")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of the project's own goldens."""
    return GOLDENS


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference folder beside the checkout; a test that wants it is skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip("../shared, the reference files beside the checkout, is not here")
    return SHARED


@pytest.fixture(scope="module")
def pipe():
    """The bundled aligner's pipeline; some modules have another under this name."""
    return pipeline("forced-alignment", model=resolve_model("tiny-en"), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def readings(pipe):
    """Readings of a book: (samples, words, times by themselves) of each."""
    from readings import loaded

    return loaded(pipe)
