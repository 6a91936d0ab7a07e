"""Synthesized netlists of every structure against plain integers, in a simulator."""

import dataclasses
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from networks import every_op, make_quantizer, random_pixels

from gen.export import write_array
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from gen.synth import synthesize
from models import codes, formats
from models.quantize import assign
from rtl import RTL, read_netlist
from sim.cosim import cosimulate
from sim.runner import simulate

LANES = 5
FORMS = [(name, scheme, target) for name, structure in STRUCTURES.items()
         for scheme in structure.ENCODINGS for target in structure.TARGETS]


def widest(structure):
    """The scheme of ``structure`` that has most formats."""
    encodings = STRUCTURES[structure].ENCODINGS
    return max(encodings, key=lambda scheme: len(encodings[scheme]))


def make(folder, structure, scheme, target, *, lanes=LANES):
    """The netlist of a small array, as ``doubleq synth --netlist`` leaves it."""
    cls = STRUCTURES[structure]
    write_array(ArrayParameters(
        scheme=scheme, structure=structure, target=target, slices=cls.SUMS, lanes=lanes,
        tree=cls.TREES[-1] if target == "xc7" else cls.TREES[0],
        dsp=cls.DSP[-1] and "int8" in cls.ENCODINGS[scheme], accumulator_bits=24), folder)
    synthesize(folder, "xc7a100t", netlist=True)
    return read_netlist(folder)


