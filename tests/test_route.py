import json
import subprocess
from pathlib import Path

import pytest
from test_synth import PRODUCT, XOR, port, write_rtl

from gen import route as module
from gen.export import write_array
from gen.parameters import ArrayParameters
from gen.route import harness, route
from gen.synth import run_yosys


@pytest.fixture
def rtl(tmp_path: Path) -> Path:
    return write_rtl(tmp_path / "rtl", XOR)


def test_figures(rtl: Path):
    steps: list[str] = []
    result = route(rtl, progress=steps.append)
    # Eight XOR gates and eight inverters, of which nothing outside is counted.
    assert result["total"] == {"lut4": 16, "carry": 0, "muxf": 0, "ff": 16, "dsp": 0, "bram18": 0}
    assert (result["part"], result["speed_grade"], result["seed"]) == ("LFE5U-25F", 6, 1)
    assert 100 < result["fmax_mhz"] < 1000
    assert json.loads((rtl / "route_ecp5.json").read_text()) == result
    assert steps[-1] == "nextpnr: LFE5U-25F"
    again = route(rtl)
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    assert route(rtl, seed=2)["seed"] == 2


@pytest.mark.parametrize("dsp", [True, False])
def test_multiplier(tmp_path: Path, dsp):
    folder = write_rtl(tmp_path / "rtl", PRODUCT, pes=1, dsp=dsp,
                       ports=[port("clk"), port("a", 8), port("b", 8), port("o", 16, "output")])
    total = route(folder)["total"]
    assert total["dsp"] == dsp and (total["lut4"] > 0) != dsp


def test_exported_array(tmp_path: Path):
    write_array(ArrayParameters(scheme="doubleq", slices=1, lanes=2), tmp_path / "rtl")
    result = route(tmp_path / "rtl")
    assert 50 < result["fmax_mhz"] < 500
    assert 100 < result["total"]["lut4"] < 400 and result["total"]["carry"] > 16


def test_harness_keeps_the_design(tmp_path: Path):
    """Every input can change the one output pin, every output is seen there: nothing is removed."""
    (tmp_path / "top.v").write_text(XOR)
    ports = [port("clk"), port("a", 16), port("b", 16), port("o", 16, "output")]
    (tmp_path / "harness.v").write_text(harness("top", ports))
    run_yosys(["read_verilog top.v harness.v", "hierarchy -check -top harness", "proc", "flatten",
               "opt -full", "tee -o stat.json stat -json"], str(tmp_path), "harness")
    cells = json.loads((tmp_path / "stat.json").read_text())
    registers = {cell: number for cell, number in
                 cells["design"]["num_cells_by_type"].items() if "dff" in cell}
    assert sum(registers.values()) == 4  # Inputs, signature, and two PEs.


def test_too_large(rtl: Path, monkeypatch):
    monkeypatch.setattr(module, "MAX_LUT4", 15)
    with pytest.raises(ValueError, match=r"^top\.v must take at most 15 LUT4 to be .* not 16$"):
        route(rtl)
    assert not (rtl / "route_ecp5.json").exists()


def test_unknown_family(rtl: Path):
    with pytest.raises(ValueError, match=r"^family to route on must be one of ecp5, not 'ice40'$"):
        route(rtl, "ice40")


def test_not_portable(tmp_path: Path):
    folder = write_rtl(tmp_path / "rtl", XOR,
                       parameters={"dsp": False, "pes": 1, "target": "xc7"})
    with pytest.raises(ValueError, match=r"^top\.v is mapped for xc7: only a portable target can"):
        route(folder)


def test_nextpnr_fails(rtl: Path, monkeypatch):
    monkeypatch.setattr(module, "_SPEED_GRADE", 5)
    with pytest.raises(ValueError, match=r"^nextpnr cannot place and route top\.v: "):
        route(rtl)


def test_interrupted(rtl: Path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        route(rtl)
    assert not (rtl / "route_ecp5.json").exists()
