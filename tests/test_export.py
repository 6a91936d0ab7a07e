import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog

from gen.array import Array
from gen.export import GENERATOR, export_array, required_accumulator_bits, write_array
from gen.hierarchy import ports
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from models.network import SCHEMES, Layer, Network, Node, QParams, Topology
from rtl import SCHEMA
from tests.lint import CELLS, lint

ROOT = Path(__file__).parent.parent
VARIANTS = [
    *[{"scheme": scheme, "slices": 2, "lanes": 3} for scheme in SCHEMES],
    {"scheme": "doubleq", "slices": 1, "lanes": 1, "accumulator_bits": 16},
    {"scheme": "quant8", "slices": 1, "lanes": 17, "pipeline": 0, "dsp": True},
    {"scheme": "doubleqext", "slices": 3, "lanes": 9, "pipeline": 2, "accumulator_bits": 48},
    *[{"scheme": scheme, "slices": structure.SUMS, "lanes": 5, "structure": name,
       "target": target, "tree": tree, "dsp": structure.DSP[0]}
      for name, structure in STRUCTURES.items() for scheme in structure.ENCODINGS
      for target, tree in zip(structure.TARGETS, (structure.TREES[0], structure.TREES[-1]),
                              strict=False)],
]
EQUIVALENCE = """
for name in ("gold", "gate"):
    run(f"read_verilog {name}.v; hierarchy -check -top {tops[name]}; rename {tops[name]} {name}; "
        f"proc; flatten; opt_clean; design -stash {name}")
run("design -copy-from gold -as gold gold; design -copy-from gate -as gate gate")
run("equiv_make gold gate equiv; hierarchy -top equiv")
run("equiv_simple; equiv_induct; equiv_status -assert")
"""


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda v: "-".join(map(str, v.values())))
def exported(request):
    parameters = ArrayParameters(**request.param)
    return parameters, *export_array(parameters)


def yosys(folder, script, **names):
    """Runs ``script`` in a process of its own; yosys ends the process on an error."""
    prelude = ("from pyosys import libyosys\ndesign = libyosys.Design()\n"
               "def run(commands):\n    libyosys.run_pass(commands, design)\n")
    names = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    return subprocess.run([sys.executable, "-c", prelude + names + script], cwd=folder,
                          capture_output=True, text=True)


def module_names(text):
    return re.findall(r"^module (\w+)\(", text, re.MULTILINE)


class TestVerilog:
    def test_verilator(self, exported, tmp_path):
        _, text, sidecar = exported
        (tmp_path / sidecar["verilog"]).write_text(text)
        lint(sidecar["top"], tmp_path / sidecar["verilog"], CELLS)

    def test_icarus(self, exported, tmp_path):
        if shutil.which("iverilog") is None:
            pytest.skip("iverilog is not installed")
        _, text, sidecar = exported
        (tmp_path / sidecar["verilog"]).write_text(text)
        done = subprocess.run(["iverilog", "-g2005", "-Wall", "-o", "array", sidecar["verilog"],
                               CELLS],
                              cwd=tmp_path, check=True, capture_output=True, text=True)
        assert "error" not in done.stderr

    def test_yosys(self, exported, tmp_path):
        _, text, sidecar = exported
        (tmp_path / "array.v").write_text(text)
        done = yosys(tmp_path, "run(f'read_verilog array.v; "
                               "read_verilog -lib +/xilinx/cells_sim.v; "
                               "hierarchy -check -top {top}; proc; check -assert')",
                     top=sidecar["top"])
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr

    def test_ports(self, exported):
        _, text, sidecar = exported
        declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);",
                              text.split("endmodule")[0], re.MULTILINE)
        assert sorted((port["direction"], port["width"], port["name"])
                      for port in sidecar["ports"]) == sorted(
            (direction, int(top or 0) + 1, name) for direction, top, name in declared)

    def test_fields_fill_the_payload(self, exported):
        _, _, sidecar = exported
        for port in sidecar["ports"]:
            offset = 0
            for field in port.get("fields", []):
                assert field["offset"] == offset
                offset += int(np.prod(field["shape"], dtype=int)) * field["width"]
            assert offset == (port["width"] if "fields" in port else 0)

    def test_modules_are_distinct_and_used(self, exported):
        _, text, sidecar = exported
        names = module_names(text)
        assert names[0] == sidecar["top"] and len(set(names)) == len(names)
        for name in names[1:]:
            assert re.search(rf"^  {name} \w+ \(", text, re.MULTILINE), name


