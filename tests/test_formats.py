import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import formats
from models.formats import FORMATS

POWERS = [name for name, fmt in FORMATS.items() if fmt.power_of_two]


@pytest.mark.parametrize(("name", "bits", "count", "smallest"), [
    ("int8", 8, 255, 1), ("pot5", 5, 17, 1), ("pot4", 4, 15, 2), ("pot3", 3, 7, 32)])
def test_values(name, bits, count, smallest):
    fmt = FORMATS[name]
    values = fmt.values
    assert fmt.bits == bits
    assert len(values) == count
    assert (values == -values[::-1]).all()
    assert values[values > 0].min() == smallest
    assert values.max() == (128 if fmt.power_of_two else 127)


@pytest.mark.parametrize("name", FORMATS)
def test_codes_round_trip(name):
    fmt = FORMATS[name]
    codes = fmt.encode(fmt.values)
    assert codes.dtype == fmt.code_dtype
    assert len(set(codes.tolist())) == len(codes)
    assert (fmt.decode(codes) == fmt.values).all()


def test_pot5_layout():
    """sign, nonzero, e2, e1, e0; zero is all zeros; sign and exponent of a zero are ignored."""
    fmt = FORMATS["pot5"]
    for exponent in range(8):
        assert fmt.encode(np.array([1 << exponent])) == [0b01000 | exponent]
        assert fmt.encode(np.array([-(1 << exponent)])) == [0b11000 | exponent]
    zeros = np.array([code for code in range(32) if not code & 0b01000])
    assert fmt.encode(np.array([0])) == [0]
    assert (fmt.decode(zeros) == 0).all()


@pytest.mark.parametrize(("name", "first"), [("pot4", 1), ("pot3", 5)])
def test_short_layouts(name, first):
    """sign, then f; f = 0 is zero, else the exponent is 8 - 2**(bits - 1) + f."""
    fmt = FORMATS[name]
    half = 1 << (fmt.bits - 1)
    expected = [0] + [1 << (8 - half + f) for f in range(1, half)]
    assert expected[1] == 1 << first
    assert fmt.decode(np.arange(half)).tolist() == expected
    assert fmt.decode(np.arange(half, 2 * half)).tolist() == [-v for v in expected]


@pytest.mark.parametrize(("name", "value"), [
    ("int8", -128), ("int8", 128), ("pot5", 3), ("pot5", 256), ("pot4", 1), ("pot3", 16)])
def test_no_code(name, value):
    with pytest.raises(ValueError, match=f"^{name} has no code for the value {value}$"):
        FORMATS[name].encode(np.array([0, value]))


@pytest.mark.parametrize(("name", "code", "legal"), [
    ("int8", -128, "-127 to 127"), ("pot5", 32, "0 to 31"), ("pot4", 16, "0 to 15"),
    ("pot3", 8, "0 to 7")])
def test_illegal_code(name, code, legal):
    with pytest.raises(ValueError, match=f"^{name} codes are {legal}, found {code}$"):
        FORMATS[name].decode(np.array([0, code]))


def test_unknown_format():
    with pytest.raises(ValueError, match=r"must be one of int8, pot5, pot4, pot3, not 'pot9'$"):
        formats.get("pot9")


@given(name=st.sampled_from(list(FORMATS)), data=st.data())
def test_dense_round_trip(name, data):
    fmt = FORMATS[name]
    codes = fmt.encode(np.array(data.draw(st.lists(st.sampled_from(fmt.values.tolist())))))
    packed = formats.pack_dense(codes, fmt.bits)
    assert len(packed) == -(-len(codes) * fmt.bits // 8)
    unpacked = formats.unpack_dense(packed, fmt.bits, len(codes)).view(fmt.code_dtype)
    assert (unpacked == codes).all()
    string = int.from_bytes(packed, "little")
    mask = (1 << fmt.bits) - 1
    assert [string >> (fmt.bits * k) & mask for k in range(len(codes))] == [
        int(code) & mask for code in codes]


@given(st.lists(st.integers(0, 31)))
def test_u16x3_round_trip(codes):
    packed = formats.pack_u16x3(np.array(codes, np.uint8))
    words = [int.from_bytes(packed[i:i + 2], "little") for i in range(0, len(packed), 2)]
    assert len(words) == -(-len(codes) // 3)
    for k, code in enumerate(codes):
        assert words[k // 3] >> (5 * (k % 3)) & 31 == code
    assert all(word >> 15 == 0 for word in words)
    assert formats.unpack_u16x3(packed, len(codes)).tolist() == codes


def test_unpack_wrong_length():
    with pytest.raises(ValueError, match=r"^3 codes of 5 bits take 2 bytes, found 3$"):
        formats.unpack_dense(b"\0\0\0", 5, 3)
    with pytest.raises(ValueError, match=r"^4 codes take 4 bytes in u16x3, found 2$"):
        formats.unpack_u16x3(b"\0\0", 4)
    with pytest.raises(ValueError, match="unused tail zero"):
        formats.unpack_u16x3(b"\xff\x7f", 2)
