"""Activation memory: banks of words."""

from typing import Any

from amaranth import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.index_shape import index_shape

__all__ = ["ActivationMemory"]


class ActivationMemory(wiring.Component):
    """Banks that are read at an address each, and written at one address.

    A read gives the word as it was before a write in the same cycle.

    Parameters
    ----------
    banks, depth : :class:`int`
        Banks, and words of each.
    parts : :class:`int`
        Parts of a word that are written separately.
    bits : :class:`int`
        Width of a part, in bits.
    sources : :class:`int`
        Words that are written at a time: bank *b* takes word *b* mod ``sources``.

    Members
    -------
    read_address : :py:`In(ArrayLayout(range(depth), banks))`
        Addresses.
    read_data : :py:`Out(ArrayLayout(parts * bits, banks))`
        Words at the addresses of the cycle before.
    write_banks : :py:`In(banks)`
        Which banks are written.
    write_parts : :py:`In(parts)`
        Which parts of their words.
    write_address : :py:`In(range(depth))`
        Where.
    write_data : :py:`In(ArrayLayout(parts * bits, sources))`
        What.
    """

    def __init__(self, *, banks: int, depth: int, parts: int, bits: int, sources: int) -> None:
        self.banks, self.depth, self.parts, self.bits = banks, depth, parts, bits
        self.sources = sources
        self.module_name = "activation_memory"
        word = unsigned(parts * bits)
        super().__init__({
            "read_address": In(data.ArrayLayout(index_shape(depth), banks)),
            "read_data": Out(data.ArrayLayout(word, banks)),
            "write_banks": In(banks),
            "write_parts": In(parts),
            "write_address": In(index_shape(depth)),
            "write_data": In(data.ArrayLayout(word, sources)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for b in range(self.banks):
            memory = Memory(shape=unsigned(self.parts * self.bits), depth=self.depth, init=[],
                            attrs={"ram_style": "block"})
            m.submodules[f"bank_{b}"] = memory
            read, write = memory.read_port(), memory.write_port(granularity=self.bits)
            m.d.comb += [
                read.addr.eq(self.read_address[b]),
                self.read_data[b].eq(read.data),
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data[b % self.sources]),
                write.en.eq(self.write_parts & self.write_banks[b].replicate(self.parts)),
            ]
        return m
