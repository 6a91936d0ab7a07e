import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import codes, formats
from models.codes import booth_word, signed_digits


@pytest.mark.parametrize("name", ["int8", "pot5"])
def test_stored(name):
    code, fmt = codes.get(name), formats.get(name)
    words = code.encode(fmt.values)
    assert words.shape == (1, len(fmt.values))
    assert np.array_equal(words[0], fmt.encode(fmt.values).astype(int) & (1 << fmt.bits) - 1)


def test_terms_of_every_weight():
    code = codes.get("terms")
    words = code.encode(code.values)
    assert words.shape == (4, 255)
    terms = formats.get("pot5").decode(words).astype(int)
    assert np.array_equal(terms.sum(0), code.values)
    ends = (np.diff((terms == 0).astype(int), axis=0) >= 0).all()
    assert ends, "zeros come last, so that passes can be left out"


@given(st.integers(-127, 127))
def test_signed_digits(value):
    digits = signed_digits(np.array(value))
    assert (digits << np.arange(8)).sum() == value
    assert not (digits[1:] & digits[:-1] & 1).any()


def digits_value(word, rows):
    """What the digits of a word of ``booth_word`` say, digit by digit."""
    bits = [int(word) >> k & 1 for k in range(2 * rows + 1)]
    lows = [0, *bits[1:2 * rows - 3:2], bits[-1]]
    return sum(4 ** r * (bits[2 * r] + lows[r] - 2 * bits[2 * r + 1]) for r in range(rows))


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_booth_word(rows):
    largest = 2 * 4 ** (rows - 1)
    values = np.arange(-largest, largest + 1)
    words = booth_word(values, rows)
    assert words.max() < 2 << 2 * rows
    assert [digits_value(word, rows) for word in words] == values.tolist()


def half_value(word):
    return digits_value(word & 31, 2) << (4 if word & 32 else 0)


def test_dual_halves():
    """What the two halves of a word say: together the one weight, or each its own."""
    code = codes.get("dual-int8")
    words = code.encode(code.values[:, None])[0, :, 0].tolist()
    assert [half_value(word & 63) + half_value(word >> 6) for word in words] == code.values.tolist()
    code = codes.get("dual-pot")
    pairs = np.stack(np.meshgrid(code.values, code.values), -1).reshape(-1, 2)
    words = code.encode(pairs)[0, :, 0].tolist()
    assert [[half_value(word & 63), half_value(word >> 6)] for word in words] == pairs.tolist()
    with pytest.raises(ValueError, match=r"^dual-pot takes multiples of 2 weights, found 3$"):
        code.encode(np.array([1, 2, 4]))


@pytest.mark.parametrize("name", codes.CODES)
def test_words(name):
    """Of every code: of the declared width, one for each group of weights and pass, and distinct
    where the weights are."""
    code = codes.get(name)
    weights = np.stack([np.roll(code.values, k) for k in range(code.taps)], -1)
    words = code.encode(weights)
    assert words.shape == (code.passes, len(code.values), 1)
    assert words.min() >= 0 and words.max() < 1 << code.bits
    assert len({tuple(word) for word in words[:, :, 0].T.tolist()}) == len(code.values)


def test_refused():
    with pytest.raises(ValueError, match=r"^pot5 has no code for the value 3$"):
        codes.get("pot5").encode(np.array([1, 3]))
    with pytest.raises(ValueError, match=r"^lane code must be one of int8, .*, not 'pot9'$"):
        codes.get("pot9")
