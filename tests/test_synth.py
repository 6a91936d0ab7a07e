import hashlib
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks import published
from gen import synth
from gen.export import write_array
from gen.parameters import ArrayParameters

XOR = """
module pe(input clk, input [7:0] a, input [7:0] b, output reg [7:0] o);
  always @(posedge clk) o <= a ^ b;
endmodule
module top(input clk, input [15:0] a, input [15:0] b, output [15:0] o);
  pe p0(.clk(clk), .a(a[7:0]), .b(b[7:0]), .o(o[7:0]));
  pe p1(.clk(clk), .a(a[15:8]), .b(8'hff), .o(o[15:8]));
endmodule
"""
PRODUCT = """
module top(input clk, input signed [7:0] a, input signed [7:0] b, output reg signed [15:0] o);
  always @(posedge clk) o <= a * b;
endmodule
"""


def port(name, width=1, direction="input"):
    return {"name": name, "direction": direction, "width": width}


def write_rtl(folder: Path, source: str, *, pes=2, dsp=False, scheme="doubleq", ports=None,
              **changes) -> Path:
    """A folder as gen.export makes them."""
    folder.mkdir()
    (folder / "top.v").write_text(source)
    sidecar = {
        "schema": 2, "kind": "array", "top": "top", "verilog": "top.v",
        "verilog_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "parameters": {"scheme": scheme, "dsp": dsp, "pes": pes},
        "ports": ports or [port("clk"), port("a", 16), port("b", 16), port("o", 16, "output")],
    } | changes
    (folder / "sidecar.json").write_text(json.dumps(sidecar))
    return folder


@pytest.fixture
def rtl(tmp_path: Path) -> Path:
    return write_rtl(tmp_path / "rtl", XOR)


def test_figures(rtl: Path):
    steps: list[str] = []
    result = synth.synthesize(rtl, "xc7a100t", progress=steps.append)
    # Eight XOR gates, eight inverters that are not LUTs, and two registers of eight bits.
    assert result["total"] == {"lut": 8, "lutram": 0, "srl": 0, "ff": 16, "carry": 0, "muxf": 0,
                               "dsp": 0, "bram36": 0}
    assert result["per_pe"]["lut"] == 4 and result["per_pe"]["ff"] == 8
    assert result["percent"] == {"lut": 0.01, "ff": 0.01, "dsp": 0, "bram36": 0}
    assert result["cells"]["LUT2"] == 8 and result["cells"]["FDRE"] == 16
    assert result["script"] == [
        "read_verilog top.v",
        "synth_xilinx -top top -family xc7 -abc9 -flatten -nosrl -noiopad -nodsp",
        "tee -q -o stat.json stat -json", "flatten", "attrmap -remove src", "select top",
        "write_json -selected netlist.json"]
    assert result["part"] == "xc7a100tcsg324-1" and result["flatten"] is True
    assert result["yosys"] == "Yosys 0.70" and result["netlist_sha256"] is None
    assert result["verilog_sha256"] == hashlib.sha256(XOR.encode()).hexdigest()
    assert 0 < result["seconds"] < 60 and 20 < result["peak_memory_mb"] < 500
    assert json.loads((rtl / "synth_xc7a100t.json").read_text()) == result
    assert "Executing Verilog-2005 frontend: top.v" in steps
    assert {path.name for path in rtl.iterdir()} == {"sidecar.json", "top.v", "synth_xc7a100t.json"}


def test_timing(rtl: Path):
    """An XOR between an input and a register: a clock to output, a net, and a LUT2."""
    timing = synth.synthesize(rtl, "xc7a100t")["timing"]
    assert timing["delay_ns"] == 0.456 + 0.3 + 0.238
    path = timing["paths"]["input"]
    assert path["start"][0] in "ab" and path["end"][:4] == "p0.o" and path["end"][-2:] == ".D"
    assert [step["type"] for step in path["steps"]] == ["port", "LUT2", "FDRE"]
    # Registers reach outputs over a net.
    assert timing["paths"]["register"]["delay_ns"] == 0.456 + 0.3
    other = synth.synthesize(rtl, "xczu9eg", flatten=False)["timing"]
    assert other["scale"] == 0.5 and other["delay_ns"] == pytest.approx(timing["delay_ns"] / 2)


