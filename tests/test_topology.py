import pytest
from networks import every_op

from models.topology import INPUT


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_released(shortcut):
    """Every tensor but the logits, once, after all that read it and not earlier."""
    topology = every_op(shortcut=shortcut)
    alive, names = {INPUT}, [node.name for node in topology.order]
    for i, node in enumerate(topology.order):
        assert set(node.reads) <= alive
        alive = (alive | {node.name}) - set(topology.released[node.name])
        needed = {"fc2"}.union(*(later.reads for later in topology.order[i + 1:]))
        assert alive == needed & {INPUT, *names[:i + 1]}
    assert alive == {"fc2"}


def test_reads():
    assert every_op()["conv2"].reads == ("conv1", "short")
    assert every_op()["stem"].reads == (INPUT,)
