"""Requantizer: an accumulator to an int8 activation."""

from dataclasses import dataclass, replace
from typing import Any, Self

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

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

    LATENCY = 6

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
        attrs = {"use_dsp": "yes" if self.dsp else "no"}

        def register(shape: Any, name: str, **options: Any) -> Signal:
            return Signal(shape, name=name, reset_less=True, **options)

        # 1: the accumulator with its bias.
        multiplier, residual = register(16, "multiplier_1"), register(signed(9), "residual_1")
        m.d.sync += [
            self.biased.eq(self.acc + self.bias),
            multiplier.eq(self.multiplier),
            residual.eq(self.residual),
        ]
        # 2: products with each half of the multiplier, which are half as deep.
        low, high = (register(signed(ranges.accumulator + 8), name, attrs=attrs)
                     for name in ("low", "high"))
        scaled = register(signed(25), "scaled", attrs=attrs)
        m.d.sync += [
            low.eq(self.biased * multiplier[:8]),
            high.eq(self.biased * multiplier[8:]),
            scaled.eq(residual * self.residual_multiplier),
        ]
        # 3: their sum.
        product, shifted = (register(signed(total), name) for name in ("product", "shifted"))
        m.d.sync += [
            product.eq(low + (high << 8)),
            shifted.eq((scaled << self.residual_shift) << ranges.residual_shifts[0]),
        ]
        # 4: with residual and half a unit of the result.
        rounded = register(signed(total), "rounded")
        half = Signal(unsigned(total - 1))
        m.d.comb += half.eq((1 << ranges.shifts[0] - 1) << self.shift)
        m.d.sync += rounded.eq(product + shifted + half)
        # 5: in units of the result.
        quotient = register(signed(total - ranges.shifts[0]), "quotient")
        m.d.sync += quotient.eq((rounded >> ranges.shifts[0]) >> self.shift)
        # 6: within int8.
        moved = Signal(signed(len(quotient) + 1))
        m.d.comb += moved.eq(quotient + self.zero)
        m.d.sync += self.y.eq(Mux(moved > 127, 127, Mux(moved < -128, -128, moved)))
        return m


def _steps(values: range) -> range:
    return range(max(values[-1] - values[0] + 1, 2))
