# amaranth: UnusedElaboratable=no
"""Dot products: the interchangeable unit of the array.

Every structure is a component with the constructor parameters, attributes and members of
:class:`PaperDotProduct`, entered in :data:`STRUCTURES` by its name.
"""

from dataclasses import dataclass
from typing import Any

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import place
from gen.pe import Mixed, Multiplier, Shifter
from gen.tree import AdderTree
from models import formats

__all__ = ["ENCODINGS", "STRUCTURES", "WEIGHT_SHAPES", "Encoding", "PaperDotProduct"]


@dataclass(frozen=True)
class Encoding:
    """How weights of one format are presented to a dot product.

    Parameters
    ----------
    code : :class:`str`
        Weight format whose codes are put on the weight port, in its low bits.
    mode : :class:`int` or None
        Value of the mode bit; None where there is no such bit.
    passes : :class:`int`
        Times that a vector is streamed, with other codes, to make one sum.
    """

    code: str
    mode: int | None = None
    passes: int = 1


POWER_OF_TWO = [f.name for f in formats.FORMATS.values() if f.power_of_two]

ENCODINGS = {
    "quant8": {"int8": Encoding("int8")},
    "doubleq": {name: Encoding("pot5") for name in POWER_OF_TWO},
    "doubleqext": {"int8": Encoding("int8", mode=0),
                   **{name: Encoding("pot5", mode=1) for name in POWER_OF_TWO}},
}
"""By scheme, the formats that its PEs take."""

WEIGHT_SHAPES = {"quant8": signed(8), "doubleq": unsigned(5), "doubleqext": unsigned(8)}
"""By scheme, the shape of a weight on the port of its PEs."""


class PaperDotProduct(wiring.Component):
    """The paper's dot product: one PE for each activation, and an adder tree.

    Computes ``sums[0] = Σ x[k] · w[0][k]``. Accepts a vector in every cycle. Each product is
    registered, as are the sums that the tree registers. Registers have no reset and no enable.

    Parameters
    ----------
    scheme : :class:`str`
        One of :attr:`ENCODINGS`, which chooses the PE: multiplier, shifter or mixed.
    lanes : :class:`int`
        Activations per cycle.
    tree : :class:`str`
        One of :attr:`TREES`.
    dsp : :class:`bool`
        Whether multipliers, if any, are to use DSP blocks.
    pipeline : :class:`int`
        As of :class:`AdderTree`.

    Attributes
    ----------
    ENCODINGS : dict of dict of :class:`Encoding`
        By scheme that the structure exists for, the weight formats that it takes, by name.
    TREES, TARGETS : :class:`tuple` of :class:`str`
        The adder trees and targets that the structure exists for.
    SUMS : :class:`int`
        Sums per cycle: outputs that share the activations.
    weight_shape : :class:`Shape`
        Shape of a weight's code on the port.
    range : :class:`range`
        Values of a sum.
    latency : :class:`int`
        Cycles from a vector to its sums.

    Members
    -------
    x : :py:`In(ArrayLayout(signed(8), lanes))`
        Activations.
    w : :py:`In(ArrayLayout(ArrayLayout(weight_shape, lanes), SUMS))`
        Codes of the weights.
    mode : :py:`In(1)`
        Mode bit of the vector's weights. Only for ``doubleqext``.
    sums : :py:`Out(ArrayLayout(range, SUMS))`
        Sums.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range or unknown.
    """

    ENCODINGS = ENCODINGS
    TREES = ("binary",)
    TARGETS = ("portable",)
    SUMS = 1

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", dsp: bool = False,
                 pipeline: int = 1) -> None:
        for name, value, known in [("scheme", scheme, self.ENCODINGS), ("tree", tree, self.TREES)]:
            if value not in known:
                raise ValueError(f"PaperDotProduct {name} must be one of {', '.join(known)}, "
                                 f"not {value!r}")
        if type(lanes) is not int or lanes < 1:
            raise ValueError(f"PaperDotProduct lanes must be a positive integer, not {lanes!r}")
        self.scheme = scheme
        self.lanes = lanes
        self.weight_shape = WEIGHT_SHAPES[scheme]
        pe = {"quant8": Multiplier, "doubleq": Shifter, "doubleqext": Mixed}[scheme]
        options = {} if pe is Shifter else {"dsp": dsp}
        self.pes: list[Any] = [pe(**options) for _ in range(lanes)]
        self.tree = AdderTree(ranges=[pe.RANGE for pe in self.pes], pipeline=pipeline)
        self.range = self.tree.range
        self.latency = 1 + self.tree.latency
        self.module_name = f"dot_paper_{scheme}_{lanes}_p{pipeline}" + ("_dsp" if dsp else "")
        members = {
            "x": In(data.ArrayLayout(signed(8), lanes)),
            "w": In(data.ArrayLayout(data.ArrayLayout(self.weight_shape, lanes), self.SUMS)),
            "sums": Out(data.ArrayLayout(self.range, self.SUMS)),
        }
        if scheme == "doubleqext":
            members["mode"] = In(1)
        super().__init__(members)

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
        m.d.comb += self.sums[0].eq(tree.sum)
        return m


STRUCTURES: dict[str, Any] = {"paper": PaperDotProduct}
"""The structures by name."""

