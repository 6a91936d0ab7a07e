import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen import parameters as module
from gen.parameters import LAYOUTS, MAX_LANES, MAX_SLICES, ArrayParameters, from_pes
from gen.structures import STRUCTURES


def make(**knobs):
    return ArrayParameters(**{"scheme": "doubleq", "slices": 2, "lanes": 3, **knobs})


@pytest.mark.parametrize(("knobs", "message"), [
    ({"slices": 0}, "array slices must be 1 to 128, not 0"),
    ({"slices": 129}, "array slices must be 1 to 128, not 129"),
    ({"slices": 2.0}, r"array slices must be 1 to 128, not 2\.0"),
    ({"slices": True}, "array slices must be 1 to 128, not True"),
    ({"lanes": 0}, "array lanes must be 1 to 64, not 0"),
    ({"lanes": 65}, "array lanes must be 1 to 64, not 65"),
    ({"pipeline": -1}, "array pipeline must be 0 to 6, not -1"),
    ({"pipeline": 7}, "array pipeline must be 0 to 6, not 7"),
    ({"accumulator_bits": 15}, "array accumulator_bits must be 16 to 48, not 15"),
    ({"accumulator_bits": 49}, "array accumulator_bits must be 16 to 48, not 49"),
    ({"scheme": "int8"}, "array scheme must be one of quant8, doubleq, doubleqext, not 'int8'"),
    ({"structure": "foo"}, "array structure must be one of paper.*, not 'foo'"),
    ({"tree": "wallace"}, "array tree must be one of binary, ternary, not 'wallace'"),
    ({"target": "ice40"}, "array target must be one of portable, xc7, not 'ice40'"),
    ({"target": "xc7"}, "structure 'paper' exists for target portable, not 'xc7'"),
    ({"dsp": 1}, "array dsp must be one of False, True, not 1"),
    ({"dsp": True}, "array dsp needs a scheme with multipliers, not 'doubleq'"),
])
def test_refused(knobs, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(**knobs)


def test_slices_of_several_sums(monkeypatch):
    class Pairs(STRUCTURES["paper"]):
        SUMS = 2

    monkeypatch.setitem(module.STRUCTURES, "pairs", Pairs)
    assert make(structure="pairs", slices=4).sums == 2
    with pytest.raises(ValueError, match=(
            r"^array slices must be a multiple of 2 for structure 'pairs', not 3$")):
        make(structure="pairs", slices=3)


def test_frozen_and_derived():
    assert make(scheme="quant8", dsp=True).pes == 6
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().slices = 3


@pytest.mark.parametrize(("scheme", "format", "code", "mode"), [
    ("quant8", "int8", "int8", None),
    ("doubleq", "pot5", "pot5", None),
    ("doubleq", "pot3", "pot5", None),
    ("doubleqext", "int8", "int8", 0),
    ("doubleqext", "pot4", "pot5", 1),
])
def test_encoding(scheme, format, code, mode):
    encoding = make(scheme=scheme).encoding(format)
    assert (encoding.code, encoding.mode, encoding.passes) == (code, mode, 1)


@pytest.mark.parametrize(("scheme", "format", "taken"), [
    ("quant8", "pot5", "int8"), ("doubleq", "int8", "pot5, pot4, pot3"),
])
def test_encoding_refused(scheme, format, taken):
    with pytest.raises(ValueError, match=(
            f"^structure 'paper' for {scheme} takes the formats {taken}, not '{format}'$")):
        make(scheme=scheme).encoding(format)


@pytest.mark.parametrize(("pes", "slices", "expected"), [
    (9, None, (1, 9)), (64, None, (4, 16)), (512, None, (32, 16)), (1024, None, (64, 16)),
    (127, None, (127, 1)), (24, None, (2, 12)), (8192, None, (128, 64)), (512, 8, (8, 64)),
])
def test_from_pes(pes, slices, expected):
    assert from_pes(pes, slices=slices) == expected


@pytest.mark.parametrize(("pes", "slices", "message"), [
    (0, None, "array pes must be a positive integer, not 0"),
    (131, None, "array pes must be 1 to 128 slices of 1 to 64 lanes each, not 131"),
    (8193, None, "array pes must be 1 to 128 slices of 1 to 64 lanes each, not 8193"),
    (512, 33, "array pes must be 33 slices of 1 to 64 lanes each, not 512"),
    (512, 0, "array pes must be 0 slices of 1 to 64 lanes each, not 512"),
    (512, 4, "array pes must be 4 slices of 1 to 64 lanes each, not 512"),
])
def test_from_pes_refused(pes, slices, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        from_pes(pes, slices=slices)


@given(slices=st.integers(1, MAX_SLICES), lanes=st.integers(1, MAX_LANES))
def test_from_pes_finds_one_where_there_is_one(slices, lanes):
    assert from_pes(slices * lanes, slices=slices) == (slices, lanes)
    s, p = from_pes(slices * lanes)
    assert s * p == slices * lanes
    assert abs(p - 16) <= abs(lanes - 16)
    ArrayParameters(scheme="doubleq", slices=s, lanes=p)


def test_layouts():
    assert LAYOUTS == {"paper-9": (1, 9), "paper-512": (32, 16), "paper-1024": (64, 16)}
