"""Modules that have moved: for one version their old names are found, too, with a warning that tells the new one."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Old name -> new name, both within the package: what README or docs have shown, and the files of the classes, which
#: stand in pickles. An entry goes with the version after the one that it came with (0.2).
MOVED = {
    "alignment.results": "results",
    "audio_sources": "audio.sources",
    "configuration_qwen3_asr": "models.configuration_qwen3_asr",
    "feature_extraction_qwen3_asr": "processing.feature_extraction_qwen3_asr",
    "label_files": "formats",
    "modeling_qwen3_asr": "models.modeling_qwen3_asr",
    "processing_qwen3_asr": "processing.processing_qwen3_asr",
}
_NEW = {f"{__package__}.{old}": f"{__package__}.{new}" for old, new in MOVED.items()}


class MovedModules(MetaPathFinder, Loader):
    """Gives the new name's module for the old name: one module by two names, so that what is set in it counts."""

    def find_spec(self, fullname, path=None, target=None):
        return ModuleSpec(fullname, self) if fullname in _NEW else None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, _NEW[module.__name__]
        warnings.warn(f"{old} is {new} now; the old name goes in the next version", FutureWarning, stacklevel=2)
        sys.modules[old] = import_module(new)


def find_moved_modules() -> None:
    """Lets `import` know the old names; harmless when repeated."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        # before others: an old folder that holds nothing but __pycache__ would be a package to them
        sys.meta_path.insert(0, MovedModules())


def moved_module(name: str) -> ModuleType:
    """The package's `__getattr__`, for old names that are read as attributes."""
    if name in MOVED:
        return import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
