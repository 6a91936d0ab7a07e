"""Real layers' worth of random networks through generated Verilog, in both simulators."""

import shutil

import numpy as np
import pytest
from networks import every_op, make_networks, make_quantizer, random_pixels

from gen.export import write_array
from gen.parameters import ArrayParameters
from models import resnet
from models.quantize import assign
from sim.cosim import choose_layers, cosimulate

SCHEMES = {"quant8": (), "doubleq": (), "doubleqext": ("stem", "conv2")}


@pytest.fixture(scope="module")
def networks():
    return make_networks(every_op(), SCHEMES)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Arrays of 3 × 7 PEs: neither is a power of two, and no layer fills them."""
    root = tmp_path_factory.mktemp("arrays")
    for scheme in SCHEMES:
        write_array(ArrayParameters(scheme=scheme, slices=3, lanes=7, accumulator_bits=24),
                    root / scheme)
    return root


PIXELS = random_pixels((3, 18, 18), images=2)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_all_layers(networks, arrays, scheme, gaps):
    network = networks[scheme]
    result = cosimulate(network, arrays / scheme, PIXELS, gaps=gaps, seed=1)
    assert result["mismatches"] == 0
    assert result["artefact"] == network.hash
    topology = network.topology
    for entry in result["layers"]:
        assert entry["macs"] == 2 * topology.macs(entry["layer"])
        assert entry["accumulators"] == 2 * np.prod(topology.shapes[entry["layer"]])
        assert (entry["cycles"] == entry["vectors"]) == (gaps == 0)
    assert [e["layer"] for e in result["layers"]] == [
        node.name for node in topology.order if node.weighted]


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_corrupted_golden_value_is_noticed(networks, arrays, simulator):
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    network = networks["doubleq"]
    right = cosimulate(network, arrays / "doubleq", PIXELS, layer="conv1", simulator=simulator)
    assert right["mismatches"] == 0
    channels, height, width = network.topology.shapes["conv1"]
    # Golden values are kept by group of 3 channels, then by pixel of both images.
    tile, pixel, slice_ = 1, height * width + 2 * width + 3, 1
    result = cosimulate(network, arrays / "doubleq", PIXELS, layer="conv1", simulator=simulator,
                        corrupt=(tile * 2 * height * width + pixel) * 3 + slice_)
    assert result["mismatches"] == 1
    [entry] = result["reported"]
    assert entry["layer"] == "conv1"
    assert (entry["image"], entry["channel"], entry["pixel"]) == (1, 3 * tile + slice_, [2, 3])
    assert entry["expected"] == entry["got"] + 1
    assert entry["channel"] < channels


def test_wrong_latency_is_noticed(networks, arrays, tmp_path):
    """A sidecar that promises an output one cycle early or late."""
    for change in (-1, 1):
        folder = tmp_path / f"latency{change}"
        shutil.copytree(arrays / "doubleq", folder)
        text = (folder / "sidecar.json").read_text()
        latency = int(text.split('"latency": ')[1].split(",")[0])
        (folder / "sidecar.json").write_text(
            text.replace(f'"latency": {latency}', f'"latency": {latency + change}'))
        result = cosimulate(networks["doubleq"], folder, PIXELS[:1], layer="conv3", outputs=3)
        assert result["mismatches"] > 0
        assert "no output in the predicted cycle" in {e["what"] for e in result["reported"]}


def test_sampled_outputs(networks, arrays):
    result = cosimulate(networks["quant8"], arrays / "quant8", PIXELS, layer="0", outputs=5)
    assert result["mismatches"] == 0
    assert result["accumulators"] == 5 * 4


def test_wave(networks, arrays, tmp_path):
    path = tmp_path / "dump.fst"
    cosimulate(networks["doubleq"], arrays / "doubleq", PIXELS[:1], layer="fc2", wave=path)
    from pylibfst import ffi, get_scopes_signals2, lib
    reader = lib.fstReaderOpen(str(path).encode())
    assert reader != ffi.NULL
    names = get_scopes_signals2(reader)[1].by_name
    assert any(name.endswith("o__valid") for name in names)
    assert lib.fstReaderGetEndTime(reader) > 0
    lib.fstReaderClose(reader)


def test_format_that_the_array_cannot_take(networks, arrays):
    with pytest.raises(ValueError, match="layer 'stem': has int8 weights, array_doubleq_3x7 takes"):
        cosimulate(networks["quant8"], arrays / "doubleq", PIXELS)


def test_accumulators_too_narrow(tmp_path):
    topology = resnet.build("resnet8", width=16)
    quantizer = make_quantizer(topology)
    network = quantizer.network(assign(topology, scheme="quant8"), scheme="quant8")
    write_array(ArrayParameters(scheme="quant8", slices=2, lanes=4, accumulator_bits=18),
                tmp_path / "narrow")
    with pytest.raises(ValueError, match=r"needs accumulators of \d+ bits, array_quant8_2x4 "):
        cosimulate(network, tmp_path / "narrow", random_pixels((1, 8, 8), images=1))


def test_edited_verilog(networks, arrays, tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(arrays / "doubleq", folder)
    verilog = next(folder.glob("*.v"))
    verilog.write_text(verilog.read_text() + "\n")
    with pytest.raises(ValueError, match="SHA-256 must be"):
        cosimulate(networks["doubleq"], folder, PIXELS)


def test_missing_simulator(networks, arrays, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="simulator icarus: iverilog not found on PATH"):
        cosimulate(networks["doubleq"], arrays / "doubleq", PIXELS, simulator="icarus")
    with pytest.raises(ValueError, match="simulator must be one of verilator, icarus, not 'vcs'"):
        cosimulate(networks["doubleq"], arrays / "doubleq", PIXELS, simulator="vcs")


@pytest.mark.parametrize(("layer", "name"), [("0", "stem"), ("3", "short"), ("fc1", "fc1")])
def test_choose_layers(networks, layer, name):
    assert [node.name for node in choose_layers(networks["quant8"], layer)] == [name]


@pytest.mark.parametrize("layer", ["9", "-1", "pool1", "nothing"])
def test_no_such_layer(networks, layer):
    with pytest.raises(ValueError, match=f"^layer must be 0 to 4 or one of stem, .*not '{layer}'$"):
        choose_layers(networks["quant8"], layer)
