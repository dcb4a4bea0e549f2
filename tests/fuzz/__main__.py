"""`python tests/fuzz`, or `make fuzz`: see `harness.py` for what a subject is."""

import argparse
import os
import sys
from pathlib import Path

import harness

# before torch: a process with threads cannot be forked, and nothing is asked of a network
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # what the tests share


def main():
    parser = argparse.ArgumentParser(prog="fuzz", description="Input that means harm, made at random.")
    parser.add_argument("--cases", type=int, default=10_000, help="of all subjects together (default: %(default)s)")
    parser.add_argument("--seed", default="0", help="what the cases are made from (default: %(default)s)")
    parser.add_argument("--only", nargs="*", default=(), metavar="SUBJECT", help="subjects (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at once (default: one a processor)")
    parser.add_argument("--keep", default="fuzz-findings", metavar="FOLDER", help="where findings go")
    parser.add_argument("--replay", metavar="FOLDER", help="run one finding again, without a process of its own")
    arguments = parser.parse_args()

    if arguments.replay:
        name = harness.subject_of(arguments.replay)
        module = harness.subjects([name])[name]
        getattr(module, "prepare", lambda: None)()
        print(f"fuzz: {harness.replay(arguments.replay, module)}")
        return 0

    modules = harness.subjects(arguments.only)
    print(f"fuzz: {arguments.cases} cases with seed {arguments.seed} of {', '.join(modules)}", flush=True)
    report = harness.fuzz(modules, arguments.cases, arguments.seed, arguments.keep, arguments.jobs, say=_say)
    for name, outcomes in report.outcomes.items():
        print(f"fuzz: {name}: {sum(outcomes.values())} cases, " + ", ".join(f"{n} {o}" for o, n in outcomes.items()))
    if report.findings:
        print(f"fuzz: {len(report.findings)} findings with seed {arguments.seed} in {arguments.keep}; again by")
        print(f"fuzz:     python tests/fuzz --replay {report.findings[0]}")
    return 1 if report.findings else 0


def _say(line):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
