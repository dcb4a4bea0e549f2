"""docs/reliability.md names a test for each promise, and the tests are there."""

import ast
import re

from conftest import ROOT

NAMED = re.compile(r"`(tests/\w+/test_\w+\.py)(?:::(\w+))?`")


def promises():
    """The rows of the tables: (line, what is promised, tests)."""
    for number, line in enumerate((ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and cells[0] != "promise" and not line.startswith("|--"):
            yield number, cells[0], NAMED.findall(cells[-1])


def test_every_promise_has_a_test_that_exists():
    rows = list(promises())
    assert rows
    for number, promise, tests in rows:
        assert promise and tests, f"docs/reliability.md, line {number}: no test is named"
        for file, name in tests:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not name or name in functions, f"docs/reliability.md, line {number}: {file} has no {name}"
