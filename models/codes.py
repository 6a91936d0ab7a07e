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


def booth_digits(values: np.ndarray, rows: int) -> np.ndarray:
    """Radix-4 Booth digits of integers: int64 [..., rows], each −2 … 2, the least significant
    first (MacSorley, *High-Speed Arithmetic in Binary Computers*, 1961)."""
    doubled = np.asarray(values, np.int64)[..., None] << 1
    triple = (doubled >> 2 * np.arange(rows)) & 7
    return (triple & 1) + ((triple >> 1) & 1) - 2 * (triple >> 2)


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


INT8 = formats.get("int8").values

CODES = {code.name: code for code in [
    _stored("int8"),
    _stored("pot5"),
    LaneCode("terms", 5, INT8, _terms, passes=4),
]}
"""The codes by name: ``int8`` and ``pot5`` as stored; ``terms``, a weight as the sum of up to four
signed powers of two, one ``pot5`` code a pass."""


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
