"""`qwen3-asr align` with odd names, texts, outputs and inputs among the outputs: results, or one line and status 2."""

import contextlib
import io
import json
import shutil
from pathlib import Path
from unittest import mock

import hostile_cues
import odd_texts

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
MODEL = ROOT / "tests" / "goldens" / "aligner"
SHARE = 2
SECONDS = 60
MEBIBYTES = 4096
OUTPUTS = ("out/", "out/", "out.json", "out.srt", "out.vtt", "out.ass", None)
OPTIONS = (
    (("--original-text",), ("--cues", "lines"), ("--unit", "sentence"), ("--unit", "char")),
    (("--format", "srt"), ("--format", "vtt"), ("--format", "ass"), ("--format", "json")),
    (("--show",),),
)


_PREPARED = {}


def prepare():
    from transformers_qwen3_asr.cli import common

    _PREPARED["pipe"] = common.load_aligner(str(MODEL), "float32", "cpu")


def _loaded(*arguments, **parameters):
    """Stands for `load_aligner`: the model that was loaded once, with this call's parameters."""
    pipe = _PREPARED["pipe"]
    pipe._preprocess_params, pipe._forward_params, pipe._postprocess_params = pipe._sanitize_parameters(**parameters)
    return pipe


def _name(random):
    """A file's name, sometimes of bytes that are no UTF-8."""
    name = "".join(random.choice("aAéß字 .-%'\"\n\udce9\udcff\u202e\u0301#?") for _ in range(random.randint(1, 6)))
    return name.strip(" .-") or "a"


def make(random, folder):
    names = [_name(random) for _ in range(random.randint(1, 3))]
    if random.random() < 0.2:
        names.append(names[0])
    texts = [random.choice(("one two", "", odd_texts.text(random, pieces=3))) for _ in names]
    output = random.choice((*OUTPUTS, names[0] + ".flac", names[0] + ".txt"))
    options = [option for choices in OPTIONS if random.random() < 0.4 for option in random.choice(choices)]
    bad = random.random() < 0.2
    return {"recordings": names, "texts": texts, "output": output, "options": options, "bad": bad, "names": ["-"]}


def run(case, folder):
    from transformers_qwen3_asr.cli import align

    # for this case alone: tests run cases in their own process, too
    with mock.patch.object(align, "load_aligner", _loaded), contextlib.chdir(folder):
        _run(case)


def _run(case):
    from transformers_qwen3_asr.cli.main import main

    for place, name in enumerate(case["recordings"]):
        shutil.copy(RECORDING, f"{name}.flac")
        if case["bad"] and place == 0:
            Path(f"{name}.flac").write_bytes(b"no recording")
        Path(f"{name}.txt").write_bytes(case["texts"][place].encode("utf-8", "surrogatepass"))
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    recordings = [f"./{name}.flac" for name in case["recordings"]]
    output = [] if case["output"] is None else ["--output", f"./{case['output']}"]
    # as a terminal of few characters has them
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["align", *recordings, *output, *case["options"]])
        except SystemExit as end:
            status = end.code
    err.flush()
    said = err.buffer.getvalue().decode()
    assert status in (0, 2), status
    assert all(line.startswith("qwen3-asr") for line in said.splitlines()), said
    assert "Traceback" not in said and (status == 0) == ("error: " not in said), said
    after = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert {path: after.get(path) for path in before} == before  # no input has changed
    written = [path for path in Path().rglob("*") if path.is_file() and path not in before]
    assert not any(path.name.endswith(".part") for path in written)
    if status == 0 and output:
        assert len(written) == len(set(case["recordings"])) == len(case["recordings"])
    for path in written:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        else:
            list(hostile_cues.read_back(path))
