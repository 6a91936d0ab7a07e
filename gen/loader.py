"""Loader: words of a stream to the rows of memories."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gen.crc import INITIAL, next_crc
from gen.index_shape import index_shape

__all__ = ["WORD", "Content", "Loader", "load_image", "load_words"]

WORD = data.StructLayout({"data": unsigned(32), "last": 1})
"""A word of a load, and whether it is the last one."""


@dataclass(frozen=True)
class Content:
    """What a memory holds, and how it is loaded.

    Parameters
    ----------
    bits : :class:`int`
        Width of a row.
    rows : tuple of :class:`int`
        The rows.
    """

    bits: int
    rows: tuple[int, ...]

    @property
    def words(self) -> int:
        """Words of a row: its low bits come first, the last word is padded with zeros."""
        return -(-self.bits // 32)

    @property
    def port(self) -> data.StructLayout:
        """Of a memory's write port: ``write``, ``row`` and ``data``."""
        return data.StructLayout({
            "write": 1, "row": index_shape(len(self.rows)), "data": self.bits})


def load_image(contents: Mapping[str, Content]) -> bytes:
    """The words of a load, little-endian: memory after memory, row after row, and the CRC-32 of
    all that (:func:`zlib.crc32`)."""
    rows = b"".join(row.to_bytes(4 * content.words, "little")
                    for content in contents.values() for row in content.rows)
    return rows + zlib.crc32(rows).to_bytes(4, "little")


def load_words(contents: Mapping[str, Content]) -> int:
    """Words of a load."""
    return sum(len(content.rows) * content.words for content in contents.values()) + 1


class Loader(wiring.Component):
    """Writes the words of :func:`load_image` to the memories. A row is written in the cycle after
    its last word was taken.

    A load that ends early, whose last word has no ``last``, or whose CRC is not that of its words,
    is void: it raises a flag that stays until the end of a load that is right. What follows a last
    word without ``last`` is dropped until that comes.

    Parameters
    ----------
    contents : dict of :class:`Content`
        By name of the memory, in the order of loading. Only their sizes count.

    Members
    -------
    words : :py:`In(stream.Signature(WORD))`
        Loads, one after the other.
    enable : :py:`In(1)`
        Whether words are taken.
    o : :py:`Out(StructLayout({...}))`
        Of each memory its :attr:`Content.port`.
    loaded : :py:`Out(1)`
        The last load was complete, and no other has begun.
    error : :py:`Out(1)`
        The last load had too few words, too many, or another CRC.
    """

    def __init__(self, contents: Mapping[str, Content]) -> None:
        self.contents = dict(contents)
        self.module_name = "loader"
        super().__init__({
            "words": In(stream.Signature(WORD)),
            "enable": In(1),
            "o": Out(data.StructLayout({
                name: content.port for name, content in self.contents.items()})),
            "loaded": Out(1), "error": Out(1),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        contents = list(self.contents.values())
        widest = max(content.words for content in contents)
        memory, word = Signal(range(len(contents) + 1)), Signal(index_shape(widest))
        row = Signal(index_shape(max(len(content.rows) for content in contents)))
        # The CRC comes as the one row of a memory of its own.
        last_word, last_row, final = (Signal(name=name) for name in
                                      ("last_word", "last_row", "final"))
        m.d.comb += [
            last_word.eq(
                word == Array([*(content.words - 1 for content in contents), 0])[memory]),
            last_row.eq(
                row == Array([*(len(content.rows) - 1 for content in contents), 0])[memory]),
            final.eq(last_word & last_row & (memory == len(contents))),
            self.words.ready.eq(self.enable),
        ]
        crc = Signal(32, init=INITIAL)

        # Words enter at the top, so that a row of any length ends there.
        taken = Signal(32 * widest, reset_less=True)
        write, written = Signal(len(contents)), Signal.like(row, reset_less=True)
        for k, (name, content) in enumerate(self.contents.items()):
            port = self.o[name]
            m.d.comb += [port.write.eq(write[k]), port.row.eq(written),
                         port.data.eq(taken[-32 * content.words:][:content.bits])]

        dropping, right = Signal(name="dropping"), Signal(name="right")
        m.d.comb += right.eq(final & ~dropping & (self.words.p.data == ~crc))
        m.d.sync += write.eq(0)
        with m.If(self.enable & self.words.valid):
            m.d.sync += [taken.eq(Cat(taken, self.words.p.data)[32:]), written.eq(row),
                         word.eq(word + 1), self.loaded.eq(0),
                         crc.eq(next_crc(crc, self.words.p.data))]
            with m.If(last_word):
                m.d.sync += [write.eq(Mux(dropping, 0, 1 << memory)), word.eq(0), row.eq(row + 1)]
                with m.If(last_row):
                    m.d.sync += [row.eq(0), memory.eq(memory + 1)]
            with m.If(self.words.p.last | final):
                m.d.sync += [word.eq(0), row.eq(0), memory.eq(0)]
            with m.If(self.words.p.last):
                m.d.sync += [self.loaded.eq(right), self.error.eq(~right), dropping.eq(0),
                             crc.eq(INITIAL)]
            with m.Elif(final):
                m.d.sync += [self.error.eq(1), dropping.eq(1)]
        return m
