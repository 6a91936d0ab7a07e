"""Layers on arrays that take a weight in several passes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import every_op, make_networks, random_pixels

from gen.export import write_array
from gen.parameters import ArrayParameters
from models import formats
from models.golden import GoldenNetwork
from rtl import read_rtl
from sim.cosim import cosimulate
from sim.mapping import map_layer

SCHEMES = {"quant8": (), "doubleqext": ("stem", "conv2")}
PIXELS = random_pixels((3, 18, 18), images=1)


@pytest.fixture(scope="module")
def networks():
    return make_networks(every_op(), SCHEMES)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Arrays of 3 × 7 shifters, which no layer fills."""
    root = tmp_path_factory.mktemp("arrays")
    for scheme in SCHEMES:
        write_array(ArrayParameters(scheme=scheme, structure="terms", tree="ternary", slices=3,
                                    lanes=7, accumulator_bits=24), root / scheme)
    return root


@pytest.mark.parametrize("scheme", SCHEMES)
def test_8_bit_layers_on_shifters(networks, arrays, scheme):
    result = cosimulate(networks[scheme], arrays / scheme, PIXELS, gaps=0.2, seed=1)
    assert result["mismatches"] == 0


@pytest.mark.parametrize(("weights", "passes"), [
    ([0, 1, -64], 1), ([0], 1), ([3, 6, -5], 2), ([1, 21], 3), ([85, -127, 2], 4)])
def test_passes_that_no_weight_needs(networks, arrays, weights, passes):
    """The activations are repeated for as many passes as the weight with most terms has."""
    network, rtl = networks["quant8"], read_rtl(arrays / "quant8")
    node, layer = network.topology["conv1"], network.layers["conv1"]
    values = np.resize(np.array(weights, np.int8), layer.codes.shape)
    network = replace(network, layers={**network.layers, "conv1": replace(layer, codes=values)})
    golden = GoldenNetwork(network)
    with torch.inference_mode():
        q = golden.run(PIXELS, keep={node.input})[node.input]
        job = map_layer(golden, node, q, rtl, outputs=4)
    steps = -(-values[0].size // 7)
    assert job.x.shape == (4, steps * passes, 7)
    terms = formats.get("pot5").decode(job.w).astype(int)  # [tiles, steps, slices, lanes]
    sums = np.einsum("osl,tsnl->ton", job.x.astype(int), terms)
    assert np.array_equal(sums, job.expected)
