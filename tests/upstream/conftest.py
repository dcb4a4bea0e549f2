"""Runs transformers' mixins on our classes, and holds the outcome against `differences.py`, strict both ways."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import differences
import fetching
import pytest
import stand_ins
import transformers

import transformers_qwen3_asr  # noqa: F401  registers

#: set where a subtest failed as `differences.py` says
DIFFERS = pytest.StashKey[bool]()
MISSING = stand_ins.install(fetching.fetch())


def pytest_report_header(config):
    lines = [f"transformers {transformers.__version__}, its own tests"]
    lines += [f"not in the source distribution, so left out: {name}" for name in MISSING]
    return lines


def pytest_collection_modifyitems(config, items):
    matched = set()
    for item in items:
        found = differences.of(item.cls.__name__, item.name)
        if len(found) > 1:
            raise pytest.UsageError(f"{item.cls.__name__}::{item.name} stands in the table of differences twice")
        for difference in found:
            matched.add(difference)
            # strict: one that passes is a failure
            item.add_marker(pytest.mark.xfail(reason=difference.reason, strict=True))
    partial = config.option.keyword or any("::" in argument for argument in config.args)
    stale = [one for one in differences.current() if one not in matched and not partial]
    classes = {item.cls.__name__ for item in items}
    for difference in stale:
        if classes & set(difference.classes):
            raise pytest.UsageError(f"differences.py names a test that is not there: {difference}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and hasattr(report, "wasxfail"):
        item.stash[DIFFERS] = True
    elif report.failed and "XPASS(strict)" in str(report.longrepr) and item.stash.get(DIFFERS, False):
        # that was a subtest, and the test itself goes on behind it
        report.outcome, report.wasxfail = "skipped", "a subtest differs"
    if report.skipped and not hasattr(report, "wasxfail") and differences.of(item.cls.__name__, item.name):
        report.outcome = "failed"
        report.longrepr = f"listed in differences.py, but skipped: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter):
    counts = {kind: len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "xfailed", "skipped", "failed")}
    terminalreporter.write_line(
        f"transformers {transformers.__version__}: {counts['passed']} of its tests passed, {counts['xfailed']} differ "
        f"as differences.py says, {counts['skipped']} do not apply, {counts['failed']} failed"
    )