def test_hierarchical(rtl: Path):
    """Modules keep their boundaries: the second PE does not see that its input is constant."""
    result = synth.synthesize(rtl, "xczu9eg", flatten=False)
    assert result["total"]["lut"] == 16 and result["total"]["ff"] == 16
    assert "pe" not in result["cells"]
    assert result["script"][1] == (
        "synth_xilinx -top top -family xcup -abc9 -nosrl -noiopad -nodsp")


@pytest.mark.parametrize(("device", "dsp", "cell"), [
    ("xc7a100t", True, "DSP48E1"),
    ("xczu9eg", True, "DSP48E2"),
    ("xc7a100t", False, "LUT6"),
])
def test_multiplier(tmp_path: Path, device, dsp, cell):
    folder = write_rtl(tmp_path / "rtl", PRODUCT, pes=1, dsp=dsp)
    result = synth.synthesize(folder, device)
    assert result["total"]["dsp"] == dsp and result["cells"][cell] >= 1
    assert (result["total"]["lut"] > 0) != dsp


@pytest.mark.parametrize(("scheme", "dsp", "low", "high"), [
    ("quant8", True, 0, 25),
    ("doubleq", False, 45, 70),
    ("doubleqext", False, 170, 210),
])
def test_exported_array(tmp_path: Path, scheme, dsp, low, high):
    """Figures of 9 PEs, within what the structure ``paper`` was measured to take."""
    parameters = ArrayParameters(scheme=scheme, slices=1, lanes=9, dsp=dsp)
    write_array(parameters, tmp_path / "rtl")
    result = synth.synthesize(tmp_path / "rtl", "xc7a100t", flatten=False)
    assert low < result["per_pe"]["lut"] < high
    assert 25 < result["per_pe"]["ff"] < 60
    assert result["total"]["dsp"] == (9 if dsp else 0)
    timing = result["timing"]
    assert 100 < timing["fmax_estimate_mhz"] < 500
    slow, fast = timing["fmax_estimate_range_mhz"]
    assert slow < timing["fmax_estimate_mhz"] < fast
    assert timing["paths"]["register"]["end"].startswith("slice_0.accumulator_0.acc[")
    assert timing["paths"]["input"]["start"].startswith("i__payload[")
    assert "slice_0.dot." in timing["paths"]["input"]["end"]
    assert {row["figure"] for row in published.compare(result)} >= {"LUT", "FF", "DSP"}


PRIMITIVES = """
module top(input clk, input [5:0] a, output reg [3:0] q, output o5);
  wire [3:0] s, o, co;
  LUT6_2 #(.INIT(64'h6666666688888888)) both(.I0(a[0]), .I1(a[1]), .I2(1'b0), .I3(1'b0),
    .I4(1'b0), .I5(1'b1), .O6(s[0]), .O5(o5));
  LUT6 #(.INIT(64'h6996966996696996)) parity(.I0(a[0]), .I1(a[1]), .I2(a[2]), .I3(a[3]),
    .I4(a[4]), .I5(a[5]), .O(s[1]));
  assign s[3:2] = a[3:2] ^ a[5:4];
  CARRY4 chain(.CI(1'b0), .CYINIT(a[4]), .S(s), .DI(a[3:0]), .O(o), .CO(co));
  always @(posedge clk) q <= o;
endmodule
"""


