"""Accumulator of what a dot product leaves of its sum."""

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen import xc7
from gen.hierarchy import VerilogPlatform

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """Adds addends and carries up.

    At each clock edge with ``enable``, ``acc = Σ addends + Σ carries + (first ? 0 : acc)``.
    Nothing saturates; :attr:`bits` must suffice. No reset.

    Parameters
    ----------
    ranges : sequence of :class:`range`
        Values of each addend: one or two.
    carries : :class:`int`
        Carries, at most as many as addends.
    bits : :class:`int`
        Width in bits.
    target : :class:`str`
        ``portable``, or ``xc7``: one LUT a bit.

    Members
    -------
    addends : :py:`In(ArrayLayout(range, len(ranges)))`
        Addends.
    carries : :py:`In(carries)`
        Carries. Only where there are some.
    enable : :py:`In(1)`
        Whether they count.
    first : :py:`In(1)`
        Whether they start a new accumulation.
    acc : :py:`Out(signed(bits))`
        Accumulator.
    """

    def __init__(self, *, ranges: Sequence[range], carries: int, bits: int,
                 target: str = "portable") -> None:
        self.addend_count, self.carry_count = len(ranges), carries
        self.target = target
        widest = range(min(r[0] for r in ranges), max(r[-1] for r in ranges) + 1)
        width = Shape.cast(widest).width
        self.module_name = (f"accumulator_{len(ranges)}x{width}_c{carries}_{bits}"
                            + ("_xc7" if target == "xc7" else ""))
        members = {
            "addends": In(data.ArrayLayout(widest, len(ranges))),
            "enable": In(1),
            "first": In(1),
            "acc": Out(signed(bits)),
        }
        if carries:
            members["carries"] = In(carries)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        acc = Signal.like(self.acc, name="register", reset_less=True)
        addends = [Signal.like(addend, name=f"addend_{k}")
                   for k, addend in enumerate(self.addends)]
        m.d.comb += [own.eq(given) for own, given in zip(addends, self.addends, strict=True)]
        carries = list(self.carries) if self.carry_count else []
        if self.target == "xc7" and isinstance(platform, VerilogPlatform):
            total = xc7.add(m, "add", [*addends, acc], carries, len(acc), gate=~self.first)
        else:
            total = sum([*addends, *carries], Mux(self.first, 0, acc))
        with m.If(self.enable):
            m.d.sync += acc.eq(total)
        m.d.comb += self.acc.eq(acc)
        return m
