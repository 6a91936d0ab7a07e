# amaranth: UnusedElaboratable=no
"""A dot product of powers of two in which PEs shift, negate and add at once.

A product ±x·2^e is (x << e) with all its bits inverted where the weight is negative, and one more.
So it takes a carry besides its bits, which the carry chain of an adder takes in for nothing; and
the last part of the shift and the inversion fit into the LUTs of that adder.
"""

import functools
import itertools
from typing import Any, ClassVar

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen import xc7
from gen.dot import POWERS_OF_TWO, Encoding, check, members
from gen.hierarchy import VerilogPlatform, place
from gen.pe import POWER_OF_TWO, Shifter
from gen.tree import TREES, AdderTree

__all__ = ["AddingShifter", "InvertingShifter", "MergedDotProduct"]

INVERTED = range(-128 << 7, 128 << 7)
"""Values of a product less the carry that belongs to it."""


class InvertingShifter(wiring.Component):
    """Multiplication by a power of two, but for the carry of a negative one.

    Computes ``(nonzero ? x << exponent : 0) ^ (sign ? -1 : 0)``: the product less ``sign``.
    Combinational.

    Parameters
    ----------
    target : :class:`str`
        ``portable``, or ``xc7``: 19 LUTs.

    Attributes
    ----------
    range : :class:`range`
        Values of the sum.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    weight : :py:`In(POWER_OF_TWO)`
        Weight.
    sum : :py:`Out(range)`
        Product less ``sign``.
    """

    def __init__(self, *, target: str = "portable") -> None:
        self.target = target
        self.range = INVERTED
        self.module_name = "inverting_shifter" + "_xc7" * (target == "xc7")
        super().__init__({
            "x": In(signed(8)),
            "weight": In(POWER_OF_TWO),
            "sum": Out(self.range),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.target == "xc7" and isinstance(platform, VerilogPlatform):
            m.d.comb += self.sum.eq(self._mapped(m))
        else:
            m.d.comb += self.sum.eq(_inverted(m, self.x, self.weight))
        return m

    def _mapped(self, m: Module) -> Value:
        """The shift by 0 or 4 first: the zero and the inversion cost nothing there."""
        e0, e1, e2 = self.weight.exponent
        nonzero, sign = self.weight.nonzero, self.weight.sign
        x = [Const(0, 1)] * 4 + xc7.extend(self.x, 12)
        coarse = xc7.luts(m, "coarse", _second,
                          [(x[4 + i], x[i], e2, nonzero, sign) for i in range(12)],
                          pairs=[(0, 4), (1, 5), (2, 6), (3, 7), (8, 11)])
        padded = [sign] * 3 + coarse + coarse[-1:] * 2
        return Cat(*xc7.luts(m, "fine", _first,
                             [(*padded[i:i + 4], e0, e1) for i in range(14)],
                             pairs=[(0, 1), (12, 13)]), coarse[-1]).as_signed()


class AddingShifter(wiring.Component):
    """Multiplication by a power of two, and an addition.

    Computes ``sum = addend + (nonzero ? (-1)**sign * x << exponent : 0)``. Combinational.

    Parameters
    ----------
    values : :class:`range`
        Values of the addend.
    target : :class:`str`
        ``portable``, or ``xc7``: 8 LUTs, and one for each bit of the sum.

    Attributes
    ----------
    range : :class:`range`
        Values of the sum.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    weight : :py:`In(POWER_OF_TWO)`
        Weight.
    addend : :py:`In(values)`
        Addend.
    sum : :py:`Out(range)`
        Sum.
    """

    def __init__(self, *, values: range, target: str = "portable") -> None:
        self.target = target
        self.range = range(values[0] + Shifter.RANGE[0], values[-1] + Shifter.RANGE[-1] + 1)
        self.module_name = "_".join([
            "adding_shifter", str(values[0]).replace("-", "m"), str(values[-1])]
            + ["xc7"] * (target == "xc7"))
        super().__init__({
            "x": In(signed(8)),
            "weight": In(POWER_OF_TWO),
            "addend": In(values),
            "sum": Out(self.range),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.target == "xc7" and isinstance(platform, VerilogPlatform):
            m.d.comb += self.sum.eq(self._mapped(m))
        else:
            m.d.comb += self.sum.eq(
                self.addend + _inverted(m, self.x, self.weight) + self.weight.sign)
        return m

    def _mapped(self, m: Module) -> Value:
        e0, e1, e2 = self.weight.exponent
        nonzero, sign = self.weight.nonzero, self.weight.sign
        width = len(self.sum)
        x = [Const(0, 1)] * 3 + xc7.extend(self.x, 10)
        fine = xc7.luts(m, "fine", _first, [(*x[i:i + 4], e0, e1) for i in range(10)],
                        pairs=[(0, 1), (8, 9)])
        fine = [Const(0, 1)] * 4 + fine + x[-1:] * (width - 10)
        addend = xc7.extend(self.addend, width)
        select = xc7.luts(m, "select", lambda own, *others: own ^ _second(*others),
                          [(addend[i], fine[4 + i], fine[i], e2, nonzero, sign)
                           for i in range(width)], pairs=[])
        return xc7.carry_chain(m, "add", select, addend, sign).as_signed()


def _inverted(m: Module, x: Any, weight: Any) -> Value:
    """What an :class:`InvertingShifter` computes."""
    gated = Signal(signed(8), name="gated")
    inverted = Signal(INVERTED, name="inverted")
    m.d.comb += gated.eq(Mux(weight.nonzero, x, 0))
    m.d.comb += inverted.eq((gated << weight.exponent) ^ weight.sign.replicate(15).as_signed())
    return inverted


def _first(least: int, less: int, more: int, most: int, e0: int, e1: int) -> int:
    """A bit after a shift by 0 to 3: one of four, the last where nothing is shifted."""
    return (most, more, less, least)[e0 + 2 * e1]


def _second(straight: int, shifted: int, e2: int, nonzero: int, sign: int) -> int:
    """A bit after a shift by 0 or 4, the zero, and the inversion."""
    return (shifted if e2 else straight) & nonzero ^ sign


class MergedDotProduct(wiring.Component):
    """Groups of an :class:`InvertingShifter` and :class:`AddingShifter` after it, and an adder
    tree. See :class:`gen.dot.DotProduct`.

    A group has at most as many adders in a row as the tree has between registers, or one. Its sum
    is registered, with the carry of its first PE, as are the sums that the tree registers.
    """

    NAME: ClassVar = "merged"
    ENCODINGS: ClassVar = {"doubleq": {name: Encoding("pot5") for name in POWERS_OF_TWO}}
    TREES = TREES
    TARGETS = ("portable", "xc7")
    DSP = (False,)
    ACTIVATIONS = 1
    SUMS = 1

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", target: str = "portable",
                 dsp: bool = False, pipeline: int = 1) -> None:
        check(type(self), scheme=scheme, lanes=lanes, tree=tree, target=target, dsp=dsp)
        self.weight_shape = unsigned(5)
        self.groups = [_group(size, target) for size in group_sizes(lanes, tree, pipeline)]
        self.tree = AdderTree(ranges=[pes[-1].range for pes in self.groups],
                              carries=len(self.groups), tree=tree, target=target,
                              pipeline=pipeline)
        self.range = self.tree.range
        self.addend_ranges, self.carry_count = self.tree.addend_ranges, self.tree.carry_count
        self.latency = 1 + self.tree.latency
        self.module_name = (f"dot_{self.NAME}_{scheme}_{lanes}_{tree}_p{pipeline}"
                            + "_xc7" * (target == "xc7"))
        super().__init__(members(type(self), scheme=scheme, lanes=lanes,
                                 weight_shape=self.weight_shape,
                                 addend_ranges=self.addend_ranges, carry_count=self.carry_count))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tree = place(m, platform, "tree", self.tree)
        lanes = zip(self.x, self.w[0], strict=True)
        for number, components in enumerate(self.groups):
            total = Signal(components[-1].range, name=f"sum_{number}", reset_less=True)
            carry = Signal(name=f"carry_{number}", reset_less=True)
            pes = [place(m, platform, f"pe_{number}_{k}", component)
                   for k, component in enumerate(components)]
            for pe, (x, weight) in zip(pes, lanes, strict=False):
                m.d.comb += [pe.x.eq(x), Value.cast(pe.weight).eq(weight)]
            for pe, before in itertools.pairwise(reversed(pes)):
                m.d.comb += pe.addend.eq(before.sum)
            m.d.sync += [total.eq(pes[-1].sum), carry.eq(pes[0].weight.sign)]
            m.d.comb += [tree.terms[number].eq(total), tree.carries[number].eq(carry)]
        m.d.comb += self.addends[0].eq(tree.addends)
        m.d.comb += self.carries[0].eq(tree.carries_left)
        return m


@functools.cache
def group_sizes(lanes: int, tree: str, pipeline: int) -> list[int]:
    """PEs of each group, the larger ones first: those that take fewest LUTs and flip-flops,
    together with the tree."""
    fewest = -(-lanes // (1 + max(1, pipeline)))
    return min(([-(-(lanes - k) // groups) for k in range(groups)]
                for groups in range(fewest, lanes + 1)),
               key=lambda sizes: _cost(sizes, tree, pipeline))


def _cost(sizes: list[int], tree: str, pipeline: int) -> int:
    """LUTs and flip-flops of groups and tree, as target ``xc7`` has them."""
    adders = AdderTree(ranges=[_values(size) for size in sizes], carries=len(sizes), tree=tree,
                       pipeline=pipeline)
    cost = sum(19 + sum(8 + _width(_values(pes)) for pes in range(2, size + 1))
               + _width(_values(size)) + 1 for size in sizes)
    for number, level in enumerate(adders.plan, 1):
        cost += sum(_width(values) for values, arity in
                    zip(level.ranges, level.arities, strict=True) if arity > 1)
        if pipeline and number % pipeline == 0:
            cost += sum(map(_width, level.ranges)) + level.carries
    return cost


def _values(pes: int) -> range:
    """Values of the sum of a group, without its carry."""
    return range(INVERTED.start * pes, INVERTED.stop * pes)


def _width(values: range) -> int:
    return Shape.cast(values).width


def _group(size: int, target: str) -> list[Any]:
    pes: list[Any] = [InvertingShifter(target=target)]
    while len(pes) < size:
        pes.append(AddingShifter(values=pes[-1].range, target=target))
    return pes
