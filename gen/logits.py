"""Logits of an image, until they are taken."""

from typing import Any

from amaranth import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.index_shape import index_shape

__all__ = ["LOGITS", "LogitsBuffer"]

LOGITS = data.StructLayout({"data": signed(32), "last": 1})
"""A logit, and whether it is an image's last one."""


class LogitsBuffer(wiring.Component):
    """Takes the logits of one image, some in a cycle, and gives them one by one.

    Parameters
    ----------
    classes : :class:`int`
        Logits of an image.
    lanes : :class:`int`
        Logits that come at a time, in order; the last ones may be of no class.
    bits : :class:`int`
        Width of a logit that comes.

    Attributes
    ----------
    rows : :class:`int`
        Times that logits of classes come.

    Members
    -------
    i : :py:`In(ArrayLayout(signed(bits), lanes))`
        Logits.
    valid : :py:`In(1)`
        Whether they are. Only while ``free`` is high.
    done : :py:`In(1)`
        High for a cycle when all have come.
    o : :py:`Out(stream.Signature(LOGITS))`
        The logits of each image, in order of the classes.
    free : :py:`Out(1)`
        All that came have been taken.
    """

    def __init__(self, *, classes: int, lanes: int, bits: int) -> None:
        self.classes, self.lanes = classes, lanes
        self.rows = -(-classes // lanes)
        self.module_name = "logits_buffer"
        super().__init__({
            "i": In(data.ArrayLayout(signed(bits), lanes)),
            "valid": In(1), "done": In(1),
            "o": Out(stream.Signature(LOGITS)),
            "free": Out(1, init=1),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        classes, lanes, rows = self.classes, self.lanes, self.rows
        memory = Memory(shape=unsigned(32 * lanes), depth=rows, init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        count = Signal(range(rows + 1))
        m.d.comb += [
            write.addr.eq(count),
            write.data.eq(Cat(_word(logit) for logit in self.i)),
            write.en.eq(self.valid & (count < rows)),
        ]
        with m.If(write.en):
            m.d.sync += count.eq(count + 1)
        row, sent = Signal(range(rows + 1)), Signal(range(classes + 1))
        lane, fetched = Signal(index_shape(lanes)), Signal()
        m.d.comb += [
            read.addr.eq(row),
            self.o.p.data.eq(read.data.word_select(lane, 32)),
            self.o.p.last.eq(sent == classes - 1),
            self.o.valid.eq(fetched),
        ]
        with m.If(self.done):
            m.d.sync += [self.free.eq(0), row.eq(0), lane.eq(0), sent.eq(0), count.eq(0)]
        with m.Elif(~self.free & ~fetched):
            m.d.sync += fetched.eq(1)
        with m.Elif(fetched & self.o.ready):
            m.d.sync += [sent.eq(sent + 1), lane.eq(lane + 1)]
            with m.If(lane == lanes - 1):
                m.d.sync += [lane.eq(0), row.eq(row + 1), fetched.eq(0)]
            with m.If(sent == classes - 1):
                m.d.sync += [fetched.eq(0), self.free.eq(1)]
        return m


def _word(logit: Any) -> Any:
    """A logit in 32 bits."""
    missing = max(0, 32 - len(logit))
    return Cat(logit, logit[-1].replicate(missing))[:32]
