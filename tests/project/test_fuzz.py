"""`make fuzz`: its machinery sees what it should, and a few cases of every subject hold in the ordinary run, too."""

import json
import subprocess
import sys
from pathlib import Path

import harness
import pytest

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
SUBJECTS = sorted(path.stem.removeprefix("subject_") for path in FUZZ.glob("subject_*.py"))
CASES = 5

PLANTED = """
SHARE = 1
SECONDS = 0.3 if KIND == "hung" else 3
MEBIBYTES = 256

def make(random, folder):
    (folder / "input.bin").write_bytes(random.randbytes(4))
    return {"kind": KIND, "names": ["input.bin"]}

def run(case, folder):
    kind = case["kind"]
    assert (folder / "input.bin").stat().st_size == 4
    if kind == "refused": raise ValueError("input.bin is bad")
    if kind == "unnamed": raise ValueError("something is bad")
    if kind == "raised": raise TypeError("no")
    if kind == "wrong": assert 1 + 1 == 3
    if kind == "died": import os; os.kill(os.getpid(), 11)
    if kind == "exited": import os; os._exit(0)
    if kind == "slow":
        while True: pass
    if kind == "hung": import time; time.sleep(1000)
    if kind == "memory": bytearray(2**30)
"""
ENDS = {
    **{"passed": "passed", "refused": "refused", "unnamed": "raised", "raised": "raised", "wrong": "raised"},
    **{"died": "died", "exited": "died", "slow": "slow", "hung": "hung", "memory": "raised"},
}
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import harness
from pathlib import Path
harness.HERE = Path(sys.argv[2])
harness.WAITING, harness.LEAST_WAITING = 20, 0
sys.path.insert(0, sys.argv[2])
modules = harness.subjects()
report = harness.fuzz(modules, len(modules), "s", sys.argv[3], jobs=4, say=lambda line: None)
print(json.dumps([{name: list(o) for name, o in report.outcomes.items()}, [str(path) for path in report.findings]]))
"""


def test_every_end_of_a_case_is_seen(tmp_path):
    """A death or a hang is a finding, the run goes on, and what is kept fails again."""
    subjects, kept = tmp_path / "subjects", tmp_path / "kept"
    subjects.mkdir()
    for kind in ENDS:
        (subjects / f"subject_{kind}.py").write_text(PLANTED.replace("KIND", repr(kind)))
    command = [sys.executable, "-c", DRIVER, str(FUZZ), str(subjects), str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    outcomes, findings = json.loads(done.stdout)
    assert outcomes == {kind: [end] for kind, end in ENDS.items() if sys.platform == "linux" or kind != "memory"}
    assert {harness.subject_of(path) for path in findings} == set(ENDS) - {"passed", "refused"}

    for path in map(Path, findings):
        assert (path / "files" / "input.bin").stat().st_size == 4
        assert (path / "finding.txt").read_text().strip()
    namespace = {}
    exec(PLANTED.replace("KIND", "None"), namespace)
    module = type("module", (), {"run": staticmethod(namespace["run"])})
    with pytest.raises(AssertionError, match="names none of"):
        harness.replay(kept / "unnamed-s-0", module)
    with pytest.raises(TypeError, match="no"):
        harness.replay(kept / "raised-s-0", module)


def test_cases_are_the_same_again(tmp_path):
    subject = harness.subjects(["words"])["words"]
    cases = []
    for index in (3, 3, 4):
        folder = tmp_path / str(len(cases))
        folder.mkdir()
        harness.make_and_run(subject, "words", "7", index, folder)
        cases.append(json.loads((folder / "case.json").read_text())["case"])
    assert cases[0] == cases[1] != cases[2]


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_few_cases_of_each_subject(name, tmp_path):
    """In this process, so nothing that dies or hangs: those have tests of their own."""
    module = harness.subjects([name])[name]
    getattr(module, "prepare", lambda: None)()
    for index in range(CASES):
        folder = tmp_path / str(index)
        folder.mkdir()
        assert harness.make_and_run(module, name, "0", index, folder) in ("passed", "refused")


def test_shares():
    modules = {name: type(name, (), {"SHARE": share}) for name, share in (("a", 3), ("b", 1))}
    assert harness.shared_out(modules, 100) == {"a": 75, "b": 25}
    assert harness.shared_out(modules, 1) == {"a": 1, "b": 1}
