"""Sequencer: which words of the activation and weight memories enter the arrays, cycle by cycle."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.index_shape import index_shape, wrapped
from gen.loop import loop

__all__ = ["Sequencer", "command_layout"]


def command_layout(*, banks: int, groups: int, depth: int, rows: int, parts: int, passes: int
                   ) -> data.StructLayout:
    """What the sequencer tells the datapath in a cycle.

    Fields: ``valid``, whether a vector enters the arrays; ``first`` and ``last`` of a sum;
    ``residual``, whether a residual is fetched instead, and ``reached``, whether this tile has one;
    ``address`` of each bank; ``bank`` and ``stride``: group *g* takes the word of bank
    ``(bank + g · stride) mod banks``; ``inside``, which groups' pixels are in the image, and
    ``beside``, which of those right of them; ``part`` of the word that a tile of single channels
    takes, and ``half`` that a vector takes; ``weight_row``; ``pass``.
    """
    return data.StructLayout({
        "valid": 1, "first": 1, "last": 1, "residual": 1, "reached": 1,
        "address": data.ArrayLayout(index_shape(depth), banks),
        "bank": index_shape(banks), "stride": range(banks + 1), "inside": groups,
        "beside": groups, "half": 1,
        "part": index_shape(parts), "weight_row": index_shape(rows), "pass_": index_shape(passes),
    })


class Sequencer(wiring.Component):
    """Runs the loops of a layer that ``gen.schedule`` describes.

    After a cycle with ``start``, gives a command in every cycle; the first vector's is in the next
    one. ``done`` comes with the last cycle of the last set.

    Parameters
    ----------
    op : :class:`StructLayout`
        Row of the program.
    command : :class:`StructLayout`
        See :func:`command_layout`.
    banks, groups, parts, depth : :class:`int`
        Banks of the activation memory and addresses of each, groups, and tiles of a word.

    Members
    -------
    op : :py:`In(op)`
        The layer; it must not change from ``start`` to ``done``.
    start : :py:`In(1)`
        Begins.
    done : :py:`Out(1)`
        Ends.
    command : :py:`Out(command)`
        What happens, one cycle later.
    """

    def __init__(self, *, op: data.StructLayout, command: data.StructLayout, banks: int,
                 groups: int, parts: int, depth: int) -> None:
        self.banks, self.groups, self.parts, self.depth = banks, groups, parts, depth
        self.address_bits = index_shape(depth).width
        self.module_name = "sequencer"
        super().__init__({"op": In(op), "start": In(1), "done": Out(1), "command": Out(command)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        op, width = self.op, self.address_bits

        def state(shape: Any, name: str) -> Signal:
            return Signal(shape, name=name, reset_less=True)

        def counter(name: str, count: Value, advance: Value) -> tuple[Signal, Signal]:
            return loop(m, name, count, start=self.start, advance=advance)

        # A slot is a cycle of a set: its vectors come first, then perhaps its residual.
        running, vector, residual = (Signal(name=name) for name in
                                     ("running", "vector", "residual"))
        slot, set_ends = counter("slot", op.interval, running)
        pass_, next_block = counter("pass_", op.passes, vector)
        block, next_column = counter("block", op.blocks, next_block)
        _, next_row = counter("kernel_column", op.kernel_columns, next_column)
        _, last = counter("kernel_row", op.kernel_rows, next_row)
        tile, next_pixels = counter("tile", op.tiles, set_ends)
        _, next_line = counter("column_group", op.column_groups, next_pixels)
        _, ends = counter("row", op.rows, next_line)
        with m.If(self.start | set_ends):
            m.d.sync += [running.eq(~ends), vector.eq(~ends)]
        with m.Elif(last):
            m.d.sync += vector.eq(0)
        m.d.sync += residual.eq(last & ~set_ends & (op.residual_tiles != 0))
        m.d.comb += self.done.eq(ends)

        # Places: of the set's first pixel, and of the vector's. A column has its number, its bank,
        # and the address of its pixel's words in the row.
        rows_width = max(len(op.in_height), len(op.row_start), len(op.row_step)) + 2
        columns_width = max(len(op.in_width), len(op.column_start), len(op.column_step)) + 2
        place = data.StructLayout({"row": signed(rows_width), "line": width,
                                   "column": signed(columns_width), "bank": index_shape(self.banks),
                                   "address": width})
        here, vector_here, following = (Signal(place, name=name, reset_less=reset) for name, reset
                                        in (("place", True), ("vector_place", True),
                                            ("next_place", False)))

        def moved(bank: Value, address: Value, step: Value, blocks: Value
                  ) -> tuple[Value, Value]:
            """Bank and address of a column ``step`` further on, at most as many as banks."""
            if self.banks == 1:
                return bank, address + blocks * step
            total = Signal(range(2 * self.banks))
            m.d.comb += total.eq(bank + step)
            return wrapped(total, self.banks), address + Mux(total < self.banks, 0, blocks)

        m.d.comb += following.eq(here)
        with m.If(self.start):
            m.d.comb += [
                following.row.eq(op.row_start), following.line.eq(op.in_start),
                following.column.eq(op.column_start), following.bank.eq(op.bank_start),
                following.address.eq(op.column_address),
            ]
        with m.Elif(next_line):
            m.d.comb += [
                following.row.eq(here.row + op.row_step),
                following.line.eq(here.line + op.in_row_step),
                following.column.eq(op.column_start), following.bank.eq(op.bank_start),
                following.address.eq(op.column_address),
            ]
        with m.Elif(next_pixels):
            bank, address = moved(here.bank, here.address, op.column_step, op.in_blocks)
            m.d.comb += [following.column.eq(here.column + op.column_step),
                         following.bank.eq(bank), following.address.eq(address)]
        m.d.sync += here.eq(following)
        with m.If(self.start | set_ends):
            m.d.sync += vector_here.eq(following)
        with m.Elif(next_row):
            m.d.sync += [vector_here.eq(here), vector_here.row.eq(vector_here.row + 1),
                         vector_here.line.eq(vector_here.line + op.in_row)]
        with m.Elif(next_column):
            bank, address = moved(vector_here.bank, vector_here.address, op.tap_columns,
                                  op.in_blocks)
            m.d.sync += [vector_here.column.eq(vector_here.column + op.tap_columns),
                         vector_here.bank.eq(bank), vector_here.address.eq(address)]

        # The residual's rows and columns advance with those of the output.
        line, column = state(width, "residual_line"), state(width, "residual_column")
        bank = state(index_shape(self.banks), "residual_bank")
        with m.If(self.start):
            m.d.sync += [line.eq(op.residual_start), column.eq(0), bank.eq(0)]
        with m.Elif(next_line):
            m.d.sync += [line.eq(line + op.residual_row), column.eq(0), bank.eq(0)]
        with m.Elif(next_pixels):
            new_bank, new_column = moved(bank, column, op.residual_step, op.residual_blocks)
            m.d.sync += [bank.eq(new_bank), column.eq(new_column)]

        # Of tiles that are parts of a word, which word and which part.
        shift = (self.parts - 1).bit_length()
        part, tile_block = tile[:shift] if shift else 0, tile[shift:]

        weight_row = state(len(self.command.weight_row), "weight_row")
        with m.If(self.start | next_pixels):
            m.d.sync += weight_row.eq(op.weight_row)
        with m.Elif(next_block & ~op.depthwise):
            m.d.sync += weight_row.eq(weight_row + 1)

        first, blocks = Signal(width), Signal(len(op.in_blocks))
        m.d.comb += [
            first.eq(Mux(residual, line + column + tile_block,
                         vector_here.line + vector_here.address
                         + Mux(op.depthwise, tile_block, block >> op.halves))),
            blocks.eq(Mux(residual, op.residual_blocks, op.in_blocks)),
        ]
        start_bank = Mux(residual, bank, vector_here.bank)
        command = self.command
        m.d.sync += [
            command.valid.eq(vector),
            command.first.eq(slot == 0),
            command.last.eq(last),
            command.residual.eq(residual),
            command.reached.eq(tile < op.residual_tiles),
            command.bank.eq(start_bank),
            command.stride.eq(Mux(residual, op.residual_stride, op.column_stride)),
            command.part.eq(part),
            command.weight_row.eq(weight_row + (Mux(op.depthwise, part, 0) if shift else 0)),
            command.pass_.eq(pass_),
            command.half.eq(op.halves & Mux(op.depthwise, self._upper(part), block[0])),
            *(command.address[b].eq(first + Mux(b < start_bank, blocks, 0))
              for b in range(self.banks)),
        ]
        inside_row = (vector_here.row >= 0) & (vector_here.row < op.in_height)
        for beside, field in enumerate([command.inside, command.beside]):
            inside = []
            for g in range(self.groups):
                at = Signal(signed(columns_width), name=f"column_{g}_{beside}")
                m.d.comb += at.eq(vector_here.column + g * op.column_stride + beside)
                inside.append(inside_row & (at >= 0) & (at < op.in_width) | residual)
            m.d.sync += field.eq(Cat(*inside))
        return m

    def _upper(self, part: Any) -> Any:
        """Whether a part of a word is in its upper half."""
        return (part >> (self.parts - 1).bit_length() - 1)[0] if self.parts > 1 else 0