def test_primitives_by_name(tmp_path: Path):
    """Cells placed by hand stay as they are, beside logic that yosys maps."""
    folder = write_rtl(tmp_path / "rtl", PRIMITIVES, pes=1, ports=[
        port("clk"), port("a", 6), port("q", 4, "output"), port("o5", 1, "output")])
    result = synth.synthesize(folder, "xc7a100t", netlist=True)
    assert result["cells"] == {"BUFG": 1, "CARRY4": 1, "FDRE": 4, "LUT2": 2, "LUT6": 1, "LUT6_2": 1}
    assert result["total"]["lut"] == 4
    steps = result["timing"]["paths"]["input"]["steps"]
    assert [step["cell"] for step in steps][1:3] == ["parity", "chain"]
    text = (folder / "top.netlist.v").read_text()
    assert result["netlist_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert "64'h6666666688888888" in text and re.search(r"\n  CARRY4 chain \(", text)
    assert text == synth.netlist(PRIMITIVES, "top")


@pytest.mark.parametrize(("source", "dsp", "flatten"), [
    (XOR, False, True), (XOR, False, False), (PRODUCT.replace("[7:0]", "[3:0]"), False, True),
    (PRODUCT, True, True)])
def test_netlist_computes_the_same(tmp_path: Path, source, dsp, flatten):
    """The netlist with the models of its cells: yosys finds no input on which it differs."""
    (tmp_path / "gold.v").write_text(source)
    (tmp_path / "gate.v").write_text(synth.netlist(source, "top", dsp=dsp, flatten=flatten))
    prepare = ["hierarchy -top top", "proc", "flatten", "async2sync", "opt_clean"]
    prove = [
        "read_verilog gold.v", *prepare, "design -stash gold",
        f"read_verilog gate.v {synth.simulation_models('xc7')}", *prepare, "design -stash gate",
        "design -copy-from gold -as gold top", "design -copy-from gate -as gate top",
        "miter -equiv -flatten -make_assert gold gate miter", "hierarchy -top miter",
        "sat -verify -prove-asserts -seq 1 -tempinduct miter"]
    synth.run_yosys(prove, str(tmp_path), "the miter")
    pin = ".B(" if dsp else ".D("
    gate = tmp_path / "gate.v"
    gate.write_text(gate.read_text().replace(pin, f"{pin}~", 1))
    with pytest.raises(ValueError, match="ERROR: Called with -verify and proof did fail!"):
        synth.run_yosys(prove, str(tmp_path), "the miter")


def test_models_of_an_unknown_family():
    with pytest.raises(ValueError, match=r"^family must be one of xc7, xcup, not 'ice40'$"):
        synth.simulation_models("ice40")


LOOP = """
module top(input clk, input a, output o);
  wire x, y;
  LUT2 #(.INIT(4'h8)) first(.I0(a), .I1(y), .O(x));
  LUT1 #(.INIT(2'h1)) second(.I0(x), .O(y));
  assign o = y;
endmodule
"""


def test_combinational_loop(tmp_path: Path):
    folder = write_rtl(tmp_path / "rtl", LOOP, ports=[
        port("clk"), port("a"), port("o", 1, "output")])
    with pytest.raises(ValueError, match=r"^timing: combinational loop through \w+ \(LUT"):
        synth.synthesize(folder, "xc7a100t")


@pytest.mark.parametrize(("cells", "expected"), [
    ({"LUT1": 1, "LUT6": 2, "LUT6_2": 4}, {"lut": 7}),
    ({"RAM32M": 1, "RAM64X1D": 1, "RAM64M8": 1}, {"lut": 14, "lutram": 14}),
    ({"LUT2": 1, "SRL16E": 2, "SRLC32E": 1}, {"lut": 4, "srl": 3}),
    ({"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE_1": 1}, {"ff": 4}),
    ({"CARRY4": 2, "CARRY8": 1, "MUXF7": 2, "MUXF8": 1}, {"carry": 3, "muxf": 3}),
    ({"RAMB36E1": 1, "RAMB18E2": 3, "DSP48E1": 5}, {"bram36": 2.5, "dsp": 5}),
    ({"BUFG": 1, "INV": 3}, {}),
])
def test_count(cells, expected):
    assert {kind: number for kind, number in synth.count(cells).items() if number} == expected


@pytest.mark.parametrize(("changes", "message"), [
    ({"schema": 1}, r"sidecar\.json: schema must be 2, not 1$"),
    ({"top": "a; shell"}, r"top must be a Verilog identifier, not 'a; shell'$"),
    ({"verilog": "../top.v"}, r"verilog must be a file name ending in \.v, not '\.\./top\.v'$"),
    ({"verilog": "other.v"}, r"^cannot read .*other\.v: No such file or directory$"),
    ({"verilog_sha256": "0" * 64}, r"top\.v: SHA-256 must be 0{64} as in the sidecar, found"),
    ({"verilog_sha256": None}, r"verilog_sha256 must be a str, not None$"),
    ({"parameters": {"pes": 0, "dsp": True}}, r"parameters\.pes must be a positive integer, not 0"),
    ({"parameters": {"pes": 1}}, r"parameters\.dsp must be true or false, not None$"),
    ({"ports": [{"name": "clk", "direction": "in", "width": 1}]},
     r"ports must have a name, a direction and a width, found \{'name': 'clk', 'direction': 'in'"),
    ({"top": "missing"}, r"^yosys cannot synthesize top\.v: ERROR: .*missing"),
])
def test_damaged_sidecar(tmp_path: Path, changes, message):
    folder = write_rtl(tmp_path / "rtl", XOR, **changes)
    with pytest.raises(ValueError, match=message):
        synth.synthesize(folder, "xc7a100t")
    assert not (folder / "synth_xc7a100t.json").exists()


@pytest.mark.parametrize(("content", "message"), [
    (None, r"^cannot read .*sidecar\.json: No such file or directory, expected generated Verilog$"),
    ("{", r"sidecar\.json: expected JSON, found Expecting property name"),
    ("[]", r"sidecar\.json: schema must be 2, not \[\]$"),
    ("\udcff", r"sidecar\.json: expected JSON, found 'utf-8' codec"),
])
def test_no_sidecar(rtl: Path, content, message):
    (rtl / "sidecar.json").unlink()
    if content is not None:
        (rtl / "sidecar.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        synth.synthesize(rtl, "xc7a100t")


def test_edited_verilog(rtl: Path):
    (rtl / "top.v").write_text(XOR.replace("^", "&"))
    with pytest.raises(ValueError, match=r"top\.v: SHA-256 must be \w{64} as in the sidecar"):
        synth.synthesize(rtl, "xc7a100t")


def test_unknown_device(rtl: Path):
    with pytest.raises(ValueError, match=r"^device must be one of xc7a100t, xczu9eg, not 'xc7'$"):
        synth.synthesize(rtl, "xc7")


def test_broken_verilog(tmp_path: Path):
    folder = write_rtl(tmp_path / "rtl", "module top(\n  input clk;\nendmodule\n")
    with pytest.raises(ValueError, match=r"^yosys cannot synthesize top\.v: top\.v:2: ERROR: syn"):
        synth.synthesize(folder, "xc7a100t")


def test_killed(rtl: Path, monkeypatch):
    monkeypatch.setattr(synth, "_YOSYS", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ValueError, match=r"^yosys cannot synthesize top\.v: killed by SIGKILL$"):
        synth.synthesize(rtl, "xc7a100t")


def test_interrupted(rtl: Path, monkeypatch):
    started: list[subprocess.Popen] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupt(step):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with pytest.raises(KeyboardInterrupt):
        synth.synthesize(rtl, "xc7a100t", progress=interrupt)
    assert started[0].returncode == -signal.SIGKILL
    assert not (rtl / "synth_xc7a100t.json").exists()


def test_unwritable(rtl: Path):
    (rtl / "synth_xc7a100t.json").mkdir()
    with pytest.raises(OSError, match=r"^cannot write .*synth_xc7a100t\.json: it is a folder$"):
        synth.synthesize(rtl, "xc7a100t")
