# amaranth: UnusedElaboratable=no
"""Dot product of Booth multipliers: a row of one LUT a bit for each radix-4 digit of a weight.

A power of two is a single digit, so that it needs neither a shifter nor a multiplexer.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen import xc7
from gen.dot import POWERS_OF_TWO, Encoding, check, members
from gen.hierarchy import VerilogPlatform, place
from gen.pe import POWER_OF_TWO
from gen.tree import TREES, AdderTree
from models import codes, formats

__all__ = ["BoothDecoder", "BoothDecodingDotProduct", "BoothDotProduct", "BoothMultiplier"]


class BoothMultiplier(wiring.Component):
    """Multiplies by the Booth digits of a word, without the last step of the first one's negation.

    Computes ``product = x · weight − word[1]``: the first row, ~x or ~2x where its digit is
    negative, needs no carry chain then, and an adder tree adds ``word[1]`` for nothing.
    Combinational.

    Parameters
    ----------
    rows : :class:`int`
        Digits of a weight, 2 or more.
    target : :class:`str`
        ``portable``, or ``xc7``: one LUT a bit and row, a carry chain for each row but the first.

    Members
    -------
    x : :py:`In(signed(8))`
        Activation.
    word : :py:`In(2 * rows + 1)`
        Weight, as ``models.codes.booth_word``.
    product : :py:`Out(signed(2 * rows + 8))`
        Product.
    """

    def __init__(self, *, rows: int, target: str = "portable") -> None:
        self.rows, self.target = rows, target
        self.module_name = f"booth_{rows}" + "_xc7" * (target == "xc7")
        super().__init__({
            "x": In(signed(8)),
            "word": In(2 * rows + 1),
            "product": Out(signed(2 * rows + 8)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        x, word = Signal.like(self.x, name="activation"), Signal.like(self.word, name="weight")
        m.d.comb += [x.eq(self.x), word.eq(self.word)]
        lows = [Const(0, 1), *word[1:-4:2], word[-1]]
        digits = [(word[2 * r + 1], word[2 * r], lows[r]) for r in range(self.rows)]
        mapped = self.target == "xc7" and isinstance(platform, VerilogPlatform)
        m.d.comb += self.product.eq((_mapped if mapped else _described)(m, x, digits))
        return m


Digit = tuple[Value, Value, Value]


def _described(m: Module, x: Value, digits: Sequence[Digit]) -> Value:
    """The product of ``x`` and digits: two low bits of each row's sum, and all of the last's."""
    settled: list[Value] = []
    total: Value = Const(0, signed(10))
    for r, (negative, high, low) in enumerate(digits):
        two = Mux(negative, ~(high | low), high & low)
        multiple = Mux(high ^ low, x, Mux(two, x << 1, 0))
        addend = Mux(negative, ~multiple, multiple)
        above, total = total >> 2, Signal(signed(10), name=f"row_{r}")
        m.d.comb += total.eq(above + addend + negative if r else addend)
        settled.append(total[:2])
    return Cat(*settled[:-1], total)


def _multiple(x: int, below: int, negative: int, high: int, low: int) -> int:
    """A bit of the multiple of x, or of its complement, from x's bits at its place and below."""
    one, two = high ^ low, (1 - (high | low)) if negative else high & low
    return (x & one | below & two) ^ negative


def _mapped(m: Module, x: Value, digits: Sequence[Digit]) -> Value:
    """As :func:`_described`, in one LUT a bit.

    A row is added with its sign inverted and a constant one above it, which needs no LUT: there the
    carry chain gives the complement of the carry into it, the sign of the sum so far. All these
    ones, and the complement of that sign at the place above it, make up for each other.
    """
    bits = [Const(0, 1), *x, x[-1]]  # from the one below the lowest
    negative, high, _ = digits[0]
    first = xc7.luts(m, "row_0", lambda n, h, b, x: _multiple(x, b, n, h, 0),
                     [(negative, high, *bits[i:i + 2]) for i in range(9)],
                     pairs=[(0, 1), (2, 3), (4, 5), (6, 7)])
    settled, above = first[:2], [*first[2:], first[-1]]
    for r, digit in enumerate(digits[1:], 1):
        select = xc7.luts(m, f"row_{r}", lambda n, h, c, b, x, p: _multiple(x, b, n, h, c) ^ p,
                          [(*digit, *bits[i:i + 2], above[i]) for i in range(8)], pairs=[])
        inverse, top = xc7.lut_pair(m, f"row_{r}_8", lambda n, h, c, s, p: 1 ^ p,
                                    lambda n, h, c, s, p: _multiple(s, s, n, h, c) ^ p,
                                    *digit, x[-1], above[7])
        total = list(xc7.carry_chain(m, f"row_{r}", [*select, top, Const(1, 1)],
                                     [*above, inverse, Const(0, 1)], digit[0]))
        settled, above = [*settled, *total[:2]], total[2:]
    return Cat(*settled, *above)


