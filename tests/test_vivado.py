import shutil
from pathlib import Path

import pytest

from gen import boards, vivado
from gen.core_parameters import core_from_pes
from gen.export import write_array
from gen.export_core import write_core
from gen.parameters import ArrayParameters
from models.quantize import assign
from rtl import read_rtl
from tests.networks import every_op, make_quantizer
from tests.tcl import Interpreter, TclError, parse, split
from tests.test_synth import PRODUCT, XOR, port, write_rtl

BLINK = """
module top(input clk, input rst_n, output reg [3:0] led);
  always @(posedge clk) led <= rst_n ? led + 4'd1 : 4'd0;
endmodule
"""
BLINK_PORTS = [port("clk"), port("rst_n"), port("led", 4, "output")]


def build(folder: Path) -> Interpreter:
    interpreter = Interpreter(folder)
    interpreter.source("build.tcl")
    return interpreter


@pytest.fixture
def project(tmp_path: Path) -> Path:
    vivado.write_project(write_rtl(tmp_path / "rtl", XOR), "nexys4ddr", tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("board", boards.BOARDS)
@pytest.mark.parametrize("dsp", [True, False])
def test_out_of_context(tmp_path: Path, board, dsp):
    rtl = write_rtl(tmp_path / "rtl", XOR, dsp=dsp)
    out = tmp_path / "project"
    assert vivado.write_project(rtl, board, out, clock=160) == {
        "top": "top", "board": board, "part": boards.get(board).part, "mode": "out_of_context",
        "clock_mhz": 160, "command": "vivado -mode batch -source build.tcl",
        "files": ["README.txt", "build.tcl", "out_of_context.xdc", "project.tcl", "top.v"]}
    assert (out / "top.v").read_text() == XOR
    calls = build(out).calls
    assert [call.name for call in calls] == [
        "read_verilog", "read_xdc", "get_ports", "create_clock", "get_ports", "set_input_delay",
        "get_ports", "set_output_delay", "synth_design", "report_utilization",
        "report_timing_summary", "opt_design", "place_design", "route_design",
        "report_utilization", "report_utilization", "report_timing_summary", "write_checkpoint"]
    assert calls[1].options == {"-mode": "out_of_context"}
    assert calls[3].options == {"-name": "clk", "-period": "6.250"}
    assert calls[5].arguments == ["0.000", "a[*] b[*]"]
    assert calls[7].arguments == ["0.000", "o[*]"]
    assert calls[8].options == {"-top": "top", "-part": boards.get(board).part,
                                "-mode": "out_of_context"} | ({} if dsp else {"-max_dsp": "0"})


def test_exported_array(tmp_path: Path):
    write_array(ArrayParameters(scheme="doubleqext", slices=2, lanes=3), tmp_path / "rtl")
    vivado.write_project(tmp_path / "rtl", "zcu102", tmp_path / "project")
    calls = {call.name: call for call in build(tmp_path / "project").calls}
    assert sorted(calls["set_input_delay"].arguments[1].split()) == [
        "i__payload[*]", "i__valid", "rst"]
    assert sorted(calls["set_output_delay"].arguments[1].split()) == ["o__payload[*]", "o__valid"]
    assert calls["synth_design"].options["-top"] == "array_doubleqext_2x3"


@pytest.fixture(scope="module", params=["rom", "load"])
def core(request, tmp_path_factory):
    """A folder of 'generate network'."""
    folder, topology = tmp_path_factory.mktemp("core") / "rtl", every_op()
    network = make_quantizer(topology).network(
        assign(topology, scheme="doubleq"), scheme="doubleq")
    write_core(network, core_from_pes(32, groups=2, scheme="doubleq", accumulator_bits=24,
                                      weights=request.param), folder)
    return folder


def test_exported_core(tmp_path: Path, core: Path):
    """The whole build runs with what is in the project; all ports but the clock are timed."""
    rtl, out = read_rtl(core), tmp_path / "project"
    load = rtl.sidecar["load"] is not None
    result = vivado.write_project(core, "nexys4ddr", out)
    assert result["top"] == rtl.top and result["mode"] == "out_of_context"
    assert result["files"] == sorted([
        "README.txt", "build.tcl", "out_of_context.xdc", "project.tcl", f"{rtl.top}.v",
        f"{rtl.top}.h", *(["weights.bin"] if load else [])])
    assert sorted(path.name for path in out.iterdir()) == result["files"]
    for name in (f"{rtl.top}.v", *rtl.sidecar["files"]):
        assert (out / name).read_bytes() == (core / name).read_bytes()
    assert ("weights.bin" in (out / "README.txt").read_text()) == load
    # All that a project names is in its folder: the Verilog reads no file of its own.
    assert b"$readmem" not in rtl.verilog
    assert f"module {rtl.top}(".encode() in rtl.verilog
    calls = {call.name: call for call in build(out).calls}
    assert calls["read_verilog"].arguments == [str(out.resolve() / f"{rtl.top}.v")]
    assert calls["synth_design"].options == {
        "-top": rtl.top, "-part": "xc7a100tcsg324-1", "-mode": "out_of_context", "-max_dsp": "0"}
    timed = [name.removesuffix("[*]") for direction in ("input", "output")
             for name in calls[f"set_{direction}_delay"].arguments[1].split()]
    assert sorted(timed) == sorted(port["name"] for port in rtl.sidecar["ports"]
                                   if port["name"] != "clk")
    assert ("load__payload" in timed) == load


@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.write_text("//"), r"\.h: SHA-256 must be \w{64} as in the sidecar, found"),
    (lambda path: path.unlink(), r"^cannot read .*\.h: No such file or directory$")])
