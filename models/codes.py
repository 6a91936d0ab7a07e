"""Codes in which weights reach the PEs: one *word* a lane and pass.

A word is a weight's stored code (``models.formats``), or what that is turned into once, when the
weights are loaded, so that the PE need not. One :class:`LaneCode` is the specification of both
sides: the software that drives an array encodes with it, and a structure of ``gen`` reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models import formats

__all__ = ["CODES", "LaneCode", "get"]


@dataclass(frozen=True)
class LaneCode:
    """How weights are put on the port of one lane.

    Parameters
    ----------
    name : :class:`str`
        Name, as in sidecars.
    bits : :class:`int`
        Width of a word, in bits.
    values : array
        Values that it can express, ascending, int16.
    encode_ : callable
        Words [..., passes], int64, of values [..., taps] that are checked.
    taps : :class:`int`
        Weights in a word, each multiplied with an activation of its own.
    passes : :class:`int`
        Words that one weight takes; the same activations are streamed with each.
    """

    name: str
    bits: int
    values: np.ndarray
    encode_: Callable[[np.ndarray], np.ndarray]
    taps: int = 1
    passes: int = 1

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Words of ``values`` [..., n · taps]: int64 [passes, ..., n], not negative.

        Raises
        ------
        :exc:`ValueError`
            If a value cannot be expressed, or the last axis is no multiple of :attr:`taps`.
        """
        values = np.asarray(values).astype(np.int64)
        legal = np.isin(values, self.values)
        if not legal.all():
            raise ValueError(f"{self.name} has no code for the value {values[~legal].flat[0]}")
        if values.shape[-1] % self.taps:
            raise ValueError(f"{self.name} takes multiples of {self.taps} weights, "
                             f"found {values.shape[-1]}")
        grouped = values.reshape(*values.shape[:-1], -1, self.taps)
        return np.moveaxis(self.encode_(grouped), -1, 0)


def _stored(name: str) -> LaneCode:
    fmt = formats.get(name)
    mask = (1 << fmt.bits) - 1
    return LaneCode(name, fmt.bits, fmt.values,
                    lambda values: fmt.encode(values).astype(np.int64) & mask)


def booth_word(values: np.ndarray, rows: int) -> np.ndarray:
    """Words of integers −2·4\\ :sup:`rows − 1` … 2·4\\ :sup:`rows − 1` whose overlapping triples of
    bits are radix-4 Booth digits (MacSorley, *High-Speed Arithmetic in Binary Computers*, 1961).

    Digit *r* is ``b[2r] + b[2r − 1] − 2·b[2r + 1]``, the least significant first, where b[−1] is
    zero. Bits 0 to 2·rows − 1 are the two's complement; that of weight 4\\ :sup:`rows − 1`/2 is
    repeated as bit 2·rows, which the last digit takes instead. So the largest integer, which has no
    two's complement, is there as well: as that last digit 2.
    """
    values, width = np.asarray(values, np.int64), 2 * rows
    bits = values & (1 << width) - 1
    bits |= (bits >> width - 3 & 1) << width
    return np.where(values == 1 << width - 1, 1 << width | 1 << width - 2, bits)


def signed_digits(values: np.ndarray) -> np.ndarray:
    """Canonical signed digits of integers −127 … 127: int64 [..., 8], each −1, 0 or 1, the least
    significant first, no two neighbours nonzero (Reitwiesner, *Binary Arithmetic*, 1960)."""
    rest, digits = np.asarray(values, np.int64), []
    for _ in range(8):
        digit = np.where(rest & 1, 2 - (rest & 3), 0)
        digits.append(digit)
        rest = (rest - digit) >> 1
    return np.stack(digits, -1)


def _terms(values: np.ndarray) -> np.ndarray:
    """Signed powers of two, as ``pot5`` codes, the nonzero ones first."""
    digits = signed_digits(values[..., 0])
    powers = digits << np.arange(8)
    order = np.argsort(digits == 0, axis=-1, kind="stable")[..., :4]
    return formats.get("pot5").encode(np.take_along_axis(powers, order, -1)).astype(np.int64)


def _half(values: np.ndarray, high: np.ndarray | int) -> np.ndarray:
    """Half of a ``dual`` word: a Booth word of two digits, and whether they count 16-fold."""
    return booth_word(values, 2) | np.asarray(high, np.int64) << 5


def _dual_int8(values: np.ndarray) -> np.ndarray:
    """The high half takes what the low one, −8 … 7, leaves."""
    low = (values + 8 & 15) - 8
    return _half(low, 0) | _half(values - low >> 4, 1) << 6


def _dual_pot(values: np.ndarray) -> np.ndarray:
    """A power of two in each half."""
    high = np.abs(values) >= 16
    halves = _half(np.where(high, values >> 4, values), high)
    return halves[..., :1] | halves[..., 1:] << 6


INT8 = formats.get("int8").values

CODES = {code.name: code for code in [
    _stored("int8"),
    _stored("pot5"),
    LaneCode("terms", 5, INT8, _terms, passes=4),
    LaneCode("booth", 9, np.arange(-128, 129, dtype=np.int16),
             lambda values: booth_word(values, 4)),
    LaneCode("dual-int8", 12, INT8, _dual_int8),
    LaneCode("dual-pot", 12, formats.get("pot5").values, _dual_pot, taps=2),
]}
"""The codes by name:

``int8``, ``pot5``
    As stored.
``terms``
    A weight as the sum of up to four signed powers of two, one ``pot5`` code a pass.
``booth``
    :func:`booth_word` of four digits.
``dual-int8``, ``dual-pot``
    Two halves of six bits, :func:`booth_word` of two digits and a bit that says that their product
    counts 16-fold: of one weight together, or of a power of two each.
"""


def get(name: str) -> LaneCode:
    """The code called ``name``.

    Raises
    ------
    :exc:`ValueError`
        If there is none.
    """
    if name not in CODES:
        raise ValueError(f"lane code must be one of {', '.join(CODES)}, not {name!r}")
    return CODES[name]
