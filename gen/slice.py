# amaranth: UnusedElaboratable=no
"""Slice: a dot product and its accumulators."""

from typing import Any

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import place

__all__ = ["Slice"]


class Slice(wiring.Component):
    """A dot product that accumulates over vectors, for as many outputs as it has sums.

    In each cycle with ``enable``, ``acc = sums + (first ? 0 : acc)``, where ``sums`` belong to the
    vector of :attr:`dot`'s latency ago. ``enable`` and ``first`` belong to these sums: they are
    delayed once for all slices, by the array. Nothing saturates; :attr:`accumulator_bits` must
    suffice for the layer.

    Parameters
    ----------
    dot : component
        A dot product of ``gen.dot.STRUCTURES``.
    accumulator_bits : :class:`int`
        Width of the accumulators, in bits.

    Attributes
    ----------
    latency : :class:`int`
        Cycles from a vector to the accumulators that include it.

    Members
    -------
    x, w, mode
        As of the dot product.
    enable : :py:`In(1)`
        Whether the sums are those of a vector.
    first : :py:`In(1)`
        Whether they start new accumulations.
    acc : :py:`Out(ArrayLayout(signed(accumulator_bits), dot.SUMS))`
        Accumulators.

    Raises
    ------
    :exc:`ValueError`
        If the accumulators cannot hold the sums of one vector.
    """

    def __init__(self, *, dot: Any, accumulator_bits: int) -> None:
        required = Shape.cast(range(min(dot.range[0], -1), dot.range[-1] + 1)).width
        if type(accumulator_bits) is not int or accumulator_bits < required:
            raise ValueError(f"Slice accumulator width must be at least the {required} bits of "
                             f"{dot.module_name}, not {accumulator_bits!r}")
        self.dot = dot
        self.accumulator_bits = accumulator_bits
        self.latency = dot.latency + 1
        self.module_name = (
            f"{dot.module_name.replace('dot_', 'slice_', 1)}_acc{accumulator_bits}")
        members = dict(dot.signature.members.items())
        del members["sums"]
        super().__init__({
            **members,
            "enable": In(1),
            "first": In(1),
            "acc": Out(data.ArrayLayout(signed(accumulator_bits), dot.SUMS)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dot = place(m, platform, "dot", self.dot)
        m.d.comb += [dot.x.eq(self.x), dot.w.eq(self.w)]
        if "mode" in self.signature.members:
            m.d.comb += dot.mode.eq(self.mode)
        for k in range(self.dot.SUMS):
            acc = Signal(signed(self.accumulator_bits), name=f"acc_{k}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += acc.eq(Mux(self.first, 0, acc) + dot.sums[k])
            m.d.comb += self.acc[k].eq(acc)
        return m
