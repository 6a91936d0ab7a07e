# amaranth: UnusedElaboratable=no
import itertools
import random
import re

from gen.dual import ShiftingAdder
from tests.amaranth_testing import combinational
from tests.equivalence import exported, prove_leaf


def test_shifting_adder():
    rng = random.Random(1)
    cases = []
    for carries, high in itertools.product(range(4), repeat=2):
        least, most = ([limit - (carries >> n & 1) for n in range(2)] for limit in (-1024, 1024))
        cases += [(products, carries, high) for products in [
            least, most, *([rng.randrange(least[n], most[n] + 1) for n in range(2)]
                           for _ in range(100))]]
    sums = combinational(ShiftingAdder(), ({"products": products, "carries": carries, "high": high}
                                           for products, carries, high in cases), "sum")
    assert sums == [
        sum(product + (carries >> n & 1) << (4 if high >> n & 1 else 0)
            for n, product in enumerate(products)) - (carries >> 1)
        for products, carries, high in cases]
    assert (min(sums), max(sums)) == (-2 * 16384 - 1, 2 * 16384)


def test_mapped():
    """The two are the same for products that cannot be, too."""
    def make():
        return ShiftingAdder(target="xc7")

    prove_leaf(make)
    assert len(re.findall(r"^  LUT\w+ #\(", exported(make()), re.MULTILINE)) == 24
