"""Public names have types, which `make lint` checks as callers use them (`public_types.py`)."""

import inspect
import subprocess
import sys

import pytest
from conftest import ROOT

import transformers_qwen3_asr

#: Of pipelines: what transformers' own code calls, untyped there, too.
INNER = {"run_single", "get_iterator", "preprocess", "postprocess"}


def public_functions():
    """(name, function) of what the package exports, and of its classes the public methods that are written here."""
    for name in transformers_qwen3_asr.__all__:
        found = getattr(transformers_qwen3_asr, name)
        if inspect.isfunction(found):
            yield name, found
            continue
        for part in found.__mro__:
            for method, value in vars(part).items():
                function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)) or value)
                public = not method.startswith("_") or method in ("__init__", "__call__")
                own = (getattr(function, "__module__", None) or "").startswith(transformers_qwen3_asr.__name__)
                if public and own and inspect.isfunction(function) and method not in INNER:
                    yield f"{part.__qualname__}.{method}", function


def without_types(function):
    """The names of parameters that have none, and "return"."""
    signature = inspect.signature(function)
    given = [name for name in signature.parameters if name not in ("self", "cls")]
    lacking = [name for name in given if signature.parameters[name].annotation is inspect.Parameter.empty]
    if signature.return_annotation is inspect.Signature.empty and function.__name__ != "__init__":
        lacking.append("return")
    return lacking


def test_public_signatures_are_typed():
    functions = dict(public_functions())
    assert {"bundled_model", "ForcedAlignmentPipeline.__call__", "Int8Config.__init__"} <= set(functions)
    lacking = {name: names for name, function in functions.items() if (names := without_types(function))}
    assert not lacking


def test_what_has_no_types_is_seen():
    assert without_types(lambda text, *, language=None: text) == ["text", "language", "return"]


def mypy(*arguments, **options):
    pytest.importorskip("mypy", reason="types are checked by mypy")
    command = [sys.executable, "-m", "mypy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def test_calls_are_checked(tmp_path):
    """As written all is well, and with a wrong call it is not."""
    right = (ROOT / "tests" / "project" / "public_types.py").read_text(encoding="utf-8")
    assert right.count("type: ignore[") >= 10
    sample = tmp_path / "sample.py"
    sample.write_text(right, encoding="utf-8")
    found = mypy(str(sample), "--cache-dir", str(tmp_path / "cache"))
    assert found.returncode == 0, found.stdout
    wrong = right.replace('bundled_model("tiny-en")', "bundled_model(7)")
    sample.write_text(wrong.replace(", batch_seconds=60)\n", ', batch_seconds="60")\n', 1), encoding="utf-8")
    found = mypy(str(sample), "--cache-dir", str(tmp_path / "cache"))
    assert found.returncode == 1
    assert 'Argument 1 to "bundled_model" has incompatible type "int"' in found.stdout
    assert "No overload variant" in found.stdout and "batch_seconds" in wrong


def test_lint_checks_the_types():
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:", 1)[1].split("\n\n", 1)[0]
    assert "/bin/mypy" in lint
