# amaranth: UnusedElaboratable=no

import re

import pytest
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import VerilogPlatform, place, ports
from tests.amaranth_testing import pipelined


class Delay(wiring.Component):
    """Delays by a cycle, with or without reset."""

    def __init__(self, *, width, reset_less):
        self.width, self.reset_less = width, reset_less
        self.module_name = f"delay_{width}" + "_reset" * (not reset_less)
        super().__init__({"x": In(data.ArrayLayout(width, 2)), "y": Out(width)})

    def elaborate(self, platform):
        m = Module()
        held = Signal(self.width, reset_less=self.reset_less)
        m.d.sync += held.eq(self.x[0] + self.x[1])
        m.d.comb += self.y.eq(held)
        return m


class Top(wiring.Component):
    """Several delays in a row."""

    def __init__(self, *, widths, reset_less=True):
        self.widths, self.reset_less = widths, reset_less
        self.module_name = "top"
        super().__init__({
            "x": In(4),
            "y": Out(4),
            "o": Out(stream.Signature(1, always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        value = self.x
        for k, width in enumerate(self.widths):
            delay = place(m, platform, f"delay_{k}", Delay(width=width, reset_less=self.reset_less))
            m.d.comb += [delay.x[0].eq(value), delay.x[1].eq(1)]
            value = delay.y
        m.d.comb += [self.y.eq(value), self.o.payload.eq(value), self.o.valid.eq(1)]
        return m


def export(**options):
    platform = VerilogPlatform()
    platform.add(Top(**options))
    return platform


def test_each_distinct_module_once():
    modules = export(widths=[4, 4, 3, 4]).modules
    assert list(modules) == ["delay_4", "delay_3", "top"]
    assert re.findall(r"^  (\w+) (delay_\d) \(", modules["top"], re.MULTILINE) == [
        ("delay_4", "delay_0"), ("delay_4", "delay_1"), ("delay_3", "delay_2"),
        ("delay_4", "delay_3")]


@pytest.mark.parametrize("reset_less", [True, False])
def test_reset_only_where_it_is_used(reset_less):
    platform = export(widths=[4, 4], reset_less=reset_less)
    for name in platform.modules:
        assert "clk" in platform.declared(name)
        assert ("rst" in platform.declared(name)) == (not reset_less)


def test_no_clock_without_registers():
    assert set(export(widths=[]).declared("top")) == {"x", "y", "o__payload", "o__valid"}


def test_unread_wires_are_left_out():
    for text in export(widths=[4, 3]).modules.values():
        assert "\\x[0] " not in text
        for name in re.findall(r"^  wire (?:\[\S+\] )?(\S+) ?;", text, re.MULTILINE):
            assert text.count(name) > 2, name


def test_constant_members_are_no_ports():
    top = Top(widths=[])
    assert {name: is_input for name, (_, is_input) in ports(top, top.signature).items()} == {
        "x": True, "y": False, "o__payload": False, "o__valid": False}


def test_simulates_as_it_is():
    dut = Top(widths=[4, 4])
    assert pipelined(dut, [{"x": x} for x in range(16)], "y", latency=2) == [
        (x + 2) % 16 for x in range(16)]