def test_damaged_core(tmp_path: Path, core: Path, damage, message):
    folder = shutil.copytree(core, tmp_path / "rtl")
    damage(next(folder.glob("*.h")))
    with pytest.raises(ValueError, match=message):
        vivado.write_project(folder, "nexys4ddr", tmp_path / "project")
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(("board", "period"), [
    ("nexys4ddr", "10.000"), ("arty_a7_100", "10.000"), ("zcu102", "8.000")])
def test_default_clock(tmp_path: Path, board, period):
    vivado.write_project(write_rtl(tmp_path / "rtl", XOR), board, tmp_path / "project")
    assert f"-period {period} " in (tmp_path / "project" / "out_of_context.xdc").read_text()


def test_on_board(tmp_path: Path):
    rtl = write_rtl(tmp_path / "rtl", BLINK, ports=BLINK_PORTS)
    result = vivado.write_project(rtl, "arty_a7_100", tmp_path / "project")
    assert result["mode"] == "board" and "arty_a7_100.xdc" in result["files"]
    calls = build(tmp_path / "project").calls
    assert calls[-1].name == "write_bitstream"
    assert [call.options for call in calls if call.name == "read_xdc"] == [{}]
    assert [call.options.get("-mode") for call in calls if call.name == "synth_design"] == [None]
    with pytest.raises(ValueError, match=r"^top runs on the oscillator of arty_a7_100: clock must "
                                         r"be 100 MHz, not 50$"):
        vivado.write_project(rtl, "arty_a7_100", tmp_path / "slow", clock=50)
    assert not (tmp_path / "slow").exists()


def test_more_bits_than_pins(tmp_path: Path):
    ports = [port("clk"), port("rst_n"), port("led", 5, "output")]
    rtl = write_rtl(tmp_path / "rtl", BLINK, ports=ports)
    assert vivado.write_project(rtl, "nexys4ddr", tmp_path / "p")["mode"] == "out_of_context"


def test_deterministic_and_relative(tmp_path: Path, project: Path):
    rtl = tmp_path / "rtl"
    contents = {path.name: path.read_bytes() for path in project.iterdir()}
    vivado.write_project(rtl, "nexys4ddr", tmp_path / "elsewhere")
    assert contents == {path.name: path.read_bytes()
                        for path in (tmp_path / "elsewhere").iterdir()}
    assert all(bytes(tmp_path) not in content for content in contents.values())
    vivado.write_project(rtl, "zcu102", project)
    assert (project / "build.tcl").exists()
    assert b"xczu9eg" in (project / "project.tcl").read_bytes()


