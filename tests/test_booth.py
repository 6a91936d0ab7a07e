# amaranth: UnusedElaboratable=no
import itertools
import re

import numpy as np
import pytest

from gen.booth import BoothDecoder, BoothDecodingDotProduct, BoothMultiplier
from models import codes, formats
from tests.amaranth_testing import combinational
from tests.equivalence import NotEquivalent, behavioural, exported, prove, prove_leaf

LEAVES = {
    "booth_2": (lambda: BoothMultiplier(rows=2, target="xc7"), 5 + 9),
    "booth_4": (lambda: BoothMultiplier(rows=4, target="xc7"), 5 + 3 * 9),
    "decoder": (lambda: BoothDecoder(target="xc7"), 10),
}


@pytest.mark.parametrize(("rows", "activations"), [
    (2, range(-128, 128)), (3, range(-128, 128, 5)), (4, (-128, -127, -1, 0, 1, 85, 127))])
def test_multiplier(rows, activations):
    """Of all words; ``tests/test_dot.py`` has all activations as well."""
    largest = 2 * 4 ** (rows - 1)
    weights = range(-largest, largest + 1)
    words = codes.booth_word(np.array(weights), rows).tolist()
    pairs = list(itertools.product(zip(weights, words, strict=True), activations))
    products = combinational(BoothMultiplier(rows=rows),
                             ({"x": x, "word": word} for (_, word), x in pairs), "product")
    assert products == [weight * x - (word >> 1 & 1) for (weight, word), x in pairs]


def test_decoder():
    """Of all codes; the high bits do not matter to powers of two."""
    stored = {0: formats.get("int8").values, 1: formats.get("pot5").decode(np.arange(32))}
    cases = [(0, int(value) & 0xff, int(value)) for value in stored[0]]
    cases += [(1, high << 5 | code, int(value)) for code, value in enumerate(stored[1])
              for high in range(8)]
    words = combinational(BoothDecoder(), ({"mode": mode, "code": code} for mode, code, _ in cases),
                          "word")
    values = np.array([value for _, _, value in cases])
    assert words == codes.get("booth").encode(values[:, None])[0, :, 0].tolist()


@pytest.mark.parametrize("leaf", LEAVES)
def test_mapped(leaf):
    make, luts = LEAVES[leaf]
    prove_leaf(make)
    assert len(re.findall(r"^  LUT\w+ #\(", exported(make()), re.MULTILINE)) == luts


@pytest.mark.parametrize("bit", [0, 21, 63])
def test_mutated_lut_is_found(bit):
    def mutated(match):
        return f"LUT6 #(\n    .INIT(64'h{int(match[1], 16) ^ 1 << bit:016x})"

    make = LEAVES["booth_2"][0]
    text, found = re.subn(r"LUT6 #\(\s*\.INIT\(64'h([0-9a-f]+)\)", mutated, exported(make()),
                          count=1)
    assert found == 1
    with pytest.raises(NotEquivalent, match="^booth_2_xc7 and booth_2_xc7 differ:"):
        prove(text, "booth_2_xc7", behavioural(make()), "booth_2_xc7")


@pytest.mark.parametrize(("pipeline", "latency"), [(0, 1), (1, 4), (2, 3)])
def test_decoded_weights_are_registered(pipeline, latency):
    dut = BoothDecodingDotProduct(scheme="doubleqext", lanes=4, pipeline=pipeline)
    assert dut.latency == latency
