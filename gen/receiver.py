"""Receiver: pixels to the words of the network's input."""

from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.index_shape import index_shape
from gen.schedule import Tensor

__all__ = ["PIXEL", "Receiver"]

PIXEL = data.StructLayout({"data": unsigned(8), "last": 1})
"""A byte of an image: rows, columns, then channels; ``last`` with the last one."""


class Receiver(wiring.Component):
    """Looks pixels up in the network's table (equation 1 of ``models.golden``), packs them, and
    has them written to the activation memory.

    An image that ends early is dropped, and so is one whose last byte has no ``last``, with all
    that follows until it comes. Both raise a flag that stays until reset.

    Parameters
    ----------
    tensor : :class:`gen.schedule.Tensor`
        The input.
    table : array
        Pixel to q, [channels, 256].
    shape : :class:`tuple`
        Channels, height and width of an image.
    packed, stride, padding : :class:`int`
        Columns under the kernel that a word holds, 1 if not packed; and the columns' stride and
        padding of the reader, 1 and 0 if not packed.
    wide, banks, depth : :class:`int`
        Activations of a word, banks, and their addresses.

    Members
    -------
    pixels : :py:`In(stream.Signature(PIXEL))`
        Images.
    request : :py:`Out(1)`
        Whether a word is to be written.
    grant : :py:`In(1)`
        Whether it is written in this cycle.
    bank : :py:`Out(range(banks))`
        Its bank.
    address : :py:`Out(range(depth))`
        Its address.
    word : :py:`Out(8 * wide)`
        The word.
    full : :py:`Out(1)`
        An image is there.
    free : :py:`In(1)`
        It may be overwritten.
    short, long : :py:`Out(1)`
        An image had too few bytes, or too many.
    """

    def __init__(self, *, tensor: Tensor, table: np.ndarray, shape: tuple[int, int, int],
                 packed: int, stride: int, padding: int, wide: int, banks: int, depth: int
                 ) -> None:
        self.tensor, self.table, self.image_shape = tensor, table, shape
        self.packed, self.stride, self.padding = packed, stride, padding
        self.wide, self.banks = wide, banks
        self.module_name = "receiver"
        super().__init__({
            "pixels": In(stream.Signature(PIXEL)),
            "request": Out(1), "grant": In(1),
            "bank": Out(index_shape(banks)), "address": Out(index_shape(depth)),
            "word": Out(8 * wide),
            "full": Out(1), "free": In(1), "short": Out(1), "long": Out(1),
        })

    @property
    def columns(self) -> int:
        """Columns of a row, with as many of padding behind them as its last window needs."""
        return max(self.image_shape[2],
                   (self.tensor.width - 1) * self.stride - self.padding + self.packed)

    @property
    def cycles(self) -> int:
        """Cycles from the first byte of an image to ``full``, where nothing waits."""
        channels, height, width = self.image_shape
        columns, words = self.columns, self.tensor.width * self.tensor.blocks
        # A byte takes two cycles, a column of padding one, and each column and row one or two more.
        return height * (2 * channels * width + columns - width + 2 * columns + words + 1) - 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tensor, columns = self.tensor, self.columns
        channels, height, width = self.image_shape
        zeros = Cat(*[Const(tensor.zero & 255, 8)] * channels)

        table = Memory(shape=unsigned(8), depth=channels << 8,
                       init=[int(q) & 255 for q in self.table.reshape(-1)])
        m.submodules.lookup = table
        port = table.read_port()
        window = Signal(8 * channels * self.packed, reset_less=True)
        channel, column = Signal(index_shape(channels)), Signal(index_shape(columns))
        row = Signal(index_shape(height))
        last_channel, last_byte = Signal(name="last_channel"), Signal(name="last_byte")
        m.d.comb += [
            port.addr.eq(Cat(self.pixels.p.data, channel)[:len(port.addr)]),
            last_channel.eq(channel == channels - 1),
            last_byte.eq(last_channel & (column == width - 1) & (row == height - 1)),
        ]

        # Where the next window goes, and in how many columns it is due.
        due_in = Signal(index_shape(max(self.packed, self.stride)))
        made = Signal(range(tensor.width + 1))
        block = Signal(index_shape(tensor.blocks))
        bank = Signal(index_shape(self.banks))
        line, place = (Signal.like(self.address, name=name) for name in ("line", "place"))
        words = Cat(window, *[Const(tensor.zero & 255, 8)]
                    * (tensor.blocks * self.wide - channels * self.packed))
        m.d.comb += [
            self.bank.eq(bank),
            self.address.eq(line + place + block),
            self.word.eq(words.word_select(block, 8 * self.wide)),
        ]

        with m.FSM():
            with m.State("IMAGE"):
                m.d.sync += [row.eq(0), line.eq(tensor.base)]
                m.next = "ROW"
            with m.State("ROW"):
                m.d.sync += [
                    window.eq(Cat(*[zeros] * self.packed)), channel.eq(0), column.eq(0),
                    due_in.eq(self.packed - 1 - self.padding), made.eq(0), bank.eq(0),
                    place.eq(0),
                ]
                m.next = "BYTE"
            with m.State("BYTE"):
                with m.If(column >= width):
                    m.d.sync += window.eq(Cat(window, zeros)[8 * channels:])
                    m.next = "WINDOW"
                with m.Else():
                    m.d.comb += self.pixels.ready.eq(1)
                    with m.If(self.pixels.valid):
                        m.next = "LOOK UP"
                        with m.If(self.pixels.p.last & ~last_byte):
                            m.d.sync += self.short.eq(1)
                            m.next = "IMAGE"
                        with m.If(~self.pixels.p.last & last_byte):
                            m.d.sync += self.long.eq(1)
                            m.next = "DROP"
            with m.State("LOOK UP"):
                m.d.sync += [window.eq(Cat(window, port.data)[8:]),
                             channel.eq(Mux(last_channel, 0, channel + 1))]
                m.next = "BYTE"
                with m.If(last_channel):
                    m.next = "WINDOW"
            with m.State("WINDOW"):
                m.next = "COLUMN"
                with m.If(due_in != 0):
                    m.d.sync += due_in.eq(due_in - 1)
                with m.Elif(made < tensor.width):
                    m.d.sync += [due_in.eq(self.stride - 1), made.eq(made + 1), block.eq(0)]
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.request.eq(1)
                with m.If(self.grant):
                    m.d.sync += block.eq(block + 1)
                    with m.If(block == tensor.blocks - 1):
                        m.d.sync += bank.eq(bank + 1)
                        with m.If(bank == self.banks - 1):
                            m.d.sync += [bank.eq(0), place.eq(place + tensor.blocks)]
                        m.next = "COLUMN"
            with m.State("COLUMN"):
                m.d.sync += column.eq(column + 1)
                m.next = "BYTE"
                with m.If(column == columns - 1):
                    m.d.sync += [row.eq(row + 1), line.eq(line + tensor.row)]
                    m.next = "ROW"
                    with m.If(row == height - 1):
                        m.next = "FULL"
            with m.State("FULL"):
                m.d.comb += self.full.eq(1)
                with m.If(self.free):
                    m.next = "IMAGE"
            with m.State("DROP"):
                m.d.comb += self.pixels.ready.eq(1)
                with m.If(self.pixels.valid & self.pixels.p.last):
                    m.next = "IMAGE"
        return m