@pytest.mark.parametrize(("scheme", "corrupt"), [
    *[(scheme, False) for scheme in SCHEMES], ("doubleq", True)])
def test_hierarchy_is_equivalent(scheme, corrupt, tmp_path):
    """The modules together are what Amaranth makes of the array as a whole."""
    parameters = ArrayParameters(scheme=scheme, slices=2, lanes=3)
    text, sidecar = export_array(parameters)
    if corrupt:
        text = text.replace(".x(x[15:8])", ".x(x[7:0])", 1)
    array = Array(parameters)
    gold = verilog.convert(array, name="whole", emit_src=False, ports={
        name: (signal, None) for name, (signal, _) in ports(array, array.signature).items()})
    (tmp_path / "gold.v").write_text(gold)
    (tmp_path / "gate.v").write_text(text)
    done = yosys(tmp_path, EQUIVALENCE, tops={"gold": "whole", "gate": sidecar["top"]})
    assert (done.returncode == 0) == (not corrupt), done.stdout[-2000:] + done.stderr


def test_modules_do_not_grow_with_slices():
    names = {slices: module_names(export_array(ArrayParameters(
        scheme="doubleqext", slices=slices, lanes=3))[0]) for slices in (1, 5)}
    assert names[1][1:] == names[5][1:]
    assert set(names[5]) == {
        "array_doubleqext_5x3", "slice_paper_doubleqext_3_binary_p1_acc32",
        "dot_paper_doubleqext_3_binary_p1", "accumulator_1x17_c0_32",
        "adder_tree_binary_3_m16384_16384_c0_p1", "mixed", "multiplier", "shifter"}


def test_only_valid_bits_are_reset():
    text, sidecar = export_array(ArrayParameters(scheme="doubleqext", slices=1, lanes=2))
    top, *others = text.split("endmodule")
    assert top.count("if (rst)") == sidecar["latency"]
    assert not any(re.search(r"\brst\b", other) for other in others)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_1024_pes_in_a_minute(scheme):
    start = time.monotonic()
    text, _ = export_array(ArrayParameters(scheme=scheme, slices=64, lanes=16))
    assert time.monotonic() - start < 60
    assert len(re.findall(r"^  slice_\w+ slice_\d+ \(", text, re.MULTILINE)) == 64
    assert len(text) < 50_000


@pytest.mark.parametrize(("dsp", "value"), [(False, "no"), (True, "yes")])
def test_dsp_attribute(dsp, value):
    text, _ = export_array(ArrayParameters(scheme="quant8", slices=1, lanes=1, dsp=dsp))
    assert re.findall(r'\(\* use_dsp = "(\w+)" \*\)\n  wire \[15:0\] full;', text) == [value]
    assert "  assign full = $signed(x) * $signed(weight);" in text


def test_same_bytes_in_another_process(tmp_path):
    program = ("import sys; from gen.export import write_array; "
               "from gen.parameters import ArrayParameters; from pathlib import Path; "
               "write_array(ArrayParameters(scheme='doubleqext', slices=2, lanes=3), "
               "Path(sys.argv[1]))")
    subprocess.run([sys.executable, "-c", program, tmp_path / "other"], cwd=ROOT, check=True,
                   env={**os.environ, "PYTHONHASHSEED": "1"})
    write_array(ArrayParameters(scheme="doubleqext", slices=2, lanes=3), tmp_path / "this")
    for name in ("sidecar.json", "array_doubleqext_2x3.v"):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("this", "other"))
        assert first == second
        assert str(ROOT).encode() not in first and str(tmp_path).encode() not in first