@pytest.mark.parametrize(("changes", "message"), [
    ({"board": "de10"}, r"^board must be one of nexys4ddr, arty_a7_100, zcu102, not 'de10'$"),
    ({"clock": 0.5}, r"^clock must be 1 to 1000 MHz, not 0\.5$"),
    ({"clock": float("nan")}, r"^clock must be 1 to 1000 MHz, not nan$"),
    ({"out": "rtl"}, r"rtl exists and holds no build\.tcl: not overwritten$"),
    ({"folder": "nowhere"}, r"^cannot read .*sidecar\.json: No such file or directory"),
    ({"folder": "unclocked"}, r"^top has no port clk, expected one to constrain$"),
])
def test_bad_input(tmp_path: Path, changes, message):
    write_rtl(tmp_path / "rtl", XOR)
    write_rtl(tmp_path / "unclocked", PRODUCT, ports=[port("a", 8)])
    given = {"folder": "rtl", "board": "nexys4ddr", "out": "project", "clock": None} | changes
    with pytest.raises(ValueError, match=message):
        vivado.write_project(tmp_path / given["folder"], given["board"], tmp_path / given["out"],
                             clock=given["clock"])
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(("file", "old", "new", "message"), [
    ("build.tcl", "if {$bitstream} {", "if {$bitstream} ", "invalid command name '}'"),
    ("build.tcl", "$top.bit]\n}", "$top.bit]\n", "missing close-brace"),
    ("build.tcl", "$verilog]", "$verilog", "missing close-bracket"),
    ("build.tcl", "place_design", "place_desing", "invalid command name 'place_desing'"),
    ("build.tcl", "write_bitstream", "write_bitsream", "invalid command name 'write_bitsream'"),
    ("build.tcl", "-part $part ", "", "synth_design: -part is missing"),
    ("build.tcl", "-top $top", "-tops $top", "synth_design: unknown option '-tops'"),
    ("build.tcl", "$part ", "$parts ", "can't read 'parts': no such variable"),
    ("build.tcl", "file mkdir $reports", "", "report_utilization: no folder for .*reports"),
    ("build.tcl", "source [file join $here project.tcl]", "", "can't read 'verilog'"),
    ("project.tcl", "top.v", "other.v", r"no such file in the folder: .*other\.v"),
    ("project.tcl", "top.v", "../rtl/top.v", r"no such file in the folder: .*top\.v"),
    ("project.tcl", "{-mode", "{}-mode", "extra characters after close-brace"),
    ("project.tcl", "bitstream 0", "bitstream no", "expected a boolean, found 'no'"),
    ("out_of_context.xdc", "a[*] b[*]}", "a[*] b[*]", "missing close-brace"),
    ("out_of_context.xdc", "-period 10.000", "", "create_clock: -period is missing"),
    ("out_of_context.xdc", "[get_ports clk]", "[get_ports]", "get_ports: 1 to 1 arguments"),
    ("out_of_context.xdc", " 0.000 ", " ", "set_input_delay: 2 to 2 arguments"),
    ("out_of_context.xdc", "create_clock", "opt_design\ncreate_clock", "invalid command name"),
])
def test_broken_scripts_are_caught(project: Path, file, old, new, message):
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TclError, match=message):
        build(project)


def test_constraint_without_dictionary(project: Path):
    path = project / "out_of_context.xdc"
    path.write_text("set_property -dict {PACKAGE_PIN} [get_ports clk]\n")
    with pytest.raises(TclError, match="set_property: expected name, value and object"):
        build(project)


@pytest.mark.parametrize(("script", "words"), [
    ("a b;c\nd", [["a", "b"], ["c"], ["d"]]),
    ("a {b c} \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
    ("a \\\n  b", [["a", "b"]]),
    ("# a {\\\nb\nc ;# d", [["c"]]),
    ("a {b {c} \\} d}", [["a", "b {c} \\} d"]]),
    ("a b#c x[]y {}", [["a", "b#c", None, ""]]),
])
def test_parser(script, words):
    found = [["".join(part for _, part in word.parts)
              if all(kind == "text" for kind, _ in word.parts) else None for word in command]
             for command in parse(script)]
    assert found == words


@pytest.mark.parametrize("script", ["a {b", "a \"b", "a [b", "a {b}c", "a \"b\"c", "a [b {c]"])
def test_parser_refuses(script):
    with pytest.raises(TclError):
        parse(script)


def test_interpreter(tmp_path: Path):
    interpreter = Interpreter(tmp_path)
    interpreter.run('set a {x y}; set b "<$a [set a]>"; set c ${a}; set d \\$a')
    assert interpreter.variables == {"a": "x y", "b": "<x y x y>", "c": "x y", "d": "$a"}
    assert split("a {b c} \"d\"") == ["a", "b c", "d"]
    with pytest.raises(TclError, match="wrong # args: set"):
        interpreter.run("set {*}$a z")
