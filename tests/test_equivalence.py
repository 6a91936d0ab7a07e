# amaranth: UnusedElaboratable=no
"""Proofs for all inputs: each structure does what the reference does, and what is mapped by hand is
what is simulated."""

import re

import pytest

from gen.accumulator import Accumulator
from gen.merged import AddingShifter, InvertingShifter
from gen.structures import STRUCTURES
from gen.tree import AdderTree
from tests.equivalence import (
    NotEquivalent,
    Totals,
    behavioural,
    enumerate_all,
    exported,
    prove,
    prove_leaf,
)

LEAVES = {
    "adder_tree_binary": lambda: AdderTree(ranges=[range(-9, 8)] * 3, carries=3, tree="binary",
                                           target="xc7", pipeline=1),
    "adder_tree_ternary": lambda: AdderTree(ranges=[range(-9, 8)] * 4, carries=3, tree="ternary",
                                            target="xc7", pipeline=1),
    "inverting_shifter": lambda: InvertingShifter(target="xc7"),
    "adding_shifter": lambda: AddingShifter(values=InvertingShifter().range, target="xc7"),
    "adding_shifter_narrow": lambda: AddingShifter(values=range(-2, 1), target="xc7"),
}

# Each code and mode that a structure takes, by a format that uses all of it.
REFERENCE = {"int8": "quant8", "pot5": "doubleq"}
# What is mapped by hand, and 8-bit weights of one structure, by default.
FORMS = [pytest.param(name, scheme, format, target, marks=[] if target == "xc7" and (
             format == "pot5" or (name, scheme) == ("booth", "quant8")) else pytest.mark.slow)
         for name, structure in STRUCTURES.items()
         for scheme, encodings in structure.ENCODINGS.items() for format in ("int8", "pot5")
         for target in structure.TARGETS if format in encodings
         and name not in ("paper", "dsp2")]


def prove_totals(own, reference, by=prove):
    by(exported(own), own.module_name, exported(reference), reference.module_name,
       latency_a=own.latency, latency_b=reference.latency)


@pytest.mark.parametrize("leaf", LEAVES)
def test_mapped_leaf(leaf):
    latency = getattr(LEAVES[leaf](), "latency", 0)
    prove_leaf(LEAVES[leaf], latency_a=latency, latency_b=latency)


@pytest.mark.parametrize("addends", [1, 2])
def test_mapped_accumulator(addends):
    prove_leaf(lambda: Accumulator(ranges=[range(-9, 8)] * addends, carries=addends, bits=8,
                                   target="xc7"), accumulates=True)


@pytest.mark.parametrize(("structure", "scheme", "format", "target"), FORMS)
def test_structure(structure, scheme, format, target):
    """A structure with one lane against as many multipliers or shifters of the paper."""
    cls = STRUCTURES[structure]
    shape = {"format": format, "weights": cls.ENCODINGS[scheme][format].taps, "sums": cls.SUMS}
    own = Totals(structure, scheme=scheme, target=target, **shape)
    prove_totals(own, Totals("paper", scheme=REFERENCE[format], **shape))


@pytest.mark.slow
@pytest.mark.parametrize("target", STRUCTURES["dsp2"].TARGETS)
def test_two_products_of_a_block(target):
    """One lane of ``dsp2`` against two multipliers, for all 2^24 inputs."""
    shape = {"format": "int8", "weights": 1, "sums": 2, "scheme": "quant8"}
    prove_totals(Totals("dsp2", target=target, **shape), Totals("paper", **shape), by=enumerate_all)


@pytest.mark.slow
def test_enumeration_notices_a_difference():
    text = """module {name}(p, q, y);
  input [1:0] p;
  input [1:0] q;
  output [2:0] y;
  assign y = {sum};
endmodule
"""
    right, wrong = (text.format(name=name, sum=total) for name, total in
                    [("right", "p + q"), ("wrong", "p + q - (&{p, q})")])
    with pytest.raises(NotEquivalent, match="all 15 equal"):
        enumerate_all(right, "right", wrong, "wrong")


@pytest.mark.parametrize("tree", ["binary", "ternary"])
@pytest.mark.parametrize("target", ["portable", "xc7"])
def test_two_lanes(tree, target):
    """Two PEs that add, and two with a carry each."""
    shape = {"format": "pot5", "weights": 2, "sums": 1, "scheme": "doubleq", "tree": tree}
    prove_totals(Totals("merged", target=target, **shape), Totals("paper", **shape))


@pytest.mark.parametrize("table", [0, -1])
def test_mutated_table_is_noticed(table):
    """The entry of a LUT for inputs that are all zero is the opposite, of the shift and the sum."""
    leaf = AddingShifter(values=range(-2, 1), target="xc7")
    text = exported(leaf)
    end = list(re.finditer(r"\.INIT\(64'h[0-9a-f]+", text))[table].end()
    mutated = f"{text[:end - 1]}{int(text[end - 1], 16) ^ 1:x}{text[end:]}"
    prove(text, leaf.module_name, behavioural(leaf), leaf.module_name)
    with pytest.raises(NotEquivalent, match="model found: FAIL!"):
        prove(mutated, leaf.module_name, behavioural(leaf), leaf.module_name)


def test_wrong_latency_is_noticed():
    tree = AdderTree(ranges=[range(-9, 8)] * 4, tree="binary", pipeline=1)
    text, name = behavioural(tree), tree.module_name
    prove(text, name, text, name, latency_a=2, latency_b=2)
    with pytest.raises(NotEquivalent):
        prove(text, name, text, name, latency_a=2, latency_b=1)
