"""benchmarks/throughput_serving.py serves, asks and counts; nothing is timed here."""

import importlib
import os

import pytest
from conftest import GOLDENS, ROOT

pytest.importorskip("httpx", reason="needs httpx, of the extra [dev]")
pytest.importorskip("fastapi", reason="serving needs the extra [serve]")
pytest.importorskip("prometheus_client", reason="serving needs the extra [serve]")

RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"


@pytest.mark.slow
def test_a_row_for_each_number_of_clients(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT / "src"), inherited])))
    main = importlib.import_module("throughput_serving").main
    counts = ["--clients", "1", "3", "--requests", "4", "--batch-size", "3"]
    text = ["--text-file", str(RECORDING.with_suffix(".txt"))]
    assert main(["--audio", str(RECORDING), *text, *counts]) == 0
    head, _, *rows = (row.split(" | ") for row in capsys.readouterr().out.splitlines())
    assert [row[:3] for row in rows] == [["| 1", "4", "0"], ["| 3", "4", "0"]]
    assert {len(row) for row in rows} == {len(head)}
    with pytest.raises(SystemExit):
        main(["--audio", str(RECORDING), *counts])
    with pytest.raises(SystemExit):  # which says what the server said
        main(["--audio", str(RECORDING), "--asr-model", str(GOLDENS / "aligner"), *counts])
