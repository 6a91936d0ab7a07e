"""The paper's own ResNet-20 on real CIFAR-10 images, down to the Verilog."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gen.export import required_accumulator_bits, write_array
from gen.parameters import ArrayParameters, from_pes
from models import checkpoints, data, pipeline
from models.layerwise import compare_layers
from models.network import SCHEMES
from sim.cosim import cosimulate

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def float_network(data_folder):
    return checkpoints.load_model(data_folder / "checkpoints" / "resnet20_float32.pth.tar",
                                  "resnet20")


@pytest.fixture(scope="module")
def networks(data_folder, float_network):
    """Quantized with each scheme; doubleqext with critical layers of a row of Table 4."""
    train = data.load(data_folder / "cifar10", "train")
    critical = ("stem", "layer1.2.conv2", "layer2.2.conv2", "layer3.2.conv1")
    return {scheme: pipeline.quantize(float_network, train, pipeline.Recipe(
        scheme=scheme, critical=critical if scheme == "doubleqext" else None))
        for scheme in SCHEMES}


@pytest.mark.parametrize(("scheme", "kilobytes"), [
    ("quant8", 270.26), ("doubleq", 168.91), ("doubleqext", 187.22)])
def test_memory(networks, scheme, kilobytes):
    assert round(networks[scheme].conv_bytes / 1000, 2) == kilobytes


def test_only_training_images_calibrate_and_select(data_folder):
    train = data.load(data_folder / "cifar10", "train")
    calibrating, selecting = pipeline.split(train, pipeline.Recipe(scheme="doubleqext"))
    assert (calibrating.pixels == train.pixels[:1500]).all()
    assert (selecting.pixels == train.pixels[1500:]).all()


@pytest.mark.parametrize(("folder", "images", "points"), [
    ("cifar10", 500, 0.4), ("cifar10_jpeg", 5000, 0.6)])
def test_quant8_accuracy(data_folder, float_network, networks, folder, images, points):
    """At most 2 of the 500 images, and 0.6 points of the 5,000, below the float network."""
    test = data.load(data_folder / folder, "test")
    assert len(test) == images
    found = pipeline.compare(networks["quant8"], float_network, test)
    assert found["integer"].top1 >= found["float"].top1 - points / 100 * images
    assert found["float"].top1 == {500: 474, 5000: 4126}[images]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_layers_of_the_fake_quantized_network(data_folder, float_network, networks, scheme):
    """Given the same input, one code at most, of one in 300 (measured: 1 of 700, in a shortcut);
    the two ends of the comparison are the accuracies of ``evaluate``."""
    network, test = networks[scheme], data.load(data_folder / "cifar10", "test")
    usual = test.normalization
    rows = compare_layers(network, test.pixels, test.labels, mean=usual.mean, std=usual.std)
    for row in rows:
        assert row.same_input.largest <= 1, row.name
        assert row.same_input.percent > 99.7, row.name
    found = pipeline.compare(network, float_network, test)
    assert rows[0].same_input.percent == 100
    assert np.array_equal(rows[0].accuracy.rank, found["fake-quantized"].rank)
    assert np.array_equal(rows[-1].accuracy.rank, found["integer"].rank)


def prove(network, scheme, pes, data_folder, folder, *, layer, outputs):
    """No mismatch in values and cycles on a layer of a real image."""
    slices, lanes = from_pes(pes)
    parameters = ArrayParameters(scheme=scheme, slices=slices, lanes=lanes,
                                 accumulator_bits=max(16, required_accumulator_bits(network)))
    write_array(parameters, folder, artefact_hash=network.hash)
    pixels = data.load(data_folder / "cifar10", "test", limit=1).pixels
    result = cosimulate(network, folder, pixels, layer=layer, outputs=outputs)
    assert result["mismatches"] == 0
    return result


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("pes", "layer", "outputs"), [
    (9, "layer1.0.conv1", 64), (64, "layer2.0.conv2", None)])
def test_cosim(networks, data_folder, tmp_path, scheme, pes, layer, outputs):
    result = prove(networks[scheme], scheme, pes, data_folder, tmp_path / "array", layer=layer,
                   outputs=outputs)
    assert result["accumulators"] == (64 * 16 if pes == 9 else 16 * 16 * 32)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("pes", [9, 64, 512])
def test_cosim_all_layers(networks, data_folder, tmp_path, scheme, pes):
    """Every layer; on 9 PEs, where one image takes 4.5 million cycles, 32 outputs of each."""
    result = prove(networks[scheme], scheme, pes, data_folder, tmp_path / "array", layer=None,
                   outputs=32 if pes == 9 else None)
    assert len(result["layers"]) == 22


def test_search(data_folder, tmp_path):
    """Algorithm 1 from the command line, on few images."""
    line = [sys.executable, str(ROOT / "doubleq.py"), "quantize",
            str(data_folder / "checkpoints" / "resnet20_float32.pth.tar"), "--model", "resnet20",
            "--data", str(data_folder / "cifar10"), "--scheme", "doubleqext", "--rounding", "log",
            "--per-tensor", "--mrt", "20", "--selection-images", "100", "-o", "net", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    result = json.loads(done.stdout)
    assert result["critical"]
    assert [result["formats"][name] for name in result["critical"]] == (
        ["int8"] * len(result["critical"]))
    trace = result["search"]["trace"]
    assert trace[-1]["recovered"] >= 20
    assert trace[-1]["conv_bytes"] == result["conv_bytes"]
    assert result["search"]["on"] == "training images"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net"]
