import pytest
from amaranth import unsigned

from gen.index_shape import index_shape


@pytest.mark.parametrize(("count", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10)])
def test_index_shape(count, bits):
    assert index_shape(count) == unsigned(bits)
