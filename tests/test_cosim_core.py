"""Images through the Verilog of whole networks, against the golden model."""

import hashlib
import re
import shutil
from dataclasses import replace

import pytest

from gen.core_parameters import core_from_pes
from gen.export_core import write_core, write_weights
from models.quantize import assign
from models.resnet import build
from rtl import read_rtl
from sim.cosim_core import cosimulate_core, read_core
from tests.lint import lint
from tests.networks import every_op, make_quantizer, random_pixels

NETWORKS = {
    "every op": every_op(),
    "zero shortcuts": every_op(shortcut="zero"),
    "resnet20": build("resnet20", width=8, input_shape=(3, 12, 12), shortcut="zero"),
}


def quantized(name, scheme, **options):
    topology = NETWORKS[name]
    critical = ("conv1", "conv3") if scheme == "doubleqext" else ()
    return make_quantizer(topology, **options).network(
        assign(topology, scheme=scheme, critical=critical), scheme=scheme)


@pytest.mark.parametrize(("name", "scheme", "structure", "pes", "groups"), [
    ("every op", "doubleq", "merged", 64, 4),
    ("zero shortcuts", "doubleqext", "booth", 32, 2),
    ("every op", "quant8", "terms", 32, None),
    ("every op", "doubleqext", "dual", 32, 2),
    ("zero shortcuts", "doubleq", "dual", 16, None),
    ("every op", "doubleqext", "dual", 48, 3),
    ("zero shortcuts", "quant8", "booth", 80, 5),
    ("resnet20", "doubleq", "paper", 64, 2),
])
def test_bit_and_cycle_exact(name, scheme, structure, pes, groups, tmp_path):
    """Every activation and logit, and the cycles of every layer."""
    network = quantized(name, scheme)
    write_core(network, core_from_pes(pes, groups=groups, scheme=scheme, structure=structure,
                                      accumulator_bits=24), tmp_path / "core")
    pixels = random_pixels(network.topology.input_shape, images=3)
    result = cosimulate_core(network, tmp_path / "core", pixels, layers=True)
    assert result["reported"] == []
    assert result["mismatches"] == 0
    assert result["image_cycles"] == [result["predicted_cycles"]] * 3
    shapes = network.topology.shapes
    assert [entry["activations"] for entry in result["layers"]] == [
        3 * shapes[entry["layer"]][0] * shapes[entry["layer"]][1] * shapes[entry["layer"]][2]
        for entry in result["layers"]]
    assert len(result["layers"]) == len(network.topology.nodes) - 1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    network = quantized("every op", "doubleq")
    folder = tmp_path_factory.mktemp("made") / "core"
    write_core(network, core_from_pes(16, scheme="doubleq", accumulator_bits=24), folder)
    return network, folder


def test_lint(made, loadable):
    for _, folder in (made, loadable):
        lint(read_rtl(folder).top, *folder.glob("*.v"))


def test_wrong_golden_value_is_noticed(made):
    network, folder = made
    pixels = random_pixels(network.topology.input_shape, images=1)
    result = cosimulate_core(network, folder, pixels, corrupt=2)
    assert result["mismatches"] == 1
    assert result["reported"][0]["what"] == "logit"
    assert result["reported"][0]["class"] == 2


def test_corrupted_weight_is_noticed(made, tmp_path):
    """One bit of one weight of the second layer in the Verilog's memory."""
    network, folder = made
    sidecar, text = folder / "sidecar.json", next(folder.glob("*.v")).read_text()
    rows = re.findall(r"pot5_0\[\d+\] = 80'h[0-9a-f]+;", text)
    row = rows[len(rows) // 2]
    changed = row[:-2] + ("0" if row[-2] != "0" else "9") + row[-1:]
    broken = tmp_path / "broken"
    broken.mkdir()
    new = text.replace(row, changed)
    (broken / next(folder.glob("*.v")).name).write_text(new)
    found = hashlib.sha256(new.encode()).hexdigest()
    (broken / "sidecar.json").write_text(re.sub(
        r'("verilog_sha256": )"\w+"', rf'\1"{found}"', sidecar.read_text()))
    result = cosimulate_core(network, broken, random_pixels(network.topology.input_shape, images=1),
                             layers=True)
    assert result["mismatches"] > 0


@pytest.fixture(scope="module")
def loadable(tmp_path_factory):
    network = quantized("every op", "doubleqext")
    folder = tmp_path_factory.mktemp("loadable") / "core"
    write_core(network, core_from_pes(32, groups=2, scheme="doubleqext", structure="booth",
                                      accumulator_bits=24, weights="load"), folder)
    return network, folder


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_loaded_weights(loadable, simulator, tmp_path):
    """Every activation and the cycles of every layer, of one network and then of another."""
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")
    network, folder = loadable
    other = quantized("every op", "doubleqext", rounding="log")
    write_weights(other, read_rtl(folder), tmp_path / "other")
    pixels = random_pixels(network.topology.input_shape, images=2)
    result = cosimulate_core(network, folder, pixels, layers=True, simulator=simulator,
                             reload=(other, tmp_path / "other"))
    assert result["reported"] == []
    assert result["mismatches"] == 0
    assert result["image_cycles"] == [result["predicted_cycles"]] * 4
    assert result["logits"][:2] != result["logits"][2:]


def test_weights_alone(loadable, tmp_path):
    """Another network on the same hardware, as a core of its own."""
    _, folder = loadable
    other = quantized("every op", "doubleqext", rounding="log")
    sidecar = write_weights(other, read_rtl(folder), tmp_path / "other")
    assert sidecar["artefact"] == other.hash
    result = cosimulate_core(
        other, tmp_path / "other", random_pixels(other.topology.input_shape, images=1))
    assert result["mismatches"] == 0


def test_damaged_weights(loadable, tmp_path):
    network, folder = loadable
    shutil.copytree(folder, tmp_path / "core", ignore=shutil.ignore_patterns("build*"))
    path = tmp_path / "core" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    pixels = random_pixels(network.topology.input_shape, images=1)
    with pytest.raises(ValueError, match=r"weights\.bin: SHA-256 must be \w{64} as in the sidecar"):
        cosimulate_core(network, tmp_path / "core", pixels)
    path.unlink()
    with pytest.raises(ValueError, match=r"^cannot read \S+weights\.bin: No such file"):
        cosimulate_core(network, tmp_path / "core", pixels)


def test_networks_that_cannot_be_loaded(loadable, made, tmp_path):
    network, folder = loadable
    with pytest.raises(ValueError, match=r"^core_\w+: expected a core with --weights load, its "
                                         r"weights are fixed$"):
        write_weights(made[0], read_rtl(made[1]), tmp_path / "other")
    layer = network.layers["conv3"]
    moved = replace(network, layers={**network.layers, "conv3": replace(
        layer, output=replace(layer.output, zero_point=layer.output.zero_point + 1))})
    with pytest.raises(ValueError, match=r"^artefact \w{12} needs other hardware than core_\w+: "
                                         r"only weights, biases and multipliers can be loaded; "):
        write_weights(moved, read_rtl(folder), tmp_path / "other")
    with pytest.raises(ValueError, match=r"core: cannot be loaded into \S+core, expected the same "
                                         r"core with --weights load$"):
        cosimulate_core(network, folder, random_pixels(network.topology.input_shape, images=1),
                        reload=made)


def test_core_of_another_network(made, tmp_path):
    _, folder = made
    other = quantized("zero shortcuts", "doubleq")
    with pytest.raises(ValueError, match=r"core: was made for the artefact \w{12}, not \w{12}$"):
        read_core(folder, other)
