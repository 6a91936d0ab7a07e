import math

import numpy as np
import pytest

from models.formats import FORMATS
from models.rounding import round_weights

POWERS = ["pot5", "pot4", "pot3"]
GRID = np.arange(-127, 128)


@pytest.mark.parametrize("name", POWERS)
def test_log(name):
    fmt = FORMATS[name]
    smallest = 1 << fmt.min_exponent

    def expected(q):
        if q == 0:
            return 0
        exponent = min(round(math.log2(abs(q))), 7)
        if exponent < fmt.min_exponent:
            magnitude = smallest if smallest - abs(q) < abs(q) else 0
        else:
            magnitude = 1 << exponent
        return math.copysign(magnitude, q)

    assert round_weights(GRID, fmt, rounding="log").tolist() == [expected(int(q)) for q in GRID]


@pytest.mark.parametrize("name", POWERS)
def test_nearest(name):
    fmt = FORMATS[name]
    for q, value in zip(GRID, round_weights(GRID, fmt, rounding="nearest"), strict=True):
        assert (abs(int(q) - int(value)), abs(int(value))) == min(
            (abs(int(q) - int(v)), abs(int(v))) for v in fmt.values)


@pytest.mark.parametrize(("name", "rounding", "q", "value"), [
    ("pot5", "log", 127, 128), ("pot5", "log", 91, 128), ("pot5", "log", 90, 64),
    ("pot5", "nearest", 96, 64), ("pot5", "nearest", 97, 128), ("pot5", "nearest", -3, -2),
    ("pot4", "log", 1, 0), ("pot4", "nearest", 1, 0), ("pot3", "log", 16, 0),
    ("pot3", "log", 17, 32), ("pot3", "nearest", 48, 32)])
def test_corners(name, rounding, q, value):
    assert round_weights(np.array([q]), FORMATS[name], rounding=rounding) == [value]


def test_int8_is_unchanged():
    assert (round_weights(GRID, FORMATS["int8"], rounding="log") == GRID).all()


def test_unknown_rounding():
    with pytest.raises(ValueError, match="^rounding must be one of log, nearest, not 'up'$"):
        round_weights(GRID, FORMATS["pot5"], rounding="up")