class BoothDecoder(wiring.Component):
    """Turns a weight's code into a word for :class:`BoothMultiplier`. Combinational.

    Parameters
    ----------
    target : :class:`str`
        ``portable``, or ``xc7``: ten LUTs.

    Members
    -------
    code : :py:`In(8)`
        The weight's code: that of ``int8`` when ``mode`` is 0; that of ``pot5`` when it is 1, in
        the low 5 bits.
    mode : :py:`In(1)`
        Which of the two.
    word : :py:`Out(9)`
        The code ``booth`` of the weight.
    """

    def __init__(self, *, target: str = "portable") -> None:
        self.target = target
        self.module_name = "booth_decoder" + "_xc7" * (target == "xc7")
        super().__init__({"code": In(8), "mode": In(1), "word": Out(9)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.target == "xc7" and isinstance(platform, VerilogPlatform):
            m.d.comb += self.word.eq(self._mapped(m))
            return m
        weight = POWER_OF_TWO(self.code[:5])
        magnitude = Mux(weight.nonzero, 1 << weight.exponent, 0)
        value = Signal(8)
        m.d.comb += value.eq(Mux(self.mode, Mux(weight.sign, -magnitude, magnitude), self.code))
        m.d.comb += self.word.eq(Cat(value, value[5]))
        with m.If(self.mode & weight.nonzero & ~weight.sign & (weight.exponent == 7)):
            m.d.comb += self.word.eq(int(codes.get("booth").encode(np.array([128]))[0, 0]))
        return m

    def _mapped(self, m: Module) -> Value:
        """The word, from LUTs.

        Its bits 5 to 8 are few combinations for powers of two: which it is, or that it is none, is
        found first, in three LUTs.
        """
        power = self.code[:5]
        words = codes.get("booth").encode(
            formats.get("pot5").decode(np.arange(32))[:, None])[0, :, 0].tolist()
        combinations = sorted({word >> 5 for word in words})

        def index(mode: int, *code: int) -> int:
            return mode and 1 + combinations.index(words[_number(code)] >> 5)

        def chosen(bit: int, found: Sequence[int], stored: int) -> int:
            return combinations[_number(found) - 1] >> bit & 1 if any(found) else stored

        low = [xc7.lut(m, f"low_{i}", lambda mode, *code, i=i:
                       words[_number(code)] >> i if mode else code[i], self.mode, *power)
               for i in range(5)]
        found = [xc7.lut(m, f"found_{i}", lambda *given, i=i: index(*given) >> i,
                         self.mode, *power) for i in range(3)]
        stored = self.code[5]
        fifth, eighth = xc7.lut_pair(m, "high_5_8", lambda stored, *found: chosen(0, found, stored),
                                     lambda stored, *found: chosen(3, found, stored),
                                     stored, *found)
        sixth, seventh = xc7.lut_pair(m, "high_6_7", lambda six, seven, *found:
                                      chosen(1, found, six), lambda six, seven, *found:
                                      chosen(2, found, seven), *self.code[6:], *found)
        return Cat(*low, fifth, sixth, seventh, eighth)


def _number(bits: Sequence[int]) -> int:
    return sum(bit << k for k, bit in enumerate(bits))


class BoothDotProduct(wiring.Component):
    """A Booth multiplier for each activation, and an adder tree. See :class:`gen.dot.DotProduct`.

    Each product is registered, as are the sums that the tree registers: the rows of a multiplier
    are no adder levels to ``pipeline``. In ``quant8`` a lane takes the weight as stored; otherwise
    it takes the code ``booth``, into which all weights are turned when they are loaded, or, in
    :class:`BoothDecodingDotProduct`, turns them itself.
    """

    ENCODINGS: ClassVar = {
        "quant8": {"int8": Encoding("int8")},
        "doubleqext": {name: Encoding("booth") for name in ("int8", *POWERS_OF_TWO)},
    }
    TREES = TREES
    TARGETS = ("portable", "xc7")
    DSP = (False,)
    ACTIVATIONS = 1
    SUMS = 1
    NAME: ClassVar = "booth"
    WEIGHT_SHAPES: ClassVar = {"quant8": signed(8), "doubleqext": unsigned(9)}

    def __init__(self, *, scheme: str, lanes: int, tree: str = "binary", target: str = "portable",
                 dsp: bool = False, pipeline: int = 1) -> None:
        check(type(self), scheme=scheme, lanes=lanes, tree=tree, target=target, dsp=dsp)
        self.scheme, self.lanes, self.target = scheme, lanes, target
        self.weight_shape = self.WEIGHT_SHAPES[scheme]
        largest = 128 * (127 if scheme == "quant8" else 128)
        self.range = range(-largest * lanes, largest * lanes + 1)
        # One less than -128 · 127, whose word[1] is 1.
        self.product_range = range(min(-128 * 127 - 1, -largest), largest + 1)
        self.tree = AdderTree(ranges=[self.product_range] * lanes, carries=lanes, tree=tree,
                              target=target, pipeline=pipeline)
        self.addend_ranges, self.carry_count = self.tree.addend_ranges, self.tree.carry_count
        self.latency = 1 + self.tree.latency
        self.module_name = (f"dot_{self.NAME}_{scheme}_{lanes}_{tree}_p{pipeline}"
                            + "_xc7" * (target == "xc7"))
        super().__init__(members(type(self), scheme=scheme, lanes=lanes,
                                 weight_shape=self.weight_shape, addend_ranges=self.addend_ranges,
                                 carry_count=self.carry_count))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tree = place(m, platform, "tree", self.tree)
        for k in range(self.lanes):
            multiplier = place(m, platform, f"multiplier_{k}",
                               BoothMultiplier(rows=4, target=self.target))
            product = Signal(self.product_range, name=f"product_{k}", reset_less=True)
            carry = Signal(name=f"carry_{k}", reset_less=True)
            x, word = self.operands(m, platform, k)
            m.d.comb += [multiplier.x.eq(x), multiplier.word.eq(word)]
            m.d.sync += [product.eq(multiplier.product), carry.eq(word[1])]
            m.d.comb += [tree.terms[k].eq(product), tree.carries[k].eq(carry)]
        m.d.comb += self.addends[0].eq(tree.addends)
        m.d.comb += self.carries[0].eq(tree.carries_left)
        return m

    def operands(self, m: Module, platform: Any, lane: int) -> tuple[Value, Value]:
        """Activation and word for the multiplier of a lane."""
        weight = Value.cast(self.w[0][lane])
        return self.x[lane], weight if self.scheme == "doubleqext" else Cat(weight, weight[5])


class BoothDecodingDotProduct(BoothDotProduct):
    """As :class:`BoothDotProduct`, for weights as stored: a mode bit tells ``int8`` and ``pot5``
    apart. Unless ``pipeline`` is 0, decoded weights are registered."""

    ENCODINGS: ClassVar = {
        "doubleqext": {"int8": Encoding("int8", mode=0),
                       **{name: Encoding("pot5", mode=1) for name in POWERS_OF_TWO}},
    }
    NAME: ClassVar = "booth_decode"
    WEIGHT_SHAPES: ClassVar = {"doubleqext": unsigned(8)}

    def __init__(self, *, pipeline: int = 1, **knobs: Any) -> None:
        super().__init__(pipeline=pipeline, **knobs)
        self.registered = pipeline > 0
        self.latency += self.registered

    def operands(self, m: Module, platform: Any, lane: int) -> tuple[Value, Value]:
        """Activation and decoded word for the multiplier of a lane."""
        decoder = place(m, platform, f"decoder_{lane}", BoothDecoder(target=self.target))
        m.d.comb += [decoder.code.eq(self.w[0][lane]), decoder.mode.eq(self.mode)]
        if not self.registered:
            return self.x[lane], decoder.word
        x = Signal(signed(8), name=f"x_{lane}", reset_less=True)
        word = Signal(9, name=f"word_{lane}", reset_less=True)
        m.d.sync += [x.eq(self.x[lane]), word.eq(decoder.word)]
        return x, word
