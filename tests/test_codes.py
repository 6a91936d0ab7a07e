import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import codes, formats
from models.codes import booth_digits, signed_digits


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


@given(st.integers(1, 6), st.data())
def test_booth_digits(rows, data):
    value = data.draw(st.integers(-(4 ** rows) // 2, 4 ** rows // 2 - 1))
    digits = booth_digits(np.array(value), rows)
    assert (digits * 4 ** np.arange(rows)).sum() == value
    assert np.abs(digits).max() <= 2


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