def test_folder(tmp_path):
    parameters = ArrayParameters(scheme="doubleq", slices=2, lanes=3, accumulator_bits=24)
    sidecar = write_array(parameters, tmp_path / "array", artefact_hash="0f")
    assert sorted(path.name for path in (tmp_path / "array").iterdir()) == [
        "array_doubleq_2x3.v", "sidecar.json"]
    assert json.loads((tmp_path / "array" / "sidecar.json").read_text()) == sidecar
    text = (tmp_path / "array" / sidecar["verilog"]).read_bytes()
    assert sidecar["verilog_sha256"] == hashlib.sha256(text).hexdigest()
    assert {key: value for key, value in sidecar.items()
            if key not in ("verilog_sha256", "tools")} == {
        "schema": SCHEMA, "kind": "array", "generator": GENERATOR,
        "top": "array_doubleq_2x3", "verilog": "array_doubleq_2x3.v", "artefact": "0f",
        "parameters": {"scheme": "doubleq", "slices": 2, "lanes": 3, "structure": "paper",
                       "tree": "binary", "target": "portable", "dsp": False, "pipeline": 1,
                       "accumulator_bits": 24, "pes": 6},
        "latency": 4, "interval": 1,
        "activations": 1,
        "encodings": {name: {"code": "pot5", "mode": None, "taps": 1, "passes": 1}
                      for name in ("pot5", "pot4", "pot3")},
        "ports": [
            {"name": "clk", "direction": "input", "width": 1},
            {"name": "rst", "direction": "input", "width": 1},
            {"name": "i__payload", "direction": "input", "width": 56, "fields": [
                {"name": "x", "offset": 0, "shape": [3], "width": 8, "signed": True},
                {"name": "w", "offset": 24, "shape": [2, 3], "width": 5, "signed": False},
                {"name": "first", "offset": 54, "shape": [], "width": 1, "signed": False},
                {"name": "last", "offset": 55, "shape": [], "width": 1, "signed": False}]},
            {"name": "i__valid", "direction": "input", "width": 1},
            {"name": "o__payload", "direction": "output", "width": 48, "fields": [
                {"name": "acc", "offset": 0, "shape": [2], "width": 24, "signed": True}]},
            {"name": "o__valid", "direction": "output", "width": 1}],
    }
    assert set(sidecar["tools"]) == {"amaranth", "yosys"}


def test_mixed_sidecar():
    _, sidecar = export_array(ArrayParameters(scheme="doubleqext", slices=1, lanes=1))
    assert sidecar["artefact"] is None
    assert sidecar["encodings"] == {
        name: {"code": "int8" if mode == 0 else "pot5", "mode": mode, "taps": 1, "passes": 1}
        for name, mode in [("int8", 0), ("pot5", 1), ("pot4", 1), ("pot3", 1)]}
    fields = {field["name"]: field for field in sidecar["ports"][2]["fields"]}
    assert list(fields) == ["x", "w", "mode", "first", "last"]
    assert (fields["w"]["width"], fields["w"]["signed"]) == (8, False)


def test_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"{project['name']} {project['version']}" == GENERATOR


@pytest.mark.parametrize("accumulator_bits", [16, 32])
def test_nothing_is_written_over_or_by_halves(tmp_path, accumulator_bits):
    parameters = ArrayParameters(scheme="doubleq", slices=1, lanes=2,
                                 accumulator_bits=accumulator_bits)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    message = ("Slice accumulator width must be at least the 17 bits of "
               "dot_paper_doubleq_2_binary_p1, not 16" if accumulator_bits == 16 else
               ".*mine exists and holds no sidecar.json: not overwritten")
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_array(parameters, tmp_path / "mine")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "mine", "mine/notes.txt"]


def test_required_accumulator_bits():
    nodes = (Node("fc1", "fc", "input", 2, 2), Node("fc2", "fc", "fc1", 2, 3))
    weights = np.array([[127, -127], [1, 0], [0, 0]], np.int8)  # 128 · 254 < 2^15
    layers = {
        "fc1": Layer("int8", weights[:2], (1.0,) * 2, np.zeros(2, np.int32), QParams(1.0, 0),
                     np.full(2, 40000, np.uint16), 20),
        "fc2": Layer("pot5", np.full((3, 2), 0b01111, np.uint8), (1.0,) * 3,  # 128 · 256 = 2^15
                     np.full(3, 1 << 20, np.int32))}
    network = Network(Topology("two", (2, 1, 1), nodes), "doubleqext", layers, QParams(1.0, 0),
                      np.zeros((2, 256), np.int8))
    assert layers["fc1"].accumulator_bits(with_bias=False) == 16
    assert required_accumulator_bits(network) == 17
