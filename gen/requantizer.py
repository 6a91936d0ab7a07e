"""Requantizer: an accumulator to an int8 activation."""

from dataclasses import dataclass, replace
from typing import Any, Self

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.multiply import multiply, multiply_latency

__all__ = ["Requantizer", "RequantizerRanges"]


def _listed(values: range) -> str:
    return f"{values[0]} to {values[-1]}"


@dataclass(frozen=True)
class RequantizerRanges:
    """What the layers of a network need of a requantizer.

    Parameters
    ----------
    accumulator : :class:`int`
        Width of the accumulators, with bias, in bits.
    bias : :class:`int`
        Width of the biases, in bits.
    total : :class:`int`
        Width of acc·m + r + 2^(n−1), in bits.
    shifts, residual_shifts : :class:`range`
        Values of n, and of k.
    """

    accumulator: int
    bias: int
    total: int
    shifts: range
    residual_shifts: range

    def widened(self, bits: int) -> Self:
        """With all widths larger by ``bits``."""
        return replace(self, accumulator=self.accumulator + bits, bias=self.bias + bits,
                       total=self.total + bits)

    def check(self, needed: Self) -> None:
        """Refuses a network that needs more, or other shifts.

        Raises
        ------
        :exc:`ValueError`
            If it does.
        """
        for name in ("accumulator", "bias", "total"):
            if getattr(self, name) < getattr(needed, name):
                raise ValueError(f"requantizer {name} must have {getattr(needed, name)} bits for "
                                 f"this network, the core's has {getattr(self, name)}")
        for name in ("shifts", "residual_shifts"):
            if getattr(self, name) != getattr(needed, name):
                raise ValueError(f"requantizer {name} must be {_listed(getattr(needed, name))} for "
                                 f"this network, the core's are {_listed(getattr(self, name))}")


class Requantizer(wiring.Component):
    """Computes ``y = clamp(zero + (((acc + bias)·multiplier + r + 2^(shift − 1)) >> shift))`` with
    ``r = residual·residual_multiplier << residual_shift``: equations 3 and 4 of
    ``models.golden``. Takes a value in every cycle.

    Parameters
    ----------
    ranges : :class:`RequantizerRanges`
        Widths and shifts.
    dsp : :class:`bool`
        Whether synthesis is told to use DSP blocks; it is told not to otherwise.

    Attributes
    ----------
    LATENCY : :class:`int`
        Cycles from ``acc``, ``bias``, ``multiplier`` and ``residual`` to ``y``. The other inputs
        must not change on the way.

    Members
    -------
    acc : :py:`In(signed(accumulator))`
        Accumulator, without bias.
    bias : :py:`In(signed(bias))`
        b'.
    multiplier : :py:`In(16)`
        m.
    residual : :py:`In(signed(9))`
        q_r − z_r, zero without a residual.
    residual_multiplier, residual_shift : :py:`In(16)`, :py:`In(range)`
        m_r, and k less its least value.
    shift : :py:`In(range)`
        n less its least value.
    zero : :py:`In(signed(8))`
        z_y.
    biased : :py:`Out(signed(accumulator))`
        acc + bias, one cycle after them.
    y : :py:`Out(signed(8))`
        Activation.
    """

    LATENCY = 1 + multiply_latency(unsigned(16)) + 3

    def __init__(self, *, ranges: RequantizerRanges, dsp: bool = False) -> None:
        self.ranges, self.dsp = ranges, dsp
        self.module_name = "requantizer" + ("_dsp" if dsp else "")
        super().__init__({
            "acc": In(signed(ranges.accumulator)),
            "bias": In(signed(ranges.bias)),
            "multiplier": In(16),
            "residual": In(signed(9)),
            "residual_multiplier": In(16),
            "residual_shift": In(_steps(ranges.residual_shifts)),
            "shift": In(_steps(ranges.shifts)),
            "zero": In(signed(8)),
            "biased": Out(signed(ranges.accumulator)),
            "y": Out(signed(8)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ranges, total = self.ranges, self.ranges.total

        def registered(value: Value, shape: Shape, name: str) -> Signal:
            register = Signal(shape, name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        # Both products, the accumulator's with its bias, are there at the same time.
        m.d.sync += self.biased.eq(self.acc + self.bias)
        multiplier = registered(self.multiplier, unsigned(16), "multiplier_0")
        product = multiply(m, "product", self.biased, multiplier, dsp=self.dsp)
        residual = self.residual
        for stage in range(multiply_latency(unsigned(16)) - multiply_latency(signed(9))):
            residual = registered(residual, signed(9), f"residual_{stage}")
        factor = Cat(self.residual_multiplier, Const(0, 1)).as_signed()
        scaled = multiply(m, "scaled", factor, residual, dsp=self.dsp)
        shifted = registered((scaled << self.residual_shift) << ranges.residual_shifts[0],
                             signed(total), "shifted")
        # With residual and half a unit of the result.
        half = Signal(unsigned(total - 1))
        m.d.comb += half.eq((1 << ranges.shifts[0] - 1) << self.shift)
        rounded = registered(product + shifted + half, signed(total), "rounded")
        # In units of the result, within int8.
        quotient = registered((rounded >> ranges.shifts[0]) >> self.shift,
                              signed(total - ranges.shifts[0]), "quotient")
        moved = Signal(signed(len(quotient) + 1))
        m.d.comb += moved.eq(quotient + self.zero)
        m.d.sync += self.y.eq(Mux(moved > 127, 127, Mux(moved < -128, -128, moved)))
        return m


def _steps(values: range) -> range:
    return range(max(values[-1] - values[0] + 1, 2))
