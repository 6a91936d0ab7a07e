from pathlib import Path

import pytest
from amaranth import Module, Signal
from amaranth.lib import io

from gen import boards, devices, vivado
from tests.tcl import XDC, Call, Interpreter


def calls(name: str, commands: str) -> list[Call]:
    interpreter = Interpreter(vivado.CONSTRAINTS)
    interpreter.known = XDC
    interpreter.run((Path(vivado.CONSTRAINTS) / f"{name}.xdc").read_text())
    return [call for call in interpreter.calls if call.name in commands.split()]


def pins(name: str) -> dict[str, tuple[str, str]]:
    """Pin and I/O standard of each port, from the board's platform."""
    platform = boards.get(name).platform()
    found = {}

    def request(port, resource, number=0):
        requested = platform.request(resource, number, dir="-")
        lines = {"_p": "p", "_n": "n"} if hasattr(requested, "p") else {"": "io"}
        for suffix, line in lines.items():
            pin, = getattr(requested, line).metadata
            found[port + suffix] = (pin.name, pin.attrs["IOSTANDARD"])

    request("clk", platform.default_clk)
    request("rst_n" if platform.lookup(platform.default_rst).ios[0].invert else "rst",
            platform.default_rst)
    for index in range(4):
        request(f"led[{index}]", "led", index)
    return found


@pytest.mark.parametrize("name", boards.BOARDS)
def test_pins(name):
    constrained = {}
    for call in calls(name, "set_property"):
        if "-dict" in call.options:
            words = call.options["-dict"].split()
            assert words[0::2] == ["PACKAGE_PIN", "IOSTANDARD"]
            constrained[call.arguments[0]] = (words[1], words[3])
    assert constrained == pins(name)


@pytest.mark.parametrize("name", boards.BOARDS)
def test_clock(name):
    board = boards.get(name)
    clock, = calls(name, "create_clock")
    assert float(clock.options["-period"]) == 1000 / board.clock
    assert clock.arguments == ["clk_p" if name == "zcu102" else "clk"]


@pytest.mark.parametrize(("name", "part", "device"), [
    ("nexys4ddr", "xc7a100tcsg324-1", "xc7a100t"),
    ("arty_a7_100", "xc7a100ticsg324-1L", "xc7a100t"),
    ("zcu102", "xczu9eg-ffvb1156-2-e", "xczu9eg"),
])
def test_part(name, part, device):
    board = boards.get(name)
    assert (board.name, board.part, board.device) == (name, part, device)
    assert part.startswith(devices.get(device).name)
    assert f"({part})" in (vivado.CONSTRAINTS / f"{name}.xdc").read_text()


@pytest.mark.parametrize("board", boards.BOARDS)
def test_platform_builds(board):
    """Amaranth makes a project for a blinking LED, with the clock of its own accord."""
    m = Module()
    counter = Signal(24)
    m.d.sync += counter.eq(counter + 1)
    platform = boards.get(board).platform()
    m.submodules.led = led = io.Buffer("o", platform.request("led", 0, dir="-"))
    m.d.comb += led.o.eq(counter[-1])
    plan = platform.build(m, do_build=False)
    assert f"-part {boards.get(board).part}" in plan.files["top.tcl"]
    assert f"-period {1000 / boards.get(board).clock} " in plan.files["top.xdc"]


def test_paper_device():
    device = devices.get("xc7a100t")
    assert (device.lut, device.ff, device.dsp, device.bram36) == (63_400, 126_800, 240, 135)
    assert device.part == boards.get("nexys4ddr").part


@pytest.mark.parametrize(("get", "message"), [
    (boards.get, r"^board must be one of nexys4ddr, arty_a7_100, zcu102, not 'de10'$"),
    (devices.get, r"^device must be one of xc7a100t, xczu9eg, not 'de10'$"),
])
def test_unknown(get, message):
    with pytest.raises(ValueError, match=message):
        get("de10")
