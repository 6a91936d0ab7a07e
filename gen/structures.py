"""The structures of dot products, by name."""

from typing import Any

from gen.paper import PaperDotProduct

__all__ = ["STRUCTURES"]

STRUCTURES: dict[str, Any] = {"paper": PaperDotProduct}
"""Classes as ``gen.dot.DotProduct`` describes."""
