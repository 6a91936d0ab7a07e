import hashlib
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from gen import published, synth
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
        "schema": 1, "kind": "array", "top": "top", "verilog": "top.v",
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
        "tee -q -o stat.json stat -json"]
    assert result["part"] == "xc7a100tcsg324-1" and result["flatten"] is True
    assert result["yosys"] == "Yosys 0.70"
    assert result["verilog_sha256"] == hashlib.sha256(XOR.encode()).hexdigest()
    assert 0 < result["seconds"] < 60 and 20 < result["peak_memory_mb"] < 500
    assert json.loads((rtl / "synth_xc7a100t.json").read_text()) == result
    assert "Executing Verilog-2005 frontend: top.v" in steps
    assert {path.name for path in rtl.iterdir()} == {"sidecar.json", "top.v", "synth_xc7a100t.json"}


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
    assert {row["figure"] for row in published.compare(result)} >= {"LUT", "FF", "DSP"}


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
    ({"schema": 2}, r"sidecar\.json: schema must be 1, not 2$"),
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
    ("[]", r"sidecar\.json: schema must be 1, not \[\]$"),
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


@pytest.mark.parametrize(("scheme", "pes", "lut", "ff", "lut_equivalent", "lut_source"), [
    ("doubleq", 512, 27596.8, 14848, 27596.8, "per PE × 512"),
    ("doubleqext", 9, 1020, 252, 1020, "Table 8"),
    ("doubleqext", 1024, 113561.6, 28672, 113561.6, "per PE × 1024"),
    ("quant8", 512, None, None, 547 * 512, "per PE × 512"),
])
def test_published_area(scheme, pes, lut, ff, lut_equivalent, lut_source):
    area = published.area(scheme, pes)
    assert (area.lut, area.ff, area.lut_source) == (lut, ff, lut_source)
    assert area.source == f"per PE × {pes}"
    assert area.lut_equivalent == lut_equivalent
    assert area.dsp == (pes if scheme == "quant8" else 0)


def test_unknown_scheme():
    message = "scheme must be one of quant8, doubleq, doubleqext, not 'float'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        published.area("float", 9)


def test_compare():
    rows = {row["figure"]: row for row in published.compare({
        "parameters": {"scheme": "quant8", "pes": 10},
        "total": {"lut": 53, "ff": 100, "dsp": 10}})}
    assert rows["LUT"] == {"figure": "LUT", "ours": 53, "paper": None, "ours_per_pe": 5.3,
                           "paper_per_pe": None, "ratio": None, "source": None}
    assert rows["LUT, DSPs counted"] == {
        "figure": "LUT, DSPs counted", "ours": 5523, "paper": 5470, "ours_per_pe": 552.3,
        "paper_per_pe": 547, "ratio": 1.01, "source": "per PE × 10"}
    assert rows["FF, DSPs counted"]["ours"] == 3570
    assert rows["DSP"]["ratio"] == 1


def test_published_figures_agree():
    """The figures that are quotients of others."""
    memory = published.MEMORY_KB["resnet20"]
    for scheme, kilobytes in [("doubleq", memory["doubleq"][0]),
                              ("doubleqext", memory["doubleqext"][3])]:
        saved = 100 * (1 - kilobytes / memory["quant8"][0])
        assert saved == pytest.approx(published.MEMORY_SAVED[scheme], abs=0.01)
    for model in published.MEMORY_KB.values():
        assert model["doubleq"][0] == pytest.approx(model["quant8"][0] * 5 / 8, abs=0.01)
    assert published.COMPRESSION == (32 / 5, 32 * 3 / 16)


def test_published_imports_only_the_standard_library():
    imports = re.findall(r"^(?:import|from) (\w+)", Path(published.__file__).read_text(), re.M)
    assert set(imports) == {"dataclasses", "typing"}
