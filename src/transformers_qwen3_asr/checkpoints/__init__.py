"""
Checkpoints: what is stored where (`published`), the models that ship with the package (`bundled`), what a checkpoint's
files have to hold (`files`), loading and saving without gaps (`loading`), `dtypes` and `int8`.

Importing it brings nothing heavy.
"""

from .bundled import bundled_model, bundled_models, resolve_model

__all__ = ["bundled_model", "bundled_models", "resolve_model"]
