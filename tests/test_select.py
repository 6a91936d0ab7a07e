import json

import numpy as np
import pytest
from networks import make_quantizer, random_pixels

from models import resnet, select
from models.golden import GoldenNetwork
from models.quantize import assign


@pytest.fixture(scope="module")
def problem():
    """A random network whose labels are what Quant8 says, so that Quant8 is perfect."""
    topology = resnet.build("resnet8", width=8)
    quantizer = make_quantizer(topology, rounding="log", per_tensor=True)
    pixels = random_pixels(topology.input_shape, images=60)
    quant8 = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    labels = GoldenNetwork(quant8).logits(pixels).argmax(1).astype(np.int64)
    return quantizer, pixels, labels


def correct(quantizer, critical, pixels, labels):
    """Images classified correctly by a network quantized from scratch."""
    assigned = assign(quantizer.topology, scheme="doubleqext", fmt="pot3", critical=critical)
    network = quantizer.network(assigned, scheme="doubleqext")
    return (GoldenNetwork(network).logits(pixels).argmax(1) == labels).sum(), network.conv_bytes


def test_follows_algorithm_1(problem):
    """Each step against all candidates evaluated without any reuse."""
    quantizer, pixels, labels = problem
    found = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3", batch=25)
    names = [node.name for node in quantizer.topology.convs]
    start, _ = correct(quantizer, (), pixels, labels)
    assert found.correct_quant8 == len(labels) > start
    assert found.trace[0].correct == start
    chosen = ()
    for step in found.trace[1:]:
        candidates = {name: correct(quantizer, (*chosen, name), pixels, labels)
                      for name in names if name not in chosen}
        best = min(candidates, key=lambda n: (-candidates[n][0], candidates[n][1], names.index(n)))
        assert (step.layer, step.correct, step.conv_bytes) == (best, *candidates[best])
        assert step.index == names.index(best)
        assert step.recovered == 100 * (step.correct - start) / (len(labels) - start)
        chosen = (*chosen, best)
    assert found.critical == chosen
    assert found.trace[-1].recovered >= 100 or len(chosen) == len(names)
    assert all(step.recovered < 100 for step in found.trace[:-1])
    assert 0.1 < found.reused < 0.8


def test_threshold_zero_selects_nothing(problem):
    quantizer, pixels, labels = problem
    assert select.greedy(quantizer, pixels, labels, mrt=0, fmt="pot3").critical == ()


def test_nothing_to_recover(problem):
    """Labels that DoubleQ gets right: recovered is 100 % and no layer is critical."""
    quantizer, pixels, _ = problem
    assigned = assign(quantizer.topology, scheme="doubleqext", fmt="pot3")
    network = quantizer.network(assigned, scheme="doubleqext")
    labels = GoldenNetwork(network).logits(pixels).argmax(1).astype(np.int64)
    found = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3")
    assert found.critical == ()
    assert found.trace[0].recovered == 100


def test_resumes(problem, tmp_path):
    quantizer, pixels, labels = problem
    state = tmp_path / "search.json"
    whole = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3")

    def interrupt(step, share):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3", state=state,
                      progress=interrupt)
    assert len(json.loads(state.read_text())["trace"]) == 2
    resumed = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3", state=state)
    assert resumed.trace == whole.trace
    assert resumed.evaluations < whole.evaluations


def test_other_inputs_do_not_resume(problem, tmp_path):
    quantizer, pixels, labels = problem
    state = tmp_path / "search.json"
    select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3", state=state)
    fresh = select.greedy(quantizer, pixels[:30], labels[:30], mrt=50, fmt="pot3")
    assert select.greedy(quantizer, pixels[:30], labels[:30], mrt=50, fmt="pot3",
                         state=state) == fresh


def test_damaged_state(problem, tmp_path):
    quantizer, pixels, labels = problem
    state = tmp_path / "search.json"
    state.write_text("{")
    with pytest.raises(ValueError, match="search.json: damaged search state; delete it"):
        select.greedy(quantizer, pixels, labels, mrt=100, state=state)


@pytest.mark.parametrize(("images", "mrt", "message"), [
    (0, 50, "at least one image"), (5, 101, "must be 0 to 100 %, not 101")])
def test_refused(problem, images, mrt, message):
    quantizer, pixels, labels = problem
    with pytest.raises(ValueError, match=message):
        select.greedy(quantizer, pixels[:images], labels[:images], mrt=mrt)
