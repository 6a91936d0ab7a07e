# amaranth: UnusedElaboratable=no
"""What every structure does, in each form that it exists in."""

import random

import pytest
from amaranth import Shape
from amaranth.lib.wiring import In

from gen.structures import STRUCTURES
from models import codes, formats
from tests.amaranth_testing import random_vectors, redundant_sums

FORMS = [(name, scheme, tree) for name, structure in STRUCTURES.items()
         for scheme in structure.ENCODINGS for tree in structure.TREES]


def make(structure, scheme, tree="binary", **knobs):
    cls = STRUCTURES[structure]
    return cls(**{"scheme": scheme, "tree": tree, "dsp": cls.DSP[0], **knobs})


@pytest.mark.parametrize(("structure", "scheme", "tree"), FORMS)
class TestStructures:
    @pytest.mark.parametrize(("lanes", "pipeline"), [
        (1, 1), (2, 0), (3, 1), (9, 0), (9, 2), (16, 1), (17, 2)])
    def test_sums(self, structure, scheme, tree, lanes, pipeline):
        """Random vectors and extreme ones; the range is reached at both ends and never left."""
        dut = make(structure, scheme, tree, lanes=lanes, pipeline=pipeline)
        vectors = random_vectors(random.Random(lanes), dut, scheme, slices=dut.SUMS, lanes=lanes,
                                 count=40)
        inputs = [name for name, member in dut.signature.members.items() if member.flow == In]
        found = iter(redundant_sums(
            dut, [{name: a_pass[name] for name in inputs} for vector in vectors
                  for a_pass in vector]))
        single = []
        for vector in vectors:
            passes = [next(found) for _ in vector]
            single += [value for sums in passes for value in sums]
            assert [sum(sums) for sums in zip(*passes, strict=True)] == vector[-1]["sums"]
        assert (min(single), max(single)) == (dut.range[0], dut.range[-1])

    def test_declared(self, structure, scheme, tree):
        dut = make(structure, scheme, tree, lanes=2)
        for name, encoding in dut.ENCODINGS[scheme].items():
            code = codes.get(encoding.code)
            assert set(formats.get(name).values.tolist()) <= set(code.values.tolist())
            assert code.bits <= Shape.cast(dut.weight_shape).width
            assert dut.ACTIVATIONS % encoding.taps == 0
            assert encoding.mode in ((0, 1) if "mode" in dut.signature.members else (None,))
        assert set(dut.TARGETS) >= {"portable"}
        assert len(dut.addend_ranges) <= 2
        assert dut.carry_count <= len(dut.addend_ranges)

    def test_names_tell_forms_apart(self, structure, scheme, tree):
        dut = make(structure, scheme, tree, lanes=4)
        others = [make(structure, scheme, tree, lanes=4, pipeline=2),
                  make(structure, scheme, tree, lanes=5),
                  *(make(*form, lanes=4) for form in FORMS if form != (structure, scheme, tree)),
                  *(make(structure, scheme, tree, lanes=4, target=target)
                    for target in dut.TARGETS[1:])]
        assert dut.module_name not in {other.module_name for other in others}


def exhaustive_forms():
    """Schemes with 8-bit weights take half a minute, and are proved in test_equivalence."""
    return [pytest.param(name, scheme, marks=[] if scheme == "doubleq" else pytest.mark.slow)
            for name, structure in STRUCTURES.items() for scheme in structure.ENCODINGS]


@pytest.mark.parametrize(("structure", "scheme"), exhaustive_forms())
def test_one_lane_exhaustive(structure, scheme):
    """256 activations times all words of every weight."""
    dut = make(structure, scheme, lanes=1)
    cases, expected = [], []
    for name, encoding in dut.ENCODINGS[scheme].items():
        code, values = codes.get(encoding.code), formats.get(name).values
        words = code.encode(values.reshape(-1, 1).repeat(code.taps, 1))
        for x in range(-128, 128):
            activations = [x] * dut.ACTIVATIONS
            for k, value in enumerate(values.tolist()):
                cases += [{"x": activations, "w": [[int(word)]] * dut.SUMS,
                           **({} if encoding.mode is None else {"mode": encoding.mode})}
                          for word in words[:, k, 0]]
                expected.append((len(words), value * x * code.taps))
    found = iter(redundant_sums(dut, cases))
    for passes, product in expected:
        sums = [next(found) for _ in range(passes)]
        assert [sum(column) for column in zip(*sums, strict=True)] == [product] * dut.SUMS


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("knobs", "message"), [
    ({"scheme": "int8"}, "scheme must be one of .*, not 'int8'"),
    ({"tree": "wallace"}, "tree must be one of .*, not 'wallace'"),
    ({"target": "ice40"}, "target must be one of .*, not 'ice40'"),
    ({"lanes": 0}, "lanes must be a positive integer, not 0"),
    ({"dsp": None}, "dsp must be one of .*, not None"),
])
def test_refused(structure, knobs, message):
    cls = STRUCTURES[structure]
    with pytest.raises(ValueError, match=f"^{cls.__name__} {message}$"):
        cls(**{"scheme": next(iter(cls.ENCODINGS)), "lanes": 2, "dsp": cls.DSP[0], **knobs})
