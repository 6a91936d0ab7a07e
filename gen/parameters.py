"""The knobs of an array, and which of their combinations exist."""

from collections.abc import Mapping
from dataclasses import dataclass

from gen.dot import Encoding
from gen.structures import STRUCTURES
from gen.tree import TREES
from models.network import SCHEMES

__all__ = ["LAYOUTS", "MAX_LANES", "MAX_SLICES", "TARGETS", "ArrayParameters", "from_pes"]

MAX_SLICES = 128
MAX_LANES = 64
TARGETS = ("portable", "xc7")

PREFERRED_LANES = 16


@dataclass(frozen=True, kw_only=True)
class ArrayParameters:
    """The knobs of an array.

    Parameters
    ----------
    scheme : :class:`str`
        Quantization scheme that it computes: one of ``models.network.SCHEMES``.
    slices, lanes : :class:`int`
        Outputs computed at a time, 1 to 128, and activations per cycle, 1 to 64.
    structure : :class:`str`
        Structure of the dot product: one of ``gen.structures.STRUCTURES``.
    tree : :class:`str`
        Adder tree of the dot product.
    target : :class:`str`
        Devices that it is made for. ``portable`` names no vendor primitive.
    dsp : :class:`bool`
        Whether multipliers are to use DSP blocks.
    pipeline : :class:`int`
        Adder levels between registers of the tree, 0 to 6; 0 for none.
    accumulator_bits : :class:`int`
        Width of the accumulators, 16 to 48 bits.

    Raises
    ------
    :exc:`ValueError`
        If a knob is out of range or unknown, or the structure does not exist in that form.
    """

    scheme: str
    slices: int
    lanes: int
    structure: str = "paper"
    tree: str = "binary"
    target: str = "portable"
    dsp: bool = False
    pipeline: int = 1
    accumulator_bits: int = 32

    def __post_init__(self) -> None:
        for name, low, high in [("slices", 1, MAX_SLICES), ("lanes", 1, MAX_LANES),
                                ("pipeline", 0, 6), ("accumulator_bits", 16, 48)]:
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"array {name} must be {low} to {high}, not {value!r}")
        if self.structure not in STRUCTURES:
            raise ValueError(f"array structure must be one of {', '.join(STRUCTURES)}, "
                             f"not {self.structure!r}")
        structure = STRUCTURES[self.structure]
        for name, known, taken in [("scheme", SCHEMES, structure.ENCODINGS),
                                   ("tree", TREES, structure.TREES),
                                   ("target", TARGETS, structure.TARGETS),
                                   ("dsp", (False, True), structure.DSP)]:
            value = getattr(self, name)
            if value not in known or type(value) is not type(known[0]):
                raise ValueError(f"array {name} must be one of {', '.join(map(str, known))}, "
                                 f"not {value!r}")
            if value not in taken:
                raise ValueError(f"structure {self.structure!r} exists for {name} "
                                 f"{', '.join(map(str, taken))}, not {value!r}")
        if self.dsp and "int8" not in self.encodings:
            raise ValueError(f"array dsp needs a scheme with multipliers, not {self.scheme!r}")
        if self.slices % self.sums:
            raise ValueError(f"array slices must be a multiple of {self.sums} for structure "
                             f"{self.structure!r}, not {self.slices}")

    @property
    def pes(self) -> int:
        """Number of PEs."""
        return self.slices * self.lanes

    @property
    def sums(self) -> int:
        """Sums per cycle of one dot product."""
        return STRUCTURES[self.structure].SUMS

    @property
    def encodings(self) -> Mapping[str, Encoding]:
        """The weight formats that the array takes, by name."""
        return STRUCTURES[self.structure].ENCODINGS[self.scheme]

    def encoding(self, format: str) -> Encoding:
        """How the array takes weights of ``format``.

        Raises
        ------
        :exc:`ValueError`
            If it does not.
        """
        if format not in self.encodings:
            raise ValueError(f"structure {self.structure!r} for {self.scheme} takes the formats "
                             f"{', '.join(self.encodings)}, not {format!r}")
        return self.encodings[format]


def from_pes(pes: int, *, slices: int | None = None) -> tuple[int, int]:
    """Slices and lanes of an array of ``pes`` PEs.

    Without ``slices``, the number of lanes nearest to 16 is chosen, the smaller of two.

    Raises
    ------
    :exc:`ValueError`
        If there is no such array.
    """
    if type(pes) is not int or pes < 1:
        raise ValueError(f"array pes must be a positive integer, not {pes!r}")
    candidates = [(pes // lanes, lanes) for lanes in range(1, MAX_LANES + 1)
                  if pes % lanes == 0 and pes // lanes <= MAX_SLICES
                  and slices in (None, pes // lanes)]
    if not candidates:
        wanted = f"1 to {MAX_SLICES}" if slices is None else slices
        raise ValueError(f"array pes must be {wanted} slices of 1 to {MAX_LANES} lanes each, "
                         f"not {pes}")
    return min(candidates, key=lambda candidate: abs(candidate[1] - PREFERRED_LANES))


LAYOUTS = {f"paper-{pes}": from_pes(pes) for pes in (9, 512, 1024)}
"""Slices and lanes of the arrays that the paper synthesizes, by name."""
