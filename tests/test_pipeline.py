import pytest
from networks import float_network

from models import checkpoints, data, pipeline, resnet
from models.pipeline import Recipe

FEW = {"calibration_images": 60, "selection_images": 30}


@pytest.fixture(scope="module")
def problem():
    train = data.load("digits", "train", limit=90)
    return float_network(resnet.build("resnet8", width=4)), train


@pytest.mark.parametrize("rounding", ["nearest", "calibrated"])
def test_assigned_formats(problem, rounding):
    network, train = problem
    names = [node.name for node in network.topology.weighted]
    assigned = {name: ("int8", "pot5", "pot4", "pot3")[i % 4] for i, name in enumerate(names)}
    result = pipeline.quantize(network, train, Recipe(
        scheme="doubleqext", rounding=rounding, assigned=assigned, **FEW))
    assert result.formats == assigned
    assert result.about["critical"] == [node.name for node in network.topology.convs
                                        if assigned[node.name] == "int8"]
    assert result.about["recipe"]["assigned"] == assigned
    assert "search" not in result.about


@pytest.mark.parametrize(("scheme", "assigned", "message"), [
    ("doubleqext", {"stem": "int8", "nose": "int8"}, "every layer that has weights, wrong: fc, "),
    ("doubleqext", {}, "every layer that has weights, wrong: fc, layer1.0.conv1"),
    ("quant8", {"stem": "int8"}, "critical layers belong to scheme doubleqext, not quant8")])
def test_assigned_formats_refused(problem, scheme, assigned, message):
    with pytest.raises(ValueError, match=message):
        pipeline.quantize(*problem, Recipe(scheme=scheme, assigned=assigned, **FEW))


def test_load_checkpoint(problem, tmp_path):
    """Input and classes are those of the images, unless given."""
    network, train = problem
    checkpoints.save(network, tmp_path / "net.safetensors")
    loaded = pipeline.load_checkpoint(tmp_path / "net.safetensors", "resnet8", train, width=4,
                                      classes=None, shortcut=None)
    assert loaded.topology == network.topology
    with pytest.raises(ValueError, match=r"layers.fc.weight has shape \[10, 16\], expected \[7"):
        pipeline.load_checkpoint(tmp_path / "net.safetensors", "resnet8", train, width=4, classes=7)
