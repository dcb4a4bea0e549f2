"""The import rules of CONTRIBUTING.md, kept by reading every import statement of the package."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

SOURCE = ROOT / "src"
PACKAGE = "transformers_qwen3_asr"

#: Part of the package -> its modules (a trailing dot stands for a folder). The first part that has a module counts.
PARTS = {
    "files": ("whole_files", "json_files"),
    "tables": ("checkpoints.__init__", "checkpoints.published", "checkpoints.bundled"),
    "checkpoints": ("checkpoints.",),
    "configuration": (
        *("models.configuration_qwen3_asr", "models.configuration_base", "models.configuration_checks"),
        "models.rope_validation",
    ),
    "models": ("models.",),
    "gpu": ("gpu.",),
    "audio": ("audio.",),
    "text": ("text.",),
    "results": ("results",),
    "alignment": ("alignment.",),
    "longform": ("longform.",),
    "processing": ("processing.",),
    "pipelines": ("pipelines.",),
    "transcription": ("transcription.",),
    "labels": ("labels.",),
    "formats": ("formats.",),
    "pictures": ("pictures.",),
    "training": ("training.",),
    "evaluation": ("evaluation.",),
    "corpus": ("corpus.",),
    "serving": ("serving.",),
    "registration": ("registration",),
    "cli": ("cli.", "__main__"),
    "bundled": ("bundled.",),
    "package": ("__init__", "moved"),
}
#: Part -> the other parts that it may import. Nothing flows back.
MAY_IMPORT = {
    "files": set(),
    "tables": set(),
    "checkpoints": {"files", "tables", "gpu"},
    "configuration": {"files", "tables"},
    "models": {"files", "tables", "checkpoints", "configuration", "gpu"},
    "gpu": set(),
    "audio": set(),
    "text": set(),
    "results": set(),
    "alignment": {"text", "results"},
    "longform": {"audio", "text", "results", "alignment"},
    "processing": {"files", "configuration", "audio", "text", "alignment"},
    "pipelines": {
        *("files", "tables", "gpu", "checkpoints", "configuration", "models", "audio", "text", "results"),
        *("alignment", "longform", "processing"),
    },
    "transcription": {
        *("files", "tables", "checkpoints", "configuration", "models", "audio", "text", "results"),
        *("alignment", "processing", "pipelines"),
    },
    "labels": {"audio", "text"},
    "formats": {"files", "audio", "text", "results", "labels"},
    "pictures": {"files", "audio", "text", "results", "labels", "formats"},
    "training": {
        *("files", "tables", "checkpoints", "configuration", "models", "audio", "text", "alignment"),
        *("processing", "labels", "formats"),
    },
    "evaluation": {
        *("files", "tables", "checkpoints", "configuration", "models", "audio", "text", "alignment"),
        *("processing", "pipelines", "labels", "formats", "pictures", "training"),
    },
    "corpus": {"files", "tables", "audio", "text", "results", "pipelines", "labels", "formats", "pictures"},
    "serving": {"audio", "text", "results", "formats"},
    "registration": {"checkpoints", "configuration", "models", "processing", "pipelines", "transcription"},
    "cli": set(PARTS),
    "bundled": set(),
    "package": set(PARTS) - {"cli"},
}
#: Parts that never import transformers -> what they may use beside the standard library.
KNOW_NO_MODEL = {
    "files": set(),
    "tables": set(),
    "audio": {"numpy", "av"},
    "text": {"nagisa", "soynlp"},
    "results": set(),
    "alignment": {"numpy", "torch"},
    "longform": {"numpy", "torch", "tqdm"},
    "gpu": {"torch", "triton"},
    "labels": {"av", "numpy", "datasets"},
    "formats": {"pysubs2", "praatio", "pympi", "webvtt"},
    "pictures": {"av", "numpy", "matplotlib"},
}
#: Files that a folder may have, the package's own among them; training/ is one subject and has more.
MOST_FILES = {"training": 19}
MOST_FILES_ELSEWHERE = 14
#: Folders of tests/ that are no folder of the package.
MORE_TESTS = {"project", "interop", "recipes", "benchmarks", "examples", "goldens", "fuzz", "upstream"}
#: Lines of alignment, longform and pipelines together, which only become fewer: 3,500 were the aim.
MOST_LINES = 3489
#: Word splitters and matplotlib, imported only when a text of that language comes, or a plot is asked for.
LATE = {"nagisa", "soynlp", "matplotlib"}
#: Folders beside the package that may use it and that nothing in it may use.
OUTSIDE = {"conversion", "recipes", "examples", "benchmarks", "tests"}


def modules():
    """Every module of the package: (dotted name without the package's, path)."""
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        yield ".".join(path.relative_to(SOURCE / PACKAGE).with_suffix("").parts), path


MODULES = dict(modules())


def part_of(module):
    """The part that a dotted module name belongs to."""
    for part, names in PARTS.items():
        if any(module == name or (name.endswith(".") and f"{module}.".startswith(name)) for name in names):
            return part
    pytest.fail(f"{module} belongs to no part: put it into PARTS here and into CONTRIBUTING.md")


def imports_of(path, module, top_level_only=False):
    """Absolute dotted names of everything that a file imports; names from the package may end in an attribute."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if top_level_only:
        guarded = [node for node in tree.body if not is_type_checking(node)]
        nodes = [node for top in guarded if not isinstance(top, FUNCTIONS) for node in ast.walk(top)]
    else:
        nodes = list(ast.walk(tree))
    package = [PACKAGE, *module.split(".")[:-1]]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            yield from (".".join([*base, alias.name]) for alias in node.names)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def is_type_checking(node):
    return isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"


def own_module(name):
    """The package's module that an absolute dotted name leads to, or `None` for another package's."""
    pieces = name.split(".")
    if pieces[0] != PACKAGE:
        return None
    while pieces[1:]:
        inside = ".".join(pieces[1:])
        if inside in MODULES:
            return inside
        if f"{inside}.__init__" in MODULES:
            return f"{inside}.__init__"
        pieces.pop()
    return "__init__"


def test_the_reader_of_imports_sees_all_forms(tmp_path):
    """So that the tests below cannot pass by seeing nothing."""
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b as c\nfrom d import e\nfrom . import checkpoints\nfrom ..audio import f\n"
        "from transformers_qwen3_asr.cli import main\ndef g():\n    import late\n"
    )
    found = set(imports_of(path, "pipelines.x"))
    assert found == {
        "a.b",
        "d.e",
        f"{PACKAGE}.pipelines.checkpoints",
        f"{PACKAGE}.audio.f",
        f"{PACKAGE}.cli.main",
        "late",
    }
    assert "late" not in set(imports_of(path, "pipelines.x", top_level_only=True))
    assert own_module(f"{PACKAGE}.audio.f") == "audio.__init__"
    assert own_module(f"{PACKAGE}.cli.main") == "cli.main"
    assert own_module("torch.nn") is None
    assert part_of("cli.main") == "cli" and part_of("text.words") == "text"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_flows_back(module):
    part = part_of(module)
    for name in imports_of(MODULES[module], module):
        target = own_module(name)
        if target is not None and part_of(target) != part:
            assert part_of(target) in MAY_IMPORT[part], f"{module} ({part}) imports {name} ({part_of(target)})"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_what_lies_outside(module):
    for name in imports_of(MODULES[module], module):
        assert name.split(".")[0] not in OUTSIDE, f"{module} imports {name}"


def test_what_knows_no_model_knows_no_transformers():
    for module, path in MODULES.items():
        if part_of(module) in KNOW_NO_MODEL:
            outside = {n.split(".")[0] for n in imports_of(path, module)} - {PACKAGE} - set(sys.stdlib_module_names)
            more = outside - KNOW_NO_MODEL[part_of(module)]
            assert not more, f"{module} imports {sorted(more)}"


def test_folders_are_rooms():
    """Few files in each, so that one look tells what there is."""
    for folder in sorted({path.parent for path in MODULES.values()}):
        count = len(list(folder.glob("*.py")))
        assert count <= MOST_FILES.get(folder.name, MOST_FILES_ELSEWHERE), f"{folder.name} has {count} files"


def test_tests_lie_as_the_package_does():
    rooms = {path.parent.name for path in MODULES.values()} - {PACKAGE}
    for folder in sorted(path for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))):
        assert folder.name in rooms | MORE_TESTS, f"tests/{folder.name} is no folder of the package"
        count = len(list(folder.glob("*.py")))
        assert count <= MOST_FILES_ELSEWHERE, f"tests/{folder.name} has {count} files"
    assert not list((ROOT / "tests").glob("test_*.py")), "tests lie in folders"


def test_the_lines_of_aligning_become_fewer():
    parts = ("alignment", "longform", "pipelines")
    lines = sum(
        len(path.read_text(encoding="utf-8").splitlines())
        for module, path in MODULES.items()
        if part_of(module) in parts
    )
    assert lines <= MOST_LINES, f"{', '.join(parts)} have {lines} lines, more than {MOST_LINES}"
    assert lines > MOST_LINES - 250, f"{', '.join(parts)} have {lines} lines: MOST_LINES can be as low"


def test_only_registration_registers():
    """No other module calls `.register(...)` of an Auto class or a pipeline registry."""
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("register", "register_pipeline")
        ]
        assert bool(calls) == (module == "registration"), f"{module}, lines {calls}"


def test_word_splitters_are_imported_late():
    for module, path in MODULES.items():
        early = {name.split(".")[0] for name in imports_of(path, module, top_level_only=True)} & LATE
        assert not early, f"{module} imports {sorted(early)} at its top"
    code = f"import {PACKAGE}, sys; print(sorted({LATE | OUTSIDE!r} & set(sys.modules)))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=SOURCE)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"


def test_commands_import_the_heavy_things_inside():
    """A verb's module brings transformers, torch and the models only when it runs."""
    light = {"tables", "files", "cli"}
    for module, path in MODULES.items():
        if part_of(module) != "cli":
            continue
        for name in imports_of(path, module, top_level_only=True):
            target = own_module(name)
            if target is None:
                assert name.split(".")[0] in set(sys.stdlib_module_names) | {"tqdm"}, f"{module} imports {name}"
            else:
                assert part_of(target) in light, f"{module} imports {name}"


def test_nothing_names_this_or_that_machine():
    """No absolute paths of a developer's machine in anything that is committed."""
    names = ("/wo" + "rk/", "/op" + "t/venv", "/ho" + "me/")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of committed files")
    for path in listed.stdout.split():
        if (ROOT / path).suffix in (".py", ".md", ".toml", ".json", ".txt", "") and (ROOT / path).is_file():
            text = (ROOT / path).read_text(encoding="utf-8", errors="ignore")
            found = [name for name in names if name in text]
            assert not found, f"{path} names {found}"
