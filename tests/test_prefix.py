import math
from collections import Counter

import numpy as np
import pytest
import torch
from networks import make_quantizer, random_pixels

from models import resnet, select
from models.allocate import sensitivity_curve
from models.evaluate import evaluate
from models.golden import GoldenNetwork
from models.prefix import PrefixEvaluator
from models.quantize import assign

IMAGES = 41


@pytest.fixture(scope="module")
def problem():
    topology = resnet.build("resnet8", width=4)
    quantizer = make_quantizer(topology)
    pixels = random_pixels(topology.input_shape, images=IMAGES)
    base = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    logits = GoldenNetwork(base).logits(pixels)
    reference = torch.from_numpy(logits * base.logit_scale)
    variants = {("", ""): base} | {(node.name, "pot3"): quantizer.with_layer(
        base, node.name, "pot3") for node in topology.weighted}
    return quantizer, base, variants, pixels, logits.argmax(1).astype(np.int64), reference


@pytest.fixture(scope="module")
def expected(problem):
    """Each network evaluated without any reuse."""
    _, _, variants, pixels, labels, reference = problem
    golden = {key: GoldenNetwork(network) for key, network in variants.items()}
    return {key: evaluate(lambda part, key=key: torch.from_numpy(golden[key].logits(part)), pixels,
                          labels, reference=reference, scale=golden[key].network.logit_scale)
            for key in variants}


@pytest.mark.parametrize("batch", [1, 7, 40, 100])
def test_same_for_any_batch(problem, expected, batch):
    _, base, variants, pixels, labels, reference = problem
    evaluator = PrefixEvaluator(pixels, labels, reference=reference, batch=batch)
    scores = evaluator.measure(base, variants)
    assert scores == PrefixEvaluator(pixels, labels, reference=reference).measure(base, variants)
    for key, score in scores.items():
        assert score.correct == expected[key].top1
        assert score.divergence == pytest.approx(expected[key].divergence, abs=1e-12)
    assert evaluator.evaluations == len(variants)


def test_without_a_reference(problem):
    _, base, variants, pixels, labels, _ = problem
    scores = PrefixEvaluator(pixels, labels).measure(base, variants)
    assert scores["", ""].correct == IMAGES
    assert all(math.isnan(score.divergence) for score in scores.values())


def test_reuse_is_counted(problem):
    """Of all variants of one layer each, what lies before the layer is saved."""
    _, base, _, pixels, labels, _ = problem
    topology = base.topology
    last = topology.nodes[-1].name
    evaluator = PrefixEvaluator(pixels, labels)
    assert evaluator.reused == 0
    evaluator.measure(base, {(last, str(i)): base for i in range(3)})
    every = sum(topology.macs(node.name) for node in topology.weighted)
    assert evaluator.reused == pytest.approx(1 - (every + 3 * topology.macs(last)) / (3 * every))


def test_progress(problem):
    _, base, _, pixels, labels, _ = problem
    told = []
    PrefixEvaluator(pixels, labels, batch=20).measure(base, {("", ""): base}, told.append)
    assert told == [1 / 3, 2 / 3, 1.0]


def test_executors_agree(any_executor, problem):
    """Both selections, ==, wherever the evaluations run."""
    quantizer, _, _, pixels, labels, reference = problem
    ran = Counter()

    def run(function, jobs, **options):
        ran.update(jobs)
        return any_executor.run(function, jobs, **options)

    here = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3")
    there = select.greedy(quantizer, pixels, labels, mrt=100, fmt="pot3", batch=16, run=run)
    assert there == here
    assert here.critical

    def curve(**options):
        evaluator = PrefixEvaluator(pixels, labels, reference=reference, **options)
        return sensitivity_curve(quantizer, evaluator, ("pot3", "pot5", "int8"))

    assert curve(batch=16, run=run) == curve()
    assert set(ran) == {"images from 0", "images from 16", "images from 32"}
