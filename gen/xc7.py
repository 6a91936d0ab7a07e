"""LUTs and carry chains of the 7 series by name (UG474), for structures mapped by hand.

The initial values of LUTs are truth tables computed here. UltraScale+ devices take the same
Verilog: Vivado turns CARRY4 into CARRY8.
"""

import itertools
from collections.abc import Callable, Sequence

from amaranth import Cat, Const, Instance, Module, Signal, Value

__all__ = ["add", "carry_chain", "extend", "lut", "lut_pair", "luts"]

Function = Callable[..., int]


def truth_table(function: Function, inputs: int) -> int:
    """Bit *k* is ``function`` of the bits of *k*, the least significant first."""
    return sum((function(*bits[::-1]) & 1) << k for k, bits in
               enumerate(itertools.product((0, 1), repeat=inputs)))


def _pins(inputs: Sequence[Value]) -> list[Value]:
    """The inputs that are different objects and no constants."""
    return [bit for k, bit in enumerate(inputs) if not isinstance(bit, Const)
            and not any(bit is other for other in inputs[:k])]


def _of_pins(function: Function, inputs: Sequence[Value], pins: Sequence[Value]) -> Function:
    """A function of the inputs, as one of the pins."""
    position = {id(pin): k for k, pin in enumerate(pins)}
    return lambda *bits: function(*(
        bit.value if isinstance(bit, Const) else bits[position[id(bit)]] for bit in inputs))


def lut(m: Module, name: str, function: Function, *inputs: Value) -> Value:
    """A LUT with the output ``function(*inputs)``, of at most six different inputs besides
    constants; without any, it is a constant."""
    output = Signal(name=f"{name}_o")
    pins = _pins(inputs)
    table = truth_table(_of_pins(function, inputs, pins), len(pins))
    if not pins:
        return Const(table, 1)
    m.submodules[name] = Instance(
        f"LUT{len(pins)}", ("p", "INIT", Const(table, 1 << len(pins))),
        *(("i", f"I{k}", bit) for k, bit in enumerate(pins)), ("o", "O", output))
    return output


def lut_pair(m: Module, name: str, low: Function, high: Function, *inputs: Value
             ) -> tuple[Value, Value]:
    """One LUT with two outputs, ``low`` and ``high`` of the same inputs, at most five different
    ones besides constants."""
    outputs = Signal(name=f"{name}_o5"), Signal(name=f"{name}_o6")
    pins = _pins(inputs)
    padded = [*pins, *[Const(0, 1)] * (5 - len(pins))]
    tables = [truth_table(_of_pins(function, inputs, pins), 5) for function in (low, high)]
    m.submodules[name] = Instance(
        "LUT6_2", ("p", "INIT", Const(tables[0] | tables[1] << 32, 64)),
        *(("i", f"I{k}", bit) for k, bit in enumerate([*padded, Const(1, 1)])),
        ("o", "O5", outputs[0]), ("o", "O6", outputs[1]))
    return outputs


def luts(m: Module, name: str, function: Function, inputs: Sequence[Sequence[Value]],
         pairs: Sequence[tuple[int, int]]) -> list[Value]:
    """The bits ``function(*inputs[i])``, each from a LUT of its own, but that those of a pair
    share one."""
    outputs: dict[int, Value] = {}
    for i, j in pairs:
        taken = len(inputs[i])
        outputs[i], outputs[j] = lut_pair(
            m, f"{name}_{i}_{j}", lambda *bits, n=taken: function(*bits[:n]),
            lambda *bits, n=taken: function(*bits[n:]), *inputs[i], *inputs[j])
    for i, own in enumerate(inputs):
        if i not in outputs:
            outputs[i] = lut(m, f"{name}_{i}", function, *own)
    return [outputs[i] for i in range(len(inputs))]


def carry_chain(m: Module, name: str, propagate: Sequence[Value], generate: Sequence[Value],
                carry: Value) -> Value:
    """CARRY4s: bit *i* of the result is ``propagate[i]`` xor the carry into it, and the carry out
    of it is that into it where ``propagate[i]`` is 1, else ``generate[i]``."""
    result = Signal(len(propagate), name=f"{name}_sum")
    into: Value = Const(0, 1)
    for first in range(0, len(propagate), 4):
        used = min(4, len(propagate) - first)
        sums, carries = (Signal(4, name=f"{name}_{kind}_{first}") for kind in ("o", "co"))
        spare = Const(0, 4 - used)
        m.submodules[f"{name}_carry_{first}"] = Instance(
            "CARRY4", ("i", "CI", into), ("i", "CYINIT", Const(0, 1) if first else carry),
            ("i", "S", Cat(*propagate[first:first + used], spare)),
            ("i", "DI", Cat(*generate[first:first + used], spare)),
            ("o", "O", sums), ("o", "CO", carries))
        m.d.comb += result[first:first + used].eq(sums[:used])
        into = carries[3]
    return result


def extend(value: Value, width: int) -> list[Value]:
    """The low ``width`` bits of a value, its sign extended."""
    bits = list(Value.cast(value))
    sign = bits[-1] if Value.cast(value).shape().signed else Const(0, 1)
    return [*bits[:width], *[sign] * (width - len(bits))]


def add(m: Module, name: str, terms: Sequence[Value], carries: Sequence[Value], width: int, *,
        gate: Value | None = None) -> Value:
    """Low ``width`` bits of the sum of two or three terms and of at most as many carries less one,
    in one LUT a bit.

    Three terms are first reduced to two: the LUT that drives the carry chain with the sum of the
    bits also gives their majority, which the next bit adds.

    Parameters
    ----------
    gate : Value or None
        The last term counts only where this bit is 1.
    """
    bits = [extend(term, width) for term in terms]
    first, *more = [*carries, *[Const(0, 1)] * (len(terms) - 1 - len(carries))]
    gated = () if gate is None else (gate,)
    if len(terms) == 2:
        select = [lut(m, f"{name}_{i}", lambda a, b, g=1: a ^ (b & g), a, b, *gated)
                  for i, (a, b) in enumerate(zip(*bits, strict=True))]
        return carry_chain(m, name, select, bits[0], first).as_signed()
    majority, select, generate = more[0], [], []
    for i, (a, b, c) in enumerate(zip(*bits, strict=True)):
        generate.append(majority)
        majority, parity = lut_pair(
            m, f"{name}_{i}", lambda a, b, c, m, g=1: (a & b) | (a & c & g) | (b & c & g),
            lambda a, b, c, m, g=1: a ^ b ^ (c & g) ^ m, a, b, c, majority, *gated)
        select.append(parity)
    return carry_chain(m, name, select, generate, first).as_signed()
