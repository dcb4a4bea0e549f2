"""
Cases made at random, each in a process of its own, so that a death or a hang is a finding and not the end.

A subject is a module `subject_<name>.py` beside this file with

    SHARE = 10        # of all cases, in proportion to the other subjects' shares: less for what is slow
    SECONDS = 20      # of processor time that one case may take (optional, default 20)
    MEBIBYTES = 2048  # that one case may allocate (optional, default 2048)

    def prepare():
        '''Optional: what all cases share (imports, a loaded model). It runs once, before the first case.'''

    def make(random, folder):
        '''A case from a `random.Random`: a dict of what JSON can hold. Bytes go into files of `folder`.'''

    def run(case, folder):
        '''Gives the case to the package and checks what comes back.'''

`run` has three ways to end:

- It returns: the result passed the checks that `run` makes (`assert`).
- It raises `ValueError` whose message holds one of `case["names"]`: the input was refused, and the message says which
  item it was.
- Anything else is a finding: another exception, a message that names nothing, a death, a hang, too much memory.

A finding is kept as a folder: `case.json`, the folder `files` of the case, `output.txt` and `finding.txt`. `--replay`
runs such a folder again, from the files. So `run` must take all it needs from `case` and `folder`. The same seed makes
the same cases: case 7 of a subject does not depend on how many cases there are.
"""

import contextlib
import gc
import importlib
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAITING = 10  # a case may take this many times its processor time, since other processes may be in its way
LEAST_WAITING = 60  # seconds


@dataclass
class Running:
    """A case in its process: where its files are, and until when it is waited for."""

    process: multiprocessing.Process
    subject: str
    index: int
    folder: Path
    deadline: float


@dataclass
class Report:
    """What became of the cases: how often each outcome came, for each subject, and the findings' folders."""

    outcomes: dict[str, Counter] = field(default_factory=dict)
    findings: list[Path] = field(default_factory=list)


def subjects(only=()):
    """All subjects by name, or those of `only`."""
    names = sorted(path.stem.removeprefix("subject_") for path in HERE.glob("subject_*.py"))
    if unknown := set(only) - set(names):
        raise SystemExit(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return {name: importlib.import_module(f"subject_{name}") for name in names if not only or name in only}


def shared_out(modules, cases):
    """How many of `cases` each subject gets, one at least."""
    whole = sum(module.SHARE for module in modules.values())
    return {name: max(1, round(cases * module.SHARE / whole)) for name, module in modules.items()}


def fuzz(modules, cases, seed, keep, jobs, say=print):
    """Runs `cases` cases of `modules` (name -> module), `jobs` at once; findings go into the folder `keep`."""
    for module in modules.values():
        getattr(module, "prepare", lambda: None)()
    gc.freeze()  # or each child's first collection copies all that is loaded
    counts = shared_out(modules, cases)
    # round and round, so that a run that is cut off has seen all subjects
    todo = deque(sorted(((i + 1) / counts[name], name, i) for name in modules for i in range(counts[name])))
    report, running, done, total = Report({name: Counter() for name in modules}), [], 0, len(todo)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    _, name, index = todo.popleft()
                    running.append(_start(modules[name], name, seed, index, Path(scratch)))
                _wait(running)
                for one in [one for one in running if one.process.exitcode is not None]:
                    running.remove(one)
                    outcome, finding = _outcome(one, modules[one.subject])
                    report.outcomes[one.subject][outcome] += 1
                    if finding is not None:
                        kept = _kept(one, finding, Path(keep))
                        report.findings.append(kept)
                        say(f"fuzz: FINDING {kept}: {finding.splitlines()[-1]}")
                    shutil.rmtree(one.folder, ignore_errors=True)
                    done += 1
                    if done % 500 == 0 or done == total:
                        say(f"fuzz: {done} of {total} cases, {len(report.findings)} findings")
        finally:
            for one in running:
                _kill(one.process)
    return report


def replay(folder, module):
    """Runs a kept case once more, in this process; what was wrong is raised."""
    kept = json.loads((Path(folder) / "case.json").read_text())
    return _end_of(module, kept["case"], Path(folder) / "files")


def subject_of(folder):
    """The subject's name of a kept case."""
    return json.loads((Path(folder) / "case.json").read_text())["subject"]


def make_and_run(module, name, seed, index, folder):
    """One case in this process: "passed" or "refused"; a finding is raised."""
    (folder / "files").mkdir()
    # a text as the seed: Python then mixes all of it in, the same in every process
    case = module.make(random.Random(f"{name}/{seed}/{index}"), folder / "files")
    text = json.dumps({"subject": name, "seed": seed, "index": index, "case": case}, indent=1)
    (folder / "case.json").write_text(text)
    return _end_of(module, json.loads(text)["case"], folder / "files")


def _end_of(module, case, folder):
    try:
        module.run(case, folder)
    except ValueError as error:
        if not any(name in str(error) for name in case["names"]):
            raise AssertionError(f"ValueError names none of {case['names']!r}: {error}") from error
        return "refused"
    return "passed"


def _start(module, name, seed, index, scratch):
    folder = scratch / f"{name}-{seed}-{index}"
    folder.mkdir()
    seconds = getattr(module, "SECONDS", 20)
    # forked, so that libraries and models are there at once
    process = multiprocessing.get_context("fork").Process(target=_child, args=(module, name, seed, index, folder))
    process.start()
    return Running(process, name, index, folder, time.monotonic() + max(LEAST_WAITING, WAITING * seconds))


def _child(module, name, seed, index, folder):
    os.setsid()  # so that what it starts can be ended with it
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    seconds = math.ceil(getattr(module, "SECONDS", 20))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere there is no counting from what is mapped already
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = mapped + getattr(module, "MEBIBYTES", 2048) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        outcome = make_and_run(module, name, seed, index, folder)
    except BaseException:  # SystemExit, too, is no way to end
        (folder / "finding.txt").write_text(traceback.format_exc(), errors="backslashreplace")
    else:
        (folder / "outcome.txt").write_text(outcome)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # nothing of the parent's is to be tidied up


def _wait(running):
    nearest = min(one.deadline for one in running)
    wait([one.process.sentinel for one in running], max(0.0, nearest - time.monotonic()))
    for one in running:
        one.process.join(0)
        if one.process.exitcode is None and time.monotonic() >= one.deadline:
            (one.folder / "hung.txt").touch()
            _kill(one.process)


def _kill(process):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _outcome(one, module):
    """How a case ended, and what was found, if anything."""
    if (one.folder / "outcome.txt").exists():
        return (one.folder / "outcome.txt").read_text(), None
    if (one.folder / "finding.txt").exists():
        return "raised", (one.folder / "finding.txt").read_text().strip()
    if (one.folder / "hung.txt").exists():
        return "hung", "it hung, and was ended"
    if -(one.process.exitcode or 0) == signal.SIGXCPU:
        return "slow", f"it took more than {getattr(module, 'SECONDS', 20)} seconds of processor time"
    return "died", f"its process died (exit status {one.process.exitcode})"


def _kept(one, finding, keep):
    keep.mkdir(parents=True, exist_ok=True)
    place = keep / one.folder.name
    shutil.rmtree(place, ignore_errors=True)
    (one.folder / "finding.txt").write_text(finding + "\n")
    # a FIFO or a socket cannot be copied
    shutil.copytree(one.folder, place, ignore=_special, symlinks=True)
    return place


def _special(folder, names):
    paths = (Path(folder) / name for name in names)
    return [path.name for path in paths if not (path.is_symlink() or path.is_file() or path.is_dir())]
