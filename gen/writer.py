# amaranth: UnusedElaboratable=no
"""Writer: requantizes the sums of a set and writes them to the activation memory."""

from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.hierarchy import place
from gen.index_shape import index_shape
from gen.loader import Content
from gen.loop import loop
from gen.requantizer import Requantizer, RequantizerRanges

__all__ = ["LUT_ROWS", "Writer"]

LUT_ROWS = 64
"""Rows of which a LUT holds one bit; a memory of more is a block memory."""


class Writer(wiring.Component):
    """Takes the accumulators of one set after the other, at least as many cycles apart as
    ``channels // requantizers``.

    Parameters
    ----------
    op : :class:`StructLayout`
        Row of the program.
    ranges : :class:`RequantizerRanges`
        Of the requantizers.
    groups, channels, requantizers, parts, banks, depth : :class:`int`
        Groups; channels of a set and group, and how many of them are requantized in a cycle; parts
        of a word; banks and their addresses.
    accumulator_bits : :class:`int`
        Width of the accumulators.
    biases, multipliers : array
        Content of their memory, [rows, channels].
    load : :class:`bool`
        Whether it is written through a port, not fixed.
    dsp : :class:`bool`
        As of :class:`Requantizer`.

    Attributes
    ----------
    latency, logits_latency : :class:`int`
        Cycles from ``capture`` to ``done`` of the last set of a layer, and of the last layer.
    content : :class:`gen.loader.Content`
        Biases and multipliers: of as many channels in a row as are requantized in a cycle, each
        channel's bias in the low bits, then its multiplier of 16 bits.

    Members
    -------
    op, start
        As of ``gen.sequencer.Sequencer``.
    capture : :py:`In(1)`
        Whether ``acc`` and ``residual`` are those of a set.
    acc : :py:`In(ArrayLayout(ArrayLayout(signed(accumulator_bits), channels), groups))`
        Accumulators.
    residual : :py:`In(ArrayLayout(ArrayLayout(signed(9), channels), groups))`
        Residuals less their zero point, or zero.
    write_banks, write_parts, write_address, write_data
        As of ``gen.activations.ActivationMemory``.
    logits : :py:`Out(ArrayLayout(signed(accumulator), requantizers))`
        Some logits, of the channels in order.
    logits_valid : :py:`Out(1)`
        Whether they are.
    done : :py:`Out(1)`
        Comes with the last write of a layer.
    load : :py:`In(StructLayout({...}))`
        Write port of the biases and multipliers, :attr:`gen.loader.Content.port`; only with
        ``load``.
    """

    def __init__(self, *, op: data.StructLayout, ranges: RequantizerRanges, groups: int,
                 channels: int, requantizers: int, parts: int, banks: int, depth: int,
                 accumulator_bits: int, biases: np.ndarray, multipliers: np.ndarray,
                 load: bool = False, dsp: bool = False) -> None:
        self.groups, self.channels, self.lanes = groups, channels, requantizers
        self.parts, self.banks, self.dsp, self.ranges = parts, banks, dsp, ranges
        self.chunks = channels // requantizers
        self.address_bits = index_shape(depth).width
        self.constants = data.ArrayLayout(data.StructLayout(
            {"bias": signed(ranges.bias), "multiplier": 16}), requantizers)
        self.rows = [
            [{"bias": int(bias), "multiplier": int(multiplier)}
             for bias, multiplier in zip(*row, strict=True)]
            for row in zip(biases.reshape(-1, requantizers), multipliers.reshape(-1, requantizers),
                           strict=True)]
        self.content = Content(Shape.cast(self.constants).width, tuple(
            self.constants.const(row).as_bits() for row in self.rows))
        self.latency = self.chunks + Requantizer.LATENCY
        self.logits_latency = self.chunks + 1
        self.module_name = "writer"
        per_channel = data.ArrayLayout
        super().__init__({
            "op": In(op),
            "start": In(1),
            "capture": In(1),
            "acc": In(per_channel(per_channel(signed(accumulator_bits), channels), groups)),
            "residual": In(per_channel(per_channel(signed(9), channels), groups)),
            "write_banks": Out(banks),
            "write_parts": Out(parts),
            "write_address": Out(index_shape(depth)),
            "write_data": Out(data.ArrayLayout(parts * channels * 8, groups)),
            "logits": Out(data.ArrayLayout(signed(ranges.accumulator), requantizers)),
            "logits_valid": Out(1),
            "done": Out(1),
            **({"load": In(self.content.port)} if load else {}),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        op = self.op

        # Chunks of the set: the first one comes a cycle after it was captured.
        busy, chunk = Signal(), Signal(index_shape(self.chunks), reset_less=True)
        last_chunk = Signal()
        m.d.comb += last_chunk.eq(busy & (chunk == self.chunks - 1))
        with m.If(self.capture):
            m.d.sync += [busy.eq(1), chunk.eq(0)]
        with m.Elif(last_chunk):
            m.d.sync += busy.eq(0)
        with m.Else():
            m.d.sync += chunk.eq(chunk + 1)

        constants = self._constants(m, self.capture | (busy & ~last_chunk))
        outputs = [self._group(m, platform, g, busy, constants) for g in range(self.groups)]

        last_logits, write = Signal(), last_chunk & ~op.logits
        m.d.sync += [self.logits_valid.eq(busy & op.logits),
                     last_logits.eq(last_chunk & op.logits)]
        for stage in range(1, Requantizer.LATENCY + 1):
            delayed = Signal(name=f"write_{stage}")
            m.d.sync += delayed.eq(write)
            write = delayed
        set_written = write | last_logits
        self._addresses(m, write, set_written)
        for g, word in enumerate(outputs):
            m.d.comb += self.write_data[g].eq(word.replicate(self.parts))
        return m

    def _constants(self, m: Module, advance: Value) -> Any:
        """Biases and multipliers of the chunk of this cycle; ``advance`` a cycle before the
        next."""
        op = self.op
        load = "load" in self.signature.members
        memory = Memory(shape=self.constants, depth=len(self.rows), init=[] if load else self.rows,
                        attrs={"ram_style": "block"} if len(self.rows) > LUT_ROWS else {})
        m.submodules.constants = memory
        if load:
            write = memory.write_port()
            m.d.comb += [write.addr.eq(self.load.row), write.en.eq(self.load.write),
                         Value.cast(write.data).eq(self.load.data)]
        port = memory.read_port()
        address = Signal(index_shape(len(self.rows)), reset_less=True)
        _, next_tile = loop(m, "row_chunk", Const(self.chunks), start=self.start, advance=advance)
        _, next_pixels = loop(m, "row_tile", op.tiles, start=self.start, advance=next_tile)
        m.d.comb += port.addr.eq(address)
        with m.If(self.start | next_pixels):
            m.d.sync += address.eq(op.requantize_row)
        with m.Elif(advance):
            m.d.sync += address.eq(address + 1)
        return port.data

    def _group(self, m: Module, platform: Any, g: int, busy: Value, constants: Any) -> Value:
        """The requantizers of a group; the channels of a set when the last of them come."""
        op, lanes = self.op, self.lanes
        accs = [Signal.like(self.acc[g][c], name=f"acc_{g}_{c}", reset_less=True)
                for c in range(self.channels)]
        residuals = [Signal(signed(9), name=f"residual_{g}_{c}", reset_less=True)
                     for c in range(self.channels)]
        with m.If(self.capture):
            m.d.sync += [acc.eq(self.acc[g][c]) for c, acc in enumerate(accs)]
            m.d.sync += [r.eq(self.residual[g][c]) for c, r in enumerate(residuals)]
        with m.Else():
            m.d.sync += [a.eq(b) for a, b in zip(accs, accs[lanes:], strict=False)]
            m.d.sync += [a.eq(b) for a, b in zip(residuals, residuals[lanes:], strict=False)]
        outputs = []
        for k in range(lanes):
            unit = place(m, platform, f"requantizer_{g}_{k}",
                         Requantizer(ranges=self.ranges, dsp=self.dsp))
            m.d.comb += [
                unit.acc.eq(accs[k]),
                unit.bias.eq(constants[k].bias),
                unit.multiplier.eq(constants[k].multiplier),
                unit.residual.eq(residuals[k]),
                unit.residual_multiplier.eq(op.residual_multiplier),
                unit.residual_shift.eq(op.residual_shift),
                unit.shift.eq(op.shift),
                unit.zero.eq(op.zero),
            ]
            if g == 0:
                m.d.comb += self.logits[k].eq(unit.biased)
            outputs.append(unit.y)
        done = Cat(*outputs)
        if self.chunks == 1:
            return done
        earlier = Signal(unsigned((self.channels - lanes) * 8), name=f"earlier_{g}",
                         reset_less=True)
        m.d.sync += earlier.eq(Cat(earlier, done)[lanes * 8:])
        return Cat(earlier, done)

    def _addresses(self, m: Module, write: Value, set_written: Value) -> None:
        """Where the set goes; ``done`` with the last one."""
        op, width = self.op, self.address_bits
        tile, next_pixels = loop(m, "tile", op.tiles, start=self.start, advance=set_written)
        _, next_line = loop(m, "column_group", op.column_groups, start=self.start,
                            advance=next_pixels)
        _, ends = loop(m, "row", op.rows, start=self.start, advance=next_line)
        m.d.comb += self.done.eq(ends)
        line, column = (Signal(width, name=name, reset_less=True) for name in ("line", "column"))
        turns = self.banks // self.groups
        turn = Signal(index_shape(turns), reset_less=True)
        with m.If(self.start):
            m.d.sync += [line.eq(op.out_start), column.eq(0), turn.eq(0)]
        with m.Elif(next_line):
            m.d.sync += [line.eq(line + op.out_row), column.eq(0), turn.eq(0)]
        with m.Elif(next_pixels):
            m.d.sync += turn.eq(turn + 1)
            with m.If(turn == turns - 1):
                m.d.sync += [turn.eq(0), column.eq(column + op.out_blocks)]
        shift = (self.parts - 1).bit_length()
        part = Signal(index_shape(self.parts))
        m.d.comb += [
            part.eq(tile[:shift] if shift else 0),
            self.write_address.eq(line + column + tile[shift:]),
            self.write_parts.eq(1 << part),
            self.write_banks.eq(Mux(write, Value.cast((1 << self.groups) - 1)
                                    << (turn * self.groups), 0)),
        ]
