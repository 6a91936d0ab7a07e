"""Dot products, the interchangeable unit of the array: what they all declare.

A *structure* is a component class with the constructor and the attributes of :class:`DotProduct`;
``gen.structures`` lists them. A dot product may leave its sum in redundant form, as one or two
*addends* and some *carries* (of weight one each), because the accumulator behind it can add them
for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from amaranth import Shape, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Member, Out

from models import codes, formats

__all__ = ["POWERS_OF_TWO", "DotProduct", "Encoding", "check", "members", "sum_bits"]

Values = range

POWERS_OF_TWO = tuple(fmt.name for fmt in formats.FORMATS.values() if fmt.power_of_two)
"""Names of the power-of-two weight formats, whose values are all values of ``pot5``."""


@dataclass(frozen=True)
class Encoding:
    """How weights of one format are presented to a dot product.

    Parameters
    ----------
    code : :class:`str`
        Name of the code in ``models.codes`` that is put on the weight port, in its low bits.
    mode : :class:`int` or None
        Value of the mode bit; None where there is no such bit.
    """

    code: str
    mode: int | None = None

    @property
    def taps(self) -> int:
        """Weights of a lane in one word."""
        return codes.get(self.code).taps

    @property
    def passes(self) -> int:
        """Times that a vector of activations is streamed, with other words, to make one sum."""
        return codes.get(self.code).passes


class DotProduct(Protocol):
    """What every structure declares, and how it is constructed.

    With ``A`` = :attr:`ACTIVATIONS`, computes Σ over lanes *k* of the products of the weights in
    word ``w[n][k]`` with the activations ``x[A·k] … x[A·k + A − 1]``, for each sum *n*. Where a
    word has fewer weights than ``A``, each activation is given several times in a row. Accepts a
    vector in every cycle. Registers have no reset and no enable.

    Parameters
    ----------
    scheme : :class:`str`
        One of :attr:`ENCODINGS`.
    lanes : :class:`int`
        Words per sum and cycle.
    tree : :class:`str`
        One of :attr:`TREES`.
    target : :class:`str`
        One of :attr:`TARGETS`. ``xc7`` maps LUTs and carry chains by hand in Verilog; its values
        and latency are those of ``portable``.
    dsp : :class:`bool`
        Whether multipliers, if any, are to use DSP blocks.
    pipeline : :class:`int`
        Adder levels between registers, 0 for none.

    Attributes
    ----------
    ENCODINGS : mapping
        By scheme that the structure exists for, the weight formats that it takes, by name.
    TREES, TARGETS : :class:`tuple` of :class:`str`
        The adder trees and targets that the structure exists for.
    DSP : :class:`tuple` of :class:`bool`
        Values of ``dsp`` that it exists for.
    ACTIVATIONS : :class:`int`
        Activations of a lane.
    SUMS : :class:`int`
        Sums per cycle: outputs that share the activations.
    weight_shape : :class:`Shape`
        Shape of a word on the port.
    range : :class:`range`
        Values of a sum.
    addend_ranges : tuple of :class:`range`
        Values of each addend of a sum.
    carry_count : :class:`int`
        Carries of a sum.
    latency : :class:`int`
        Cycles from a vector to its sums.
    module_name : :class:`str`
        Name of its Verilog module: it tells all parameters.

    Members
    -------
    x : :py:`In(ArrayLayout(signed(8), lanes * ACTIVATIONS))`
        Activations.
    w : :py:`In(ArrayLayout(ArrayLayout(weight_shape, lanes), SUMS))`
        Words of the weights.
    mode : :py:`In(1)`
        Mode bit of the vector's weights. Only where the encodings have one.
    addends : :py:`Out(ArrayLayout(ArrayLayout(range, len(addend_ranges)), SUMS))`
        Addends of each sum.
    carries : :py:`Out(ArrayLayout(carry_count, SUMS))`
        Carries of each sum. Only where there are some.

    Raises
    ------
    :exc:`ValueError`
        If a parameter is out of range or unknown.
    """

    ENCODINGS: ClassVar[Mapping[str, Mapping[str, Encoding]]]
    TREES: ClassVar[tuple[str, ...]]
    TARGETS: ClassVar[tuple[str, ...]]
    DSP: ClassVar[tuple[bool, ...]]
    ACTIVATIONS: ClassVar[int]
    SUMS: ClassVar[int]

    weight_shape: Shape
    range: Values
    addend_ranges: tuple[Values, ...]
    carry_count: int
    latency: int
    module_name: str


def check(structure: Any, *, scheme: str, lanes: int, tree: str, target: str, dsp: bool) -> None:
    """Refuses parameters that ``structure`` does not exist for.

    Raises
    ------
    :exc:`ValueError`
        Which names the structure's class and the parameter.
    """
    name = structure.__name__
    for knob, value, known in [("scheme", scheme, structure.ENCODINGS),
                               ("tree", tree, structure.TREES),
                               ("target", target, structure.TARGETS),
                               ("dsp", dsp, structure.DSP)]:
        if value not in known:
            raise ValueError(
                f"{name} {knob} must be one of {', '.join(map(str, known))}, not {value!r}")
    if type(lanes) is not int or lanes < 1:
        raise ValueError(f"{name} lanes must be a positive integer, not {lanes!r}")


def sum_bits(dot: Any) -> int:
    """Width of the accumulators that the sums of ``dot`` need."""
    return Shape.cast(range(min(dot.range[0], -1), dot.range[-1] + 1)).width


def members(structure: Any, *, scheme: str, lanes: int, weight_shape: Any,
            addend_ranges: Sequence[range], carry_count: int) -> dict[str, Member]:
    """The members of a dot product."""
    widest = range(min(r[0] for r in addend_ranges), max(r[-1] for r in addend_ranges) + 1)
    found: dict[str, Member] = {
        "x": In(data.ArrayLayout(signed(8), lanes * structure.ACTIVATIONS)),
        "w": In(data.ArrayLayout(data.ArrayLayout(weight_shape, lanes), structure.SUMS)),
        "addends": Out(data.ArrayLayout(data.ArrayLayout(widest, len(addend_ranges)),
                                        structure.SUMS)),
    }
    if any(encoding.mode is not None for encoding in structure.ENCODINGS[scheme].values()):
        found["mode"] = In(1)
    if carry_count:
        found["carries"] = Out(data.ArrayLayout(carry_count, structure.SUMS))
    return found
