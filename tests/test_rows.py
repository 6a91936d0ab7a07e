from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import float_network

from benchmarks import rows
from benchmarks.rows import Setup, Task, images_digest, load, work
from models import checkpoints, data, formats, pipeline, resnet
from models.evaluate import Accuracy
from models.pipeline import Recipe

CHECKPOINT = Path(checkpoints.__file__).with_name("resnet8_digits.safetensors")
SETUP = Setup(checkpoint=str(CHECKPOINT), model="resnet8", data=("digits",), images=60)
FEW = {"calibration_images": 100, "selection_images": 40}


def task(kind="integer", **recipe):
    return Task(name="a row", kind=kind, recipe=Recipe(**recipe, **FEW))


def test_integer_row_is_the_golden_model():
    recipe = Recipe(scheme="doubleq", rounding="log", **FEW)
    found = work(SETUP, Task(name="a row", kind="integer", recipe=recipe))
    loaded = load(SETUP)
    network = pipeline.quantize(loaded.network, loaded.train, recipe)
    expected = pipeline.compare(network, loaded.network, loaded.tests[0])["integer"]
    [measured] = found["accuracy"]
    assert Accuracy(np.array(measured["rank"]), measured["divergence"],
                    measured["agreement"]) == expected
    assert (found["conv_bytes"], found["full_bytes"]) == (network.conv_bytes, network.full_bytes)
    assert found["formats"] == network.formats
    assert list(found["weights"]) == ["pot5"]
    values = np.concatenate([network.layers[node.name].weights.reshape(-1)
                             for node in network.topology.convs])
    assert found["weights"]["pot5"] == [int((values == value).sum())
                                        for value in formats.get("pot5").values]
    assert found["cost"]["seconds"] > 0


def test_float_and_affine_rows():
    loaded = load(SETUP)
    network = pipeline.quantize(loaded.network, loaded.train, Recipe(scheme="quant8", **FEW))
    expected = pipeline.compare(network, loaded.network, loaded.tests[0])
    affine = work(SETUP, task("affine", scheme="quant8"))["accuracy"][0]
    assert affine["rank"] == expected["affine"].rank.tolist()
    assert affine["divergence"] == pytest.approx(expected["affine"].divergence)
    real = work(SETUP, Task(name="float", kind="float"))
    assert real["accuracy"][0]["rank"] == expected["float"].rank.tolist()
    assert real["conv_bytes"] == 4 * network.conv_bytes


def test_search():
    found = work(SETUP, task("search", scheme="doubleqext", rounding="log", per_tensor=True,
                             mrt=50.0))
    assert found["trace"][0]["layer"] == ""
    assert found["images"] == 40
    assert found["on"] == "training images"
    assert set(found["formats"]) == {node.name for node in load(SETUP).network.topology.weighted}


def test_ranges():
    found = work(SETUP, task("ranges", scheme="quant8"))
    topology = load(SETUP).network.topology
    assert [entry["layer"] for entry in found] == [node.name for node in topology.order[:-1]]
    for entry in found:
        low, high = entry["quantiles"]
        assert entry["low"] <= low <= high <= entry["high"]
        assert entry["represented"][0] <= 0 < entry["represented"][1]


def test_test_images_change_no_network():
    """Calibration and selection see none of them, unless the paper's protocol is asked for."""
    for unlabelled in (
            task("search", scheme="doubleqext", selection="sensitivity", max_loss=100.0),
            task(scheme="doubleq", format="pot3", rounding="calibrated")):
        one, other = (work(replace(SETUP, images=images), unlabelled) for images in (5, 50))
        for key in one.keys() - {"cost", "accuracy"}:
            assert one[key] == other[key]
    paper = task("search", scheme="doubleqext", paper_protocol=True)
    assert work(replace(SETUP, images=5), paper)["images"] == 5
    assert work(SETUP, paper)["on"] == "test images, as the paper"


def test_pictures(tmp_path):
    """Folders of pictures, as ImageNet is kept, take the same way."""
    from PIL import Image
    rng = np.random.default_rng(0)
    for split, count in [("train", 4), ("val", 2)]:
        for name in ("ant", "bee", "cat"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    topology = resnet.build("resnet18", width=4, classes=3, input_shape=(3, 32, 32))
    checkpoints.save(float_network(topology), tmp_path / "net.safetensors")
    setup = Setup(checkpoint=str(tmp_path / "net.safetensors"), model="resnet18", image_size=32,
                  data=(str(tmp_path),), options=(("width", 4),))
    recipe = Recipe(scheme="doubleq", calibration_images=6, selection_images=3)
    found = work(setup, Task(name="a row", kind="integer", recipe=recipe))
    assert len(found["accuracy"][0]["rank"]) == 6
    digest = images_digest(load(setup).tests[0])
    (tmp_path / "val" / "bee" / "1.png").unlink()
    rows.load.cache_clear()
    assert images_digest(load(setup).tests[0]) != digest


def test_digest_covers_pixels_and_labels():
    images = data.load("digits", "test", limit=5)
    brighter, other = images.pixels.copy(), images.labels.copy()
    brighter[3, 0, 2, 2] ^= 1
    other[2] = (other[2] + 1) % 10
    digests = {images_digest(part) for part in (
        images, replace(images, pixels=brighter), replace(images, labels=other), images.take(0, 4))}
    assert len(digests) == 4


def test_data_sets_must_fit_each_other(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(bytes(3073))
    with pytest.raises(ValueError, match=r"10 classes of images \(3, 32, 32\), expected 10 of "
                                         r"\(1, 8, 8\) as in digits"):
        load(replace(SETUP, data=("digits", str(tmp_path))))
