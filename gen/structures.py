"""The structures of dot products, by name."""

from typing import Any

from gen.booth import BoothDecodingDotProduct, BoothDotProduct
from gen.dsp2 import PackedDotProduct
from gen.dual import DualDotProduct
from gen.merged import MergedDotProduct
from gen.paper import PaperDotProduct
from gen.terms import TermsDotProduct

__all__ = ["STRUCTURES"]

STRUCTURES: dict[str, Any] = {
    "paper": PaperDotProduct,
    "merged": MergedDotProduct,
    "terms": TermsDotProduct,
    "booth": BoothDotProduct,
    "booth-decode": BoothDecodingDotProduct,
    "dsp2": PackedDotProduct,
    "dual": DualDotProduct,
}
"""Classes as ``gen.dot.DotProduct`` describes."""
