from itertools import product

import numpy as np
import pytest
import torch
from networks import make_quantizer, random_pixels

from models import resnet
from models.allocate import allocate, sensitivity_curve
from models.formats import FORMATS
from models.golden import GoldenNetwork
from models.prefix import PrefixEvaluator
from models.quantize import assign

CHOICES = ("pot3", "pot5", "int8")


@pytest.fixture(scope="module")
def problem():
    topology = resnet.build("resnet8", width=4)
    quantizer = make_quantizer(topology)
    pixels = random_pixels(topology.input_shape, images=40)
    quant8 = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    logits = GoldenNetwork(quant8).logits(pixels)
    evaluator = PrefixEvaluator(pixels, logits.argmax(1).astype(np.int64),
                                reference=torch.from_numpy(logits * quant8.logit_scale))
    return topology, sensitivity_curve(quantizer, evaluator, CHOICES, budget=1500.0)


def size(topology, formats):
    return sum(node.weight_count * FORMATS[formats[node.name]].bits / 8 for node in topology.convs)


@pytest.mark.parametrize("budget", [1900.0, 2600.0, 4000.0])
def test_allocate_is_optimal(budget):
    """Against every assignment of four layers, the others being fixed."""
    topology = resnet.build("resnet8", width=4)
    rng = np.random.default_rng(0)
    names = [node.name for node in topology.convs]
    losses = {(name, fmt): float(rng.random() * (8 - FORMATS[fmt].bits))
              for name in names for fmt in (CHOICES if name in names[:4] else ("pot3",))}
    found = allocate(topology, losses, budget)
    best = min((sum(losses[item] for item in formats.items()), formats)[0]
               for chosen in product(CHOICES, repeat=4)
               for formats in [{**dict.fromkeys(names, "pot3"),
                                **dict(zip(names[:4], chosen, strict=True))}]
               if size(topology, formats) <= budget)
    assert sum(losses[item] for item in found.items()) == pytest.approx(best)
    assert size(topology, found) <= budget


def test_budget_too_small():
    topology = resnet.build("resnet8", width=4)
    losses = {(node.name, "pot3"): 0.0 for node in topology.convs}
    with pytest.raises(ValueError, match="no assignment of formats fits 0.10 kB"):
        allocate(topology, losses, 100.0)


def test_curve(problem):
    topology, curve = problem
    sizes = [point.conv_bytes for point in curve.points]
    assert sizes == sorted(sizes)
    assert sizes[0] == size(topology, dict.fromkeys((n.name for n in topology.convs), "pot3"))
    assert curve.points[-1].formats == dict.fromkeys(
        (node.name for node in topology.weighted), "int8")
    assert curve.points[-1].correct == curve.correct_quant8 == curve.images
    assert abs(curve.points[-1].divergence) < 1e-9
    for point in curve.points:
        assert point.conv_bytes == size(topology, point.formats)
    # Two formats of each convolution, the base, and the points: O(L).
    assert curve.evaluations == 1 + 2 * len(topology.convs) + len(curve.points)


def test_within(problem):
    _, curve = problem
    middle = curve.points[len(curve.points) // 2].conv_bytes
    chosen = curve.within(budget=middle)
    assert chosen.conv_bytes <= middle
    assert chosen.divergence == min(
        point.divergence for point in curve.points if point.conv_bytes <= middle)
    assert curve.within(loss=0.0).correct == curve.correct_quant8
    assert curve.within(loss=100.0) is curve.points[0]


@pytest.mark.parametrize(("options", "message"), [
    ({}, "either a budget or a loss"), ({"budget": 1.0, "loss": 1.0}, "either a budget or a loss"),
    ({"budget": 10.0}, "budget must be at least .* kB, not 0.01"),
    ({"loss": -5.0}, "no assignment loses at most -5.0 points")])
def test_within_refused(problem, options, message):
    with pytest.raises(ValueError, match=message):
        problem[1].within(**options)


def test_one_format_is_no_choice(problem):
    with pytest.raises(ValueError, match="at least two formats, found pot5"):
        sensitivity_curve(None, None, ("pot5",))
