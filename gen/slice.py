# amaranth: UnusedElaboratable=no
"""Slice: a dot product and its accumulators."""

from typing import Any

from amaranth import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.accumulator import Accumulator
from gen.dot import sum_bits
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
        A dot product of ``gen.structures.STRUCTURES``.
    accumulator_bits : :class:`int`
        Width of the accumulators, in bits.
    target : :class:`str`
        As of the dot product.

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

    def __init__(self, *, dot: Any, accumulator_bits: int, target: str = "portable") -> None:
        required = sum_bits(dot)
        if type(accumulator_bits) is not int or accumulator_bits < required:
            raise ValueError(f"Slice accumulator width must be at least the {required} bits of "
                             f"{dot.module_name}, not {accumulator_bits!r}")
        self.dot = dot
        self.accumulators = [
            Accumulator(ranges=dot.addend_ranges, carries=dot.carry_count, bits=accumulator_bits,
                        target=target) for _ in range(dot.SUMS)]
        self.latency = dot.latency + 1
        self.module_name = (
            f"{dot.module_name.replace('dot_', 'slice_', 1)}_acc{accumulator_bits}")
        self.inputs = [name for name, member in dot.signature.members.items() if member.flow == In]
        super().__init__({
            **{name: dot.signature.members[name] for name in self.inputs},
            "enable": In(1),
            "first": In(1),
            "acc": Out(data.ArrayLayout(signed(accumulator_bits), dot.SUMS)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dot = place(m, platform, "dot", self.dot)
        m.d.comb += [getattr(dot, name).eq(getattr(self, name)) for name in self.inputs]
        for k, component in enumerate(self.accumulators):
            accumulator = place(m, platform, f"accumulator_{k}", component)
            m.d.comb += [
                accumulator.addends.eq(dot.addends[k]),
                accumulator.enable.eq(self.enable),
                accumulator.first.eq(self.first),
                self.acc[k].eq(accumulator.acc),
            ]
            if self.dot.carry_count:
                m.d.comb += accumulator.carries.eq(dot.carries[k])
        return m