def layer(rtl: RTL, format: str, x: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """What the bench streams, of activations [outputs, steps, taps] and weights [tiles, slices,
    steps, taps]."""
    encoding = rtl.sidecar["encodings"][format]
    words = codes.get(encoding["code"]).encode(weights).transpose(1, 3, 0, 2, 4)
    tiles, steps, passes = words.shape[:3]
    copies = rtl.sidecar["activations"] // encoding["taps"]
    return {"x": x.repeat(copies, -1).repeat(passes, 1).astype(np.int8),
            "w": words.reshape(tiles, steps * passes, *words.shape[3:]),
            "expected": np.einsum("olk,tslk->tos", x, weights)}


def exhaustive(rtl: RTL, format: str) -> dict[str, np.ndarray]:
    """256 activations times all weights at every lane of every slice; of weights in several passes
    the powers of two, whose words are all that there are."""
    encoding = rtl.sidecar["encodings"][format]
    values = formats.get(format).values.astype(int)
    if encoding["passes"] > 1:
        values = np.intersect1d(values, formats.get("pot5").values)
    taps = np.arange(rtl.parameters["lanes"] * encoding["taps"])
    slices = np.arange(rtl.parameters["slices"])[:, None]
    x = (np.arange(256)[:, None] + 53 * taps) % 256 - 128
    index = np.arange(len(values))[:, None, None] + 37 * slices + 11 * taps
    return layer(rtl, format, x[:, None], values[index % len(values)][:, :, None])


def corners(rtl: RTL, format: str) -> dict[str, np.ndarray]:
    """Random vectors and extreme ones, three to a sum."""
    rng = np.random.default_rng(0)
    taps = rtl.parameters["lanes"] * rtl.sidecar["encodings"][format]["taps"]
    values = formats.get(format).values.astype(int)
    x = rng.integers(-128, 128, (32, 3, taps))
    x[0], x[1] = -128, 127
    weights = rng.choice(values, (8, rtl.parameters["slices"], 3, taps))
    weights[0], weights[1] = values.max(), values.min()
    return layer(rtl, format, x, weights)


def mismatches(folder, rtl, tmp_path, stimuli, *, simulator="verilator"):
    """Wrong values and cycles, with vectors of every encoding in one in eight cycles left out."""
    job = tmp_path / "job"
    job.mkdir()
    ports = {port["name"]: port for port in rtl.sidecar["ports"]}
    distinct = {(encoding["code"], encoding["mode"]): format
                for format, encoding in reversed(rtl.sidecar["encodings"].items())}
    layers = [(stimulus(rtl, format), mode) for (_, mode), format in distinct.items()
              for stimulus in stimuli]
    for index, (arrays, _) in enumerate(layers):
        np.savez(job / f"{index}.npz", **arrays)
    (job / "job.json").write_text(json.dumps({
        "fields": {field["name"]: field for field in ports["i__payload"]["fields"]},
        "acc": ports["o__payload"]["fields"][0], "latency": rtl.sidecar["latency"],
        "gaps": 0.125, "seed": 0,
        "layers": [{"layer": str(index), "mode": mode} for index, (_, mode) in enumerate(layers)]}))
    result = simulate(folder, rtl, bench="sim.bench_array", job=job, simulator=simulator)
    assert result["outputs"] == sum(arrays["expected"][:, :, 0].size for arrays, _ in layers)
    return result["mismatches"]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_netlist(structure, tmp_path):
    """In the scheme with most formats, mapped by hand where that exists."""
    rtl = make(tmp_path / "rtl", structure, widest(structure), STRUCTURES[structure].TARGETS[-1])
    assert not mismatches(tmp_path / "rtl", rtl, tmp_path, [corners, exhaustive])


@pytest.mark.slow
@pytest.mark.parametrize(("structure", "scheme", "target"), FORMS)
def test_exhaustive(structure, scheme, target, tmp_path):
    rtl = make(tmp_path / "rtl", structure, scheme, target)
    assert not mismatches(tmp_path / "rtl", rtl, tmp_path, [corners, exhaustive])


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netlist") / "array"
    make(folder, "dsp2", "quant8", "xc7", lanes=9)
    return folder


def test_mutated_lut(array, tmp_path):
    """The sum of three zeros, in one bit of one adder."""
    rtl = read_netlist(array)
    text, count = re.subn(
        r"(?<=\.INIT\(64'h)\w{16}", lambda match: f"{int(match[0], 16) ^ 1 << 32:016x}",
        rtl.verilog.decode(), count=1)
    assert count == 1
    (tmp_path / rtl.name).write_text(text)
    mutant = dataclasses.replace(rtl, verilog=text.encode(), sidecar={
        **rtl.sidecar, "verilog_sha256": hashlib.sha256(text.encode()).hexdigest()})
    assert mismatches(tmp_path, mutant, tmp_path, [corners])


def test_icarus(array, tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    assert not mismatches(array, read_netlist(array), tmp_path, [corners], simulator="icarus")


def test_real_layer(array):
    quantizer = make_quantizer(every_op())
    network = quantizer.network(assign(every_op(), scheme="quant8"), scheme="quant8")
    options = {"layer": "conv1", "outputs": 9, "gaps": 0.3}
    pixels = random_pixels((3, 18, 18), images=1)
    result = cosimulate(network, array, pixels, netlist=True, **options)
    assert result["mismatches"] == 0 and result["verilog"] == "array_quant8_2x9.netlist.v"
    assert cosimulate(network, array, pixels, netlist=True, corrupt=1, **options)["mismatches"] == 1


class TestReadNetlist:
    @pytest.fixture
    def folder(self, array, tmp_path):
        return shutil.copytree(array, tmp_path / "rtl", ignore=shutil.ignore_patterns("build_*"))

    def test_what_synthesis_wrote(self, folder):
        rtl = read_netlist(folder)
        assert rtl.verilog == (folder / rtl.name).read_bytes()
        assert rtl.name == "array_quant8_2x9.netlist.v"
        assert rtl.parameters["target"] == "xc7"

    def test_missing(self, folder):
        (folder / "array_quant8_2x9.netlist.v").unlink()
        with pytest.raises(ValueError, match=r"^cannot read .*2x9\.netlist\.v: No such file or "
                                             r"directory, run 'doubleq synth .*rtl --netlist'$"):
            read_netlist(folder)

    @pytest.mark.parametrize("outdated", ["verilog", "netlist", "record"])
    def test_outdated(self, folder, outdated):
        if outdated == "verilog":
            sidecar = json.loads((folder / "sidecar.json").read_text())
            text = (folder / sidecar["verilog"]).read_text() + "\n"
            (folder / sidecar["verilog"]).write_text(text)
            sidecar["verilog_sha256"] = hashlib.sha256(text.encode()).hexdigest()
            (folder / "sidecar.json").write_text(json.dumps(sidecar))
        elif outdated == "netlist":
            (folder / "array_quant8_2x9.netlist.v").write_text("")
        else:
            (folder / "synth_xc7a100t.json").unlink()
        with pytest.raises(ValueError, match=r"^.*2x9\.netlist\.v: is not the netlist of "
                                             r"array_quant8_2x9\.v as it is now, run 'doubleq "
                                             r"synth .*rtl --netlist'$"):
            read_netlist(folder)
