"""The models that ship inside the package."""

from __future__ import annotations

from pathlib import Path

BUNDLED_FOLDER = Path(__file__).parents[1] / "bundled"


def bundled_models() -> list[str]:
    """Names of the models that ship inside the package."""
    return sorted(path.parent.name for path in BUNDLED_FOLDER.glob("*/config.json"))


def bundled_model(name: str) -> Path:
    """Folder of a model that ships inside the package, for `from_pretrained`.

    Raises `ValueError` with the names there are for any other.
    """
    if name not in bundled_models():
        raise ValueError(f"no bundled model {name!r}; there are {bundled_models()}")
    return BUNDLED_FOLDER / name


def resolve_model(name: str | Path) -> str:
    """A bundled model's folder for its name; any other name or path as it is."""
    return str(bundled_model(str(name))) if str(name) in bundled_models() else str(name)
