# amaranth: UnusedElaboratable=no
"""Dot product of lanes that multiply one activation with an 8-bit weight, or two activations with
a power of two each."""

from typing import Any, ClassVar

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen import xc7
from gen.booth import BoothMultiplier
from gen.dot import POWERS_OF_TWO, Encoding, check, members
from gen.hierarchy import VerilogPlatform, place
from gen.tree import TREES, AdderTree

__all__ = ["HALF", "DualDotProduct", "ShiftingAdder"]

HALF = data.StructLayout({"word": 5, "high": 1})
"""Half of a word of the codes ``dual-int8`` and ``dual-pot``."""


class ShiftingAdder(wiring.Component):
    """Adds two products that each count once or 16-fold, and the carry that belongs to each, less
    the carry of the second.

    Computes ``sum = Σ (products[n] + carries[n]) · 16^high[n] − carries[1]``. A carry that counts
    16-fold is added as ones in the four bits below its product and one more, for which there is an
    input in the carry chain for the first product, and none for the second. Combinational.

    Parameters
    ----------
    target : :class:`str`
        ``portable``, or ``xc7``: 24 LUTs.

    Members
    -------
    products : :py:`In(ArrayLayout(signed(12), 2))`
        Products.
    carries : :py:`In(2)`
        Their carries.
    high : :py:`In(2)`
        Whether they count 16-fold.
    sum : :py:`Out(signed(17))`
        Sum. A product and its carry must be −1024 to 1024 together, for it to fit.
    """

    def __init__(self, *, target: str = "portable") -> None:
        self.target = target
        self.module_name = "shifting_adder" + "_xc7" * (target == "xc7")
        super().__init__({
            "products": In(data.ArrayLayout(signed(12), 2)),
            "carries": In(2),
            "high": In(2),
            "sum": Out(signed(17)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.target == "xc7" and isinstance(platform, VerilogPlatform):
            m.d.comb += self.sum.eq(self._mapped(m))
        else:
            terms = [Mux(high, Cat(carry.replicate(4), product).as_signed(), product)
                     for product, carry, high in zip(self.products, self.carries, self.high,
                                                     strict=True)]
            m.d.comb += self.sum.eq(terms[0] + terms[1] + self.carries[0])
        return m

    def _mapped(self, m: Module) -> Value:
        """The terms have 16 bits. They are added with their signs inverted and a constant one
        above, which needs no LUT."""
        first, second = (
            [(high, *bits) for bits in zip(
                xc7.extend(product, 15), [carry] * 4 + xc7.extend(product, 11), strict=True)]
            for product, carry, high in zip(self.products, self.carries, self.high, strict=True))
        signs = [product[-1] for product in self.products]
        term = xc7.luts(m, "term", _chosen, first, pairs=[(i, i + 1) for i in range(0, 14, 2)])
        select = xc7.luts(m, "select", lambda own, *other: own ^ _chosen(*other),
                          [(own, *other) for own, other in zip(term, second, strict=True)],
                          pairs=[])
        inverse, top = xc7.lut_pair(m, "top", lambda a, b: 1 ^ a, lambda a, b: a ^ b, *signs)
        return xc7.carry_chain(m, "add", [*select, top, Const(1, 1)],
                               [*term, inverse, Const(0, 1)], self.carries[0])


def _chosen(high: int, plain: int, shifted: int) -> int:
    """A bit of a product, shifted by four or not."""
    return shifted if high else plain


class DualDotProduct(wiring.Component):
    """Two short Booth multipliers for each pair of activations, an adder of the two, and an adder
    tree. See :class:`gen.dot.DotProduct`.

    The halves of a lane multiply by two powers of two, or, given the same activation, by the two
    halves of an 8-bit weight. The sum of a lane is registered, as are the sums that the tree
    registers: what is before the lane's register are no adder levels to ``pipeline``.
    """

    ENCODINGS: ClassVar = {
        "doubleq": {name: Encoding("dual-pot") for name in POWERS_OF_TWO},
        "doubleqext": {"int8": Encoding("dual-int8"),
                       **{name: Encoding("dual-pot") for name in POWERS_OF_TWO}},
    }
    TREES = TREES
    TARGETS = ("portable", "xc7")
    DSP = (False,)
    ACTIVATIONS = 2
    SUMS = 1
    NAME: ClassVar = "dual"

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", target: str = "portable",
                 dsp: bool = False, pipeline: int = 1) -> None:
        check(type(self), scheme=scheme, lanes=lanes, tree=tree, target=target, dsp=dsp)
        self.lanes, self.target = lanes, target
        self.weight_shape = unsigned(12)
        # The extremes are of weights without a carry.
        self.lane_range = range(-2 * 128 * 128, 2 * 128 * 128 + 1)
        self.range = range(lanes * self.lane_range[0], lanes * self.lane_range[-1] + 1)
        self.tree = AdderTree(ranges=[self.lane_range] * lanes, carries=lanes, tree=tree,
                              target=target, pipeline=pipeline)
        self.addend_ranges, self.carry_count = self.tree.addend_ranges, self.tree.carry_count
        self.latency = 1 + self.tree.latency
        self.module_name = (f"dot_{self.NAME}_{scheme}_{lanes}_{tree}_p{pipeline}"
                            + "_xc7" * (target == "xc7"))
        super().__init__(members(type(self), scheme=scheme, lanes=lanes,
                                 weight_shape=self.weight_shape, addend_ranges=self.addend_ranges,
                                 carry_count=self.carry_count))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tree = place(m, platform, "tree", self.tree)
        for k in range(self.lanes):
            adder = place(m, platform, f"adder_{k}", ShiftingAdder(target=self.target))
            word = Signal(data.ArrayLayout(HALF, 2), name=f"word_{k}")
            m.d.comb += Value.cast(word).eq(self.w[0][k])
            for n, half in enumerate(word):
                multiplier = place(m, platform, f"multiplier_{k}_{n}",
                                   BoothMultiplier(rows=2, target=self.target))
                m.d.comb += [
                    multiplier.x.eq(self.x[2 * k + n]),
                    multiplier.word.eq(half.word),
                    adder.products[n].eq(multiplier.product),
                    adder.carries[n].eq(half.word[1]),
                    adder.high[n].eq(half.high),
                ]
            total = Signal(self.lane_range, name=f"sum_{k}", reset_less=True)
            carry = Signal(name=f"carry_{k}", reset_less=True)
            m.d.sync += [total.eq(adder.sum), carry.eq(adder.carries[1])]
            m.d.comb += [tree.terms[k].eq(total), tree.carries[k].eq(carry)]
        m.d.comb += self.addends[0].eq(tree.addends)
        m.d.comb += self.carries[0].eq(tree.carries_left)
        return m
