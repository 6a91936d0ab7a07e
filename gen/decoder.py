"""Decoder of the power-of-two weight formats."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.pe import POWER_OF_TWO
from models.formats import WeightFormat

__all__ = ["Decoder"]


class Decoder(wiring.Component):
    """Decodes a weight's code for a shifter, as ``models.formats.WeightFormat.decode``.

    With *f* the code without its sign bit, ``nonzero = f >= first_field`` and
    ``exponent = f + bias``. Combinational.

    Parameters
    ----------
    format : :class:`WeightFormat`
        Format of the code.

    Members
    -------
    code : :py:`In(format.bits)`
        Code.
    weight : :py:`Out(POWER_OF_TWO)`
        Weight. Sign and exponent are unspecified where it is zero.

    Raises
    ------
    :exc:`ValueError`
        If the format's values are not powers of two.
    """

    def __init__(self, *, format: WeightFormat) -> None:
        if not format.power_of_two:
            raise ValueError(f"Decoder format must be of powers of two, not {format.name!r}")
        self.format = format
        self.module_name = f"decoder_{format.name}"
        super().__init__({
            "code": In(format.bits),
            "weight": Out(POWER_OF_TWO),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        field, sign = self.code[:-1], self.code[-1]
        m.d.comb += [
            self.weight.sign.eq(sign),
            self.weight.nonzero.eq(field >= self.format.first_field),
            self.weight.exponent.eq(field + self.format.bias),
        ]
        return m
