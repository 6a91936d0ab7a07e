"""The paper's ResNet-20 in simulated hardware, on real images."""

import pytest

from gen.core_parameters import core_for
from gen.export_core import write_core
from models import checkpoints, data, pipeline
from sim.cosim_core import cosimulate_core

RECIPES = {
    "quant8": pipeline.Recipe(scheme="quant8"),
    "doubleq": pipeline.Recipe(scheme="doubleq"),
    "doubleqext": pipeline.Recipe(scheme="doubleqext", critical=(
        "stem", "layer1.2.conv2", "layer2.2.conv2", "layer3.2.conv1")),
    "pot4": pipeline.Recipe(scheme="doubleq", format="pot4", rounding="calibrated"),
}
IMAGES, IMAGES_BY_LAYER = 100, 2


@pytest.fixture(scope="module")
def float_network(data_folder):
    return checkpoints.load_model(data_folder / "checkpoints" / "resnet20_float32.pth.tar",
                                  "resnet20")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "structure", "cycles"), [
    ("quant8", "booth", 90_000), ("doubleq", "merged", 90_000), ("doubleqext", "booth", 90_000),
    ("pot4", "merged", 90_000), ("doubleq", "dual", 54_000)])
def test_resnet20(data_folder, float_network, tmp_path, recipe, structure, cycles):
    """On 512 PEs every activation of some images and every logit of many, in as many cycles as
    predicted."""
    train = data.load(data_folder / "cifar10", "train")
    network = pipeline.quantize(float_network, train, RECIPES[recipe])
    core = tmp_path / "core"
    write_core(network, core_for(network, 512, structure=structure, tree="ternary"), core)
    pixels = data.load(data_folder / "cifar10", "test", limit=IMAGES).pixels
    for part, layers in ((pixels[:IMAGES_BY_LAYER], True), (pixels, False)):
        result = cosimulate_core(network, core, part, layers=layers)
        assert result["reported"] == []
        assert result["mismatches"] == 0
        assert result["image_cycles"] == [result["predicted_cycles"]] * len(part)
        assert max(result["intervals"]) <= cycles
        if layers:
            assert len(result["layers"]) == 22
