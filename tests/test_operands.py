"""Vectors, residuals and maxima of random commands, against a few lines of Python."""

import itertools
import random

import pytest
from amaranth.lib import data

from gen.core_parameters import CoreParameters
from gen.operands import Operands
from gen.parameters import ArrayParameters
from gen.sequencer import command_layout
from tests.amaranth_testing import simulate

CHANNELS, LANES = 2, 4
OP = {"pad": range(-128, 128), "halves": 1, "pair": 1, "maximum": 1,
      "residual_zero": range(-128, 128), "residual_tiles": 2}


def word(activations):
    return sum((q & 255) << 8 * k for k, q in enumerate(activations))


@pytest.mark.parametrize(("banks", "groups"), [(1, 1), (4, 2), (6, 3), (5, 5)])
@pytest.mark.parametrize("structure", ["paper", "dual"])
@pytest.mark.parametrize("op", [
    {"pad": -3, "residual_zero": 5, "residual_tiles": 1},
    {"pad": -128, "maximum": 1},
    {"pad": 7, "pair": 1, "residual_zero": -128, "residual_tiles": 3},
    {"pad": 7, "halves": 1}])
def test_operands(structure, banks, groups, op):
    op = {**dict.fromkeys(OP, 0), **op}
    rng = random.Random(0)
    parameters = CoreParameters(array=ArrayParameters(
        scheme="doubleqext", structure=structure, slices=CHANNELS, lanes=LANES), groups=groups)
    wide, parts = parameters.wide, parameters.wide // CHANNELS
    layout = command_layout(banks=banks, groups=groups, depth=8, rows=4, parts=parts, passes=1)
    dut = Operands(op=data.StructLayout(OP), command=layout, parameters=parameters, banks=banks,
                   maximum=True)
    strides = banks // groups + 1
    commands = [{"valid": rng.randrange(2), "first": rng.randrange(2), "last": rng.randrange(2),
                 "residual": rng.randrange(2), "reached": rng.randrange(4) > 0,
                 "bank": rng.randrange(banks), "stride": rng.randrange(strides),
                 "inside": rng.randrange(1 << groups),
                 "beside": rng.randrange(1 << groups), "half": rng.randrange(2),
                 "part": rng.randrange(parts)} for _ in range(200)]
    commands[0] |= {"valid": 1, "first": 1}
    memory = [[[rng.randrange(-128, 128) for _ in range(wide)] for _ in range(banks)]
              for _ in commands]

    def read(k, g, beside):
        command = commands[k]
        if not command["beside" if beside else "inside"] >> g & 1:
            return [op["pad"]] * wide
        return memory[k][(command["bank"] + g * command["stride"] + beside) % banks]

    def vector(k, g):
        own, beside = read(k, g, 0), read(k, g, 1)
        if parameters.activations == 1:
            return own
        low, high = own[:LANES], own[LANES:]
        first = high if commands[k]["half"] else low
        second = first if op["halves"] else beside[:LANES] if op["pair"] else high
        return [q for pair in zip(first, second, strict=True) for q in pair]

    def part(k, g, c):
        return read(k, g, 0)[commands[k]["part"] * CHANNELS + c]

    checked = 0

    async def testbench(ctx):
        nonlocal checked
        ctx.set(dut.op, op)
        residuals, maxima = {}, {}
        for cycle in range(len(commands) + 3):
            # A command comes in each cycle, its words a cycle later, its vectors two.
            if cycle < len(commands):
                ctx.set(dut.command, commands[cycle])
            if 1 <= cycle <= len(commands):
                ctx.set(dut.words, [word(activations) for activations in memory[cycle - 1]])
            if 2 <= cycle < len(commands) + 2:
                command = commands[cycle - 2]
                assert [ctx.get(dut.valid), ctx.get(dut.first), ctx.get(dut.last)] == [
                    command["valid"], command["first"], command["last"]]
                assert list(ctx.get(dut.vectors)) == [
                    word(vector(cycle - 2, g)) for g in range(groups)]
            if cycle >= 3:
                k = cycle - 3
                command = commands[k]
                for g, c in itertools.product(range(groups), range(CHANNELS)):
                    if command["residual"]:
                        residuals[g, c] = (part(k, g, c) - op["residual_zero"]
                                           if command["reached"] else 0)
                    if command["valid"] and (command["first"] or part(k, g, c) > maxima[g, c]):
                        maxima[g, c] = part(k, g, c)
                    if residuals:
                        assert ctx.get(dut.residuals[g][c]) == (
                            residuals[g, c] if op["residual_tiles"] else 0)
                    assert ctx.get(dut.maxima[g][c]) == maxima[g, c]
                assert ctx.get(dut.maxima_valid) == (
                    command["valid"] and command["last"] and op["maximum"])
                checked += 1
            await ctx.tick()

    simulate(dut, testbench)
    assert checked == len(commands)
