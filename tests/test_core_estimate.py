# amaranth: UnusedElaboratable=no
import json

import pytest

from gen import core_estimate, devices, estimate
from gen.block_memory import rom_blocks, written_blocks
from gen.core import Core
from gen.core_estimate import (
    DELAY_FEATURES,
    FEATURES,
    PARTS,
    block_memories,
    features,
    least_block_memories,
    predict,
)
from gen.core_parameters import core_for
from gen.writer import LUT_ROWS
from models.quantize import assign
from models.resnet import build
from tests.networks import every_op, make_quantizer

AREAS = estimate.load()


@pytest.fixture(scope="module", params=["rom", "load"])
def core(request):
    """64 PEs: two groups of two channels; a doubleqext network, with and without loading."""
    topology = every_op()
    network = make_quantizer(topology).network(
        assign(topology, scheme="doubleqext", critical=("conv1",)), scheme="doubleqext")
    return Core(network, core_for(network, 64, groups=2, structure="booth", tree="ternary",
                                  target="xc7", weights=request.param))


def named(core, kind="lut"):
    return {part: dict(zip(FEATURES[part], values, strict=True))
            for part, values in features(core, AREAS, kind).items()}


def test_features(core):
    """By hand: words of 16 activations, and of nine bits a weight, of two formats."""
    found, bits = named(core), core.parameters.array.accumulator_bits
    banks, depth = core.schedule.banks, core.schedule.depth
    array = estimate.predict(AREAS, core.parameters.array)
    assert found["arrays"] == {"predicted": 2 * array["lut"], "predicted with DSPs": 0}
    assert found["requantizers"]["units"] == 4
    assert found["requantizers"]["multiplier bits"] == 4 * 16 * core.ranges.accumulator
    assert found["writer"] == {"one": 1, "set bits": 4 * (bits + 9), "moved set bits": 0}
    assert found["weights"] == {
        "word bits": 2 * 16 * 9, "further formats' bits": 2 * 16 * 5,
        "passes' word bits": 0, "chunk selectors": 0}
    assert found["sequencer"] == {
        "one": 1, "address bits": banks * (depth - 1).bit_length(), "groups": 2}
    rest = found["rest"]
    assert (rest["vector bits"], rest["crossbar bits"]) == (2 * 128, 2 * 128 * banks)
    assert (rest["residual bits"], rest["selected bits"]) == (2 * 2 * 9, 2 * 2 * 8 * 6)
    assert rest["writable parts"] == banks * 8
    assert (rest["loaded bits"] > 0) == (core.loader is not None)


def test_predict(core):
    """Each part's and feature's factor counts once, and each resource has its own."""
    model = {kind: {part: [factor * (k + 1) for k in range(len(FEATURES[part]))] for part in PARTS}
             for kind, factor in (("lut", 1.0), ("ff", 2.0), ("dsp", 0.0))}
    model["delay_ns"] = [5.0, 0.01]
    found = predict(model, AREAS, core)
    for kind, factor in (("lut", 1), ("ff", 2), ("dsp", 0)):
        assert found[kind] == pytest.approx(factor * sum(
            (k + 1) * value for values in features(core, AREAS, kind).values()
            for k, value in enumerate(values)))
    assert found["delay_ns"] == 5 + 0.01 * 2 * 128 * core.schedule.banks
    array = estimate.predict(AREAS, core.parameters.array)
    model["delay_ns"] = [5.0, 0.0]
    assert predict(model, AREAS, core)["delay_ns"] == array["delay_ns"] > 5


def test_block_memories(core):
    """The sum over the memories by their sizes, but for the few rows of biases and multipliers that
    lie in LUTs; never fewer than their bits need."""
    schedule = core.schedule
    expected = schedule.banks * written_blocks(width=128, depth=schedule.depth, parts=8)
    assert len(core.contents["constants"].rows) <= LUT_ROWS
    for content in core.weights.contents.values():
        size = {"width": content.bits, "depth": len(content.rows)}
        expected += written_blocks(**size) if core.loader else rom_blocks(**size)
    assert block_memories(core) == expected
    assert 0 < least_block_memories(core) <= expected


def test_unknown_form(core):
    with pytest.raises(ValueError, match="^there is no area model of structure 'booth' for doubleq"
                                         "ext as in this core$"):
        features(core, {**AREAS, "forms": []}, "lut")


@pytest.mark.parametrize(("text", "message"), [
    (None, r"cannot read .*m\.json: No such file or directory, expected what 'doubleq bench net"),
    ("{", r"m\.json: expected what 'doubleq bench network --model m\.json' writes, found"),
    (json.dumps({"schema": 1, "features": {}}), r"m\.json: expected what .* writes, with "),
])
def test_damaged_model(tmp_path, text, message):
    if text is not None:
        (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        core_estimate.load(tmp_path / "m.json")


def test_shipped_model():
    """Is of this version; area is predicted within 10 % of synthesis, block memories within 1 %."""
    model = core_estimate.load()
    assert model["delay_features"] == list(DELAY_FEATURES)
    assert all(model["error"][kind] <= 0.1 for kind in ("lut", "ff", "dsp"))
    assert model["error"]["bram36"] <= 0.01
    assert model["forms"] and not set(model["others"]) & set(model["fitted"])


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "format", "structure", "blocks"), [
    ("doubleq", "pot4", "merged", 119), ("doubleq", "pot5", "merged", 145),
    ("quant8", "pot5", "booth", 218.5)])
def test_resnet56(scheme, format, structure, blocks):
    """On 256 PEs it fits into the 135 block memories of an xc7a100t in four bits a weight only."""
    topology = build("resnet56")
    network = make_quantizer(topology).network(
        assign(topology, scheme=scheme, fmt=format), scheme=scheme)
    core = Core(network, core_for(network, 256, structure=structure, tree="ternary", target="xc7"))
    assert block_memories(core) == blocks
    assert (blocks <= devices.get("xc7a100t").bram36) == (format == "pot4")
