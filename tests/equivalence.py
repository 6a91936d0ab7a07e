# amaranth: UnusedElaboratable=no
"""Proofs that two pieces of Verilog do the same, for all inputs."""

import itertools
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from amaranth import Array, Cat, Const, Module, Value, signed
from amaranth.back import verilog
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import VerilogPlatform, place, ports
from gen.structures import STRUCTURES
from gen.synth import run_yosys, simulation_models
from models import codes, formats
from sim.runner import simulator_environment

TIMEOUT_S = 600
PORT = re.compile(r"^  (input|output) (?:signed )?(?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)


class NotEquivalent(AssertionError):
    """The message tells inputs for which the two differ, in each time step."""


def prove(verilog_a, top_a, verilog_b, top_b, *, latency_a=0, latency_b=0, accumulates=False):
    """Proves that the modules ``top_a`` and ``top_b``, each of its own Verilog text, give the same
    outputs for all inputs in every cycle, whatever their registers held at first.

    Both have the same ports, but that each has a clock only where it needs one. Cells of the 7
    series are known by their simulation models.

    Parameters
    ----------
    latency_a, latency_b : :class:`int`
        Cycles from inputs to outputs; the outputs compared belong to the same inputs. Without
        feedback, nothing before these inputs matters, and that is proven.
    accumulates : :class:`bool`
        Whether the outputs also depend on the last ones. Shown is then that from equal outputs
        follow equal ones.

    Raises
    ------
    NotEquivalent
        If they differ somewhere, or no proof was found in ``TIMEOUT_S``.
    """
    latency = max(latency_a, latency_b)
    steps = 2 if accumulates else latency + 1
    agree = "-set-at 1 same 1" if accumulates else ""
    with tempfile.TemporaryDirectory(prefix="doubleq-proof-") as scratch:
        run_yosys([
            *_compared(scratch, verilog_a, top_a, verilog_b, top_b, latency_a, latency_b),
            f"tee -o log sat -timeout {TIMEOUT_S} -seq {steps} {agree} -prove-skip {steps - 1} "
            "-prove same 1 -show-ports miter"], scratch, f"{top_a} and {top_b}")
        log = (Path(scratch) / "log").read_text()
    if "no model found: SUCCESS!" not in log:
        raise NotEquivalent(f"{top_a} and {top_b} differ:\n{log}")


def enumerate_all(verilog_a, top_a, verilog_b, top_b, *, latency_a=0, latency_b=0):
    """Proves what :func:`prove` does, of modules without feedback, by simulation of every input.
    For products, which satisfiability solvers are slow at.

    Raises
    ------
    NotEquivalent
        If they differ for an input.
    """
    latency = max(latency_a, latency_b)
    inputs = {name: width for name, (direction, width) in _ports(verilog_a, top_a).items()
              if direction == "input" and name not in ("clk", "rst")}
    with tempfile.TemporaryDirectory(prefix="doubleq-proof-") as scratch:
        run_yosys([*_compared(scratch, verilog_a, top_a, verilog_b, top_b, latency_a, latency_b),
                   "write_verilog -noattr flat.v"], scratch, f"{top_a} and {top_b}")
        (Path(scratch) / "driver.v").write_text(_driver(inputs, latency))
        with simulator_environment():
            subprocess.run(["verilator", "--binary", "-O3", "-Wno-fatal", "-Wno-WIDTH",
                            "-CFLAGS", "-std=c++20 -fcoroutines", "--top",
                            "driver", "driver.v", "flat.v", "-o", "driver"], cwd=scratch,
                           check=True, capture_output=True)
        said = subprocess.run([Path(scratch) / "obj_dir" / "driver"], cwd=scratch, check=True,
                              capture_output=True, text=True).stdout
    if f"all {1 << sum(inputs.values())} equal" not in said:
        raise NotEquivalent(f"{top_a} and {top_b} differ:\n{said}")


def _compared(scratch, verilog_a, top_a, verilog_b, top_b, latency_a, latency_b):
    """Commands that make the module ``miter`` of two."""
    script = []
    for side, text, top in [("a", verilog_a, top_a), ("b", verilog_b, top_b)]:
        (Path(scratch) / f"{side}.v").write_text(text)
        script += [f"read_verilog {simulation_models('xc7')}", f"read_verilog {side}.v",
                   f"hierarchy -top {top}", "proc -norom", "flatten", "opt_clean",
                   f"rename {top} {side}", f"design -stash {side}"]
    latency = max(latency_a, latency_b)
    (Path(scratch) / "miter.v").write_text(_miter(
        [_ports(verilog_a, top_a), _ports(verilog_b, top_b)],
        [latency - latency_a, latency - latency_b]))
    return [*script, *(f"design -copy-from {side} -as {side} {side}" for side in "ab"),
            "read_verilog miter.v", "hierarchy -top miter", "proc", "flatten",
            # Initial values of registers would be taken for granted.
            "attrmap -remove init", "opt -full"]


def _driver(inputs, latency):
    """A module that gives the miter one input after another and says whether all were the same."""
    width = sum(inputs.values())
    ports, low = [], 0
    for name, bits in inputs.items():
        ports.append(f".{name}(number[{low + bits - 1}:{low}])")
        low += bits
    return f"""module driver;
  reg clk = 0;
  reg [{width}:0] number = 0;
  reg [63:0] equal = 0;
  wire same;
  miter miter(.clk(clk), .same(same), {", ".join(ports)});
  always #1 clk = ~clk;
  always @(posedge clk) begin
    if (number >= {latency} && same) equal <= equal + 1;
    number <= number + 1;
    if (number == {(1 << width) + latency}) begin
      $display("all %0d equal", equal);
      $finish;
    end
  end
endmodule
"""


def _ports(text, top):
    """Direction and width of the ports of a module, by name."""
    body = re.search(rf"^module {re.escape(top)}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    return {name: (direction, int(high or 0) + 1)
            for direction, high, name in PORT.findall(body[0])}


def _miter(interfaces, delays):
    """A module that instantiates ``a`` and ``b`` and compares their outputs, delayed."""
    a, b = ({name: port for name, port in interface.items() if name not in ("clk", "rst")}
            for interface in interfaces)
    assert a == b, f"ports differ: {a} and {b}"
    outputs = [name for name, (direction, _) in a.items() if direction == "output"]
    header, body = ["clk", "same"], ["input clk;", "output same;"]
    for name, (direction, width) in a.items():
        if direction == "input":
            header.append(name)
            body.append(f"input [{width - 1}:0] {name};")
    for side, interface, delay in zip("ab", interfaces, delays, strict=True):
        connections = []
        for name, (direction, width) in interface.items():
            own = f"{side}_{name}"
            if direction == "output":
                header.append(own)
                body.append(f"output [{width - 1}:0] {own};")
                body += [f"{'reg' if n else 'wire'} [{width - 1}:0] {own}_{n};"
                         for n in range(delay + 1)]
                body += [f"always @(posedge clk) {own}_{n + 1} <= {own}_{n};"
                         for n in range(delay)]
                body.append(f"assign {own} = {own}_{delay};")
            wire = {"clk": "clk", "rst": "1'b0"}.get(
                name, name if direction == "input" else f"{own}_0")
            connections.append(f".{name}({wire})")
        body.append(f"{side} {side}({', '.join(connections)});")
    every = [f"{{{', '.join(f'{side}_{name}' for name in outputs)}}}" for side in "ab"]
    body.append(f"assign same = {every[0]} == {every[1]};")
    return f"module miter({', '.join(header)});\n" + "\n".join(body) + "\nendmodule\n"


def exported(component):
    """Verilog of a component and of what it places, with LUTs mapped by hand if it has any."""
    platform = VerilogPlatform()
    platform.add(component)
    return "\n".join(platform.modules.values())


def behavioural(component):
    """Verilog of a component as it is simulated."""
    return verilog.convert(component, name=component.module_name, emit_src=False,
                           ports=[signal for signal, _ in
                                  ports(component, component.signature).values()])


def prove_leaf(make, **options):
    """Proves that what ``make`` makes, mapped by hand, is what is simulated."""
    mapped, twin = make(), make()
    prove(exported(mapped), mapped.module_name, behavioural(twin), twin.module_name, **options)


class Totals(wiring.Component):
    """Sums of weights in the code that they are stored as: what all structures have in common.

    Where a weight takes several passes, there is a dot product for each.

    Parameters
    ----------
    structure : :class:`str`
        Name of the structure.
    format : :class:`str`
        Weight format. Codes that it does not have count as zero.
    weights : :class:`int`
        Weights of each sum.
    sums : :class:`int`
        Sums that share the activations.
    knobs
        Other parameters of the structure.
    """

    def __init__(self, structure, *, format, weights, sums, **knobs):
        cls = STRUCTURES[structure]
        self.format = formats.get(format)
        self.encoding = cls.ENCODINGS[knobs["scheme"]][format]
        assert weights % self.encoding.taps == 0 and sums % cls.SUMS == 0
        knobs = {"dsp": cls.DSP[0], "lanes": weights // self.encoding.taps, **knobs}
        self.dots = [[cls(**knobs) for _ in range(self.encoding.passes)]
                     for _ in range(sums // cls.SUMS)]
        self.latency = self.dots[0][0].latency
        self.module_name = f"totals_{sums}_{format}_{self.dots[0][0].module_name}"
        super().__init__({
            "x": In(data.ArrayLayout(signed(8), weights)),
            "w": In(data.ArrayLayout(data.ArrayLayout(self.format.bits, weights), sums)),
            "sums": Out(data.ArrayLayout(signed(32), sums)),
        })

    def elaborate(self, platform):
        m = Module()
        terms = [[] for _ in self.sums]
        for group, number in itertools.product(range(len(self.dots)), range(self.encoding.passes)):
            component = self.dots[group][number]
            taps, copies = self.encoding.taps, component.ACTIVATIONS // self.encoding.taps
            dot = place(m, platform, f"dot_{group}_{number}", component)
            m.d.comb += [x.eq(self.x[k // copies]) for k, x in enumerate(dot.x)]
            if self.encoding.mode is not None:
                m.d.comb += dot.mode.eq(self.encoding.mode)
            for own, words in enumerate(dot.w):
                n = group * component.SUMS + own
                m.d.comb += [Value.cast(word).eq(self._word(
                    [self.w[n][k * taps + tap] for tap in range(taps)], number))
                    for k, word in enumerate(words)]
                terms[n].extend(dot.addends[own])
                if component.carry_count:
                    terms[n].extend(dot.carries[own])
        m.d.comb += [total.eq(sum(addends)) for total, addends in
                     zip(self.sums, terms, strict=True)]
        return m

    def _word(self, stored, number):
        """The word of pass ``number`` for weights as they are stored."""
        if self.encoding.code == "pot5" == self.format.name:
            return stored[0]
        values = np.arange(1 << self.format.bits)
        if self.format.power_of_two:
            values = self.format.decode(values)
        else:
            values = np.where(values == 0x80, 0, values - ((values & 0x80) << 1))
        groups = np.array(list(itertools.product(values, repeat=len(stored))))[:, ::-1]
        words = codes.get(self.encoding.code).encode(groups)[number, :, 0]
        return Array([Const(int(word), codes.get(self.encoding.code).bits)
                      for word in words])[Cat(*stored)]
