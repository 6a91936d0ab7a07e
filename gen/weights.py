# amaranth: UnusedElaboratable=no
"""Weight memory: compressed codes, and the decoders that turn them into words of the arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from amaranth import Array, Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.dot import Encoding
from gen.hierarchy import place
from gen.index_shape import index_shape
from gen.loader import Content
from models import codes, formats

__all__ = ["LaneDecoder", "WeightMemory"]

CHUNK = 1024
"""Rows of a block memory 36 bits wide; the rows left over get a memory of their own."""


def _table(stored: Value, fmt: formats.WeightFormat, code: codes.LaneCode) -> Value:
    """Words of a power-of-two format, at most 5 bits, one LUT a bit."""
    values = fmt.decode(np.arange(1 << fmt.bits, dtype=np.uint8))
    words = code.encode(np.repeat(values[:, None], code.taps, 1))[0, :, 0]
    bits = code.bits // code.taps
    return Array([Const(int(word) & (1 << bits) - 1, bits) for word in words])[stored]


def _digit(stored: Value, pass_: Value) -> Value:
    """Radix-4 Booth digit ``pass_`` of an 8-bit weight, as a ``pot5`` code."""
    triples = Array([Cat(stored[2 * r - 1] if r else Const(0, 1), stored[2 * r:2 * r + 2])
                     for r in range(4)])
    low, high, negative = (triples[pass_][k] for k in range(3))
    two = Mux(negative, ~(high | low), high & low)[0]
    return Cat(two, pass_[:2], two | (high ^ low), negative)


def _halves(stored: Value) -> Value:
    """``dual-int8`` word of an 8-bit weight."""
    upper = (stored[4:].as_signed() + stored[3])[:5]
    high = Mux(upper == 8, 0b10100, Cat(upper[:4], upper[1]))[:5]
    return Cat(stored[:4], stored[1], Const(0, 1), high, Const(1, 1))


# What turns the code of an 8-bit weight into a word; powers of two go through tables.
EIGHT_BIT = {
    "int8": lambda stored, pass_: stored,
    "booth": lambda stored, pass_: Cat(stored, stored[5]),
    "terms": _digit,
    "dual-int8": lambda stored, pass_: _halves(stored),
}


class LaneDecoder(wiring.Component):
    """Decodes the weights of one lane. Combinational.

    Parameters
    ----------
    encodings : dict of :class:`gen.dot.Encoding`
        How the array takes each format that is stored, in the order of ``format``.
    shape : :class:`Shape`
        Of a word.

    Members
    -------
    stored : :py:`In(StructLayout({...}))`
        Codes of each format, as many as a word has weights.
    format : :py:`In(range)`
        Which of them counts.
    pass_ : :py:`In(2)`
        The pass.
    word : :py:`Out(shape)`
        Word.
    """

    def __init__(self, *, encodings: Mapping[str, Encoding], shape: Any) -> None:
        self.encodings = dict(encodings)
        self.module_name = "_".join(["lane_decoder", *(
            f"{name}_{encoding.code.replace('-', '_')}" for name, encoding in encodings.items())])
        super().__init__({
            "stored": In(data.StructLayout({
                name: formats.get(name).bits * encoding.taps
                for name, encoding in encodings.items()})),
            "format": In(index_shape(len(encodings))),
            "pass_": In(2),
            "word": Out(shape),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        with m.Switch(self.format):
            for index, (name, encoding) in enumerate(self.encodings.items()):
                fmt, stored = formats.get(name), self.stored[name]
                code = codes.get(encoding.code)
                if fmt.power_of_two:
                    word = Cat(_table(stored.word_select(k, fmt.bits), fmt, code)
                               for k in range(code.taps))
                else:
                    word = EIGHT_BIT[encoding.code](stored, self.pass_)
                with m.Case(index):
                    m.d.comb += self.word.eq(word)
        return m


def _packed(name: str, rows: np.ndarray) -> Content:
    """Rows of the codes of a format."""
    bits = formats.get(name).bits
    return Content(rows[0].size * bits, tuple(
        int.from_bytes(formats.pack_dense(row, bits), "little") for row in rows))


class WeightMemory(wiring.Component):
    """Rows of codes, a memory for each format, and the decoders.

    Parameters
    ----------
    content : dict of array
        Codes by format, [rows, channels, weights of a channel].
    encodings : dict of :class:`gen.dot.Encoding`
        How the arrays take the formats.
    shape : :class:`Shape`
        Of a word.
    load : :class:`bool`
        Whether the rows are written through a port, not fixed.

    Attributes
    ----------
    LATENCY : :class:`int`
        Cycles from a row to its words.
    contents : dict of :class:`gen.loader.Content`
        Rows by format: the codes of a channel after those of the one before, low bits first.

    Members
    -------
    format : :py:`In(range)`
        Number of the format in ``content``; it must not change on the way.
    row : :py:`In(range)`
        Row of its memory.
    pass_ : :py:`In(2)`
        Pass.
    w : :py:`Out(ArrayLayout(ArrayLayout(shape, lanes), channels))`
        Words.
    load : :py:`In(StructLayout({...}))`
        Write port of each format, :attr:`gen.loader.Content.port`; only with ``load``.
    """

    LATENCY = 2

    def __init__(self, *, content: Mapping[str, np.ndarray], encodings: Mapping[str, Encoding],
                 shape: Any, load: bool = False) -> None:
        self.contents = {name: _packed(name, rows) for name, rows in content.items()}
        self.encodings = {name: encodings[name] for name in content}
        self.shape = shape
        name, rows = next(iter(content.items()))
        self.channels = rows.shape[1]
        self.lanes = rows.shape[2] // self.encodings[name].taps
        self.module_name = "weight_memory"
        super().__init__({
            "format": In(index_shape(len(content))),
            "row": In(index_shape(max(map(len, content.values())))),
            "pass_": In(2),
            "w": Out(data.ArrayLayout(data.ArrayLayout(shape, self.lanes), self.channels)),
            **({"load": In(data.StructLayout({
                name: content.port for name, content in self.contents.items()}))} if load else {}),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stored = {name: self._memory(m, name) for name in self.contents}
        pass_ = Signal.like(self.pass_, name="pass", reset_less=True)
        m.d.sync += pass_.eq(self.pass_)
        for c in range(self.channels):
            for k in range(self.lanes):
                decoder = place(m, platform, f"decoder_{c}_{k}",
                                LaneDecoder(encodings=self.encodings, shape=self.shape))
                m.d.comb += [decoder.format.eq(self.format), decoder.pass_.eq(pass_)]
                for name, row in stored.items():
                    bits = len(decoder.stored[name])
                    m.d.comb += decoder.stored[name].eq(
                        row.word_select(c * self.lanes + k, bits))
                word = Signal(Shape.cast(self.shape), name=f"word_{c}_{k}", reset_less=True)
                m.d.sync += word.eq(decoder.word)
                m.d.comb += self.w[c][k].eq(word)
        return m

    def _memory(self, m: Module, name: str) -> Value:
        """The row of the cycle before, in memories of :data:`CHUNK` rows."""
        content, chunk_bits = self.contents[name], (CHUNK - 1).bit_length()
        load = "load" in self.signature.members
        outputs = []
        for number, first in enumerate(range(0, len(content.rows), CHUNK)):
            init = content.rows[first:first + CHUNK]
            memory = Memory(shape=unsigned(content.bits), depth=len(init),
                            init=[] if load else init, attrs={"ram_style": "block"})
            m.submodules[f"{name}_{number}"] = memory
            port = memory.read_port()
            m.d.comb += port.addr.eq(self.row)
            outputs.append(port.data)
            if load:
                write, source = memory.write_port(), self.load[name]
                m.d.comb += [write.addr.eq(source.row), write.data.eq(source.data),
                             write.en.eq(source.write & (source.row >> chunk_bits == number))]
        if len(outputs) == 1:
            return outputs[0]
        chunk = Signal(range(len(outputs)), name=f"chunk_{name}", reset_less=True)
        m.d.sync += chunk.eq(self.row >> chunk_bits)
        return Array(outputs)[chunk]
