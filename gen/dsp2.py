# amaranth: UnusedElaboratable=no
"""Dot products with two 8-bit multiplications in each DSP block."""

from typing import Any, ClassVar

from amaranth import Cat, Const, Module, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.dot import Encoding, check, members
from gen.hierarchy import place
from gen.pe import Multiplier
from gen.tree import TREES, AdderTree

__all__ = ["MAX_CHAIN", "PackedChain", "PackedDotProduct"]

LOW_BITS = 17
MAX_CHAIN = 4
"""Products whose sum fits the low field: 4 · 128 · 127 < 2^16."""


class PackedChain(wiring.Component):
    """Two dot products of the same activations, in as many DSP blocks as there are lanes.

    The low 17 bits of P = Σ x · (w1 · 2^17 + w0) are L = Σ x · w0, and those above are
    H = Σ x · w1, less one where L is negative, as its sign tells: ``low = L``,
    ``high + carry = H``.

    Each block adds w1 · 2^17 to w0, multiplies, and adds the sum of the block before it, which
    it registers: the inputs of each lane are one cycle later than those of the lane before. The
    block has most of the registers that this takes. Accepts activations in every cycle.

    Parameters
    ----------
    lanes : :class:`int`
        Activations: 1 to :data:`MAX_CHAIN`.
    delay : :class:`int`
        Cycles that all lanes are delayed besides.

    Attributes
    ----------
    low_range, high_range : :class:`range`
        Values of ``low`` and ``high``.
    latency : :class:`int`
        Cycles from the activations to the sums.

    Members
    -------
    x : :py:`In(ArrayLayout(signed(8), lanes))`
        Activations.
    w : :py:`In(ArrayLayout(ArrayLayout(signed(8), lanes), 2))`
        The weights of both sums, -127 to 127.
    low : :py:`Out(low_range)`
        The sum with the first weights.
    high : :py:`Out(high_range)`
        The sum with the second weights, less ``carry``.
    carry : :py:`Out(1)`
        Whether ``low`` is negative.

    Raises
    ------
    :exc:`ValueError`
        If the low field cannot hold the sum of so many products.
    """

    def __init__(self, *, lanes: int, delay: int = 0) -> None:
        if not 1 <= lanes <= MAX_CHAIN:
            raise ValueError(f"PackedChain lanes must be 1 to {MAX_CHAIN}, not {lanes!r}")
        self.lanes, self.delay = lanes, delay
        self.low_range = range(lanes * Multiplier.RANGE[0], lanes * Multiplier.RANGE[-1] + 1)
        self.high_range = range(self.low_range[0] - 1, self.low_range[-1] + 1)
        self.latency = delay + lanes + 1
        self.module_name = f"packed_chain_{lanes}_{delay}"
        super().__init__({
            "x": In(data.ArrayLayout(signed(8), lanes)),
            "w": In(data.ArrayLayout(data.ArrayLayout(signed(8), lanes), 2)),
            "low": Out(self.low_range),
            "high": Out(self.high_range),
            "carry": Out(1),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = LOW_BITS + Shape.cast(self.high_range).width
        total: Any = Const(0, signed(width))
        for k in range(self.lanes):
            late = self.delay + k
            x = _delayed(m, f"x_{k}", self.x[k], late)
            w0, w1 = (_delayed(m, f"w{n}_{k}", self.w[n][k], late - 1) for n in range(2))
            packed = Signal(signed(LOW_BITS + 8), name=f"packed_{k}", reset_less=True)
            product = Signal(signed(LOW_BITS + 16), name=f"product_{k}", reset_less=True,
                             attrs={"use_dsp": "yes"})
            before, total = total, Signal(signed(width), name=f"total_{k}", reset_less=True)
            # w0 first: yosys then finds two registers in front of the block's first adder.
            domain = m.d.sync if late else m.d.comb
            domain += packed.eq(w0 + Cat(Const(0, LOW_BITS), w1).as_signed())
            m.d.sync += product.eq(packed * x)
            m.d.sync += total.eq(before + product)
        m.d.comb += [
            self.low.eq(total[:LOW_BITS].as_signed()),
            self.high.eq(total[LOW_BITS:].as_signed()),
            self.carry.eq(total[LOW_BITS - 1]),
        ]
        return m


def _delayed(m: Module, name: str, value: Any, cycles: int) -> Any:
    """``value`` of so many cycles ago."""
    for cycle in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


class PackedDotProduct(wiring.Component):
    """Two sums with one DSP block a lane: :class:`PackedChain` s of nearly the same length, and an
    adder tree for each sum. See :class:`gen.dot.DotProduct`."""

    ENCODINGS: ClassVar = {"quant8": {"int8": Encoding("int8")}}
    TREES = TREES
    TARGETS = ("portable", "xc7")
    DSP = (True,)
    ACTIVATIONS = 1
    SUMS = 2

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", target: str = "portable",
                 dsp: bool = True, pipeline: int = 1) -> None:
        check(type(self), scheme=scheme, lanes=lanes, tree=tree, target=target, dsp=dsp)
        self.weight_shape = signed(8)
        count = -(-lanes // MAX_CHAIN)
        longest = -(-lanes // count)
        sizes = [(lanes + k) // count for k in range(count)]
        self.chains = [PackedChain(lanes=size, delay=longest - size) for size in sizes]
        self.trees = [
            AdderTree(ranges=ranges, carries=carries, tree=tree, target=target, pipeline=pipeline)
            for ranges, carries in [([chain.low_range for chain in self.chains], 0),
                                    ([chain.high_range for chain in self.chains], count)]]
        self.range = range(lanes * Multiplier.RANGE[0], lanes * Multiplier.RANGE[-1] + 1)
        self.addend_ranges = self.trees[1].addend_ranges
        self.carry_count = self.trees[1].carry_count
        self.latency = self.chains[0].latency + self.trees[0].latency
        self.module_name = (f"dot_dsp2_{scheme}_{lanes}_{tree}_p{pipeline}"
                            + ("_xc7" if target == "xc7" else ""))
        super().__init__(members(type(self), scheme=scheme, lanes=lanes,
                                 weight_shape=self.weight_shape,
                                 addend_ranges=self.addend_ranges, carry_count=self.carry_count))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        trees = [place(m, platform, f"tree_{n}", tree) for n, tree in enumerate(self.trees)]
        first, carries = 0, []
        for k, component in enumerate(self.chains):
            chain = place(m, platform, f"chain_{k}", component)
            for lane in range(component.lanes):
                m.d.comb += chain.x[lane].eq(self.x[first + lane])
                m.d.comb += [chain.w[n][lane].eq(self.w[n][first + lane]) for n in range(2)]
            m.d.comb += [tree.terms[k].eq(sums) for tree, sums in
                         zip(trees, (chain.low, chain.high), strict=True)]
            carries.append(chain.carry)
            first += component.lanes
        m.d.comb += trees[1].carries.eq(Cat(*carries))
        for n, tree in enumerate(trees):
            m.d.comb += [given.eq(addend) for given, addend in
                         zip(self.addends[n], tree.addends, strict=True)]
        m.d.comb += self.carries[1].eq(trees[1].carries_left)
        return m
