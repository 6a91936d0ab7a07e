"""Operands: words of the activation memory to what the arrays and the writer take."""

from typing import Any

from amaranth import Array as Select
from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.core_parameters import CoreParameters
from gen.index_shape import index_shape, wrapped

__all__ = ["Operands"]


class Operands(wiring.Component):
    """Selects the word of each group, or its padding, and makes vectors of it, maxima and
    residuals.

    Parameters
    ----------
    op, command : :class:`StructLayout`
        Row of the program, and what ``gen.sequencer`` says.
    parameters : :class:`CoreParameters`
        The core.
    banks : :class:`int`
        Banks of the activation memory.
    maximum : :class:`bool`
        Whether there is max pooling.

    Attributes
    ----------
    LATENCY : :class:`int`
        Cycles from a command to its vectors.

    Members
    -------
    op, command
        The layer, and the sequencer's command.
    words : :py:`In(ArrayLayout(8 * wide, banks))`
        What the activation memory gives, a cycle after the command.
    valid, first, last : :py:`Out(1)`
        Of the command whose vectors these are.
    vectors : :py:`Out(ArrayLayout(8 * wide, groups))`
        Activations that enter the array of each group.
    residuals : :py:`Out(ArrayLayout(ArrayLayout(signed(9), channels), groups))`
        Residuals less their zero point until the next ones come; zero without residuals.
    maxima : :py:`Out(ArrayLayout(ArrayLayout(signed(8), channels), groups))`
        The greatest activation of each channel since the first; only with ``maximum``, as is
        ``maxima_valid``.
    maxima_valid : :py:`Out(1)`
        Whether they are those of a set.
    """

    LATENCY = 2

    def __init__(self, *, op: data.StructLayout, command: data.StructLayout,
                 parameters: CoreParameters, banks: int, maximum: bool) -> None:
        self.parameters, self.banks, self.maximum = parameters, banks, maximum
        self.module_name = "operands"
        groups, channels, word = parameters.groups, parameters.channels, 8 * parameters.wide

        def per_channel(bits: int) -> data.ArrayLayout:
            return data.ArrayLayout(data.ArrayLayout(signed(bits), channels), groups)

        super().__init__({
            "op": In(op), "command": In(command), "words": In(data.ArrayLayout(word, banks)),
            "valid": Out(1), "first": Out(1), "last": Out(1),
            "vectors": Out(data.ArrayLayout(word, groups)),
            "residuals": Out(per_channel(9)),
            **({"maxima": Out(per_channel(8)), "maxima_valid": Out(1)} if maximum else {}),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        read, entering = (Signal(self.command.shape(), name=name, reset_less=True)
                          for name in ("read", "entering"))
        m.d.sync += [read.eq(self.command), entering.eq(read)]
        m.d.comb += [self.valid.eq(entering.valid), self.first.eq(entering.first),
                     self.last.eq(entering.last)]
        if self.maximum:
            m.d.sync += self.maxima_valid.eq(entering.valid & entering.last & self.op.maximum)
        for g in range(self.parameters.groups):
            word, vector = self._word(m, read, g)
            m.d.comb += self.vectors[g].eq(vector)
            for c in range(self.parameters.channels):
                x = word.word_select(entering.part, 8 * self.parameters.channels)[8 * c:8 * c + 8]
                self._channel(m, entering, x.as_signed(), g, c)
        return m

    def _word(self, m: Module, command: Any, g: int) -> tuple[Signal, Signal]:
        """The word of a group and the vector that is made of it, a cycle after it was read."""
        op, wide, lanes = self.op, self.parameters.wide, self.parameters.lanes
        padding = Cat(*[Cat(op.pad, op.pad[-1].replicate(8))[:8]] * wide)
        found = []
        for beside, inside in enumerate([command.inside[g], command.beside[g]]):
            bank = Signal(index_shape(self.banks), name=f"bank_{g}_{beside}")
            m.d.comb += bank.eq(wrapped(command.bank + g * command.stride + beside, self.banks))
            word = Signal(8 * wide, name=f"word_{g}_{beside}")
            m.d.comb += word.eq(Mux(inside, Select(list(self.words))[bank], padding))
            found.append(word)
        kept = Signal(8 * wide, name=f"x_{g}", reset_less=True)
        m.d.sync += kept.eq(found[0])
        if self.parameters.activations == 1:
            return kept, kept
        low, high = found[0][:8 * lanes], found[0][8 * lanes:]
        first = Mux(command.half, high, low)
        second = Mux(op.halves, first, Mux(op.pair, found[1][:8 * lanes], high))
        vector = Signal(8 * wide, name=f"vector_{g}", reset_less=True)
        m.d.sync += vector.eq(Cat(part.word_select(k, 8) for k in range(lanes)
                                  for part in (first, second)))
        return kept, vector

    def _channel(self, m: Module, command: Any, x: Any, g: int, c: int) -> None:
        """The residual and the maximum of a channel, of which ``x`` is an activation."""
        op = self.op
        residual = Signal(signed(9), name=f"residual_{g}_{c}", reset_less=True)
        with m.If(command.residual):
            m.d.sync += residual.eq(Mux(command.reached, x - op.residual_zero, 0))
        m.d.comb += self.residuals[g][c].eq(Mux(op.residual_tiles != 0, residual, 0))
        if self.maximum:
            greatest = Signal(signed(8), name=f"greatest_{g}_{c}", reset_less=True)
            with m.If(command.valid & (command.first | (x > greatest))):
                m.d.sync += greatest.eq(x)
            m.d.comb += self.maxima[g][c].eq(greatest)
