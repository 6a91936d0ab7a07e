import random
import zlib

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.crc import INITIAL, next_crc
from tests.amaranth_testing import simulate


class Register(wiring.Component):
    word: In(32)
    crc: Out(32)

    def elaborate(self, platform):
        m = Module()
        register = Signal(32, init=INITIAL)
        m.d.sync += register.eq(next_crc(register, self.word))
        m.d.comb += self.crc.eq(~register)
        return m


def test_words():
    """After each word the CRC is that of all bytes so far, as zlib's."""
    rng, dut = random.Random(0), Register()
    words = [0, 0xffffffff, *(1 << k for k in range(32)), *(rng.getrandbits(32) for _ in range(50))]

    async def testbench(ctx):
        content = b""
        for word in words:
            content += word.to_bytes(4, "little")
            ctx.set(dut.word, word)
            await ctx.tick()
            assert ctx.get(dut.crc) == zlib.crc32(content)

    simulate(dut, testbench)
