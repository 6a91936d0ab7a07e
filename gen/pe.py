# amaranth: UnusedElaboratable=no
"""Processing elements: one activation times one weight."""

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import place

__all__ = ["POWER_OF_TWO", "Mixed", "Multiplier", "Shifter"]

POWER_OF_TWO = data.StructLayout({"exponent": 3, "nonzero": 1, "sign": 1})
"""A decoded power-of-two weight: nonzero ? (−1)^sign · 2^exponent : 0. As bits, it is the code of
``pot5``."""


class Multiplier(wiring.Component):
    """8 × 8 bit multiplier.

    Computes ``product = x * weight``. The weight -128 is illegal: its product may not fit.
    Combinational.

    Parameters
    ----------
    dsp : :class:`bool`
        Whether synthesis is told to use a DSP block; it is told not to otherwise.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    weight : :py:`In(signed(8))`
        Weight, -127 to 127: the code of ``int8``.
    product : :py:`Out(RANGE)`
        Product.
    """

    RANGE = range(-128 * 127, 128 * 127 + 1)

    def __init__(self, *, dsp: bool = False) -> None:
        self.dsp = dsp
        self.module_name = "multiplier_dsp" if dsp else "multiplier"
        super().__init__({
            "x": In(signed(8)),
            "weight": In(signed(8)),
            "product": Out(self.RANGE),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full = Signal(signed(16), attrs={"use_dsp": "yes" if self.dsp else "no"})
        m.d.comb += full.eq(self.x * self.weight)
        m.d.comb += self.product.eq(full)
        return m


class Shifter(wiring.Component):
    """Multiplication by a power of two, as a conditional negation and a shift.

    Computes ``product = nonzero ? (-1)**sign * x << exponent : 0``. Combinational.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    weight : :py:`In(POWER_OF_TWO)`
        Weight.
    product : :py:`Out(RANGE)`
        Product.
    """

    RANGE = range(-128 << 7, (128 << 7) + 1)

    def __init__(self) -> None:
        self.module_name = "shifter"
        super().__init__({
            "x": In(signed(8)),
            "weight": In(POWER_OF_TWO),
            "product": Out(self.RANGE),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        gated = Signal(signed(8))
        flipped = Signal(signed(8))
        addend = Signal(signed(9))
        m.d.comb += gated.eq(Mux(self.weight.nonzero, self.x, 0))
        # -x = ~x + 1. Zero needs no exception: ~0 + 1 = 0.
        m.d.comb += flipped.eq(Mux(self.weight.sign, ~gated, gated))
        m.d.comb += addend.eq(flipped + self.weight.sign)
        m.d.comb += self.product.eq(addend << self.weight.exponent)
        return m


class Mixed(wiring.Component):
    """A :class:`Multiplier` and a :class:`Shifter` of which one is selected.

    Computes the multiplier's product when ``mode`` is 0, and the shifter's when it is 1.
    Combinational.

    Parameters
    ----------
    dsp : :class:`bool`
        As of :class:`Multiplier`.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    weight : :py:`In(8)`
        The weight's code: that of ``int8`` when ``mode`` is 0, that of ``pot5`` in the low 5 bits
        when it is 1.
    mode : :py:`In(1)`
        Which of the two.
    product : :py:`Out(RANGE)`
        Product.
    """

    RANGE = range(min(Multiplier.RANGE.start, Shifter.RANGE.start),
                  max(Multiplier.RANGE.stop, Shifter.RANGE.stop))

    def __init__(self, *, dsp: bool = False) -> None:
        self.dsp = dsp
        self.module_name = "mixed_dsp" if dsp else "mixed"
        super().__init__({
            "x": In(signed(8)),
            "weight": In(8),
            "mode": In(1),
            "product": Out(self.RANGE),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        multiplier = place(m, platform, "multiplier", Multiplier(dsp=self.dsp))
        shifter = place(m, platform, "shifter", Shifter())
        m.d.comb += [
            multiplier.x.eq(self.x),
            multiplier.weight.eq(self.weight),
            shifter.x.eq(self.x),
            shifter.weight.as_value().eq(self.weight[:POWER_OF_TWO.size]),
            self.product.eq(Mux(self.mode, shifter.product, multiplier.product)),
        ]
        return m
