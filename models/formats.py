"""Weight formats: the values a weight may take, and the code each value is stored as.

One :class:`WeightFormat` is the specification of both sides: the software codec is here, and
``gen.decoder`` makes the hardware decoder from the same numbers.

Power-of-two codes are a sign bit (the most significant one) and a field *f* of ``bits - 1`` bits.
The magnitude is 2\\ :sup:`f + bias` with ``bias = 8 - 2**(bits - 1)`` where *f* is at least
:attr:`WeightFormat.first_field`, and zero below. For ``pot5`` this is
``{sign, nonzero, e2, e1, e0}``, the form in which every power-of-two weight reaches a PE.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["FORMATS", "MAX_EXPONENT", "WeightFormat", "get", "pack_dense", "pack_u16x3",
           "unpack_dense", "unpack_u16x3"]

MAX_EXPONENT = 7


@dataclass(frozen=True)
class WeightFormat:
    """Specification of a weight format.

    Parameters
    ----------
    name : :class:`str`
        Name, as in artefacts and on the command line.
    bits : :class:`int`
        Width of a code, in bits.
    power_of_two : :class:`bool`
        Whether the values are zero and signed powers of two, or -127 to 127.
    """

    name: str
    bits: int
    power_of_two: bool

    @property
    def bias(self) -> int:
        """What is added to a code's field to give the exponent."""
        return MAX_EXPONENT + 1 - (1 << (self.bits - 1))

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest nonzero magnitude."""
        return max(0, self.bias + 1)

    @property
    def first_field(self) -> int:
        """The smallest field of a code that is not zero."""
        return self.min_exponent - self.bias

    @property
    def code_dtype(self) -> np.dtype:
        """Type of unpacked codes, one a byte."""
        return np.dtype(np.uint8 if self.power_of_two else np.int8)

    @property
    def values(self) -> np.ndarray:
        """All values, ascending. Shape [number of values], int16."""
        if not self.power_of_two:
            return np.arange(-127, 128, dtype=np.int16)
        powers = 2 ** np.arange(self.min_exponent, MAX_EXPONENT + 1, dtype=np.int16)
        return np.concatenate([-powers[::-1], [0], powers]).astype(np.int16)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Codes of ``values``, of the same shape, in :attr:`code_dtype`.

        Raises
        ------
        :exc:`ValueError`
            If a value is not one of :attr:`values`.
        """
        values = np.asarray(values).astype(np.int64)
        legal = np.isin(values, self.values)
        if not legal.all():
            raise ValueError(f"{self.name} has no code for the value {values[~legal].flat[0]}")
        if not self.power_of_two:
            return values.astype(np.int8)
        magnitude = np.abs(values)
        exponent = np.log2(np.maximum(magnitude, 1)).astype(np.int64)
        code = (exponent - self.bias) | ((values < 0).astype(np.int64) << (self.bits - 1))
        return np.where(magnitude == 0, 0, code).astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Values of ``codes``, of the same shape, int16.

        Raises
        ------
        :exc:`ValueError`
            If a code is -128 in ``int8`` or does not fit in :attr:`bits` bits.
        """
        codes = np.asarray(codes)
        low, high = (0, (1 << self.bits) - 1) if self.power_of_two else (-127, 127)
        illegal = (codes < low) | (codes > high)
        if illegal.any():
            raise ValueError(
                f"{self.name} codes are {low} to {high}, found {codes[illegal].flat[0]}")
        if not self.power_of_two:
            return codes.astype(np.int16)
        field = codes.astype(np.int16) & ((1 << (self.bits - 1)) - 1)
        magnitude = np.where(field < self.first_field, 0,
                             1 << np.maximum(field + self.bias, 0)).astype(np.int16)
        return np.where(codes >> (self.bits - 1) != 0, -magnitude, magnitude)


FORMATS = {f.name: f for f in [
    WeightFormat("int8", 8, power_of_two=False),
    WeightFormat("pot5", 5, power_of_two=True),
    WeightFormat("pot4", 4, power_of_two=True),
    WeightFormat("pot3", 3, power_of_two=True),
]}


def get(name: str) -> WeightFormat:
    """The format called ``name``.

    Raises
    ------
    :exc:`ValueError`
        If there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"weight format must be one of {', '.join(FORMATS)}, not {name!r}")
    return FORMATS[name]


def pack_dense(codes: np.ndarray, bits: int) -> bytes:
    """Packs codes without gaps: code *k*, in C order, occupies bits *k·bits* and up of a string
    whose bit *i* is bit ``i % 8`` of byte ``i // 8``; the last byte is filled up with zeros."""
    flat = np.asarray(codes).reshape(-1).astype(np.int64) & ((1 << bits) - 1)
    planes = (flat[:, None] >> np.arange(bits)) & 1
    return np.packbits(planes.astype(np.uint8), bitorder="little").tobytes()


def unpack_dense(packed: bytes, bits: int, count: int) -> np.ndarray:
    """The ``count`` codes that :func:`pack_dense` packed, as uint8.

    Raises
    ------
    :exc:`ValueError`
        If ``packed`` is not exactly as long as ``count`` codes need.
    """
    expected = -(-count * bits // 8)
    if len(packed) != expected:
        raise ValueError(f"{count} codes of {bits} bits take {expected} bytes, found {len(packed)}")
    planes = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[:count * bits]
    return (planes.reshape(count, bits).astype(np.int64) << np.arange(bits)).sum(1).astype(np.uint8)


def pack_u16x3(codes: np.ndarray) -> bytes:
    """Packs ``pot5`` codes three to a little-endian 16-bit word, the first in bits 4:0; bit 15 and
    the codes missing in the last word are zero (the paper's layout)."""
    flat = np.asarray(codes, np.uint16).reshape(-1)
    words = np.concatenate([flat, np.zeros(-len(flat) % 3, np.uint16)]).reshape(-1, 3)
    return (words[:, 0] | words[:, 1] << 5 | words[:, 2] << 10).astype("<u2").tobytes()


def unpack_u16x3(packed: bytes, count: int) -> np.ndarray:
    """The ``count`` codes that :func:`pack_u16x3` packed, as uint8.

    Raises
    ------
    :exc:`ValueError`
        If the length is wrong, or a bit that must be zero is not.
    """
    expected = 2 * -(-count // 3)
    if len(packed) != expected:
        raise ValueError(f"{count} codes take {expected} bytes in u16x3, found {len(packed)}")
    words = np.frombuffer(packed, "<u2")
    codes = np.stack([words & 31, words >> 5 & 31, words >> 10 & 31], axis=1).reshape(-1)
    if (words >> 15).any() or codes[count:].any():
        raise ValueError("u16x3 words must have bit 15 and the unused tail zero")
    return codes[:count].astype(np.uint8)
