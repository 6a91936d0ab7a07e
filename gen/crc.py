"""CRC-32 (IEEE 802.3, :func:`zlib.crc32`) of words."""

from amaranth import Cat, Value

__all__ = ["INITIAL", "next_crc"]

INITIAL = 0xffffffff
"""Register before the first word."""

POLYNOMIAL = 0x04c11db7


def _shifted(register: int) -> int:
    """The register after 32 zero bits. Its lowest bit belongs to the highest power."""
    reflected = int(f"{POLYNOMIAL:032b}"[::-1], 2)
    for _ in range(32):
        register = register >> 1 ^ (reflected if register & 1 else 0)
    return register


def next_crc(register: Value, word: Value) -> Value:
    """The register after a word of 32 bits, whose low byte comes first: the CRC is its inverse.

    It is linear in the bits of both, which go in together.
    """
    both = register ^ word
    columns = [_shifted(1 << k) for k in range(32)]
    return Cat(Cat(both[k] for k in range(32) if columns[k] >> bit & 1).xor()
               for bit in range(32))
