# amaranth: UnusedElaboratable=no

import random

import pytest
from amaranth import Shape

from gen.dot import ENCODINGS, STRUCTURES
from models import formats
from models.network import SCHEMES
from tests.amaranth_testing import pipelined, random_vectors

PAIRS = [(name, scheme) for name, structure in STRUCTURES.items() for scheme in structure.ENCODINGS]


@pytest.mark.parametrize(("structure", "scheme"), PAIRS)
class TestStructures:
    """What every structure does, in each scheme that it exists for."""

    @pytest.mark.parametrize("lanes", [1, 3, 9, 16, 17])
    @pytest.mark.parametrize("pipeline", [0, 1, 2])
    def test_sums(self, structure, scheme, lanes, pipeline):
        dut = STRUCTURES[structure](scheme=scheme, lanes=lanes, pipeline=pipeline)
        vectors = random_vectors(random.Random(lanes), dut.ENCODINGS[scheme], slices=dut.SUMS,
                                 lanes=lanes, count=40)
        inputs = ["x", "w"] + ["mode"] * ("mode" in dut.signature.members)
        cases = [{name: vector[name] for name in inputs} for vector in vectors]
        sums = pipelined(dut, cases, "sums", latency=dut.latency)
        assert sums == [vector["sums"] for vector in vectors]
        found = [value for row in sums for value in row]
        assert (min(found), max(found)) == (dut.range[0], dut.range[-1])

    def test_declared(self, structure, scheme):
        dut = STRUCTURES[structure](scheme=scheme, lanes=2)
        for name, encoding in dut.ENCODINGS[scheme].items():
            values = formats.get(name).values.tolist()
            code = formats.get(encoding.code)
            assert set(values) <= set(code.values.tolist())
            assert code.bits <= Shape.cast(dut.weight_shape).width
            assert encoding.mode in ((0, 1) if "mode" in dut.signature.members else (None,))
            assert encoding.passes >= 1
        assert set(dut.TREES) and set(dut.TARGETS)


def test_paper_exists_for_all_schemes():
    assert tuple(STRUCTURES["paper"].ENCODINGS) == SCHEMES
    assert set(ENCODINGS["doubleqext"]) == set(formats.FORMATS)


@pytest.mark.parametrize(("knobs", "message"), [
    ({"scheme": "int8"}, "scheme must be one of quant8, doubleq, doubleqext, not 'int8'"),
    ({"tree": "ternary"}, "tree must be one of binary, not 'ternary'"),
    ({"lanes": 0}, "lanes must be a positive integer, not 0"),
])
def test_paper_refused(knobs, message):
    with pytest.raises(ValueError, match=f"^PaperDotProduct {message}$"):
        STRUCTURES["paper"](**{"scheme": "quant8", "lanes": 2, **knobs})
