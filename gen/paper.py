# amaranth: UnusedElaboratable=no
"""The paper's dot product: multipliers, shifters or both, and an adder tree."""

from typing import Any, ClassVar

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring

from gen.dot import POWERS_OF_TWO, Encoding, check, members
from gen.hierarchy import place
from gen.pe import Mixed, Multiplier, Shifter
from gen.tree import TREES, AdderTree

__all__ = ["PaperDotProduct"]


class PaperDotProduct(wiring.Component):
    """One PE for each activation, and an adder tree: the reference. See
    :class:`gen.dot.DotProduct`.

    Each product is registered, as are the sums that the tree registers.
    """

    ENCODINGS: ClassVar = {
        "quant8": {"int8": Encoding("int8")},
        "doubleq": {name: Encoding("pot5") for name in POWERS_OF_TWO},
        "doubleqext": {"int8": Encoding("int8", mode=0),
                       **{name: Encoding("pot5", mode=1) for name in POWERS_OF_TWO}},
    }
    TREES = TREES
    TARGETS = ("portable",)
    DSP = (False, True)
    ACTIVATIONS = 1
    SUMS = 1

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", target: str = "portable",
                 dsp: bool = False, pipeline: int = 1) -> None:
        check(type(self), scheme=scheme, lanes=lanes, tree=tree, target=target, dsp=dsp)
        self.scheme = scheme
        self.weight_shape = {"quant8": signed(8), "doubleq": unsigned(5),
                             "doubleqext": unsigned(8)}[scheme]
        pe = {"quant8": Multiplier, "doubleq": Shifter, "doubleqext": Mixed}[scheme]
        options = {} if pe is Shifter else {"dsp": dsp}
        self.pes: list[Any] = [pe(**options) for _ in range(lanes)]
        self.tree = AdderTree(ranges=[pe.RANGE for pe in self.pes], tree=tree, pipeline=pipeline)
        self.range = self.tree.range
        self.addend_ranges = self.tree.addend_ranges
        self.carry_count = 0
        self.latency = 1 + self.tree.latency
        self.module_name = (f"dot_paper_{scheme}_{lanes}_{tree}_p{pipeline}"
                            + ("_dsp" if dsp else ""))
        super().__init__(members(type(self), scheme=scheme, lanes=lanes,
                                 weight_shape=self.weight_shape,
                                 addend_ranges=self.addend_ranges, carry_count=0))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tree = place(m, platform, "tree", self.tree)
        for k, component in enumerate(self.pes):
            pe = place(m, platform, f"pe_{k}", component)
            product = Signal(component.RANGE, name=f"product_{k}", reset_less=True)
            m.d.comb += pe.x.eq(self.x[k])
            m.d.comb += Value.cast(pe.weight).eq(self.w[0][k])
            if self.scheme == "doubleqext":
                m.d.comb += pe.mode.eq(self.mode)
            m.d.sync += product.eq(pe.product)
            m.d.comb += tree.terms[k].eq(product)
        m.d.comb += self.addends[0].eq(tree.addends)
        return m
