# amaranth: UnusedElaboratable=no

import pytest

from gen.decoder import Decoder
from models import formats
from tests.amaranth_testing import combinational


def value(weight):
    return (-1) ** weight.sign * weight.nonzero << weight.exponent


@pytest.mark.parametrize("name", ["pot5", "pot4", "pot3"])
def test_exhaustive(name):
    format = formats.get(name)
    codes = list(range(1 << format.bits))
    weights = combinational(Decoder(format=format), ({"code": code} for code in codes), "weight")
    assert [value(weight) for weight in weights] == format.decode(codes).tolist()


def test_other_bias():
    format = formats.WeightFormat("pot2", 2, power_of_two=True)
    weights = combinational(Decoder(format=format), ({"code": code} for code in range(4)), "weight")
    assert [value(weight) for weight in weights] == [0, 128, 0, -128]


def test_int8():
    with pytest.raises(ValueError, match=r"^Decoder format must be of powers of two, not 'int8'$"):
        Decoder(format=formats.get("int8"))
