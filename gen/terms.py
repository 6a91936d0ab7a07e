"""A dot product of powers of two that takes 8-bit weights in several passes."""

from typing import ClassVar

from gen.dot import POWERS_OF_TWO, Encoding
from gen.merged import MergedDotProduct

__all__ = ["TermsDotProduct"]


class TermsDotProduct(MergedDotProduct):
    """A :class:`gen.merged.MergedDotProduct` to which an 8-bit weight is the sum of up to four
    signed powers of two, one a pass. See :class:`gen.dot.DotProduct`.

    Before the last pass an accumulator may be beyond what its width, which the weights require,
    can hold; modulo 2\\ :sup:`width`, it is exact after it.
    """

    NAME = "terms"
    ENCODINGS: ClassVar = {
        "quant8": {"int8": Encoding("terms")},
        "doubleqext": {"int8": Encoding("terms"),
                       **{name: Encoding("pot5") for name in POWERS_OF_TWO}},
    }
