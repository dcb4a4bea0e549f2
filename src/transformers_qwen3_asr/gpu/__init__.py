"""What a GPU is given beside PyTorch's own ways. Nothing here knows a model; on a CPU nothing of it runs.

Each piece compares itself with the plain way on the device before it is used. Where it differs or fails it steps
aside, with one warning, and the plain way goes on.
"""

from .graphs import release_graphs
from .joined import join_projections

__all__ = ["join_projections", "release_graphs"]
