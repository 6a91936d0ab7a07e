"""Networks that the project has never seen: deep ones, zero-padding shortcuts, ImageNet's size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import MEAN, STD, random_pixels, trained_like

from gen.core_parameters import core_for
from gen.export_core import write_core
from models import checkpoints, network, resnet
from models.calibrate import calibrate, observe
from models.evaluate import normalized
from models.golden import GoldenNetwork
from models.quantize import Quantizer, assign, fold
from models.reconstruct import MEMORY, affordable, held_bytes, reconstruct
from sim.cosim_core import cosimulate_core

ROOT = Path(__file__).resolve().parent.parent
FORMATS = {"int8": "quant8", "pot5": "doubleq", "pot4": "doubleq", "pot3": "doubleq"}
LIMIT = 8_000_000_000


def make_quantizer(float_network, pixels):
    """Rounds each weight; the activations' ranges come from these images."""
    topology = float_network.topology
    activations = calibrate(topology, observe(
        float_network, lambda: normalized(pixels, MEAN, STD).split(20)), method="mse")
    return Quantizer(topology, fold(float_network), activations, MEAN, STD)


def check_formats(topology, folder, *, images):
    """In every format the artefact comes back the same, and calibrated rounding is closer to the
    float network than rounding each weight, on images that did not calibrate. With int8, where
    that costs next to nothing, either may be ahead by chance."""
    float_network = trained_like(topology)
    pixels = random_pixels(topology.input_shape, images=images + 20)
    nearest = make_quantizer(float_network, pixels[:images])
    with torch.inference_mode():
        reference = float_network(normalized(pixels[images:], MEAN, STD)).numpy()
    for fmt, scheme in FORMATS.items():
        assigned = assign(topology, scheme=scheme, fmt="pot5" if fmt == "int8" else fmt)
        found = []
        for quantizer in (nearest, reconstruct(float_network, nearest, pixels, images, assigned)):
            result = quantizer.network(assigned, scheme=scheme)
            logits = GoldenNetwork(result).logits(pixels[images:])
            found.append(((logits * result.logit_scale - reference) ** 2).mean())
        result.save(folder / fmt)
        loaded = network.load(folder / fmt)
        assert loaded.hash == result.hash
        assert (GoldenNetwork(loaded).logits(pixels[images:]) == logits).all()
        assert found[1] < found[0] * (1.2 if fmt == "int8" else 0.9), (fmt, found)


@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_deep(tmp_path, shortcut):
    check_formats(resnet.build("resnet56", width=4, input_shape=(3, 8, 8), shortcut=shortcut),
                  tmp_path, images=40)


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", ["conv", "zero"])
@pytest.mark.parametrize("depth", [56, 110])
def test_deep_in_full(tmp_path, depth, shortcut):
    check_formats(resnet.build(f"resnet{depth}", shortcut=shortcut), tmp_path, images=100)


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_resnet56_core(tmp_path, shortcut):
    """In simulated hardware: every activation, every logit, and the cycles."""
    topology = resnet.build("resnet56", shortcut=shortcut)
    pixels = random_pixels(topology.input_shape, images=42)
    doubleq = make_quantizer(trained_like(topology), pixels[2:]).network(
        assign(topology, scheme="doubleq"), scheme="doubleq")
    write_core(doubleq, core_for(doubleq, 256, structure="merged", tree="ternary"),
               tmp_path / "core")
    result = cosimulate_core(doubleq, tmp_path / "core", pixels[:2], layers=True)
    assert result["reported"] == []
    assert result["mismatches"] == 0
    assert result["image_cycles"] == [result["predicted_cycles"]] * 2
    assert len(result["layers"]) == len(topology.nodes) - 1
    assert np.ptp(result["logits"]) > 0


def test_imagenet_shape(tmp_path):
    """The 7×7 stem, max pooling and four stages, on small images."""
    check_formats(resnet.build("resnet18", width=4, classes=20, input_shape=(3, 32, 32)), tmp_path,
                  images=40)


def test_images_are_bounded_by_memory():
    """ResNet-20 keeps its images; at 224×224 the stem's output decides."""
    assert affordable(resnet.build("resnet20"), 1500) == 1500
    large = resnet.build("resnet34")
    assert held_bytes(large) == 5 * (64 * 112 ** 2 + 64 * 56 ** 2)
    assert affordable(large, 64) == 64
    assert affordable(large, 10 ** 6) * held_bytes(large) <= MEMORY


# Prints the most memory that the command line took, in kB, on the last line.
PEAK = """
import re, sys
import doubleq
try:
    doubleq.main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["nearest", "calibrated"])
def test_resnet34_at_224(tmp_path, rounding):
    """From a folder of pictures, with 1,000 classes, and with as many images as are ever held."""
    from PIL import Image
    images, topology = 40, resnet.build("resnet34")
    checkpoints.save(trained_like(topology), tmp_path / "float.safetensors")
    rng = np.random.default_rng(0)
    for split, count in (("train", images + 4), ("val", 1)):
        (tmp_path / "data" / split / "class").mkdir(parents=True)
        for i in range(count):
            small = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            small.resize((256, 256)).save(tmp_path / "data" / split / "class" / f"{i}.png")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "quantize", "float.safetensors", "--model", "resnet34",
         "--data", "data", "--classes", "1000", "--scheme", "doubleq", "--rounding", rounding,
         "--calibration-images", str(images), "--selection-images", "4", "-o", "net", "--json"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    text, peak = done.stdout.rstrip().rsplit("\n", 1)
    more = affordable(topology, 10 ** 6) - images if rounding == "calibrated" else 0
    assert 1024 * int(peak) + more * held_bytes(topology) < LIMIT
    assert json.loads(text)["formats"]["fc"] == "pot5"
    logits = GoldenNetwork(network.load(tmp_path / "net")).logits(
        random_pixels(topology.input_shape, images=1))
    assert logits.shape == (1, 1000)
    assert np.ptp(logits) > 0
